//! When devices were last heard of: kept in memory at every contact, written in batches.
//!
//! A write for every poll would cost more than everything else that a poll does. What a crash loses is the last few seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::ids::EnrollmentId;
use crate::store::{Store, StoreError};

/// The most devices that one transaction writes.
const CHUNK: usize = 1_000;

/// Hears of every contact.
type Listener = Box<dyn Fn(&EnrollmentId) + Send + Sync>;

/// The contacts since the last flush. It holds at most one time a device.
#[derive(Default)]
pub struct SeenBatch {
    noted: Mutex<HashMap<EnrollmentId, Timestamp>>,
    listener: OnceLock<Listener>,
}

impl SeenBatch {
    /// Tells `listener` of every contact as it happens. One listener; a second one is not heard.
    pub fn listen(&self, listener: impl Fn(&EnrollmentId) + Send + Sync + 'static) {
        if self.listener.set(Box::new(listener)).is_err() {
            tracing::error!("contacts have a listener already");
        }
    }

    /// Notes a contact.
    pub fn note(&self, enrollment: &EnrollmentId, now: Timestamp) {
        if let Some(listener) = self.listener.get() {
            listener(enrollment);
        }
        self.lock().insert(enrollment.clone(), now);
    }

    /// Writes what has been noted. What could not be written stays noted.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn flush(&self, store: &dyn Store) -> Result<(), StoreError> {
        let noted: Vec<_> = std::mem::take(&mut *self.lock()).into_iter().collect();
        let mut chunks = noted.chunks(CHUNK);
        while let Some(chunk) = chunks.next() {
            if let Err(error) = store.seen(chunk).await {
                let mut batch = self.lock();
                for (enrollment, time) in chunk.iter().chain(chunks.flatten()) {
                    // A contact that came in the meantime is newer.
                    batch.entry(enrollment.clone()).or_insert(*time);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Flushes every `interval`, and once more when `shutdown` comes.
    pub async fn run(
        self: Arc<Self>,
        store: Arc<dyn Store>,
        interval: Duration,
        shutdown: CancellationToken,
    ) {
        loop {
            let stop = tokio::select! {
                () = shutdown.cancelled() => true,
                () = tokio::time::sleep(interval) => false,
            };
            if let Err(error) = self.flush(&*store).await {
                tracing::warn!(%error, "times of contact could not be written");
            }
            if stop {
                return;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<EnrollmentId, Timestamp>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
