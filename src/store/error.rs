//! What can go wrong in a store.

use crate::ids::Digest;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed. Nothing was changed; the caller may try again.
    #[error("the store could not {action}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// The adapter's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stored value cannot be read: a defect, or a damaged file.
    #[error("the store holds a damaged {what}")]
    Damaged {
        /// What is damaged.
        what: &'static str,
        /// How that was noticed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Devices cannot be pointed at a manifest before it is kept. Nothing was changed.
    #[error("manifest {0} is not in the store; keep it before pointing devices at it")]
    NoManifest(Digest),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}
