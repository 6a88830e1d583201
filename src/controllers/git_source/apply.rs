//! Applying a revision, whole: guards first, then a dry run of everything, then the changes, then the removals. What the dry run leaves as it is
//! is not written.

use std::collections::BTreeMap;

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::api::git_source::InventoryEntry;
use crate::api::{GitSource, names};
use crate::controllers::Context;
use crate::controllers::error::{Class, classify, is_not_found};
use crate::controllers::fleet::baseline_status::warned;
use crate::gitops::Finding;
use crate::gitops::plan::{Decision, PrunePolicy, SyncPlan, plan};
use crate::gitops::read::{Document, Documents};

use super::Error;
use super::origin::Origin;
use super::status::{About, Ended};

/// How many warnings the summary of a revision names.
const WARNINGS: usize = 3;

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
    let inventory = source
        .status
        .as_ref()
        .map(|status| status.inventory.as_slice())
        .unwrap_or_default();
    let policy = PrunePolicy {
        enabled: source.spec.prune,
        limit_percent: source.spec.prune_limit_percent,
        allowed_revision: source
            .annotations()
            .get(names::ALLOW_PRUNE_ANNOTATION)
            .map(String::as_str),
    };
    let plan = match plan(inventory, documents, &about.revision, policy) {
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
    let changing = match rehearse(&objects).await? {
        Ok(changing) => changing,
        Err(message) => return Ok(Ended::ApplyFailed { about, message }),
    };
    if plan.inventory_while_applying != inventory {
        note_inventory(context, source, &plan.inventory_while_applying).await?;
    }
    for object in changing {
        if let Err(message) = send(object, false).await? {
            return Ok(Ended::ApplyFailed { about, message });
        }
    }
    if let Some(message) = prune(context, source, &plan.prune).await? {
        return Ok(Ended::ApplyFailed { about, message });
    }
    let summary = plan.to_string() + &warned(&documents.warnings, WARNINGS);
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
    /// As it was when the revision was planned.
    live: Option<DynamicObject>,
}

/// Puts labels and annotations on, and refuses what belongs to another source.
async fn prepare(
    context: &Context,
    source: &GitSource,
    about: &About,
    plan: &SyncPlan<'_>,
) -> Result<Result<Vec<Prepared>, Vec<Finding>>, Error> {
    let mut owners = Owners::new(context, source);
    let mut found = Vec::new();
    let mut findings = Vec::new();
    let changed = plan.apply.iter().map(|document| (*document, true));
    let unchanged = plan.unchanged.iter().map(|document| (*document, false));
    for (document, changed) in changed.chain(unchanged) {
        let api = api(context, source, &document.kind);
        let live = api.get_opt(&document.name).await?;
        if let Some(owner) = owners.other_owner(live.as_ref(), document).await? {
            let message = format!(
                "{} {} belongs to the GitSource {owner}",
                document.kind, document.name
            );
            findings.push(document.finding("metadata.name", message));
            continue;
        }
        let origin = live.as_ref().and_then(Origin::of);
        found.push((document, changed, api, live, origin));
    }
    if !findings.is_empty() {
        return Ok(Err(findings));
    }
    let this = Origin::new(about, found.iter().filter_map(|(.., origin)| origin.as_ref()));
    let prepared = found
        .into_iter()
        .map(|(document, changed, api, live, origin)| Prepared {
            api,
            name: document.name.clone(),
            place: format!("{}:{}", document.file, document.start().line),
            // An object carries the revision that last changed it, so that a commit elsewhere does not touch it.
            body: body(
                document,
                &source.name_any(),
                origin.as_ref().filter(|_| !changed).unwrap_or(&this),
            ),
            live,
        });
    Ok(Ok(prepared.collect()))
}

/// Which other sources own objects that this one wants. Each is looked up once.
struct Owners<'a> {
    api: Api<GitSource>,
    source: &'a GitSource,
    known: BTreeMap<String, Vec<InventoryEntry>>,
}

impl<'a> Owners<'a> {
    fn new(context: &Context, source: &'a GitSource) -> Self {
        let api = Api::namespaced(context.client.clone(), &source.namespace().unwrap_or_default());
        Self {
            api,
            source,
            known: BTreeMap::new(),
        }
    }

