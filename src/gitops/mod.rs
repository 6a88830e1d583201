//! From a git repository to objects ready to apply.
//!
//! ```text
//!   fetch ──► Revision{files} ──► read ──► Documents ──► validate ──► plan ──► (the GitSource controller applies)
//! ```
//!
//! [`fetch`] is the adapter to git; the rest is pure. The controller, conditions and the API live in `controllers`.

pub mod author;
pub mod fetch;
mod finding;
pub mod plan;
pub mod read;
pub mod validate;

pub use finding::{Finding, Position};
