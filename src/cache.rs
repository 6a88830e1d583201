//! What is kept in memory to be found again soon, within a budget.

use std::collections::HashMap;
use std::hash::Hash;

/// A map that holds at most a budget's worth of entries and lets go of those not used lately.
///
/// Two generations: what is used moves to the young one; when that holds half of the budget it becomes the old one, and the old one
/// before it is dropped. That costs no order to keep up on each use.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    /// Of the young generation.
    weight: usize,
    budget: usize,
}

impl<K: Eq + Hash, V> Cache<K, V> {
    /// An empty cache; `budget` is in the unit of the weights.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            weight: 0,
            budget,
        }
    }

    pub(crate) fn insert(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if self.weight.saturating_add(weight) > self.budget / 2 {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight = self.weight.saturating_add(weight);
        self.young.insert(key, (value, weight));
    }

    pub(crate) fn remove(&mut self, key: &K) {
        drop(self.take(key));
    }

    /// Takes an entry out.
    pub(crate) fn take(&mut self, key: &K) -> Option<V> {
        let old = self.old.remove(key);
        let young = self.young.remove(key).map(|(value, weight)| {
            self.weight = self.weight.saturating_sub(weight);
            value
        });
        young.or_else(|| old.map(|(value, _)| value))
    }
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    pub(crate) fn lookup(&mut self, key: &K) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = self.old.remove_entry(key)?;
        self.insert(key, value.clone(), weight);
        Some(value)
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
