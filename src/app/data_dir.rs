//! The data directory: one process at a time, everything in it for its owner alone.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::files;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made or opened.
    #[error("the data directory {} cannot be used; choose another with --data-dir", path.display())]
    Prepare {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process works in it.
    #[error("another provost works in {}; stop it first, or choose another --data-dir", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// A data directory that belongs to this process until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The operating system releases the lock when the process ends, however it ends.
    _lock: File,
}

impl DataDir {
    /// Makes the directory where it is missing, and locks it.
    ///
    /// # Errors
    /// When it cannot be made, or another process holds it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let prepare = |source| DataDirError::Prepare {
            path: path.to_owned(),
            source,
        };
        files::private_folder(path).map_err(prepare)?;
        let path = path.canonicalize().map_err(prepare)?;
        for folder in ["keys", "git"] {
            files::private_folder(&path.join(folder)).map_err(prepare)?;
        }
        let lock = files::open_private(&path.join("lock")).map_err(prepare)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse { path }),
            Err(TryLockError::Error(source)) => Err(prepare(source)),
        }
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store of the device plane.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        store_file(&self.path)
    }

    /// The database of the embedded Kubernetes API.
    #[must_use]
    pub fn kubernetes(&self) -> PathBuf {
        self.path.join("kubernetes.db")
    }

    /// Keys: of the CA, of TLS, for sealing.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// Push certificates. It need not exist.
    #[must_use]
    pub fn push(&self) -> PathBuf {
        push_folder(&self.path)
    }

    /// Clones of git repositories; may be removed at any time while nothing runs.
    #[must_use]
    pub fn git(&self) -> PathBuf {
        self.path.join("git")
    }

    /// For kubectl.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    /// The certificate that devices must trust.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.path.join("ca.pem")
    }
}

/// The store of the device plane in a data directory.
#[must_use]
pub fn store_file(data_dir: &Path) -> PathBuf {
    data_dir.join("provost.db")
}

/// Where a running server takes orders from commands on the same computer.
#[must_use]
pub fn admin_socket(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.sock")
}

/// The table of Apple's schema in a data directory, where a GitSource has brought one.
#[must_use]
pub fn apple_schema_file(data_dir: &Path) -> PathBuf {
    data_dir.join("apple-schema.json")
}

/// Where the push certificates of a data directory are.
#[must_use]
pub fn push_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("push")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let first = DataDir::open(&path).unwrap();
        let message = DataDir::open(&path).unwrap_err().to_string();
        assert!(message.contains("another provost works in"), "{message}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn what_is_no_directory_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let message = DataDir::open(&path).unwrap_err().to_string();
        assert!(
            message.contains("file") && message.contains("--data-dir"),
            "{message}"
        );
    }
}
