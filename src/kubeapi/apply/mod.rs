//! Server-side apply and the record of who owns which field (`metadata.managedFields`).
//!
//! Follows `sigs.k8s.io/structured-merge-diff` and the field manager of `k8s.io/apimachinery`: an applier owns what it
//! applied, an updater owns what it changed, a field that its only owner no longer applies is removed, and applying over
//! what another owns is a conflict unless forced. Pure: the time is a parameter, objects come and go as JSON values.
//!
//! [`apply`] merges a configuration into the live object; [`track`] records create, replace and patch.

mod compare;
mod error;
mod managers;
mod merge;
mod run;
mod set;
mod typed;
mod types;

pub use error::{ApplyConflict, ApplyError};
pub use run::{ApplyRequest, ResetFields, TrackRequest, apply, track};
pub use typed::check_types;
pub use types::TypeInfo;

#[cfg(test)]
mod tests;
