//! Applying a revision, whole: guards first, then a dry run of everything, then the changes, then the removals.

use jiff::{SignedDuration, Timestamp};
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
    let mut found = Vec::new();
    let mut findings = Vec::new();
    let changed = plan.apply.iter().map(|document| (*document, true));
    let unchanged = plan.unchanged.iter().map(|document| (*document, false));
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
        found.push((document, changed, api, live.as_ref().and_then(Origin::of)));
    }
    if !findings.is_empty() {
        return Ok(Err(findings));
    }
    let this = Origin::new(about, found.iter().filter_map(|(_, _, _, live)| live.as_ref()));
    let prepared = found.into_iter().map(|(document, changed, api, live)| Prepared {
        api,
        name: document.name.clone(),
        place: format!("{}:{}", document.file, document.start().line),
        // An object carries the revision that last changed it, so that a commit elsewhere does not touch it.
        body: body(document, source, live.as_ref().filter(|_| !changed).unwrap_or(&this)),
    });
    Ok(Ok(prepared.collect()))
}

/// The revision that last changed an object, and a time by which revisions are ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    revision: String,
    committed_at: Timestamp,
}

impl Origin {
    /// What an object says.
    fn of(live: &DynamicObject) -> Option<Self> {
        let annotation = |name: &str| live.annotations().get(name);
        Some(Self {
            revision: annotation(names::REVISION_ANNOTATION)?.clone(),
            committed_at: annotation(names::COMMITTED_AT_ANNOTATION)?.parse().ok()?,
        })
    }

    /// A revision that comes into force after those of `others`. Its time comes after theirs, too, even if it was committed in the same
    /// second, or before them and somebody moved the branch back.
    fn new<'a>(about: &About, others: impl Iterator<Item = &'a Self>) -> Self {
        let own = whole_second(about.committed_at);
        let newest = others
            .filter(|other| other.revision != about.revision)
            .map(|other| other.committed_at)
            .max();
        let after = newest.and_then(|newest| newest.checked_add(SignedDuration::from_secs(1)).ok());
        Self {
            revision: about.revision.clone(),
            committed_at: after.map_or(own, |after| own.max(after)),
        }
    }
}

fn body(document: &Document, source: &GitSource, origin: &Origin) -> Value {
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
                (names::REVISION_ANNOTATION, &origin.revision),
                (names::COMMITTED_AT_ANNOTATION, &origin.committed_at.to_string()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_comes_after_those_that_it_follows_whatever_git_says() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let known = |revision: &str, at| Origin { revision: revision.to_owned(), committed_at: second(at) };
        let order = |committed_at, others: &[Origin]| {
            let about = About::new("main@sha1:b", second(committed_at));
            Origin::new(&about, others.iter()).committed_at
        };
        assert_eq!(order(100, &[]), second(100));
        assert_eq!(order(100, &[known("main@sha1:a", 90)]), second(100));
        assert_eq!(order(100, &[known("main@sha1:a", 100)]), second(101), "committed in the same second");
        assert_eq!(order(50, &[known("main@sha1:a", 100), known("main@sha1:c", 70)]), second(101), "moved back");
        assert_eq!(order(50, &[known("main@sha1:b", 100)]), second(50), "its own objects do not count");
    }
}
