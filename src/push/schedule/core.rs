//! The decisions, without time or network of their own: `now` is a parameter, the pushes are a result.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::super::port::{PushError, PushRequest};
use super::PushTarget;
use super::topic::{Topic, later};

/// Apple's rule of thumb: without a day's expiration, pushes to devices that are asleep are dropped.
const EXPIRATION: Duration = Duration::from_hours(24);

/// How the schedule behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleSettings {
    /// Pushes per second and topic; it bounds the rate at which devices check in.
    pub rate_per_second: f64,
    /// Pushes that may go out at once after a quiet time.
    pub burst: f64,
    /// Pushes on their way at the same time, for each topic: one whose service hangs does not hold up the others.
    pub max_in_flight: usize,
    /// A device that has been pushed to is not pushed to again for new work within this time: its coming poll
    /// takes that work too.
    pub coalesce: Duration,
    /// After a push that brought no contact the next follows after this time, then twice, four times … it.
    pub repush_first: Duration,
    /// The longest interval between two pushes to a device with pending work.
    pub repush_cap: Duration,
    /// The first pause when the service is in trouble; doubles with each failure.
    pub retry_first: Duration,
    /// The longest pause.
    pub retry_cap: Duration,
}

impl Default for ScheduleSettings {
    fn default() -> Self {
        Self {
            rate_per_second: 200.0,
            burst: 100.0,
            max_in_flight: 64,
            coalesce: Duration::from_secs(5),
            repush_first: Duration::from_secs(30),
            repush_cap: Duration::from_hours(4),
            retry_first: Duration::from_secs(1),
            retry_cap: Duration::from_mins(5),
        }
    }
}

/// A device with pending work.
#[derive(Debug, Clone)]
pub struct WakeUp {
    /// The enrolment's key; the schedule only compares it.
    pub device: Arc<str>,
    /// Where its pushes go.
    pub target: PushTarget,
    /// When it was last in contact, if ever: recently seen devices are woken first.
    pub last_seen: Option<Timestamp>,
}

/// One push to carry out; answer it with [`Schedule::finished`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The enrolment's key.
    pub device: Arc<str>,
    /// What to send.
    pub request: PushRequest,
}

/// What a push led to, as far as the schedule cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The service took it.
    Accepted,
    /// The token is dead.
    Unregistered,
    /// The token is none that the service knows for the topic.
    AddressRefused,
    /// The service refuses pushes to this device for now.
    DeviceBusy(Option<Duration>),
    /// The service is in trouble or cannot be reached.
    ServiceDown(Option<Duration>),
    /// The service refused the push for good.
    Rejected,
    /// There is no push certificate.
    Unconfigured,
}

impl From<&Result<(), PushError>> for Outcome {
    fn from(result: &Result<(), PushError>) -> Self {
        match result {
            Ok(()) => Self::Accepted,
            Err(PushError::Unregistered { .. }) => Self::Unregistered,
            Err(PushError::AddressRefused { .. }) => Self::AddressRefused,
            Err(PushError::TooManyRequests { after }) => Self::DeviceBusy(*after),
            Err(PushError::Unavailable { after, .. }) => Self::ServiceDown(*after),
            Err(PushError::Transport(_)) => Self::ServiceDown(None),
            Err(PushError::Rejected { .. }) => Self::Rejected,
            Err(PushError::Unconfigured) => Self::Unconfigured,
        }
    }
}

/// Where a device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Waits for its time.
    Waiting,
    /// Its time has come; it waits for its topic's turn.
    Due,
    /// A push is on its way for `topic`; `again` when new work arrived meanwhile.
    InFlight { topic: Arc<str>, again: bool },
}

#[derive(Debug)]
struct Entry {
    target: PushTarget,
    last_seen: Timestamp,
    last_push: Option<Timestamp>,
    attempts: u32,
    due: Timestamp,
    stage: Stage,
}

/// All devices with pending work, and what the push service last said.
#[derive(Debug)]
pub struct Schedule {
    settings: ScheduleSettings,
    devices: HashMap<Arc<str>, Entry>,
    waiting: BTreeSet<(Timestamp, Arc<str>)>,
    topics: HashMap<Arc<str>, Topic>,
}

impl Schedule {
    /// An empty schedule.
    #[must_use]
    pub fn new(settings: ScheduleSettings) -> Self {
        Self {
            settings,
            devices: HashMap::new(),
            waiting: BTreeSet::new(),
            topics: HashMap::new(),
        }
    }

