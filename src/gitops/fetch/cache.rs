//! The bare repository that keeps what a source has already transferred.
//!
//! It holds nothing that the server does not: whenever it is damaged, too large or of another URL it is begun anew.

use std::fs;
use std::io;
use std::path::Path;

use git2::Repository;

use super::error::{FetchError, FetchErrorKind};

/// The remote under which the cache remembers whose it is.
const REMOTE: &str = "source";

/// An opened cache.
pub(super) struct Cache {
    pub(super) repository: Repository,
    /// Nothing has been transferred into it yet.
    pub(super) is_new: bool,
}

/// Opens the cache in `dir`, or makes one.
pub(super) fn open(dir: &Path, url: &str, maximum_bytes: u64) -> Result<Cache, FetchError> {
    let usable = Repository::open_bare(dir).ok().filter(|repository| {
        let same_url = repository
            .find_remote(REMOTE)
            .is_ok_and(|remote| remote.url_bytes() == url.as_bytes());
        same_url && size(dir).is_ok_and(|bytes| bytes <= maximum_bytes)
    });
    match usable {
        Some(repository) => Ok(Cache {
            repository,
            is_new: false,
        }),
        None => create(dir, url),
    }
}

/// Removes whatever is in `dir` and makes an empty cache there.
pub(super) fn create(dir: &Path, url: &str) -> Result<Cache, FetchError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(dir, error)),
        _ => fs::create_dir_all(dir).map_err(|error| failed(dir, error))?,
    }
    let repository = Repository::init_bare(dir).map_err(|error| failed(dir, error))?;
    repository
        .remote(REMOTE, url)
        .map_err(|error| failed(dir, error))?;
    Ok(Cache {
        repository,
        is_new: true,
    })
}

fn failed(dir: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> FetchError {
    let message = format!(
        "the cache {} could not be made; check its rights and the free space",
        dir.display()
    );
    FetchError::caused(FetchErrorKind::Cache, message, error)
}

/// Bytes of all files under `dir`. Links are not followed.
fn size(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0_u64;
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                bytes = bytes.saturating_add(metadata.len());
            }
        }
    }
    Ok(bytes)
}
