//! The controllers: they watch what people wrote and what devices reported, and bring one to the other.
//!
//! `git_source` brings objects from git. `fleet` is one planner for the kinds that only make sense together (Baseline, Profile,
//! DeviceGroup, Assignment and Device): it decides what each device should hold, judges what it reports and writes what
//! came of it. `push_certificate` tells how near the end of a push certificate is. Only the holder of the lease runs them; serving devices needs none of them.

pub mod duration;
pub mod error;
pub mod events;
pub mod fleet;
pub mod git_source;
#[cfg(test)]
mod ground;
pub mod leader;
pub mod push_certificate;
pub mod status;
pub mod watch;

use std::sync::Arc;

use kube::Client;

use crate::clock::{Clock, Entropy};
use crate::store::Store;
use crate::telemetry::Metrics;
use events::Events;

/// What every controller works with.
#[derive(Clone)]
pub struct Context {
    /// The Kubernetes API, real or embedded.
    pub client: Client,
    /// The device plane.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for jitter and command identifiers.
    pub entropy: Arc<dyn Entropy>,
    /// Counters.
    pub metrics: Metrics,
    /// Events on objects.
    pub events: Events,
}

impl Context {
    /// A context over its parts.
    #[must_use]
    pub fn new(
        client: Client,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        metrics: Metrics,
    ) -> Self {
        let events = Events::new(client.clone(), clock.clone(), entropy.clone());
        Self {
            client,
            store,
            clock,
            entropy,
            metrics,
            events,
        }
    }
}
