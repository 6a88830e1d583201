//! Commands and their life: `queued → sent → (not_now ⇄ sent) → acknowledged | failed | expired | cancelled`.

use std::fmt;
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

/// Which of a device's commands goes first. Within a priority it is the one that was queued first.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::EnumString,
)]
#[strum(serialize_all = "snake_case")]
pub enum Priority {
    /// Somebody waits for it: a lost device is locked before it is asked anything.
    Urgent,
    /// The work of every day.
    #[default]
    Normal,
    /// May wait for everything else: questions asked on schedule.
    Background,
}

/// One link of an ErrorChain, with the texts as the device put them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorLink {
    /// `ErrorDomain`, such as `MCMDMErrorDomain`.
    pub domain: String,
    /// `ErrorCode`. None: the device gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// `LocalizedDescription`, in the language of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub localized: Option<String>,
    /// `USEnglishDescription`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub us_english: Option<String>,
}

impl ErrorLink {
    /// Domain and code, which hold nothing about a person: for the log.
    #[must_use]
    pub fn code(&self) -> String {
        let domain = if self.domain.is_empty() { "?" } else { &self.domain };
        self.code
            .map_or_else(|| format!("{domain}/?"), |code| format!("{domain}/{code}"))
    }
}

impl fmt::Display for ErrorLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code())?;
        match self.us_english.as_ref().or(self.localized.as_ref()) {
            Some(words) => write!(f, ": {words}"),
            None => Ok(()),
        }
    }
}

/// Why a command ended as it did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The ErrorChain of the device, first link first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorLink>,
    /// Why it was withdrawn, or what the server makes of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Cause {
    /// A reason of the server's own.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Self {
            errors: Vec::new(),
            reason: Some(reason.into()),
        }
    }
}

/// What a report says of a command (`Status`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportStatus {
    /// Done.
    Acknowledged,
    /// Failed; the ErrorChain, first link first.
    Error(Vec<ErrorLink>),
    /// The device could not parse it.
    CommandFormatError,
    /// Cannot now.
    NotNow,
    /// A status that is not known. Recorded; the command stays as it is.
    Other(String),
}

/// What a command is for: of two pending ones with one intent, the newer one is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// This, whatever the arguments.
    Of(Arc<str>),
    /// The very same command again, argument for argument. A store keeps no digest that could be guessed at: arguments may be passcodes.
    Identical,
}

impl From<&str> for Intent {
    fn from(text: &str) -> Self {
        Self::Of(text.into())
    }
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
    pub intent: Option<Intent>,
    /// Commands of one chain are delivered in order, one after the other. None: independent.
    pub chain: Option<Arc<str>>,
    /// Whether it goes before others.
    pub priority: Priority,
    /// Given up after this moment.
    pub deadline: Timestamp,
}

/// A command that waits for its report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingCommand {
    /// Monotonic over all commands: the order of delivery within a priority.
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
    /// How often the device has answered NotNow.
    pub deferrals: u32,
    /// See [`NewCommand::intent`]; the store's own form of it.
    pub intent: Option<Arc<str>>,
    /// See [`NewCommand::chain`].
    pub chain: Option<Arc<str>>,
    /// See [`NewCommand::priority`].
    pub priority: Priority,
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
