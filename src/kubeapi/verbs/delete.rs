//! `DELETE` of an object or a collection.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::create::lock_definitions;
use super::listing::Listing;
use super::read::pages;
use super::update::ATTEMPTS;
use super::write::{self, Commit};
use super::{Answer, Part, Target, Written};
use crate::api::schema::FieldError;
use crate::kubeapi::api::{Core, PERMANENT_NAMESPACES, parse};
use crate::kubeapi::error::ApiError;
use crate::kubeapi::object;
use crate::kubeapi::registry::BuiltIn;
use crate::kubeapi::registry::definition::CLEANUP_FINALIZER;
use crate::kubeapi::registry::lifecycle;
use crate::kubeapi::registry::resource::{FOREGROUND, ORPHAN};
use crate::kubeapi::request::{Query, WriteOptions, dry_run_problem, invalid_options};
use crate::kubeapi::storage::Expected;

/// What happens to the dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They are deleted after it.
    Background,
    /// They are deleted before it.
    Foreground,
    /// They stay and forget it.
    Orphan,
}

/// How to delete.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    /// Only the object with this uid.
    pub uid: Option<String>,
    /// Only the object at this revision.
    pub revision: Option<String>,
    /// What happens to dependents, when it is said.
    pub propagation: Option<Propagation>,
    /// Do everything but keep the object.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Reads the options from the query and the body (a `DeleteOptions` object, or nothing).
    ///
    /// # Errors
    /// An option with a value that means nothing.
    pub(crate) fn parse(query: &Query, body: &Value) -> Result<Self, ApiError> {
        let text = |path: &str| {
            object::at(body, path)
                .and_then(Value::as_str)
                .map(ToOwned::to_owned)
        };
        let propagation =
            text("propagationPolicy").or_else(|| query.text("propagationPolicy").map(ToOwned::to_owned));
        let given = propagation.filter(|policy| !policy.is_empty());
        let propagation = match given.as_deref() {
            None => match body.get("orphanDependents").and_then(Value::as_bool) {
                Some(true) => Some(Propagation::Orphan),
                Some(false) => Some(Propagation::Background),
                None => None,
            },
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                let known = ["Foreground", "Background", "Orphan", "nil"].map(Value::from);
                let error = FieldError::not_supported("propagationPolicy", &other.into(), &known);
                return Err(invalid_options("DeleteOptions", vec![error]));
            }
        };
        if let (Some(policy), true) = (
            &given,
            body.get("orphanDependents").is_some_and(Value::is_boolean),
        ) {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            let error = FieldError::invalid("propagationPolicy", &policy.as_str().into(), detail);
            return Err(invalid_options("DeleteOptions", vec![error]));
        }
        let kind = body
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or("DeleteOptions");
        if kind != "DeleteOptions" {
            let version = body.get("apiVersion").and_then(Value::as_str).unwrap_or("");
            return Err(ApiError::BadRequest(format!(
                "no kind {kind:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\""
            )));
        }
        if let Some(given) = query
            .text("gracePeriodSeconds")
            .filter(|given| given.parse::<i64>().is_err())
        {
            return Err(ApiError::BadRequest(format!(
                "strconv.ParseInt: parsing {given:?}: invalid syntax"
            )));
        }
        let dry_run = match query.text("dryRun").map(ToOwned::to_owned) {
            Some(value) => vec![value],
            None => object::strings(body.get("dryRun")),
        };
        if let Some(error) = dry_run.iter().find_map(|value| dry_run_problem(Some(value))) {
            return Err(invalid_options("DeleteOptions", vec![error]));
        }
        Ok(Self {
            uid: text("preconditions.uid"),
            revision: text("preconditions.resourceVersion"),
            propagation,
            dry_run: !dry_run.is_empty(),
        })
    }
}

/// What a deletion led to.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// The object is gone; this was its last state.
    Gone(Answer),
    /// The object waits for its finalizers.
    Waiting(Answer),
}

/// Deletes an object, or marks it for deletion when finalizers hold it.
///
/// # Errors
/// 404 when it is not there, 409 when a precondition does not hold.
pub(crate) async fn delete(
    core: &Arc<Core>,
    target: &Target,
    options: &DeleteOptions,
) -> Result<Deleted, ApiError> {
    if target.resource.built_in == Some(BuiltIn::Namespace)
        && PERMANENT_NAMESPACES.contains(&target.name.as_str())
    {
        let why = "this namespace may not be deleted".to_owned();
        return Err(ApiError::Forbidden {
            subject: target.subject(),
            why,
        });
    }
    let mut definitions = lock_definitions(core, target).await;
    let deleted = delete_locked(core, target, options).await?;
    if let Some(cache) = &mut definitions {
        core.refresh_locked(cache).await?;
    }
    Ok(deleted)
}

