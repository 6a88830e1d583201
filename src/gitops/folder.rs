//! The policy files of folders on disk, as a fetch finds them in a commit: the same files, within the same limits.
//!
//! Symbolic links are never followed, `.git` is not looked into, and what is no file is passed over.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

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
    /// A file that was asked for has another extension than policy has.
    #[error("{} is no policy file: those end in .yaml, .yml or .json", path.display())]
    Extension {
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
    let mut walk = Walk::within(limits);
    walk.folder(String::new(), folder)?;
    Ok(walk.files())
}

/// Reads the policy files that `paths` name: files, and all below folders; each once, ordered by path, within the limits for all of them
/// together. Their paths begin as they were given.
///
/// # Errors
/// When something cannot be read, is no policy file, or goes past a limit.
pub fn read_all(paths: &[PathBuf], limits: &Limits) -> Result<Vec<SourceFile>, FolderError> {
    let mut walk = Walk::within(limits);
    for path in paths {
        let failed = |source| FolderError::Read {
            path: path.clone(),
            source,
        };
        // A folder may be a link, as `/tmp` is on Macs: somebody asked for it.
        if fs::metadata(path).map_err(failed)?.is_dir() {
            walk.folder(written(path), path)?;
            continue;
        }
        let kind = fs::symlink_metadata(path).map_err(failed)?.file_type();
        walk.count(path)?;
        if kind.is_symlink() {
            return Err(FolderError::Link { path: path.clone() });
        }
        if !kind.is_file() || !is_policy(&path.to_string_lossy()) {
            return Err(FolderError::Extension { path: path.clone() });
        }
        walk.file(written(path), path)?;
    }
    Ok(walk.files())
}

/// A path as people give it, without what means nothing: `./policy/` is `policy`, and `.` is empty.
fn written(path: &Path) -> String {
    let mut text = String::new();
    for component in path.components().filter(|part| *part != Component::CurDir) {
        if !text.is_empty() && !text.ends_with('/') {
            text.push('/');
        }
        text.push_str(&component.as_os_str().to_string_lossy());
    }
    text
}

fn is_policy(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, extension)| EXTENSIONS.contains(&extension))
}

struct Walk<'l> {
    limits: &'l Limits,
    files: BTreeMap<String, Vec<u8>>,
    entries: usize,
    bytes: u64,
}

impl<'l> Walk<'l> {
    const fn within(limits: &'l Limits) -> Self {
        Self {
            limits,
            files: BTreeMap::new(),
            entries: 0,
            bytes: 0,
        }
    }

    fn files(self) -> Vec<SourceFile> {
        let files = self.files.into_iter();
        files
            .map(|(path, content)| SourceFile { path, content })
            .collect()
    }

    /// Everything below a folder, which is written as `prefix`.
    fn folder(&mut self, prefix: String, folder: &Path) -> Result<(), FolderError> {
        let mut pending = vec![(prefix, folder.to_owned(), 0)];
        while let Some((prefix, folder, depth)) = pending.pop() {
            let failed = |source| FolderError::Read {
                path: folder.clone(),
                source,
            };
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                self.count(&folder)?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = match prefix.as_str() {
                    "" => name.clone(),
                    "/" => format!("/{name}"),
                    prefix => format!("{prefix}/{name}"),
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
                    self.file(path, &entry.path())?;
                }
            }
        }
        Ok(())
    }

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
        if self.files.contains_key(&path) {
            return Ok(());
        }
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
        // No more than was counted, should it grow meanwhile.
        let mut content = Vec::new();
        let file = fs::File::open(on_disk).map_err(failed)?;
        file.take(size).read_to_end(&mut content).map_err(failed)?;
        self.files.insert(path, content);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_paths_are_one_source_and_each_file_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/one.yaml"), "1").unwrap();
        fs::write(dir.path().join("two.json"), "2").unwrap();
        fs::write(dir.path().join("notes.md"), "no").unwrap();
        let limits = Limits::default();
        let read = |paths: &[&str]| {
            let paths: Vec<PathBuf> = paths.iter().map(|path| dir.path().join(path)).collect();
            read_all(&paths, &limits)
        };
        let files = read(&["two.json", "a", "./a/one.yaml"]).unwrap();
        let root = dir.path().display();
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [format!("{root}/a/one.yaml"), format!("{root}/two.json")]);
        assert!(matches!(read(&["notes.md"]), Err(FolderError::Extension { .. })));
        assert!(matches!(read(&["gone"]), Err(FolderError::Read { .. })));
        std::os::unix::fs::symlink("one.yaml", dir.path().join("a/link.yaml")).unwrap();
        assert!(matches!(read(&["a/link.yaml"]), Err(FolderError::Link { .. })));
        for (given, expected) in [
            (".", ""),
            ("./policy/", "policy"),
            ("/", "/"),
            ("../a//b", "../a/b"),
        ] {
            assert_eq!(written(Path::new(given)), expected);
        }
    }

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
