//! Keys, certificates and what is sealed with them.

pub mod ca;
pub mod certificate;
pub mod cms;
pub mod csr;
pub mod seal;

pub use seal::{KeyFile, KeyFileError, SealError, Sealer};
