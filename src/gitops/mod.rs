//! From a git repository to objects ready to apply.
//!
//! ```text
//!   fetch ──► Revision{files} ──► (verify) ──► read ──► Documents ──► validate ──► plan ──► (the GitSource controller applies)
//! ```
//!
//! [`fetch`] is the adapter to git, [`folder`] that to a folder on disk; the rest is pure. [`mscp`] reads the trees of another project into the
//! same Documents. The controller, conditions and the API live in `controllers`.

pub mod author;
pub mod fetch;
mod finding;
pub mod folder;
pub mod mscp;
pub mod plan;
pub mod read;
mod remark;
pub mod validate;
pub mod verify;

pub use finding::{Finding, Position};
pub use remark::{Kind, Remark, Remarks};
