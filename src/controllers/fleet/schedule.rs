//! What is to be looked at later. Pure.

use std::collections::BTreeMap;

/// Things to look at, by the time when they are due.
#[derive(Debug)]
pub(super) struct Schedule<T, W>(BTreeMap<T, Vec<W>>);

impl<T, W> Default for Schedule<T, W> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Ord, W> Schedule<T, W> {
    /// Puts something down for `time`. It may be put down several times; whoever takes it out asks whether it still matters.
    pub(super) fn at(&mut self, time: T, what: W) {
        self.0.entry(time).or_default().push(what);
    }

    /// Takes out what is due at `now`, the oldest first.
    pub(super) fn due(&mut self, now: &T) -> Vec<W> {
        let mut due = Vec::new();
        while let Some(first) = self.0.first_entry().filter(|first| first.key() <= now) {
            due.append(&mut first.remove());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_once_and_in_order() {
        let mut schedule = Schedule::default();
        for (time, what) in [(3, "c"), (1, "a"), (2, "b"), (1, "a again"), (9, "later")] {
            schedule.at(time, what);
        }
        assert_eq!(schedule.due(&0), Vec::<&str>::new());
        assert_eq!(schedule.due(&3), ["a", "a again", "b", "c"]);
        assert_eq!(schedule.due(&3), Vec::<&str>::new());
        assert_eq!(schedule.due(&9), ["later"]);
    }
}
