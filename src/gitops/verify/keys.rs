//! The keys that count, from the entries of a Secret. Pure.

use super::openpgp::{self, Certificate};
use super::ssh::{self, Signer};

/// The most keys of one kind.
const MAXIMUM_KEYS: usize = 1_024;

/// Why a Secret gives no keys. A list that is half understood trusts the wrong people: one mistake refuses all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// An entry is wrong.
    #[error("the entry {entry} is wrong: {why}")]
    Entry {
        /// Its name.
        entry: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no key.
    #[error(
        "it holds no key: entries are `NAME.asc` (OpenPGP), `NAME.sshpub` (SSH public keys) or `allowed_signers`"
    )]
    Empty,
}

/// Keys whose signatures count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRing {
    pub(super) signers: Vec<Signer>,
    pub(super) certificates: Vec<Certificate>,
}

impl KeyRing {
    /// Reads entries by their names: `*.asc` are OpenPGP public keys in armor, `*.sshpub` SSH public keys as in `authorized_keys`, and
    /// `allowed_signers` (or `*.allowed_signers`) is as `ssh-keygen(1)` has it. Others are passed over: a Secret may hold a password, too.
    ///
    /// # Errors
    /// When an entry is wrong, or none holds a key.
    pub fn read<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, KeyRingError> {
        let mut ring = Self::default();
        for (entry, content) in entries {
            let wrong = |why: String| KeyRingError::Entry {
                entry: entry.to_owned(),
                why,
            };
            let text = || std::str::from_utf8(content).map_err(|_| wrong("it is no text".to_owned()));
            let end = entry.rsplit_once('.').map_or(entry, |(_, end)| end);
            match end {
                "asc" => ring
                    .certificates
                    .extend(openpgp::certificates(text()?).map_err(wrong)?),
                "sshpub" => ring
                    .signers
                    .extend(ssh::public_keys(text()?, entry).map_err(wrong)?),
                "allowed_signers" => ring.signers.extend(ssh::allowed_signers(text()?).map_err(wrong)?),
                _ => {}
            }
            if ring.signers.len().max(ring.certificates.len()) > MAXIMUM_KEYS {
                return Err(wrong(format!("there are more than {MAXIMUM_KEYS} keys")));
            }
        }
        if ring == Self::default() {
            return Err(KeyRingError::Empty);
        }
        Ok(ring)
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.signers.len() + self.certificates.len()
    }

    /// Whether there is none. There always is one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which keys would do, for a message.
    pub(super) fn described(&self) -> String {
        match (self.signers.len(), self.certificates.len()) {
            (ssh, 0) => format!("one of {ssh} SSH keys"),
            (0, pgp) => format!("one of {pgp} OpenPGP keys"),
            (ssh, pgp) => format!("one of {ssh} SSH and {pgp} OpenPGP keys"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_known_by_their_names_and_one_mistake_refuses_all() {
        let key = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ada"
            .as_slice();
        let ring = KeyRing::read([("ada.sshpub", key), ("password", b"\xff")]).unwrap();
        assert_eq!((ring.len(), ring.described().as_str()), (1, "one of 1 SSH keys"));
        assert_eq!(
            KeyRing::read([("password", b"x".as_slice())]),
            Err(KeyRingError::Empty)
        );
        assert_eq!(
            KeyRing::read([("allowed_signers", b"# nobody\n".as_slice())]),
            Err(KeyRingError::Empty)
        );
        let wrong = KeyRing::read([("ada.sshpub", key), ("bob.asc", b"x".as_slice())]).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "the entry bob.asc is wrong: it has no `-----BEGIN PGP PUBLIC KEY BLOCK-----`"
        );
        let private = KeyRing::read([(
            "a.sshpub",
            b"-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n".as_slice(),
        )])
        .unwrap_err();
        assert!(
            private
                .to_string()
                .starts_with("the entry a.sshpub is wrong: line 1"),
            "{private}"
        );
    }
}
