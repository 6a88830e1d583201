//! The fetch itself: open the cache, transfer, find the commit, read its files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use git2::{Commit, ErrorClass, ObjectType, Oid, Reference as GitReference, Repository};
use jiff::Timestamp;

use super::cache::{self, Cache};
use super::connection::Connection;
use super::error::{FetchError, FetchErrorKind};
use super::process;
use super::request::{Author, FetchRequest, Reference, Revision};
use super::tree::{self, TreeError};
use super::url::Scheme;
use crate::gitops::verify::{MAXIMUM_OBJECT, RawObjects, RawTag};

/// Where the cache keeps what it fetched last.
const LOCAL_REFERENCE: &str = "refs/provost/head";
/// Everything, for a commit that the server does not hand out by its id.
const ALL: [&str; 2] = [
    "+refs/heads/*:refs/provost/heads/*",
    "+refs/tags/*:refs/provost/tags/*",
];
/// The longest first line of a commit message that is kept, in characters.
const MAXIMUM_MESSAGE: usize = 200;
/// References named in an error, at most.
const MAXIMUM_NAMES: usize = 10;

/// Reads git repositories. Every call blocks; from async code it belongs in `spawn_blocking`. No two calls of one fetcher use a cache at once, so
/// there is one fetcher for all who share a folder of caches.
#[derive(Debug, Default)]
pub struct Fetcher {
    /// The caches in use.
    busy: Mutex<HashSet<PathBuf>>,
}

/// How an attempt on an existing cache ended without an answer.
enum Attempt {
    Failed(FetchError),
    /// The cache may be at fault: try once more without it.
    Suspect(FetchError),
}

impl From<FetchError> for Attempt {
    fn from(error: FetchError) -> Self {
        Self::Failed(error)
    }
}

impl Fetcher {
    /// A fetcher. One serves all sources.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Brings the cache up to date and reads the revision that `request` asks for.
    ///
    /// # Errors
    /// See [`FetchErrorKind`]. What was fetched before stays in the cache.
    pub fn fetch(&self, request: &FetchRequest) -> Result<Revision, FetchError> {
        process::initialise().map_err(|error| {
            FetchError::caused(FetchErrorKind::Cache, "libgit2 could not be set up", error)
        })?;
        let path = tree::split_path(&request.path)?;
        check_reference(&request.reference)?;
        let connection = Connection::new(request)?;

        let _claim = self.claim(&request.cache_dir)?;
        connection.check_deadline()?;
        let cache = cache::open(&request.cache_dir, &request.url, request.limits.repository_bytes)?;
        match attempt(&cache, request, &connection, &path) {
            Ok(revision) => Ok(revision),
            Err(Attempt::Failed(error)) => Err(error),
            Err(Attempt::Suspect(error)) if cache.is_new => Err(error),
            Err(Attempt::Suspect(error)) => {
                connection.check_deadline()?;
                tracing::warn!(error = error.report(), "git.cache is damaged and begun anew");
                drop(cache);
                let cache = cache::create(&request.cache_dir, &request.url)?;
                attempt(&cache, request, &connection, &path)
                    .map_err(|(Attempt::Failed(error) | Attempt::Suspect(error))| error)
            }
        }
    }

    /// Removes what was kept of a source that is gone.
    ///
    /// # Errors
    /// `Busy` while it is being fetched, `Cache` when the folder cannot be removed.
    pub fn forget(&self, cache_dir: &Path) -> Result<(), FetchError> {
        let _claim = self.claim(cache_dir)?;
        match std::fs::remove_dir_all(cache_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let message = format!("the cache {} could not be removed", cache_dir.display());
                Err(FetchError::caused(FetchErrorKind::Cache, message, error))
            }
            _ => Ok(()),
        }
    }

    /// Keeps everybody else out of a cache. A fetch that nobody waits for any more may still run, stuck in the network; waiting for it here would pile
    /// up threads behind it.
    fn claim(&self, dir: &Path) -> Result<Claim<'_>, FetchError> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if !busy.insert(dir.to_owned()) {
            let message = "an earlier fetch of this source has not ended yet";
            return Err(FetchError::new(FetchErrorKind::Busy, message));
        }
        let dir = dir.to_owned();
        Ok(Claim { fetcher: self, dir })
    }
}

/// The use of a cache; it ends when it is dropped.
struct Claim<'f> {
    fetcher: &'f Fetcher,
    dir: PathBuf,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut busy = self.fetcher.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.remove(&self.dir);
    }
}

