//! What is asked of a repository and what comes back.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::gitops::verify::RawObjects;
use crate::secret::Secret;

/// One fetch: where, what, with which rights and within which limits.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// `file:///…`, `https://…` or `ssh://[user@]host[:port]/…`. Never holds a password.
    pub url: String,
    /// What to look at.
    pub reference: Reference,
    /// The folder in the repository, `/`-separated; empty or `.` for all of it.
    pub path: String,
    /// The right to read.
    pub credentials: Credentials,
    /// For https: the certificates (PEM) of the only authorities to trust. `None` trusts the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// What a repository may cost.
    pub limits: Limits,
    /// A folder for this source alone. The fetcher owns it: whatever it finds there that is not its cache is removed.
    pub cache_dir: PathBuf,
    /// The longest the transfer may take.
    pub timeout: Duration,
    /// Ends the fetch: once it is cancelled nothing more is written into the cache than what is under way.
    pub stop: CancellationToken,
}

/// What to look at in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// The newest commit of a branch, such as `main`.
    Branch(String),
    /// The commit a tag points to, such as `v1.2.0`.
    Tag(String),
    /// One commit, by its 40 hexadecimal digits.
    Commit(String),
}

/// The right to read a repository.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// None: a public repository, or one on this computer.
    None,
    /// HTTP Basic: a user and a password or token.
    Basic {
        /// The user name.
        username: String,
        /// The password or token.
        password: Secret<String>,
    },
    /// An `Authorization: Bearer` token.
    Bearer(Secret<String>),
    /// An SSH key, and the host keys to expect.
    Ssh {
        /// The private key, as OpenSSH or PEM text.
        identity: Secret<String>,
        /// What the private key is encrypted with.
        passphrase: Option<Secret<String>>,
        /// The text of a `known_hosts` file: the only host keys that are trusted.
        known_hosts: String,
    },
}

/// What a repository may cost. A limit is never silently applied: going past one is an error that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes transferred, and bytes the cache may grow to before it is begun anew.
    pub repository_bytes: u64,
    /// Objects (commits, trees, files) in one transfer.
    pub objects: u64,
    /// Entries (files, folders, links) looked at under the path.
    pub entries: usize,
    /// Policy files (`*.yaml`, `*.yml`, `*.json`) under the path.
    pub files: usize,
    /// Bytes of one policy file.
    pub file_bytes: u64,
    /// Bytes of all policy files together.
    pub total_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            repository_bytes: 256 << 20,
            objects: 1_000_000,
            entries: 100_000,
            files: 5_000,
            file_bytes: 2 << 20,
            total_bytes: 32 << 20,
        }
    }
}

/// One commit and the policy files it holds under the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// `main@sha1:…`, `v1.2.0@sha1:…`, or `sha1:…` for a commit asked for by its id.
    pub name: String,
    /// The commit's id in 40 hexadecimal digits.
    pub commit: String,
    /// The ids of its parents (also of those that a shallow fetch did not bring).
    pub parents: Vec<String>,
    /// Who wrote it, as the commit claims.
    pub author: Author,
    /// When it was committed, as the commit claims.
    pub committed_at: Timestamp,
    /// The first line of its message, without control characters, at most 200 characters.
    pub message: String,
    /// The policy files, ordered by path.
    pub files: Vec<SourceFile>,
    /// What lies under the path and was not read.
    pub skipped: Skipped,
    /// What may be signed of it.
    pub objects: RawObjects,
}

/// A person as a commit names them. Nothing proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Their name.
    pub name: String,
    /// Their e-mail address.
    pub email: String,
}

/// A file at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// From the root of the repository, `/`-separated.
    pub path: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

impl SourceFile {
    /// The id that git gives to a blob of this content, in 40 hexadecimal digits.
    #[must_use]
    pub fn blob(&self) -> String {
        // Hashing fails for no content: the id of an empty blob would be wrong, none is honest.
        git2::Oid::hash_object(git2::ObjectType::Blob, &self.content)
            .map(|id| id.to_string())
            .unwrap_or_default()
    }
}

/// Counts of what was not read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Files of other types.
    pub files: usize,
    /// Symbolic links that do not look like policy files.
    pub symlinks: usize,
    /// Submodules.
    pub submodules: usize,
}
