//! The queues of the devices that are speaking just now, as the writer left them: a device reports on one command after the other, and its queue
//! need not be read anew for each.
//!
//! Only the writer changes queues, and only through [`super::commands`]. Whoever works on a queue takes it out, and puts it back when all that
//! was to be written has been written; everybody else who changes it throws it away. So what is kept is what the transaction would read.

use crate::cache::Cache;
use crate::ids::EnrollmentId;

use super::commands::Pending;

/// Commands kept, in all: a few MiB.
const COMMANDS: usize = 16_384;

/// The longest queue that is kept.
const LONGEST: usize = 64;

/// Rows of enrolments kept.
const ROWS: usize = 16_384;

/// The queues, by the row of their enrolment.
pub(super) struct Queues {
    kept: Cache<i64, Vec<Pending>>,
    /// Which row an enrolment has; it never gets another one.
    rows: Cache<EnrollmentId, i64>,
}

impl Queues {
    pub(super) fn new() -> Self {
        Self {
            kept: Cache::new(COMMANDS),
            rows: Cache::new(ROWS),
        }
    }

    /// The queue, which is kept no longer.
    pub(super) fn take(&mut self, enrollment: i64) -> Option<Vec<Pending>> {
        self.kept.take(&enrollment)
    }

    /// Keeps a queue as it is now.
    pub(super) fn put(&mut self, enrollment: i64, queue: Vec<Pending>) {
        if queue.len() <= LONGEST {
            let weight = queue.len() + 1;
            self.kept.insert(enrollment, queue, weight);
        }
    }

    /// The row of an enrolment, if it is known here.
    pub(super) fn row(&mut self, id: &EnrollmentId) -> Option<i64> {
        self.rows.lookup(id)
    }

    /// Remembers the row of an enrolment.
    pub(super) fn know(&mut self, id: &EnrollmentId, row: i64) {
        self.rows.insert(id.clone(), row, 1);
    }

    /// Forgets everything: the transaction was not committed.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }
}
