//! Revisions of a repository on this computer, for people who look at a change before it is made: read in place, with the limits of a fetch.
//!
//! Nothing is written, checked out or fetched, no hook or filter runs. Whose the folder is does not matter, because nothing in it is obeyed: a
//! clone that a pipeline made as somebody else is read like one's own.

use std::path::Path;

use git2::{Commit, ErrorCode, ObjectType, Repository};

use super::error::{FetchError, FetchErrorKind};
use super::fetcher::one_line;
use super::process;
use super::request::{Limits, Skipped, SourceFile};
use super::tree::{self, TreeError};

/// The longest text that names a revision.
const MAXIMUM_NAME: usize = 1_024;

/// A commit of a repository on this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalRevision {
    /// Its id in 40 hexadecimal digits.
    pub commit: String,
    /// The first line of its message, without control characters.
    pub message: String,
    /// The policy files, ordered by path.
    pub files: Vec<SourceFile>,
    /// What lies under the path and was not read.
    pub skipped: Skipped,
}

/// A repository on this computer.
pub struct LocalRepository {
    repository: Repository,
}

impl LocalRepository {
    /// The repository that a folder is, or lies in.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn discover(folder: &Path) -> Result<Self, FetchError> {
        process::initialise().map_err(|error| {
            FetchError::caused(FetchErrorKind::Cache, "libgit2 could not be set up", error)
        })?;
        let found = Repository::discover_path(folder, NO_CEILING).map_err(|error| {
            let message = format!(
                "{} is in no git repository; name one with --repository DIR",
                folder.display()
            );
            FetchError::caused(FetchErrorKind::NotFound, message, error)
        })?;
        // As a bare one: its index and work tree are none of our business.
        let repository = Repository::open_bare(&found).map_err(|error| {
            let message = format!("the repository {} cannot be read", found.display());
            FetchError::caused(FetchErrorKind::Cache, message, error)
        })?;
        Ok(Self { repository })
    }

    /// The id of the commit that `revision` names, in git's own spelling: a branch, a tag, `HEAD~1`, `origin/main`, some digits of an id.
    ///
    /// # Errors
    /// When it names none here.
    pub fn resolve(&self, revision: &str) -> Result<String, FetchError> {
        self.commit(revision).map(|commit| commit.id().to_string())
    }

    /// The newest commit that both revisions come from.
    ///
    /// # Errors
    /// When there is none here.
    pub fn common_ancestor(&self, one: &str, other: &str) -> Result<String, FetchError> {
        let (one_id, other_id) = (self.commit(one)?.id(), self.commit(other)?.id());
        let base = self.repository.merge_base(one_id, other_id).map_err(|error| {
            let message = format!(
                "{one} and {other} have no common ancestor here{}",
                self.hint_if_shallow()
            );
            FetchError::caused(FetchErrorKind::NotFound, message, error)
        })?;
        Ok(base.to_string())
    }

    /// Whether a folder is there at a revision.
    ///
    /// # Errors
    /// When the path could be of no repository, or the revision names no commit here.
    pub fn has_folder(&self, revision: &str, path: &str) -> Result<bool, FetchError> {
        let path = tree::split_path(path)?.join("/");
        let tree = self.commit(revision)?.tree().map_err(unreadable)?;
        Ok(path.is_empty()
            || tree
                .get_path(Path::new(&path))
                .is_ok_and(|entry| entry.kind() == Some(ObjectType::Tree)))
    }

    /// The commit that a revision names, without its files.
    ///
    /// # Errors
    /// When it names none here.
    pub fn describe(&self, revision: &str) -> Result<LocalRevision, FetchError> {
        let commit = self.commit(revision)?;
        Ok(described(&commit, Vec::new(), Skipped::default()))
    }

    /// Reads the policy files under `path` at a revision.
    ///
    /// # Errors
    /// When there is no such revision or folder, or it goes past a limit.
    pub fn read(&self, revision: &str, path: &str, limits: &Limits) -> Result<LocalRevision, FetchError> {
        let path = tree::split_path(path)?;
        let commit = self.commit(revision)?;
        let root = commit.tree().map_err(unreadable)?;
        let (files, skipped) =
            tree::read(&self.repository, root, &path, limits).map_err(|error| match error {
                TreeError::Refused(error) => error,
                TreeError::Damaged(error) => self.incomplete(error),
            })?;
        Ok(described(&commit, files, skipped))
    }

    fn commit(&self, revision: &str) -> Result<Commit<'_>, FetchError> {
        let shown: String = revision.chars().filter(|c| !c.is_control()).take(80).collect();
        if revision.is_empty() || revision.len() > MAXIMUM_NAME || revision.contains('\0') {
            let message = format!("{shown:?} can be no revision; give a branch, a tag or a commit");
            return Err(FetchError::new(FetchErrorKind::InvalidRequest, message));
        }
        let found = self
            .repository
            .revparse_single(revision)
            .and_then(|object| object.peel(ObjectType::Commit));
        match found.map(git2::Object::into_commit) {
            Ok(Ok(commit)) => Ok(commit),
            Ok(Err(_)) => Err(FetchError::new(
                FetchErrorKind::NotFound,
                format!("{shown} is not a commit"),
            )),
            Err(error) if error.code() == ErrorCode::Ambiguous => {
                let message = format!("{shown} may be several commits; give more of its digits");
                Err(FetchError::caused(FetchErrorKind::InvalidRequest, message, error))
            }
            Err(error) => {
                let hint = self.hint_if_shallow();
                let message = format!(
                    "the repository has no revision {shown}; a branch that is only on the server is called origin/BRANCH here{hint}"
                );
                Err(FetchError::caused(FetchErrorKind::NotFound, message, error))
            }
        }
    }

    /// Why what is named may not be here, where that can be told.
    fn hint_if_shallow(&self) -> &'static str {
        if self.repository.is_shallow() {
            "; this clone is shallow, fetch its history first: git fetch --unshallow"
        } else {
            ""
        }
    }

    fn incomplete(&self, error: git2::Error) -> FetchError {
        let message = format!(
            "the repository does not hold all of its objects{}",
            self.hint_if_shallow()
        );
        FetchError::caused(FetchErrorKind::Cache, message, error)
    }
}

fn described(commit: &Commit<'_>, files: Vec<SourceFile>, skipped: Skipped) -> LocalRevision {
    LocalRevision {
        commit: commit.id().to_string(),
        message: one_line(commit.message_bytes()),
        files,
        skipped,
    }
}

/// Nowhere is the search for a repository ended early.
const NO_CEILING: &[&str] = &[];

fn unreadable(error: git2::Error) -> FetchError {
    FetchError::caused(FetchErrorKind::Cache, "the repository cannot be read", error)
}
