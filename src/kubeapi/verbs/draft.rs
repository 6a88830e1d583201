//! The steps every write shares, on an object that is about to be stored.

use std::fmt::Write as _;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Answer, Part, Target, Written, subject};
use crate::api::schema::{FieldError, FieldErrorKind};
use crate::kubeapi::access;
use crate::kubeapi::api::Core;
use crate::kubeapi::apply::{self, ResetFields, TrackRequest};
use crate::kubeapi::error::{ApiError, Subject};
use crate::kubeapi::object;
use crate::kubeapi::registry::resource::{FOREGROUND, ORPHAN};
use crate::kubeapi::registry::{BuiltIn, Resource};
use crate::kubeapi::request::{FieldValidation, WriteOptions};
use crate::kubeapi::storage::{Change, Expected, Outcome, Write};
use crate::kubeapi::validation;

/// Seconds an Event is kept.
const EVENT_TTL: i64 = 3600;
/// Warnings sent with one answer.
const MAX_WARNINGS: usize = 20;

/// Refuses an object that is not of this resource, namespace and name; fills in what it leaves out.
pub(super) fn identify(target: &Target, object: &mut Value) -> Result<(), ApiError> {
    let resource = &target.resource;
    let (api_version, kind) = (resource.api_version(), resource.kind.clone());
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

/// Checks types, drops unknown fields (or refuses them) and fills in defaults.
pub(super) fn conform(
    resource: &Resource,
    object: &mut Value,
    strictness: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    refuse_unknown(resource, prune(resource, object)?, strictness, warnings)?;
    tidy(object, warnings);
    fill_defaults(resource, object);
    Ok(())
}

/// Metadata as its type writes it: without empty maps and lists, each owner once. Says what clients should mend.
fn tidy(object: &mut Value, warnings: &mut Vec<String>) {
    let Some(metadata) = object::metadata_mut(object) else {
        return;
    };
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let empty = match metadata.get(field) {
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(fields)) => fields.is_empty(),
            _ => false,
        };
        if empty {
            metadata.remove(field);
        }
    }
    if let Some(Value::Array(owners)) = metadata.get_mut("ownerReferences") {
        let (mut seen, mut twice) = (Vec::new(), Vec::new());
        owners.retain(|owner| {
            let new = !seen.contains(owner);
            if new {
                seen.push(owner.clone());
            } else {
                twice.extend(owner.get("uid").and_then(Value::as_str).map(ToOwned::to_owned));
            }
            new
        });
        if !twice.is_empty() {
            warnings.push(format!(
                ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and \
                 may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
                twice.join(", ")
            ));
        }
    }
}

/// Warns of finalizers that custom resources should not have.
pub(super) fn warn_of_finalizers(
    resource: &Resource,
    object: &Value,
    old: Option<&Value>,
    warnings: &mut Vec<String>,
) {
    const STANDARD: [&str; 3] = ["kubernetes", FOREGROUND, ORPHAN];
    if resource.built_in.is_some() {
        return;
    }
    let before = old.map(object::finalizers).unwrap_or_default();
    for finalizer in object::finalizers(object) {
        if !finalizer.contains('/') && !STANDARD.contains(&finalizer.as_str()) && !before.contains(&finalizer)
        {
            warnings.push(format!(
                "metadata.finalizers: {finalizer:?}: prefer a domain-qualified finalizer name to avoid accidental \
                 conflicts with other finalizer writers"
            ));
        }
    }
}

fn fill_defaults(resource: &Resource, object: &mut Value) {
    if let Some(schema) = &resource.schema {
        schema.default(object);
    }
}

