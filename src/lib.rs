//! Provost keeps an Apple device fleet at the standard that git says it must meet, and proves it.

pub mod api;
pub mod clock;
pub mod compliance;
pub mod gitops;
pub mod ids;
pub mod kubeapi;
pub mod mdm;
pub mod policy;
pub mod push;
pub mod secret;
pub mod simulator;
pub mod store;