fn attempt(
    cache: &Cache,
    request: &FetchRequest,
    connection: &Connection<'_>,
    path: &[&str],
) -> Result<Revision, Attempt> {
    connection.check_deadline()?;
    let repository = &cache.repository;
    let (name, (found, commit)) = match &request.reference {
        Reference::Branch(branch) => {
            let full = format!("refs/heads/{branch}");
            (
                format!("{branch}@"),
                fetch_named(cache, connection, &full, &format!("branch {branch}"))?,
            )
        }
        Reference::Tag(tag) => {
            let full = format!("refs/tags/{tag}");
            (
                format!("{tag}@"),
                fetch_named(cache, connection, &full, &format!("tag {tag}"))?,
            )
        }
        Reference::Commit(id) => {
            let commit = fetch_commit(cache, connection, id)?;
            (String::new(), (commit.id(), commit))
        }
    };
    let suspect = |error: git2::Error| {
        Attempt::Suspect(FetchError::caused(
            FetchErrorKind::Cache,
            "the fetched objects could not be read",
            error,
        ))
    };
    let tree = commit.tree().map_err(suspect)?;
    let (files, skipped) =
        tree::read(repository, tree, path, &request.limits).map_err(|error| match error {
            TreeError::Refused(error) => Attempt::Failed(error),
            TreeError::Damaged(error) => suspect(error),
        })?;
    let author = commit.author();
    Ok(Revision {
        name: format!("{name}sha1:{}", commit.id()),
        commit: commit.id().to_string(),
        parents: parents(&commit),
        author: Author {
            name: one_line(author.name_bytes()),
            email: one_line(author.email_bytes()),
        },
        committed_at: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
        message: one_line(commit.message_bytes()),
        files,
        skipped,
        objects: objects(repository, &request.reference, found, commit.id()).map_err(suspect)?,
    })
}

/// The commit, and the tag that led to it, as they are kept.
fn objects(
    repository: &Repository,
    reference: &Reference,
    found: Oid,
    commit: Oid,
) -> Result<RawObjects, git2::Error> {
    let odb = repository.odb()?;
    let raw = |id: Oid| -> Result<Vec<u8>, git2::Error> {
        let object = odb.read(id)?;
        // One byte more than is ever looked at shows that there is more.
        let end = object.len().min(MAXIMUM_OBJECT + 1);
        Ok(object.data().get(..end).unwrap_or_default().to_vec())
    };
    let tag = match reference {
        Reference::Tag(name) => Some(RawTag {
            name: name.clone(),
            object: if found == commit { None } else { Some(raw(found)?) },
        }),
        Reference::Branch(_) | Reference::Commit(_) => None,
    };
    Ok(RawObjects {
        commit: raw(commit)?,
        tag,
    })
}

fn check_reference(reference: &Reference) -> Result<(), FetchError> {
    let (valid, what) = match reference {
        Reference::Branch(name) => (
            GitReference::is_valid_name(&format!("refs/heads/{name}")),
            "branch",
        ),
        Reference::Tag(name) => (GitReference::is_valid_name(&format!("refs/tags/{name}")), "tag"),
        Reference::Commit(id) => (
            id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "commit",
        ),
    };
    if valid {
        return Ok(());
    }
    let message = match reference {
        Reference::Commit(_) => "the commit must be given by all of its 40 hexadecimal digits".to_owned(),
        Reference::Branch(name) | Reference::Tag(name) => format!("{name:?} is not a valid name of a {what}"),
    };
    Err(FetchError::new(FetchErrorKind::InvalidRequest, message))
}

/// A local repository cannot be read in part: libgit2 copies what it needs from the folder.
fn depth(connection: &Connection<'_>) -> i32 {
    i32::from(connection.url.scheme != Scheme::File)
}

fn fetch_named<'c>(
    cache: &'c Cache,
    connection: &Connection<'_>,
    full: &str,
    what: &str,
) -> Result<(Oid, Commit<'c>), Attempt> {
    let repository = &cache.repository;
    let mut remote = repository
        .remote_anonymous(&connection.url.text)
        .map_err(|error| connection.explain(error))?;
    let refspec = format!("+{full}:{LOCAL_REFERENCE}");
    remote
        .fetch(&[refspec], Some(&mut connection.options(depth(connection))), None)
        .map_err(|error| transfer_failed(connection, error))?;
    // The list of the server's references outlives the connection; the local reference may be an older fetch's.
    let offered = remote.list().map_err(|error| connection.explain(error))?;
    let Some(id) = offered
        .iter()
        .find(|head| head.name() == full)
        .map(git2::RemoteHead::oid)
    else {
        let prefix = full.split_inclusive('/').take(2).collect::<String>();
        return Err(missing(
            what,
            offered
                .iter()
                .filter_map(|head| head.name().strip_prefix(&prefix)),
        )
        .into());
    };
    let object = repository
        .find_object(id, None)
        .and_then(|object| object.peel(ObjectType::Commit));
    match object.map(git2::Object::into_commit) {
        Ok(Ok(commit)) => Ok((id, commit)),
        Ok(Err(_)) => {
            Err(FetchError::new(FetchErrorKind::NotFound, format!("{what} is not a commit")).into())
        }
        Err(error)
            if error.code() == git2::ErrorCode::Peel || error.code() == git2::ErrorCode::InvalidSpec =>
        {
            Err(FetchError::caused(FetchErrorKind::NotFound, format!("{what} is not a commit"), error).into())
        }
        Err(error) => Err(Attempt::Suspect(FetchError::caused(
            FetchErrorKind::Cache,
            format!("{what} was fetched but could not be read"),
            error,
        ))),
    }
}

