//! `PATCH` in its four formats.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::create::{Tracking, create_locked, lock_definitions};
use super::update::{ATTEMPTS, attempt, update};
use super::{Part, Target, Written};
use super::{conform, draft, write};
use crate::api::schema::FieldError;
use crate::kubeapi::access;
use crate::kubeapi::api::Core;
use crate::kubeapi::apply::{self, ApplyError, ApplyRequest};
use crate::kubeapi::error::{ApiError, Subject};
use crate::kubeapi::object;
use crate::kubeapi::patch::{PatchError, json_patch, merge_patch, strategic_merge_patch};
use crate::kubeapi::request::{FieldValidation, PatchFormat, WriteOptions};
use crate::kubeapi::unmarshal;

/// Patches an object (or its status); apply creates it when it is not there.
///
/// # Errors
/// 404 when it is not there, 409 on a conflict, 400 and 422 when the patch or its result is not acceptable.
pub(crate) async fn patch(
    core: &Arc<Core>,
    target: &Target,
    format: PatchFormat,
    patch: Value,
    options: &WriteOptions,
) -> Result<Written, ApiError> {
    let mut definitions = lock_definitions(core, target).await;
    let resource = &target.resource;
    let unknown = match format {
        PatchFormat::Json => unknown_in_operations(&patch),
        PatchFormat::Apply | PatchFormat::Merge | PatchFormat::Strategic => Vec::new(),
    };
    let mut written = match format {
        PatchFormat::Apply => server_side_apply(core, target, patch, options).await?,
        PatchFormat::Json | PatchFormat::Merge | PatchFormat::Strategic => {
            attempt(core, target, options, Tracking::Update, |old| {
                let patched = match format {
                    PatchFormat::Json => json_patch(old, &patch),
                    PatchFormat::Strategic => strategic_merge_patch(old, &patch),
                    PatchFormat::Apply | PatchFormat::Merge => merge_patch(old, &patch),
                };
                let patched = patched.map_err(refused)?;
                let incoming = conform::patched(resource, &patched, &unknown, options.field_validation)
                    .map_err(|why| undecodable(format, &patch, &patched, why))?;
                let uid = object::text(&patched, "uid");
                if !uid.is_empty() && uid != object::text(old, "uid") {
                    let error = FieldError::invalid("metadata.uid", &uid.into(), "field is immutable");
                    return Err(draft::invalid(
                        target,
                        &target.name,
                        draft::twice(&target.resource, error),
                    ));
                }
                Ok(incoming)
            })
            .await?
        }
    };
    if let Some(cache) = &mut definitions {
        core.refresh_locked(cache).await?;
    }
    if options.field_validation == FieldValidation::Warn {
        written.warnings.splice(0..0, unknown);
    }
    Ok(written)
}

/// Fields of JSON patch operations that mean nothing.
fn unknown_in_operations(patch: &Value) -> Vec<String> {
    let operations = patch.as_array().into_iter().flatten().enumerate();
    let fields = operations.flat_map(|(index, operation)| {
        let names = operation.as_object().into_iter().flat_map(Map::keys);
        names.map(move |name| (index, name))
    });
    fields
        .filter(|(_, name)| !matches!(name.as_str(), "op" | "path" | "from" | "value"))
        .take(conform::MAX_WARNINGS)
        .map(|(index, name)| format!("json patch unknown field {:?}", format!("[{index}].{name}")))
        .collect()
}

/// 422 for a patch that makes something of an object that is none of its kind. The API server shows what it could not read.
fn undecodable(format: PatchFormat, patch: &Value, patched: &Value, why: String) -> ApiError {
    let (shown, why) = match format {
        PatchFormat::Strategic => (
            unmarshal::printed(patch),
            unmarshal::in_converter_words(patched, why),
        ),
        PatchFormat::Apply | PatchFormat::Json | PatchFormat::Merge => (patched.to_string(), why),
    };
    ApiError::Invalid {
        subject: Subject::default(),
        errors: vec![FieldError::invalid("patch", &Value::String(shown), &why)],
    }
}

