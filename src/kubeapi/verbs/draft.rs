//! The steps every write shares, on an object that is about to be stored.

use serde_json::{Map, Value, json};

use super::conform::{cannot_handle, fill_defaults};
use super::{Part, Target};
use crate::api::schema::{FieldError, FieldErrorKind, go_quote};
use crate::kubeapi::access;
use crate::kubeapi::api::Core;
use crate::kubeapi::apply::{self, ResetFields, TrackRequest};
use crate::kubeapi::error::{ApiError, Subject};
use crate::kubeapi::object;
use crate::kubeapi::registry::{BuiltIn, Resource, builtin, definition, lifecycle};
use crate::kubeapi::request::WriteOptions;
use crate::kubeapi::unmarshal;
use crate::kubeapi::validation;

/// Refuses an object that is not of this resource, namespace and name; fills in what it leaves out.
pub(super) fn identify(target: &Target, object: &mut Value) -> Result<(), ApiError> {
    let resource = &target.resource;
    let (api_version, kind) = (resource.api_version(), resource.kind.clone());
    if let Some(found @ (Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Array(_))) =
        object.get("metadata")
    {
        let found = unmarshal::json_type(found);
        let why = format!("json: cannot unmarshal {found} into Go value of type v1.ObjectMeta");
        return Err(cannot_handle(resource, &why));
    }
    let given_name = object::text(object, "name").to_owned();
    let Some(fields) = object.as_object_mut() else {
        return Err(ApiError::BadRequest(
            "the object provided is not a JSON object".to_owned(),
        ));
    };
    for (field, expected, words) in [("apiVersion", api_version, "API version"), ("kind", kind, "kind")] {
        match fields.get(field).and_then(Value::as_str).unwrap_or("") {
            "" => fields.insert(field.to_owned(), Value::String(expected)),
            found if found == expected => None,
            found if field == "kind" && resource.built_in.is_none() => {
                let detail = format!("must be {}", resource.kind);
                let subject = Subject {
                    group: resource.group.clone(),
                    kind: found.to_owned(),
                    name: given_name,
                };
                let errors = vec![FieldError::invalid("kind", &json!(found), &detail)];
                return Err(ApiError::Invalid { subject, errors });
            }
            _ if resource.built_in.is_some() && target.name.is_empty() => {
                return Err(other_type(resource, fields));
            }
            found => {
                return Err(ApiError::BadRequest(format!(
                    "the {words} in the data ({found}) does not match the expected {words} ({expected})"
                )));
            }
        };
    }
    if !resource.namespaced {
        object::set(object, "namespace", None);
    }
    let namespace = object::text(object, "namespace");
    if !namespace.is_empty() && namespace != target.namespace {
        return Err(ApiError::BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
                .to_owned(),
        ));
    }
    if resource.namespaced && namespace.is_empty() {
        object::set(object, "namespace", Some(json!(target.namespace)));
    }
    let name = object::text(object, "name");
    if !target.name.is_empty() {
        if !name.is_empty() && name != target.name {
            return Err(ApiError::BadRequest(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                target.name
            )));
        }
        object::set(object, "name", Some(json!(target.name)));
    }
    Ok(())
}

/// 400 for an object that says it is of another kind or version than the built-in one that is to be made.
fn other_type(resource: &Resource, fields: &Map<String, Value>) -> ApiError {
    let text = |field: &str| fields.get(field).and_then(Value::as_str).unwrap_or("");
    let (api_version, found) = (text("apiVersion"), text("kind"));
    let version = api_version.rsplit('/').next().unwrap_or_default();
    let wanted = &resource.kind;
    let is_known = builtin::resources()
        .iter()
        .any(|known| known.api_version() == api_version && known.kind == found);
    let why = if is_known {
        let internal = resource.internal_package();
        format!("converting ({version}.{found}) to ({internal}.{wanted}): unknown conversion")
    } else {
        format!(
            "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
            go_quote(found),
            go_quote(api_version)
        )
    };
    ApiError::BadRequest(format!(
        "{found} in version {} cannot be handled as a {wanted}: {why}",
        go_quote(version)
    ))
}

