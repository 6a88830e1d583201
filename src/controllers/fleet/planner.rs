//! The planner's task: takes in what happened, and acts on it in rounds.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use kube::Api;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::api::common::Verdict;
use crate::controllers::Context;
use crate::controllers::error::backoff;
use crate::controllers::watch::Chain;
use crate::ids::{Digest, EnrollmentId, Namespace};
use crate::policy::{Manifest, Plan};
use crate::store::{Change, EnrollmentState, StoreError};

use super::device::Device;
use super::evaluate::{self, evaluate};
use super::orders::{self, Issue};
use super::world::World;
use super::{Event, Settings};

/// How long to wait for more before a round.
const PAUSE: Duration = Duration::from_millis(100);
/// How often due evidence and failed devices are looked for.
const TICK: Duration = Duration::from_secs(1);
/// Devices judged at once.
const CONCURRENCY: usize = 16;
/// Devices judged in one round, so that policy changes do not wait for a whole fleet.
const ROUND: usize = 1_024;
/// Enrolments read at once at the start.
const PAGE: usize = 1_000;
/// The shortest time between two corrections of one device.
const CORRECTION_PAUSE: Duration = Duration::from_secs(60);
/// The shortest time between two writings of the sums.
const SUM_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Planner {
    context: Context,
    settings: Settings,
    world: World,
    /// Enrolments that the store says have changed.
    changed: HashSet<EnrollmentId>,
    /// Devices that could not be brought up to date, and when to try again.
    retry: BTreeMap<Instant, Vec<EnrollmentId>>,
    loaded: bool,
    summed_at: Option<Instant>,
}

impl Planner {
    pub(super) fn new(context: Context, settings: Settings) -> Self {
        Self {
            context,
            settings,
            world: World::default(),
            changed: HashSet::new(),
            retry: BTreeMap::new(),
            loaded: false,
            summed_at: None,
        }
    }

