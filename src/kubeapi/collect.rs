//! Work that follows from writes: dependents of deleted owners, contents of deleted namespaces and definitions, and
//! events whose time has passed.
//!
//! What is to do is read from the database each time, so that nothing is lost when the process ends in between; the
//! feed only says when to look.

use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use super::api::{Core, parse};
use super::error::ApiError;
use super::object;
use super::registry::BuiltIn;
use super::registry::definition::CLEANUP_FINALIZER;
use super::registry::resource::{FOREGROUND, ORPHAN};
use super::storage::{Key, PageRequest};
use super::verbs::{DeleteOptions, Part, Target, delete, finish_namespace, rewrite, say_that_objects_go};

/// Longest time between two looks, for what only time brings about.
const INTERVAL: Duration = Duration::from_secs(30);
/// Shortest time between two looks: a burst of writes is looked at once.
const PAUSE: Duration = Duration::from_millis(20);
/// Time after a failed look.
const RETRY: Duration = Duration::from_secs(1);
/// Objects deleted in one step.
const STEP: usize = 200;

/// Collects until `stop`, or until the API is dropped.
pub(super) async fn run(core: Weak<Core>, stop: CancellationToken, mut head: Receiver<i64>) {
    loop {
        let Some(strong) = core.upgrade() else { return };
        head.borrow_and_update();
        let (wait, pause) = match look(&strong).await {
            Ok(()) => (INTERVAL, PAUSE),
            Err(error) => {
                tracing::warn!(%error, "garbage collection in the embedded Kubernetes API will be tried again");
                (RETRY, RETRY)
            }
        };
        drop(strong);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = head.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One look at everything that may be left to do.
async fn look(core: &Arc<Core>) -> Result<(), ApiError> {
    for key in core.storage.expired(core.now().as_second()).await? {
        if let Some(target) = target(core, &key) {
            gone(delete(core, &target, &DeleteOptions::default()).await)?;
        }
    }
    let mut after = 0;
    loop {
        let held = core.storage.held(after).await?;
        let Some((last, _)) = held.last() else {
            return Ok(());
        };
        after = *last;
        for (id, key) in held {
            advance(core, id, &key).await?;
        }
    }
}

fn target(core: &Core, key: &Key) -> Option<Target> {
    let resource = core.registry.served().by_storage(&key.resource)?.clone();
    Some(Target {
        resource,
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        part: Part::Main,
    })
}

/// A deletion that found nothing has nothing left to do.
fn gone<T>(result: Result<T, ApiError>) -> Result<(), ApiError> {
    match result {
        Ok(_) | Err(ApiError::NotFound(_) | ApiError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes the next step for one object.
async fn advance(core: &Arc<Core>, id: i64, key: &Key) -> Result<(), ApiError> {
    let Some(target) = target(core, key) else {
        return Ok(());
    };
    let Some((found, revision)) = core.load(&target.resource, &key.namespace, &key.name).await? else {
        return Ok(());
    };
    if !object::is_terminating(&found) {
        return without_owner(core, &target, &found, id, revision).await;
    }
    let finalizers = object::finalizers(&found);
    let has = |finalizer: &str| finalizers.iter().any(|found| found == finalizer);
    if target.resource.built_in == Some(BuiltIn::Namespace) {
        if empty_namespace(core, &key.name).await? {
            finish_namespace(core, &target).await?;
        }
    } else if has(CLEANUP_FINALIZER) && target.resource.built_in == Some(BuiltIn::Definition) {
        say_that_objects_go(core, &target).await?;
        if empty_definition(core, &found).await? {
            drop_finalizer(core, &target, CLEANUP_FINALIZER).await?;
        }
    } else if has(FOREGROUND) {
        if delete_dependents(core, &found).await? {
            drop_finalizer(core, &target, FOREGROUND).await?;
        }
    } else if has(ORPHAN) {
        release_dependents(core, &found).await?;
        drop_finalizer(core, &target, ORPHAN).await?;
    } else {
        core.storage.release(id, revision).await?;
    }
    Ok(())
}

async fn drop_finalizer(core: &Arc<Core>, target: &Target, finalizer: &str) -> Result<(), ApiError> {
    let dropped = rewrite(core, target, |object| {
        let mut finalizers = object::finalizers(object);
        finalizers.retain(|found| found != finalizer);
        object::set_finalizers(object, finalizers);
    });
    gone(dropped.await)
}

/// Deletes what is in a namespace; true when nothing is left.
async fn empty_namespace(core: &Arc<Core>, namespace: &str) -> Result<bool, ApiError> {
    let contents = core.storage.in_namespace(namespace.to_owned(), STEP).await?;
    for key in &contents {
        if let Some(target) = target(core, key) {
            gone(delete(core, &target, &DeleteOptions::default()).await)?;
        }
    }
    Ok(contents.is_empty()
        || core
            .storage
            .in_namespace(namespace.to_owned(), 1)
            .await?
            .is_empty())
}

/// Deletes the objects of a definition; true when nothing is left.
async fn empty_definition(core: &Arc<Core>, definition: &Value) -> Result<bool, ApiError> {
    let name = object::text(definition, "name");
    let first = |limit| PageRequest {
        resource: name.into(),
        namespace: None,
        after: None,
        limit,
        filter: None,
    };
    let page = core.storage.page(first(STEP)).await?;
    for row in &page.rows {
        let key = Key {
            resource: name.into(),
            namespace: row.namespace.clone(),
            name: row.name.clone(),
        };
        if let Some(target) = target(core, &key) {
            gone(delete(core, &target, &DeleteOptions::default()).await)?;
        }
    }
    Ok(page.rows.is_empty() || core.storage.page(first(1)).await?.rows.is_empty())
}

/// Deletes the dependents of an owner; true when none is left that holds it.
async fn delete_dependents(core: &Arc<Core>, owner: &Value) -> Result<bool, ApiError> {
    let uid = object::text(owner, "uid");
    let mut free = true;
    for key in core.storage.dependents(uid.to_owned()).await? {
        let Some(target) = target(core, &key) else {
            continue;
        };
        gone(delete(core, &target, &DeleteOptions::default()).await)?;
        if let Some(stored) = core.storage.load(key).await? {
            free &= !blocks(&parse(&stored)?, uid);
        }
    }
    Ok(free)
}

fn blocks(dependent: &Value, owner: &str) -> bool {
    let references =
        object::metadata(dependent).and_then(|metadata| metadata.get("ownerReferences")?.as_array());
    references.into_iter().flatten().any(|reference| {
        reference.get("uid").and_then(Value::as_str) == Some(owner)
            && reference.get("blockOwnerDeletion") == Some(&Value::Bool(true))
    })
}

/// Makes the dependents of an owner forget it.
async fn release_dependents(core: &Arc<Core>, owner: &Value) -> Result<(), ApiError> {
    let uid = object::text(owner, "uid").to_owned();
    for key in core.storage.dependents(uid.clone()).await? {
        if let Some(target) = target(core, &key) {
            forget_owners(core, &target, std::slice::from_ref(&uid)).await?;
        }
    }
    Ok(())
}

async fn forget_owners(core: &Arc<Core>, target: &Target, owners: &[String]) -> Result<(), ApiError> {
    let forgotten = rewrite(core, target, |object| {
        let Some(metadata) = object::metadata_mut(object) else {
            return;
        };
        let Some(Value::Array(references)) = metadata.get_mut("ownerReferences") else {
            return;
        };
        references.retain(|reference| {
            let uid = reference.get("uid").and_then(Value::as_str).unwrap_or("");
            !owners.iter().any(|owner| owner == uid)
        });
        if references.is_empty() {
            metadata.remove("ownerReferences");
        }
    });
    gone(forgotten.await)
}

/// Deletes an object none of whose owners exist; makes one that still has an owner forget the others.
async fn without_owner(
    core: &Arc<Core>,
    target: &Target,
    found: &Value,
    id: i64,
    revision: i64,
) -> Result<(), ApiError> {
    let owners = object::owner_uids(found);
    let mut missing = Vec::new();
    for owner in &owners {
        if !core.storage.uid_exists(owner.clone()).await? {
            missing.push(owner.clone());
        }
    }
    if missing.is_empty() {
        core.storage.release(id, revision).await?;
    } else if missing.len() == owners.len() {
        let options = DeleteOptions {
            uid: Some(object::text(found, "uid").to_owned()),
            ..DeleteOptions::default()
        };
        gone(delete(core, target, &options).await)?;
    } else {
        forget_owners(core, target, &missing).await?;
    }
    Ok(())
}
