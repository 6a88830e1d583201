//! The one thread that writes, committing in groups.
//!
//! Operations wait in a channel. The thread takes all that have gathered, runs each in a savepoint of its own, so that one that fails takes
//! nothing else with it, and commits once. The caches, the feed and the callers are told when the commit is on the disk, which is waited for
//! elsewhere: see [`super::log`]. What is done for every report of a device goes without the savepoint, which would cost as much as a statement: see
//! [`Writer::run_bare`].

use std::cell::RefCell;
use std::io;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::cache::EnrollmentCache;
use super::checkpoint::Checkpoints;
use super::columns::Fault;
use super::log::{Announcement, Log};
use super::queues::Queues;
use super::schema::{self, OpenError};
use crate::ids::Digest;
use crate::store::{Change, StoreError};

/// Operations in one commit, at most.
const BATCH: usize = 500;

/// Operations that may wait; callers wait for room beyond that.
const WAITING: usize = 4096;

/// What an operation writes with: the connection, inside the operation's savepoint.
pub(super) struct Writing<'a> {
    connection: &'a Connection,
    effects: &'a mut Effects,
    queues: &'a RefCell<Queues>,
}

impl<'a> Writing<'a> {
    /// The connection itself, for statements that are kept at hand while this announces and forgets.
    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// What is known of queues. Not to be borrowed for longer than one call.
    pub(super) fn queues(&self) -> &'a RefCell<Queues> {
        self.queues
    }

    /// Tells the feed, once this is committed.
    pub(super) fn announce(&mut self, change: Change) {
        self.effects.changes.push(change);
    }

    /// Takes the enrolment pinned to `certificate` out of the cache, once this is committed.
    pub(super) fn forget(&mut self, certificate: Digest) {
        self.effects.forgotten.push(certificate);
    }

    /// As [`Self::forget`]; users have no certificate and are not in the cache.
    pub(super) fn forget_if(&mut self, certificate: Option<Digest>) {
        self.effects.forgotten.extend(certificate);
    }
}

impl Deref for Writing<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// What follows a commit.
#[derive(Debug, Default)]
struct Effects {
    changes: Vec<Change>,
    forgotten: Vec<Digest>,
}

/// Why operations that had succeeded came to nothing.
#[derive(Debug, Clone, thiserror::Error)]
enum NotCommitted {
    #[error("the transaction failed")]
    Database(#[source] Arc<rusqlite::Error>),
    #[error("the log could not be forced to the disk")]
    Log(#[source] Arc<io::Error>),
    #[error("another operation of the same transaction failed, which could not be undone alone")]
    Neighbour,
}

impl From<rusqlite::Error> for NotCommitted {
    fn from(source: rusqlite::Error) -> Self {
        Self::Database(Arc::new(source))
    }
}

/// What can happen to an operation: run, then told how the commit went.
trait Operation: Send {
    /// Whether it is run in a savepoint.
    fn has_savepoint(&self) -> bool;
    /// Whether it succeeded; if not its savepoint is rolled back.
    fn run(&mut self, writing: &mut Writing<'_>) -> bool;
    fn reply(self: Box<Self>, commit: Result<(), NotCommitted>);
}

struct Task<T, F> {
    action: &'static str,
    savepoint: bool,
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: Send + FnOnce(&mut Writing<'_>) -> Result<T, Fault>> Operation for Task<T, F> {
    fn has_savepoint(&self) -> bool {
        self.savepoint
    }

    fn run(&mut self, writing: &mut Writing<'_>) -> bool {
        let Some(work) = self.work.take() else {
            return false;
        };
        // Safe to go on after: whatever the work had half done is rolled back with its savepoint.
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| work(writing)));
        let result = match result {
            Ok(result) => result.map_err(|fault| fault.during(self.action)),
            Err(_) => Err(StoreError::Database {
                action: self.action,
                source: "the operation panicked".into(),
            }),
        };
        self.result.insert(result).is_ok()
    }

    fn reply(self: Box<Self>, commit: Result<(), NotCommitted>) {
        let failed = |source| StoreError::Database {
            action: self.action,
            source,
        };
        let result = match (commit, self.result) {
            (_, Some(Err(error))) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => Err(failed("it was not run".into())),
            (Err(error), _) => Err(failed(Box::new(error))),
        };
        // Who has stopped waiting does not want to know.
        let _ = self.reply.send(result);
    }
}

/// The way to the thread.
pub(super) struct Writer {
    /// None: closing.
    sender: Option<mpsc::Sender<Box<dyn Operation>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        path: &Path,
        connection: Connection,
        cache: Arc<EnrollmentCache>,
        feed: broadcast::Sender<Change>,
    ) -> Result<Self, OpenError> {
        let not_started = |source| OpenError::Thread {
            path: path.to_owned(),
            source,
        };
        let (sender, receiver) = mpsc::channel(WAITING);
        let log = Log::open(path).map_err(not_started)?;
        let checkpointer = schema::open_checkpointer(path).map_err(|source| OpenError::Database {
            path: path.to_owned(),
            source,
        })?;
        let checkpoints = Checkpoints::start(checkpointer, schema::CHECKPOINT_PAGES).map_err(not_started)?;
        let followers = Followers { cache, feed };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || serve(&connection, receiver, &log, &checkpoints, &followers))
            .map_err(not_started)?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
        })
    }

    /// Runs `work` in a transaction and returns when it is durable. `action` completes "the store could not …".
    pub(super) async fn run<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.hand_over(action, true, work).await
    }

    /// As [`Self::run`], for what never fails unless the database does: its failure takes with it everything that would be committed beside it.
    pub(super) async fn run_bare<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.hand_over(action, false, work).await
    }

    async fn hand_over<T: Send + 'static>(
        &self,
        action: &'static str,
        savepoint: bool,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let task = Box::new(Task {
            action,
            savepoint,
            work: Some(work),
            result: None,
            reply,
        });
        let sender = self.sender.as_ref().ok_or(StoreError::Closed)?;
        sender.send(task).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Writer {
    /// Waits until what was handed over is written.
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}

