//! SCEP (RFC 8894): identities for devices that follow an enrolment profile, and their renewal.
//!
//! [`message`] reads and writes messages and knows nothing of invitations; [`server`] decides. Over HTTP it is in `enrollment::http`.
//!
//! What is spoken: AES and SHA-256, with triple DES read; GET and POST. Clients that know only SHA-1 and single DES are served where
//! [`Dialect::Legacy`] says so. Who may have a certificate is decided by a one-time challenge in the request, or by the certificate that signs a
//! renewal. What is in the certificate is never decided by the request: of that, only the key is taken.

pub mod message;
pub mod server;
#[cfg(test)]
mod tests;

pub use message::{Dialect, FailInfo};
pub use server::{Answer, ScepServer};

/// Where SCEP is spoken, below the public address of the server.
pub const PATH: &str = "/scep";

/// The largest message that is read, in bytes.
pub const MESSAGE_LIMIT: usize = 64 * 1024;

/// What the server can do, one capability a line (RFC 8894 §3.5.2).
#[must_use]
pub const fn capabilities(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Strict => "AES\nPOSTPKIOperation\nRenewal\nSCEPStandard\nSHA-256\nSHA-512\n",
        Dialect::Legacy => "AES\nDES3\nPOSTPKIOperation\nRenewal\nSCEPStandard\nSHA-1\nSHA-256\nSHA-512\n",
    }
}
