//! Keys and certificates.

pub mod ca;
pub mod csr;
