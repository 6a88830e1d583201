//! Rules for the parts that every object has, and for the built-in kinds; worded as the Kubernetes API server words them.

mod kinds;
mod metadata;
mod names;

use serde_json::Value;

use super::registry::{BuiltIn, Resource, definition};
use crate::api::schema::{FieldError, go_float};

/// What is wrong with `new`, of `resource`, that replaces `old`.
#[must_use]
pub(super) fn check(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = metadata::check(resource, new);
    if let Some(schema) = &resource.schema {
        let blocked = errors.iter().any(FieldError::blocks_rules);
        errors.extend(schema.validate(new, old));
        let note = FieldError::rules_not_checked();
        let unchecked = errors.contains(&note);
        errors.retain(|error| *error != note);
        errors.extend(
            resource
                .scale
                .as_ref()
                .and_then(|scale| check_replicas(&scale.spec_replicas_path, new)),
        );
        if blocked || unchecked {
            errors.push(note);
        }
    }
    match resource.built_in {
        Some(BuiltIn::Definition) => {
            // What was accepted before is not judged anew: its labels can be changed, and it can go.
            if old.is_none_or(|old| old.get("spec") != new.get("spec")) {
                errors.extend(definition::validate(new));
            }
            if let Some(old) = old {
                for field in ["spec.group", "spec.scope", "spec.names.plural", "spec.names.kind"] {
                    errors.extend(kinds::immutable(field, new, old));
                }
            }
        }
        Some(built_in) => errors.extend(kinds::check(built_in, new, old)),
        None => {}
    }
    errors
}

/// The number that `/scale` serves must be one, whatever the schema says.
fn check_replicas(path: &str, object: &Value) -> Option<FieldError> {
    let accessor = |value: &Value, expected: &str| {
        let (shown, found) = match value {
            Value::String(text) => (text.clone(), "string"),
            Value::Number(number) => (number.as_f64().map_or_else(String::new, go_float), "float64"),
            Value::Bool(flag) => (flag.to_string(), "bool"),
            Value::Array(_) => ("[]".to_owned(), "[]interface {}"),
            Value::Object(_) => ("map[]".to_owned(), "map[string]interface {}"),
            Value::Null => return None,
        };
        let detail = format!("{path} accessor error: {shown} is of the type {found}, expected {expected}");
        Some(FieldError::invalid(path, &0.into(), &detail))
    };
    let mut place = object;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        if !place.is_object() {
            return accessor(place, "map[string]interface{}");
        }
        place = place.get(part)?;
    }
    match place.as_i64() {
        None => accessor(place, "int64"),
        Some(replicas) if replicas < 0 => Some(FieldError::invalid(
            path,
            place,
            "should be a non-negative integer",
        )),
        Some(replicas) if replicas > i64::from(i32::MAX) => {
            let detail = format!("should be less than or equal to {}", i32::MAX);
            Some(FieldError::invalid(path, place, &detail))
        }
        Some(_) => None,
    }
}
