//! Declarative management on the device's side: what it holds, what of that is in force, what it reports.
//!
//! Pure: the device's network part fetches, this decides. A declaration is held once it is in the server's manifest
//! and has been fetched; a configuration is in force when an active activation names it and the system knows it;
//! a report tells the server what has changed since the last report that it took.
//!
//! Specification: Apple, "Declarative device management": `SyncTokens`, `DeclarationItems`, `StatusReport`.

mod catalogue;
mod engine;
mod report;
#[cfg(test)]
mod tests;
mod wire;

pub(super) use engine::{Breakage, Declarative};
pub(super) use report::Report;
pub(super) use wire::{Declaration, Kind, Manifest, SyncTokens};
