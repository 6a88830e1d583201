//! Apple's device-management protocol.
//!
//! Pure, from the inside out: [`plist`], [`sender`] and [`system`], then messages ([`checkin`], [`commands`], [`ddm`]). Around them the
//! [`gateway`], which is what happens when a device speaks, and around that [`http`] and [`serve`].
//! Beside it [`enqueue`], where people's scripts bring commands.

pub mod checkin;
pub mod command;
pub mod commands;
pub mod ddm;
pub mod enqueue;
pub mod gateway;
pub mod http;
pub mod metrics;
pub mod peer;
pub mod plist;
pub mod profile_pass;
pub mod proxy;
pub mod queue;
pub mod seen;
pub mod sender;
pub mod serve;
pub mod signature;
pub mod system;
#[cfg(test)]
mod tests;
