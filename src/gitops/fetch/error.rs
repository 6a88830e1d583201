//! Why a repository could not be read, in words that say what to do about it.

use strum::IntoStaticStr;

use crate::telemetry::Chain;

/// The kinds of failure, each with one cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
pub enum FetchErrorKind {
    /// The request itself is wrong: its URL, path, reference name or credentials. Change the GitSource.
    InvalidRequest,
    /// The server refused the credentials, or wants some. Change the Secret.
    Authentication,
    /// An SSH server showed a key that `known_hosts` does not hold, or revokes.
    HostKey,
    /// A TLS server showed a certificate that is not trusted.
    Certificate,
    /// The reference or the path does not exist in the repository.
    NotFound,
    /// The repository is larger than the limits allow.
    Limit,
    /// The content is of a kind that is never read, such as a symbolic link.
    Content,
    /// The server did not answer in time.
    Timeout,
    /// The repository could not be reached or spoke wrongly.
    Transport,
    /// The cache on this computer could not be written or read.
    Cache,
    /// An earlier fetch with the same cache has not ended yet.
    Busy,
    /// Whoever asked for it said that it is not wanted any more.
    Stopped,
}

impl FetchErrorKind {
    /// Can trying again help by itself? Everything else waits for a change by a person (though a repository is
    /// looked at again at every interval).
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Timeout | Self::Transport | Self::Cache | Self::Busy)
    }
}

/// A fetch that failed. Nothing was changed but the cache.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct FetchError {
    /// Which cure it needs.
    pub kind: FetchErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl FetchError {
    pub(super) fn new(kind: FetchErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(super) fn caused(
        kind: FetchErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// The whole story on one line, causes included: what a condition's message holds.
    #[must_use]
    pub fn report(&self) -> String {
        let told = Chain(self).to_string();
        told.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    }
}
