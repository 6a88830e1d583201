//! One topic's share of the schedule: its token bucket, its pause, and its devices that are due.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Of so many pushes one goes to the device that has waited longest, the others to the most recently seen: devices
/// that are awake get their work at once, and the rest of a large fleet is still swept.
const SWEEP_EVERY: u32 = 4;

/// The state of one topic.
#[derive(Debug)]
pub(super) struct Topic {
    tokens: f64,
    filled_at: Timestamp,
    paused_until: Timestamp,
    failures: u32,
    picks: u32,
    in_flight: usize,
    recent: BTreeSet<(Reverse<Timestamp>, Arc<str>)>,
    oldest: BTreeSet<(Timestamp, Arc<str>)>,
}

impl Topic {
    /// A topic with a full bucket.
    pub(super) fn new(burst: f64, now: Timestamp) -> Self {
        Self {
            tokens: burst,
            filled_at: now,
            paused_until: Timestamp::MIN,
            failures: 0,
            picks: 0,
            in_flight: 0,
            recent: BTreeSet::new(),
            oldest: BTreeSet::new(),
        }
    }

    pub(super) fn insert(&mut self, device: &Arc<str>, due: Timestamp, last_seen: Timestamp) {
        self.recent.insert((Reverse(last_seen), Arc::clone(device)));
        self.oldest.insert((due, Arc::clone(device)));
    }

    pub(super) fn remove(&mut self, device: &Arc<str>, due: Timestamp, last_seen: Timestamp) {
        self.recent.remove(&(Reverse(last_seen), Arc::clone(device)));
        self.oldest.remove(&(due, Arc::clone(device)));
    }

    /// Whether the topic holds nothing that a fresh one would not: no device, no push on its way, no pause, a full bucket.
    pub(super) fn is_idle(&self, rate: f64, burst: f64, now: Timestamp) -> bool {
        self.oldest.is_empty()
            && self.in_flight == 0
            && self.paused_until <= now
            && self.filled(rate, burst, now) >= burst
    }

    /// How many pushes may be on their way: while the service is in trouble, the one that finds out whether it still is.
    fn room(&self, limit: usize) -> usize {
        if self.failures == 0 { limit } else { limit.min(1) }
    }

    /// A push is no longer on its way.
    pub(super) const fn landed(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn filled(&self, rate: f64, burst: f64, now: Timestamp) -> f64 {
        let elapsed = now.duration_since(self.filled_at).as_secs_f64().max(0.0);
        (self.tokens + elapsed * rate).min(burst)
    }

    /// The device whose turn it is, if the bucket, the pause and the pushes on their way allow another. The caller removes it and sees to it
    /// that the push lands.
    pub(super) fn take_turn(
        &mut self,
        rate: f64,
        burst: f64,
        limit: usize,
        now: Timestamp,
    ) -> Option<Arc<str>> {
        if self.oldest.is_empty() || now < self.paused_until || self.in_flight >= self.room(limit) {
            return None;
        }
        self.tokens = self.filled(rate, burst, now);
        self.filled_at = self.filled_at.max(now);
        if self.tokens < 1.0 {
            return None;
        }
        self.tokens -= 1.0;
        self.in_flight += 1;
        self.picks = self.picks.wrapping_add(1);
        if self.picks.is_multiple_of(SWEEP_EVERY) {
            self.oldest.first().map(|(_, device)| Arc::clone(device))
        } else {
            self.recent.first().map(|(_, device)| Arc::clone(device))
        }
    }

    /// When the next push is possible; `None` when no device is due, or a push has to land first.
    pub(super) fn next_turn(&self, rate: f64, limit: usize, now: Timestamp) -> Option<Timestamp> {
        if self.oldest.is_empty() || self.in_flight >= self.room(limit) {
            return None;
        }
        let missing = (1.0 - self.tokens).max(0.0);
        let refilled = later(
            self.filled_at,
            Duration::try_from_secs_f64(missing / rate).unwrap_or(Duration::MAX),
        );
        Some(refilled.max(self.paused_until).max(now))
    }

    /// The service is in trouble: nothing is pushed for `pause`, or for a time that doubles with each failure.
    pub(super) fn pause(&mut self, asked: Option<Duration>, first: Duration, cap: Duration, now: Timestamp) {
        // Pushes that were already on their way fail together; only the first of them counts.
        if now < self.paused_until {
            return;
        }
        let backoff = first.saturating_mul(1 << self.failures.min(16)).min(cap);
        self.failures = self.failures.saturating_add(1);
        self.paused_until = later(now, asked.unwrap_or(backoff).min(cap));
    }

    /// The service works.
    pub(super) const fn recovered(&mut self) {
        self.failures = 0;
    }
}

/// `from` plus `by`, at most the end of time.
pub(super) fn later(from: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| from.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}
