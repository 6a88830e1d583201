//! Asking devices for evidence, and correcting those that may not be corrected at once.

use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;

use super::{Planner, some_at_a_time};
use crate::compliance::{Facts, Moment, Needs, Occasion, Source, next_look, questions};
use crate::controllers::fleet::device::Device;
use crate::controllers::fleet::orders::{self, Issue};
use crate::ids::EnrollmentId;
use crate::store::StoreError;
use crate::telemetry::Chain;

/// Devices asked in one transaction.
const BATCH: usize = 1_024;
/// How soon to try again what the store did not take.
const RETRY: Duration = Duration::from_secs(10);
/// How soon to look at a device that was told to apply something again.
pub(super) const AFTER_CORRECTION: Duration = Duration::from_mins(1);

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
            let (active, occasion) = (device.active(), device.occasion);
            let next = next_look(&id, self.settings.evidence_interval, now);
            self.world.look_at(&id, next, Occasion::Schedule);
            if active {
                due.push((id, occasion));
            }
        }
        while !due.is_empty() {
            let batch = due.split_off(due.len().saturating_sub(BATCH));
            match self.ask(&batch, now).await {
                Ok(asked) => self.note_asked(asked, now),
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "evidence could not be asked for and will be in a moment");
                    for (id, occasion) in &batch {
                        self.world.look_at(id, later(now, RETRY), *occasion);
                    }
                }
            }
        }
    }

    /// Asks devices what has to be known of each now. Returns what was asked of whom.
    async fn ask(
        &mut self,
        due: &[(EnrollmentId, Occasion)],
        now: Timestamp,
    ) -> Result<Vec<(EnrollmentId, Vec<Source>)>, StoreError> {
        let issue = Issue {
            now,
            entropy: self.context.entropy.as_ref(),
        };
        let interval = self.settings.evidence_interval;
        let store = &self.context.store;
        let devices: Vec<(&Device, Occasion)> = due
            .iter()
            .filter_map(|(id, occasion)| Some((self.world.devices.get(id)?.as_ref(), *occasion)))
            .collect();
        let reading = devices.iter().map(|(device, occasion)| {
            let (device, occasion) = (*device, *occasion);
            async move { Ok((device, occasion, store.facts(device.id()).await?)) }.boxed()
        });
        let (mut asked, mut commands) = (Vec::new(), Vec::new());
        for known in some_at_a_time(reading.collect()).await {
            let (device, occasion, facts): (&Device, Occasion, Facts) = known?;
            let moment = Moment {
                now,
                interval,
                occasion,
            };
            let nothing = Needs::default();
            let needs = device.plan.as_ref().map_or(&nothing, |plan| &plan.needs);
            let subject = orders::subject(&device.enrollment);
            let questions = questions(&subject, needs, &facts, &device.asked, &moment);
            commands.extend(orders::for_evidence(&device.enrollment, &questions, &issue));
            let sources = questions.iter().map(|question| question.source).collect();
            asked.push((device.id().clone(), sources));
        }
        // Whoever is still not where it should be is told once more: an order may have been given up or have failed.
        let late: Vec<EnrollmentId> = devices
            .iter()
            .filter(|(device, _)| !device.synced() || device.fails_what_is_served())
            .map(|(device, _)| device.id().clone())
            .collect();
        self.context.store.enqueue(commands, now).await?;
        self.order(&late, false).await?;
        // Why it is not there yet may have become another reason.
        self.world.judge.extend(late);
        Ok(asked)
    }

    /// What somebody asked for with the annotation is done for these.
    fn note_asked(&mut self, asked: Vec<(EnrollmentId, Vec<Source>)>, now: Timestamp) {
        for (id, sources) in asked {
            let Some(device) = self.world.devices.get_mut(&id) else {
                continue;
            };
            device.note_asked(&sources, now);
            let request = device.object.as_ref().and_then(|object| object.reconcile.clone());
            if request.is_some() && request != device.handled {
                device.handled = request;
                self.world.judge.insert(id);
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
            self.world
                .look_at(id, later(now, AFTER_CORRECTION), Occasion::Event);
        }
    }
}

pub(super) fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
