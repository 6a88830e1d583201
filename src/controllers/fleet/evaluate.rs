//! Judging one device and writing what came of it: corrections and transitions to the store, status to its object.
//!
//! The order is what makes a stop at any moment harmless. A correction is queued before the transition that led to it is recorded:
//! until then the next evaluation finds the same drift, and a command that is queued already stands for the new one. The status is built
//! from what is recorded: the next evaluation finds it behind and writes it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Api;

use crate::api;
use crate::api::common::Verdict;
use crate::api::device::TransitionRecord;
use crate::compliance::{
    self, DeclarationState, Demand, Facts, Judgement, Verdicts, count, failing_rules, judge, push_history,
    transitions, waive,
};
use crate::controllers::{Context, status};
use crate::mdm::ddm::{declarations_proven, profiles_proven};
use crate::policy::Plan;
use crate::store::{StoreError, Transition};

use super::device::{Device, Object};
use super::device_status::{self, Judged, Sight};
use super::object;
use super::orders::{self, Issue};
use super::waiting::{Traces, Waiting, why};

/// The shortest time between two corrections of one device.
pub(super) const CORRECTION_PAUSE: Duration = Duration::from_mins(1);

/// How many recorded transitions a status is built from; it shows the newest twenty, several of one moment as one.
const RECORDED: usize = 200;

/// How many ended commands are looked through for what went wrong.
const RESULTS: usize = 20;

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
pub struct Outcome {
    /// The verdict on each demand of the plan.
    pub verdicts: Box<[Verdict]>,
    /// Whether each Profile object of the plan is proved to be installed.
    pub profiles: Box<[bool]>,
    /// Whether the facts prove the plan's manifest.
    pub holds: bool,
    /// What became of the need to correct the device.
    pub correction: Correction,
    /// What was written, where something was (or was found to be right).
    pub written: Option<Written>,
}

/// What the status of a device says now.
pub struct Written {
    /// See [`device_status::digest`].
    pub digest: u64,
    /// The object.
    pub object: Object,
    /// The reconcile request that the status says was handled.
    pub handled: Option<Arc<str>>,
}

/// Whether a device has left what it was told to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// It has not, for all that is known.
    NotNeeded,
    /// It has, and was told to apply it again.
    Ordered,
    /// It has, but was corrected a moment ago: look again at this time.
    NotBefore(Timestamp),
}

/// Judges a device and writes what changed. `waivers` are those that are for it.
///
/// # Errors
/// When the store or the API fails; nothing is lost and the call can be repeated.
pub async fn evaluate(
    context: &Context,
    device: &Device,
    waivers: &[Arc<compliance::Waiver>],
) -> Result<Outcome, Error> {
    let now = context.clock.now();
    let id = device.id();
    context.metrics.evaluations.inc();
    let facts = context.store.facts(id).await?;
    let plan = device.plan.as_deref();
    let demands = plan.map_or(&[][..], |plan| &plan.demands);
    let mut judgements = judge(demands, &facts);
    let before = context.store.verdicts(id).await?;
    let holds = plan.is_some_and(|plan| holds(device, plan, &facts));
    let correction = match plan {
        Some(plan) if has_left(device, holds, &judgements, &before) => {
            correct(context, device, plan, &facts, now).await?
        }
        _ => Correction::NotNeeded,
    };
    // What is waived is told to apply again like everything else: a waiver is about what counts.
    let waived = waive(demands, &mut judgements, waivers, now);
    let revision = plan.and_then(|plan| plan.revision.as_ref());
    let (after, transitions) = transitions(&before, demands, &judgements, revision, now);
    let judged = Judged {
        counts: count(after.values().copied()),
        failing: failing_rules(demands, &judgements),
        waived,
        problems: problems(device, &facts),
        waiting: waiting(context, device, holds, now).await?,
        holds,
    };
    let changed = !transitions.is_empty();
    if changed {
        context
            .metrics
            .transitions
            .inc_by(u64::try_from(transitions.len()).unwrap_or_default());
        context.store.record_verdicts(id, after, transitions).await?;
    }
    let proofs = plan.map_or(&[][..], |plan| &plan.profile_proofs);
    Ok(Outcome {
        verdicts: judgements.iter().map(|judgement| judgement.verdict).collect(),
        profiles: proofs
            .iter()
            .map(|proof| proof.verdict(&facts) == Verdict::Pass)
            .collect(),
        holds,
        correction,
        written: write(context, device, &judged, changed).await?,
    })
}

/// Why a device is not where it should be. None: it is, or cannot be.
async fn waiting(
    context: &Context,
    device: &Device,
    holds: bool,
    now: Timestamp,
) -> Result<Option<Waiting>, StoreError> {
    let Some(told_at) = device
        .enrollment
        .manifest_at
        .filter(|_| device.active() && !(device.has_applied() && holds))
    else {
        return Ok(None);
    };
    let (store, id) = (&context.store, device.id());
    let traces = Traces {
        told_at,
        push_refused: device.enrollment.push_refused,
        last_seen: store.last_seen(id).await?,
        pending: &store.pending(id).await?,
        results: &store.results(id, RESULTS).await?,
    };
    Ok(Some(why(&traces, now)))
}

