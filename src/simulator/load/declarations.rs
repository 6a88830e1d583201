//! Syncs of declarations: the tokens, the items, and every declaration.

use std::time::Instant;

use super::LoadError;
use super::measure::{Measured, Tally};
use super::run::{ProxyLoad, Turns, Worker};
use crate::simulator::declarative::Manifest;

/// Has each device sync all of its declarations, as if it had none. One unit is a whole sync of at least one declaration. When all devices have
/// been through, they begin again.
///
/// # Errors
/// When the address cannot be used.
pub async fn sync(load: &ProxyLoad) -> Result<Measured, LoadError> {
    let turns = Turns::round(load.fleet.clone());
    load.run("whole syncs of declarations", turns, sync_all).await
}

async fn sync_all(mut worker: Worker) -> Tally {
    // Devices of one class have the same items: they are read once.
    let mut known = Items::default();
    while let Some(device) = worker.next() {
        let started = Instant::now();
        if !worker.declarative(&device, "tokens").await
            || !worker.declarative(&device, "declaration-items").await
        {
            continue;
        }
        if let Err(error) = known.learn(worker.body()) {
            worker.tally.error(format!("declaration-items: {error}"));
            continue;
        }
        if known.endpoints.is_empty() {
            worker
                .tally
                .error("no declarations: is there an assignment for these devices?");
            continue;
        }
        let mut all = true;
        for endpoint in &known.endpoints {
            all &= worker.declarative(&device, endpoint).await && !worker.body().is_empty();
        }
        if all {
            worker.tally.done(started.elapsed());
        }
    }
    worker.tally
}

/// The declarations of an answer to `declaration-items`.
#[derive(Default)]
struct Items {
    document: Vec<u8>,
    endpoints: Vec<String>,
}

impl Items {
    fn learn(&mut self, document: &[u8]) -> Result<(), serde_json::Error> {
        if self.document == document {
            return Ok(());
        }
        let manifest: Manifest = serde_json::from_slice(document)?;
        let items = manifest.items();
        self.endpoints = items
            .map(|(kind, item)| format!("declaration/{}/{}", kind.path(), item.identifier))
            .collect();
        document.clone_into(&mut self.document);
        Ok(())
    }
}
