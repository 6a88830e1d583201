//! Provost keeps an Apple device fleet at the standard that git says it must meet, and proves it.

pub mod clock;
pub mod ids;
pub mod push;
pub mod secret;
pub mod simulator;