/// Gives a new object what the server decides: uid, time, generation; takes away what it must not bring.
pub(super) fn begin(core: &Core, target: &Target, object: &mut Value) -> Result<(), ApiError> {
    let resource = &target.resource;
    if !object::text(object, "resourceVersion").is_empty() {
        return Err(ApiError::Unexplained(
            "resourceVersion should not be set on objects to be created".to_owned(),
        ));
    }
    for field in [
        "resourceVersion",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ] {
        object::set(object, field, None);
    }
    object::set(object, "uid", Some(json!(core.entropy.uuid().to_string())));
    object::set(object, "creationTimestamp", Some(core.time()));
    if resource.has_generation() {
        object::set(object, "generation", Some(json!(1)));
    }
    if resource.status {
        replace_field(object, "status", None);
    }
    fill_defaults(resource, object);
    Ok(())
}

/// Gives a changed object what belongs to the server, and the part that this request does not write, from `old`.
pub(super) fn carry_over(target: &Target, old: &Value, new: &mut Value) -> Result<(), ApiError> {
    let resource = &target.resource;
    let managed = object::metadata(new).and_then(|metadata| metadata.get("managedFields").cloned());
    if target.part == Part::Status {
        let status = new.get("status").cloned();
        new.clone_from(old);
        replace_field(new, "status", status);
        object::set(new, "managedFields", managed);
        return Ok(());
    }
    if resource.status {
        replace_field(new, "status", old.get("status").cloned());
    }
    let old_metadata = object::metadata(old);
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "name",
    ] {
        object::set(
            new,
            field,
            old_metadata.and_then(|metadata| metadata.get(field).cloned()),
        );
    }
    object::set(new, "selfLink", None);
    if object::is_terminating(old) {
        let before = object::finalizers(old);
        let added: Vec<String> = object::finalizers(new)
            .into_iter()
            .filter(|finalizer| !before.contains(finalizer))
            .collect();
        if !added.is_empty() {
            let added: Vec<String> = added.iter().map(|finalizer| format!("{finalizer:?}")).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            let error = FieldError::without_value("metadata.finalizers", FieldErrorKind::Forbidden, &detail);
            return Err(invalid(target, &target.name, twice(&target.resource, error)));
        }
    }
    if resource.has_generation() && spec_differs(resource, old, new) {
        object::set(new, "generation", Some(json!(object::generation(old) + 1)));
    }
    Ok(())
}

fn replace_field(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    match value {
        Some(value) => fields.insert(field.to_owned(), value),
        None => fields.remove(field),
    };
}

/// Whether anything differs that a controller would have to act on.
fn spec_differs(resource: &Resource, old: &Value, new: &Value) -> bool {
    let relevant = |object: &Value| -> Map<String, Value> {
        let fields = object.as_object().cloned().unwrap_or_default();
        let skip = |field: &str| {
            matches!(field, "metadata" | "apiVersion" | "kind") || (resource.status && field == "status")
        };
        fields.into_iter().filter(|(field, _)| !skip(field)).collect()
    };
    relevant(old) != relevant(new)
}

