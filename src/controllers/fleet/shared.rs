//! One copy of what many devices have in common: labels, groups, assignments. Pure.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// When this many values have come since, those that nobody has any more are dropped.
const SWEEP_AFTER: usize = 4_096;

/// Values in use, one copy of each.
#[derive(Debug)]
pub(super) struct Shared<T: ?Sized> {
    values: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            sweep_at: SWEEP_AFTER,
        }
    }
}

impl<T: ?Sized + Eq + Hash> Shared<T> {
    /// The copy that everybody has.
    pub(super) fn one(&mut self, value: Arc<T>) -> Arc<T> {
        if let Some(known) = self.values.get(&value) {
            return known.clone();
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = self.values.len() + SWEEP_AFTER;
        }
        self.values.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one() {
        let mut shared = Shared::<str>::default();
        let (a, b) = (shared.one("x".into()), shared.one("x".into()));
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &shared.one("y".into())));
    }

    #[test]
    fn what_nobody_has_any_more_is_dropped() {
        let mut shared = Shared::<str>::default();
        let kept = shared.one("kept".into());
        for n in 0..3 * SWEEP_AFTER {
            shared.one(n.to_string().into());
        }
        assert!(shared.values.len() <= 2 * SWEEP_AFTER, "{}", shared.values.len());
        assert!(Arc::ptr_eq(&kept, &shared.one("kept".into())));
    }
}
