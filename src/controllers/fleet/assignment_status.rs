//! The status of an Assignment: how its devices stand, by control. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource as _;

use crate::api::assignment::{AssignmentRecord, ControlCounts, DeviceCounts};
use crate::api::baseline::ControlRef;
use crate::api::common::{Verdict, VerdictCounts};
use crate::api::condition::{ConditionType, Reason, Statement, Status, merge};
use crate::api::{Assignment, AssignmentStatus};

use super::baseline_status::count;
use super::device::Device;
use super::device_status::whole_second;

/// How many controls a status names.
const CONTROLS: usize = 64;
/// How many conflicts and how many revisions a status names.
const NAMES: usize = 20;

/// Sums over the devices that an assignment concerns.
#[derive(Debug, Default)]
pub struct Tally {
    devices: DeviceCounts,
    verdicts: VerdictCounts,
    controls: BTreeMap<ControlRef, VerdictCounts>,
    conflicts: BTreeSet<String>,
    classes: BTreeSet<usize>,
    revision: Option<Arc<str>>,
}

impl Tally {
    /// Counts one device in.
    pub fn add(&mut self, assignment: &str, device: &Device) {
        let Some(plan) = &device.plan else { return };
        self.devices.total += 1;
        self.devices.synced += i64::from(device.synced());
        self.classes.insert(Arc::as_ptr(plan).addr());
        let conflicts = plan
            .conflicts
            .iter()
            .filter(|conflict| &*conflict.assignment == assignment);
        self.conflicts
            .extend(conflicts.map(|conflict| conflict.message.clone()));
        if self.revision.is_none() {
            self.revision.clone_from(&plan.revision);
        }
        let mut worst = None;
        for (index, demand) in plan.demands.iter().enumerate() {
            if &*demand.assignment != assignment {
                continue;
            }
            // Not judged yet: there is no evidence.
            let verdict = device.verdicts.get(index).copied().unwrap_or(Verdict::Unknown);
            add(&mut self.verdicts, verdict);
            for control in demand.controls.iter() {
                match self.controls.get_mut(control) {
                    Some(counts) => add(counts, verdict),
                    None => add(self.controls.entry(control.clone()).or_default(), verdict),
                }
            }
            worst = worst.max(rank(verdict));
        }
        match worst {
            Some(Rank::Fail) => self.devices.failing += 1,
            Some(Rank::Unknown) => self.devices.unknown += 1,
            Some(Rank::Pass) | None => self.devices.compliant += 1,
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Pass,
    Unknown,
    Fail,
}

fn rank(verdict: Verdict) -> Option<Rank> {
    match verdict {
        Verdict::Pass => Some(Rank::Pass),
        Verdict::Unknown => Some(Rank::Unknown),
        Verdict::Fail => Some(Rank::Fail),
        Verdict::NotApplicable => None,
    }
}

fn add(counts: &mut VerdictCounts, verdict: Verdict) {
    match verdict {
        Verdict::Pass => counts.pass += 1,
        Verdict::Fail => counts.fail += 1,
        Verdict::Unknown => counts.unknown += 1,
        Verdict::NotApplicable => counts.not_applicable += 1,
    }
}

/// Builds the status from the object, what it names and is not there, the sums, and how many devices were just told to move.
#[must_use]
pub fn build(
    assignment: &Assignment,
    missing: &[String],
    tally: Tally,
    moved: usize,
    now: Timestamp,
) -> AssignmentStatus {
    let old = assignment.status.clone().unwrap_or_default();
    let generation = assignment.meta().generation;
    let revision = tally.revision.clone().map(|revision| revision.to_string());
    let statements = statements(missing, &tally);
    let controls_total = count(tally.controls.len());
    let mut controls: Vec<ControlCounts> = tally
        .controls
        .into_iter()
        .map(|(control, verdicts)| ControlCounts {
            framework: control.framework,
            id: control.id,
            verdicts,
        })
        .collect();
    controls.sort_by_key(|control| std::cmp::Reverse((control.verdicts.fail, control.verdicts.unknown)));
    controls.truncate(CONTROLS);
    AssignmentStatus {
        observed_generation: generation.unwrap_or_else(crate::api::unobserved),
        conditions: merge(&old.conditions, &statements, generation, now),
        history: history(old.history, revision.as_deref(), generation, moved, now),
        revision,
        classes: count(tally.classes.len()),
        devices: tally.devices,
        verdicts: tally.verdicts,
        controls,
        controls_total,
        conflicts: tally.conflicts.into_iter().take(NAMES).collect(),
    }
}

fn statements(missing: &[String], tally: &Tally) -> Vec<Statement> {
    let devices = tally.devices;
    let ready = if missing.is_empty() {
        Statement::new(
            ConditionType::Ready,
            true,
            Reason::Succeeded,
            format!("in force for {} devices", devices.total),
        )
    } else {
        let message = format!("in force without what is not there: {}", missing.join(", "));
        Statement::new(ConditionType::Ready, false, Reason::DependencyNotReady, message)
    };
    let compliant = if devices.failing > 0 {
        let message = format!("{} of {} devices fail a rule", devices.failing, devices.total);
        Statement::new(ConditionType::Compliant, false, Reason::RulesFail, message)
    } else if devices.unknown > 0 {
        let message = format!(
            "evidence is missing for {} of {} devices",
            devices.unknown, devices.total
        );
        Statement::new(
            ConditionType::Compliant,
            Status::Unknown,
            Reason::EvidenceMissing,
            message,
        )
    } else if devices.total == 0 {
        Statement::new(
            ConditionType::Compliant,
            Status::Unknown,
            Reason::NoRules,
            "it concerns no device",
        )
    } else {
        let message = format!("all {} devices pass", devices.total);
        Statement::new(ConditionType::Compliant, true, Reason::AllRulesPass, message)
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
    [ready, compliant].into_iter().chain(conflicted).collect()
}

/// Adds a record when the revision changed or devices were moved within it.
fn history(
    mut history: Vec<AssignmentRecord>,
    revision: Option<&str>,
    generation: Option<i64>,
    moved: usize,
    now: Timestamp,
) -> Vec<AssignmentRecord> {
    let name = revision.map_or_else(
        || format!("generation:{}", generation.unwrap_or_default()),
        str::to_owned,
    );
    match history.first_mut() {
        Some(newest) if newest.revision == name => newest.moved += count(moved),
        _ => {
            let record = AssignmentRecord {
                revision: name,
                since: Time(whole_second(now)),
                moved: count(moved),
            };
            history.insert(0, record);
        }
    }
    history.truncate(NAMES);
    history
}
