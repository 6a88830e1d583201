//! Writing the statuses of policy objects: sums over their devices.
//!
//! The sums are counted anew each time, some time apart: in one pass over the devices, in which those of one class that stand alike are
//! counted together. What is counted can be counted again; nothing is added up over time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream;
use jiff::Timestamp;
use kube::{Api, Resource as _, ResourceExt as _};

use crate::api::WaiverStatus;
use crate::api::common::Verdict;
use crate::controllers::error::{Class, classify};
use crate::controllers::watch::Watched;
use crate::controllers::{Context, status};
use crate::ids::{EnrollmentId, Namespace};
use crate::policy::Plan;
use crate::telemetry::Chain;

use super::device::Device;
use super::policies::Policies;
use super::tally::{Alike, Tally};
use super::waivers::KnownWaiver;
use super::world::{Fleet, World};
use super::{Event, assignment_status, baseline_status, group_status, profile_status, waiver_status};

/// How many members a group names.
const SAMPLE: usize = 20;
/// Statuses written at once.
const CONCURRENCY: usize = 8;

/// The sums of one fleet.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) tallies: BTreeMap<Arc<str>, Tally>,
    pub(super) members: BTreeMap<Arc<str>, Members>,
    pub(super) profiles: BTreeMap<Arc<str>, Installed>,
    pub(super) waivers: BTreeMap<Arc<str>, Covered>,
}

/// The devices that a waiver covers, and how many verdicts on them are waived.
#[derive(Debug, Default)]
pub(super) struct Covered {
    pub(super) devices: Members,
    pub(super) waived: usize,
}

/// The members of a group: how many, and the first by name.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) count: usize,
    pub(super) sample: BTreeSet<EnrollmentId>,
}

/// The devices that should have a profile, and those that have it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) targeted: usize,
    pub(super) applied: usize,
}

/// What makes devices alike to the sums.
#[derive(PartialEq, Eq, Hash)]
struct Kind<'a> {
    plan: usize,
    verdicts: &'a [Verdict],
    profiles: &'a [bool],
    synced: bool,
}

struct Crowd<'a> {
    plan: &'a Arc<Plan>,
    assignments: &'a [Arc<str>],
    devices: usize,
}

/// Writes what has changed. True: everything is written; what is not will be tried again.
pub(super) async fn write(context: &Context, world: &mut World) -> bool {
    let due: Vec<Namespace> = world
        .fleets
        .iter()
        .filter(|(_, fleet)| fleet.resum)
        .map(|(namespace, _)| namespace.clone())
        .collect();
    let mut complete = true;
    let mut members: HashMap<&Namespace, Vec<&Device>> = due.iter().map(|name| (name, Vec::new())).collect();
    for device in world.devices.values() {
        if let Some(of_fleet) = members.get_mut(&device.enrollment.namespace) {
            of_fleet.push(device);
        }
    }
    let mut written = Vec::new();
    let mut failed = Vec::new();
    for (namespace, devices) in members {
        let Some(fleet) = world.fleets.get(namespace) else {
            continue;
        };
        let sums = sum(fleet, devices.into_iter(), context.clock.now());
        if let Err(error) = write_fleet(context, namespace, fleet, sums, &mut written).await {
            tracing::warn!(%namespace, error = %Chain(&error), "statuses could not be written and will be again");
            failed.push(namespace.clone());
        }
    }
    for namespace in &due {
        if let Some(fleet) = world.fleets.get_mut(namespace) {
            fleet.resum = failed.contains(namespace);
            complete &= !fleet.resum;
        }
    }
    // The next sums build on what was written, whenever the watch tells of it.
    for event in written {
        world.observe(event);
    }
    complete
}

