//! Policy, pure: from baselines, profiles and assignments to what each class of devices should hold.

pub mod manifest;

pub use manifest::{Declaration, Manifest, ProfileDocument, Section};
