//! Asking devices for evidence, and correcting those that may not be corrected at once.

use std::time::Duration;

use jiff::Timestamp;

use super::Planner;
use crate::controllers::fleet::device::Device;
use crate::controllers::fleet::orders::{self, Issue};
use crate::controllers::watch::Chain;
use crate::ids::EnrollmentId;
use crate::store::StoreError;

/// Devices asked in one transaction.
const BATCH: usize = 1_024;
/// How soon to try again what the store did not take.
const RETRY: Duration = Duration::from_secs(10);

impl Planner {
    /// Asks the devices whose evidence is due.
    pub(super) async fn ask_for_evidence(&mut self) {
        let now = self.context.clock.now();
        let mut due = Vec::new();
        for id in self.world.evidence.due(&now) {
            let Some(device) = self.world.devices.get(&id) else {
                continue;
            };
            if device.evidence_due > now {
                // Asked meanwhile, and due again later.
                continue;
            }
            let asked = device.active();
            self.world
                .look_at(&id, later(now, self.settings.evidence_interval));
            if asked {
                due.push(id);
            }
        }
        while !due.is_empty() {
            let batch = due.split_off(due.len().saturating_sub(BATCH));
            match self.ask(&batch, now).await {
                Ok(()) => self.note_asked(&batch),
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "evidence could not be asked for and will be in a moment");
                    for id in &batch {
                        self.world.look_at(id, later(now, RETRY));
                    }
                }
            }
        }
    }

    async fn ask(&self, ids: &[EnrollmentId], now: Timestamp) -> Result<(), StoreError> {
        let issue = Issue {
            now,
            entropy: self.context.entropy.as_ref(),
        };
        let devices: Vec<&Device> = ids.iter().filter_map(|id| self.world.devices.get(id)).collect();
        let questions = devices
            .iter()
            .flat_map(|device| orders::for_evidence(&device.enrollment, &issue))
            .collect();
        // Whoever is still not where it should be is told once more: an order may have been given up or have failed.
        let late = devices
            .into_iter()
            .filter(|device| !device.synced() || device.fails_what_is_served());
        let late: Vec<EnrollmentId> = late.map(|device| device.id().clone()).collect();
        self.context.store.enqueue(questions, now).await?;
        self.order(&late, false).await
    }

    /// What somebody asked for with the annotation is done for these.
    fn note_asked(&mut self, ids: &[EnrollmentId]) {
        for id in ids {
            let Some(device) = self.world.devices.get_mut(id) else {
                continue;
            };
            let asked = device.object.as_ref().and_then(|object| object.reconcile.clone());
            if asked.is_some() && asked != device.handled {
                device.handled = asked;
                self.world.judge.insert(id.clone());
            }
        }
    }

    /// Corrects the devices that left their desired state again soon after a correction, and have not come back by themselves.
    pub(super) async fn correct(&mut self) {
        let now = self.context.clock.now();
        let due = self.corrections.due(&now);
        let ids: Vec<EnrollmentId> = due
            .into_iter()
            .filter(|id| {
                let device = self.world.devices.get(id);
                device.is_some_and(|device| {
                    device.active() && device.has_applied() && device.needs_correction()
                })
            })
            .collect();
        if ids.is_empty() {
            return;
        }
        if let Err(error) = self.order(&ids, true).await {
            tracing::error!(error = %Chain(&error), "devices could not be corrected and will be in a moment");
            for id in ids {
                self.corrections.at(later(now, RETRY), id);
            }
            return;
        }
        tracing::info!(
            devices = ids.len(),
            "devices have left their desired state again and are corrected"
        );
        self.context
            .metrics
            .corrections
            .inc_by(u64::try_from(ids.len()).unwrap_or_default());
        for id in &ids {
            if let Some(device) = self.world.devices.get_mut(id) {
                device.corrected_at = Some(now);
            }
        }
    }
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