/// Fills in what the built-in kinds derive from what was written.
pub(super) fn derive(resource: &Resource, new: &mut Value, old: Option<&Value>) {
    match resource.built_in {
        Some(BuiltIn::Definition) => {
            definition::default(new);
            lifecycle::begin(new);
        }
        Some(BuiltIn::Namespace) => {
            let name = object::text(new, "name").to_owned();
            if let Some(metadata) = object::metadata_mut(new) {
                let labels = metadata.entry("labels").or_insert_with(|| json!({}));
                if let Some(labels) = labels.as_object_mut() {
                    labels.insert("kubernetes.io/metadata.name".to_owned(), json!(name));
                }
            }
            if old.is_none() {
                replace_field(new, "spec", Some(json!({ "finalizers": ["kubernetes"] })));
                replace_field(new, "status", Some(json!({ "phase": "Active" })));
            }
            if let Some(old) = old {
                replace_field(new, "spec", old.get("spec").cloned());
            }
        }
        Some(BuiltIn::ClusterRoleBinding | BuiltIn::RoleBinding) => access::fill_in(new),
        Some(BuiltIn::Role | BuiltIn::ClusterRole) => {
            if let Some(fields) = new.as_object_mut() {
                fields.entry("rules").or_insert(Value::Null);
            }
        }
        Some(BuiltIn::Secret) => {
            let Some(fields) = new.as_object_mut() else { return };
            fields.entry("type").or_insert_with(|| json!("Opaque"));
            if let Some(Value::Object(texts)) = fields.remove("stringData") {
                use base64::Engine as _;
                let data = fields.entry("data").or_insert_with(|| json!({}));
                for (key, text) in texts {
                    let encoded =
                        base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or(""));
                    if let Some(data) = data.as_object_mut() {
                        data.insert(key, Value::String(encoded));
                    }
                }
            }
        }
        _ => {}
    }
}

/// Records who set what.
pub(super) fn track(
    core: &Core,
    target: &Target,
    options: &WriteOptions,
    old: Option<&Value>,
    new: &mut Value,
) {
    let resource = &target.resource;
    // What a type always writes belongs to nobody: it was there before it was set.
    let always = resource.built_in.and_then(BuiltIn::always_there);
    *new = apply::track(&TrackRequest {
        before: old,
        always: always.as_ref(),
        after: new,
        types: resource.types(),
        manager: &options.manager,
        api_version: &resource.api_version(),
        subresource: target.part.subresource(),
        reset: reset_fields(target),
        // What a scale sets has an owner without a time, as on the API server.
        now: (target.part != Part::Scale).then(|| core.now()),
    });
}

/// What an endpoint does not write, and nobody can come to own through it.
pub(super) fn reset_fields(target: &Target) -> ResetFields {
    match target.part {
        Part::Status => ResetFields::AllButStatus,
        Part::Main | Part::Scale | Part::Token if target.resource.status => ResetFields::Status,
        Part::Main | Part::Scale | Part::Token => ResetFields::Nothing,
    }
}

/// Refuses an object that breaks a rule.
pub(super) fn validate(target: &Target, new: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    let resource = &target.resource;
    if !object::within_depth(new, object::MAX_DEPTH) {
        return Err(ApiError::BadRequest(format!(
            "the object nests more than {} levels deep",
            object::MAX_DEPTH
        )));
    }
    let mut errors = validation::check(resource, new, old);
    if target.part == Part::Status {
        // Kubernetes checks a status by itself, and its texts name what is in it from there.
        for error in &mut errors {
            let inside = error.field.strip_prefix("status.").unwrap_or(&error.field);
            let (whole, inside) = (format!("{} in body", error.field), format!("{inside} in body"));
            error.message = error.message.replace(&whole, &inside);
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(invalid(target, object::text(new, "name"), errors))
}

/// The update of a custom resource has its metadata checked in two places: an error there is a cause twice.
pub(super) fn twice(resource: &Resource, error: FieldError) -> Vec<FieldError> {
    if resource.built_in.is_some() {
        vec![error]
    } else {
        vec![error.clone(), error]
    }
}

/// 422 for an object, by its kind.
pub(super) fn invalid(target: &Target, name: &str, errors: Vec<FieldError>) -> ApiError {
    // Events are checked as what they are stored as.
    let group = match target.resource.built_in {
        Some(BuiltIn::EventV1) => String::new(),
        _ => target.resource.group.clone(),
    };
    let subject = Subject {
        group,
        kind: target.resource.kind.clone(),
        name: name.to_owned(),
    };
    ApiError::Invalid { subject, errors }
}
