//! What becomes of commands.

use std::sync::Arc;

use jiff::Timestamp;

use crate::ids::{CommandUuid, EnrollmentId};
use crate::mdm::command::{Cause, FinalState};

/// A command that was not queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotQueued {
    /// For whom it was.
    pub enrollment: EnrollmentId,
    /// Why it was not.
    pub reason: NotQueuedReason,
}

/// Why a command was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotQueuedReason {
    /// Nobody of this id ever enrolled.
    #[error("no such enrolment")]
    Unknown,
    /// The enrolment is over.
    #[error("the enrolment has ended")]
    Ended,
    /// It is a personal device, and the command would erase, open or locate it.
    #[error("the command is never sent to a personal device")]
    Personal,
}

/// What became of a report on a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportOutcome {
    /// The command has ended by this report.
    Ended {
        /// How.
        state: FinalState,
        /// What it was.
        request_type: Arc<str>,
    },
    /// The command waits for the device's next Idle.
    Deferred,
    /// Unknown, ended before, or of a status that nobody knows: nothing changed.
    AlreadyKnown,
}

/// One ended command, as history keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandResult {
    /// Its UUID.
    pub uuid: CommandUuid,
    /// Apple's `RequestType`.
    pub request_type: Arc<str>,
    /// How it ended.
    pub state: FinalState,
    /// Why it ended so.
    pub cause: Cause,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
}
