//! The planner's task: takes in what happened, and acts on it in rounds.
//!
//! Everything that a round fails to do stays noted, and is tried again after a growing pause: by the round as a whole when the store
//! fails, one by one when a device or a deletion does. Stopped at any moment, the next start finds in the store and in the API what is
//! left to do.

mod deleting;
mod enrollments;
mod evidence;
mod judging;
mod placing;
mod retries;

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream;
use jiff::Timestamp;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::controllers::Context;
use crate::controllers::error::backoff;
use crate::ids::EnrollmentId;
use crate::store::{Change, StoreError};
use crate::telemetry::Chain;

use super::schedule::Schedule;
use super::world::World;
use super::{Event, Settings};
use retries::Retries;

/// How long to wait for more before a round.
const PAUSE: Duration = Duration::from_millis(100);
/// How often due evidence and what failed are looked for.
const TICK: Duration = Duration::from_secs(1);
/// Devices worked on at once.
const CONCURRENCY: usize = 16;
/// The shortest time between two writings of the sums; they take at most a tenth of the planner's time.
const SUM_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Planner {
    context: Context,
    settings: Settings,
    world: World,
    /// Enrolments that the store says have changed.
    changed: HashSet<EnrollmentId>,
    /// Devices that have left their desired state, and when they may be corrected (again).
    corrections: Schedule<Timestamp, EnrollmentId>,
    retries: Retries,
    /// Whether every enrolment has been read since the start, or since the feed was last too fast.
    loaded: bool,
    /// Devices that were there at the start and have not been judged since: what the last sums said of them still holds, and sums without
    /// them would say less.
    unjudged: HashSet<EnrollmentId>,
    /// Rounds that failed in a row, and until when to rest for that.
    failures: u32,
    rest_until: Instant,
    /// When the sums may be written again.
    sums_at: Instant,
}

impl Planner {
    pub(super) fn new(context: Context, settings: Settings) -> Self {
        Self {
            context,
            settings,
            world: World::default(),
            changed: HashSet::new(),
            corrections: Schedule::default(),
            retries: Retries::default(),
            loaded: false,
            unjudged: HashSet::new(),
            failures: 0,
            rest_until: Instant::now(),
            sums_at: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, mut events: mpsc::Receiver<Event>, shutdown: CancellationToken) {
        let mut changes = self.context.store.changes();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut round: Option<Instant> = None;
        loop {
            let next = round;
            let wake = async move {
                match next {
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
                change = changes.recv() => if !self.take(change, &mut changes) { return },
                _ = tick.tick() => self.tick().await,
                () = wake => {
                    round = None;
                    let outcome = self.round().await;
                    self.rest(outcome);
                }
            }
            // Never later than what was planned before: a stream of events must not put a round off for ever.
            round = match (round, self.next_round(Instant::now())) {
                (Some(planned), Some(wanted)) => Some(planned.min(wanted)),
                (planned, wanted) => planned.or(wanted),
            };
        }
    }

    /// When there should be a round, for all that is known now.
    fn next_round(&self, now: Instant) -> Option<Instant> {
        if !self.world.complete() {
            return None;
        }
        let work = self.world.due() || !self.changed.is_empty() || !self.loaded;
        let at = match (work, self.world.sums_due()) {
            (true, _) => now + PAUSE,
            (false, true) => self.sums_at.max(now + PAUSE),
            (false, false) => return None,
        };
        Some(at.max(self.rest_until))
    }

    /// Takes in a change, and what else has come by now. False: the store is closed.
    fn take(&mut self, first: Result<Change, RecvError>, feed: &mut broadcast::Receiver<Change>) -> bool {
        let mut next = match first {
            Ok(change) => Ok(change),
            Err(RecvError::Lagged(missed)) => Err(TryRecvError::Lagged(missed)),
            Err(RecvError::Closed) => Err(TryRecvError::Closed),
        };
        loop {
            match next {
                // Users have no Device object: their device stands for them.
                Ok(Change::Enrollment(id) | Change::Facts(id)) if id.is_user() => {}
                Ok(Change::Enrollment(id) | Change::Facts(id)) => {
                    self.changed.insert(id);
                }
                Ok(Change::Work(_)) => {}
                // Too much has happened to follow each: look at everything again.
                Err(TryRecvError::Lagged(_)) => self.loaded = false,
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Closed) => return false,
            }
            next = feed.try_recv();
        }
    }

    async fn round(&mut self) -> Result<(), StoreError> {
        if !self.loaded {
            let known = self.world.devices.len();
            self.load().await?;
            if known == 0 {
                self.unjudged.clone_from(&self.world.judge);
            }
            self.loaded = true;
        }
        self.refresh().await?;
        self.delete().await;
        self.disown().await;
        self.place().await?;
        self.judge().await;
        self.sums().await;
        Ok(())
    }

    /// Rests after a round that failed, the longer the more have.
    fn rest(&mut self, outcome: Result<(), StoreError>) {
        let Err(error) = outcome else {
            self.failures = 0;
            return;
        };
        self.failures += 1;
        let pause = backoff(self.failures, self.jitter());
        self.rest_until = Instant::now() + pause;
        tracing::error!(error = %Chain(&error), retry_seconds = pause.as_secs(), "planning was interrupted and will be repeated");
    }

    fn jitter(&self) -> u8 {
        let mut jitter = [0];
        self.context.entropy.fill(&mut jitter);
        let [jitter] = jitter;
        jitter
    }

    /// Looks for what is due by now.
    async fn tick(&mut self) {
        let now = Instant::now();
        self.retry(now);
        self.world.end_waivers(self.context.clock.now());
        self.correct().await;
        self.ask_for_evidence().await;
    }

    /// Writes the statuses of policy objects, not too often.
    async fn sums(&mut self) {
        let start = Instant::now();
        if !self.world.sums_due() || !self.unjudged.is_empty() || start < self.sums_at {
            return;
        }
        let complete = super::sums::write(&self.context, &mut self.world).await;
        let pause = SUM_PAUSE.max(start.elapsed() * 10);
        let pause = if complete {
            pause
        } else {
            pause.max(backoff(1, self.jitter()))
        };
        self.sums_at = Instant::now() + pause;
    }
}

/// Does all of it, some at a time.
async fn some_at_a_time<T>(work: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    stream::iter(work).buffer_unordered(CONCURRENCY).collect().await
}

#[cfg(test)]
mod tests;
