//! Writing the statuses of policy objects: sums over their devices.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::stream;
use kube::{Api, ResourceExt as _};

use crate::controllers::watch::Chain;
use crate::controllers::{Context, status};
use crate::ids::{EnrollmentId, Namespace};

use super::assignment_status::{self, Tally};
use super::device::Device;
use super::world::{Fleet, World};
use super::{baseline_status, group_status, profile_status};

/// How many members a group names.
const SAMPLE: usize = 20;
/// Statuses written at once.
const CONCURRENCY: usize = 8;

/// The sums of one fleet.
#[derive(Default)]
struct Sums {
    tallies: BTreeMap<String, Tally>,
    members: BTreeMap<String, Vec<String>>,
    targeted: BTreeMap<String, usize>,
    applied: BTreeMap<String, usize>,
}

/// Writes what has changed, fleet by fleet. What fails is tried again at the next round.
pub(super) async fn write(context: &Context, world: &mut World) {
    for (namespace, fleet) in &mut world.fleets {
        if !std::mem::take(&mut fleet.resum) {
            continue;
        }
        let sums = sum(namespace, fleet, &world.devices);
        let moved = std::mem::take(&mut fleet.moved);
        if let Err(error) = write_fleet(context, namespace, fleet, sums, &moved).await {
            tracing::warn!(%namespace, error = %Chain(&error), "statuses could not be written and will be again");
            fleet.resum = true;
            fleet.moved = moved;
        }
    }
}

fn sum(
    namespace: &Namespace,
    fleet: &Fleet,
    devices: &std::collections::HashMap<EnrollmentId, Device>,
) -> Sums {
    let mut sums = Sums::default();
    let mut members: Vec<&Device> = devices
        .values()
        .filter(|device| device.enrollment.namespace == *namespace && device.plan.is_some())
        .collect();
    members.sort_by(|a, b| a.enrollment.id.cmp(&b.enrollment.id));
    for device in members {
        for group in &device.groups {
            sums.members
                .entry(group.to_string())
                .or_default()
                .push(device.enrollment.id.device_name());
        }
        for name in device.assignments.iter() {
            sums.tallies
                .entry(name.to_string())
                .or_default()
                .add(name, device);
            let Some(assignment) = fleet.policies.assignments.get(&**name) else {
                continue;
            };
            for profile in &assignment.spec.profiles {
                *sums.targeted.entry(profile.name.clone()).or_default() += 1;
                *sums.applied.entry(profile.name.clone()).or_default() += usize::from(device.synced());
            }
        }
    }
    sums
}

async fn write_fleet(
    context: &Context,
    namespace: &Namespace,
    fleet: &Fleet,
    mut sums: Sums,
    moved: &BTreeMap<std::sync::Arc<str>, usize>,
) -> kube::Result<()> {
    let now = context.clock.now();
    let mut writes: Vec<futures::future::BoxFuture<'_, kube::Result<bool>>> = Vec::new();
    for (name, group) in &fleet.policies.groups {
        let members = sums.members.remove(name).unwrap_or_default();
        let sample = members.iter().take(SAMPLE).cloned().collect();
        let new = group_status::build(group, members.len(), sample, now);
        writes.push(Box::pin(put(context, namespace, group.object.as_ref(), new)));
    }
    for (name, assignment) in &fleet.policies.assignments {
        let tally = sums.tallies.remove(name).unwrap_or_default();
        let missing = fleet.policies.missing(assignment);
        let moved = moved.get(name.as_str()).copied().unwrap_or_default();
        let new = assignment_status::build(assignment, &missing, tally, moved, now);
        writes.push(Box::pin(put(context, namespace, assignment.as_ref(), new)));
    }
    for baseline in fleet.policies.baselines.values() {
        writes.push(Box::pin(put(
            context,
            namespace,
            baseline.as_ref(),
            baseline_status::build(baseline, now),
        )));
    }
    for (name, profile) in &fleet.policies.profiles {
        let count = |counts: &BTreeMap<String, usize>| counts.get(name).copied().unwrap_or_default();
        let new = profile_status::build(profile, count(&sums.targeted), count(&sums.applied), now);
        writes.push(Box::pin(put(context, namespace, profile.as_ref(), new)));
    }
    let mut results = stream::iter(writes).buffer_unordered(CONCURRENCY);
    let mut outcome = Ok(());
    while let Some(result) = results.next().await {
        outcome = outcome.and(result.map(drop));
    }
    outcome
}

async fn put<K>(context: &Context, namespace: &Namespace, object: &K, new: K::Status) -> kube::Result<bool>
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
        Err(error)
            if crate::controllers::error::classify(&error)
                == crate::controllers::error::Class::WaitForChange =>
        {
            tracing::error!(name = object.name_any(), error = %Chain(&error), "a status was refused");
            Ok(false)
        }
        result => result,
    }
}
