//! A repository to fetch from, made with git2.

use git2::{Oid, Repository, Signature, Time};
use tempfile::TempDir;

use super::super::process;

/// What a tree holds at a path.
pub(super) enum Entry<'a> {
    File(&'a [u8]),
    Link(&'a str),
    Submodule,
}

pub(super) struct Origin {
    dir: TempDir,
    pub(super) repository: Repository,
}

impl Origin {
    /// An empty bare repository.
    pub(super) fn empty() -> Self {
        process::initialise().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(dir.path().join("policy.git")).unwrap();
        Self { dir, repository }
    }

    /// A repository whose `main` holds `files`.
    pub(super) fn with(files: &[(&str, &str)]) -> Self {
        let origin = Self::empty();
        origin.commit("main", files);
        origin
    }

    pub(super) fn root(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(super) fn url(&self) -> String {
        format!("file://{}/policy.git", self.dir.path().display())
    }

    /// Commits a tree of exactly `files` on top of `branch`.
    pub(super) fn commit(&self, branch: &str, files: &[(&str, &str)]) -> Oid {
        let entries: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, Entry::File(text.as_bytes())))
            .collect();
        self.commit_entries(branch, &entries, true)
    }

    /// Replaces the history of `branch` by one new commit.
    pub(super) fn force(&self, branch: &str, files: &[(&str, &str)]) -> Oid {
        let entries: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, Entry::File(text.as_bytes())))
            .collect();
        self.commit_entries(branch, &entries, false)
    }

    pub(super) fn commit_entries(&self, branch: &str, entries: &[(&str, Entry<'_>)], on_top: bool) -> Oid {
        let full = format!("refs/heads/{branch}");
        let tree = self.repository.find_tree(self.tree(entries)).unwrap();
        let parent = self
            .repository
            .find_reference(&full)
            .ok()
            .map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().filter(|_| on_top).collect();
        let author =
            Signature::new("Author Name", "author@example.com", &Time::new(1_700_000_000, 60)).unwrap();
        let message = "Tighten the rule\n\nBecause the auditors asked.\n";
        let commit = self
            .repository
            .commit(None, &author, &author, message, &tree, &parents)
            .unwrap();
        self.repository.reference(&full, commit, true, "test").unwrap();
        commit
    }

    /// Builds nested trees from paths, folder by folder.
    fn tree(&self, entries: &[(&str, Entry<'_>)]) -> Oid {
        let mut builder = self.repository.treebuilder(None).unwrap();
        let mut folders: Vec<&str> = Vec::new();
        for (path, entry) in entries {
            match (path.split_once('/'), entry) {
                (Some((folder, _)), _) => folders.push(folder),
                (None, Entry::File(bytes)) => {
                    builder
                        .insert(path, self.repository.blob(bytes).unwrap(), 0o100_644)
                        .unwrap();
                }
                (None, Entry::Link(to)) => {
                    builder
                        .insert(path, self.repository.blob(to.as_bytes()).unwrap(), 0o120_000)
                        .unwrap();
                }
                (None, Entry::Submodule) => {
                    let somewhere = Oid::from_str("1111111111111111111111111111111111111111").unwrap();
                    builder.insert(path, somewhere, 0o160_000).unwrap();
                }
            }
        }
        folders.sort_unstable();
        folders.dedup();
        for folder in folders {
            let inside: Vec<_> = entries
                .iter()
                .filter_map(|(path, entry)| {
                    let rest = path.strip_prefix(folder)?.strip_prefix('/')?;
                    let entry = match entry {
                        Entry::File(bytes) => Entry::File(bytes),
                        Entry::Link(to) => Entry::Link(to),
                        Entry::Submodule => Entry::Submodule,
                    };
                    Some((rest, entry))
                })
                .collect();
            builder.insert(folder, self.tree(&inside), 0o040_000).unwrap();
        }
        builder.write().unwrap()
    }
}
