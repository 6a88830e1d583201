//! Commands to devices and their reports: typed builders and parsers, pure.
//!
//! What is queued, when and in which order is not decided here, except for what every new enrolment is asked first ([`first_contact()`]).

mod build;
mod first_contact;
mod report;
mod setup;

pub use build::{Command, MDM_PROFILE};
pub use first_contact::{FIRST_CONTACT_DEADLINE, first_contact};
pub use report::{CommandReport, Evidence, Report};
pub use setup::{configured, ends_setup};
