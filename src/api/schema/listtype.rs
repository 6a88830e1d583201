//! The promise of `x-kubernetes-list-type`: no two items of a `set` are equal, no two of a `map` have the same keys.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::error::{FieldError, FieldErrorKind};
use super::node::{ListType, Node};
use super::path::Path;

/// Checks every list in `value`.
pub(super) fn check(value: &Value, root: &Node) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_value(value, root, &Path::ROOT, &mut errors);
    errors
}

fn check_value(value: &Value, node: &Node, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Array(items) => {
            match &node.list_type {
                ListType::Atomic => {}
                ListType::Set => check_set(items, at, errors),
                ListType::Map(keys) => check_map(items, keys, at, errors),
            }
            if let Some(node) = &node.items {
                for (index, item) in items.iter().enumerate() {
                    check_value(item, node, &at.index(index), errors);
                }
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                if let Some(property) = node.properties.get(name) {
                    check_value(field, property, &at.field(name), errors);
                } else if let Some(additional) = node.field(name) {
                    check_value(field, additional, &at.key(name), errors);
                }
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

fn check_set(items: &[Value], at: &Path<'_>, errors: &mut Vec<FieldError>) {
    for index in second_occurrences(items.iter().map(Value::to_string)) {
        if let Some(item) = items.get(index) {
            errors.push(FieldError::with_value(
                at.index(index),
                FieldErrorKind::Duplicate,
                item,
                "",
            ));
        }
    }
}

fn check_map(items: &[Value], keys: &[String], at: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some((index, item)) = items
        .iter()
        .enumerate()
        .find(|(_, item)| !item.is_object() && !item.is_null())
    {
        let detail = "must be an object for an array of list-type map";
        errors.push(FieldError::invalid(at.index(index), item, detail));
        return;
    }
    let identities: Vec<Value> = items.iter().map(|item| identity(item, keys)).collect();
    for index in second_occurrences(identities.iter().map(Value::to_string)) {
        if let Some(identity) = identities.get(index) {
            errors.push(FieldError::with_value(
                at.index(index),
                FieldErrorKind::Duplicate,
                identity,
                "",
            ));
        }
    }
}

/// The fields that tell an item of a list of type `map` from the others.
pub(super) fn identity(item: &Value, keys: &[String]) -> Value {
    let identity: Map<String, Value> = keys
        .iter()
        .filter_map(|key| item.get(key).map(|value| (key.clone(), value.clone())))
        .collect();
    Value::Object(identity)
}

/// The indices at which a text occurs for the second time; a third occurrence is not reported again.
fn second_occurrences(texts: impl Iterator<Item = String>) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut indices = Vec::new();
    for (index, text) in texts.enumerate() {
        let times = seen.entry(text).or_default();
        *times += 1;
        if *times == 2 {
            indices.push(index);
        }
    }
    indices
}
