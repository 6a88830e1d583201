//! Who is at the other end of a connection, by its TLS client certificate.
//!
//! The handshake proves that the client holds the certificate's key, and nothing else. Whether the certificate is one of ours is decided
//! once, when the connection is made; whether it still is valid, at every request; whose it is, by the store.

use jiff::Timestamp;

use crate::ids::Digest;
use crate::pki::ca::Identity;

/// Why a client is nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no certificate.
    #[error("the connection has no client certificate")]
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
}

/// The client of one connection.
#[derive(Debug)]
pub struct Peer {
    identity: Identity,
}

impl Peer {
    /// A new connection.
    #[must_use]
    pub const fn new(identity: Identity) -> Self {
        Self { identity }
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
