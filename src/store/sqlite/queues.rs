//! The queues of the devices that are speaking just now, as the writer left them: a device reports on one command after the other, and its queue
//! need not be read anew for each.
//!
//! Only the writer changes queues, and only through [`super::commands`]. Whoever works on a queue takes it out, and puts it back when all that
//! was to be written has been written; everybody else who changes it throws it away. So what is kept is what the transaction would read.

use std::sync::Arc;

use super::commands::Pending;
use crate::cache::Cache;
use crate::ids::EnrollmentId;
use crate::secret::Secret;

/// Commands kept, in all: a few MiB.
const COMMANDS: usize = 16_384;

/// The longest queue that is kept.
const LONGEST: usize = 64;

/// Rows of enrolments kept.
const ROWS: usize = 16_384;

/// Templates of request bodies kept, in bytes.
const TEMPLATES: usize = 4 << 20;

/// The largest template that is kept.
const LARGEST: usize = 256 << 10;

/// The template of a request body, as it is sealed in the database.
pub(super) type Template = Arc<Secret<Vec<u8>>>;

/// The queues, by the row of their enrolment.
pub(super) struct Queues {
    kept: Cache<i64, Vec<Pending>>,
    /// Which row an enrolment has; it never gets another one.
    rows: Cache<EnrollmentId, i64>,
    templates: Cache<i64, Template>,
}

impl Queues {
    pub(super) fn new() -> Self {
        Self {
            kept: Cache::new(COMMANDS),
            rows: Cache::new(ROWS),
            templates: Cache::new(TEMPLATES),
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

    /// The template of a row of `bodies`, if it is known here.
    pub(super) fn template(&mut self, body: i64) -> Option<Template> {
        self.templates.lookup(&body)
    }

    /// Remembers a template.
    pub(super) fn know_template(&mut self, body: i64, template: &Template) {
        let weight = template.reveal().len() + 64;
        if weight <= LARGEST {
            self.templates.insert(body, Arc::clone(template), weight);
        }
    }

    /// To be called by who removes a row of `bodies`: another body may get its number.
    pub(super) fn forget_template(&mut self, body: i64) {
        self.templates.remove(&body);
    }

    /// Forgets everything: the transaction was not committed.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }
}