/// A commit never changes: when the cache holds it, nobody is asked. Otherwise it is asked for by its id, and where the
/// server does not give it out that way, everything is fetched, within the limits.
fn fetch_commit<'c>(cache: &'c Cache, connection: &Connection<'_>, id: &str) -> Result<Commit<'c>, Attempt> {
    let repository = &cache.repository;
    let oid = Oid::from_str(id).map_err(|error| {
        FetchError::caused(
            FetchErrorKind::InvalidRequest,
            "the commit's id is not valid",
            error,
        )
    })?;
    if let Ok(commit) = repository.find_commit(oid) {
        return Ok(commit);
    }
    if depth(connection) > 0 {
        let refspec = format!("+{id}:{LOCAL_REFERENCE}");
        match transfer(repository, connection, &[&refspec], 1) {
            Ok(()) => {
                if let Ok(commit) = repository.find_commit(oid) {
                    return Ok(commit);
                }
            }
            Err(Attempt::Failed(error)) if is_final(error.kind) => return Err(error.into()),
            Err(_) => {}
        }
        connection.check_deadline()?;
        if repository.is_shallow() {
            // What a shallow cache lacks, a later full fetch does not bring; and the objects may differ anyway.
            let message = format!("the repository has no commit {id}");
            return Err(Attempt::Suspect(FetchError::new(
                FetchErrorKind::NotFound,
                message,
            )));
        }
    }
    transfer(repository, connection, &ALL, 0)?;
    repository.find_commit(oid).map_err(|_| {
        let message = format!("no branch or tag of the repository leads to a commit {id}");
        FetchError::new(FetchErrorKind::NotFound, message).into()
    })
}

const fn is_final(kind: FetchErrorKind) -> bool {
    !matches!(
        kind,
        FetchErrorKind::Transport | FetchErrorKind::Cache | FetchErrorKind::NotFound
    )
}

fn transfer(
    repository: &Repository,
    connection: &Connection<'_>,
    refspecs: &[&str],
    depth: i32,
) -> Result<(), Attempt> {
    let mut remote = repository
        .remote_anonymous(&connection.url.text)
        .map_err(|error| connection.explain(error))?;
    remote
        .fetch(refspecs, Some(&mut connection.options(depth)), None)
        .map_err(|error| transfer_failed(connection, error))
}

/// Only what the network said is beyond doubt; anything else may come from a damaged cache.
fn transfer_failed(connection: &Connection<'_>, error: git2::Error) -> Attempt {
    let from_network = matches!(
        error.class(),
        ErrorClass::Net | ErrorClass::Http | ErrorClass::Ssl | ErrorClass::Ssh
    ) || (error.class() == ErrorClass::Os
        && error.message().starts_with("failed to connect"));
    let explained = connection.explain(error);
    match explained.kind {
        FetchErrorKind::Transport if !from_network => Attempt::Suspect(explained),
        _ => Attempt::Failed(explained),
    }
}

fn missing<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> FetchError {
    let names: Vec<_> = names
        .filter(|name| !name.ends_with("^{}"))
        .map(|name| one_line(name.as_bytes()))
        .collect();
    let shown = names
        .iter()
        .take(MAXIMUM_NAMES)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let offer = match names.len() {
        0 => "it has none of that kind yet".to_owned(),
        more if more > MAXIMUM_NAMES => format!("it has {shown} and {} more", more - MAXIMUM_NAMES),
        _ => format!("it has {shown}"),
    };
    FetchError::new(
        FetchErrorKind::NotFound,
        format!("the repository has no {what}; {offer}"),
    )
}

/// The parents that the commit itself names: where a shallow fetch ended, libgit2 leaves them out.
fn parents(commit: &Commit<'_>) -> Vec<String> {
    let header = String::from_utf8_lossy(commit.raw_header_bytes());
    let ids = header.lines().filter_map(|line| line.strip_prefix("parent "));
    ids.filter(|id| Oid::from_str(id).is_ok())
        .map(str::to_owned)
        .collect()
}

/// The first line, fit for a status and a terminal.
pub(super) fn one_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.trim_start().lines().next().unwrap_or_default();
    line.chars()
        .filter(|c| !c.is_control())
        .take(MAXIMUM_MESSAGE)
        .collect()
}
