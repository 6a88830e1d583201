//! The raw-command API that people's scripts speak: a command property list for one or many enrolments, and waking them.
//!
//! It answers as NanoMDM's published API does, so that scripts written for that go on working. What is brought passes through as it is
//! ([`crate::mdm::commands::RawCommand`]) into the queue of every other command. This is for people: it is served on a listener of its own, and who
//! holds the key may send any command there is. Bodies and keys are never logged.
//!
//! One thing is otherwise: a push is not sent while the caller waits. Devices with something to do are woken by the scheduler at its pace, again and
//! again until they come, and `nopush` does not keep it from that.

mod answer;
mod desk;
mod http;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Outcome};
pub use desk::{Desk, NotWoken, Waker};
pub use http::{Key, KeyError, router};
