//! Who is at the other end, by its client certificate: that of its TLS connection, that of a proxy in whose TLS it came, or that which signed
//! the message.
//!
//! The handshake, or the signature, proves that the client holds the certificate's key, and nothing else. Whether the certificate is one of ours
//! is decided once; whether it still is valid, at every request; whose it is, by the store.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use crate::cache::Cache;
use crate::ids::Digest;
use crate::pki::ca::{ClientTrust, Identity};
use crate::pki::cms::{Error as SignatureError, HashPolicy};

/// Clients that bring their certificate with each request, and are remembered: about 50 MiB when full.
const KNOWN: usize = 250_000;

/// Why a client is nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no certificate.
    #[error("the connection has no client certificate, and the message no signature")]
    Absent,
    /// The certificate is not one of ours.
    #[error("the client certificate is not trusted: {reason}")]
    Untrusted {
        /// Why not.
        reason: String,
    },
    /// It has expired, or is not yet valid.
    #[error("the client certificate is valid from {not_before} to {not_after}, which is not now")]
    Expired {
        /// From when it is valid.
        not_before: Timestamp,
        /// Until when.
        not_after: Timestamp,
    },
    /// `Mdm-Signature` is there twice, or no base64 of a message.
    #[error("the header Mdm-Signature is not one signed message in base64")]
    SignatureForm,
    /// `Mdm-Signature` does not hold.
    #[error("the signature of the message does not hold: {0}")]
    Signature(SignatureError),
    /// The connection shows one certificate, and another has signed.
    #[error("the message is signed by another certificate than that of the connection")]
    AnotherSigner,
}

/// The client of one connection.
#[derive(Debug)]
pub struct Peer {
    identity: Identity,
    /// The manifest whose items were last served on this connection.
    advertised: Mutex<Option<Digest>>,
}

impl Peer {
    /// A new connection.
    #[must_use]
    pub const fn new(identity: Identity) -> Self {
        Self {
            identity,
            advertised: Mutex::new(None),
        }
    }

    /// Whether the client has shown no certificate at all.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.identity == Identity::Absent
    }

    /// The fingerprint of a certificate that is ours and valid now.
    ///
    /// # Errors
    /// When there is no such certificate.
    pub fn fingerprint(&self, now: Timestamp) -> Result<Digest, Error> {
        match &self.identity {
            Identity::Absent => Err(Error::Absent),
            Identity::Untrusted { reason } => Err(Error::Untrusted {
                reason: reason.clone(),
            }),
            Identity::Issued {
                fingerprint,
                not_before,
                not_after,
            } => {
                if (*not_before..=*not_after).contains(&now) {
                    Ok(*fingerprint)
                } else {
                    Err(Error::Expired {
                        not_before: *not_before,
                        not_after: *not_after,
                    })
                }
            }
        }
    }

    /// Remembers which manifest this client has been told of, so that what it fetches next comes from the same one.
    pub fn advertise(&self, manifest: Option<Digest>) {
        *self.advertised.lock().unwrap_or_else(PoisonError::into_inner) = manifest;
    }

    /// The manifest that this client was last told of on this connection.
    pub fn advertised(&self) -> Option<Digest> {
        *self.advertised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Judges clients by the device authorities.
pub struct Peers {
    trust: Arc<ClientTrust>,
    hashes: HashPolicy,
    /// Those that bring their certificate with each request. Nobody untrusted is in it.
    known: Mutex<Cache<Digest, Arc<Peer>>>,
}

impl Peers {
    /// Judges by `trust`; signatures count by these hashes.
    #[must_use]
    pub fn new(trust: Arc<ClientTrust>, hashes: HashPolicy) -> Self {
        Self {
            trust,
            hashes,
            known: Mutex::new(Cache::new(KNOWN)),
        }
    }

    /// The client of a connection that has proved to hold the key of the first certificate of `chain`; empty: none.
    #[must_use]
    pub fn of_connection(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Arc<Peer> {
        Arc::new(Peer::new(self.trust.identify(chain, now)))
    }

    /// The client of a request that brings its certificate along. `key` stands for the bytes that the chain is read from: the same bytes are
    /// read and judged once.
    pub(super) fn known(
        &self,
        key: Digest,
        now: Timestamp,
        chain: impl FnOnce() -> Result<Vec<CertificateDer<'static>>, String>,
    ) -> Arc<Peer> {
        if let Some(peer) = self.lock().lookup(&key) {
            return peer;
        }
        let identity = match chain() {
            Ok(chain) => self.trust.identify(&chain, now),
            Err(reason) => Identity::Untrusted { reason },
        };
        let is_ours = matches!(identity, Identity::Issued { .. });
        let peer = Arc::new(Peer::new(identity));
        if is_ours {
            self.lock().insert(key, Arc::clone(&peer), 1);
        }
        peer
    }

    pub(super) const fn hashes(&self) -> HashPolicy {
        self.hashes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache<Digest, Arc<Peer>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_counts_only_while_it_is_valid() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let fingerprint = Digest::of(b"c");
        let peer = Peer::new(Identity::Issued {
            fingerprint,
            not_before: at(10),
            not_after: at(20),
        });
        assert!(matches!(peer.fingerprint(at(9)), Err(Error::Expired { .. })));
        assert_eq!(peer.fingerprint(at(10)), Ok(fingerprint));
        assert_eq!(peer.fingerprint(at(20)), Ok(fingerprint));
        assert!(matches!(peer.fingerprint(at(21)), Err(Error::Expired { .. })));
    }
}
