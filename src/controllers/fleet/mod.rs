//! The planner: what each device should hold, and how it stands.
//!
//! One task owns the picture of all fleets. It watches the policy objects and the metadata of Devices, follows the store's change
//! feed, and after a short pause for more to come:
//!
//! 1. finds which groups and assignments concern which devices ([`policies`]),
//! 2. compiles one plan for each class of devices ([`classes`]),
//! 3. points devices at their manifests, all in one transaction, and queues the commands that bring them there ([`orders`]),
//! 4. judges the devices that reported something, or for which a waiver begins or ends ([`evaluate`]), and writes their statuses,
//! 5. writes the sums into the statuses of groups, assignments, baselines, profiles and waivers.
//!
//! Nothing is written where nothing but time has changed. Nothing is planned before every kind has been listed once: an empty list
//! would look like a policy that demands nothing.

pub mod assignment_status;
pub mod baseline_status;
pub mod classes;
pub mod device;
pub mod device_status;
pub mod evaluate;
mod group_status;
pub mod orders;
pub mod policies;
pub mod profile_status;
pub mod waivers;

#[cfg(test)]
mod fixtures;
mod object;
mod placement;
mod planner;
mod schedule;
mod shared;
mod sums;
mod tally;
mod waiting;
mod waiver_status;
mod world;

use std::time::Duration;

use kube::Api;
use kube::core::metadata::PartialObjectMeta;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{Assignment, Baseline, Device, DeviceGroup, Profile, Waiver};

use super::Context;
use super::watch::{Watched, guarded, plain, watch};

/// How the planner is set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where devices reach the server, such as `https://mdm.example.com`.
    pub public_url: String,
    /// How often each device is asked for evidence.
    pub evidence_interval: Duration,
}

/// Something that happened to an object.
pub(crate) enum Event {
    /// To a Baseline.
    Baseline(Watched<Baseline>),
    /// To a Profile.
    Profile(Watched<Profile>),
    /// To a DeviceGroup.
    Group(Watched<DeviceGroup>),
    /// To an Assignment.
    Assignment(Watched<Assignment>),
    /// To a Waiver.
    Waiver(Watched<Waiver>),
    /// To a Device, of which only the metadata is watched.
    Device(Watched<PartialObjectMeta<Device>>),
}

/// Events that may wait before the watches are held back.
const BACKLOG: usize = 4_096;

/// Plans until `shutdown`.
pub async fn run(context: Context, settings: Settings, shutdown: CancellationToken) {
    let (sender, events) = mpsc::channel(BACKLOG);
    let client = context.client.clone();
    let watches = TaskTracker::new();
    watches.spawn(watch(
        Api::all(client.clone()),
        guarded,
        sender.clone(),
        Event::Baseline,
        shutdown.clone(),
    ));
    watches.spawn(watch(
        Api::all(client.clone()),
        guarded,
        sender.clone(),
        Event::Profile,
        shutdown.clone(),
    ));
    watches.spawn(watch(
        Api::all(client.clone()),
        guarded,
        sender.clone(),
        Event::Group,
        shutdown.clone(),
    ));
    watches.spawn(watch(
        Api::all(client.clone()),
        guarded,
        sender.clone(),
        Event::Assignment,
        shutdown.clone(),
    ));
    watches.spawn(watch(
        Api::all(client.clone()),
        guarded,
        sender.clone(),
        Event::Waiver,
        shutdown.clone(),
    ));
    watches.spawn(watch(
        Api::all(client),
        plain,
        sender,
        Event::Device,
        shutdown.clone(),
    ));
    planner::Planner::new(context, settings)
        .run(events, shutdown)
        .await;
    watches.close();
    watches.wait().await;
}
