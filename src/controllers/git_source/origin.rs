//! Where an object comes from: the revision that last changed it, and when that came to be. Pure.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::api::DynamicObject;

use crate::api::names;
use crate::controllers::fleet::device_status::whole_second;

use super::status::About;

/// The revision that last changed an object, and a time by which revisions are ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// As `main@sha1:…`.
    pub(super) revision: String,
    /// When it was committed, or a moment after what was in force before it.
    pub(super) committed_at: Timestamp,
}

impl Origin {
    /// What an object says.
    pub(super) fn of(live: &DynamicObject) -> Option<Self> {
        let annotation = |name: &str| live.annotations().get(name);
        Some(Self {
            revision: annotation(names::REVISION_ANNOTATION)?.clone(),
            committed_at: annotation(names::COMMITTED_AT_ANNOTATION)?.parse().ok()?,
        })
    }

    /// A revision that comes into force after those of `others`. Its time comes after theirs, too, even if it was committed in the same
    /// second, or before them and somebody moved the branch back.
    pub(super) fn new<'a>(about: &About, others: impl Iterator<Item = &'a Self>) -> Self {
        let own = whole_second(about.committed_at);
        let newest = others
            .filter(|other| other.revision != about.revision)
            .map(|other| other.committed_at)
            .max();
        let after = newest.and_then(|newest| newest.checked_add(SignedDuration::from_secs(1)).ok());
        Self {
            revision: about.revision.clone(),
            committed_at: after.map_or(own, |after| own.max(after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_comes_after_those_that_it_follows_whatever_git_says() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let known = |revision: &str, at| Origin {
            revision: revision.to_owned(),
            committed_at: second(at),
        };
        let order = |committed_at, others: &[Origin]| {
            let about = About::new("main@sha1:b", second(committed_at));
            Origin::new(&about, others.iter()).committed_at
        };
        assert_eq!(order(100, &[]), second(100));
        assert_eq!(order(100, &[known("main@sha1:a", 90)]), second(100));
        let same_second = [known("main@sha1:a", 100)];
        assert_eq!(order(100, &same_second), second(101));
        let moved_back = [known("main@sha1:a", 100), known("main@sha1:c", 70)];
        assert_eq!(order(50, &moved_back), second(101));
        let its_own = [known("main@sha1:b", 100)];
        assert_eq!(order(50, &its_own), second(50));
    }
}
