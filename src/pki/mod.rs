//! Keys, certificates and what is sealed with them.

pub mod ca;
pub mod certificate;
pub mod cms;
pub mod constant_time;
pub mod csr;
pub mod seal;

pub use seal::{KeyFile, KeyFileError, SealError, Sealer};
