//! What a body has to be: of the right types, without fields that nobody knows, with its defaults.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::kubeapi::error::ApiError;
use crate::kubeapi::object;
use crate::kubeapi::registry::resource::{FOREGROUND, ORPHAN};
use crate::kubeapi::registry::{BuiltIn, Resource};
use crate::kubeapi::request::FieldValidation;

/// Warnings of unknown fields sent with one answer.
const MAX_WARNINGS: usize = 20;

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

pub(super) fn fill_defaults(resource: &Resource, object: &mut Value) {
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

/// What becomes of fields that a body has twice: refused or warned of, as asked.
pub(in crate::kubeapi) fn refuse_repeated(
    resource: &Resource,
    repeated: &[String],
    strictness: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    let texts = repeated.iter().map(|field| format!("duplicate field {field:?}"));
    as_asked(resource, texts.collect(), strictness)
}

/// What is wrong with fields, as warnings, as a refusal or not at all.
fn as_asked(
    resource: &Resource,
    texts: Vec<String>,
    strictness: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    match strictness {
        FieldValidation::Strict if !texts.is_empty() => {
            let why = format!("strict decoding error: {}", texts.join(", "));
            Err(cannot_handle(resource, &why))
        }
        FieldValidation::Warn => Ok(texts),
        FieldValidation::Strict | FieldValidation::Ignore => Ok(Vec::new()),
    }
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

pub(super) fn cannot_handle(resource: &Resource, why: &dyn std::fmt::Display) -> ApiError {
    let (kind, version) = (&resource.kind, &resource.version);
    ApiError::BadRequest(format!(
        "{kind} in version {version:?} cannot be handled as a {kind}: {}",
        in_go_words(&why.to_string())
    ))
}

/// Refuses or reports unknown fields, as asked.
fn refuse_unknown(
    resource: &Resource,
    unknown: Vec<String>,
    strictness: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    let texts = unknown
        .into_iter()
        .map(|field| format!("unknown field {field:?}"));
    let texts = as_asked(resource, texts.collect(), strictness)?;
    warnings.extend(texts.into_iter().take(MAX_WARNINGS));
    Ok(())
}
