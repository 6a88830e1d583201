//! Structural defaulting: fields that are absent, or null where null is not allowed, take the schema's default.

use serde_json::Value;

use super::error::FieldError;
use super::node::{Additional, Node, Nullable};
use super::path::Path;
use super::{pruning, validate};

/// Fills `value` and everything below it. Defaults that are objects are themselves filled.
pub(super) fn fill(value: &mut Value, node: &Node) {
    match value {
        Value::Object(fields) => {
            for (name, property) in &node.properties {
                let Some(default) = &property.default else {
                    continue;
                };
                if fields
                    .get(name)
                    .is_none_or(|field| is_forbidden_null(field, property))
                {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, field) in fields.iter_mut() {
                if let Some(property) = node.field(name) {
                    fill_null(field, property);
                    fill(field, property);
                }
            }
        }
        Value::Array(items) => {
            let Some(node) = &node.items else { return };
            for item in items {
                fill_null(item, node);
                fill(item, node);
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

fn fill_null(value: &mut Value, node: &Node) {
    if let Some(default) = &node.default
        && is_forbidden_null(value, node)
    {
        *value = default.clone();
    }
}

fn is_forbidden_null(value: &Value, node: &Node) -> bool {
    value.is_null() && node.nullable == Nullable::No
}

/// Removes nulls that the schema neither allows nor replaces by a default, so that `field: null` means "not set".
pub(super) fn remove_forbidden_nulls(value: &mut Value, node: Option<&Node>) {
    let Some(node) = node else { return };
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| {
                let Some(node) = node.field(name) else { return true };
                if is_forbidden_null(field, node) && node.default.is_none() {
                    return false;
                }
                remove_forbidden_nulls(field, Some(node));
                true
            });
        }
        Value::Array(items) => {
            for item in items {
                remove_forbidden_nulls(item, node.items.as_deref());
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// Checks that every default of a schema is itself a value the schema would accept and keep.
pub(super) fn check_defaults(prefix: &str, root: &Node) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_node_defaults(root, &Path::starting_at(prefix), &mut errors);
    errors
}

fn check_node_defaults(node: &Node, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(default) = &node.default {
        let at = at.field("default");
        let mut filled = default.clone();
        if pruning::prune_value(&mut filled, node).is_empty() {
            fill(&mut filled, node);
            for error in validate::check(&filled, None, node) {
                errors.push(FieldError {
                    field: at.to_string(),
                    ..error
                });
            }
        } else {
            errors.push(FieldError::invalid(at, default, "must not have unknown fields"));
        }
    }
    let properties = at.field("properties");
    for (name, property) in &node.properties {
        check_node_defaults(property, &properties.key(name), errors);
    }
    if let Some(items) = &node.items {
        check_node_defaults(items, &at.field("items"), errors);
    }
    if let Additional::Schema(additional) = &node.additional {
        check_node_defaults(additional, &at.field("additionalProperties"), errors);
    }
}
