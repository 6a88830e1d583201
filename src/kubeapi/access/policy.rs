//! The roles in force: an [`Index`] that follows what is stored.
//!
//! Before each question it takes in what was written since the last one, from the change log. A write has been answered
//! only after it is in the log, so whoever asks after a write is answered by it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{PoisonError, RwLock};

use super::index::{Index, RESOURCES};
use crate::kubeapi::api::parse;
use crate::kubeapi::error::ApiError;
use crate::kubeapi::storage::{ChangeKind, PageRequest, Replay, Storage};

/// Objects read at a time when the index is made.
const PAGE: usize = 500;

/// The index, and how far it has read.
#[derive(Default)]
pub(in crate::kubeapi) struct Policy {
    index: RwLock<Index>,
    /// Everything up to this revision is in the index; 0 before it is made.
    seen: AtomicI64,
    /// How far each kind has been read; held while reading.
    positions: tokio::sync::Mutex<[Option<i64>; RESOURCES.len()]>,
}

impl Policy {
    /// Takes in what has been written.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn follow(&self, storage: &Storage) -> Result<(), ApiError> {
        let head = storage.head();
        if self.seen.load(Ordering::Acquire) >= head.max(1) {
            return Ok(());
        }
        let mut positions = self.positions.lock().await;
        for (resource, position) in RESOURCES.into_iter().zip(positions.iter_mut()) {
            while position.is_none_or(|position| position < head) {
                let next = match *position {
                    Some(position) => self.replay(storage, resource, position).await?,
                    None => Some(self.read(storage, resource).await?),
                };
                *position = next;
            }
        }
        self.seen.fetch_max(head, Ordering::Release);
        Ok(())
    }

    /// Answers a question about the roles in force.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Index) -> T) -> T {
        question(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Index)) {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes in changes after `position`; says up to where. `None`: the log does not reach back that far.
    async fn replay(
        &self,
        storage: &Storage,
        resource: &'static str,
        position: i64,
    ) -> Result<Option<i64>, ApiError> {
        let Replay::Changes { changes, upto } = storage.changes(resource.into(), position).await? else {
            return Ok(None);
        };
        let mut objects = Vec::with_capacity(changes.len());
        for change in &changes {
            let object = match change.kind {
                ChangeKind::Deleted => None,
                ChangeKind::Added | ChangeKind::Modified => Some(
                    serde_json::from_slice(&change.body)
                        .map_err(|error| ApiError::Internal(format!("a stored role is damaged: {error}")))?,
                ),
            };
            objects.push((change, object));
        }
        if !objects.is_empty() {
            self.change(|index| {
                for (change, object) in &objects {
                    index.put(resource, &change.namespace, &change.name, object.as_ref());
                }
            });
        }
        Ok(Some(upto))
    }

    /// Reads all objects of a kind. Later pages may hold later states; what changed since the first is taken in anew,
    /// in order, from the log.
    async fn read(&self, storage: &Storage, resource: &'static str) -> Result<i64, ApiError> {
        let (mut objects, mut after, mut first) = (Vec::new(), None, None);
        loop {
            let request = PageRequest {
                resource: resource.into(),
                namespace: None,
                after,
                limit: PAGE,
                filter: None,
            };
            let page = storage.page(request).await?;
            first.get_or_insert(page.revision);
            for row in page.rows {
                let object = parse(&row)?;
                objects.push((row.namespace, row.name, object));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        self.change(|index| {
            index.clear(resource);
            for (namespace, name, object) in &objects {
                index.put(resource, namespace, name, Some(object));
            }
        });
        Ok(first.unwrap_or_default())
    }
}
