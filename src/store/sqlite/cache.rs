//! What the hot paths keep in memory: bounded, and never older than what was committed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache::Cache;
use crate::ids::Digest;
use crate::store::Enrollment;

/// Enrolments kept by certificate: about 30 MiB when full.
const ENROLLMENTS: usize = 50_000;

/// Enrolments by the certificate they are pinned to.
///
/// A reader may have looked into the database before a commit and come back after it; the epoch tells, and what it found is
/// then used once and not kept.
#[derive(Debug)]
pub(super) struct EnrollmentCache(Mutex<Enrollments>);

#[derive(Debug)]
struct Enrollments {
    epoch: u64,
    kept: Cache<Digest, Arc<Enrollment>>,
}

impl EnrollmentCache {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Enrollments {
            epoch: 0,
            kept: Cache::new(ENROLLMENTS),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Enrollments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The enrolment, or else the epoch to give back to [`EnrollmentCache::keep`].
    pub(super) fn lookup(&self, certificate: &Digest) -> Result<Arc<Enrollment>, u64> {
        let mut enrollments = self.lock();
        let epoch = enrollments.epoch;
        enrollments.kept.lookup(certificate).ok_or(epoch)
    }

    /// Keeps what was read since `epoch`, unless something has changed meanwhile.
    pub(super) fn keep(&self, epoch: u64, enrollment: Arc<Enrollment>) {
        let mut enrollments = self.lock();
        if enrollments.epoch == epoch {
            enrollments.kept.insert(enrollment.certificate, enrollment, 1);
        }
    }

    /// Forgets enrolments that a commit has changed.
    pub(super) fn forget(&self, certificates: &[Digest]) {
        if certificates.is_empty() {
            return;
        }
        let mut enrollments = self.lock();
        enrollments.epoch += 1;
        for certificate in certificates {
            enrollments.kept.remove(certificate);
        }
    }
}
