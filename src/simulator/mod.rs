//! Virtual iPhones, iPads and Macs, and the push service that wakes them: for demos, tests and load.
//!
//! An independent reading of Apple's device management: nothing here uses the server's code, so that a mistake in
//! one is seen by the other. It speaks only what devices speak (HTTPS with a client certificate, property lists,
//! JSON) and never looks into the server's database or API.
//!
//! From the inside out: `model` draws devices, `settings`, `profile` and `predicate` are their system,
//! `declarative` and `commands` answer the server, `session` is one contact, `device` a life, [`fleet`] many of them,
//! [`mod@run`] the process.

pub mod apns;
mod commands;
pub mod control;
mod declarative;
pub mod device;
pub mod enroll;
pub mod events;
pub mod fleet;
mod identity;
mod inventory;
mod link;
pub mod load;
mod mailbox;
mod model;
mod predicate;
mod profile;
pub mod run;
mod seed;
mod session;
mod settings;
mod shelf;
mod state;
mod status;
pub mod trust;

#[cfg(test)]
mod tests;

pub use apns::{FakeApns, FakeApnsSettings};
pub use device::Timing;
pub use enroll::{Invitation, WayIn};
pub use events::{Event, Progress, Summary};
pub use fleet::{Fleet, FleetSettings};
pub use run::{SimulateArgs, run};
