//! Apple's device-management protocol.

pub mod command;
pub mod queue;
