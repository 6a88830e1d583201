//! What failed, and when to try it again.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use tokio::time::Instant;

use super::Planner;
use crate::controllers::error::backoff;
use crate::controllers::fleet::device::Key;
use crate::controllers::fleet::schedule::Schedule;
use crate::ids::EnrollmentId;
use crate::telemetry::Chain;

/// Something that can fail by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Attempt {
    /// To bring a device up to date.
    Judge(EnrollmentId),
    /// To carry out a deletion.
    Delete(Key),
    /// To say that an object has no enrolment.
    Disown(Key),
}

/// What failed, how often in a row, and when to try again.
#[derive(Debug, Default)]
pub(super) struct Retries {
    failures: HashMap<Attempt, u32>,
    schedule: Schedule<Instant, Attempt>,
}

impl Retries {
    /// Notes a failure; gives the pause before the next attempt.
    pub(super) fn failed(&mut self, attempt: Attempt, now: Instant, jitter: u8) -> Duration {
        let failures = self.failures.entry(attempt.clone()).or_default();
        *failures += 1;
        let pause = backoff(*failures, jitter);
        self.schedule.at(now + pause, attempt);
        pause
    }

    /// Forgets the failures of what has succeeded.
    pub(super) fn succeeded(&mut self, attempt: &Attempt) {
        if !self.failures.is_empty() {
            self.failures.remove(attempt);
        }
    }
}

impl Planner {
    pub(super) fn failed(&mut self, attempt: &Attempt, error: &(dyn Error + 'static)) {
        let jitter = self.jitter();
        let pause = self.retries.failed(attempt.clone(), Instant::now(), jitter);
        let (id, name) = match attempt {
            Attempt::Judge(id) => (Some(id.as_str()), None),
            Attempt::Delete(key) | Attempt::Disown(key) => (None, Some(&*key.name)),
        };
        tracing::warn!(
            device.id = id,
            device.name = name,
            error = %Chain(error),
            retry_seconds = pause.as_secs(),
            "a device could not be brought up to date"
        );
    }

    /// Has everything done again whose pause is over.
    pub(super) fn retry(&mut self, now: Instant) {
        for attempt in self.retries.schedule.due(&now) {
            match attempt {
                Attempt::Judge(id) => {
                    self.world.judge.insert(id);
                }
                Attempt::Delete(key) => {
                    self.world.deleting.insert(key);
                }
                Attempt::Disown(key) => {
                    self.world.unclaimed.insert(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_failing_is_tried_less_and_less_often() {
        let mut retries = Retries::default();
        let now = Instant::now();
        let attempt = Attempt::Judge(EnrollmentId::parse("A").unwrap());
        let pauses: Vec<u64> = (0..3)
            .map(|_| retries.failed(attempt.clone(), now, 0).as_secs())
            .collect();
        assert_eq!(pauses, [2, 4, 8]);
        assert_eq!(retries.schedule.due(&now), []);
        retries.succeeded(&attempt);
        assert_eq!(retries.failed(attempt, now, 0).as_secs(), 2);
    }
}