fn refused(error: PatchError) -> ApiError {
    match error {
        PatchError::Malformed(message) => ApiError::BadRequest(message),
        PatchError::TooLarge(_) => ApiError::TooLarge(crate::kubeapi::request::MAX_BODY),
        PatchError::NotApplicable(_) => ApiError::Unprocessable(
            "the server rejected our request due to an error in our request".to_owned(),
        ),
    }
}

async fn server_side_apply(
    core: &Arc<Core>,
    target: &Target,
    mut applied: Value,
    options: &WriteOptions,
) -> Result<Written, ApiError> {
    let resource = &target.resource;
    let text = |field: &str| applied.get(field).and_then(Value::as_str).unwrap_or("");
    let (version, kind) = (text("apiVersion"), text("kind"));
    if version.is_empty() || kind != resource.kind {
        let version = if version.is_empty() { "/" } else { version };
        return Err(ApiError::BadRequest(format!(
            "invalid object type: {version}, Kind={kind}"
        )));
    }
    let namespace = object::text(&applied, "namespace").to_owned();
    draft::identify(target, &mut applied)?;
    // Of what was given, and told after what no decoder can read.
    let typed = apply::check_types(&applied, resource.types());
    let unknown = conform::prune(resource, &mut applied)?;
    typed.map_err(|error| not_applied(target, &namespace, error))?;
    if let Some(field) = unknown.first() {
        // Whatever field validation says: what is not in the schema has no owner.
        let why = format!(".{field}: field not declared in schema");
        return Err(not_applied(target, &namespace, ApplyError::Malformed(why)));
    }
    let api_version = resource.api_version();
    for _ in 0..ATTEMPTS {
        let found = core.load(resource, &target.namespace, &target.name).await?;
        let merged = apply::apply(&ApplyRequest {
            live: found.as_ref().map(|(old, _)| old),
            config: &applied,
            types: resource.types(),
            manager: &options.manager,
            api_version: &api_version,
            subresource: target.part.subresource(),
            reset: draft::reset_fields(target),
            force: options.force,
            now: core.now(),
        });
        let merged = merged.map_err(|error| not_applied(target, &namespace, error))?;
        let written = match found {
            None if target.part != Part::Main => return Err(ApiError::NotFound(target.subject())),
            None if !object::text(&applied, "uid").is_empty() => {
                let why = format!(
                    "uid mismatch: the provided object specified uid {}, and no existing object was found",
                    object::text(&applied, "uid")
                );
                return Err(ApiError::Conflict {
                    subject: target.subject(),
                    why,
                });
            }
            None => {
                access::may_create(core, target, options.author.as_deref()).await?;
                match create_locked(core, target, unread(merged), options, Tracking::Applied).await {
                    Ok(written) => Some(written),
                    // Somebody else was faster: apply to what they made.
                    Err(ApiError::AlreadyExists(_) | ApiError::BeingDeleted(_)) => None,
                    Err(error) => return Err(error),
                }
            }
            Some((old, revision)) => {
                update(
                    core,
                    target,
                    options,
                    Tracking::Applied,
                    &old,
                    revision,
                    merged.into(),
                )
                .await?
            }
        };
        if let Some(written) = written {
            return Ok(written);
        }
    }
    Err(write::overtaken(target, &target.name))
}

/// An applied object that is not there is made whatever revision the applier has seen.
fn unread(mut object: Value) -> Value {
    object::set(&mut object, "resourceVersion", None);
    object
}

/// `namespace` is the one that the configuration names itself.
fn not_applied(target: &Target, namespace: &str, error: ApplyError) -> ApiError {
    let message = error.to_string();
    match error {
        ApplyError::Conflict(conflicts) => {
            let causes = conflicts
                .into_iter()
                .map(|conflict| (conflict.field, conflict.message))
                .collect();
            ApiError::ApplyConflict { message, causes }
        }
        ApplyError::BadRequest(_) => ApiError::BadRequest(message),
        ApplyError::Malformed(why) => {
            let (name, resource) = (&target.name, &target.resource);
            let version = format!("{}/{}", resource.group, resource.version);
            ApiError::Unexplained(format!(
                "failed to create typed patch object ({namespace}/{name}; {version}, Kind={}): {why}",
                resource.kind
            ))
        }
    }
}
