//! Judging devices, some at a time, and keeping what was found.

use futures::FutureExt as _;

use super::evidence::{AFTER_CORRECTION, later};
use super::retries::Attempt;
use super::{Planner, some_at_a_time};
use crate::compliance::Occasion;
use crate::controllers::fleet::device::Device;
use crate::controllers::fleet::evaluate::{Correction, Outcome, evaluate};
use crate::ids::EnrollmentId;

/// Devices judged in one round, so that policy changes do not wait for a whole fleet. Tests have small fleets, and want several rounds too.
const ROUND: usize = if cfg!(test) { 2 } else { 1_024 };

impl Planner {
    pub(super) async fn judge(&mut self) {
        let ids: Vec<EnrollmentId> = self.world.judge.iter().take(ROUND).cloned().collect();
        for id in &ids {
            self.world.judge.remove(id);
            self.unjudged.remove(id);
        }
        let (context, devices, fleets) = (&self.context, &self.world.devices, &self.world.fleets);
        let now = context.clock.now();
        let waivers = |device: &Device| {
            let fleet = fleets.get(&device.enrollment.namespace);
            fleet
                .map(|fleet| fleet.policies.waivers_for(device, now))
                .unwrap_or_default()
        };
        let known = ids
            .into_iter()
            .filter_map(|id| devices.get(&id).map(|device| (id, device)));
        let judging = known.map(|(id, device)| {
            let waivers = waivers(device);
            async move { (id, evaluate(context, device, &waivers).await) }.boxed()
        });
        for (id, result) in some_at_a_time(judging.collect()).await {
            match result {
                Ok(outcome) => self.keep(&id, outcome),
                Err(error) => {
                    if let Some(device) = self.world.devices.get_mut(&id) {
                        // Transitions may be recorded that the status does not show.
                        device.status_digest = None;
                    }
                    self.failed(&Attempt::Judge(id), &error);
                }
            }
        }
    }

    /// Keeps what an evaluation found.
    fn keep(&mut self, id: &EnrollmentId, outcome: Outcome) {
        let now = self.context.clock.now();
        self.retries.succeeded(&Attempt::Judge(id.clone()));
        let Some(device) = self.world.devices.get_mut(id) else {
            return;
        };
        // What is summed up shows in the status, too, but for single verdicts and profiles.
        let status = outcome.written.as_ref().map(|written| written.digest);
        let news = device.verdicts != outcome.verdicts
            || device.profiles != outcome.profiles
            || status.is_some_and(|digest| device.status_digest != Some(digest));
        device.verdicts = outcome.verdicts;
        device.profiles = outcome.profiles;
        device.holds = device.plan.is_some().then_some(outcome.holds);
        if outcome.holds && device.active() && !device.has_applied() {
            // The proof came while the device was being pointed at this manifest, and the gateway took it for one of what was before: the
            // device has to say it once more.
            device.ordered = false;
            self.world.replace.insert(id.clone());
        }
        match outcome.correction {
            Correction::NotNeeded => {}
            Correction::Ordered => {
                device.corrected_at = Some(now);
                device.evidence_due = later(now, AFTER_CORRECTION);
                device.occasion = Occasion::Event;
                self.world.evidence.at(device.evidence_due, id.clone());
            }
            Correction::NotBefore(at) => self.corrections.at(at, id.clone()),
        }
        if news && let Some(fleet) = self.world.fleets.get_mut(&device.enrollment.namespace) {
            fleet.resum = true;
        }
        if let Some(written) = outcome.written {
            device.status_digest = Some(written.digest);
            device.handled = written.handled;
            if device.object.is_none() {
                device.object = Some(written.object);
            }
        }
        let asked = device
            .object
            .as_ref()
            .and_then(|object| object.reconcile.as_ref());
        if asked.is_some() && asked != device.handled.as_ref() && device.active() && device.evidence_due > now
        {
            // It is handled when the questions are queued.
            self.world.look_at(id, now, Occasion::Request);
        }
    }
}
