//! Applying a revision, whole: guards first, then a dry run of everything, then the changes, then the removals.

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::api::git_source::InventoryEntry;
use crate::api::{GitSource, names};
use crate::controllers::Context;
use crate::controllers::error::{Class, classify, is_not_found};
use crate::controllers::fleet::device_status::whole_second;
use crate::gitops::Finding;
use crate::gitops::plan::{Decision, PrunePolicy, SyncPlan, plan};
use crate::gitops::read::{Document, Documents};

use super::Error;
use super::status::{About, Ended};

/// Applies `documents` and removes what they no longer hold, or says why not.
///
/// # Errors
/// When the API fails on the way. The inventory in the status then names everything that may exist.
pub(super) async fn apply(
    context: &Context,
    source: &GitSource,
    about: About,
    documents: &Documents,
) -> Result<Ended, Error> {
    let status = source.status.clone().unwrap_or_default();
    let policy = PrunePolicy {
        enabled: source.spec.prune,
        limit_percent: source.spec.prune_limit_percent,
        allowed_revision: source
            .annotations()
            .get(names::ALLOW_PRUNE_ANNOTATION)
            .map(String::as_str),
    };
    let plan = match plan(&status.inventory, documents, &about.revision, policy) {
        Decision::Proceed(plan) => plan,
        Decision::Wait(reason) => {
            return Ok(Ended::Waiting {
                about,
                reason: reason.to_string(),
            });
        }
    };
    let objects = match prepare(context, source, &about, &plan).await? {
        Ok(objects) => objects,
        Err(findings) => return Ok(Ended::Refused { about, findings }),
    };
    if let Some(refused) = send_all(&objects, true).await? {
        return Ok(Ended::ApplyFailed {
            about,
            message: refused,
        });
    }
    if plan.inventory_while_applying != status.inventory {
        note_inventory(context, source, &plan.inventory_while_applying).await?;
    }
    if let Some(refused) = send_all(&objects, false).await? {
        return Ok(Ended::ApplyFailed {
            about,
            message: refused,
        });
    }
    prune(context, source, &plan.prune).await?;
    let summary = plan.to_string();
    Ok(Ended::Applied {
        about,
        inventory: plan.inventory,
        other: documents.other_documents,
        summary,
    })
}

/// One object, ready to be applied.
struct Prepared {
    api: Api<DynamicObject>,
    name: String,
    place: String,
    body: Value,
}

/// Puts labels and annotations on, and refuses what belongs to another source.
async fn prepare(
    context: &Context,
    source: &GitSource,
    about: &About,
    plan: &SyncPlan<'_>,
) -> Result<Result<Vec<Prepared>, Vec<Finding>>, Error> {
    let mut prepared = Vec::new();
    let mut findings = Vec::new();
    let changed = plan.apply.iter().map(|document| (document, true));
    let unchanged = plan.unchanged.iter().map(|document| (document, false));
    for (document, changed) in changed.chain(unchanged) {
        let api = api(context, source, &document.kind);
        let live = api.get_opt(&document.name).await?;
        let owner = live
            .as_ref()
            .and_then(|live| live.labels().get(names::SOURCE_LABEL).cloned());
        if let Some(owner) = owner.filter(|owner| *owner != source.name_any()) {
            let message = format!(
                "{} {} belongs to the GitSource {owner}",
                document.kind, document.name
            );
            findings.push(document.finding("metadata.name", message));
            continue;
        }
        // An object carries the revision that last changed it, so that a commit elsewhere does not touch it.
        let known = |name: &str| {
            live.as_ref()
                .and_then(|live| live.annotations().get(name).cloned())
        };
        let known = known(names::REVISION_ANNOTATION).zip(known(names::COMMITTED_AT_ANNOTATION));
        let origin = known.filter(|_| !changed).unwrap_or_else(|| {
            (
                about.revision.clone(),
                whole_second(about.committed_at).to_string(),
            )
        });
        prepared.push(Prepared {
            api,
            name: document.name.clone(),
            place: format!("{}:{}", document.file, document.start().line),
            body: body(document, source, &origin),
        });
    }
    Ok(if findings.is_empty() {
        Ok(prepared)
    } else {
        Err(findings)
    })
}

fn body(document: &Document, source: &GitSource, (revision, committed_at): &(String, String)) -> Value {
    let mut body = document.value.clone();
    let put = |metadata: &mut Value, field: &str, values: &[(&str, &str)]| {
        for (key, value) in values {
            metadata[field][*key] = json!(value);
        }
    };
    if let Some(metadata) = body.get_mut("metadata") {
        put(metadata, "labels", &[(names::SOURCE_LABEL, &source.name_any())]);
        put(
            metadata,
            "annotations",
            &[
                (names::REVISION_ANNOTATION, revision),
                (names::COMMITTED_AT_ANNOTATION, committed_at),
                (names::FILE_ANNOTATION, &document.file),
            ],
        );
    }
    body
}

/// Sends every object. Some text: one was refused, and why.
async fn send_all(objects: &[Prepared], dry_run: bool) -> Result<Option<String>, Error> {
    let parameters = PatchParams {
        dry_run,
        force: true,
        field_manager: Some(names::GIT_FIELD_MANAGER.to_owned()),
        field_validation: Some(kube::api::ValidationDirective::Strict),
    };
    for object in objects {
        let sent = object
            .api
            .patch(&object.name, &parameters, &Patch::Apply(&object.body))
            .await;
        match sent {
            Ok(_) => {}
            Err(error) if classify(&error) == Class::WaitForChange || dry_run && is_not_found(&error) => {
                return Ok(Some(format!("{}: {}", object.place, text(&error))));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Removes objects of this source. One that is gone, or that somebody has taken over, is left alone.
pub(super) async fn prune(
    context: &Context,
    source: &GitSource,
    entries: &[InventoryEntry],
) -> Result<(), Error> {
    for entry in entries {
        let api = api(context, source, &entry.kind);
        let Some(live) = api.get_opt(&entry.name).await? else {
            continue;
        };
        if live.labels().get(names::SOURCE_LABEL) != Some(&source.name_any()) {
            continue;
        }
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: live.uid(),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        match api.delete(&entry.name, &parameters).await {
            Ok(_) => {}
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Records what may exist before the first change, so that nothing is forgotten whatever interrupts the work.
async fn note_inventory(
    context: &Context,
    source: &GitSource,
    inventory: &[InventoryEntry],
) -> Result<(), Error> {
    let api: Api<GitSource> =
        Api::namespaced(context.client.clone(), &source.namespace().unwrap_or_default());
    let Some(current) = api.get_opt(&source.name_any()).await? else {
        return Ok(());
    };
    let mut status = current.status.clone().unwrap_or_default();
    status.inventory = inventory.to_vec();
    crate::controllers::status::apply(&api, &current, &status, &context.metrics).await?;
    Ok(())
}

fn api(context: &Context, source: &GitSource, kind: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk(names::GROUP, names::VERSION, kind);
    // Every kind of the group has a regular plural.
    let resource = ApiResource::from_gvk(&gvk);
    Api::namespaced_with(
        context.client.clone(),
        &source.namespace().unwrap_or_default(),
        &resource,
    )
}