    /// How many devices have pending work.
    #[must_use]
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether no device has pending work.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// A device has new work: it is pushed to as soon as its turn comes. Repeating it costs nothing, and a new
    /// target replaces the old one.
    pub fn wake(&mut self, wake_up: WakeUp, now: Timestamp) {
        let WakeUp {
            device,
            target,
            last_seen,
        } = wake_up;
        let last_seen = last_seen.unwrap_or(Timestamp::MIN);
        self.unlist(&device);
        let mut entry = self.devices.remove(&device).unwrap_or_else(|| Entry {
            target: target.clone(),
            last_seen,
            last_push: None,
            attempts: 0,
            due: now,
            stage: Stage::Waiting,
        });
        // A push that the device has not yet answered will bring it here for this work as well, unless it is lost
        // or went to another token.
        let unanswered = entry
            .last_push
            .filter(|push| entry.last_seen <= *push && entry.target == target);
        entry.due = unanswered.map_or(now, |push| later(push, self.settings.coalesce).max(now));
        entry.target = target;
        entry.last_seen = entry.last_seen.max(last_seen);
        entry.attempts = 0;
        if let Stage::InFlight { again, .. } = &mut entry.stage {
            *again = true;
        } else {
            entry.stage = Stage::Waiting;
        }
        self.devices.insert(Arc::clone(&device), entry);
        self.list(&device);
    }

    /// The device is in contact: what is pending reaches it now, so its next push can wait.
    pub fn seen(&mut self, device: &str, now: Timestamp) {
        let Some((device, _)) = self.devices.get_key_value(device) else {
            return;
        };
        let device = Arc::clone(device);
        self.unlist(&device);
        if let Some(entry) = self.devices.get_mut(&device) {
            entry.last_seen = entry.last_seen.max(now);
            entry.attempts = 0;
            entry.due = later(now, interval(&self.settings, &device, 0));
            if entry.stage == Stage::Due {
                entry.stage = Stage::Waiting;
            }
        }
        self.list(&device);
    }

    /// The device has no more pending work, or is gone.
    pub fn settled(&mut self, device: &str) {
        self.unlist(device);
        if let Some(entry) = self.devices.remove(device) {
            self.landed(&entry.stage);
        }
    }

    /// The device that was to be pushed to has said `times` that it cannot now, and has nothing else to do. Returns whether the push can wait: with
    /// each time twice as long after its last contact, unless new work has arrived.
    pub fn deferred(&mut self, device: &str, times: u32, now: Timestamp) -> bool {
        let Some((device, entry)) = self.devices.get_key_value(device) else {
            return true;
        };
        let due = later(
            entry.last_seen,
            interval(&self.settings, device, times.saturating_sub(1)),
        );
        let stage = entry.stage.clone();
        if due <= now || !matches!(stage, Stage::InFlight { again: false, .. }) {
            return false;
        }
        let device = Arc::clone(device);
        self.landed(&stage);
        if let Some(entry) = self.devices.get_mut(&device) {
            entry.stage = Stage::Waiting;
            entry.due = due;
        }
        self.list(&device);
        true
    }

    /// Whom to push to now, and when to ask again if nothing else happens before.
    pub fn decide(&mut self, now: Timestamp) -> (Vec<Push>, Option<Timestamp>) {
        self.promote(now);
        let mut pushes = Vec::new();
        let topics: Vec<Arc<str>> = self.topics.keys().map(Arc::clone).collect();
        let (rate, burst) = (self.settings.rate_per_second, self.settings.burst);
        let limit = self.settings.max_in_flight;
        for topic in &topics {
            while let Some(device) = self
                .topics
                .get_mut(topic)
                .and_then(|topic| topic.take_turn(rate, burst, limit, now))
            {
                if let Some(push) = self.start(device, topic, now) {
                    pushes.push(push);
                }
            }
        }
        self.topics.retain(|_, topic| !topic.is_idle(rate, burst, now));
        (pushes, self.next_decision(now))
    }

    /// A push came back.
    pub fn finished(&mut self, device: &str, outcome: Outcome, now: Timestamp) {
        let Some(entry) = self.devices.get(device) else {
            return;
        };
        let stage = entry.stage.clone();
        let Stage::InFlight { topic, again } = &stage else {
            return;
        };
        let again = *again;
        self.landed(&stage);
        self.note_service(topic, outcome, now);
        let is_hopeless = matches!(
            outcome,
            Outcome::Unregistered | Outcome::AddressRefused | Outcome::Unconfigured
        );
        if is_hopeless && !again {
            self.devices.remove(device);
            return;
        }
        let Some((device, _)) = self.devices.get_key_value(device) else {
            return;
        };
        let device = Arc::clone(device);
        let settings = self.settings.clone();
        if let Some(entry) = self.devices.get_mut(&device) {
            entry.stage = Stage::Waiting;
            entry.due = match outcome {
                _ if again && outcome != Outcome::Accepted => now,
                Outcome::Accepted => {
                    entry.attempts = entry.attempts.saturating_add(1);
                    if again {
                        later(now, settings.coalesce)
                    } else {
                        repush(&settings, &device, entry, now)
                    }
                }
                Outcome::ServiceDown(_) => now,
                Outcome::DeviceBusy(after) => {
                    entry.attempts = entry.attempts.saturating_add(1);
                    after.map_or_else(
                        || repush(&settings, &device, entry, now),
                        |after| later(now, after.min(settings.repush_cap)),
                    )
                }
                Outcome::Rejected
                | Outcome::Unregistered
                | Outcome::AddressRefused
                | Outcome::Unconfigured => later(now, settings.repush_cap),
            };
        }
        self.list(&device);
    }

