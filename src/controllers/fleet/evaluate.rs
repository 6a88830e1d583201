//! Judging one device and writing what came of it: verdicts and transitions to the store, status to its object.
//!
//! The transitions are recorded first. The status is then built from what is recorded, so that a stop in between loses nothing: the
//! next evaluation finds the status behind and writes it.

use std::sync::Arc;

use kube::Api;
use kube::ResourceExt as _;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::api::common::Verdict;
use crate::api::device::{DeletionPolicy, TransitionRecord};
use crate::api::{self, names};
use crate::compliance::{Facts, count, failing_rules, judge, push_history, transitions};
use crate::controllers::error::{is_already_exists, is_not_found};
use crate::controllers::{Context, status};
use crate::store::{EnrollmentState, StoreError, Transition};

use super::device::{Device, Object};
use super::device_status::{self, Judged};

/// How many recorded transitions a status is built from; it shows the newest twenty, several of one moment as one.
const RECORDED: usize = 200;

/// How many declarations that failed a condition names.
const PROBLEMS: usize = 5;

/// Why a device could not be brought up to date. It is tried again.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Error {
    /// The device plane.
    #[error("the store did not answer for the device")]
    Store(#[from] StoreError),
    /// The Kubernetes API.
    #[error("the Kubernetes API did not take the device")]
    Api(#[from] kube::Error),
}

/// What an evaluation found, to be kept in memory.
#[derive(Default)]
pub struct Outcome {
    /// The verdict on each demand of the plan.
    pub verdicts: Box<[Verdict]>,
    /// What the status says now.
    pub status_digest: Option<u64>,
    /// The object, where it was made or read.
    pub object: Option<Object>,
    /// The reconcile request that the status says was handled.
    pub handled: Option<Arc<str>>,
    /// Whether a rule that passed fails now: the device has left what it was told to hold.
    pub drifted: bool,
}

/// Judges a device and writes what changed.
///
/// # Errors
/// When the store or the API fails; nothing is lost and the call can be repeated.
pub async fn evaluate(context: &Context, device: &Device) -> Result<Outcome, Error> {
    let now = context.clock.now();
    let id = &device.enrollment.id;
    context.metrics.evaluations.inc();
    let facts = context.store.facts(id).await?;
    let demands = device.plan.as_ref().map_or(&[][..], |plan| &plan.demands);
    let revision = device.plan.as_ref().and_then(|plan| plan.revision.as_ref());
    let judgements = judge(demands, &facts);
    let before = context.store.verdicts(id).await?;
    let (after, transitions) = transitions(&before, demands, &judgements, revision, now);
    let counts = count(after.values().copied());
    let drifted = transitions
        .iter()
        .any(|change| change.from == Some(Verdict::Pass) && change.to == Some(Verdict::Fail));
    let changed = !transitions.is_empty();
    if changed {
        context.metrics.transitions.inc_by(transitions.len() as u64);
        context.store.record_verdicts(id, after, transitions).await?;
    }
    let judged = Judged {
        counts,
        failing: failing_rules(demands, &judgements),
        problems: problems(device, &facts),
    };
    let mut outcome = Outcome {
        verdicts: judgements.iter().map(|judgement| judgement.verdict).collect(),
        drifted,
        ..Outcome::default()
    };
    write(context, device, &judged, changed, &mut outcome).await?;
    Ok(outcome)
}

/// What the device says it could not apply of what it should hold.
fn problems(device: &Device, facts: &Facts) -> Vec<String> {
    let declarations = device.plan.iter().flat_map(|plan| &plan.manifest.declarations);
    declarations
        .filter_map(|declaration| Some((declaration, facts.declarations.get(&*declaration.identifier)?)))
        .filter(|(declaration, state)| {
            state.valid == "invalid" && *state.server_token == *declaration.server_token
        })
        .map(|(declaration, state)| format!("{}: {}", declaration.identifier, state.reasons.join(", ")))
        .take(PROBLEMS)
        .collect()
}

async fn write(
    context: &Context,
    device: &Device,
    judged: &Judged,
    changed: bool,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let digest = device_status::digest(device, judged);
    if !changed && device.status_digest == Some(digest) {
        outcome.status_digest = Some(digest);
        return Ok(());
    }
    let api: Api<api::Device> = Api::namespaced(context.client.clone(), device.enrollment.namespace.as_str());
    let Some(object) = object(context, &api, device).await? else {
        return Ok(());
    };
    let mut device = device.clone();
    device.object = Some(read(&object));
    let old = object.status.clone().unwrap_or_default();
    if device.handled.is_none() {
        device.handled = old.last_handled_reconcile_at.as_deref().map(Arc::from);
    }
    let history = history(&context.store.transitions(&device.enrollment.id, RECORDED).await?);
    let new = device_status::build(&old, &device, judged, history, context.clock.now());
    status::apply(&api, &object, &new, &context.metrics).await?;
    outcome.status_digest = Some(device_status::digest(&device, judged));
    outcome.handled.clone_from(&device.handled);
    outcome.object = device.object;
    Ok(())
}

/// Folds recorded transitions (newest first) into what a status shows.
fn history(recorded: &[Transition]) -> Vec<TransitionRecord> {
    let oldest_first: Vec<Transition> = recorded.iter().rev().cloned().collect();
    oldest_first
        .chunk_by(|one, next| one.time == next.time)
        .fold(Vec::new(), |history, moment| push_history(&history, moment))
}

/// The Device object, made where an active device has none. None: there is none and none is due.
async fn object(
    context: &Context,
    api: &Api<api::Device>,
    device: &Device,
) -> Result<Option<api::Device>, Error> {
    let name = device.enrollment.id.device_name();
    if let Some(found) = api.get_opt(&name).await? {
        return Ok(Some(found));
    }
    // By the store, not by the picture in memory: the enrolment may just have ended, and with it the object.
    let current = context.store.enrollment(&device.enrollment.id).await?;
    let state = current.map(|current| current.state);
    if !matches!(state, Some(EnrollmentState::Enrolled | EnrollmentState::Removing)) {
        return Ok(None);
    }
    let mut labels = device.enrollment.labels.clone();
    labels.insert(
        names::PLATFORM_LABEL.to_owned(),
        device.enrollment.platform.to_string(),
    );
    labels.insert(
        names::ENROLLMENT_MODE_LABEL.to_owned(),
        device.enrollment.mode.to_string(),
    );
    let object = api::Device {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(labels),
            finalizers: Some(vec![names::DEVICE_FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        spec: api::DeviceSpec::default(),
        status: None,
    };
    let parameters = PostParams {
        field_manager: Some(names::FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    match api.create(&parameters, &object).await {
        Ok(made) => {
            tracing::info!(device.id = %device.enrollment.id, namespace = %device.enrollment.namespace, "a device has enrolled");
            Ok(Some(made))
        }
        Err(error) if is_already_exists(&error) => Ok(api.get_opt(&name).await?),
        Err(error) => {
            context
                .metrics
                .reconciliations
                .get_or_create(&crate::telemetry::metrics::Reconciliation {
                    kind: "Device",
                    result: "create_refused",
                })
                .inc();
            Err(error.into())
        }
    }
}

/// What the planner keeps of an object.
pub fn read<K: kube::Resource>(object: &K) -> Object {
    let meta = object.meta();
    Object {
        uid: meta.uid.clone().unwrap_or_default(),
        labels: Arc::new(meta.labels.clone().unwrap_or_default()),
        generation: meta.generation.unwrap_or_default(),
        deleting: meta.deletion_timestamp.is_some(),
        finalizer: object
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == names::DEVICE_FINALIZER),
        reconcile: object
            .annotations()
            .get(names::RECONCILE_ANNOTATION)
            .map(|value| value.as_str().into()),
    }
}

/// Carries out the deletion of a Device object as its policy says; the finalizer goes when the enrolment has ended.
///
/// # Errors
/// When the store or the API fails; the call can be repeated.
pub async fn delete(context: &Context, device: &Device) -> Result<(), Error> {
    let now = context.clock.now();
    let enrollment = &device.enrollment;
    let api: Api<api::Device> = Api::namespaced(context.client.clone(), enrollment.namespace.as_str());
    let Some(object) = api.get_opt(&enrollment.id.device_name()).await? else {
        return Ok(());
    };
    let ended = match (enrollment.state, object.spec.deletion_policy) {
        (EnrollmentState::Ended, _) => true,
        (_, DeletionPolicy::Orphan) => {
            context
                .store
                .end(&enrollment.id, "its Device was deleted with policy Orphan", now)
                .await?;
            true
        }
        (EnrollmentState::Removing, DeletionPolicy::Remove) => false,
        (EnrollmentState::Authenticated | EnrollmentState::Enrolled, DeletionPolicy::Remove) => {
            // Not active any more: it never finished enrolling, and there is nothing to remove.
            !context.store.remove_at_next_contact(&enrollment.id, now).await?
        }
    };
    if ended {
        release(&api, &object).await
    } else {
        Ok(())
    }
}

/// Removes the finalizer from a Device that has no enrolment.
///
/// # Errors
/// When the API fails; the call can be repeated.
pub async fn release(api: &Api<api::Device>, object: &api::Device) -> Result<(), Error> {
    let rest: Vec<&String> = object
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != names::DEVICE_FINALIZER)
        .collect();
    let patch = json!({
        "metadata": { "finalizers": rest, "resourceVersion": object.resource_version() },
    });
    match api
        .patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
