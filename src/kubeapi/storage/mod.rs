//! Where the embedded API keeps its objects: one SQLite file with a single writer.
//!
//! Every object is one row under `(resource, namespace, name)`; every accepted write takes the next number of one
//! global, monotonic revision (Kubernetes' `resourceVersion`) and leaves one row in an append-only change log, from which
//! watches are replayed. Writes from all callers share transactions (group commit), each synced to disk before it is
//! answered. Bodies of sealed resources (Secrets) are encrypted before they reach the file.
//!
//! It never interprets an object beyond the [`Facets`] it is given, and never holds more than a bounded tail of the
//! log in memory.

mod facets;
mod feed;
mod migrations;
mod reader;
mod seal;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Connection;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::files;
use crate::pki::Sealer;
pub use facets::Facets;
use feed::Feed;
pub use feed::{Change, ChangeKind};
use reader::Readers;
pub use reader::{Filter, Page, PageRequest};

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made.
    #[error("the database {path} cannot be made or opened; check its directory's rights")]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is there but is not a database of this program.
    #[error("{path} is not a Kubernetes API database of Provost; point the data directory elsewhere")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of the program has written the file.
    #[error(
        "{path} has schema {found}, this program knows up to {known}; run the newer program, or restore a backup"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema version in the file.
        found: i64,
        /// The newest version this program can read.
        known: i64,
    },
    /// `SQLite` refused.
    #[error("could not open the database {path}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What `SQLite` said.
        #[source]
        source: rusqlite::Error,
    },
    /// The writer's thread could not be started.
    #[error("could not start the database writer")]
    StartWriter(#[source] std::io::Error),
}

/// Why a read or write did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// `SQLite` failed (disk full, I/O error); nothing was written.
    #[error("the database failed: {0}")]
    Database(Arc<str>),
    /// A sealed body could not be sealed or opened.
    #[error("a sealed object could not be processed: {0}")]
    Seal(Arc<str>),
    /// The storage is shutting down.
    #[error("the database is closed")]
    Closed,
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string().into())
    }
}

/// Where an object lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// `plural.group`, or the plural alone for the core group.
    pub resource: Arc<str>,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// An object as stored: JSON in its storage version, `metadata.resourceVersion` included.
#[derive(Debug, Clone)]
pub struct Stored {
    /// `metadata.namespace`, empty for cluster-scoped objects.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// The revision of its last write.
    pub revision: i64,
    /// Serialised JSON.
    pub body: Bytes,
}

/// What must be true of the row for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// No such object.
    Absent,
    /// The object's last write had this revision.
    Revision(i64),
}

/// What to write.
#[derive(Debug)]
pub enum Write {
    /// Create or replace.
    Put {
        /// Where.
        key: Key,
        /// The condition.
        expected: Expected,
        /// The whole object; `metadata.resourceVersion` is filled in by the writer.
        object: Value,
        /// What selectors see of it.
        facets: Facets,
        /// Unix seconds after which the object may be dropped.
        expires: Option<i64>,
        /// Whether the body is encrypted at rest.
        sealed: bool,
    },
    /// Remove, publishing `object` as the last state.
    Remove {
        /// Where.
        key: Key,
        /// The revision that must be current.
        revision: i64,
        /// The last state.
        object: Value,
        /// Whether the body is encrypted at rest.
        sealed: bool,
    },
}

/// The answer to a write.
#[derive(Debug)]
pub enum Outcome {
    /// Written and synced.
    Committed(Arc<Change>),
    /// The condition did not hold: the object exists, has another revision, or (`None`) is gone.
    Mismatch(Option<i64>),
}

/// A piece of the change log.
#[derive(Debug)]
pub enum Replay {
    /// The changes of one resource after the revision asked for, complete up to `upto`.
    Changes {
        /// In order of revision.
        changes: Vec<Arc<Change>>,
        /// Everything up to this revision has been considered.
        upto: i64,
    },
    /// The log no longer reaches back that far.
    Compacted,
}

/// Sizes that bound memory and disk.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Changes kept on disk for replay; a watch from further back is told 410.
    pub log_changes: i64,
    /// Changes kept in memory.
    pub memory_changes: usize,
    /// Bytes of changes kept in memory.
    pub memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            log_changes: 20_000,
            memory_changes: 2_048,
            memory_bytes: 8 << 20,
        }
    }
}

/// The storage of one API; clones share it.
#[derive(Clone)]
pub struct Storage {
    jobs: mpsc::Sender<writer::Job>,
    readers: Arc<Readers>,
    feed: Arc<Feed>,
}

/// Requests that may wait for the writer before callers are made to wait themselves.
const WRITE_QUEUE: usize = 1024;

