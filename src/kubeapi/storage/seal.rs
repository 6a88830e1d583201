//! Sealing of bodies at rest: a port, and its adapter on AES-256-GCM with a key file beside the database.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::clock::Entropy;
use crate::secret::Secret;

/// A body could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The body was sealed under another key, moved to another row, or altered.
    #[error("the key does not fit, or the sealed data was altered")]
    Open,
    /// The cipher refused.
    #[error("the data could not be encrypted")]
    Seal,
}

/// Encrypts and authenticates bodies before they are written to disk.
pub trait Seal: Send + Sync + 'static {
    /// Seals `clear`, bound to `associated` data that is not stored with it.
    ///
    /// # Errors
    /// When the cipher refuses (never for bodies of a sane size).
    fn seal(&self, associated: &[u8], clear: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Opens what [`Seal::seal`] made with the same associated data.
    ///
    /// # Errors
    /// When the key or the associated data differ, or the bytes were altered.
    fn open(&self, associated: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError>;
}

/// What a sealed body is bound to: the row and the write it belongs to, so that rows cannot be exchanged.
pub(super) fn associated(resource: &str, namespace: &str, name: &str, revision: i64) -> Vec<u8> {
    format!("provost.kubeapi.v1\0{resource}\0{namespace}\0{name}\0{revision}").into_bytes()
}

/// Why the sealing key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Others than the owner may read the key.
    #[error("{path} may be read by others (mode {mode:o}); run `chmod 600` on it")]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no 32-byte key.
    #[error(
        "{path} is not a 32-byte key; restore it from a backup, without it stored Secrets cannot be read"
    )]
    NotAKey {
        /// The key file.
        path: PathBuf,
    },
    /// The file could not be read.
    #[error("could not read the sealing key {path}")]
    Read {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("could not write the sealing key {path}")]
    Write {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

const KEY_LENGTH: usize = 32;

/// AES-256-GCM with random nonces. Layout: nonce (12 bytes), ciphertext, tag (16 bytes).
///
/// Random 96-bit nonces are safe for 2^32 writes under one key, far above what Secrets of a fleet see.
pub struct AeadSeal {
    key: LessSafeKey,
    entropy: Box<dyn Entropy>,
}

impl AeadSeal {
    /// A sealer with `key`.
    ///
    /// # Errors
    /// [`SealError::Seal`] when the cipher refuses the key.
    pub fn new(key: &Secret<[u8; KEY_LENGTH]>, entropy: impl Entropy) -> Result<Self, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, key.reveal()).map_err(|_| SealError::Seal)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            entropy: Box::new(entropy),
        })
    }

    /// A sealer with the key in `path`; the file is made (mode 0600) when it is not there.
    ///
    /// # Errors
    /// When the file is no key, may be read by others, or cannot be read or written.
    pub fn from_file(path: &Path, entropy: impl Entropy) -> Result<Self, KeyFileError> {
        let key = match read_key(path) {
            Err(KeyFileError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                create_key(path, &entropy)?
            }
            other => other?,
        };
        Self::new(&key, entropy).map_err(|_| KeyFileError::NotAKey {
            path: path.to_owned(),
        })
    }
}

fn read_key(path: &Path) -> Result<Secret<[u8; KEY_LENGTH]>, KeyFileError> {
    let read = |source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = std::fs::File::open(path).map_err(read)?;
    let mode = file.metadata().map_err(read)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut key = [0; KEY_LENGTH];
    let mut rest = [0; 1];
    if file.read_exact(&mut key).is_err() || file.read(&mut rest).map_err(read)? != 0 {
        return Err(KeyFileError::NotAKey {
            path: path.to_owned(),
        });
    }
    Ok(Secret::new(key))
}

fn create_key(path: &Path, entropy: &impl Entropy) -> Result<Secret<[u8; KEY_LENGTH]>, KeyFileError> {
    let write = |source| KeyFileError::Write {
        path: path.to_owned(),
        source,
    };
    let mut key = [0; KEY_LENGTH];
    entropy.fill(&mut key);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(write)?;
    file.write_all(&key)
        .and_then(|()| file.sync_all())
        .map_err(write)?;
    Ok(Secret::new(key))
}

impl Seal for AeadSeal {
    fn seal(&self, associated: &[u8], clear: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        self.entropy.fill(&mut nonce);
        let mut sealed = clear.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated),
                &mut sealed,
            )
            .map_err(|_| SealError::Seal)?;
        sealed.splice(0..0, nonce);
        Ok(sealed)
    }

    fn open(&self, associated: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Open)?;
        let mut clear = sealed.to_vec();
        let length = self
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(associated),
                &mut clear,
            )
            .map_err(|_| SealError::Open)?
            .len();
        clear.truncate(length);
        Ok(clear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    #[test]
    fn a_sealed_body_opens_only_in_its_own_place() {
        let seal = AeadSeal::new(&Secret::new([7; 32]), SystemEntropy).unwrap();
        let sealed = seal.seal(b"row 1", b"hunter2").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(seal.open(b"row 1", &sealed).unwrap(), b"hunter2");
        assert!(matches!(seal.open(b"row 2", &sealed), Err(SealError::Open)));
        assert!(matches!(seal.open(b"row 1", b"short"), Err(SealError::Open)));
    }

    #[test]
    fn the_key_file_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        let sealed = AeadSeal::from_file(&path, SystemEntropy)
            .unwrap()
            .seal(b"", b"x")
            .unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            AeadSeal::from_file(&path, SystemEntropy)
                .unwrap()
                .open(b"", &sealed)
                .unwrap(),
            b"x"
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            AeadSeal::from_file(&path, SystemEntropy),
            Err(KeyFileError::Exposed { .. })
        ));
    }

    #[test]
    fn a_damaged_key_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        drop(
            std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)
                .unwrap(),
        );
        assert!(matches!(
            AeadSeal::from_file(&path, SystemEntropy),
            Err(KeyFileError::NotAKey { .. })
        ));
    }
}
