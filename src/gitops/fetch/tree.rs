//! The policy files of one commit, read from the object database: nothing is ever checked out.

use git2::{ObjectType, Odb, Oid, Repository, Tree, TreeEntry};

use super::error::{FetchError, FetchErrorKind};
use super::request::{Limits, Skipped, SourceFile};

/// The deepest nesting of folders that is read.
const MAXIMUM_DEPTH: usize = 64;
/// The longest path that is read, in bytes.
const MAXIMUM_PATH: usize = 1_024;
/// The extensions of policy files.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// The file mode of a symbolic link in a tree.
const SYMLINK: i32 = 0o120_000;

/// Why a tree was not read.
pub(super) enum TreeError {
    /// The tree breaks a rule.
    Refused(FetchError),
    /// The cache does not hold what it should.
    Damaged(git2::Error),
}

impl From<git2::Error> for TreeError {
    fn from(error: git2::Error) -> Self {
        Self::Damaged(error)
    }
}

fn refused(kind: FetchErrorKind, message: impl Into<String>) -> TreeError {
    TreeError::Refused(FetchError::new(kind, message))
}

/// Takes a path in a repository apart: `./a/b/` is `["a", "b"]`, `.` and `` are the root.
pub(super) fn split_path(path: &str) -> Result<Vec<&str>, FetchError> {
    let parts: Vec<_> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if path.len() > MAXIMUM_PATH || path.contains(['\0', '\\']) || parts.contains(&"..") {
        let message = "the path must be a folder inside the repository, written with '/' and without '..'";
        return Err(FetchError::new(FetchErrorKind::InvalidRequest, message));
    }
    Ok(parts)
}

/// Reads the policy files under `path` in the tree of `root`.
pub(super) fn read(
    repository: &Repository,
    root: Tree<'_>,
    path: &[&str],
    limits: &Limits,
) -> Result<(Vec<SourceFile>, Skipped), TreeError> {
    let odb = repository.odb()?;
    let folder = descend(repository, root, path)?;
    let mut reader = Reader {
        odb,
        limits,
        files: Vec::new(),
        skipped: Skipped::default(),
        entries: 0,
        bytes: 0,
    };
    let mut pending = vec![(path.join("/"), folder.id(), 0)];
    while let Some((prefix, id, depth)) = pending.pop() {
        let tree = repository.find_tree(id)?;
        for entry in &tree {
            let path = reader.count(&prefix, &entry)?;
            match entry.kind() {
                Some(ObjectType::Tree) if depth >= MAXIMUM_DEPTH => {
                    return Err(refused(
                        FetchErrorKind::Limit,
                        format!("{path}: folders nest too deep"),
                    ));
                }
                Some(ObjectType::Tree) => pending.push((path, entry.id(), depth + 1)),
                Some(ObjectType::Commit) => reader.skipped.submodules += 1,
                _ => reader.file(path, &entry)?,
            }
        }
    }
    reader.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((reader.files, reader.skipped))
}

fn descend<'r>(repository: &'r Repository, root: Tree<'r>, path: &[&str]) -> Result<Tree<'r>, TreeError> {
    let mut tree = root;
    let mut walked = String::new();
    for part in path {
        walked.push_str(part);
        let entry = tree
            .get_name(part)
            .map(|entry| (entry.kind(), entry.filemode(), entry.id()));
        tree = match entry {
            Some((Some(ObjectType::Tree), _, id)) => repository.find_tree(id)?,
            Some((Some(ObjectType::Commit), _, _)) => {
                return Err(refused(
                    FetchErrorKind::NotFound,
                    format!("the path {walked} is a submodule, not a folder"),
                ));
            }
            Some((_, SYMLINK, _)) => {
                let message = format!("the path {walked} is a symbolic link, which is not followed");
                return Err(refused(FetchErrorKind::NotFound, message));
            }
            Some(_) => {
                return Err(refused(
                    FetchErrorKind::NotFound,
                    format!("the path {walked} is a file, not a folder"),
                ));
            }
            None => {
                let message = format!("the path {walked} does not exist at this revision");
                return Err(refused(FetchErrorKind::NotFound, message));
            }
        };
        walked.push('/');
    }
    Ok(tree)
}

struct Reader<'r> {
    odb: Odb<'r>,
    limits: &'r Limits,
    files: Vec<SourceFile>,
    skipped: Skipped,
    entries: usize,
    bytes: u64,
}

impl Reader<'_> {
    fn count(&mut self, prefix: &str, entry: &TreeEntry<'_>) -> Result<String, TreeError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            let message = format!(
                "there are more than {} files and folders under the path; narrow it",
                self.limits.entries
            );
            return Err(refused(FetchErrorKind::Limit, message));
        }
        let name = String::from_utf8_lossy(entry.name_bytes());
        let path = if prefix.is_empty() {
            name.into_owned()
        } else {
            format!("{prefix}/{name}")
        };
        if path.len() > MAXIMUM_PATH {
            return Err(refused(
                FetchErrorKind::Limit,
                format!("a path is longer than {MAXIMUM_PATH} bytes"),
            ));
        }
        Ok(path)
    }

    fn file(&mut self, path: String, entry: &TreeEntry<'_>) -> Result<(), TreeError> {
        let is_policy = path
            .rsplit_once('.')
            .is_some_and(|(_, extension)| EXTENSIONS.contains(&extension));
        match (entry.filemode() == SYMLINK, is_policy) {
            (true, true) => {
                let message = format!("{path} is a symbolic link; put the file itself there");
                return Err(refused(FetchErrorKind::Content, message));
            }
            (true, false) => self.skipped.symlinks += 1,
            (false, false) => self.skipped.files += 1,
            (false, true) => {
                let content = self.content(&path, entry.id())?;
                self.files.push(SourceFile { path, content });
            }
        }
        Ok(())
    }

    /// The size is known from the object's header, before its content is expanded.
    fn content(&mut self, path: &str, id: Oid) -> Result<Vec<u8>, TreeError> {
        if self.files.len() >= self.limits.files {
            let message = format!(
                "there are more than {} policy files under the path",
                self.limits.files
            );
            return Err(refused(FetchErrorKind::Limit, message));
        }
        let (size, _) = self.odb.read_header(id)?;
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        if size > self.limits.file_bytes {
            let message = format!(
                "{path} has {size} bytes, more than the {} allowed",
                self.limits.file_bytes
            );
            return Err(refused(FetchErrorKind::Limit, message));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.total_bytes {
            let message = format!(
                "the policy files have more than {} bytes together",
                self.limits.total_bytes
            );
            return Err(refused(FetchErrorKind::Limit, message));
        }
        Ok(self.odb.read(id)?.data().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_inside_the_repository() {
        assert_eq!(split_path("./policy//mac/").unwrap(), ["policy", "mac"]);
        assert!(split_path(".").unwrap().is_empty() && split_path("").unwrap().is_empty());
        assert_eq!(
            split_path("a/../../etc").unwrap_err().kind,
            FetchErrorKind::InvalidRequest
        );
        assert!(split_path("a\0b").is_err());
    }
}
