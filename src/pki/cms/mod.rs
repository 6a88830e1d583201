//! Signed messages (CMS, RFC 5652): who signed them, and over exactly what.
//!
//! A signature says that the holder of a key wrote the bytes. Whether that key's certificate is worth anything is never decided here: the
//! signer's certificate is given back together with the others of the message, and who takes it has to find a chain and a pin for it.
//! Messages may come in BER; they are brought into DER first. No byte of them makes this panic, and no length of them makes it slow.

mod algorithm;
mod ber;
mod encode;
pub mod envelope;
mod sign;
mod verify;

pub use algorithm::{HashPolicy, oid};
pub use ber::{BerError, MESSAGE_LIMIT, to_der};
pub use envelope::{Cipher, CipherPolicy, EnvelopeError, KeyError, Recipient};
pub use sign::{Attribute, Signer, certificates_only};
pub use verify::{Content, Error, Signed, claimed_attributes, claimed_chain, verify};

#[cfg(test)]
mod tests;