    pub(super) async fn run(mut self, mut events: mpsc::Receiver<Event>, shutdown: CancellationToken) {
        let mut changes = self.context.store.changes();
        let mut tick = tokio::time::interval(TICK);
        let mut round: Option<Instant> = None;
        loop {
            let wake = async {
                match round {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.recv() => match event {
                    Some(event) => self.world.observe(event),
                    None => return,
                },
                change = changes.recv() => self.take(change, &mut changes),
                _ = tick.tick() => self.tick().await,
                () = wake => {
                    round = None;
                    if let Err(error) = self.round().await {
                        tracing::error!(error = %Chain(&error), "planning was interrupted and will be repeated");
                    }
                }
            }
            if round.is_none()
                && self.world.complete()
                && (self.world.due() || !self.changed.is_empty() || !self.loaded)
            {
                round = Some(Instant::now() + PAUSE);
            }
        }
    }

    /// Takes in a change, and what else has come by now.
    fn take(&mut self, first: Result<Change, RecvError>, feed: &mut broadcast::Receiver<Change>) {
        let mut next = Some(first);
        while let Some(change) = next.take() {
            match change {
                Ok(Change::Enrollment(id) | Change::Facts(id)) => {
                    self.changed.insert(id);
                }
                Ok(Change::Work(_)) => {}
                // Too much has happened to follow each: look at everything again.
                Err(RecvError::Lagged(_)) => self.loaded = false,
                Err(RecvError::Closed) => return,
            }
            next = feed.try_recv().ok().map(Ok);
        }
    }

    async fn round(&mut self) -> Result<(), StoreError> {
        if !self.loaded {
            self.load().await?;
            self.loaded = true;
        }
        self.refresh().await?;
        self.delete().await;
        self.place().await?;
        self.judge().await;
        self.sums().await;
        Ok(())
    }

    /// Reads every enrolment.
    async fn load(&mut self) -> Result<(), StoreError> {
        let mut after: Option<EnrollmentId> = None;
        loop {
            let page = self.context.store.enrollments(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            for enrollment in page {
                self.meet(enrollment);
            }
        }
        self.context
            .metrics
            .devices
            .set(i64::try_from(self.world.devices.len()).unwrap_or(i64::MAX));
        Ok(())
    }

    fn meet(&mut self, enrollment: crate::store::Enrollment) {
        let due = self.first_evidence(&enrollment.id);
        self.world.enroll(Device::new(enrollment, due));
    }

    /// Spreads the first look over one interval, by the device's own digest: a restart does not ask everybody at once.
    fn first_evidence(&self, id: &EnrollmentId) -> jiff::Timestamp {
        let share = u64::from(Digest::of(id.as_str().as_bytes()).0[0]) + 1;
        let wait = self.settings.evidence_interval.as_millis() as u64 * share / 256;
        self.context
            .clock
            .now()
            .saturating_add(Duration::from_millis(wait))
            .unwrap_or(jiff::Timestamp::MAX)
    }

    /// Reads the enrolments that have changed.
    async fn refresh(&mut self) -> Result<(), StoreError> {
        let store = self.context.store.clone();
        let ids: Vec<EnrollmentId> = self.changed.drain().collect();
        let mut read = stream::iter(ids)
            .map(|id| {
                let store = store.clone();
                async move { (store.enrollment(&id).await, id) }
            })
            .buffer_unordered(CONCURRENCY);
        let mut met = Vec::new();
        let mut failure = None;
        while let Some((result, id)) = read.next().await {
            match result {
                Ok(found) => met.extend(found),
                Err(error) => {
                    self.changed.insert(id);
                    failure = Some(error);
                }
            }
        }
        drop(read);
        for enrollment in met {
            let news = self.world.devices.get(&enrollment.id).is_some_and(|known| {
                enrollment.applied_manifest.is_some()
                    && known.enrollment.applied_manifest != enrollment.applied_manifest
            });
            let id = enrollment.id.clone();
            self.meet(enrollment);
            if news && let Some(device) = self.world.devices.get_mut(&id) {
                // What was just applied shows in fresh evidence only.
                device.evidence_due = self.context.clock.now();
            }
        }
        self.context
            .metrics
            .devices
            .set(i64::try_from(self.world.devices.len()).unwrap_or(i64::MAX));
        failure.map_or(Ok(()), Err)
    }

    /// Carries out deletions.
    async fn delete(&mut self) {
        for key in std::mem::take(&mut self.world.deleting) {
            let result = match self.world.by_object(&key) {
                Some(device) => evaluate::delete(&self.context, device).await,
                None => self.release(&key).await,
            };
            if let Err(error) = result {
                tracing::warn!(device.name = key.1, error = %Chain(&error), "a deletion was interrupted and will be repeated");
                self.world.deleting.insert(key);
            }
        }
    }

    /// An object without an enrolment holds nothing back.
    async fn release(&self, (namespace, name): &(String, String)) -> Result<(), evaluate::Error> {
        let api: Api<api::Device> = Api::namespaced(self.context.client.clone(), namespace);
        match api.get_opt(name).await? {
            Some(object) => evaluate::release(&api, &object).await,
            None => Ok(()),
        }
    }

    /// Finds the plan of every device whose place may have changed, points devices at their manifests and gives the orders.
    async fn place(&mut self) -> Result<(), StoreError> {
        let mut moved: Vec<(EnrollmentId, Arc<Plan>)> = Vec::new();
        for id in self.to_place() {
            if let Some(plan) = self.place_one(&id) {
                moved.push((id, plan));
            }
        }
        let classes: usize = self.world.fleets.values().map(|fleet| fleet.classes.len()).sum();
        self.context
            .metrics
            .classes
            .set(i64::try_from(classes).unwrap_or(i64::MAX));
        if moved.is_empty() {
            return Ok(());
        }
        let now = self.context.clock.now();
        let manifests: HashMap<Digest, &Manifest> = moved
            .iter()
            .map(|(_, plan)| (plan.manifest.id, &plan.manifest))
            .collect();
        let outcome = async {
            for manifest in manifests.into_values() {
                self.context
                    .store
                    .keep_manifest(Arc::new(manifest.clone()))
                    .await?;
            }
            let pointers: Vec<_> = moved
                .iter()
                .map(|(id, plan)| (id.clone(), plan.manifest.id))
                .collect();
            self.context.store.point(&pointers, now).await
        }
        .await;
        let written = match outcome {
            Ok(written) => written,
            Err(error) => {
                self.world.replace.extend(moved.into_iter().map(|(id, _)| id));
                return Err(error);
            }
        };
        if written > 0 {
            self.context.metrics.pointer_writes.inc_by(written as u64);
            self.context.metrics.pointer_transactions.inc();
            tracing::info!(devices = written, "devices were pointed at another manifest");
        }
        for (id, plan) in &moved {
            self.note_move(id, plan);
        }
        self.order(moved.into_iter().map(|(id, _)| id).collect(), false)
            .await
    }

    /// The devices to place: those that changed, and all of a fleet whose policy did.
    fn to_place(&mut self) -> Vec<EnrollmentId> {
        let mut replan: HashSet<Namespace> = HashSet::new();
        for (namespace, fleet) in &mut self.world.fleets {
            if std::mem::take(&mut fleet.replan) {
                fleet.classes.clear();
                fleet.resum = true;
                replan.insert(namespace.clone());
            }
        }
        let mut ids = std::mem::take(&mut self.world.replace);
        if !replan.is_empty() {
            let concerned = self
                .world
                .devices
                .values()
                .filter(|device| replan.contains(&device.enrollment.namespace));
            ids.extend(concerned.map(|device| device.enrollment.id.clone()));
        }
        ids.into_iter().collect()
    }

    /// Places one device. Gives its plan where it has to move (or has not yet been told).
    fn place_one(&mut self, id: &EnrollmentId) -> Option<Arc<Plan>> {
        let device = self.world.devices.get_mut(id)?;
        let namespace = device.enrollment.namespace.clone();
        let fleet = self.world.fleets.get_mut(&namespace)?;
        fleet.resum = true;
        self.world.judge.insert(id.clone());
        if device.enrollment.state == EnrollmentState::Ended {
            device.groups.clear();
            device.assignments = Arc::default();
            device.plan = None;
            if device.object.is_none() {
                self.world.forget(id);
            }
            return None;
        }
        device.groups = fleet.policies.groups_of(&device.candidate());
        device.assignments = fleet.policies.assignments_of(&device.groups);
        let compiles = &self.context.metrics.policy_compiles;
        let plan = fleet.classes.plan(
            &namespace,
            &fleet.policies,
            &self.settings.public_url,
            device,
            || {
                compiles.inc();
            },
        );
        let first = device.plan.is_none();
        device.plan = Some(plan.clone());
        if !device.active() {
            return None;
        }
        let moves = device.enrollment.manifest != Some(plan.manifest.id);
        // After a restart it is not known whether the orders went out; giving them again does no harm.
        (moves || (first && !device.synced())).then_some(plan)
    }

    fn note_move(&mut self, id: &EnrollmentId, plan: &Arc<Plan>) {
        let Some(device) = self.world.devices.get_mut(id) else {
            return;
        };
        if device.enrollment.manifest == Some(plan.manifest.id) {
            return;
        }
        device.enrollment.previous_manifest = device.enrollment.manifest;
        device.enrollment.manifest = Some(plan.manifest.id);
        if let Some(fleet) = self.world.fleets.get_mut(&device.enrollment.namespace) {
            for assignment in device.assignments.iter() {
                *fleet.moved.entry(assignment.clone()).or_default() += 1;
            }
        }
    }

    /// Queues what brings devices to their manifests. `again`: also what they already claim to hold.
    async fn order(&mut self, ids: Vec<EnrollmentId>, again: bool) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let mut commands = Vec::new();
        for id in ids {
            let Some(device) = self.world.devices.get(&id) else {
                continue;
            };
            let Some(plan) = device.plan.as_ref().filter(|_| device.active()) else {
                continue;
            };
            // Only devices without declarative management are told profile by profile.
            let mut facts = if device.enrollment.declarative {
                crate::compliance::Facts::default()
            } else {
                self.context.store.facts(&id).await?
            };
            if again {
                facts.profiles = None;
            }
            let issue = Issue {
                now,
                entropy: self.context.entropy.as_ref(),
            };
            commands.extend(orders::to_hold(
                &device.enrollment,
                &plan.manifest,
                &facts,
                &issue,
            ));
        }
        if !commands.is_empty() {
            self.context.store.enqueue(commands, now).await?;
        }
        Ok(())
    }

    /// Judges devices, some at a time.
    async fn judge(&mut self) {
        let ids: Vec<EnrollmentId> = self.world.judge.iter().take(ROUND).cloned().collect();
        for id in &ids {
            self.world.judge.remove(id);
        }
        let context = self.context.clone();
        let devices: Vec<Device> = ids
            .iter()
            .filter_map(|id| self.world.devices.get(id).cloned())
            .collect();
        let mut judged = stream::iter(devices)
            .map(|device| {
                let context = context.clone();
                async move { (evaluate(&context, &device).await, device.enrollment.id) }
            })
            .buffer_unordered(CONCURRENCY);
        let mut results = Vec::new();
        while let Some(result) = judged.next().await {
            results.push(result);
        }
        drop(judged);
        let mut drifted = Vec::new();
        for (result, id) in results {
            match result {
                Ok(outcome) => {
                    if self.keep(&id, outcome) {
                        drifted.push(id);
                    }
                }
                Err(error) => self.failed(id, &error),
            }
        }
        self.correct(drifted).await;
    }

    /// Keeps what an evaluation found; true where the device has to be corrected.
    fn keep(&mut self, id: &EnrollmentId, outcome: evaluate::Outcome) -> bool {
        let now = self.context.clock.now();
        let Some(device) = self.world.devices.get_mut(id) else {
            return false;
        };
        device.failures = 0;
        // Verdicts, and whether it holds what it should, are summed up.
        if (device.verdicts != outcome.verdicts || device.status_digest != outcome.status_digest)
            && let Some(fleet) = self.world.fleets.get_mut(&device.enrollment.namespace)
        {
            fleet.resum = true;
        }
        device.verdicts = outcome.verdicts;
        device.status_digest = outcome.status_digest;
        if device.object.is_none() {
            device.object = outcome.object;
        }
        if outcome.handled.is_some() {
            device.handled = outcome.handled;
        }
        let asked = device.object.as_ref().and_then(|object| object.reconcile.clone());
        if asked.is_some() && asked != device.handled {
            device.handled = asked;
            device.evidence_due = now;
            self.world.judge.insert(id.clone());
        }
        let rested = device
            .corrected_at
            .is_none_or(|at| now.duration_since(at).unsigned_abs() >= CORRECTION_PAUSE);
        outcome.drifted && device.active() && rested
    }

    fn failed(&mut self, id: EnrollmentId, error: &evaluate::Error) {
        let Some(device) = self.world.devices.get_mut(&id) else {
            return;
        };
        device.failures += 1;
        let mut jitter = [0];
        self.context.entropy.fill(&mut jitter);
        let wait = backoff(device.failures, jitter[0]);
        tracing::warn!(
            device.id = %id,
            error = %Chain(error),
            retry_seconds = wait.as_secs(),
            "a device could not be brought up to date"
        );
        self.retry.entry(Instant::now() + wait).or_default().push(id);
    }

    /// Tells devices that have left their desired state to apply it again.
    async fn correct(&mut self, drifted: Vec<EnrollmentId>) {
        if drifted.is_empty() {
            return;
        }
        let now = self.context.clock.now();
        tracing::info!(
            devices = drifted.len(),
            "devices have left their desired state and are corrected"
        );
        self.context.metrics.corrections.inc_by(drifted.len() as u64);
        for id in &drifted {
            if let Some(device) = self.world.devices.get_mut(id) {
                device.corrected_at = Some(now);
            }
        }
        if let Err(error) = self.order(drifted, true).await {
            // They still fail at the next look at their evidence, and are told then.
            tracing::error!(error = %Chain(&error), "a correction was interrupted");
        }
    }

    /// Looks for evidence that is due and for devices to try again.
    async fn tick(&mut self) {
        let instant = Instant::now();
        while let Some(entry) = self.retry.first_entry().filter(|entry| *entry.key() <= instant) {
            self.world.judge.extend(entry.remove());
        }
        let now = self.context.clock.now();
        let interval = self.settings.evidence_interval;
        let mut commands = Vec::new();
        let mut again = Vec::new();
        for device in self
            .world
            .devices
            .values_mut()
            .filter(|device| device.active() && device.evidence_due <= now)
        {
            device.evidence_due = now.saturating_add(interval).unwrap_or(jiff::Timestamp::MAX);
            let issue = Issue {
                now,
                entropy: self.context.entropy.as_ref(),
            };
            commands.extend(orders::for_evidence(&device.enrollment, &issue));
            let fails = device.verdicts.contains(&Verdict::Fail);
            if device.plan.is_some() && (fails || !device.synced()) {
                again.push(device.enrollment.id.clone());
            }
        }
        if commands.is_empty() {
            return;
        }
        let result = async {
            self.context.store.enqueue(commands, now).await?;
            self.order(again, false).await
        }
        .await;
        if let Err(error) = result {
            tracing::error!(error = %Chain(&error), "evidence could not be asked for and will be at the next interval");
        }
    }

    /// Writes the statuses of policy objects, not too often.
    async fn sums(&mut self) {
        let now = Instant::now();
        if self
            .summed_at
            .is_some_and(|at| now.duration_since(at) < SUM_PAUSE)
        {
            return;
        }
        self.summed_at = Some(now);
        super::sums::write(&self.context, &mut self.world).await;
    }
}