async fn delete_locked(
    core: &Arc<Core>,
    target: &Target,
    options: &DeleteOptions,
) -> Result<Deleted, ApiError> {
    for _ in 0..ATTEMPTS {
        let found = core
            .load(&target.resource, &target.namespace, &target.name)
            .await?;
        let (old, revision) = found.ok_or_else(|| ApiError::NotFound(target.subject()))?;
        check(target, &old, options)?;
        let is_definition = target.resource.built_in == Some(BuiltIn::Definition);
        let mut finalizers = finalizers_for(&old, options.propagation.filter(|_| !is_definition));
        if is_definition
            && !object::is_terminating(&old)
            && !finalizers.iter().any(|own| own == CLEANUP_FINALIZER)
        {
            // It stays until its objects are gone.
            finalizers.push(CLEANUP_FINALIZER.to_owned());
        }
        if finalizers.is_empty() && target.resource.built_in != Some(BuiltIn::Namespace) {
            if options.dry_run {
                return Ok(Deleted::Gone(Answer::Value(old)));
            }
            match write::remove(core, target, revision, old).await? {
                Some(last) => return Ok(Deleted::Gone(last)),
                None => continue,
            }
        }
        let new = mark(core, target, &old, finalizers);
        if write::is_same(&old, &new) || options.dry_run {
            return Ok(Deleted::Waiting(Answer::Value(new)));
        }
        let write = WriteOptions::default();
        match write::commit(
            core,
            target,
            &write,
            Expected::Revision(revision),
            new,
            Vec::new(),
        )
        .await?
        {
            Commit::Done(Written { object, .. }) => return Ok(Deleted::Waiting(object)),
            Commit::Lost => {}
        }
    }
    Err(write::overtaken(target, &target.name))
}

fn check(target: &Target, old: &Value, options: &DeleteOptions) -> Result<(), ApiError> {
    let conditions = [
        ("UID", "uid", &options.uid, "deleted and then recreated"),
        (
            "ResourceVersion",
            "resourceVersion",
            &options.revision,
            "modified",
        ),
    ];
    for (words, field, asked, happened) in conditions {
        let found = object::text(old, field);
        if let Some(asked) = asked
            .as_deref()
            .filter(|asked| !asked.is_empty() && *asked != found)
        {
            let why = format!(
                "the {words} in the precondition ({asked}) does not match the {words} in record ({found}). The object \
                 might have been {happened}"
            );
            let mut subject = target.subject();
            if target.resource.built_in.is_none() {
                subject.kind.clone_from(&target.resource.kind);
            }
            return Err(ApiError::Conflict { subject, why });
        }
    }
    Ok(())
}

fn finalizers_for(old: &Value, propagation: Option<Propagation>) -> Vec<String> {
    let mut finalizers = object::finalizers(old);
    let wanted = match propagation {
        None => return finalizers,
        Some(Propagation::Background) => None,
        Some(Propagation::Foreground) => Some(FOREGROUND),
        Some(Propagation::Orphan) => Some(ORPHAN),
    };
    finalizers.retain(|finalizer| finalizer != FOREGROUND && finalizer != ORPHAN);
    finalizers.extend(wanted.map(ToOwned::to_owned));
    finalizers
}

/// The object as it waits for its finalizers.
fn mark(core: &Core, target: &Target, old: &Value, finalizers: Vec<String>) -> Value {
    let mut new = old.clone();
    object::set_finalizers(&mut new, finalizers);
    if !object::is_terminating(old) {
        object::set(&mut new, "deletionTimestamp", Some(core.time()));
        if target.resource.built_in == Some(BuiltIn::Definition) {
            lifecycle::terminate(&mut new, &core.time());
            return new;
        }
        if target.resource.built_in != Some(BuiltIn::Namespace) {
            object::set(&mut new, "deletionGracePeriodSeconds", Some(json!(0)));
        }
        if target.resource.has_generation() {
            object::set(&mut new, "generation", Some(json!(object::generation(old) + 1)));
        }
        if target.resource.built_in == Some(BuiltIn::Namespace)
            && let Some(fields) = new.as_object_mut()
        {
            fields.insert("status".to_owned(), json!({ "phase": "Terminating" }));
        }
    }
    new
}

/// Removes a namespace that has been emptied. Nothing happens when it is not being deleted, or something holds it.
///
/// # Errors
/// When the database fails.
pub(crate) async fn finish_namespace(core: &Arc<Core>, target: &Target) -> Result<(), ApiError> {
    if let Some((namespace, revision)) = core.load(&target.resource, "", &target.name).await?
        && object::is_terminating(&namespace)
        && object::finalizers(&namespace).is_empty()
    {
        write::remove(core, target, revision, namespace).await?;
    }
    Ok(())
}

/// Deletes every object of a collection that the selectors choose; answers with the list of them.
///
/// # Errors
/// As [`delete`]; objects deleted before the error stay deleted.
pub(crate) async fn delete_collection(
    core: &Arc<Core>,
    target: &Target,
    listing: &Listing,
    options: &DeleteOptions,
) -> Result<Written, ApiError> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let page = pages(core, target, listing, after).await?;
        for row in &page.rows {
            let target = Target {
                namespace: row.namespace.clone(),
                name: row.name.clone(),
                part: Part::Main,
                ..target.clone()
            };
            match delete(core, &target, options).await {
                Ok(Deleted::Gone(_) | Deleted::Waiting(_)) => {
                    // As it was found; in a list of built-ins the list alone says what they are.
                    let mut object = parse(row)?;
                    target.resource.to_served(&mut object);
                    if let (Some(_), Some(fields)) = (target.resource.built_in, object.as_object_mut()) {
                        fields.remove("kind");
                        fields.remove("apiVersion");
                    }
                    items.push(object);
                }
                // Somebody else was faster, or it may not go.
                Err(ApiError::NotFound(_) | ApiError::Forbidden { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut list = json!({
        "apiVersion": target.resource.api_version(), "kind": target.resource.list_kind,
        "metadata": { "resourceVersion": core.storage.head().to_string() }, "items": items,
    });
    if target.resource.built_in.is_none()
        && let Some(metadata) = object::metadata_mut(&mut list)
    {
        metadata.insert("continue".to_owned(), json!(""));
    }
    Ok(Written {
        code: StatusCode::OK,
        object: Answer::Value(list),
        warnings: Vec::new(),
    })
}
