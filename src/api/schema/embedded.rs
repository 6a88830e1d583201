//! Objects inside objects (`x-kubernetes-embedded-resource`): they need an `apiVersion` and a `kind`.

use serde_json::{Map, Value};

use super::error::FieldError;
use super::node::{Embedded, Node};
use super::path::Path;

/// Checks every embedded resource below `root`; the object itself is checked by its server.
pub(super) fn check(value: &Value, root: &Node) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_value(value, root, &Path::ROOT, &mut errors);
    errors
}

fn check_value(value: &Value, node: &Node, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            if node.resource == Embedded::Yes {
                check_resource(fields, at, errors);
            }
            for (name, field) in fields {
                if let Some(property) = node.properties.get(name) {
                    check_value(field, property, &at.field(name), errors);
                } else if let Some(additional) = node.field(name) {
                    check_value(field, additional, &at.key(name), errors);
                }
            }
        }
        Value::Array(items) => {
            let Some(node) = &node.items else { return };
            for (index, item) in items.iter().enumerate() {
                check_value(item, node, &at.index(index), errors);
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

fn check_resource(fields: &Map<String, Value>, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let at = at.field(name);
        match fields.get(name) {
            None => errors.push(FieldError::required(at, "")),
            Some(value @ Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(at, value, "must not be empty"));
            }
            Some(value @ Value::String(text)) if name == "apiVersion" && text.matches('/').count() > 1 => {
                let detail = format!("unexpected GroupVersion string: {text}");
                errors.push(FieldError::invalid(at, value, &detail));
            }
            Some(Value::String(_)) => {}
            Some(value) => errors.push(FieldError::invalid(at, value, "must be a string")),
        }
    }
    if let Some(metadata) = fields.get("metadata")
        && !metadata.is_object()
    {
        errors.push(FieldError::invalid(
            at.field("metadata"),
            metadata,
            "must be an object",
        ));
    }
}
