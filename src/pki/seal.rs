//! Sealing of what must not stand in clear on a disk: a port, and its adapter on a key file beside the database.
//!
//! Sealed bytes are bound to a context (which row, which column), so that whoever can write to the database cannot move one sealed
//! value into another's place. This module never decides what is worth sealing, and never prints a key.
//!
//! AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces, which are safe for 2³² values under one key.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;

use super::constant_time;
use crate::clock::Entropy;
use crate::ids::Digest;
use crate::secret::Secret;

/// Why something could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The cipher refused: the value is larger than 64 GiB.
    #[error("the value could not be encrypted")]
    Seal,
    /// The value was not sealed by this program, or is cut off.
    #[error("the value is no sealed value, or is cut off")]
    Format,
    /// The value was sealed under a key that the key file does not hold.
    #[error("the value was sealed under a key that the key file does not hold; put that key back")]
    UnknownKey,
    /// The value was altered, or belongs to another place.
    #[error("the value was altered or moved since it was sealed")]
    Open,
}

/// Encrypts and authenticates values before they are written to a disk.
pub trait Sealer: Send + Sync + 'static {
    /// Seals `plain`, bound to `context`, which is not kept with it: name the row and the column it belongs to.
    ///
    /// # Errors
    /// [`SealError::Seal`] for values of an absurd size.
    fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Opens what [`Sealer::seal`] made with the same context.
    ///
    /// # Errors
    /// When the key or the context differ, or the bytes were altered.
    fn open(&self, context: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, SealError>;

    /// A digest that tells equal values from different ones, and nothing to those without the key: a plain digest of a
    /// value with few possibilities, such as a PIN, would give it away. It changes when the key does.
    fn tag(&self, context: &str, plain: &[u8]) -> Digest;

    /// Whether `tag` was made by [`Sealer::tag`], under whichever key. How long it takes says nothing of what the tag would be.
    fn is_tag(&self, context: &str, plain: &[u8], tag: &Digest) -> bool;
}

/// Why the sealing keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Others than the owner may read the keys.
    #[error("{path} may be read by others (mode {mode:o}); run `chmod 600` on it")]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold keys of 32 bytes each.
    #[error(
        "{path} does not hold keys of 32 bytes; restore it from a backup: what was sealed with it cannot be read without it"
    )]
    NotKeys {
        /// The key file.
        path: PathBuf,
    },
    /// The file could not be read.
    #[error("could not read the sealing keys in {path}")]
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
/// More keys than anyone rotates through; a longer file is something else.
const MAXIMUM_KEYS: usize = 64;
/// The first byte of every sealed value: the layout `1, key id (8), nonce (12), ciphertext, tag (16)`.
const LAYOUT: u8 = 1;
const KEY_ID_LENGTH: usize = 8;

struct Key {
    id: [u8; KEY_ID_LENGTH],
    cipher: LessSafeKey,
    tags: hmac::Key,
}

impl Key {
    fn new(bytes: &[u8; KEY_LENGTH]) -> Option<Self> {
        // The id names the key without telling anything about it, and tags are made with a key of their own.
        let derive = |purpose: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), purpose);
        Some(Self {
            id: *derive(b"provost sealing key id").as_ref().first_chunk()?,
            cipher: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).ok()?),
            tags: hmac::Key::new(hmac::HMAC_SHA256, derive(b"provost tag key").as_ref()),
        })
    }

    fn tag(&self, context: &str, plain: &[u8]) -> Digest {
        let mut tag = hmac::Context::with_key(&self.tags);
        // The length keeps `ab, c` and `a, bc` apart.
        tag.update(&(context.len() as u64).to_be_bytes());
        tag.update(context.as_bytes());
        tag.update(plain);
        // HMAC-SHA-256 gives exactly 32 bytes; were it otherwise, a digest of them still tells equal from different.
        let tag = tag.sign();
        Digest::from_slice(tag.as_ref()).unwrap_or_else(|| Digest::of(tag.as_ref()))
    }
}

