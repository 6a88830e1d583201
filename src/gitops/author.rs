//! Writing a repository: what the demo and the tests need in order to be somebody who commits.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{IndexAddOption, Repository, RepositoryInitOptions, Signature};

/// Why a repository could not be written.
#[derive(Debug, thiserror::Error)]
pub enum AuthorError {
    /// git refused.
    #[error("the repository {} could not be written", path.display())]
    Git {
        /// The repository.
        path: PathBuf,
        /// Why.
        #[source]
        source: git2::Error,
    },
    /// A file could not be written.
    #[error("the file {} could not be written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A repository with a work tree, on the branch `main`.
pub struct Author {
    path: PathBuf,
    repository: Repository,
    name: String,
    email: String,
}

impl Author {
    /// Makes a repository, or opens the one that is there.
    ///
    /// # Errors
    /// When git cannot.
    pub fn open(path: &Path, name: &str, email: &str) -> Result<Self, AuthorError> {
        let git = |source| AuthorError::Git {
            path: path.to_owned(),
            source,
        };
        super::fetch::isolate().map_err(git)?;
        let repository = if path.join(".git").exists() {
            Repository::open(path).map_err(git)?
        } else {
            let mut options = RepositoryInitOptions::new();
            options.initial_head("main").external_template(false).mkpath(true);
            Repository::init_opts(path, &options).map_err(git)?
        };
        Ok(Self {
            path: path.to_owned(),
            repository,
            name: name.to_owned(),
            email: email.to_owned(),
        })
    }

    /// The work tree.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file in the work tree.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: &str, content: &str) -> Result<(), AuthorError> {
        let path = self.path.join(file);
        let write = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&path, content)
        };
        write().map_err(|source| AuthorError::File {
            path: path.clone(),
            source,
        })
    }

    /// Removes a file from the work tree.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, file: &str) -> Result<(), AuthorError> {
        let path = self.path.join(file);
        fs::remove_file(&path).map_err(|source| AuthorError::File { path, source })
    }

    /// Commits everything in the work tree, and gives the commit's id.
    ///
    /// # Errors
    /// When git cannot.
    pub fn commit(&self, message: &str) -> Result<String, AuthorError> {
        self.commit_all(message).map_err(|source| AuthorError::Git {
            path: self.path.clone(),
            source,
        })
    }

    fn commit_all(&self, message: &str) -> Result<String, git2::Error> {
        let mut index = self.repository.index()?;
        index.add_all(["*"], IndexAddOption::DEFAULT, None)?;
        index.update_all(["*"], None)?;
        index.write()?;
        let tree = self.repository.find_tree(index.write_tree()?)?;
        let who = Signature::now(&self.name, &self.email)?;
        let parent = match self.repository.head() {
            Ok(head) => Some(head.peel_to_commit()?),
            Err(error) if error.code() == git2::ErrorCode::UnbornBranch => None,
            Err(error) => return Err(error),
        };
        let parents: Vec<_> = parent.iter().collect();
        let id = self
            .repository
            .commit(Some("HEAD"), &who, &who, message, &tree, &parents)?;
        Ok(id.to_string())
    }
}
