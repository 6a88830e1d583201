//! Rules for the parts that every object has, and for the built-in kinds; worded as the Kubernetes API server words them.

mod kinds;
mod metadata;
mod names;

use serde_json::Value;

use super::registry::{BuiltIn, Resource, definition};
use crate::api::schema::FieldError;

/// What is wrong with `new`, of `resource`, that replaces `old`.
#[must_use]
pub(super) fn check(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = metadata::check(resource, new);
    if let Some(schema) = &resource.schema {
        let blocked = errors.iter().any(FieldError::blocks_rules);
        errors.extend(schema.validate(new, old));
        let note = FieldError::rules_not_checked();
        if blocked && !errors.contains(&note) {
            errors.push(note);
        }
    }
    match resource.built_in {
        Some(BuiltIn::Definition) => {
            errors.extend(definition::validate(new));
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