/// Sealing under the keys in a file: one or more of 32 bytes, one after the other.
///
/// The last one seals, all of them open. To rotate, append 32 random bytes and restart; a key may be cut out when nothing
/// sealed under it is left.
pub struct KeyFile {
    /// What seals.
    current: Key,
    /// What opens older values only.
    older: Vec<Key>,
    entropy: Box<dyn Entropy>,
}

impl KeyFile {
    /// Reads the keys in `path`; a file with one fresh key and mode 0600 is made when there is none.
    ///
    /// # Errors
    /// When the file holds no keys, may be read by others, or cannot be read or written.
    pub fn open(path: &Path, entropy: impl Entropy) -> Result<Self, KeyFileError> {
        let bytes = match read(path) {
            Err(KeyFileError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                create(path, &entropy)?;
                read(path)?
            }
            other => other?,
        };
        let not_keys = || KeyFileError::NotKeys {
            path: path.to_owned(),
        };
        let (keys, rest) = bytes.reveal().as_chunks::<KEY_LENGTH>();
        if !rest.is_empty() || keys.len() > MAXIMUM_KEYS {
            return Err(not_keys());
        }
        let mut keys = keys
            .iter()
            .map(Key::new)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(not_keys)?;
        let current = keys.pop().ok_or_else(not_keys)?;
        Ok(Self {
            current,
            older: keys,
            entropy: Box::new(entropy),
        })
    }
}

fn read(path: &Path) -> Result<Secret<Vec<u8>>, KeyFileError> {
    let failed = |source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    // Room for all that is allowed and one byte more, so that the buffer never moves and leaves a copy behind.
    let limit = KEY_LENGTH * MAXIMUM_KEYS + 1;
    let mut bytes = Vec::with_capacity(limit + 1);
    file.take(limit as u64).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Secret::new(bytes))
}

/// Makes the file under another name first, so that a crash never leaves half a key under the real one.
fn create(path: &Path, entropy: &impl Entropy) -> Result<(), KeyFileError> {
    let failed = |source| KeyFileError::Write {
        path: path.to_owned(),
        source,
    };
    let mut key = zeroize::Zeroizing::new([0; KEY_LENGTH]);
    entropy.fill(&mut *key);
    let draft = path.with_extension("draft");
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(&*key)?;
        file.sync_all()?;
        // A link, not a rename: it fails where a key file has appeared meanwhile, and that one must stay.
        let linked = std::fs::hard_link(&draft, path);
        std::fs::remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        match path.parent() {
            Some(folder) if folder != Path::new("") => std::fs::File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    };
    write().map_err(failed)
}

