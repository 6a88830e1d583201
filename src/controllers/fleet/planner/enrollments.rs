//! What the store knows of enrolments.

use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;

use super::{Planner, some_at_a_time};
use crate::compliance::next_look;
use crate::controllers::fleet::placement::NEWS_SPREAD;
use crate::ids::EnrollmentId;
use crate::store::{Enrollment, StoreError};

/// Enrolments read at once at the start.
const PAGE: usize = 1_000;
/// How long an enrolment is new.
const NEW: Duration = Duration::from_mins(10);

impl Planner {
    /// Reads every enrolment.
    pub(super) async fn load(&mut self) -> Result<(), StoreError> {
        let mut after: Option<EnrollmentId> = None;
        loop {
            let page = self.context.store.enrollments(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            for enrollment in page {
                self.enroll(enrollment);
            }
        }
        Ok(())
    }

    /// Reads the enrolments that have changed.
    pub(super) async fn refresh(&mut self) -> Result<(), StoreError> {
        let ids: Vec<EnrollmentId> = self.changed.drain().collect();
        let mut failure = None;
        // Part by part: a fleet that comes as a whole takes no more memory for it.
        for part in ids.chunks(PAGE) {
            let store = &self.context.store;
            let read = part
                .iter()
                .map(|id| async move { (store.enrollment(id).await, id) }.boxed())
                .collect();
            for (result, id) in some_at_a_time(read).await {
                match result {
                    Ok(Some(enrollment)) => self.enroll(enrollment),
                    Ok(None) => {}
                    Err(error) => {
                        self.changed.insert(id.clone());
                        failure = Some(error);
                    }
                }
            }
        }
        self.context
            .metrics
            .devices
            .set(i64::try_from(self.world.devices.len()).unwrap_or(i64::MAX));
        failure.map_or(Ok(()), Err)
    }

    fn enroll(&mut self, enrollment: Enrollment) {
        let now = self.context.clock.now();
        let due = first_look(&enrollment, self.settings.evidence_interval, now);
        self.world.enroll(enrollment, due, now);
    }
}

/// When to look at a device that was not known: one that has just enrolled soon, whose first answers are on their way; the others in their
/// turn, so that a restart does not ask everybody at once.
fn first_look(enrollment: &Enrollment, interval: Duration, now: Timestamp) -> Timestamp {
    let age = Duration::try_from(now.duration_since(enrollment.enrolled_at)).unwrap_or_default();
    let spread = if age >= NEW {
        interval
    } else if enrollment.token_updates == 0 {
        // It came from another server, and a whole fleet with it.
        interval.min(NEW)
    } else {
        interval.min(NEWS_SPREAD)
    };
    next_look(&enrollment.id, spread, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::fleet::fixtures::enrollment;

    #[test]
    fn who_has_just_enrolled_is_looked_at_soon_and_the_others_in_their_turn() {
        let (hour, new) = (Duration::from_hours(1), enrollment("A", "lab"));
        let soon = new.enrolled_at + Duration::from_secs(1);
        assert!(first_look(&new, hour, soon) <= soon + NEWS_SPREAD);
        let arrivals = (0..100).map(|number| Enrollment {
            token_updates: 0,
            ..enrollment(&format!("A{number}"), "lab")
        });
        let looks: Vec<Timestamp> = arrivals.map(|arrival| first_look(&arrival, hour, soon)).collect();
        assert!(looks.iter().all(|look| *look <= soon + NEW));
        assert!(
            looks.iter().any(|look| *look > soon + NEWS_SPREAD),
            "they are spread"
        );
        let later = new.enrolled_at + Duration::from_hours(100);
        assert_eq!(first_look(&new, hour, later), next_look(&new.id, hour, later));
    }
}