impl Storage {
    /// Opens or creates the database at `path`.
    ///
    /// # Errors
    /// A foreign or newer file, or a database that cannot be opened.
    pub fn open(path: &Path, sealer: Arc<dyn Sealer>, limits: Limits) -> Result<Self, OpenError> {
        let database = |source| OpenError::Database {
            path: path.to_owned(),
            source,
        };
        files::open_private(path).map_err(|source| OpenError::Create {
            path: path.to_owned(),
            source,
        })?;
        let mut connection = Connection::open(path).map_err(database)?;
        migrations::configure(&connection).map_err(database)?;
        migrations::migrate(&mut connection, path)?;
        let revision = migrations::head(&connection).map_err(database)?;
        let feed = Arc::new(Feed::new(revision, limits.memory_changes, limits.memory_bytes));
        let readers = Arc::new(Readers::new(path.to_owned(), Arc::clone(&sealer)));
        let (jobs, queue) = mpsc::channel(WRITE_QUEUE);
        let writer = writer::Writer::new(connection, sealer, Arc::clone(&feed), limits, revision);
        std::thread::Builder::new()
            .name("kubeapi-writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(OpenError::StartWriter)?;
        Ok(Self { jobs, readers, feed })
    }

    /// Writes, answering after the transaction is on disk.
    ///
    /// # Errors
    /// When the database fails; then nothing was written.
    pub async fn write(&self, write: Write) -> Result<Outcome, StorageError> {
        let (answer, answered) = oneshot::channel();
        let job = writer::Job::Write {
            write: Box::new(write),
            answer,
        };
        self.jobs.send(job).await.map_err(|_| StorageError::Closed)?;
        answered.await.map_err(|_| StorageError::Closed)?
    }

    /// Drops the change log up to and including `revision` (for tests and maintenance).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn compact(&self, revision: i64) -> Result<(), StorageError> {
        let (answer, answered) = oneshot::channel();
        let job = writer::Job::Compact { revision, answer };
        self.jobs.send(job).await.map_err(|_| StorageError::Closed)?;
        answered.await.map_err(|_| StorageError::Closed)?
    }

    /// The last committed revision.
    #[must_use]
    pub fn head(&self) -> i64 {
        self.feed.head()
    }

    /// Follows the last committed revision.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<i64> {
        self.feed.follow()
    }

    /// One object.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(&self, key: Key) -> Result<Option<Stored>, StorageError> {
        self.read(move |readers| readers.load(&key)).await
    }

    /// A page of objects of one resource, ordered by namespace and name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn page(&self, request: PageRequest) -> Result<Page, StorageError> {
        self.read(move |readers| readers.page(&request)).await
    }

    /// The same page as it was at `revision`; `None` when the log does not reach back so far.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn page_at(&self, request: PageRequest, revision: i64) -> Result<Option<Page>, StorageError> {
        self.read(move |readers| readers.page_at(&request, revision))
            .await
    }

    /// The changes of `resource` after `revision`, a bounded number at a time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn changes(&self, resource: Arc<str>, revision: i64) -> Result<Replay, StorageError> {
        if let Some((changes, upto)) = self.feed.since(&resource, revision) {
            return Ok(Replay::Changes { changes, upto });
        }
        self.read(move |readers| readers.changes(&resource, revision))
            .await
    }

    /// The state that a change replaced, under the revision of the change; `None` when there was none, or it is forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replaced(&self, change: &Change) -> Result<Option<Bytes>, StorageError> {
        let (revision, key) = (change.revision, change.key());
        let found = self.read(move |readers| readers.replaced(revision, &key)).await?;
        found.map(|body| under_revision(&body, revision)).transpose()
    }

    /// The oldest revision a watch can start from.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn compacted(&self) -> Result<i64, StorageError> {
        self.read(Readers::compacted).await
    }

    /// Whether an object with this uid exists.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn uid_exists(&self, uid: String) -> Result<bool, StorageError> {
        self.read(move |readers| readers.uid_exists(&uid)).await
    }

    /// The objects that name `uid` as an owner.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dependents(&self, uid: String) -> Result<Vec<Key>, StorageError> {
        self.read(move |readers| readers.dependents(&uid)).await
    }

    /// Objects that wait for the collector, after the one with id `after`, a bounded number: their deletion has steps
    /// left, or an owner of theirs does not exist.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held(&self, after: i64) -> Result<Vec<(i64, Key)>, StorageError> {
        self.read(move |readers| readers.held(after)).await
    }

    /// Says that the collector has nothing to do for an object until it, or an owner of it, is written again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release(&self, id: i64, revision: i64) -> Result<(), StorageError> {
        let (answer, answered) = oneshot::channel();
        let job = writer::Job::Release { id, revision, answer };
        self.jobs.send(job).await.map_err(|_| StorageError::Closed)?;
        answered.await.map_err(|_| StorageError::Closed)?
    }

    /// Objects whose time has passed at `now` (Unix seconds), a bounded number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn expired(&self, now: i64) -> Result<Vec<Key>, StorageError> {
        self.read(move |readers| readers.expired(now)).await
    }

    /// Up to `limit` objects that live in `namespace`, of any resource.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn in_namespace(&self, namespace: String, limit: usize) -> Result<Vec<Key>, StorageError> {
        self.read(move |readers| readers.in_namespace(&namespace, limit))
            .await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Readers) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let readers = Arc::clone(&self.readers);
        tokio::task::spawn_blocking(move || work(&readers))
            .await
            .map_err(|_| StorageError::Closed)?
    }
}

fn under_revision(body: &[u8], revision: i64) -> Result<Bytes, StorageError> {
    let damaged = |error: serde_json::Error| StorageError::Database(error.to_string().into());
    let mut object: Value = serde_json::from_slice(body).map_err(damaged)?;
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.insert("resourceVersion".to_owned(), Value::String(revision.to_string()));
    }
    serde_json::to_vec(&object).map(Into::into).map_err(damaged)
}

#[cfg(test)]
mod tests;