impl Sealer for KeyFile {
    fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        self.entropy.fill(&mut nonce);
        let mut sealed =
            Vec::with_capacity(1 + KEY_ID_LENGTH + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.push(LAYOUT);
        sealed.extend(self.current.id);
        sealed.extend(nonce);
        let mut body = plain.to_vec();
        self.current
            .cipher
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut body,
            )
            .map_err(|_| SealError::Seal)?;
        sealed.append(&mut body);
        Ok(sealed)
    }

    fn open(&self, context: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, SealError> {
        let Some((&LAYOUT, rest)) = sealed.split_first() else {
            return Err(SealError::Format);
        };
        let (id, rest) = rest
            .split_first_chunk::<KEY_ID_LENGTH>()
            .ok_or(SealError::Format)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Format)?;
        let key = std::iter::once(&self.current)
            .chain(&self.older)
            .find(|key| key.id == *id)
            .ok_or(SealError::UnknownKey)?;
        let mut plain = body.to_vec();
        let length = key
            .cipher
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(context.as_bytes()),
                &mut plain,
            )
            .map_err(|_| SealError::Open)?
            .len();
        plain.truncate(length);
        Ok(Secret::new(plain))
    }

    fn tag(&self, context: &str, plain: &[u8]) -> Digest {
        self.current.tag(context, plain)
    }

    fn is_tag(&self, context: &str, plain: &[u8], tag: &Digest) -> bool {
        std::iter::once(&self.current)
            .chain(&self.older)
            .any(|key| constant_time::equal(&key.tag(context, plain).0, &tag.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }
        fn path(&self) -> PathBuf {
            self.0.path().join("seal.key")
        }
        fn keys(&self) -> KeyFile {
            KeyFile::open(&self.path(), SystemEntropy).unwrap()
        }
    }

    #[test]
    fn a_sealed_value_opens_only_in_its_own_place() {
        let folder = Folder::new();
        let keys = folder.keys();
        let sealed = keys.seal("push/1", b"hunter2").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(keys.open("push/1", &sealed).unwrap().reveal(), b"hunter2");
        assert_eq!(keys.open("push/2", &sealed).unwrap_err(), SealError::Open);
        assert_ne!(
            sealed,
            keys.seal("push/1", b"hunter2").unwrap(),
            "each sealing has its own nonce"
        );
    }

    #[test]
    fn what_was_altered_or_cut_does_not_open() {
        let folder = Folder::new();
        let keys = folder.keys();
        let sealed = keys.seal("c", b"hunter2").unwrap();
        for length in 0..sealed.len() {
            assert!(keys.open("c", &sealed[..length]).is_err());
        }
        for position in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[position] ^= 1;
            assert!(keys.open("c", &altered).is_err());
        }
    }

    #[test]
    fn the_key_file_is_made_once_and_must_stay_private() {
        let folder = Folder::new();
        let sealed = folder.keys().seal("c", b"x").unwrap();
        assert_eq!(
            std::fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            std::fs::read_dir(folder.0.path()).unwrap().count(),
            1,
            "no draft is left"
        );
        assert_eq!(folder.keys().open("c", &sealed).unwrap().reveal(), b"x");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = KeyFile::open(&folder.path(), SystemEntropy).err().unwrap();
        assert!(
            refused.to_string().ends_with("(mode 640); run `chmod 600` on it"),
            "{refused}"
        );
    }

    #[test]
    fn an_appended_key_seals_from_then_on_and_the_old_one_still_opens() {
        let folder = Folder::new();
        let before = folder.keys();
        let old = before.seal("c", b"old").unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(folder.path())
            .unwrap()
            .write_all(&[7; 32])
            .unwrap();
        let after = folder.keys();
        assert_eq!(after.open("c", &old).unwrap().reveal(), b"old");
        let new = after.seal("c", b"new").unwrap();
        assert_eq!(after.open("c", &new).unwrap().reveal(), b"new");
        assert_eq!(before.open("c", &new).unwrap_err(), SealError::UnknownKey);
        let old = before.tag("c", b"1234");
        assert!(after.is_tag("c", b"1234", &old) && after.is_tag("c", b"1234", &after.tag("c", b"1234")));
        assert!(!before.is_tag("c", b"1234", &after.tag("c", b"1234")) && !after.is_tag("c", b"1235", &old));
    }

    #[test]
    fn a_file_that_holds_no_keys_is_named() {
        let folder = Folder::new();
        for content in [&b""[..], &[1; 31], &[1; 33], &[1; 32 * 65]] {
            std::fs::write(folder.path(), content).unwrap();
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(
                KeyFile::open(&folder.path(), SystemEntropy),
                Err(KeyFileError::NotKeys { .. })
            ));
        }
    }

    #[test]
    fn tags_tell_equal_from_different_and_need_the_key() {
        let (folder, other) = (Folder::new(), Folder::new());
        let keys = folder.keys();
        assert_eq!(keys.tag("c", b"1234"), folder.keys().tag("c", b"1234"));
        assert_ne!(keys.tag("c", b"1234"), keys.tag("c", b"1235"));
        assert_ne!(keys.tag("c1", b"234"), keys.tag("c", b"1234"));
        assert_ne!(keys.tag("c", b"1234"), other.keys().tag("c", b"1234"));
    }
}
