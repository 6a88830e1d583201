//! Whether somebody who may has signed a revision.
//!
//! Pure: bytes of git objects, keys and a time go in; who signed, or why that does not count, comes out. Runs no `gpg` and no `ssh-keygen`, knows
//! no web of trust, fetches no key. The only keys that count are those of the [`KeyRing`]; SHA-1 and older hashes, keys that have expired or been
//! revoked, and what is not understood count for nothing.
//!
//! A signature proves who made a revision, not that it is the newest one: whoever may move a branch can move it back to a commit that was signed before.

mod demand;
mod elliptic;
mod keys;
mod object;
mod openpgp;
mod refusal;
mod ssh;
mod when;

#[cfg(test)]
mod tests;

pub use demand::{Demand, RawObjects, RawTag, Signed, verify};
pub use keys::{KeyRing, KeyRingError};
pub use refusal::Refusal;

/// The largest commit or tag object that is looked at, in bytes: a message of a megabyte is none.
pub const MAXIMUM_OBJECT: usize = 1 << 20;
