//! OpenPGP signatures (RFC 9580, RFC 4880) by keys that were handed over: version 4 keys of RSA, ECDSA and Ed25519, which is what GnuPG makes.
//!
//! No trust is worked out: a certificate that was handed over is trusted, and nothing that others have signed about it counts. What its owner says
//! counts: expiry, revocation, and which of its keys may sign. SHA-1 and MD5 count for nothing, neither in the signature of a commit nor in those
//! that bind a key to its certificate. A packet, version, algorithm or critical subpacket that is not understood is no proof of anything.

mod armor;
mod certificate;
mod key;
mod packet;
mod signature;

pub(super) use certificate::{Certificate, certificates, verify};

#[cfg(test)]
mod tests;
