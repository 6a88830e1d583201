//! `POST` to a collection.

use std::sync::Arc;

use serde_json::{Value, json};

use super::write::{self, Commit};
use super::{Part, Target, Written, subject};
use super::{conform, draft};
use crate::api::schema::FieldError;
use crate::kubeapi::access;
use crate::kubeapi::api::Core;
use crate::kubeapi::error::{ApiError, Subject};
use crate::kubeapi::object;
use crate::kubeapi::registry::BuiltIn;
use crate::kubeapi::request::WriteOptions;
use crate::kubeapi::storage::Expected;

/// Names tried for one `generateName`.
const NAME_ATTEMPTS: usize = 8;
/// Letters of generated names, as Kubernetes': none that make words, none that look alike.
const NAME_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
const MAX_PREFIX: usize = 253 - SUFFIX;

/// Creates an object.
///
/// # Errors
/// 409 when it exists, 404 when its namespace does not, 400 and 422 when it is not acceptable.
pub(crate) async fn create(
    core: &Arc<Core>,
    target: &Target,
    object: Value,
    options: &WriteOptions,
) -> Result<Written, ApiError> {
    let mut definitions = lock_definitions(core, target).await;
    let written = create_locked(core, target, object, options, Tracking::Update).await?;
    if let Some(cache) = &mut definitions {
        core.refresh_locked(cache).await?;
    }
    Ok(written)
}

/// Creates an object of a built-in kind on the server's own behalf.
///
/// # Errors
/// As [`create`].
pub(crate) async fn create_built_in(
    core: &Arc<Core>,
    built_in: BuiltIn,
    object: Value,
) -> Result<Written, ApiError> {
    let served = core.registry.served();
    let resource = served.all().find(|resource| resource.built_in == Some(built_in));
    let resource = resource.cloned().ok_or(ApiError::NoSuchResource)?;
    let namespace = object::text(&object, "namespace").to_owned();
    let target = Target {
        resource,
        namespace,
        name: String::new(),
        part: Part::Main,
    };
    let options = WriteOptions {
        manager: "provost".to_owned(),
        ..WriteOptions::default()
    };
    create(core, &target, object, &options).await
}

/// Who records the field managers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tracking {
    /// Apply has done so.
    Applied,
    /// This write, as an update.
    Update,
}

/// Keeps definitions from changing while one of them is written.
pub(super) async fn lock_definitions<'a>(
    core: &'a Core,
    target: &Target,
) -> Option<tokio::sync::MutexGuard<'a, crate::kubeapi::registry::Definitions>> {
    if target.resource.built_in != Some(BuiltIn::Definition) {
        return None;
    }
    Some(core.registry.definitions.lock().await)
}

pub(super) async fn create_locked(
    core: &Arc<Core>,
    target: &Target,
    mut object: Value,
    options: &WriteOptions,
    tracking: Tracking,
) -> Result<Written, ApiError> {
    if target.resource.terminating {
        return Err(ApiError::MethodNotAllowed);
    }
    let mut warnings = Vec::new();
    draft::identify(target, &mut object)?;
    let name = object::text(&object, "name").to_owned();
    require_namespace(core, target, &name).await?;
    let mut object = conform::conform(
        &target.resource,
        object.into(),
        options.field_validation,
        &mut warnings,
    )?;
    access::may_grant(core, target, options.author.as_deref(), &object, None).await?;
    draft::begin(core, target, &mut object)?;
    let prefix = object::text(&object, "generateName").to_owned();
    let generated = object::text(&object, "name").is_empty();
    if generated && prefix.is_empty() {
        let resource = &target.resource;
        let subject = Subject {
            group: resource.group.clone(),
            kind: resource.kind.clone(),
            name: String::new(),
        };
        let mut errors = vec![FieldError::required(
            "metadata.name",
            "name or generateName is required",
        )];
        if resource.schema.is_some() {
            errors.push(FieldError::rules_not_checked());
        }
        return Err(ApiError::Invalid { subject, errors });
    }
    for _ in 0..NAME_ATTEMPTS {
        let mut object = object.clone();
        if generated {
            object::set(&mut object, "name", Some(json!(generate_name(core, &prefix))));
        }
        draft::derive(&target.resource, &mut object, None);
        if tracking == Tracking::Update {
            draft::track(core, target, options, None, &mut object);
        }
        draft::validate(target, &object, None)?;
        let mut warnings = warnings.clone();
        conform::warn_of_finalizers(&target.resource, &object, None, &mut warnings);
        let name = object::text(&object, "name").to_owned();
        if options.dry_run
            && core
                .load(&target.resource, &target.namespace, &name)
                .await?
                .is_some()
        {
            return Err(taken(core, target, &name).await?);
        }
        match write::commit(core, target, options, Expected::Absent, object, warnings).await? {
            Commit::Done(written) => return Ok(written),
            Commit::Lost if generated => {}
            Commit::Lost => return Err(taken(core, target, &name).await?),
        }
    }
    Err(ApiError::AlreadyExists(subject(&target.resource, &prefix)))
}

/// 409 for a name that is taken.
async fn taken(core: &Core, target: &Target, name: &str) -> Result<ApiError, ApiError> {
    let found = core.load(&target.resource, &target.namespace, name).await?;
    let subject = subject(&target.resource, name);
    Ok(match found {
        Some((object, _)) if object::is_terminating(&object) => ApiError::BeingDeleted(subject),
        _ => ApiError::AlreadyExists(subject),
    })
}

fn generate_name(core: &Core, prefix: &str) -> String {
    let mut bytes = [0; SUFFIX];
    core.entropy.fill(&mut bytes);
    let letters = bytes
        .iter()
        .filter_map(|byte| NAME_ALPHABET.get(usize::from(*byte) % NAME_ALPHABET.len()));
    let suffix: String = letters.map(|&letter| char::from(letter)).collect();
    let prefix: String = prefix.chars().take(MAX_PREFIX).collect();
    format!("{prefix}{suffix}")
}

/// Refuses to create in a namespace that does not exist or is going away.
async fn require_namespace(core: &Core, target: &Target, name: &str) -> Result<(), ApiError> {
    if !target.resource.namespaced {
        return Ok(());
    }
    let served = core.registry.served();
    let namespaces = served
        .find("", "v1", "namespaces")
        .ok_or(ApiError::NoSuchResource)?;
    let found = core.load(namespaces, "", &target.namespace).await?;
    let Some((namespace, _)) = found else {
        return Err(ApiError::NotFound(subject(namespaces, &target.namespace)));
    };
    if object::is_terminating(&namespace) {
        return Err(ApiError::NamespaceTerminating {
            subject: subject(&target.resource, name),
            namespace: target.namespace.clone(),
        });
    }
    Ok(())
}
