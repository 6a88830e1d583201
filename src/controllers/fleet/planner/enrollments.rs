//! What the store knows of enrolments.

use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;

use super::{Planner, some_at_a_time};
use crate::ids::{Digest, EnrollmentId};
use crate::store::{Enrollment, StoreError};

/// Enrolments read at once at the start.
const PAGE: usize = 1_000;

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
        let store = &self.context.store;
        let read = ids
            .into_iter()
            .map(|id| async move { (store.enrollment(&id).await, id) }.boxed())
            .collect();
        let mut failure = None;
        for (result, id) in some_at_a_time(read).await {
            match result {
                Ok(Some(enrollment)) => self.enroll(enrollment),
                Ok(None) => {}
                Err(error) => {
                    self.changed.insert(id);
                    failure = Some(error);
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
        let due = first_look(&enrollment.id, self.settings.evidence_interval, now);
        self.world.enroll(enrollment, due, now);
    }
}

/// Spreads the first look over one interval, by the device's own digest: a restart does not ask everybody at once.
pub(super) fn first_look(id: &EnrollmentId, interval: Duration, now: Timestamp) -> Timestamp {
    let Digest([share, ..]) = Digest::of(id.as_str().as_bytes());
    let wait = interval / 256 * (u32::from(share) + 1);
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_looks_are_spread_over_one_interval() {
        let now = Timestamp::UNIX_EPOCH;
        let interval = Duration::from_mins(15);
        let looks: std::collections::BTreeSet<Timestamp> = (0..64)
            .map(|n| {
                first_look(
                    &EnrollmentId::parse(&format!("DEVICE-{n}")).unwrap(),
                    interval,
                    now,
                )
            })
            .collect();
        assert!(looks.len() > 32, "{}", looks.len());
        assert!(looks.iter().all(|at| *at > now && *at <= now + interval));
    }
}