/// Counts the devices of one fleet.
pub(super) fn sum<'a>(fleet: &Fleet, devices: impl Iterator<Item = &'a Device>, now: Timestamp) -> Sums {
    let mut sums = Sums::default();
    let in_force = fleet.policies.waivers.values();
    let waivers: Vec<&KnownWaiver> = in_force.filter(|waiver| waiver.terms.is_in_force(now)).collect();
    let mut crowds: HashMap<Kind<'_>, Crowd<'_>> = HashMap::new();
    for device in devices {
        let Some(plan) = &device.plan else { continue };
        for group in device.groups.iter() {
            sums.members.entry(group.clone()).or_default().add(device.id());
        }
        for waiver in waivers.iter().filter(|waiver| waiver.is_for(device)) {
            sums.cover(waiver, device, plan);
        }
        let moved_at = device.enrollment.manifest_at;
        for name in device.assignments.iter() {
            let since = fleet.in_force.get(name).map(|in_force| in_force.since);
            if moved_at.zip(since).is_some_and(|(at, since)| at >= since) {
                sums.tallies.entry(name.clone()).or_default().moved += 1;
            }
        }
        let kind = Kind {
            plan: Arc::as_ptr(plan).addr(),
            verdicts: &device.verdicts,
            profiles: &device.profiles,
            synced: device.synced(),
        };
        let crowd = Crowd {
            plan,
            assignments: &device.assignments,
            devices: 0,
        };
        crowds.entry(kind).or_insert(crowd).devices += 1;
    }
    for (kind, crowd) in &crowds {
        sums.add(&fleet.policies, kind, crowd);
    }
    sums
}

impl Sums {
    /// Counts a device that a waiver is for, where one of its rules is demanded of it.
    fn cover(&mut self, waiver: &KnownWaiver, device: &Device, plan: &Plan) {
        let demands = plan.demands.iter().enumerate();
        let mut covered = demands
            .filter(|(_, demand)| waiver.terms.covers(demand))
            .peekable();
        if covered.peek().is_none() {
            return;
        }
        let is_waived = |place: usize| device.verdicts.get(place) == Some(&Verdict::Waived);
        // A rule that several assignments demand is one rule.
        let rules: BTreeSet<&Arc<str>> = covered
            .filter(|(place, _)| is_waived(*place))
            .map(|(_, demand)| demand.key())
            .collect();
        let sum = self.waivers.entry(waiver.terms.name.clone()).or_default();
        sum.devices.add(device.id());
        sum.waived += rules.len();
    }

    fn add(&mut self, policies: &Policies, kind: &Kind<'_>, crowd: &Crowd<'_>) {
        let alike = Alike {
            plan: crowd.plan,
            verdicts: kind.verdicts,
            synced: kind.synced,
            devices: i64::try_from(crowd.devices).unwrap_or(i64::MAX),
        };
        let mut named: BTreeSet<&str> = BTreeSet::new();
        for name in crowd.assignments {
            self.tallies.entry(name.clone()).or_default().add(name, &alike);
            let profiles = policies
                .assignments
                .get(name)
                .map(|found| found.spec.profiles.as_slice());
            named.extend(
                profiles
                    .unwrap_or_default()
                    .iter()
                    .map(|profile| profile.name.as_str()),
            );
        }
        // A device that should have a profile for two assignments is one device.
        for name in named {
            let proof = crowd
                .plan
                .profile_proofs
                .iter()
                .position(|proof| &*proof.profile == name);
            let applied = proof
                .and_then(|index| kind.profiles.get(index))
                .is_some_and(|applied| *applied);
            let installed = self.profiles.entry(name.into()).or_default();
            installed.targeted += crowd.devices;
            installed.applied += if applied { crowd.devices } else { 0 };
        }
    }
}

impl Members {
    fn add(&mut self, id: &EnrollmentId) {
        self.count += 1;
        if self.sample.len() < SAMPLE || self.sample.last().is_some_and(|last| id < last) {
            self.sample.insert(id.clone());
            if self.sample.len() > SAMPLE {
                self.sample.pop_last();
            }
        }
    }
}

