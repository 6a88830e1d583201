//! Files and folders of our own: for their owner alone from the first byte on, and whole or not at all.
//!
//! What is in them, and where they are, is decided elsewhere. Nothing here reads.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

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
    let mut draft = Draft::begin(path, mode)?;
    draft.write_all(contents)?;
    draft.finish()
}

/// A new file that will be put in the place of an old one. Dropped before its end, it is as if it had never been begun.
#[derive(Debug)]
pub struct Draft {
    writer: BufWriter<File>,
    /// Where it is until it is finished.
    beside: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl Draft {
    /// Begins a file that is to be at `path`.
    ///
    /// # Errors
    /// When none can be made there.
    pub fn begin(path: &Path, mode: u32) -> io::Result<Self> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        // A draft left behind may have other permissions.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&draft)?;
        // What the umask has taken away.
        file.set_permissions(Permissions::from_mode(mode))?;
        Ok(Self {
            writer: BufWriter::new(file),
            beside: draft,
            path: path.to_owned(),
            finished: false,
        })
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// When it cannot be; the old one is still there.
    pub fn finish(mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().sync_all()?;
        fs::rename(&self.beside, &self.path)?;
        self.finished = true;
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}

impl io::Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.beside);
        }
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
        let mut broken_off = Draft::begin(&file, PRIVATE).unwrap();
        broken_off.write_all(b"half").unwrap();
        drop(broken_off);
        assert_eq!(fs::read(&file).unwrap(), b"newer");
        assert!(!open.join("file.new").exists());
    }
}
