//! Carries the schedule's decisions out: pushes through a [`Pusher`], reports what needs doing elsewhere.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::port::{PushError, Pusher};
use super::core::{Outcome, Push, Schedule, ScheduleSettings, WakeUp};
use super::health::{Health, News};
use crate::clock::Clock;
use crate::telemetry::Chain;

/// How long to wait when the schedule has nothing to do; any new work ends the wait.
const IDLE: Duration = Duration::from_hours(1);

/// What a device has pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// Nothing.
    Nothing,
    /// Something that it has not been given, or has not answered.
    Work,
    /// Only what it says it cannot do now. It comes by itself when it can; it is woken all the same, ever more rarely, in case it does not.
    Deferred {
        /// How often it has said so.
        times: u32,
    },
}

/// What the scheduler tells the rest of the program.
pub trait PushObserver: Send + Sync + 'static {
    /// What the device still has pending. Asked right before each push: a device that has come by itself meanwhile, or has answered
    /// everything since the last push, is left in peace.
    fn pending<'a>(&'a self, device: &'a str) -> BoxFuture<'a, Pending>;

    /// The service says that `token` is dead, and when it last found it so: no more pushes until the device sends another one. False: the device
    /// has registered it since, and it is to be tried again, later.
    fn unregistered<'a>(
        &'a self,
        device: &'a str,
        token: &'a [u8],
        since: Option<Timestamp>,
    ) -> BoxFuture<'a, bool>;

    /// The service says, in its word `reason`, that `token` is none of the topic's: no more pushes until something about that changes.
    fn refused<'a>(&'a self, device: &'a str, token: &'a [u8], reason: &'a str) -> BoxFuture<'a, ()>;

    /// A push came back; `category` is `accepted` or one of [`PushError::category`]'s words. For metrics.
    fn pushed(&self, category: &'static str);
}

/// The handle: everything that creates work for devices calls [`Self::wake`], the gateway calls [`Self::seen`] and
/// [`Self::settled`]. Calls return at once and never wait for the network.
#[derive(Debug, Clone)]
pub struct PushScheduler {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    schedule: Mutex<Schedule>,
    health: Mutex<Health>,
    changed: Notify,
    clock: ClockHandle,
}

struct ClockHandle(Arc<dyn Clock>);

impl std::fmt::Debug for ClockHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl PushScheduler {
    /// A scheduler that pushes nothing until [`Self::run`] runs.
    #[must_use]
    pub fn new(settings: ScheduleSettings, clock: Arc<dyn Clock>) -> Self {
        let schedule = Mutex::new(Schedule::new(settings));
        Self {
            shared: Arc::new(Shared {
                schedule,
                health: Mutex::default(),
                changed: Notify::new(),
                clock: ClockHandle(clock),
            }),
        }
    }

    /// Devices have new work.
    pub fn wake(&self, wake_ups: impl IntoIterator<Item = WakeUp>) {
        let now = self.shared.clock.0.now();
        self.with_schedule(|schedule| {
            for wake_up in wake_ups {
                schedule.wake(wake_up, now);
            }
        });
        self.shared.changed.notify_one();
    }

    /// A device is in contact. Cheap: called for each of its requests.
    pub fn seen(&self, device: &str) {
        let now = self.shared.clock.0.now();
        self.with_schedule(|schedule| schedule.seen(device, now));
    }

    /// A device has nothing more to fetch, or is no longer enrolled.
    pub fn settled(&self, device: &str) {
        self.with_schedule(|schedule| schedule.settled(device));
    }

    /// How many devices have pending work.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.with_schedule(|schedule| schedule.len())
    }

    /// Pushes until `stop`; pushes on their way are then dropped, as a later push replaces them anyway.
    pub async fn run(
        self,
        pusher: Arc<dyn Pusher>,
        observer: Arc<dyn PushObserver>,
        stop: CancellationToken,
    ) {
        let mut in_flight = JoinSet::new();
        loop {
            let now = self.shared.clock.0.now();
            let (due, next) = self.with_schedule(|schedule| schedule.decide(now));
            for push in due {
                in_flight.spawn(
                    self.clone()
                        .carry_out(push, Arc::clone(&pusher), Arc::clone(&observer)),
                );
            }
            let wait = next.map_or(IDLE, |next| {
                Duration::try_from(next.duration_since(now)).unwrap_or_default()
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.shared.changed.notified() => {}
                Some(ended) = in_flight.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a push ended abnormally");
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn carry_out(self, push: Push, pusher: Arc<dyn Pusher>, observer: Arc<dyn PushObserver>) {
        let Push { device, request } = push;
        match observer.pending(&device).await {
            Pending::Nothing => return self.settled(&device),
            Pending::Deferred { times } => {
                let now = self.shared.clock.0.now();
                if self.with_schedule(|schedule| schedule.deferred(&device, times, now)) {
                    self.shared.changed.notify_one();
                    return;
                }
            }
            Pending::Work => {}
        }
        let token = request.token.clone();
        let topic = Arc::from(request.topic.as_str());
        let result = pusher.push(request).await;
        observer.pushed(result.as_ref().err().map_or("accepted", PushError::category));
        self.tell(&device, &topic, &result);
        let mut outcome = Outcome::from(&result);
        match &result {
            Err(PushError::Unregistered { since, .. }) => {
                let dropped = observer.unregistered(&device, &token, *since).await;
                if !dropped {
                    outcome = Outcome::Rejected;
                }
            }
            Err(PushError::AddressRefused { reason }) => observer.refused(&device, &token, reason).await,
            _ => {}
        }
        let now = self.shared.clock.0.now();
        self.with_schedule(|schedule| schedule.finished(&device, outcome, now));
    }

    /// One warning an outage and one line when it is over, however many devices wait; what follows from a device's own state is no warning.
    fn tell(&self, device: &str, topic: &Arc<str>, result: &Result<(), PushError>) {
        let now = self.shared.clock.0.now();
        let news = self
            .shared
            .health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(topic, result, now);
        // A user's key is DEVICE:USER, and who the user is has no place in a log.
        let device = device.split(':').next().unwrap_or_default();
        match (news, result) {
            (Some(News::Up(after)), _) => {
                tracing::info!(
                    topic = &**topic,
                    down_seconds = after.as_secs(),
                    "the push service takes pushes again"
                );
            }
            (Some(News::Down), Err(error)) => {
                tracing::warn!(
                    topic = &**topic,
                    error = %Chain(error),
                    "devices cannot be woken until the push service is back; it is tried again and again"
                );
            }
            (Some(News::Refused), Err(error)) => {
                tracing::warn!(topic = &**topic, device.id = device, error = %Chain(error), "a push was refused");
            }
            (None, Err(error)) => {
                tracing::debug!(device.id = device, error = %Chain(error), "a push was not taken");
            }
            _ => {}
        }
    }

    fn with_schedule<T>(&self, act: impl FnOnce(&mut Schedule) -> T) -> T {
        act(&mut self
            .shared
            .schedule
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }
}
