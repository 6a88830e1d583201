//! Commands to devices and their reports: built, checked and read by the [`table`] of Apple's commands; pure.
//!
//! - [`Command`] are Provost's own and, by [`Command::build`], all others; [`RawCommand`] is what people bring whole.
//! - [`Command::admissible`] says before it is queued whether a [`Target`] can be sent it; a personal device is never erased, opened or located.
//! - [`CommandReport`] is what comes back, [`Answer`] what an answer says.
//!
//! What is queued, when and in which order is not decided here, except for what every new enrolment is asked first ([`first_contact()`]).

mod admissible;
mod answer;
mod arguments;
mod build;
mod class;
mod first_contact;
mod raw;
mod report;
mod setup;
pub mod table;

pub use admissible::{Refused, Target};
pub use answer::Answer;
pub use build::{BuildError, Built, Command, MDM_PROFILE};
pub use class::{Class, spares_personal_devices};
pub use first_contact::{FIRST_CONTACT_DEADLINE, first_contact};
pub use raw::{RAW_COMMAND_LIMIT, RawCommand, RawError};
pub use report::{CommandReport, Evidence, Report};
pub use setup::{configured, ends_setup};