    /// Moves devices whose time has come to their topics.
    fn promote(&mut self, now: Timestamp) {
        while let Some((due, device)) = self.waiting.first().cloned() {
            if due > now {
                return;
            }
            self.waiting.remove(&(due, Arc::clone(&device)));
            if let Some(entry) = self.devices.get_mut(&device) {
                entry.stage = Stage::Due;
            }
            self.list(&device);
        }
    }

    fn start(&mut self, device: Arc<str>, topic: &Arc<str>, now: Timestamp) -> Option<Push> {
        self.unlist(&device);
        let entry = self.devices.get_mut(&device)?;
        entry.stage = Stage::InFlight {
            topic: Arc::clone(topic),
            again: false,
        };
        entry.last_push = Some(now);
        let request = PushRequest {
            token: entry.target.token.clone(),
            push_magic: entry.target.push_magic.clone(),
            topic: entry.target.topic.as_ref().to_owned(),
            expiration: later(now, EXPIRATION),
        };
        Some(Push { device, request })
    }

    /// A push of this stage, if it was one, is no longer on its way.
    fn landed(&mut self, stage: &Stage) {
        if let Stage::InFlight { topic, .. } = stage
            && let Some(topic) = self.topics.get_mut(topic)
        {
            topic.landed();
        }
    }

    fn note_service(&mut self, topic: &Arc<str>, outcome: Outcome, now: Timestamp) {
        let burst = self.settings.burst;
        let topic = self
            .topics
            .entry(Arc::clone(topic))
            .or_insert_with(|| Topic::new(burst, now));
        match outcome {
            Outcome::ServiceDown(after) => {
                topic.pause(after, self.settings.retry_first, self.settings.retry_cap, now);
            }
            Outcome::Unconfigured => {}
            _ => topic.recovered(),
        }
    }

    fn next_decision(&self, now: Timestamp) -> Option<Timestamp> {
        let (rate, limit) = (self.settings.rate_per_second, self.settings.max_in_flight);
        let turns = self.topics.values();
        let turns = turns.filter_map(|topic| topic.next_turn(rate, limit, now)).min();
        let waiting = self.waiting.first().map(|(due, _)| *due);
        turns.into_iter().chain(waiting).min()
    }

    /// Enters a device into the list of its stage.
    fn list(&mut self, device: &Arc<str>) {
        let Some(entry) = self.devices.get(device) else {
            return;
        };
        match entry.stage {
            Stage::Waiting => {
                self.waiting.insert((entry.due, Arc::clone(device)));
            }
            Stage::Due => {
                // A fresh bucket starts at the device's time, so that a topic's first pushes need no head start.
                let burst = self.settings.burst;
                self.topics
                    .entry(Arc::clone(&entry.target.topic))
                    .or_insert_with(|| Topic::new(burst, entry.due))
                    .insert(device, entry.due, entry.last_seen);
            }
            Stage::InFlight { .. } => {}
        }
    }

    /// Takes a device out of the list of its stage; every change to an entry happens between this and `list`.
    fn unlist(&mut self, device: &str) {
        let Some((device, entry)) = self.devices.get_key_value(device) else {
            return;
        };
        match entry.stage {
            Stage::Waiting => {
                self.waiting.remove(&(entry.due, Arc::clone(device)));
            }
            Stage::Due => {
                if let Some(topic) = self.topics.get_mut(&entry.target.topic) {
                    topic.remove(device, entry.due, entry.last_seen);
                }
            }
            Stage::InFlight { .. } => {}
        }
    }
}

/// When a device that has just been pushed to is pushed to again, if it stays silent.
fn repush(settings: &ScheduleSettings, device: &str, entry: &Entry, now: Timestamp) -> Timestamp {
    later(now, interval(settings, device, entry.attempts.saturating_sub(1)))
}

/// The interval after so many unanswered pushes: doubling, capped, and spread by up to a fifth so that devices that
/// were woken together do not come together again. The spread follows from device and attempt: no random source.
fn interval(settings: &ScheduleSettings, device: &str, unanswered: u32) -> Duration {
    let plain = settings
        .repush_first
        .saturating_mul(1 << unanswered.min(16))
        .min(settings.repush_cap);
    let mut hasher = DefaultHasher::new();
    (device, unanswered).hash(&mut hasher);
    let spread = u32::try_from(hasher.finish() % 200).unwrap_or(0);
    plain + plain.saturating_mul(spread) / 1000
}
