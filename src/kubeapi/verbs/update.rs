//! `PUT`, and the part of every change that comes after the new object is known.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::conform::Incoming;
use super::create::{Tracking, lock_definitions};
use super::write::{self, Commit};
use super::{Answer, Part, Target, Written};
use super::{conform, draft};
use crate::api::schema::FieldError;
use crate::kubeapi::access;
use crate::kubeapi::api::Core;
use crate::kubeapi::error::ApiError;
use crate::kubeapi::object;
use crate::kubeapi::registry::BuiltIn;
use crate::kubeapi::request::WriteOptions;
use crate::kubeapi::storage::Expected;

/// Times a change is made anew after somebody else wrote first.
pub(super) const ATTEMPTS: usize = 16;

/// Replaces an object (or its status).
///
/// # Errors
/// 404 when it is not there, 409 when `resourceVersion` or `uid` differ, 400 and 422 when it is not acceptable.
pub(crate) async fn replace(
    core: &Arc<Core>,
    target: &Target,
    mut object: Value,
    options: &WriteOptions,
) -> Result<Written, ApiError> {
    if object::text(&object, "name").is_empty() {
        return Err(ApiError::BadRequest(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            target.name
        )));
    }
    draft::identify(target, &mut object)?;
    let resource = &target.resource;
    if object::text(&object, "resourceVersion").is_empty()
        && resource.built_in.is_none_or(BuiltIn::needs_revision)
    {
        if core
            .load(resource, &target.namespace, &target.name)
            .await?
            .is_none()
        {
            return Err(ApiError::NotFound(target.subject()));
        }
        let detail = "must be specified for an update";
        let error = FieldError::invalid("metadata.resourceVersion", &json!(0), detail);
        return Err(ApiError::Invalid {
            subject: target.subject(),
            errors: vec![error],
        });
    }
    let mut definitions = lock_definitions(core, target).await;
    let written = attempt(core, target, options, Tracking::Update, |_| {
        Ok(object.clone().into())
    })
    .await?;
    if let Some(cache) = &mut definitions {
        core.refresh_locked(cache).await?;
    }
    Ok(written)
}

/// Changes an object on the server's own behalf (garbage collection).
///
/// # Errors
/// As [`replace`].
pub(crate) async fn rewrite(
    core: &Arc<Core>,
    target: &Target,
    change: impl Fn(&mut Value) + Send + Sync,
) -> Result<Written, ApiError> {
    let options = WriteOptions {
        manager: "provost".to_owned(),
        ..WriteOptions::default()
    };
    let mut definitions = lock_definitions(core, target).await;
    let written = attempt(core, target, &options, Tracking::Applied, |old| {
        let mut new = old.clone();
        change(&mut new);
        Ok(new.into())
    })
    .await?;
    if let Some(cache) = &mut definitions {
        core.refresh_locked(cache).await?;
    }
    Ok(written)
}

/// Loads, changes and commits until nobody else was faster.
pub(super) async fn attempt(
    core: &Arc<Core>,
    target: &Target,
    options: &WriteOptions,
    tracking: Tracking,
    change: impl Fn(&Value) -> Result<Incoming, ApiError> + Send + Sync,
) -> Result<Written, ApiError> {
    for _ in 0..ATTEMPTS {
        let found = core
            .load(&target.resource, &target.namespace, &target.name)
            .await?;
        let (old, revision) = found.ok_or_else(|| ApiError::NotFound(target.subject()))?;
        let new = change(&old)?;
        if let Some(written) = update(core, target, options, tracking, &old, revision, new).await? {
            return Ok(written);
        }
    }
    Err(write::overtaken(target, &target.name))
}

/// One try: `None` when somebody else wrote in between and the caller did not insist on a revision.
pub(super) async fn update(
    core: &Arc<Core>,
    target: &Target,
    options: &WriteOptions,
    tracking: Tracking,
    old: &Value,
    revision: i64,
    mut incoming: Incoming,
) -> Result<Option<Written>, ApiError> {
    let mut warnings = Vec::new();
    draft::identify(target, &mut incoming.object)?;
    check_preconditions(target, old, &incoming.object)?;
    let mut new = conform::conform(
        &target.resource,
        incoming,
        options.field_validation,
        &mut warnings,
    )?;
    access::may_grant(core, target, options.author.as_deref(), &new, Some(old)).await?;
    draft::carry_over(target, old, &mut new)?;
    if target.part == Part::Main {
        draft::derive(&target.resource, &mut new, Some(old));
    }
    if tracking == Tracking::Update {
        draft::track(core, target, options, Some(old), &mut new);
    }
    let current = object::metadata(old).and_then(|metadata| metadata.get("resourceVersion").cloned());
    object::set(&mut new, "resourceVersion", current);
    if write::is_same(old, &new) {
        return Ok(Some(Written {
            code: StatusCode::OK,
            object: Answer::Value(old.clone()),
            warnings,
        }));
    }
    draft::validate(target, &new, Some(old))?;
    conform::warn_of_finalizers(&target.resource, &new, Some(old), &mut warnings);
    if object::is_terminating(&new)
        && object::finalizers(&new).is_empty()
        && is_finalized(&target.resource, &new)
    {
        if options.dry_run {
            return Ok(Some(Written {
                code: StatusCode::OK,
                object: Answer::Value(new),
                warnings,
            }));
        }
        // The answer is the object as it was when it went: its removal is a revision of the log, not of the object.
        let last = new.clone();
        let removed = write::remove(core, target, revision, new).await?;
        return Ok(removed.map(|_| Written {
            code: StatusCode::OK,
            object: Answer::Value(last),
            warnings,
        }));
    }
    match write::commit(core, target, options, Expected::Revision(revision), new, warnings).await? {
        Commit::Done(written) => Ok(Some(written)),
        Commit::Lost => Ok(None),
    }
}

/// Namespaces have finalizers of their own.
fn is_finalized(resource: &crate::kubeapi::registry::Resource, object: &Value) -> bool {
    resource.built_in != Some(BuiltIn::Namespace)
        || object::strings(object::at(object, "spec.finalizers")).is_empty()
}

fn check_preconditions(target: &Target, old: &Value, new: &Value) -> Result<(), ApiError> {
    let (asked, found) = (object::text(new, "uid"), object::text(old, "uid"));
    if !asked.is_empty() && asked != found {
        let Target {
            resource,
            namespace,
            name,
            ..
        } = target;
        let group = if resource.built_in.is_some() {
            String::new()
        } else {
            format!("{}/", resource.group)
        };
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{group}{}/{namespace}/{name}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: {asked}, UID in object meta: {found}",
            resource.plural
        );
        return Err(ApiError::Conflict {
            subject: target.subject(),
            why,
        });
    }
    let asked = object::text(new, "resourceVersion");
    if !asked.is_empty() && asked.parse::<u64>().is_err() {
        return Err(ApiError::Unexplained(format!(
            "strconv.ParseUint: parsing {asked:?}: invalid syntax"
        )));
    }
    if !asked.is_empty() && asked != object::text(old, "resourceVersion") {
        return Err(write::overtaken(target, &target.name));
    }
    Ok(())
}