/// Drops what the schema does not know and says what that was.
pub(super) fn prune(resource: &Resource, object: &mut Value) -> Result<Vec<String>, ApiError> {
    let mut unknown = Vec::new();
    let known = match resource.built_in {
        Some(built_in) => built_in.round_trip(object),
        None => metadata_round_trip(object).map(Some),
    };
    let known = known.map_err(|error| match not_text(resource, object) {
        Some(why) => cannot_handle(resource, &why),
        None => cannot_handle(resource, &error),
    })?;
    if let Some(known) = known {
        match resource.built_in {
            Some(_) => drop_unknown(object, &known, &mut String::new(), &mut unknown),
            None => {
                if let Some(metadata) = object.get_mut("metadata") {
                    drop_unknown(metadata, &known, &mut "metadata".to_owned(), &mut unknown);
                }
            }
        }
    }
    if let Some(schema) = &resource.schema {
        unknown.extend(schema.prune(object));
    }
    Ok(unknown)
}

fn metadata_round_trip(object: &Value) -> Result<Value, serde_json::Error> {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    let empty = Value::Object(Map::new());
    let metadata: ObjectMeta = serde::Deserialize::deserialize(object.get("metadata").unwrap_or(&empty))?;
    serde_json::to_value(metadata)
}

/// Removes from `found` what `known` does not have. Recursion is bounded by the depth of the body.
fn drop_unknown(found: &mut Value, known: &Value, path: &mut String, unknown: &mut Vec<String>) {
    let length = path.len();
    match (found, known) {
        (Value::Object(found), Value::Object(known)) => found.retain(|key, value| {
            path.truncate(length);
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(key);
            if let Some(known) = known.get(key) {
                drop_unknown(value, known, path, unknown);
                return true;
            }
            if !value.is_null() {
                unknown.push(path.clone());
            }
            false
        }),
        (Value::Array(found), Value::Array(known)) => {
            for (index, (found, known)) in found.iter_mut().zip(known).enumerate() {
                path.truncate(length);
                let _ = write!(path, "[{index}]");
                drop_unknown(found, known, path, unknown);
            }
        }
        _ => {}
    }
    path.truncate(length);
}

/// Data that is no text, where people meet it, in the words of the API server.
fn not_text(resource: &Resource, object: &Value) -> Option<String> {
    ["data", "stringData", "binaryData"]
        .into_iter()
        .find_map(|field| {
            let mut values = object.get(field)?.as_object()?.values();
            let found = values.find_map(|value| match value {
                Value::Bool(_) => Some("bool"),
                Value::Number(_) => Some("number"),
                Value::Array(_) => Some("array"),
                Value::Object(_) => Some("object"),
                Value::Null | Value::String(_) => None,
            })?;
            let wanted = match (resource.built_in, field) {
                (Some(BuiltIn::Secret), "data") | (_, "binaryData") => "[]uint8",
                _ => "string",
            };
            let kind = &resource.kind;
            Some(format!(
                "json: cannot unmarshal {found} into Go struct field {kind}.{field} of type {wanted}"
            ))
        })
}

/// What is not base64, in the words of the API server.
fn in_go_words(why: &str) -> String {
    match why.split_once(", offset ") {
        Some((start, offset)) if start.starts_with("Invalid symbol") => {
            format!(
                "illegal base64 data at input byte {}",
                offset.trim_end_matches('.')
            )
        }
        _ => why.to_owned(),
    }
}

fn cannot_handle(resource: &Resource, why: &dyn std::fmt::Display) -> ApiError {
    let (kind, version) = (&resource.kind, &resource.version);
    ApiError::BadRequest(format!(
        "{kind} in version {version:?} cannot be handled as a {kind}: {}",
        in_go_words(&why.to_string())
    ))
}

