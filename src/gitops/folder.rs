//! The policy files of a folder on disk, as a fetch finds them in a commit: the same files, within the same limits.
//!
//! Symbolic links are never followed, `.git` is not looked into, and what is no file is passed over.

use std::fs;
use std::path::{Path, PathBuf};

use super::fetch::{Limits, SourceFile};

/// The deepest nesting of folders that is read.
const MAXIMUM_DEPTH: usize = 64;
/// The extensions of policy files.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Why a folder was not read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It, or something in it, cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A policy file is a symbolic link.
    #[error("{} is a symbolic link; put the file itself there", path.display())]
    Link {
        /// Which.
        path: PathBuf,
    },
    /// There is too much of something.
    #[error("{}: {what}; narrow the folder", path.display())]
    Limit {
        /// Where.
        path: PathBuf,
        /// Of what.
        what: String,
    },
}

/// Reads the policy files below `folder`, ordered by path. Paths are from the folder, with `/`.
///
/// # Errors
/// When something cannot be read, or goes past a limit.
pub fn read(folder: &Path, limits: &Limits) -> Result<Vec<SourceFile>, FolderError> {
    let mut walk = Walk {
        limits,
        files: Vec::new(),
        entries: 0,
        bytes: 0,
    };
    let mut pending = vec![(String::new(), folder.to_owned(), 0)];
    while let Some((prefix, folder, depth)) = pending.pop() {
        let failed = |source| FolderError::Read {
            path: folder.clone(),
            source,
        };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            walk.count(&folder)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}/{name}")
            };
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() && name != ".git" {
                if depth >= MAXIMUM_DEPTH {
                    return Err(FolderError::Limit {
                        path: entry.path(),
                        what: format!("folders nest deeper than {MAXIMUM_DEPTH}"),
                    });
                }
                pending.push((path, entry.path(), depth + 1));
            } else if is_policy(&name) && kind.is_symlink() {
                return Err(FolderError::Link { path: entry.path() });
            } else if is_policy(&name) && kind.is_file() {
                walk.file(path, &entry.path())?;
            }
        }
    }
    walk.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.files)
}

fn is_policy(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, extension)| EXTENSIONS.contains(&extension))
}

struct Walk<'l> {
    limits: &'l Limits,
    files: Vec<SourceFile>,
    entries: usize,
    bytes: u64,
}

impl Walk<'_> {
    fn count(&mut self, folder: &Path) -> Result<(), FolderError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(FolderError::Limit {
                path: folder.to_owned(),
                what: format!("there are more than {} files and folders", self.limits.entries),
            });
        }
        Ok(())
    }

    fn file(&mut self, path: String, on_disk: &Path) -> Result<(), FolderError> {
        let limit = |what: String| FolderError::Limit {
            path: on_disk.to_owned(),
            what,
        };
        let failed = |source| FolderError::Read {
            path: on_disk.to_owned(),
            source,
        };
        if self.files.len() >= self.limits.files {
            return Err(limit(format!(
                "there are more than {} policy files",
                self.limits.files
            )));
        }
        let size = fs::symlink_metadata(on_disk).map_err(failed)?.len();
        if size > self.limits.file_bytes {
            return Err(limit(format!(
                "the file has {size} bytes, more than the {} allowed",
                self.limits.file_bytes
            )));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.total_bytes {
            return Err(limit(format!(
                "the policy files have more than {} bytes together",
                self.limits.total_bytes
            )));
        }
        let content = fs::read(on_disk).map_err(failed)?;
        self.files.push(SourceFile { path, content });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_files_are_found_and_nothing_leads_outside() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("b/two.yml", "2");
        write("a/one.yaml", "1");
        write("a/readme.md", "no");
        write(".git/config.yaml", "no");
        std::os::unix::fs::symlink("/etc", dir.path().join("etc")).unwrap();
        let paths = |files: Vec<SourceFile>| files.into_iter().map(|file| file.path).collect::<Vec<_>>();
        let limits = Limits::default();
        assert_eq!(
            paths(read(dir.path(), &limits).unwrap()),
            ["a/one.yaml", "b/two.yml"]
        );
        let few = Limits { files: 1, ..limits };
        assert!(
            read(dir.path(), &few)
                .unwrap_err()
                .to_string()
                .contains("more than 1 policy files")
        );
        let small = Limits {
            file_bytes: 0,
            ..limits
        };
        assert!(
            read(dir.path(), &small)
                .unwrap_err()
                .to_string()
                .contains("more than the 0 allowed")
        );
        std::os::unix::fs::symlink("one.yaml", dir.path().join("a/link.yaml")).unwrap();
        assert!(matches!(read(dir.path(), &limits), Err(FolderError::Link { .. })));
    }
}
