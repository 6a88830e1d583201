//! Virtual iPhones, iPads and Macs, and the push service that wakes them: for demos, tests and load.
//!
//! An independent reading of Apple's device management: nothing here uses the server's code, so that a mistake in
//! one is seen by the other. It speaks only what devices speak (HTTPS with a client certificate, property lists,
//! JSON) and never looks into the server's database or API.

pub mod apns;
mod declarative;
mod model;
mod predicate;
mod profile;
mod seed;
mod settings;
mod shelf;
mod status;
