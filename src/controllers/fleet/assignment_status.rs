//! The status of an Assignment: how its devices stand, by control. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource as _;

use crate::api::assignment::{AssignmentRecord, ControlCounts, FrameworkCounts};
use crate::api::condition::{ConditionType, Reason, Statement, Status, merge};
use crate::api::{Assignment, AssignmentStatus};
use crate::policy::SpecError;

use super::baseline_status::{count, joined};
use super::device_status::whole_second;
use super::policies::Policies;
use super::tally::Tally;

/// How many controls a status names.
const CONTROLS: usize = 256;
/// How many frameworks a status names.
const FRAMEWORKS: usize = 16;
/// How many conflicts and how many revisions a status names.
const NAMES: usize = 20;

/// The revision of an assignment that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// The git revision, or `generation:N`.
    pub revision: Arc<str>,
    /// Since when devices are pointed at it.
    pub since: Timestamp,
}

impl InForce {
    /// What is in force of an assignment now, given what was. `last_move`: when the devices of the fleet were last pointed at manifests, if
    /// the planner has just started; what was pointed before its end is not to be forgotten.
    #[must_use]
    pub fn of(
        policies: &Policies,
        assignment: &Assignment,
        known: Option<&Self>,
        last_move: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let generation = || format!("generation:{}", assignment.meta().generation.unwrap_or_default()).into();
        let revision = policies.revision_of(assignment).unwrap_or_else(generation);
        if let Some(known) = known.filter(|known| known.revision == revision) {
            return known.clone();
        }
        let newest = assignment
            .status
            .as_ref()
            .and_then(|status| status.history.first());
        let since = match (known, newest) {
            (None, Some(newest)) if *newest.revision == *revision => newest.since.0,
            (None, newest) => last_move
                .filter(|at| newest.is_none_or(|newest| *at > newest.since.0))
                .unwrap_or(now),
            (Some(_), _) => now,
        };
        Self { revision, since }
    }
}

/// Builds the status from the object.
#[must_use]
pub fn build(
    assignment: &Assignment,
    policies: &Policies,
    in_force: Option<&InForce>,
    tally: Tally,
    now: Timestamp,
) -> AssignmentStatus {
    let old = assignment.status.clone().unwrap_or_default();
    let generation = assignment.meta().generation;
    let statements = statements(
        &policies.mistakes(assignment),
        &policies.missing(assignment),
        &tally,
    );
    let controls_total = count(tally.controls.len());
    let frameworks: Vec<FrameworkCounts> = tally
        .frameworks()
        .into_iter()
        .map(|(framework, controls)| FrameworkCounts {
            framework: framework.to_owned(),
            controls,
        })
        .take(FRAMEWORKS)
        .collect();
    let classes = count(tally.classes());
    let mut controls: Vec<ControlCounts> = tally
        .controls
        .into_iter()
        .map(|(control, stands)| ControlCounts {
            framework: control.framework,
            id: control.id,
            verdicts: stands.verdicts,
            devices: stands.devices,
        })
        .collect();
    controls.sort_by_key(|control| std::cmp::Reverse((control.verdicts.fail, control.verdicts.unknown)));
    controls.truncate(CONTROLS);
    AssignmentStatus {
        observed_generation: generation.unwrap_or_else(crate::api::unobserved),
        conditions: merge(&old.conditions, &statements, generation, now),
        history: history(old.history, in_force, tally.moved),
        revision: policies
            .revision_of(assignment)
            .map(|revision| revision.to_string()),
        classes,
        devices: tally.devices,
        verdicts: tally.verdicts,
        frameworks,
        controls,
        controls_total,
        conflicts: tally.conflicts.into_iter().take(NAMES).collect(),
    }
}

fn statements(mistakes: &[SpecError], missing: &[String], tally: &Tally) -> Vec<Statement> {
    let devices = tally.devices;
    let mut stalled = None;
    let ready = if !mistakes.is_empty() {
        let message = joined(mistakes);
        stalled = Some(Statement::new(
            ConditionType::Stalled,
            true,
            Reason::InvalidSpec,
            message.clone(),
        ));
        Statement::new(ConditionType::Ready, false, Reason::InvalidSpec, message)
    } else if !missing.is_empty() {
        let message = format!("in force without what is not there: {}", missing.join(", "));
        Statement::new(ConditionType::Ready, false, Reason::DependencyNotReady, message)
    } else {
        let message = format!("in force for {} devices", devices.total);
        Statement::new(ConditionType::Ready, true, Reason::Succeeded, message)
    };
    let conflicted = (!tally.conflicts.is_empty()).then(|| {
        let message = tally
            .conflicts
            .iter()
            .take(NAMES)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("; ");
        Statement::new(ConditionType::Conflicted, true, Reason::Conflict, message)
    });
    [ready, compliant(tally)]
        .into_iter()
        .chain(stalled)
        .chain(conflicted)
        .collect()
}

fn compliant(tally: &Tally) -> Statement {
    let devices = tally.devices;
    let kind = ConditionType::Compliant;
    if devices.failing > 0 {
        let message = format!("{} of {} devices fail a rule", devices.failing, devices.total);
        return Statement::new(kind, false, Reason::RulesFail, message);
    }
    if devices.unknown > 0 {
        let message = format!(
            "evidence is missing for {} of {} devices",
            devices.unknown, devices.total
        );
        return Statement::new(kind, Status::Unknown, Reason::EvidenceMissing, message);
    }
    if devices.total == 0 {
        return Statement::new(kind, Status::Unknown, Reason::NoRules, "it concerns no device");
    }
    let waived = tally.verdicts.waived;
    if tally.verdicts.pass + waived == 0 {
        return Statement::new(
            kind,
            Status::Unknown,
            Reason::NoRules,
            "no rule of it applies to its devices",
        );
    }
    let exceptions = match waived {
        0 => String::new(),
        waived => format!(", with {waived} verdicts waived"),
    };
    let message = format!("all {} devices pass{exceptions}", devices.total);
    Statement::new(kind, true, Reason::AllRulesPass, message)
}

/// The history with what is in force. `moved` counts devices, whenever it is counted: counting again changes nothing.
fn history(
    mut history: Vec<AssignmentRecord>,
    in_force: Option<&InForce>,
    moved: i64,
) -> Vec<AssignmentRecord> {
    let Some(in_force) = in_force else { return history };
    match history.first_mut() {
        Some(newest) if *newest.revision == *in_force.revision => newest.moved = newest.moved.max(moved),
        _ => {
            let since = Time(whole_second(in_force.since));
            history.insert(
                0,
                AssignmentRecord {
                    revision: in_force.revision.to_string(),
                    since,
                    moved,
                },
            );
        }
    }
    history.truncate(NAMES);
    history
}

#[cfg(test)]
mod tests;
