//! What the server does with definitions on its own behalf: it accepts their names, establishes them, and empties those
//! that go. What the status becomes is decided in [`lifecycle`].

use std::sync::Arc;

use serde_json::Value;

use super::create::lock_definitions;
use super::write::{self, Commit};
use super::{Part, Target, draft};
use crate::kubeapi::api::Core;
use crate::kubeapi::error::ApiError;
use crate::kubeapi::object;
use crate::kubeapi::registry::{Resource, lifecycle};
use crate::kubeapi::request::WriteOptions;
use crate::kubeapi::storage::Expected;

/// The field manager of what the API server itself writes.
const SERVER: &str = "kube-apiserver";

/// Grants definitions the names that are free and establishes those that have theirs, until nothing changes. The caller
/// holds the lock on definitions, and `definitions` are all that are stored.
///
/// # Errors
/// When the database fails.
pub(crate) async fn settle_definitions(core: &Core, definitions: &mut [Value]) -> Result<(), ApiError> {
    let served = core.registry.served();
    let Some(resource) = served.find("apiextensions.k8s.io", "v1", "customresourcedefinitions") else {
        return Ok(());
    };
    // A definition that takes its new names frees the old ones for others. Each pass with a change settles one at least.
    for _ in 0..=definitions.len() {
        let mut changed = false;
        for index in 0..definitions.len() {
            let Some(old) = definitions
                .get(index)
                .filter(|stored| !object::is_terminating(stored) && !lifecycle::is_settled(stored))
            else {
                continue;
            };
            let taken = lifecycle::Taken::by_others(old, definitions, served.all());
            let mut new = old.clone();
            if !lifecycle::settle(&mut new, &taken, &core.time()) {
                continue;
            }
            if let Some(stored) = write_status(core, resource, old, new).await?
                && let Some(place) = definitions.get_mut(index)
            {
                *place = stored;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    Ok(())
}

/// Says on a definition that its objects are being deleted.
///
/// # Errors
/// When the database fails.
pub(crate) async fn say_that_objects_go(core: &Arc<Core>, target: &Target) -> Result<(), ApiError> {
    let _definitions = lock_definitions(core, target).await;
    let found = core.load(&target.resource, "", &target.name).await?;
    if let Some((old, _)) = found.filter(|(old, _)| !lifecycle::is_being_emptied(old)) {
        let mut new = old.clone();
        lifecycle::start_emptying(&mut new, &core.time());
        write_status(core, &target.resource, &old, new).await?;
    }
    Ok(())
}

/// Stores a status that the server decided; `None` when somebody else wrote in between.
async fn write_status(
    core: &Core,
    resource: &Arc<Resource>,
    old: &Value,
    mut new: Value,
) -> Result<Option<Value>, ApiError> {
    let target = Target {
        resource: Arc::clone(resource),
        namespace: String::new(),
        name: object::text(old, "name").to_owned(),
        part: Part::Status,
    };
    let options = WriteOptions {
        manager: SERVER.to_owned(),
        ..WriteOptions::default()
    };
    let Ok(revision) = object::text(old, "resourceVersion").parse() else {
        return Ok(None);
    };
    draft::track(core, &target, &options, Some(old), &mut new);
    match write::commit(
        core,
        &target,
        &options,
        Expected::Revision(revision),
        new,
        Vec::new(),
    )
    .await?
    {
        Commit::Done(written) => Ok(Some(written.object.into_value()?)),
        Commit::Lost => Ok(None),
    }
}
