//! The command queue of one enrolment as a pure state machine: which command to offer next, and what a report changes.
//!
//! The store loads the pending commands, asks here, and carries the answer out. This module reads no clock and writes nothing.
//! Apple's side of it: the poll loop of `Idle`, `Acknowledged`, `Error`, `CommandFormatError` and `NotNow`.
//!
//! A *session* is what follows one Idle: the device reports and is given the next command until there is none. Within a
//! session, `Sent` means offered and not yet reported on, `NotNow` means answered so; an Idle starts everything over. What keeps the
//! queue flowing:
//! - of a chain only the oldest command is eligible, independent commands always are;
//! - a NotNow command is passed over for the rest of its session;
//! - a command offered [`OFFERS_BEFORE_PARKING`] times without a report is parked: offered once a session, after everything
//!   else, under the same UUID, until it is reported on or its deadline passes.

use std::collections::HashSet;

use jiff::Timestamp;

use super::command::{FinalState, PendingCommand, PendingState, ReportStatus};

/// How many times a command is offered without any report before it yields to the others.
pub const OFFERS_BEFORE_PARKING: u32 = 3;

/// Links of an ErrorChain that history keeps. Devices send one to three.
const DETAIL_LINKS: usize = 8;

/// Characters of each link that history keeps.
const DETAIL_LENGTH: usize = 500;

/// What a poll leads to. All of it is to be carried out together. Commands are named by their sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Past their deadline: these end as [`FinalState::Expired`].
    pub expired: Vec<i64>,
    /// Left over from the last session: these become [`PendingState::Queued`] again.
    pub requeued: Vec<i64>,
    /// To be offered: it becomes [`PendingState::Sent`], and its attempts and unanswered offers are counted up by one.
    pub offer: Option<i64>,
}

/// Plans the answer to a poll (`idle`) or to a report (not `idle`), from everything that is pending for one enrolment, in the
/// order of the sequence.
#[must_use]
pub fn plan(pending: &[PendingCommand], idle: bool, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut chains = HashSet::new();
    let mut first: Option<i64> = None;
    let mut parked: Option<(u32, i64)> = None;
    for command in pending {
        if is_expired(command, now) {
            plan.expired.push(command.sequence);
            continue;
        }
        let mut state = command.state;
        if idle && state != PendingState::Queued {
            plan.requeued.push(command.sequence);
            state = PendingState::Queued;
        }
        if command.chain.as_ref().is_some_and(|chain| !chains.insert(chain)) {
            continue;
        }
        if command.unanswered < OFFERS_BEFORE_PARKING {
            if state != PendingState::NotNow {
                first = first.or(Some(command.sequence));
            }
        } else if state == PendingState::Queued {
            // The least often offered first, so that one stuck command does not keep another from its turn.
            let candidate = (command.unanswered, command.sequence);
            parked = Some(parked.map_or(candidate, |best| best.min(candidate)));
        }
    }
    plan.offer = first.or_else(|| parked.map(|(_, sequence)| sequence));
    // What is offered at once need not be requeued before.
    plan.requeued.retain(|sequence| Some(*sequence) != plan.offer);
    plan
}

/// Whether a command is to be given up.
#[must_use]
pub fn is_expired(command: &PendingCommand, now: Timestamp) -> bool {
    command.deadline < now
}

/// What a report does to a pending command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It ends.
    End {
        /// How.
        state: FinalState,
        /// What history keeps beside it.
        detail: Vec<String>,
    },
    /// It becomes [`PendingState::NotNow`], and its unanswered offers are counted from zero.
    Defer,
    /// Nothing.
    Keep,
}

/// Decides what a report changes. A report on a command that is not pending changes nothing and is not asked about here.
#[must_use]
pub fn apply(status: &ReportStatus) -> Effect {
    match status {
        ReportStatus::Acknowledged => Effect::End {
            state: FinalState::Acknowledged,
            detail: Vec::new(),
        },
        ReportStatus::Error(chain) => Effect::End {
            state: FinalState::Failed,
            detail: chain
                .iter()
                .take(DETAIL_LINKS)
                .map(|link| link.chars().take(DETAIL_LENGTH).collect())
                .collect(),
        },
        ReportStatus::CommandFormatError => Effect::End {
            state: FinalState::Failed,
            detail: vec!["the device could not parse the command (CommandFormatError)".to_owned()],
        },
        ReportStatus::NotNow => Effect::Defer,
        ReportStatus::Other(_) => Effect::Keep,
    }
}

#[cfg(test)]
mod tests;
