//! Sums over the devices that an assignment concerns. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::assignment::DeviceCounts;
use crate::api::baseline::ControlRef;
use crate::api::common::{Verdict, VerdictCounts};
use crate::compliance::{Demand, by_control, present, roll_up};
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
    /// By control, the verdicts of its rules, and the devices by how it stands on them.
    pub controls: BTreeMap<ControlRef, Control>,
    /// Contradictions that concern the assignment.
    pub conflicts: BTreeSet<String>,
    /// Their classes, by the address of the plan.
    pub(super) classes: BTreeSet<usize>,
    /// Devices pointed at a manifest since the revision of the assignment is in force.
    pub moved: i64,
}

/// How one control stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// The verdicts of its rules, summed over devices.
    pub verdicts: VerdictCounts,
    /// Devices by the worst of them.
    pub devices: VerdictCounts,
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
        // Not judged yet: there is no evidence.
        let judged = verdicts
            .iter()
            .copied()
            .chain(std::iter::repeat(Verdict::Unknown));
        let own: Vec<(&Demand, Verdict)> = plan
            .demands
            .iter()
            .zip(judged)
            .filter(|(demand, _)| &*demand.assignment == assignment)
            .collect();
        for (demand, verdict) in &own {
            add(&mut self.verdicts, *verdict, devices);
            for control in demand.controls.iter() {
                self.count(control, |counts| add(&mut counts.verdicts, *verdict, devices));
            }
            worst = worst.max(rank(*verdict));
        }
        for (control, verdict) in by_control(own) {
            self.count(control, |counts| add(&mut counts.devices, verdict, devices));
        }
        match worst {
            Some(Rank::Fail) => self.devices.failing += devices,
            Some(Rank::Unknown) => self.devices.unknown += devices,
            Some(Rank::Pass) | None => self.devices.compliant += devices,
        }
    }

    fn count(&mut self, control: &ControlRef, count: impl FnOnce(&mut Control)) {
        match self.controls.get_mut(control) {
            Some(counts) => count(counts),
            None => count(self.controls.entry(control.clone()).or_default()),
        }
    }

    /// How many controls of each framework stand where: the worst device decides.
    #[must_use]
    pub fn frameworks(&self) -> BTreeMap<&str, VerdictCounts> {
        let mut frameworks: BTreeMap<&str, VerdictCounts> = BTreeMap::new();
        for (control, counts) in &self.controls {
            let stands = roll_up(present(counts.devices));
            add(frameworks.entry(&control.framework).or_default(), stands, 1);
        }
        frameworks
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
