//! Provost keeps an Apple device fleet at the standard that git says it must meet, and proves it.

pub mod api;
pub mod clock;
pub mod compliance;
pub mod expression;
pub mod ids;
pub mod mdm;
pub mod policy;
pub mod secret;
pub mod store;
pub mod suggest;
