//! Rules for the built-in kinds.

use serde_json::{Value, json};

use super::names;
use crate::api::schema::{FieldError, FieldErrorKind};
use crate::kubeapi::object::{self, text_at as text};
use crate::kubeapi::registry::{BuiltIn, RBAC};

/// Data of a Secret or `ConfigMap`, in bytes.
const MAX_DATA: usize = 1 << 20;

/// What is wrong with an object of a built-in kind beside its metadata.
#[must_use]
pub(super) fn check(built_in: BuiltIn, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    match built_in {
        BuiltIn::ConfigMap => check_config_map(new, old),
        BuiltIn::Secret => check_secret(new, old),
        BuiltIn::Role | BuiltIn::ClusterRole => check_rules(built_in, new),
        BuiltIn::RoleBinding | BuiltIn::ClusterRoleBinding => check_binding(built_in, new, old),
        BuiltIn::Lease => check_lease(new),
        BuiltIn::Event => check_event(new, "involvedObject"),
        BuiltIn::EventV1 => check_new_event(new, old),
        _ => Vec::new(),
    }
}

fn check_keys(new: &Value, field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for key in new
        .get(field)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, _)| key)
    {
        for detail in names::config_key(key) {
            errors.push(FieldError::invalid(
                format!("{field}[{key}]"),
                &key.as_str().into(),
                &detail,
            ));
        }
    }
    errors
}

/// The size of a map of texts, or of bytes in base64.
fn size(new: &Value, field: &str, base64: bool) -> usize {
    let values = new.get(field).and_then(Value::as_object).into_iter().flatten();
    values
        .map(|(_, value)| {
            let text = value.as_str().unwrap_or("").trim_end_matches('=');
            if base64 { text.len() * 3 / 4 } else { text.len() }
        })
        .sum()
}

fn check_frozen(new: &Value, old: Option<&Value>, fields: &[&str]) -> Vec<FieldError> {
    let Some(old) = old.filter(|old| old.get("immutable") == Some(&Value::Bool(true))) else {
        return Vec::new();
    };
    let same = |field: &str| {
        let empty = json!({});
        new.get(field).unwrap_or(&empty) == old.get(field).unwrap_or(&empty)
    };
    let immutable = new.get("immutable") == Some(&Value::Bool(true));
    let changed = fields.iter().filter(|field| !same(field)).copied();
    let changed = (!immutable).then_some("immutable").into_iter().chain(changed);
    changed
        .map(|field| {
            let detail = "field is immutable when `immutable` is set";
            FieldError::without_value(field, FieldErrorKind::Forbidden, detail)
        })
        .collect()
}

fn check_config_map(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = check_keys(new, "data");
    let binary = new.get("binaryData").and_then(Value::as_object);
    for (key, _) in new.get("data").and_then(Value::as_object).into_iter().flatten() {
        if binary.is_some_and(|binary| binary.contains_key(key)) {
            let detail = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(
                format!("data[{key}]"),
                &key.as_str().into(),
                detail,
            ));
        }
    }
    errors.extend(check_keys(new, "binaryData"));
    if size(new, "data", false) + size(new, "binaryData", true) > MAX_DATA {
        let detail = format!("may not be more than {MAX_DATA} bytes");
        errors.push(FieldError::without_value("[]", FieldErrorKind::TooLong, &detail));
    }
    errors.extend(check_frozen(new, old, &["data", "binaryData"]));
    errors
}

