//! Rules for the parts that every object has, and for the built-in kinds.

use serde_json::{Value, json};

use super::object;
use super::registry::{BuiltIn, Resource, definition};
use crate::api::schema::{FieldError, FieldErrorKind, go_quote};

/// All annotations of one object, keys and values, in bytes.
const MAX_ANNOTATIONS: usize = 262_144;
const MAX_LABEL_VALUE: usize = 63;
const MAX_SUBDOMAIN: usize = 253;
/// Data of a Secret or `ConfigMap`, in bytes.
const MAX_DATA: usize = 1 << 20;

/// What is wrong with `new`, of `resource`, that replaces `old`.
#[must_use]
pub(super) fn check(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = check_metadata(resource, new);
    errors.extend(old.and_then(|old| added_finalizers(new, old)));
    if old.is_some_and(|old| object::text(new, "uid") != object::text(old, "uid")) {
        let uid = object::text(new, "uid").into();
        errors.push(FieldError::invalid("metadata.uid", &uid, "field is immutable"));
    }
    if let Some(schema) = &resource.schema {
        errors = schema.validate_after(errors, new, old);
    }
    match resource.built_in {
        Some(BuiltIn::Definition) => {
            errors.extend(definition::validate(new));
            if let Some(old) = old {
                for field in ["spec.group", "spec.scope", "spec.names.plural", "spec.names.kind"] {
                    errors.extend(immutable(field, new, old));
                }
            }
        }
        Some(built_in @ (BuiltIn::Secret | BuiltIn::ConfigMap)) => {
            errors.extend(check_data(new, old));
            if let (BuiltIn::Secret, Some(old)) = (built_in, old) {
                errors.extend(immutable("type", new, old));
            }
        }
        Some(BuiltIn::ClusterRoleBinding | BuiltIn::RoleBinding) => {
            errors.extend(old.and_then(|old| immutable_role(new, old)));
        }
        Some(BuiltIn::Lease) => {
            let duration = object::at(new, "spec.leaseDurationSeconds");
            if let Some(value) = duration.filter(|value| value.as_i64().is_some_and(|seconds| seconds <= 0)) {
                let detail = "must be greater than 0";
                errors.push(FieldError::invalid("spec.leaseDurationSeconds", value, detail));
            }
        }
        _ => {}
    }
    errors
}

/// An object that is being deleted gets no new finalizers.
fn added_finalizers(new: &Value, old: &Value) -> Option<FieldError> {
    if !object::is_terminating(old) {
        return None;
    }
    let before = object::finalizers(old);
    let added: Vec<String> = object::finalizers(new)
        .iter()
        .filter(|finalizer| !before.contains(finalizer))
        .map(|finalizer| go_quote(finalizer))
        .collect();
    (!added.is_empty()).then(|| {
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.join(", ")
        );
        FieldError::without_value("metadata.finalizers", FieldErrorKind::Forbidden, &detail)
    })
}

fn immutable(field: &str, new: &Value, old: &Value) -> Option<FieldError> {
    let (new, old) = (object::at(new, field), object::at(old, field));
    (new != old).then(|| FieldError::invalid(field, new.unwrap_or(&Value::Null), "field is immutable"))
}

/// The role of a binding, which Kubernetes shows with the names that its fields have in Go.
fn immutable_role(new: &Value, old: &Value) -> Option<FieldError> {
    immutable("roleRef", new, old)?;
    let field = |name: &str| object::at(new, name).cloned().unwrap_or_default();
    let value = json!({
        "APIGroup": field("roleRef.apiGroup"), "Kind": field("roleRef.kind"), "Name": field("roleRef.name"),
    });
    Some(FieldError::invalid("roleRef", &value, "field is immutable"))
}

fn check_data(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in new.get(field).and_then(Value::as_object).into_iter().flatten() {
            size += value.as_str().map_or(0, str::len);
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if key.is_empty() || key.len() > MAX_SUBDOMAIN || !key.chars().all(good) {
                let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
                errors.push(FieldError::invalid(
                    format!("{field}[{key}]"),
                    &key.as_str().into(),
                    detail,
                ));
            }
        }
    }
    if size > MAX_DATA {
        let detail = format!("may not be more than {MAX_DATA} bytes");
        errors.push(FieldError::without_value("", FieldErrorKind::TooLong, &detail));
    }
    if let Some(old) = old.filter(|old| old.get("immutable") == Some(&Value::Bool(true))) {
        for field in ["data", "binaryData", "immutable"] {
            if new.get(field) != old.get(field) {
                let detail = "field is immutable when `immutable` is set";
                errors.push(FieldError::without_value(
                    field,
                    FieldErrorKind::Forbidden,
                    detail,
                ));
            }
        }
    }
    errors
}