    /// The other source that an object belongs to: the one on its label, as long as that is there and holds it in its inventory.
    async fn other_owner(
        &mut self,
        live: Option<&DynamicObject>,
        document: &Document,
    ) -> kube::Result<Option<String>> {
        let label = live.and_then(|live| live.labels().get(names::SOURCE_LABEL));
        let Some(owner) = label.filter(|owner| **owner != self.source.name_any()) else {
            return Ok(None);
        };
        if !self.known.contains_key(owner) {
            let found = self.api.get_opt(owner).await?.and_then(|source| source.status);
            let inventory = found.map(|status| status.inventory).unwrap_or_default();
            self.known.insert(owner.clone(), inventory);
        }
        let holds = |entry: &InventoryEntry| entry.kind == document.kind && entry.name == document.name;
        let held = self
            .known
            .get(owner)
            .is_some_and(|inventory| inventory.iter().any(holds));
        Ok(held.then(|| owner.clone()))
    }
}

fn body(document: &Document, source: &str, origin: &Origin) -> Value {
    let mut body = document.value.clone();
    let labels = [(names::SOURCE_LABEL, source)];
    let committed_at = origin.committed_at.to_string();
    let annotations = [
        (names::REVISION_ANNOTATION, origin.revision.as_str()),
        (names::COMMITTED_AT_ANNOTATION, committed_at.as_str()),
        (names::FILE_ANNOTATION, &document.file),
    ];
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        put(metadata.entry("labels").or_insert_with(|| json!({})), &labels);
        put(
            metadata.entry("annotations").or_insert_with(|| json!({})),
            &annotations,
        );
    }
    body
}

fn put(map: &mut Value, values: &[(&str, &str)]) {
    if let Some(map) = map.as_object_mut() {
        map.extend(
            values
                .iter()
                .map(|(key, value)| ((*key).to_owned(), json!(value))),
        );
    }
}

/// Rehearses every object, and gives those that would change. Or: one was refused, and why.
async fn rehearse(objects: &[Prepared]) -> Result<Result<Vec<&Prepared>, String>, Error> {
    let mut changing = Vec::new();
    for object in objects {
        match send(object, true).await? {
            // The resource version is part of it: the object is still the one that was read.
            Ok(rehearsed) if object.live.as_ref() == Some(&rehearsed) => {}
            Ok(_) => changing.push(object),
            Err(message) => return Ok(Err(message)),
        }
    }
    Ok(Ok(changing))
}

/// Sends one object, and gives what became of it. Or: it was refused, and why.
async fn send(object: &Prepared, dry_run: bool) -> Result<Result<DynamicObject, String>, Error> {
    let parameters = PatchParams {
        dry_run,
        force: true,
        field_manager: Some(names::GIT_FIELD_MANAGER.to_owned()),
        field_validation: Some(kube::api::ValidationDirective::Strict),
    };
    let sent = object
        .api
        .patch(&object.name, &parameters, &Patch::Apply(&object.body))
        .await;
    match sent {
        Ok(object) => Ok(Ok(object)),
        Err(error) if classify(&error) == Class::WaitForChange || dry_run && is_not_found(&error) => {
            Ok(Err(format!("{}: {}", object.place, text(&error))))
        }
        Err(error) => Err(error.into()),
    }
}

fn text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Removes objects of this source. One that is gone, or that somebody has taken over, is left alone. Some text: the API refused to remove
/// some, and why; the others are removed.
pub(super) async fn prune(
    context: &Context,
    source: &GitSource,
    entries: &[InventoryEntry],
) -> Result<Option<String>, Error> {
    let mut refused = Vec::new();
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
            Err(error) if classify(&error) == Class::WaitForChange => {
                refused.push(format!(
                    "{} {} cannot be removed: {}",
                    entry.kind,
                    entry.name,
                    text(&error)
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((!refused.is_empty()).then(|| refused.join("; ")))
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
    if current.uid() != source.uid() {
        return Ok(());
    }
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
mod tests;
