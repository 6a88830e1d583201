//! What the API answers.

use std::collections::BTreeMap;

use serde::Serialize;

/// An answer. What is empty is left out.
#[derive(Debug, Default, Serialize)]
pub struct Answer {
    /// The caller wanted nobody to be woken.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_push: bool,
    /// Why nobody was woken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_error: Option<String>,
    /// Why nothing was queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_error: Option<String>,
    /// The UUID that the devices will report on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_uuid: Option<String>,
    /// Apple's `RequestType`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_type: Option<String>,
    /// By id, where there is something to say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub status: BTreeMap<String, Status>,
    /// How much of it was done.
    #[serde(skip)]
    pub outcome: Outcome,
}

/// What there is to say of one id.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// It will be woken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_result: Option<&'static str>,
    /// Why it cannot be woken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_error: Option<String>,
    /// Why the command was not queued for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_error: Option<String>,
}

/// How much of what was asked for was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Outcome {
    /// All.
    All,
    /// Some.
    Some,
    /// Nothing.
    #[default]
    Nothing,
    /// The command is none.
    BadRequest,
    /// The command is too large.
    TooLarge,
}

impl Outcome {
    pub(super) const fn of(done: usize, asked: usize) -> Self {
        match done {
            0 => Self::Nothing,
            _ if done == asked => Self::All,
            _ => Self::Some,
        }
    }
}