async fn write_fleet(
    context: &Context,
    namespace: &Namespace,
    fleet: &Fleet,
    sums: Sums,
    written: &mut Vec<Event>,
) -> kube::Result<()> {
    let mut results = stream::iter(writes(context, namespace, fleet, sums)).buffer_unordered(CONCURRENCY);
    let mut outcome = Ok(());
    while let Some(result) = results.next().await {
        match result {
            Ok(event) => written.extend(event),
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

type Write<'a> = BoxFuture<'a, kube::Result<Option<Event>>>;

/// A write for every object of the fleet; most find that there is nothing to write.
fn writes<'a>(
    context: &'a Context,
    namespace: &'a Namespace,
    fleet: &'a Fleet,
    mut sums: Sums,
) -> Vec<Write<'a>> {
    let now: Timestamp = context.clock.now();
    let mut writes: Vec<Write<'a>> = Vec::new();
    let Policies {
        baselines,
        profiles,
        groups,
        assignments,
        waivers,
    } = &fleet.policies;
    for (name, group) in groups {
        let new = group_status::build(group, &sums.members.remove(name).unwrap_or_default(), now);
        writes.push(Box::pin(put(
            context,
            namespace,
            group.object.as_ref(),
            new,
            Event::Group,
        )));
    }
    for (name, assignment) in assignments {
        let tally = sums.tallies.remove(name).unwrap_or_default();
        let new = assignment_status::build(assignment, &fleet.policies, fleet.in_force.get(name), tally, now);
        writes.push(Box::pin(put(
            context,
            namespace,
            assignment.as_ref(),
            new,
            Event::Assignment,
        )));
    }
    let family = fleet.policies.resolved(baselines.keys().map(AsRef::as_ref));
    for (name, waiver) in waivers {
        let covered = sums.waivers.remove(name).unwrap_or_default();
        let new = waiver_status::build(waiver, &fleet.policies, &covered, now);
        writes.push(Box::pin(put_waiver(context, namespace, waiver, new)));
    }
    for baseline in baselines.values() {
        let new = baseline_status::build(baseline, &family, now);
        writes.push(Box::pin(put(
            context,
            namespace,
            baseline.as_ref(),
            new,
            Event::Baseline,
        )));
    }
    for (name, profile) in profiles {
        let installed = sums.profiles.get(name).copied().unwrap_or_default();
        let new = profile_status::build(profile, installed.targeted, installed.applied, now);
        writes.push(Box::pin(put(
            context,
            namespace,
            profile.as_ref(),
            new,
            Event::Profile,
        )));
    }
    writes
}

/// Writes the status of a waiver, and tells it when it has ended. Losing an event is no harm: the status has it too.
async fn put_waiver(
    context: &Context,
    namespace: &Namespace,
    waiver: &KnownWaiver,
    new: WaiverStatus,
) -> kube::Result<Option<Event>> {
    let object = waiver.object.as_ref();
    let news = waiver_status::news(object.status.as_ref(), &new);
    let written = put(context, namespace, object, new, Event::Waiver).await?;
    if let (Some(_), Some(news)) = (&written, news) {
        tracing::info!(%namespace, waiver.name = object.name_any(), "{}", news.note);
        if let Err(error) = context.events.tell(&object.object_ref(&()), &news).await {
            tracing::debug!(error = %Chain(&error), "an event was not recorded");
        }
    }
    Ok(written)
}

/// Writes a status if it says something new, and gives the object with it.
async fn put<K>(
    context: &Context,
    namespace: &Namespace,
    object: &K,
    new: K::Status,
    event: fn(Watched<K>) -> Event,
) -> kube::Result<Option<Event>>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + kube::core::object::HasStatus
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
    K::Status: serde::Serialize + PartialEq,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace.as_str());
    match status::apply(&api, object, &new, &context.metrics).await {
        Ok(written) => Ok(written.map(|object| event(Watched::Present(Box::new(object))))),
        Err(error) if classify(&error) == Class::WaitForChange => {
            tracing::error!(name = object.name_any(), error = %Chain(&error), "a status was refused");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
