//! Placing: the groups, class and plan of each device, its pointer, and the orders that bring it there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::Planner;
use crate::api::common::Verdict;
use crate::compliance::Facts;
use crate::controllers::fleet::assignment_status::InForce;
use crate::controllers::fleet::device::Device;
use crate::controllers::fleet::orders::{self, Issue};
use crate::controllers::fleet::world::Fleet;
use crate::ids::{Digest, EnrollmentId, Namespace};
use crate::policy::{Manifest, Plan};
use crate::store::{EnrollmentState, StoreError};

/// Devices to point and to give orders to.
type Moves = Vec<(EnrollmentId, Arc<Plan>)>;

impl Planner {
    /// Finds the plan of every device whose place may have changed, points devices at their manifests and gives the orders.
    pub(super) async fn place(&mut self) -> Result<(), StoreError> {
        let mut moves = Moves::new();
        let mut kept = Kept::default();
        for id in self.to_place() {
            if let Some(plan) = self.place_one(&id, &mut kept) {
                moves.push((id, plan));
            }
        }
        let classes: usize = self
            .world
            .fleets
            .values()
            .map(|fleet| fleet.classes.count())
            .sum();
        self.context
            .metrics
            .classes
            .set(i64::try_from(classes).unwrap_or(i64::MAX));
        if moves.is_empty() {
            return Ok(());
        }
        let outcome = self.carry_out(&moves).await;
        if outcome.is_err() {
            // What was done already will be found done; what was not is still to do.
            self.world.replace.extend(moves.into_iter().map(|(id, _)| id));
        }
        outcome
    }

    /// The devices to place: those that changed, and all of a fleet whose policy did.
    fn to_place(&mut self) -> HashSet<EnrollmentId> {
        let now = self.context.clock.now();
        let mut replan: HashSet<Namespace> = HashSet::new();
        for (namespace, fleet) in &mut self.world.fleets {
            if std::mem::take(&mut fleet.replan) {
                fleet.classes.renew();
                fleet.resum = true;
                replan.insert(namespace.clone());
            }
        }
        let mut ids = std::mem::take(&mut self.world.replace);
        if replan.is_empty() {
            return ids;
        }
        let mut last_moves: HashMap<&Namespace, Timestamp> = HashMap::new();
        let concerned = self
            .world
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
            if let Some(fleet) = self.world.fleets.get_mut(namespace) {
                note_revisions(fleet, last_moves.get(namespace).copied(), now);
            }
        }
        ids
    }

    /// Places one device. Gives its plan where it has to move, or has not been given the orders.
    fn place_one(&mut self, id: &EnrollmentId, kept: &mut Kept) -> Option<Arc<Plan>> {
        let device = self.world.devices.get_mut(id)?;
        let fleet = self.world.fleets.get_mut(&device.enrollment.namespace)?;
        fleet.resum = true;
        if device.enrollment.state == EnrollmentState::Ended {
            device.groups = Arc::default();
            device.assignments = Arc::default();
            device.plan = None;
            device.verdicts = Box::default();
            device.profiles = Box::default();
            self.world.judge.insert(id.clone());
            return None;
        }
        let groups = fleet.policies.groups_of(&device.candidate());
        (device.groups, device.assignments) = fleet.classes.concerned(&fleet.policies, groups);
        let compiles = &self.context.metrics.policy_compiles;
        let public_url = &self.settings.public_url;
        let plan = fleet.classes.plan(
            &fleet.policies,
            public_url,
            &device.enrollment,
            &device.assignments,
            || {
                compiles.inc();
            },
        );
        if device
            .plan
            .as_ref()
            .is_none_or(|known| !Arc::ptr_eq(known, &plan))
        {
            device.verdicts = kept.verdicts(device, &plan);
            device.profiles = Box::default();
            device.plan = Some(plan.clone());
            self.world.judge.insert(id.clone());
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

    async fn carry_out(&mut self, moves: &Moves) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let pointers: Vec<(EnrollmentId, Digest)> = moves
            .iter()
            .filter(|(id, plan)| {
                self.world
                    .devices
                    .get(id)
                    .is_some_and(|device| device.enrollment.manifest != Some(plan.manifest.id))
            })
            .map(|(id, plan)| (id.clone(), plan.manifest.id))
            .collect();
        let wanted: HashSet<Digest> = pointers.iter().map(|(_, manifest)| *manifest).collect();
        let manifests: HashMap<Digest, &Manifest> = moves
            .iter()
            .map(|(_, plan)| (plan.manifest.id, &plan.manifest))
            .collect();
        for manifest in manifests
            .into_values()
            .filter(|manifest| wanted.contains(&manifest.id))
        {
            self.context
                .store
                .keep_manifest(Arc::new(manifest.clone()))
                .await?;
        }
        let written = self.context.store.point(&pointers, now).await?;
        if written > 0 {
            self.context
                .metrics
                .pointer_writes
                .inc_by(u64::try_from(written).unwrap_or_default());
            self.context.metrics.pointer_transactions.inc();
            tracing::info!(devices = written, "devices were pointed at another manifest");
        }
        for (id, manifest) in pointers {
            if let Some(device) = self.world.devices.get_mut(&id) {
                device.enrollment.previous_manifest = device.enrollment.manifest;
                device.enrollment.manifest = Some(manifest);
                device.enrollment.manifest_at = Some(now);
                self.world.judge.insert(id);
            }
        }
        let ids: Vec<EnrollmentId> = moves.iter().map(|(id, _)| id.clone()).collect();
        self.order(&ids, false).await?;
        for id in &ids {
            if let Some(device) = self.world.devices.get_mut(id) {
                device.ordered = true;
            }
        }
        Ok(())
    }

    /// Queues what brings devices to their manifests. `again`: also what they already claim to hold.
    pub(super) async fn order(&self, ids: &[EnrollmentId], again: bool) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let issue = Issue {
            now,
            entropy: self.context.entropy.as_ref(),
        };
        let mut commands = Vec::new();
        for id in ids {
            let Some(device) = self.world.devices.get(id) else {
                continue;
            };
            let Some(plan) = device.plan.as_ref().filter(|_| device.active()) else {
                continue;
            };
            // Only devices without declarative management are told profile by profile.
            let facts = if device.enrollment.declarative {
                Facts::default()
            } else {
                self.context.store.facts(id).await?
            };
            commands.extend(orders::to_hold(
                &device.enrollment,
                &plan.manifest,
                &facts,
                again,
                &issue,
            ));
        }
        if !commands.is_empty() {
            self.context.store.enqueue(commands, now).await?;
        }
        Ok(())
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
    let unchanged = |demand: &crate::compliance::Demand| {
        let place = *known.get(&(&demand.assignment, demand.key()))?;
        (old.demands.get(place)?.evidence == demand.evidence).then_some(place)
    };
    new.demands.iter().map(unchanged).collect()
}
