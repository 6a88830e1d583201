//! The thread that carries the log into the database, beside the one that writes.
//!
//! A checkpoint waits for the disk several times, and a writer that did it would keep every device waiting meanwhile. So most of it is done here, with a
//! connection of its own. But the log can only begin anew when all of it has been carried over, and while the writer writes there is always a rest: that
//! little the writer carries over itself, when it is told that little is left.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

/// Pages that the writer may be left with.
const REST: i64 = 1024;

/// How many times the rest is carried over here, at most, to make it small enough.
const ROUNDS: usize = 4;

/// The way to the thread.
pub(super) struct Checkpoints {
    /// None: closing.
    commits: Option<SyncSender<()>>,
    little_is_left: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Carries the log over with `connection` whenever it has `pages` that are not in the database.
    pub(super) fn start(connection: Connection, pages: i64) -> io::Result<Self> {
        let (commits, receiver) = sync_channel(1);
        let little_is_left = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&little_is_left);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || serve(&connection, &receiver, pages, &tell))?;
        Ok(Self {
            commits: Some(commits),
            little_is_left,
            thread: Some(thread),
        })
    }

    /// To be called by the writer after each commit, with its own connection.
    pub(super) fn after_commit(&self, writer: &Connection) {
        if let Some(commits) = &self.commits {
            // Full: the thread will look again anyway.
            let _ = commits.try_send(());
        }
        if self.little_is_left.swap(false, Ordering::AcqRel) {
            warn(carry_over(writer));
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.commits = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the store's checkpoints ended by a panic");
        }
    }
}

fn serve(connection: &Connection, commits: &Receiver<()>, pages: i64, little_is_left: &AtomicBool) {
    while commits.recv().is_ok() {
        let Some(mut left) = warn(look(connection)) else {
            continue;
        };
        if left < pages {
            continue;
        }
        for _ in 0..ROUNDS {
            let Some(rest) = warn(carry_over(connection).and_then(|()| look(connection))) else {
                break;
            };
            left = rest;
            if left < REST {
                break;
            }
        }
        little_is_left.store(left < pages, Ordering::Release);
    }
}

/// How many pages of the log are not in the database.
fn look(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
        Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?)
    })
}

/// Carries over as much as can be without waiting for anybody.
fn carry_over(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// What fails is tried again after the next commit; should it fail for long, the writer does without this thread.
fn warn<T>(done: rusqlite::Result<T>) -> Option<T> {
    done.inspect_err(|error| tracing::warn!(%error, "the store's log could not be carried into the database"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_written_all_the_time_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Connection::open(folder.path().join("store.db")).unwrap();
        let writer = open();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        writer.pragma_update(None, "synchronous", "OFF").unwrap();
        writer.execute_batch("CREATE TABLE t (x)").unwrap();
        let checkpoints = Checkpoints::start(open(), 10).unwrap();
        let pages = || {
            let log = |row: &rusqlite::Row<'_>| row.get::<_, i64>(1);
            writer.query_row("PRAGMA wal_checkpoint(NOOP)", [], log).unwrap()
        };
        let mut longest = 0;
        let anew = (0..1_000_000).any(|number| {
            writer.execute("INSERT INTO t VALUES (?1)", [number]).unwrap();
            checkpoints.after_commit(&writer);
            longest = longest.max(pages());
            pages() < longest
        });
        assert!(anew, "{longest} pages and no end");
    }
}
