//! What a body has to be: of the right types, without fields that nobody knows, with its defaults.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::kubeapi::error::ApiError;
use crate::kubeapi::object;
use crate::kubeapi::registry::Resource;
use crate::kubeapi::registry::resource::{FOREGROUND, ORPHAN};
use crate::kubeapi::request::FieldValidation;
use crate::kubeapi::unmarshal;

/// Warnings of unknown fields sent with one answer.
pub(super) const MAX_WARNINGS: usize = 20;

/// A new object on its way.
pub(super) struct Incoming {
    pub(super) object: Value,
    /// The fields that nobody knows and that were dropped, where its types have been checked.
    dropped: Option<Vec<String>>,
}

impl From<Value> for Incoming {
    /// As it came: of whatever types.
    fn from(object: Value) -> Self {
        Self {
            object,
            dropped: None,
        }
    }
}

/// Checks types, drops unknown fields (or refuses them) and fills in defaults.
pub(super) fn conform(
    resource: &Resource,
    incoming: Incoming,
    strictness: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<Value, ApiError> {
    let Incoming { mut object, dropped } = incoming;
    let unknown = match dropped {
        Some(dropped) => dropped,
        None => prune(resource, &mut object)?,
    };
    refuse_unknown(resource, &unknown, strictness, warnings)?;
    tidy(&mut object, warnings);
    fill_defaults(resource, &mut object);
    Ok(object)
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
    decode(resource, object).map_err(|why| cannot_handle(resource, &why))
}

/// The same; what the types refuse is told in words.
fn decode(resource: &Resource, object: &mut Value) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    let known = match resource.built_in {
        Some(built_in) => built_in.round_trip(object),
        None => metadata_round_trip(object).map(Some),
    };
    let known = known.map_err(|error| {
        unmarshal::problem(resource, object).unwrap_or_else(|| unmarshal::in_go_words(&error.to_string()))
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

/// What a strict decoder says.
fn strictly(texts: &[String]) -> String {
    format!("strict decoding error: {}", texts.join(", "))
}

/// What is wrong with fields, as warnings, as a refusal or not at all.
fn as_asked(
    resource: &Resource,
    texts: Vec<String>,
    strictness: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    match strictness {
        FieldValidation::Strict if !texts.is_empty() => Err(cannot_handle(resource, &strictly(&texts))),
        FieldValidation::Warn => Ok(texts),
        FieldValidation::Strict | FieldValidation::Ignore => Ok(Vec::new()),
    }
}

/// A patched object, of the right types. `also` is what was wrong with the patch itself.
///
/// # Errors
/// Why it is none of its kind: wrong types or, where unknown fields are refused, such fields.
pub(super) fn patched(
    resource: &Resource,
    patched: &Value,
    also: &[String],
    strictness: FieldValidation,
) -> Result<Incoming, String> {
    let mut object = patched.clone();
    let dropped = decode(resource, &mut object)?;
    if strictness == FieldValidation::Strict {
        let unknown = dropped.iter().map(|field| unknown_field(field));
        let texts: Vec<String> = also.iter().cloned().chain(unknown).collect();
        if !texts.is_empty() {
            return Err(strictly(&texts));
        }
    }
    Ok(Incoming {
        object,
        dropped: Some(dropped),
    })
}

fn unknown_field(field: &str) -> String {
    format!("unknown field {field:?}")
}

pub(super) fn cannot_handle(resource: &Resource, why: &dyn std::fmt::Display) -> ApiError {
    let (kind, version) = (&resource.kind, &resource.version);
    ApiError::BadRequest(format!(
        "{kind} in version {version:?} cannot be handled as a {kind}: {why}"
    ))
}

/// Refuses or reports unknown fields, as asked.
fn refuse_unknown(
    resource: &Resource,
    unknown: &[String],
    strictness: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    let texts = unknown.iter().map(|field| unknown_field(field));
    let texts = as_asked(resource, texts.collect(), strictness)?;
    warnings.extend(texts.into_iter().take(MAX_WARNINGS));
    Ok(())
}
