//! The store: what the device plane needs to remember, as a port with adapters.
//!
//! Both planes meet here. Controllers write manifests, pointers and commands; the gateway writes enrolments, reports and
//! results; [`Store::changes`] wakes the other side. Every method that changes something is one transaction and returns after it is
//! durable. Secrets (push tokens, push magics, what devices give into safe keeping) are sealed by the adapter and never stand in clear in the database.
//!
//! A user's channel is an enrolment of its own ([`crate::ids::EnrollmentId::is_user`]): its own queue, push address, pointers and facts. It belongs to its
//! device, whose certificate speaks for it, and ends with it.

mod arrival;
#[cfg(test)]
mod contract;
mod enrollment;
mod error;
mod identity;
mod port;
mod queue;
pub mod sqlite;
mod to_many;
mod waking;

pub use arrival::{Arrival, Arrived, NotTaken};
pub use enrollment::{Authentication, Ending, Enrollment, EnrollmentState, Escrow, SystemNews};
pub use error::StoreError;
pub use identity::{Invitation, IssuedCertificate, PIN_OVERLAP, RENEWAL_GRACE, Refusal, Reissued};
pub use port::{Change, FactsChange, Store};
pub use queue::{CommandResult, NotQueued, NotQueuedReason, ReportOutcome};
pub use to_many::{Broadcast, CHUNK, broadcast};
pub use waking::{PushAddress, PushRefusal, Wakeable};

pub use crate::compliance::{Transition, Verdicts};
