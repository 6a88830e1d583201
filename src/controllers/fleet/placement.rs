//! Placement: the groups, class and plan of each device. Pure: it says which devices have to move, and moves none.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::common::Verdict;
use crate::compliance::{Demand, Occasion, next_look};
use crate::ids::{EnrollmentId, Namespace};
use crate::policy::Plan;
use crate::store::EnrollmentState;

use super::assignment_status::InForce;
use super::device::Device;
use super::world::{Fleet, World};

/// Over how long the devices are spread that have to be asked for what a changed policy wants to know.
pub(super) const NEWS_SPREAD: Duration = Duration::from_mins(1);

impl World {
    /// Finds the plan of every device whose place may have changed. Gives those that have to be pointed at its manifest, or have not been
    /// given the orders. `compiled` is called for each compilation.
    pub(super) fn place(
        &mut self,
        public_url: &str,
        now: Timestamp,
        compiled: impl Fn(),
    ) -> Vec<(EnrollmentId, Arc<Plan>)> {
        let mut kept = Kept::default();
        let ids = self.concerned(now);
        let placed = ids.into_iter().filter_map(|id| {
            let plan = self.place_one(&id, public_url, now, &mut kept, &compiled)?;
            Some((id, plan))
        });
        placed.collect()
    }

    /// The devices to place: those that changed, and all of a fleet whose policy did.
    fn concerned(&mut self, now: Timestamp) -> HashSet<EnrollmentId> {
        let mut replan: HashSet<Namespace> = HashSet::new();
        for (namespace, fleet) in &mut self.fleets {
            if std::mem::take(&mut fleet.replan) {
                fleet.classes.renew();
                fleet.resum = true;
                replan.insert(namespace.clone());
            }
        }
        let mut ids = std::mem::take(&mut self.replace);
        if replan.is_empty() {
            return ids;
        }
        let mut last_moves: HashMap<&Namespace, Timestamp> = HashMap::new();
        let concerned = self
            .devices
            .values()
            .filter(|device| replan.contains(&device.enrollment.namespace));
        for device in concerned {
            ids.insert(device.id().clone());
            if let Some(at) = device.enrollment.manifest_at {
                let last = last_moves.entry(&device.enrollment.namespace).or_insert(at);
                *last = at.max(*last);
            }
        }
        for namespace in &replan {
            if let Some(fleet) = self.fleets.get_mut(namespace) {
                note_revisions(fleet, last_moves.get(namespace).copied(), now);
            }
        }
        ids
    }

    /// Places one device. Gives its plan where it has to move, or has not been given the orders.
    fn place_one(
        &mut self,
        id: &EnrollmentId,
        public_url: &str,
        now: Timestamp,
        kept: &mut Kept,
        compiled: impl FnOnce(),
    ) -> Option<Arc<Plan>> {
        let device = self.devices.get_mut(id)?;
        let fleet = self.fleets.get_mut(&device.enrollment.namespace)?;
        fleet.resum = true;
        if device.enrollment.state == EnrollmentState::Ended {
            device.groups = Arc::default();
            device.assignments = Arc::default();
            device.plan = None;
            device.verdicts = Box::default();
            device.profiles = Box::default();
            self.judge.insert(id.clone());
            return None;
        }
        let groups = fleet.policies.groups_of(&device.candidate());
        let concern = fleet.classes.concern(&fleet.policies, groups);
        (device.groups, device.assignments) = (concern.groups, concern.assignments);
        let enrollment = &device.enrollment;
        let plan = fleet.classes.plan(
            &fleet.policies,
            public_url,
            enrollment,
            &device.assignments,
            compiled,
        );
        if device
            .plan
            .as_ref()
            .is_none_or(|known| !Arc::ptr_eq(known, &plan))
        {
            if device
                .plan
                .as_ref()
                .is_some_and(|known| known.needs != plan.needs)
            {
                // What was never asked for is not known.
                device.evidence_due = next_look(id, NEWS_SPREAD, now);
                device.occasion = Occasion::Event;
                self.evidence.at(device.evidence_due, id.clone());
            }
            device.verdicts = kept.verdicts(device, &plan);
            device.profiles = Box::default();
            device.plan = Some(plan.clone());
            self.judge.insert(id.clone());
        }
        if !device.active() {
            return None;
        }
        if device.enrollment.manifest != Some(plan.manifest.id) {
            device.ordered = false;
            device.holds = None;
        }
        (!device.ordered).then_some(plan)
    }
}

/// Notes which revision of each assignment is in force from now on.
fn note_revisions(fleet: &mut Fleet, last_move: Option<Timestamp>, now: Timestamp) {
    let policies = &fleet.policies;
    let before = std::mem::take(&mut fleet.in_force);
    // Before the first plan nothing is known: what a process that was stopped has done is found in the pointers.
    let last_move = last_move.filter(|_| before.is_empty());
    fleet.in_force = policies
        .assignments
        .iter()
        .map(|(name, assignment)| {
            let in_force = InForce::of(policies, assignment, before.get(name), last_move, now);
            (name.clone(), in_force)
        })
        .collect();
}

/// Which verdicts stay true from one plan to the next: those on demands that want the same evidence. Found once for two plans.
#[derive(Default)]
struct Kept(HashMap<(usize, usize), Vec<Option<usize>>>);

impl Kept {
    fn verdicts(&mut self, device: &Device, new: &Arc<Plan>) -> Box<[Verdict]> {
        let Some(old) = &device.plan else {
            return Box::default();
        };
        let plans = (Arc::as_ptr(old).addr(), Arc::as_ptr(new).addr());
        let places = self.0.entry(plans).or_insert_with(|| places(old, new));
        let verdict = |place: &Option<usize>| {
            let known = place.and_then(|place| device.verdicts.get(place));
            known.copied().unwrap_or(Verdict::Unknown)
        };
        places.iter().map(verdict).collect()
    }
}

/// Where the old plan has each demand of the new one.
fn places(old: &Plan, new: &Plan) -> Vec<Option<usize>> {
    let known: HashMap<_, _> = old
        .demands
        .iter()
        .enumerate()
        .map(|(place, demand)| ((&demand.assignment, demand.key()), place))
        .collect();
    let unchanged = |demand: &Demand| {
        let place = *known.get(&(&demand.assignment, demand.key()))?;
        (old.demands.get(place)?.evidence == demand.evidence).then_some(place)
    };
    new.demands.iter().map(unchanged).collect()
}

#[cfg(test)]
mod tests;
