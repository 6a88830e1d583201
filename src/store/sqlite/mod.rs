//! The store in one SQLite file: the adapter for everything in one process.
//!
//! - One thread writes, committing in groups ([`writer`]), and another one forces the log to the disk ([`log`]) before anybody hears of a commit: what was
//!   answered is on the disk. A third one carries the log into the database ([`checkpoint`]). A few connections read beside them ([`readers`]).
//! - Enrolments by certificate and manifests in use are kept in memory ([`cache`]), never older than the last commit; and, by the writer for itself, the queues
//!   of the devices that are speaking ([`queues`]).
//! - Push addresses, what devices give into safe keeping, command bodies and manifests, which may hold secrets, are sealed before they reach the file.
//! - Times are kept to the microsecond.
//!
//! It never reads a clock, and never opens the file from two processes: the data directory's lock is the composition root's.

mod addresses;
mod arrivals;
mod bodies;
mod cache;
mod checkpoint;
mod columns;
mod commands;
mod enrollments;
mod escrow;
mod invitations;
mod log;
mod manifests;
mod port;
mod queues;
mod readers;
mod reports;
mod retention;
mod schema;
mod users;
mod writer;

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::broadcast;

use super::{Change, StoreError};
use crate::cache::Cache;
use crate::ids::{Digest, EnrollmentId};
use crate::pki::Sealer;
use crate::policy::Manifest;
use cache::EnrollmentCache;
use columns::Fault;
use readers::Readers;
pub use retention::Removed;
pub use schema::OpenError;
use writer::{Writer, Writing};

/// Changes that a slow reader of the feed may be behind before it has to look at everything.
const FEED: usize = 65_536;

/// Manifests kept in memory, in bytes of their content.
const MANIFESTS: usize = 64 << 20;

/// Facts that may be changed side by side: devices share a turn only by chance.
const TURNS: usize = 64;

/// The store in a SQLite file.
pub struct SqliteStore {
    // Dropped before the writer: the last connection to close carries the log into the database, and a reader cannot.
    readers: Arc<Readers>,
    writer: Writer,
    sealer: Arc<dyn Sealer>,
    enrollments: Arc<EnrollmentCache>,
    manifests: Mutex<Cache<Digest, Arc<Manifest>>>,
    changes: broadcast::Sender<Change>,
    /// Facts are read, changed and written back in one turn; the reading and changing is kept off the writer.
    turns: Vec<tokio::sync::Mutex<()>>,
    hasher: RandomState,
}

impl SqliteStore {
    /// Opens the database at `path`, making it (mode 0600) or bringing it to the newest schema.
    ///
    /// # Errors
    /// When the file is not Provost's, has a newer or different schema, or cannot be used.
    pub fn open(path: &Path, sealer: Arc<dyn Sealer>) -> Result<Self, OpenError> {
        let connection = schema::open_writer(path)?;
        let readers = Readers::open(path).map_err(|source| OpenError::Database {
            path: path.to_owned(),
            source,
        })?;
        let (changes, _) = broadcast::channel(FEED);
        let enrollments = Arc::new(EnrollmentCache::new());
        Ok(Self {
            writer: Writer::start(path, connection, Arc::clone(&enrollments), changes.clone())?,
            readers,
            sealer,
            enrollments,
            manifests: Mutex::new(Cache::new(MANIFESTS)),
            changes,
            turns: (0..TURNS).map(|_| tokio::sync::Mutex::new(())).collect(),
            hasher: RandomState::new(),
        })
    }

    /// Removes what need not be kept any longer, in small transactions between those of others: ended commands (90 days, questions to
    /// devices one day, at most 200 of a class and device), unneeded request bodies, invitations and certificates that ran out long ago. Ends
    /// commands past their deadline whose device never asks. To be called about once an hour.
    ///
    /// # Errors
    /// When the database fails; what was removed until then stays removed.
    pub async fn retain(&self, now: Timestamp) -> Result<Removed, StoreError> {
        let mut expired = 0;
        let overdue = self
            .read("look for overdue commands", move |db| commands::overdue(db, now))
            .await?;
        for batch in overdue.chunks(retention::BATCH) {
            let batch = batch.to_vec();
            let work = move |writing: &mut Writing<'_>| commands::expire(writing, &batch, now);
            expired += self.writer.run("end overdue commands", work).await?;
        }
        Ok(Removed {
            expired_commands: expired,
            results: self.remove_results(now).await?,
            bodies: self.remove_bodies().await?,
            invitations: self
                .repeat(move |writing| retention::invitations(writing, now))
                .await?,
            certificates: self
                .repeat(move |writing| retention::certificates(writing, now))
                .await?,
            answers: self
                .repeat(move |writing| retention::answers(writing, now))
                .await?,
        })
    }

    async fn remove_results(&self, now: Timestamp) -> Result<usize, StoreError> {
        let (mut after, mut removed) = (0, 0);
        loop {
            let surplus = self
                .read("look for old results", move |db| {
                    retention::surplus(db, after, now)
                })
                .await?;
            for batch in surplus.results.chunks(retention::BATCH) {
                let batch = batch.to_vec();
                let work = move |writing: &mut Writing<'_>| retention::remove_results(writing, &batch);
                removed += self.writer.run("remove old results", work).await?;
            }
            match surplus.last {
                Some(last) => after = last,
                None => return Ok(removed),
            }
        }
    }

    async fn remove_bodies(&self) -> Result<usize, StoreError> {
        let unneeded = self
            .read("look for unneeded bodies", retention::unneeded_bodies)
            .await?;
        let mut removed = 0;
        for batch in unneeded.chunks(retention::BATCH) {
            let batch = batch.to_vec();
            let work = move |writing: &mut Writing<'_>| retention::remove_bodies(writing, &batch);
            removed += self.writer.run("remove unneeded bodies", work).await?;
        }
        Ok(removed)
    }

    /// Repeats a removal until it finds less than a batch.
    async fn repeat(
        &self,
        work: impl Fn(&Writing<'_>) -> Result<usize, Fault> + Copy + Send + 'static,
    ) -> Result<usize, StoreError> {
        let mut total = 0;
        loop {
            let removed = self
                .writer
                .run("remove what is old", move |writing| work(writing))
                .await?;
            total += removed;
            if removed < retention::BATCH {
                return Ok(total);
            }
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.run(action, work).await
    }

    /// As [`Self::read`], for a few rows by their key.
    async fn look_up<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.run_here(action, work).await
    }

    fn turn(&self, id: &EnrollmentId) -> Option<&tokio::sync::Mutex<()>> {
        let place = usize::try_from(self.hasher.hash_one(id)).unwrap_or(usize::MAX) % TURNS;
        self.turns.get(place)
    }
}
