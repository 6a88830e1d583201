//! Whether a configuration has the types that its schema names, before it is merged: whatever is wrong with it, nobody's
//! conflict is told first.
//!
//! Pure. Texts follow Kubernetes' structured merge. Recursion is bounded by the depth of a body.

use serde_json::Value;

use super::error::ApplyError;
use super::types::{Kind, Shape, TypeInfo};
use crate::api::schema::go_quote;

/// Checks that every value of a configuration has the type of its schema. What the schema does not know is left alone.
///
/// # Errors
/// [`ApplyError::Malformed`], with texts such as `.spec.replicas: expected numeric (int or float), got string`.
pub fn check_types(config: &Value, types: TypeInfo<'_>) -> Result<(), ApplyError> {
    let mut found = Vec::new();
    walk(config, types.root(), &mut String::new(), &mut found);
    match found.as_slice() {
        [] => Ok(()),
        [one] => Err(ApplyError::Malformed(one.clone())),
        many => Err(ApplyError::Malformed(format!("errors:\n  {}", many.join("\n  ")))),
    }
}

fn walk(value: &Value, shape: Shape<'_>, path: &mut String, found: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    let expected = match (shape.kind(), value) {
        (Some(Kind::Numeric), Value::Number(_))
        | (Some(Kind::String), Value::String(_))
        | (Some(Kind::Boolean), Value::Bool(_))
        | (Some(Kind::Scalar), Value::Bool(_) | Value::Number(_) | Value::String(_))
        | (Some(Kind::List) | None, Value::Array(_))
        | (Some(Kind::Map) | None, Value::Object(_)) => None,
        (None, _) => return,
        (Some(Kind::Numeric), _) => Some(format!("expected numeric (int or float), got {}", go_type(value))),
        (Some(Kind::String), _) => Some(format!(
            "expected string, got &value.valueUnstructured{{Value:{}}}",
            go_value(value)
        )),
        (Some(Kind::Boolean), _) => Some(format!("expected boolean, got &{{{}}}", shown(value))),
        (Some(Kind::Scalar), _) => Some(format!("expected any scalar, got &{{{}}}", shown(value))),
        (Some(Kind::List), _) => Some(format!("expected list, got &{{{}}}", shown(value))),
        (Some(Kind::Map), _) => Some(format!("expected map, got &{{{}}}", shown(value))),
    };
    if let Some(expected) = expected {
        found.push(if path.is_empty() {
            expected
        } else {
            format!("{path}: {expected}")
        });
        return;
    }
    let length = path.len();
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                path.push('.');
                path.push_str(name);
                walk(field, shape.field(name), path, found);
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                // An item that cannot be told apart is the merge's to refuse.
                let step = if shape.is_atomic_list() {
                    None
                } else {
                    shape.step(item)
                };
                path.push_str(&step.map_or_else(|| format!("[{index}]"), |step| step.to_string()));
                walk(item, shape.item(), path, found);
                path.truncate(length);
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// The type of a value in Go.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A value as Go source has it.
fn go_value(value: &Value) -> String {
    match value {
        Value::String(text) => go_quote(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_value).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}:{}", go_quote(name), go_value(value)))
                .collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
