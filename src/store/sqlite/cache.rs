//! What the hot paths keep in memory: bounded, and never older than what was committed.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ids::Digest;
use crate::store::Enrollment;

/// A map that holds at most a budget's worth of entries and lets go of those not used lately.
///
/// Two generations: what is used moves to the young one; when that holds half of the budget it becomes the old one, and the old one
/// before it is dropped. That costs no order to keep up on each use.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    /// Of the young generation.
    weight: usize,
    budget: usize,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// An empty cache; `budget` is in the unit of the weights.
    pub(super) fn new(budget: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            weight: 0,
            budget,
        }
    }

    pub(super) fn lookup(&mut self, key: &K) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = self.old.remove_entry(key)?;
        self.insert(key, value.clone(), weight);
        Some(value)
    }

    pub(super) fn insert(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if self.weight.saturating_add(weight) > self.budget / 2 {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight = self.weight.saturating_add(weight);
        self.young.insert(key, (value, weight));
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.old.remove(key);
        if let Some((_, weight)) = self.young.remove(key) {
            self.weight = self.weight.saturating_sub(weight);
        }
    }
}

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
    kept: Cache<Digest, Enrollment>,
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
    pub(super) fn lookup(&self, certificate: &Digest) -> Result<Enrollment, u64> {
        let mut enrollments = self.lock();
        let epoch = enrollments.epoch;
        enrollments.kept.lookup(certificate).ok_or(epoch)
    }

    /// Keeps what was read since `epoch`, unless something has changed meanwhile.
    pub(super) fn keep(&self, epoch: u64, enrollment: Enrollment) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_stays_within_its_budget_and_keeps_what_is_used() {
        let mut cache = Cache::new(10);
        for key in 0..1000 {
            cache.insert(key, key, 1);
            assert_eq!(cache.lookup(&0), Some(0), "used all the time");
            assert!(cache.young.len() + cache.old.len() <= 10);
        }
        assert_eq!(cache.lookup(&1), None);
        cache.remove(&0);
        assert_eq!(cache.lookup(&0), None);
    }

    #[test]
    fn one_entry_that_is_too_heavy_pushes_the_others_out_and_no_more() {
        let mut cache = Cache::new(10);
        cache.insert("light", 1, 1);
        cache.insert("heavy", 2, 100);
        cache.insert("light again", 3, 1);
        assert_eq!(
            (cache.lookup(&"light again"), cache.lookup(&"heavy")),
            (Some(3), Some(2))
        );
        assert_eq!(cache.lookup(&"light"), None);
    }
}