/// Refuses or reports unknown fields, as asked.
pub(super) fn refuse_unknown(
    resource: &Resource,
    unknown: Vec<String>,
    strictness: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    if unknown.is_empty() {
        return Ok(());
    }
    let mut texts = unknown
        .into_iter()
        .map(|field| format!("unknown field {field:?}"));
    match strictness {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => warnings.extend(texts.by_ref().take(MAX_WARNINGS)),
        FieldValidation::Strict => {
            let texts: Vec<_> = texts.collect();
            let why = format!("strict decoding error: {}", texts.join(", "));
            return Err(cannot_handle(resource, &why));
        }
    }
    Ok(())
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
pub(super) fn derive(core: &Core, resource: &Resource, new: &mut Value, old: Option<&Value>) {
    match resource.built_in {
        Some(BuiltIn::Definition) => {
            crate::kubeapi::registry::definition::default(new);
            if !object::is_terminating(new) {
                let clash = core.clash(new);
                crate::kubeapi::registry::definition::set_status(new, clash.as_ref(), &core.time());
            }
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
        now: core.now(),
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
    let subject = Subject {
        group: target.resource.group.clone(),
        kind: target.resource.kind.clone(),
        name: name.to_owned(),
    };
    ApiError::Invalid { subject, errors }
}

/// Whether a write would change nothing but the times of field managers.
pub(super) fn is_same(old: &Value, new: &Value) -> bool {
    let comparable = |object: &Value| {
        let mut object = object.clone();
        object::set(&mut object, "resourceVersion", None);
        let managers =
            object::metadata_mut(&mut object).and_then(|metadata| metadata.get_mut("managedFields"));
        for manager in managers.and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(manager) = manager.as_object_mut() {
                manager.remove("time");
            }
        }
        object
    };
    comparable(old) == comparable(new)
}

/// How a commit ended.
pub(super) enum Commit {
    Done(Written),
    /// Somebody else wrote in between.
    Lost,
}

/// Stores `object` (in the version of the target) if the row is as expected.
pub(super) async fn commit(
    core: &Core,
    target: &Target,
    options: &WriteOptions,
    expected: Expected,
    mut object: Value,
    warnings: Vec<String>,
) -> Result<Commit, ApiError> {
    let resource = &target.resource;
    let status = match expected {
        Expected::Absent => StatusCode::CREATED,
        Expected::Revision(_) => StatusCode::OK,
    };
    if options.dry_run {
        return Ok(Commit::Done(Written {
            code: status,
            object: Answer::Value(object),
            warnings,
        }));
    }
    resource.to_stored(&mut object);
    let size = serde_json::to_vec(&object).map_or(usize::MAX, |body| body.len());
    if size > object::MAX_OBJECT {
        return Err(ApiError::TooLarge(object::MAX_OBJECT));
    }
    let is_event = matches!(resource.built_in, Some(BuiltIn::Event | BuiltIn::EventV1));
    let write = Write::Put {
        key: resource.key(&target.namespace, object::text(&object, "name")),
        expected,
        facets: resource.facets(&object),
        expires: is_event.then(|| core.now().as_second() + EVENT_TTL),
        sealed: resource.is_sealed(),
        object,
    };
    match core.storage.write(write).await? {
        Outcome::Committed(change) => Ok(Commit::Done(Written {
            code: status,
            object: answer(resource, &change)?,
            warnings,
        })),
        Outcome::Mismatch(_) => Ok(Commit::Lost),
    }
}

/// Removes `object` if its revision is still `revision`; gives its last state.
pub(super) async fn remove(
    core: &Core,
    target: &Target,
    revision: i64,
    mut object: Value,
) -> Result<Option<Answer>, ApiError> {
    let resource = &target.resource;
    resource.to_stored(&mut object);
    let key = resource.key(&target.namespace, object::text(&object, "name"));
    let write = Write::Remove {
        key,
        revision,
        object,
        sealed: resource.is_sealed(),
    };
    match core.storage.write(write).await? {
        Outcome::Committed(change) => Ok(Some(answer(resource, &change)?)),
        Outcome::Mismatch(_) => Ok(None),
    }
}

fn answer(resource: &Resource, change: &Change) -> Result<Answer, ApiError> {
    if resource.serves_verbatim() {
        return Ok(Answer::Bytes(change.body.clone()));
    }
    let mut object: Value =
        serde_json::from_slice(&change.body).map_err(|error| ApiError::Internal(error.to_string()))?;
    resource.to_served(&mut object);
    Ok(Answer::Value(object))
}

/// 409 for a write that somebody else overtook.
pub(super) fn overtaken(target: &Target, name: &str) -> ApiError {
    ApiError::Conflict {
        subject: subject(&target.resource, name),
        why: "the object has been modified; please apply your changes to the latest version and try again"
            .to_owned(),
    }
}
