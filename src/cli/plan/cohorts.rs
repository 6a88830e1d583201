//! Whom either policy concerns: the devices of the fleet by what makes them the same to policy, or, where none is known, every class that an
//! assignment could be for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::fleet::Fleet;
use crate::api::names::{ENROLLMENT_MODE_LABEL, PLATFORM_LABEL};
use crate::cli::standard::Standard;
use crate::policy::difference::{Cohort, KnownDevice, Waivers, classes_concerned};
use crate::policy::{AssignmentInput, Candidate, DeviceClass};

/// The names of assignments.
type Names = Arc<[Arc<str>]>;

/// The cohorts of a fleet.
pub(super) fn of_fleet(before: &Standard, after: &Standard, fleet: &Fleet, now: Timestamp) -> Vec<Cohort> {
    let mut concerns: [Concerns<'_>; 2] = [Concerns::of(before), Concerns::of(after)];
    let mut cohorts: BTreeMap<(DeviceClass, Names, Names), Vec<KnownDevice>> = BTreeMap::new();
    for device in &fleet.devices {
        let [old, new] = concerns.each_mut().map(|side| side.names(&device.candidate));
        let [waived_before, waived_after] = [before, after].map(|side| {
            let (labels, name) = (device.candidate.labels(), &device.known.name);
            side.policies.waivers_for_object(labels, name, now)
        });
        cohorts
            .entry((device.class, old, new))
            .or_default()
            .push(KnownDevice {
                waivers: Waivers {
                    before: waived_before,
                    after: waived_after,
                },
                ..device.known.clone()
            });
    }
    cohorts
        .into_iter()
        .map(|((class, old, new), devices)| Cohort {
            class,
            before: before.policies.inputs(&old).into(),
            after: after.policies.inputs(&new).into(),
            devices,
        })
        .collect()
}

/// What one policy demands of devices, by their groups.
struct Concerns<'s> {
    standard: &'s Standard,
    by_groups: BTreeMap<Arc<[Arc<str>]>, Names>,
}

impl<'s> Concerns<'s> {
    const fn of(standard: &'s Standard) -> Self {
        Self {
            standard,
            by_groups: BTreeMap::new(),
        }
    }

    fn names(&mut self, candidate: &Candidate) -> Names {
        let policies = &self.standard.policies;
        let groups = policies.groups_of(candidate);
        if let Some(known) = self.by_groups.get(&groups) {
            return known.clone();
        }
        let names = policies.assignments_of(&groups);
        self.by_groups.insert(groups, names.clone());
        names
    }
}

/// The cohorts of every class that a policy could concern: each assignment for itself, since who belongs to several groups is not known.
pub(super) fn of_classes(before: &Standard, after: &Standard) -> Vec<Cohort> {
    let sides = [before, after];
    let assignments = sides.map(|side| side.policies.assignments.keys());
    let assignments: BTreeSet<&Arc<str>> = assignments.into_iter().flatten().collect();
    let mut cohorts: Vec<Cohort> = assignments
        .into_iter()
        .flat_map(|name| of_assignment(before, after, name))
        .collect();
    // What no assignment of either side names is looked at by itself: a library of baselines has none.
    let assigned: BTreeSet<(&str, String)> = sides.iter().flat_map(|side| side.assigned()).collect();
    let is_free = |kind: &'static str, name: &&Arc<str>| !assigned.contains(&(kind, name.to_string()));
    let baselines = sides.map(|side| side.policies.baselines.keys());
    let baselines: BTreeSet<&Arc<str>> = baselines
        .into_iter()
        .flatten()
        .filter(|name| is_free("Baseline", name))
        .collect();
    for name in baselines {
        let [old, new] = sides.map(|side| Vec::from_iter(side.baseline_alone(name)));
        cohorts.extend(cohorts_of(old, new));
    }
    let profiles = sides.map(|side| side.policies.profiles.keys());
    let profiles: BTreeSet<&Arc<str>> = profiles
        .into_iter()
        .flatten()
        .filter(|name| is_free("Profile", name))
        .collect();
    for name in profiles {
        let [old, new] = sides.map(|side| Vec::from_iter(side.profile_alone(name)));
        cohorts.extend(cohorts_of(old, new));
    }
    cohorts
}

/// The cohorts that an assignment could concern. Whom it cannot concern on one side has nothing of it there.
fn of_assignment(before: &Standard, after: &Standard, name: &Arc<str>) -> Vec<Cohort> {
    let [old, new] = [before, after].map(|side| side.policies.inputs(std::slice::from_ref(name)));
    cohorts_of(old, new)
        .map(|mut cohort| {
            if !could_concern(before, name, cohort.class) {
                cohort.before = Arc::from([]);
            }
            if !could_concern(after, name, cohort.class) {
                cohort.after = Arc::from([]);
            }
            cohort
        })
        .collect()
}

fn cohorts_of(before: Vec<AssignmentInput>, after: Vec<AssignmentInput>) -> impl Iterator<Item = Cohort> {
    let classes = classes_concerned(before.iter().chain(&after));
    let (before, after): (Arc<[_]>, Arc<[_]>) = (before.into(), after.into());
    classes.into_iter().map(move |class| Cohort {
        class,
        before: before.clone(),
        after: after.clone(),
        devices: Vec::new(),
    })
}

/// Whether an assignment could be for devices of a class, as far as its groups tell. Groups that are not here could hold anybody.
fn could_concern(standard: &Standard, assignment: &str, class: DeviceClass) -> bool {
    let labels = [
        (PLATFORM_LABEL, class.platform.to_string()),
        (ENROLLMENT_MODE_LABEL, class.mode.to_string()),
    ];
    let labels = labels.map(|(label, value)| (label.to_owned(), value)).into();
    let candidate = Candidate::new(
        class.platform,
        &class.os_version.to_string(),
        class.mode,
        None,
        None,
        labels,
    );
    let Some(assignment) = standard.policies.assignments.get(assignment) else {
        return false;
    };
    assignment.spec.groups.iter().any(|group| {
        let Some(group) = standard.policies.groups.get(group.name.as_str()) else {
            return true;
        };
        group
            .members
            .as_ref()
            .is_ok_and(|members| members.could_contain(&candidate))
    })
}
