//! Writing: an object is stored, or removed, if nobody else has written in between.

use http::StatusCode;
use serde_json::Value;

use super::{Answer, Target, Written, subject};
use crate::kubeapi::api::Core;
use crate::kubeapi::error::ApiError;
use crate::kubeapi::object;
use crate::kubeapi::registry::{BuiltIn, Resource};
use crate::kubeapi::request::WriteOptions;
use crate::kubeapi::storage::{Change, Expected, Outcome, Write};

/// Seconds an Event is kept.
const EVENT_TTL: i64 = 3600;

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
    if resource.serves_verbatim(change.revision) {
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
