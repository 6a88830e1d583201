//! The tail of the change log in memory, and the signal that it has grown.
//!
//! A watcher remembers the last revision it has seen and asks for what came after. What the tail no longer holds is
//! read from the database, so a slow watcher is late, never skipped.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::watch;

use super::{Facets, Key};

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created.
    Added,
    /// It was removed; the body is its last state, with the removal's revision.
    Deleted,
    /// It was written.
    Modified,
}

/// One entry of the change log, serialised once for all watchers.
#[derive(Debug)]
pub struct Change {
    /// The revision of the write.
    pub revision: i64,
    /// `plural.group`.
    pub resource: Arc<str>,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// What happened.
    pub kind: ChangeKind,
    /// What selectors saw before; `None` when nothing changed for them, or nothing was there.
    pub previous: Option<Facets>,
    /// What selectors see now.
    pub facets: Facets,
    /// The object, serialised.
    pub body: Bytes,
}

impl Change {
    /// Where the object lives.
    #[must_use]
    pub fn key(&self) -> Key {
        Key {
            resource: Arc::clone(&self.resource),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// Changes handed out at a time.
const BATCH: usize = 512;

pub(super) struct Feed {
    tail: RwLock<Tail>,
    head: watch::Sender<i64>,
    most: usize,
    most_bytes: usize,
}

struct Tail {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    /// Every change after this revision is in `changes`.
    floor: i64,
}

impl Feed {
    pub(super) fn new(head: i64, most: usize, most_bytes: usize) -> Self {
        let tail = Tail {
            changes: VecDeque::new(),
            bytes: 0,
            floor: head,
        };
        Self {
            tail: RwLock::new(tail),
            head: watch::Sender::new(head),
            most,
            most_bytes,
        }
    }

    pub(super) fn head(&self) -> i64 {
        *self.head.borrow()
    }

    pub(super) fn follow(&self) -> watch::Receiver<i64> {
        self.head.subscribe()
    }

    /// Adds committed changes, then wakes the watchers.
    pub(super) fn publish(&self, changes: Vec<Arc<Change>>) {
        let Some(head) = changes.last().map(|change| change.revision) else {
            return;
        };
        {
            let mut tail = self.tail.write().unwrap_or_else(PoisonError::into_inner);
            for change in changes {
                tail.bytes += change.body.len();
                tail.changes.push_back(change);
            }
            while tail.changes.len() > self.most || tail.bytes > self.most_bytes {
                let Some(oldest) = tail.changes.pop_front() else {
                    break;
                };
                tail.bytes -= oldest.body.len();
                tail.floor = oldest.revision;
            }
        }
        self.head.send_replace(head);
    }

    /// Forgets everything up to `revision`, as the database does.
    pub(super) fn compact(&self, revision: i64) {
        let mut tail = self.tail.write().unwrap_or_else(PoisonError::into_inner);
        while tail
            .changes
            .front()
            .is_some_and(|change| change.revision <= revision)
        {
            if let Some(oldest) = tail.changes.pop_front() {
                tail.bytes -= oldest.body.len();
            }
        }
        tail.floor = tail.floor.max(revision);
    }

    /// Changes of `resource` after `revision` and how far they reach, unless the tail starts later.
    pub(super) fn since(&self, resource: &str, revision: i64) -> Option<(Vec<Arc<Change>>, i64)> {
        let head = self.head();
        let tail = self.tail.read().unwrap_or_else(PoisonError::into_inner);
        if revision < tail.floor {
            return None;
        }
        let start = tail.changes.partition_point(|change| change.revision <= revision);
        let mut changes = Vec::new();
        // The tail may already hold more than `head` said; what it holds is committed.
        let mut upto = tail.changes.back().map_or(head, |last| last.revision.max(head));
        for change in tail.changes.range(start..) {
            if *change.resource == *resource {
                changes.push(Arc::clone(change));
                if changes.len() == BATCH {
                    upto = change.revision;
                    break;
                }
            }
        }
        Some((changes, upto))
    }
}
