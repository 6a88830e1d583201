//! Files and folders of our own: for their owner alone from the first byte on, and whole or not at all.
//!
//! What is in them, and where they are, is decided elsewhere. Nothing here reads.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// For the owner alone.
pub const PRIVATE: u32 = 0o600;
/// For everybody to read.
pub const PUBLIC: u32 = 0o644;
/// A folder for its owner alone.
const PRIVATE_FOLDER: u32 = 0o700;

/// Makes a folder, and those above it, where they are missing; one that others may look into is closed to them.
///
/// # Errors
/// When it cannot be made, or belongs to somebody else.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_FOLDER)
        .create(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        // It may have been made by hand; secrets are about to be put into it.
        fs::set_permissions(path, Permissions::from_mode(PRIVATE_FOLDER))?;
    }
    Ok(())
}

/// Opens a file for writing behind its end; where there is none, an empty one that is private. SQLite gives its log files the permissions of
/// the database, so that one is made in this way.
///
/// # Errors
/// When it cannot be opened or made.
pub fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(PRIVATE)
        .open(path)
}

/// Puts a new file in the place of an old one: after a crash either of them is there, whole.
///
/// # Errors
/// When it cannot be written; the old one is still there.
pub fn replace(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    // A draft left behind may have other permissions.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)?;
    // What the umask has taken away.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(folder) if folder != Path::new("") => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_for_its_owner_alone_whatever_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        private_folder(&open).unwrap();
        private_folder(&open.join("a/b")).unwrap();
        for made in [&open, &open.join("a"), &open.join("a/b")] {
            assert_eq!(mode(made), 0o700, "{}", made.display());
        }
        let file = open.join("file");
        open_private(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
        fs::write(open.join("file.new"), "left behind by a crash").unwrap();
        replace(&file, b"new", PRIVATE).unwrap();
        assert_eq!((mode(&file), fs::read(&file).unwrap()), (0o600, b"new".to_vec()));
        replace(&file, b"newer", PUBLIC).unwrap();
        assert_eq!(
            (mode(&file), fs::read(&file).unwrap()),
            (0o644, b"newer".to_vec())
        );
        assert!(!open.join("file.new").exists());
    }
}
