//! A few connections that read, each beside the writer in its own snapshot; off the async threads, but for what is over at once.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::columns::Fault;
use super::schema;
use crate::store::StoreError;

/// Connections: enough to keep two cores busy while one of them waits.
const CONNECTIONS: usize = 3;

/// The connections.
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Arc<Self>> {
        let connections = (0..CONNECTIONS)
            .map(|_| schema::open_reader(path))
            .collect::<Result<_, _>>()?;
        Ok(Arc::new(Self {
            idle: Mutex::new(connections),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
        }))
    }

    /// As [`Self::run`], for work that reads a few rows by their key: it is done here and now, since to hand it to another thread and to wait
    /// for the answer takes several times as long. With no connection idle it is handed over all the same.
    pub(super) async fn run_here<T: Send + 'static>(
        self: &Arc<Self>,
        action: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Ok(_permit) = self.permits.try_acquire() else {
            return self.run(action, work).await;
        };
        self.work(action, work)
    }

    /// Runs `work` on one of them, off the async threads. `action` completes "the store could not …".
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        action: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)?;
        let readers = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.work(action, work)
        });
        task.await.unwrap_or_else(|source| {
            Err(StoreError::Database {
                action,
                source: Box::new(source),
            })
        })
    }

    /// For who has a permit.
    fn work<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let reader = Reader::take(self).ok_or(StoreError::Closed)?;
        let connection = reader.connection().ok_or(StoreError::Closed)?;
        work(connection).map_err(|fault| fault.during(action))
    }
}

/// One connection while it is in use; given back even when the work panics.
struct Reader<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl<'a> Reader<'a> {
    fn take(readers: &'a Readers) -> Option<Self> {
        let connection = readers
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()?;
        Some(Self {
            readers,
            connection: Some(connection),
        })
    }

    fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.readers
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(self.connection.take());
    }
}