fn check_secret(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old {
        errors.extend(immutable("type", new, old));
        errors.extend(check_frozen(new, Some(old), &["data"]));
    }
    errors.extend(check_keys(new, "data"));
    if size(new, "data", true) > MAX_DATA {
        let detail = format!("may not be more than {MAX_DATA} bytes");
        errors.push(FieldError::without_value(
            "data",
            FieldErrorKind::TooLong,
            &detail,
        ));
    }
    let data = new.get("data").and_then(Value::as_object);
    let has = |key: &str| data.is_some_and(|data| data.contains_key(key));
    let missing = |keys: &[&str]| -> Vec<FieldError> {
        let missing = keys.iter().filter(|key| !has(key));
        missing
            .map(|key| FieldError::required(format!("data[{key}]"), ""))
            .collect()
    };
    errors.extend(match text(new, "type") {
        "kubernetes.io/tls" => missing(&["tls.crt", "tls.key"]),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            missing(&["username", "password"])
        }
        "kubernetes.io/ssh-auth" => missing(&["ssh-privatekey"]),
        "kubernetes.io/dockerconfigjson" => missing(&[".dockerconfigjson"]),
        "kubernetes.io/dockercfg" => missing(&[".dockercfg"]),
        _ => Vec::new(),
    });
    errors
}

fn strings(value: &Value, field: &str) -> Vec<String> {
    object::strings(value.get(field))
}

fn check_rules(built_in: BuiltIn, new: &Value) -> Vec<FieldError> {
    let (mut errors, mut without_verbs) = (Vec::new(), Vec::new());
    for (index, rule) in new
        .get("rules")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        let path = format!("rules[{index}]");
        if strings(rule, "verbs").is_empty() {
            without_verbs.push(FieldError::required(format!("{path}.verbs"), ""));
        }
        let urls = strings(rule, "nonResourceURLs");
        if !urls.is_empty() {
            let detail = if built_in == BuiltIn::Role {
                "namespaced rules cannot apply to non-resource URLs"
            } else if strings(rule, "apiGroups").is_empty() && strings(rule, "resources").is_empty() {
                continue;
            } else {
                "rules cannot apply to both regular resources and non-resource URLs"
            };
            errors.push(FieldError::invalid(
                format!("{path}.nonResourceURLs"),
                &json!(urls),
                detail,
            ));
            continue;
        }
        for (field, detail) in [
            ("apiGroups", "resource rules must supply at least one api group"),
            ("resources", "resource rules must supply at least one resource"),
        ] {
            if strings(rule, field).is_empty() {
                errors.push(FieldError::required(format!("{path}.{field}"), detail));
            }
        }
    }
    errors.extend(without_verbs);
    let gathers = new.get("aggregationRule").filter(|rule| rule.is_object());
    let selectors = gathers.map(|rule| rule.get("clusterRoleSelectors").and_then(Value::as_array));
    if selectors.is_some_and(|selectors| selectors.is_none_or(Vec::is_empty)) {
        errors.push(FieldError::required(
            "aggregationRule.clusterRoleSelectors",
            "at least one clusterRoleSelector required if aggregationRule is non-nil",
        ));
    }
    errors
}