fn check_metadata(resource: &Resource, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = object::text(new, "name");
    if name.is_empty() {
        let detail = "name or generateName is required";
        errors.push(FieldError::required("metadata.name", detail));
    } else if let Some(detail) = name_problem(resource, name) {
        errors.push(FieldError::invalid("metadata.name", &name.into(), detail));
    }
    let Some(metadata) = object::metadata(new) else {
        return errors;
    };
    for (key, value) in metadata
        .get("labels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let value_text = value.as_str().unwrap_or("");
        if !is_qualified_name(key) {
            errors.push(FieldError::invalid(
                "metadata.labels",
                &key.as_str().into(),
                QUALIFIED,
            ));
        }
        if !is_label_value(value_text) {
            errors.push(FieldError::invalid("metadata.labels", value, LABEL_VALUE));
        }
    }
    let mut size = 0;
    for (key, value) in metadata
        .get("annotations")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        size += key.len() + value.as_str().map_or(0, str::len);
        if !is_qualified_name(&key.to_ascii_lowercase()) {
            errors.push(FieldError::invalid(
                "metadata.annotations",
                &key.as_str().into(),
                QUALIFIED,
            ));
        }
    }
    if size > MAX_ANNOTATIONS {
        let detail = format!("may not be more than {MAX_ANNOTATIONS} bytes");
        errors.push(FieldError::without_value(
            "metadata.annotations",
            FieldErrorKind::TooLong,
            &detail,
        ));
    }
    for finalizer in object::finalizers(new) {
        if !is_qualified_name(&finalizer) {
            let value = finalizer.as_str().into();
            errors.push(FieldError::invalid("metadata.finalizers", &value, QUALIFIED));
        }
    }
    errors.extend(check_owners(metadata.get("ownerReferences")));
    errors
}

fn check_owners(references: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controllers = 0;
    for (index, reference) in references
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if reference
                .get(field)
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            {
                let path = format!("metadata.ownerReferences[{index}].{field}");
                errors.push(FieldError::required(path, "must not be empty"));
            }
        }
        controllers += usize::from(reference.get("controller") == Some(&Value::Bool(true)));
    }
    if controllers > 1 {
        let detail = "Only one reference can have Controller set to true";
        errors.push(FieldError::invalid(
            "metadata.ownerReferences",
            &Value::Null,
            detail,
        ));
    }
    errors
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                         and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                         validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                     start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
                     validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SEGMENT: &str = "may not be \".\" or \"..\", may not contain '/' or '%'";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
                         an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
                         validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
                           and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or \
                           '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

fn name_problem(resource: &Resource, name: &str) -> Option<&'static str> {
    match resource.built_in {
        Some(BuiltIn::Namespace) => (!is_label(name)).then_some(LABEL),
        Some(BuiltIn::ClusterRole | BuiltIn::ClusterRoleBinding | BuiltIn::Role | BuiltIn::RoleBinding) => {
            let bad = name.is_empty() || matches!(name, "." | "..") || name.contains(['/', '%']);
            bad.then_some(SEGMENT)
        }
        _ => (!is_subdomain(name)).then_some(SUBDOMAIN),
    }
}

fn is_label(text: &str) -> bool {
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    text.len() <= MAX_LABEL_VALUE
        && bytes.first().copied().is_some_and(good)
        && bytes.last().copied().is_some_and(good)
        && bytes.iter().all(|&c| good(c) || c == b'-')
}

fn is_subdomain(text: &str) -> bool {
    // Unlike a label alone, a part of a subdomain has no length limit of its own.
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= MAX_SUBDOMAIN
        && text.split('.').all(|part| {
            let bytes = part.as_bytes();
            bytes.first().copied().is_some_and(good)
                && bytes.last().copied().is_some_and(good)
                && bytes.iter().all(|&c| good(c) || c == b'-')
        })
}

fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.len() <= MAX_LABEL_VALUE
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|&c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

/// `prefix/name` or `name`, as label keys, annotation keys and finalizers are written.
fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name_part(name),
        None => is_name_part(text),
    }
}

fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name_part(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kubernetes() {
        for good in ["a", "a-b", "0", "a.b-c.d"] {
            assert!(is_subdomain(good), "{good}");
        }
        for bad in ["", "A", "-a", "a-", "a..b", "a_b", &"x".repeat(254)] {
            assert!(!is_subdomain(bad), "{bad}");
        }
        for good in ["app", "provost.dev/Group_1", "a/b.c"] {
            assert!(is_qualified_name(good), "{good}");
        }
        for bad in ["", "/a", "a/", "A/b/c", "a b", "UP.per/x"] {
            assert!(!is_qualified_name(bad), "{bad}");
        }
        assert!(is_label_value("") && is_label_value("Yes_1.2") && !is_label_value("-x"));
    }
}
