//! Apple's device-management protocol.

pub mod checkin;
pub mod command;
pub mod commands;
pub mod ddm;
pub mod plist;
pub mod sender;
pub mod system;
