//! What a binding may leave out.

use serde_json::{Value, json};

use crate::kubeapi::object;
use crate::kubeapi::registry::RBAC;

/// Fills in the group of roles and subjects where a binding does not say it.
pub(in crate::kubeapi) fn fill_in(binding: &mut Value) {
    let fill = |reference: &mut Value| {
        let missing = reference
            .get("apiGroup")
            .and_then(Value::as_str)
            .is_none_or(str::is_empty);
        if missing {
            object::put(reference, "apiGroup", json!(RBAC));
        }
    };
    if let Some(role) = binding.get_mut("roleRef") {
        fill(role);
    }
    let subjects = binding.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        if matches!(
            subject.get("kind").and_then(Value::as_str),
            Some("Group" | "User")
        ) {
            fill(subject);
        }
    }
}
