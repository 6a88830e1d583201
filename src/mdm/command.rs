//! Commands and their life: `queued → sent → (not_now ⇄ sent) → acknowledged | failed | expired | cancelled`.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{CommandUuid, EnrollmentId};

/// Where a pending command stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString,
)]
#[strum(serialize_all = "snake_case")]
pub enum PendingState {
    /// Never offered since it was queued, or since the device last went idle.
    Queued,
    /// Offered; no report yet.
    Sent,
    /// The device cannot now; offered again at its next Idle.
    NotNow,
}

/// How a command ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString,
)]
#[strum(serialize_all = "snake_case")]
pub enum FinalState {
    /// Done.
    Acknowledged,
    /// The device answered Error or CommandFormatError.
    Failed,
    /// Its deadline passed.
    Expired,
    /// Withdrawn: by a person, by a newer command of the same intent, or by the end of the enrolment.
    Cancelled,
}

/// What a report says of a command (`Status`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportStatus {
    /// Done.
    Acknowledged,
    /// Failed; the ErrorChain, first link first, as `domain/code: text`.
    Error(Vec<String>),
    /// The device could not parse it.
    CommandFormatError,
    /// Cannot now.
    NotNow,
    /// A status that is not known. Recorded; the command stays as it is.
    Other(String),
}

/// A command to queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommand {
    /// For whom.
    pub enrollment: EnrollmentId,
    /// Its UUID; unique for the enrolment. One that this enrolment was given before, pending or ended, is not queued again: who
    /// repeats an enqueue after a crash does not repeat the command.
    pub uuid: CommandUuid,
    /// Apple's `RequestType`.
    pub request_type: Arc<str>,
    /// The whole command as an XML property list, `CommandUUID` included. Bodies that differ in nothing but that UUID are stored once.
    pub body: Arc<str>,
    /// Commands with the same intent collapse: a pending one stands for the new one, unless the bodies differ in more than the
    /// UUID, when the new one takes its place (in its chain too, where both name the same). None: never collapses.
    pub intent: Option<Arc<str>>,
    /// Commands of one chain are delivered in order, one after the other. None: independent.
    pub chain: Option<Arc<str>>,
    /// Given up after this moment.
    pub deadline: Timestamp,
}

/// A command that waits for its report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingCommand {
    /// Monotonic over all commands: the order of delivery.
    pub sequence: i64,
    /// Its UUID.
    pub uuid: CommandUuid,
    /// Apple's `RequestType`.
    pub request_type: Arc<str>,
    /// Where it stands.
    pub state: PendingState,
    /// How often it was offered.
    pub attempts: u32,
    /// How often it was offered since the last report on it.
    pub unanswered: u32,
    /// See [`NewCommand::intent`].
    pub intent: Option<Arc<str>>,
    /// See [`NewCommand::chain`].
    pub chain: Option<Arc<str>>,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// Given up after this moment.
    pub deadline: Timestamp,
}

/// A command on its way to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedCommand {
    /// Its UUID.
    pub uuid: CommandUuid,
    /// Apple's `RequestType`.
    pub request_type: Arc<str>,
    /// The body to send, byte-identical at each offer.
    pub body: Arc<str>,
}