/// Who hears of a commit beside the callers.
#[derive(Clone)]
struct Followers {
    cache: Arc<EnrollmentCache>,
    feed: broadcast::Sender<Change>,
}

impl Followers {
    fn tell(&self, effects: Effects) {
        self.cache.forget(&effects.forgotten);
        for change in effects.changes {
            // Nobody listening is fine: who comes later looks at everything first.
            let _ = self.feed.send(change);
        }
    }
}

type Batch = Vec<Box<dyn Operation>>;

fn serve(
    connection: &Connection,
    mut receiver: mpsc::Receiver<Box<dyn Operation>>,
    log: &Log,
    checkpoints: &Checkpoints,
    followers: &Followers,
) {
    let queues = RefCell::new(Queues::new());
    while let Some(first) = receiver.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = receiver.try_recv()
        {
            batch.push(next);
        }
        let mut effects = Effects::default();
        match write(connection, &mut batch, &mut effects, &queues) {
            Ok(()) => {
                if log
                    .announce(announcement(batch, effects, followers.clone()))
                    .is_err()
                {
                    // What waits and what comes is told that the store is closed.
                    return;
                }
                checkpoints.after_commit(connection);
            }
            Err(error) => {
                let not_committed = &error as &dyn std::error::Error;
                tracing::error!(
                    error = not_committed,
                    operations = batch.len(),
                    "the store could not commit"
                );
                roll_back(connection);
                queues.borrow_mut().clear();
                reply(batch, &Err(error));
            }
        }
    }
}

/// What to do once it is known whether a commit is on the disk.
fn announcement(batch: Batch, effects: Effects, followers: Followers) -> Announcement {
    Box::new(move |forced| {
        let commit = forced.map_err(NotCommitted::Log);
        if commit.is_ok() {
            followers.tell(effects);
        }
        reply(batch, &commit);
    })
}

fn reply(batch: Batch, commit: &Result<(), NotCommitted>) {
    for operation in batch {
        operation.reply(commit.clone());
    }
}

fn write(
    connection: &Connection,
    batch: &mut [Box<dyn Operation>],
    effects: &mut Effects,
    queues: &RefCell<Queues>,
) -> Result<(), NotCommitted> {
    let execute = |sql| connection.prepare_cached(sql)?.execute([]).map(drop);
    execute("BEGIN IMMEDIATE")?;
    for operation in batch {
        let (changes, forgotten) = (effects.changes.len(), effects.forgotten.len());
        let savepoint = operation.has_savepoint();
        if savepoint {
            execute("SAVEPOINT operation")?;
        }
        let succeeded = operation.run(&mut Writing {
            connection,
            effects,
            queues,
        });
        if !savepoint {
            if succeeded {
                continue;
            }
            return Err(NotCommitted::Neighbour);
        }
        if !succeeded {
            // Where SQLite gave up the whole transaction (a full disk) this fails, and with it the batch.
            execute("ROLLBACK TO operation")?;
            effects.changes.truncate(changes);
            effects.forgotten.truncate(forgotten);
        }
        execute("RELEASE operation")?;
    }
    Ok(execute("COMMIT")?)
}

fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(error = %error, "the store could not roll back");
    }
}
