//! Reads a revision of a git repository: transfers it into a bare cache and takes the policy files out of its tree.
//!
//! Never checks anything out, runs no hook or filter, follows no symbolic link, enters no submodule, and reads neither
//! the user's git configuration nor their SSH agent. Nothing is trusted that the request does not name: an SSH server's
//! key must stand in the given `known_hosts`, an https server's certificate must lead to the given CA (or, without
//! one, to the system's authorities). No credential reaches a log, an error or the disk.
//!
//! https and ssh fetch one commit deep. A `file://` repository cannot be fetched in part. A commit asked for by its id
//! is fetched alone where the server allows that, and with the whole history where it does not. A [`LocalRepository`] is read where it lies.

mod cache;
mod certificate;
mod connection;
mod error;
mod fetcher;
mod known_hosts;
mod local;
mod process;
mod request;
mod tree;
mod url;

#[cfg(test)]
mod tests;

pub use error::{FetchError, FetchErrorKind};
pub use fetcher::Fetcher;
pub use local::{LocalRepository, LocalRevision};
pub(in crate::gitops) use process::initialise as isolate;
pub use request::{Author, Credentials, FetchRequest, Limits, Reference, Revision, Skipped, SourceFile};