/// Whether the newest facts prove what the plan wants held.
fn holds(device: &Device, plan: &Plan, facts: &Facts) -> bool {
    if device.enrollment.declarative {
        declarations_proven(&plan.manifest, &facts.declarations)
    } else {
        facts
            .profiles
            .as_ref()
            .is_some_and(|profiles| profiles_proven(&plan.manifest, profiles))
    }
}

/// Whether a device has left what it had proved to hold: the proof is gone, or a rule that content is served for and that passed does not
/// pass now. A device that is on its way to a new manifest has left nothing: it has its orders. What is only checked is nobody's to correct.
fn has_left(device: &Device, holds: bool, judgements: &[Judgement], before: &Verdicts) -> bool {
    let Some(plan) = device
        .plan
        .as_ref()
        .filter(|_| device.active() && device.has_applied())
    else {
        return false;
    };
    // After a start it is not known what the last evaluation found; telling a device once more does no harm.
    let lost_proof = !holds && device.holds != Some(false);
    let lost_rule = |(demand, judgement): (&Demand, &Judgement)| {
        demand.enforced
            && before.get(demand.key()) == Some(&Verdict::Pass)
            && matches!(judgement.verdict, Verdict::Fail | Verdict::Unknown)
    };
    lost_proof || plan.demands.iter().zip(judgements).any(lost_rule)
}

/// Tells a device to apply again what it should hold, unless it was told a moment ago.
async fn correct(
    context: &Context,
    device: &Device,
    plan: &Plan,
    facts: &Facts,
    now: Timestamp,
) -> Result<Correction, Error> {
    let rested = device
        .corrected_at
        .and_then(|at| at.saturating_add(CORRECTION_PAUSE).ok());
    if let Some(rested) = rested.filter(|rested| *rested > now) {
        return Ok(Correction::NotBefore(rested));
    }
    tracing::info!(device.id = %device.id(), "a device has left its desired state and is corrected");
    let issue = Issue {
        now,
        entropy: context.entropy.as_ref(),
    };
    let commands = orders::to_hold(&device.enrollment, &plan.manifest, facts, true, &issue);
    context.store.enqueue(commands, now).await?;
    context.metrics.corrections.inc();
    Ok(Correction::Ordered)
}

/// What the device says it could not apply of what it should hold.
fn problems(device: &Device, facts: &Facts) -> Vec<String> {
    let declarations = device.plan.iter().flat_map(|plan| &plan.manifest.declarations);
    declarations
        .filter_map(|declaration| Some((declaration, facts.declarations.get(&*declaration.identifier)?)))
        .filter(|(declaration, state)| *state.server_token == *declaration.server_token && has_failed(state))
        .map(|(declaration, state)| match state.reasons.as_slice() {
            [] => format!("{}: {}", declaration.identifier, state.valid),
            reasons => format!("{}: {}", declaration.identifier, reasons.join(", ")),
        })
        .take(PROBLEMS)
        .collect()
}

/// Whether a device says that it cannot apply a declaration: it calls it invalid, or gives an error with whatever it calls it.
fn has_failed(state: &DeclarationState) -> bool {
    state.valid == "invalid" || state.reasons.iter().any(|reason| reason.starts_with("Error."))
}

/// Writes the status of a device where it says something new. None: nothing new, or there is no object to write to.
async fn write(
    context: &Context,
    device: &Device,
    judged: &Judged,
    changed: bool,
) -> Result<Option<Written>, Error> {
    let in_order = device
        .object
        .as_ref()
        .is_some_and(|object| object.finalizer || object.deleted_at.is_some());
    let sight = Sight {
        device,
        judged,
        object: device.object.as_ref(),
        handled: device.handled.as_deref(),
    };
    if !changed && in_order && device.status_digest == Some(device_status::digest(&sight)) {
        return Ok(None);
    }
    let api: Api<api::Device> = Api::namespaced(context.client.clone(), device.enrollment.namespace.as_str());
    let Some(live) = object::in_order(context, &api, device).await? else {
        return Ok(None);
    };
    let object = Object::read(&live);
    let old = live.status.clone().unwrap_or_default();
    let handled = device
        .handled
        .clone()
        .or_else(|| old.last_handled_reconcile_at.as_deref().map(Arc::from));
    let sight = Sight {
        device,
        judged,
        object: Some(&object),
        handled: handled.as_deref(),
    };
    let history = history(&context.store.transitions(device.id(), RECORDED).await?);
    let new = device_status::build(&old, &sight, history, context.clock.now());
    status::apply(&api, &live, &new, &context.metrics).await?;
    let digest = device_status::digest(&sight);
    Ok(Some(Written {
        digest,
        object,
        handled,
    }))
}

/// Folds recorded transitions (newest first) into what a status shows.
fn history(recorded: &[Transition]) -> Vec<TransitionRecord> {
    let oldest_first: Vec<Transition> = recorded.iter().rev().cloned().collect();
    oldest_first
        // What happened to the enrolment itself is told in its turn, and not among the rules.
        .chunk_by(|one, next| one.time == next.time && one.rule.is_some() == next.rule.is_some())
        .fold(Vec::new(), |history, moment| push_history(&history, moment))
}

#[cfg(test)]
mod tests;
