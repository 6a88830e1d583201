//! RSA keys of devices.
//!
//! A real device makes one of its own. Here a few are shared, since making one takes a tenth of a second of computing, and whose identity
//! is whose is decided by certificates.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rsa::{Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize, SigningKey as _};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::OnceCell;

/// How many keys all devices have together.
const SHARED: usize = 4;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(in crate::simulator) enum KeyError {
    #[error("the key could not be made")]
    Generate(#[from] rcgen::Error),
    #[error("the key cannot decrypt")]
    Decrypt,
    #[error("the simulator is stopping")]
    Stopping,
}

/// A key that signs and decrypts.
pub(in crate::simulator) struct RsaKey {
    pub(super) pair: KeyPair,
    decrypting: Pkcs1PrivateDecryptingKey,
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsaKey").finish_non_exhaustive()
    }
}

impl RsaKey {
    fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let decrypting =
            PrivateDecryptingKey::from_pkcs8(&pair.serialize_der()).map_err(|_| KeyError::Decrypt)?;
        Ok(Self {
            decrypting: Pkcs1PrivateDecryptingKey::new(decrypting).map_err(|_| KeyError::Decrypt)?,
            pair,
        })
    }

    /// For TLS.
    pub(super) fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pair.serialize_der()))
    }

    /// The public key as certificates have it.
    pub(super) fn public(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// Signs with SHA-256.
    pub(super) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.pair.sign(bytes)
    }

    /// Decrypts a short secret.
    pub(super) fn decrypt(&self, secret: &[u8]) -> Option<Vec<u8>> {
        let mut room = vec![0; self.decrypting.min_output_size()];
        let found = self.decrypting.decrypt(secret, &mut room).ok()?;
        Some(found.to_vec())
    }
}

/// The keys, each made when it is first picked.
#[derive(Debug, Default)]
pub(in crate::simulator) struct RsaKeys {
    made: [OnceCell<Arc<RsaKey>>; SHARED],
    picked: AtomicUsize,
}

impl RsaKeys {
    /// One of the keys, in turn.
    pub(in crate::simulator) async fn pick(&self) -> Result<Arc<RsaKey>, KeyError> {
        let turn = self.picked.fetch_add(1, Ordering::Relaxed) % SHARED;
        let slot = self.made.get(turn).ok_or(KeyError::Stopping)?;
        let make = async || {
            let making = tokio::task::spawn_blocking(RsaKey::generate);
            making.await.map_err(|_| KeyError::Stopping)?.map(Arc::new)
        };
        slot.get_or_try_init(make).await.cloned()
    }
}