fn check_binding(built_in: BuiltIn, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let (mut errors, mut missing) = (Vec::new(), Vec::new());
    let group = text(new, "roleRef.apiGroup");
    if group != RBAC {
        errors.push(FieldError::not_supported(
            "roleRef.apiGroup",
            &group.into(),
            &[RBAC.into()],
        ));
    }
    let kinds: &[&str] = if built_in == BuiltIn::RoleBinding {
        &["Role", "ClusterRole"]
    } else {
        &["ClusterRole"]
    };
    let kind = text(new, "roleRef.kind");
    if !kinds.contains(&kind) {
        let kinds: Vec<Value> = kinds.iter().map(|&kind| kind.into()).collect();
        errors.push(FieldError::not_supported("roleRef.kind", &kind.into(), &kinds));
    }
    let name = text(new, "roleRef.name");
    for detail in names::path_segment(name) {
        errors.push(FieldError::invalid("roleRef.name", &name.into(), &detail));
    }
    for (index, subject) in new
        .get("subjects")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        let path = format!("subjects[{index}]");
        let name = text(subject, "name");
        if name.is_empty() {
            missing.push(FieldError::required(format!("{path}.name"), ""));
        }
        let group = text(subject, "apiGroup");
        let expected = match text(subject, "kind") {
            "ServiceAccount" => {
                if !name.is_empty() {
                    for detail in names::subdomain(name) {
                        errors.push(FieldError::invalid(format!("{path}.name"), &name.into(), &detail));
                    }
                }
                if built_in == BuiltIn::ClusterRoleBinding && text(subject, "namespace").is_empty() {
                    errors.push(FieldError::required(format!("{path}.namespace"), ""));
                }
                ""
            }
            "User" | "Group" => RBAC,
            other => {
                let kinds = [json!("ServiceAccount"), json!("User"), json!("Group")];
                errors.push(FieldError::not_supported(
                    format!("{path}.kind"),
                    &other.into(),
                    &kinds,
                ));
                continue;
            }
        };
        if group != expected {
            errors.push(FieldError::not_supported(
                format!("{path}.apiGroup"),
                &group.into(),
                &[expected.into()],
            ));
        }
    }
    if name.is_empty() {
        missing.push(FieldError::required("roleRef.name", ""));
    }
    errors.extend(missing);
    if old.is_some_and(|old| new.get("roleRef") != old.get("roleRef")) {
        let quoted = |field: &str| json!(text(new, field)).to_string();
        // In the words of the server's own type, as it prints them.
        let shown = format!(
            "{{\"APIGroup\":{},\"Kind\":{},\"Name\":{}}}",
            quoted("roleRef.apiGroup"),
            quoted("roleRef.kind"),
            quoted("roleRef.name")
        );
        errors.push(FieldError::verbatim(
            "roleRef".to_owned(),
            &shown,
            "field is immutable",
        ));
    }
    errors
}

fn check_lease(new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, least, detail) in [
        ("spec.leaseDurationSeconds", 1, "must be greater than 0"),
        ("spec.leaseTransitions", 0, "must be greater than or equal to 0"),
    ] {
        if let Some(value) = object::at(new, field).filter(|value| value.as_i64().is_some_and(|n| n < least))
        {
            errors.push(FieldError::invalid(field, value, detail));
        }
    }
    errors
}

/// What the newer group demands of its events beyond the core group.
fn check_new_event(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = check_event(new, "regarding");
    if old.is_some() {
        return errors;
    }
    if text(new, "eventTime").is_empty() {
        errors.push(FieldError::required("eventTime", ""));
    } else {
        let controller = text(new, "reportingController");
        if controller.is_empty() {
            errors.push(FieldError::required("reportingController", ""));
        } else {
            for detail in names::qualified(controller) {
                errors.push(FieldError::invalid(
                    "reportingController",
                    &controller.into(),
                    &detail,
                ));
            }
        }
        for field in ["reportingInstance", "action", "reason"] {
            if text(new, field).is_empty() {
                errors.push(FieldError::required(field, ""));
            }
        }
    }
    let kind = text(new, "type");
    if !matches!(kind, "Normal" | "Warning") {
        let detail = format!("has invalid value: {kind}");
        errors.push(FieldError::invalid("type", &"".into(), &detail));
    }
    errors
}

fn check_event(new: &Value, about: &str) -> Vec<FieldError> {
    let about = object::at(new, about).map_or("", |about| text(about, "namespace"));
    let own = object::text(new, "namespace");
    // What belongs to no namespace is told of in the default one.
    if about == own || (about.is_empty() && own == "default") {
        return Vec::new();
    }
    vec![FieldError::invalid(
        "involvedObject.namespace",
        &about.into(),
        "does not match event.namespace",
    )]
}

/// An error when a field of `new` is not as it was.
#[must_use]
pub(super) fn immutable(field: &str, new: &Value, old: &Value) -> Option<FieldError> {
    let (new, old) = (object::at(new, field), object::at(old, field));
    (new != old).then(|| FieldError::invalid(field, new.unwrap_or(&Value::Null), "field is immutable"))
}
