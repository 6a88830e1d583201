//! What roles and bindings must look like, and what they may leave out.

use serde_json::{Value, json};

use crate::api::schema::FieldError;
use crate::kubeapi::object;
use crate::kubeapi::registry::BuiltIn;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Fills in the group of roles and subjects where a binding does not say it.
pub(in crate::kubeapi) fn fill_in(binding: &mut Value) {
    let fill = |reference: &mut Value| {
        let missing = reference
            .get("apiGroup")
            .and_then(Value::as_str)
            .is_none_or(str::is_empty);
        if missing {
            object::put(reference, "apiGroup", json!(GROUP));
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

/// What is wrong with a role or a binding.
#[must_use]
pub(in crate::kubeapi) fn check(kind: BuiltIn, object: &Value) -> Vec<FieldError> {
    match kind {
        BuiltIn::ClusterRole | BuiltIn::Role => check_role(kind == BuiltIn::Role, object),
        BuiltIn::ClusterRoleBinding | BuiltIn::RoleBinding => {
            check_binding(kind == BuiltIn::RoleBinding, object)
        }
        _ => Vec::new(),
    }
}

fn check_role(namespaced: bool, role: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let rules = role.get("rules").and_then(Value::as_array);
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        let has = |field: &str| !object::strings(rule.get(field)).is_empty();
        let path = |field: &str| format!("rules[{index}].{field}");
        if !has("verbs") {
            errors.push(FieldError::required(
                path("verbs"),
                "verbs must contain at least one value",
            ));
        }
        if has("nonResourceURLs") {
            let mut refuse = |detail: &str| {
                let value = rule.get("nonResourceURLs").unwrap_or(&Value::Null);
                errors.push(FieldError::invalid(path("nonResourceURLs"), value, detail));
            };
            if namespaced {
                refuse("namespaced rules cannot apply to non-resource URLs");
            }
            if has("apiGroups") || has("resources") || has("resourceNames") {
                refuse("rules cannot apply to both regular resources and non-resource URLs");
            }
            continue;
        }
        if !has("apiGroups") {
            let detail = "resource rules must supply at least one api group";
            errors.push(FieldError::required(path("apiGroups"), detail));
        }
        if !has("resources") {
            let detail = "resource rules must supply at least one resource";
            errors.push(FieldError::required(path("resources"), detail));
        }
    }
    let gathers = role.get("aggregationRule").filter(|rule| rule.is_object());
    let selectors = gathers.map(|rule| rule.get("clusterRoleSelectors").and_then(Value::as_array));
    if selectors.is_some_and(|selectors| selectors.is_none_or(Vec::is_empty)) {
        errors.push(FieldError::required(
            "aggregationRule.clusterRoleSelectors",
            "at least one clusterRoleSelector required if aggregationRule is non-nil",
        ));
    }
    errors
}

fn check_binding(namespaced: bool, binding: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let role = binding.get("roleRef").unwrap_or(&Value::Null);
    let kinds: &[Value] = if namespaced {
        &[json!("Role"), json!("ClusterRole")]
    } else {
        &[json!("ClusterRole")]
    };
    for (field, supported) in [("apiGroup", &[json!(GROUP)][..]), ("kind", kinds)] {
        let found = json!(text(role, field));
        if !supported.contains(&found) {
            errors.push(FieldError::not_supported(
                format!("roleRef.{field}"),
                &found,
                supported,
            ));
        }
    }
    let name = text(role, "name");
    if name.is_empty() {
        errors.push(FieldError::required("roleRef.name", ""));
    } else if matches!(name, "." | "..") || name.contains(['/', '%']) {
        let detail = "may not be \".\" or \"..\", may not contain '/' or '%'";
        errors.push(FieldError::invalid("roleRef.name", &json!(name), detail));
    }
    let subjects = binding.get("subjects").and_then(Value::as_array);
    for (index, subject) in subjects.into_iter().flatten().enumerate() {
        check_subject(namespaced, index, subject, &mut errors);
    }
    errors
}

fn check_subject(namespaced: bool, index: usize, subject: &Value, errors: &mut Vec<FieldError>) {
    let path = |field: &str| format!("subjects[{index}].{field}");
    if text(subject, "name").is_empty() {
        errors.push(FieldError::required(path("name"), ""));
    }
    let group = json!(text(subject, "apiGroup"));
    let own = match text(subject, "kind") {
        "ServiceAccount" => {
            if !namespaced && text(subject, "namespace").is_empty() {
                errors.push(FieldError::required(path("namespace"), ""));
            }
            json!("")
        }
        "Group" | "User" => json!(GROUP),
        other => {
            let supported = ["ServiceAccount", "User", "Group"].map(|kind| json!(kind));
            errors.push(FieldError::not_supported(path("kind"), &json!(other), &supported));
            return;
        }
    };
    if group != own {
        errors.push(FieldError::not_supported(path("apiGroup"), &group, &[own]));
    }
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(kind: BuiltIn, object: &Value) -> Vec<String> {
        check(kind, object).into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn rules_are_about_resources_or_about_paths() {
        let role = |rule: Value| json!({ "rules": [rule] });
        let resources = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["secrets"] });
        let paths = json!({ "verbs": ["get"], "nonResourceURLs": ["/x"] });
        let both = json!({ "verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["secrets"] });
        let none: [&str; 0] = [];
        assert_eq!(fields(BuiltIn::Role, &role(resources)), none);
        assert_eq!(fields(BuiltIn::ClusterRole, &role(paths.clone())), none);
        assert_eq!(fields(BuiltIn::Role, &role(paths)), ["rules[0].nonResourceURLs"]);
        assert_eq!(
            fields(BuiltIn::ClusterRole, &role(both)),
            ["rules[0].nonResourceURLs"]
        );
        assert_eq!(
            fields(BuiltIn::ClusterRole, &role(json!({}))),
            ["rules[0].verbs", "rules[0].apiGroups", "rules[0].resources"]
        );
        assert_eq!(
            fields(BuiltIn::ClusterRole, &json!({ "aggregationRule": {} })),
            ["aggregationRule.clusterRoleSelectors"]
        );
    }

    #[test]
    fn a_binding_is_of_a_role_to_somebody() {
        let mut binding = json!({
            "roleRef": { "kind": "ClusterRole", "name": "r" },
            "subjects": [{ "kind": "User", "name": "bob" }, { "kind": "ServiceAccount", "name": "bot", "namespace": "a" }],
        });
        fill_in(&mut binding);
        let none: [&str; 0] = [];
        assert_eq!(fields(BuiltIn::ClusterRoleBinding, &binding), none);
        let mut binding = json!({
            "roleRef": { "kind": "Role", "name": "a/b" },
            "subjects": [{ "kind": "ServiceAccount", "name": "bot" }, { "kind": "Robot" }, { "kind": "User", "name": "x", "apiGroup": "y" }],
        });
        fill_in(&mut binding);
        assert_eq!(
            fields(BuiltIn::ClusterRoleBinding, &binding),
            [
                "roleRef.kind",
                "roleRef.name",
                "subjects[0].namespace",
                "subjects[1].name",
                "subjects[1].kind",
                "subjects[2].apiGroup"
            ]
        );
    }
}
