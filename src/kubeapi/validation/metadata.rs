//! Rules for `metadata`, which every object has.

use serde_json::Value;

use super::names;
use crate::api::schema::{FieldError, FieldErrorKind};
use crate::kubeapi::object;
use crate::kubeapi::registry::resource::{FOREGROUND, ORPHAN};
use crate::kubeapi::registry::{BuiltIn, Resource};

/// All annotations of one object, keys and values, in bytes.
const MAX_ANNOTATIONS: usize = 262_144;

/// What is wrong with the metadata of `new`.
#[must_use]
pub(super) fn check(resource: &Resource, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["generateName", "name"] {
        let name = object::text(new, field);
        if name.is_empty() {
            continue;
        }
        let path = format!("metadata.{field}");
        errors.extend(problems(&path, name, name_problems(resource, field, name)));
    }
    let Some(metadata) = object::metadata(new) else {
        return errors;
    };
    let map = |field: &str| {
        metadata
            .get(field)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    for (key, value) in map("labels") {
        let value = value.as_str().unwrap_or("");
        errors.extend(problems("metadata.labels", key, names::qualified(key)));
        errors.extend(problems("metadata.labels", value, names::label_value(value)));
    }
    let mut size = 0;
    for (key, value) in map("annotations") {
        size += key.len() + value.as_str().map_or(0, str::len);
        errors.extend(problems(
            "metadata.annotations",
            key,
            names::qualified(&key.to_ascii_lowercase()),
        ));
    }
    if size > MAX_ANNOTATIONS {
        let detail = format!("may not be more than {MAX_ANNOTATIONS} bytes");
        errors.push(FieldError::without_value(
            "metadata.annotations",
            FieldErrorKind::TooLong,
            &detail,
        ));
    }
    errors.extend(check_owners(metadata.get("ownerReferences")));
    errors.extend(check_finalizers(resource, &object::finalizers(new)));
    errors
}

fn problems(field: &str, value: &str, problems: Vec<String>) -> impl Iterator<Item = FieldError> {
    let (field, value) = (field.to_owned(), Value::from(value));
    problems
        .into_iter()
        .map(move |detail| FieldError::invalid(field.clone(), &value, &detail))
}

fn name_problems(resource: &Resource, field: &str, name: &str) -> Vec<String> {
    // What will be appended makes a trailing hyphen good.
    let name = if field == "generateName" && name.ends_with('-') {
        format!("{}a", name.trim_end_matches('-'))
    } else {
        name.to_owned()
    };
    match resource.built_in {
        Some(BuiltIn::Namespace) => names::label(&name),
        Some(BuiltIn::ClusterRole | BuiltIn::ClusterRoleBinding | BuiltIn::Role | BuiltIn::RoleBinding) => {
            names::path_segment(&name)
        }
        _ => names::subdomain(&name),
    }
}

fn check_finalizers(resource: &Resource, finalizers: &[String]) -> Vec<FieldError> {
    const STANDARD: [&str; 3] = ["kubernetes", ORPHAN, FOREGROUND];
    let mut errors = Vec::new();
    let core = matches!(
        resource.built_in,
        Some(BuiltIn::ConfigMap | BuiltIn::Secret | BuiltIn::Namespace | BuiltIn::ServiceAccount)
    );
    for (index, finalizer) in finalizers.iter().enumerate() {
        let found = names::qualified(finalizer);
        let good = found.is_empty();
        errors.extend(problems("metadata.finalizers", finalizer, found));
        if good && core && !finalizer.contains('/') && !STANDARD.contains(&finalizer.as_str()) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            let field = format!("metadata.finalizers[{index}]");
            errors.push(FieldError::invalid(field, &finalizer.as_str().into(), detail));
        }
    }
    let has = |wanted: &str| finalizers.iter().any(|finalizer| finalizer == wanted);
    if has(ORPHAN) && has(FOREGROUND) {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(
            "metadata.finalizers",
            &finalizers.into(),
            detail,
        ));
    }
    errors
}

fn check_owners(references: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let list = references
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let text = |reference: &Value, field: &str| {
        reference
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let mut controllers: Vec<String> = Vec::new();
    for (index, reference) in list.iter().enumerate() {
        let path = format!("metadata.ownerReferences[{index}]");
        let api_version = text(reference, "apiVersion");
        if api_version.matches('/').count() > 1 {
            let detail = "must be <group>/<version> or <version>";
            errors.push(FieldError::invalid(
                format!("{path}.apiVersion"),
                &api_version.as_str().into(),
                detail,
            ));
        }
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(reference, field).is_empty() {
                errors.push(FieldError::required(
                    format!("{path}.{field}"),
                    "must not be empty",
                ));
            }
        }
        let kind = text(reference, "kind");
        if api_version == "v1" && kind == "Event" {
            let shown = in_go_order(reference);
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::verbatim(path, &shown, detail));
        }
        if reference.get("controller") == Some(&Value::Bool(true)) {
            let name = format!("{kind}/{}", text(reference, "name"));
            if let Some(first) = controllers.first() {
                let shown: Vec<String> = list.iter().map(in_go_order).collect();
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                );
                let shown = format!("[{}]", shown.join(","));
                errors.push(FieldError::verbatim(
                    "metadata.ownerReferences".to_owned(),
                    &shown,
                    &detail,
                ));
            }
            controllers.push(name);
        }
    }
    errors
}

/// A reference with its fields in the order in which the API server prints them.
fn in_go_order(reference: &Value) -> String {
    let fields = [
        "apiVersion",
        "kind",
        "name",
        "uid",
        "controller",
        "blockOwnerDeletion",
    ];
    let fields: Vec<String> = fields
        .iter()
        .filter_map(|field| Some(format!("\"{field}\":{}", reference.get(*field)?)))
        .collect();
    format!("{{{}}}", fields.join(","))
}
