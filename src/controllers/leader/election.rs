//! The rule of the lease. Pure: a function of the records that were observed and of the local monotonic clock.
//!
//! Nobody compares the times in a record with a clock of their own. A record counts as fresh from the moment this candidate first *saw* it; only
//! when it has stayed the same for as long as it says, the holder counts as gone. A holder counts its own time from before it *sent* the
//! claim that was accepted, and gives up after [`Timing::renew_deadline`], well before anybody else may take over. So two never
//! lead at once as long as clocks run at about the same speed, whatever they show.

use std::time::Duration;

use jiff::Timestamp;

/// How long things take. `renew_deadline` is shorter than `lease`, `retry` than `renew_deadline`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// For how long a record that does not change is respected; whole seconds.
    pub lease: Duration,
    /// After how long without a renewal a holder stops.
    pub renew_deadline: Duration,
    /// The pause between two attempts.
    pub retry: Duration,
}

impl Default for Timing {
    /// As Kubernetes' own components have it.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

impl Timing {
    /// Whether these durations keep two from leading at once: the text says what is wrong.
    ///
    /// # Errors
    /// When they are not in order.
    pub fn check(self) -> Result<Self, &'static str> {
        let whole = self.lease.subsec_nanos() == 0 && self.lease <= Duration::from_hours(24);
        if !whole || self.lease.is_zero() {
            return Err("the lease duration must be whole seconds, from 1s to 24h");
        }
        // A fifth of reserve, for clocks that run at different speeds and for whatever takes a moment to stop.
        if self.renew_deadline > self.lease * 4 / 5 {
            return Err("the renew deadline must be at most four fifths of the lease duration");
        }
        if self.retry.is_zero() || self.retry * 2 > self.renew_deadline {
            return Err("the retry period must be more than nothing and at most half of the renew deadline");
        }
        Ok(self)
    }
}

/// What a Lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// For how long it is to be respected without a change.
    pub duration: Duration,
    /// How often it has gone from one holder to another.
    pub transitions: i32,
    /// When the holder got it, by the holder's clock.
    pub acquired_at: Option<Timestamp>,
    /// When the holder last renewed it, by the holder's clock.
    pub renewed_at: Option<Timestamp>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Write [`Election::claim`], provided that the Lease is still as it was read.
    Claim,
    /// Another holds it: look again, at the latest at this time.
    Follow(Duration),
    /// It was held and is no longer: stop whatever needs it.
    Lost,
}

/// A record, and when it was first seen so.
#[derive(Debug, Clone)]
struct Seen {
    record: Record,
    at: Duration,
}

/// One candidate's view. Times are those of its monotonic clock, counted from any moment.
#[derive(Debug, Clone)]
pub struct Election {
    identity: String,
    timing: Timing,
    seen: Option<Seen>,
    /// When the newest claim that was accepted had been sent, while leading.
    held_since: Option<Duration>,
}

impl Election {
    /// A candidate that has seen nothing yet. No two have the same identity.
    #[must_use]
    pub const fn new(identity: String, timing: Timing) -> Self {
        Self {
            identity,
            timing,
            seen: None,
            held_since: None,
        }
    }

    /// Takes in the record as it was just read. That there is no Lease is no news: whoever held it may not know yet.
    pub fn observe(&mut self, record: &Record, now: Duration) {
        if record.holder != self.identity {
            self.held_since = None;
        }
        if self.seen.as_ref().is_none_or(|seen| seen.record != *record) {
            self.seen = Some(Seen {
                record: record.clone(),
                at: now,
            });
        }
    }

    /// Takes in that a claim of ours was accepted, which had been sent at `sent`.
    pub fn claimed(&mut self, record: Record, sent: Duration, now: Duration) {
        self.seen = Some(Seen { record, at: now });
        self.held_since = Some(sent);
    }

    /// What to do at `now`.
    #[must_use]
    pub fn next(&self, now: Duration) -> Step {
        if self.held_since.is_some() {
            return if self.leads(now) { Step::Claim } else { Step::Lost };
        }
        match &self.seen {
            Some(Seen { record, at }) if !record.holder.is_empty() && record.holder != self.identity => {
                let free_at = at.saturating_add(record.duration);
                if now >= free_at {
                    Step::Claim
                } else {
                    Step::Follow(free_at)
                }
            }
            _ => Step::Claim,
        }
    }

    /// Whether this candidate leads.
    #[must_use]
    pub fn leads(&self, now: Duration) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }

    /// Until when this candidate leads if it is not renewed.
    #[must_use]
    pub fn leads_until(&self) -> Option<Duration> {
        self.held_since
            .map(|sent| sent.saturating_add(self.timing.renew_deadline))
    }

    /// Stops leading without a word to the others.
    pub const fn give_up(&mut self) {
        self.held_since = None;
    }

    /// Who holds the lease, for all that was seen.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.seen
            .as_ref()
            .map(|seen| seen.record.holder.as_str())
            .filter(|holder| !holder.is_empty())
    }

    /// The record that claims or renews the lease. `wall` is the time of day, for people.
    #[must_use]
    pub fn claim(&self, wall: Timestamp) -> Record {
        let before = self.seen.as_ref().map(|seen| &seen.record);
        let own = before.filter(|record| record.holder == self.identity);
        Record {
            holder: self.identity.clone(),
            duration: self.timing.lease,
            transitions: match (own, before) {
                (Some(own), _) => own.transitions,
                (None, Some(before)) => before.transitions.saturating_add(1),
                (None, None) => 0,
            },
            acquired_at: own.and_then(|own| own.acquired_at).or(Some(wall)),
            renewed_at: Some(wall),
        }
    }

    /// The record that hands the lease back. None: it is not ours.
    #[must_use]
    pub fn release(&self, wall: Timestamp) -> Option<Record> {
        let own = self.seen.as_ref().map(|seen| &seen.record)?;
        (own.holder == self.identity).then(|| Record {
            holder: String::new(),
            duration: Duration::from_secs(1),
            transitions: own.transitions,
            acquired_at: Some(wall),
            renewed_at: Some(wall),
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
