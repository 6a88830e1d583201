//! Sums over the devices that an assignment concerns. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::assignment::DeviceCounts;
use crate::api::baseline::ControlRef;
use crate::api::common::{Verdict, VerdictCounts};
use crate::policy::Plan;

/// How many conflicts are kept.
const CONFLICTS: usize = 20;

/// Devices of one class that stand alike: they are counted together.
#[derive(Debug, Clone, Copy)]
pub struct Alike<'a> {
    /// What they should hold and meet.
    pub plan: &'a Arc<Plan>,
    /// Their verdicts on the plan's demands; shorter (or empty) where they are not judged yet.
    pub verdicts: &'a [Verdict],
    /// Whether they have proved to hold what they should.
    pub synced: bool,
    /// How many they are.
    pub devices: i64,
}

/// Sums over the devices that an assignment concerns.
#[derive(Debug, Default)]
pub struct Tally {
    /// Devices by state.
    pub devices: DeviceCounts,
    /// Their verdicts.
    pub verdicts: VerdictCounts,
    /// The verdicts by control.
    pub controls: BTreeMap<ControlRef, VerdictCounts>,
    /// Contradictions that concern the assignment.
    pub conflicts: BTreeSet<String>,
    /// Their classes, by the address of the plan.
    pub(super) classes: BTreeSet<usize>,
    /// Devices pointed at a manifest since the revision of the assignment is in force.
    pub moved: i64,
}

impl Tally {
    /// Counts devices in.
    pub fn add(&mut self, assignment: &str, alike: &Alike<'_>) {
        let Alike {
            plan,
            verdicts,
            synced,
            devices,
        } = *alike;
        self.devices.total += devices;
        self.devices.synced += if synced { devices } else { 0 };
        if self.classes.insert(Arc::as_ptr(plan).addr()) {
            let conflicts = plan
                .conflicts
                .iter()
                .filter(|conflict| &*conflict.assignment == assignment);
            let room = CONFLICTS.saturating_sub(self.conflicts.len());
            self.conflicts
                .extend(conflicts.take(room).map(|conflict| conflict.message.clone()));
        }
        let mut worst = None;
        for (index, demand) in plan.demands.iter().enumerate() {
            if &*demand.assignment != assignment {
                continue;
            }
            // Not judged yet: there is no evidence.
            let verdict = verdicts.get(index).copied().unwrap_or(Verdict::Unknown);
            add(&mut self.verdicts, verdict, devices);
            for control in demand.controls.iter() {
                match self.controls.get_mut(control) {
                    Some(counts) => add(counts, verdict, devices),
                    None => add(
                        self.controls.entry(control.clone()).or_default(),
                        verdict,
                        devices,
                    ),
                }
            }
            worst = worst.max(rank(verdict));
        }
        match worst {
            Some(Rank::Fail) => self.devices.failing += devices,
            Some(Rank::Unknown) => self.devices.unknown += devices,
            Some(Rank::Pass) | None => self.devices.compliant += devices,
        }
    }

    /// In how many classes the devices fall.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes.len()
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Pass,
    Unknown,
    Fail,
}

const fn rank(verdict: Verdict) -> Option<Rank> {
    match verdict {
        Verdict::Pass | Verdict::Waived => Some(Rank::Pass),
        Verdict::Unknown => Some(Rank::Unknown),
        Verdict::Fail => Some(Rank::Fail),
        Verdict::NotApplicable => None,
    }
}

const fn add(counts: &mut VerdictCounts, verdict: Verdict, devices: i64) {
    match verdict {
        Verdict::Pass => counts.pass += devices,
        Verdict::Fail => counts.fail += devices,
        Verdict::Waived => counts.waived += devices,
        Verdict::Unknown => counts.unknown += devices,
        Verdict::NotApplicable => counts.not_applicable += devices,
    }
}
