//! The command queue of one enrolment as a pure state machine: which command to offer next, and what a report changes.
//!
//! The store loads the pending commands, asks here, and carries the answer out. This module reads no clock and writes nothing.
//! Apple's side of it: the poll loop of `Idle`, `Acknowledged`, `Error`, `CommandFormatError` and `NotNow`.
//!
//! A *session* is what follows one Idle: the device reports and is given the next command until there is none. Within a
//! session, `Sent` means offered and not yet reported on, `NotNow` means answered so; an Idle starts everything over. What keeps the
//! queue flowing:
//! - of a chain only the oldest command is eligible, independent commands always are; of what is eligible the most urgent goes first, then
//!   the oldest, and a chain is as urgent as the most urgent of its commands;
//! - a NotNow command is passed over for the rest of its session;
//! - a command offered [`OFFERS_BEFORE_PARKING`] times without a report is parked: offered once a session, after everything
//!   else, under the same UUID, until it is reported on or its deadline passes.

mod explain;

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::command::{Cause, ErrorLink, FinalState, PendingCommand, PendingState, Priority, ReportStatus};

pub use explain::{Waiting, deferred, explain};

/// How many times a command is offered without any report before it yields to the others.
pub const OFFERS_BEFORE_PARKING: u32 = 3;

/// Links of an ErrorChain that history keeps. Devices send one to three.
const CHAIN_LINKS: usize = 8;

/// Characters of each text of a link that history keeps.
const LINK_LENGTH: usize = 500;

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
pub fn plan<'p>(
    pending: impl Iterator<Item = &'p PendingCommand> + Clone,
    idle: bool,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    let urgency = urgency_of_chains(pending.clone(), now);
    let mut chains = HashSet::new();
    let mut first: Option<(Priority, i64)> = None;
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
        let mut priority = command.priority;
        if let Some(chain) = command.chain.as_deref() {
            if !chains.insert(chain) {
                continue;
            }
            priority = urgency.get(chain).copied().unwrap_or(priority);
        }
        if command.unanswered < OFFERS_BEFORE_PARKING {
            if state != PendingState::NotNow {
                let candidate = (priority, command.sequence);
                first = Some(first.map_or(candidate, |best| best.min(candidate)));
            }
        } else if state == PendingState::Queued {
            // The least often offered first, so that one stuck command does not keep another from its turn.
            let candidate = (command.unanswered, command.sequence);
            parked = Some(parked.map_or(candidate, |best| best.min(candidate)));
        }
    }
    let first = first.map(|(_, sequence)| sequence);
    plan.offer = first.or_else(|| parked.map(|(_, sequence)| sequence));
    // What is offered at once need not be requeued before.
    plan.requeued.retain(|sequence| Some(*sequence) != plan.offer);
    plan
}

/// How urgent each chain is: an urgent command does not wait behind others for the sake of those that have to go before it.
fn urgency_of_chains<'p>(
    pending: impl Iterator<Item = &'p PendingCommand>,
    now: Timestamp,
) -> HashMap<&'p str, Priority> {
    let mut urgency = HashMap::new();
    for command in pending.filter(|command| !is_expired(command, now)) {
        if let Some(chain) = command.chain.as_deref() {
            let best = urgency.entry(chain).or_insert(command.priority);
            *best = (*best).min(command.priority);
        }
    }
    urgency
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
        cause: Cause,
    },
    /// It becomes [`PendingState::NotNow`], its unanswered offers are counted from zero, and its deferrals are one more.
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
            cause: Cause::default(),
        },
        ReportStatus::Error(chain) => Effect::End {
            state: FinalState::Failed,
            cause: Cause {
                errors: chain.iter().take(CHAIN_LINKS).map(clipped).collect(),
                reason: None,
            },
        },
        ReportStatus::CommandFormatError => Effect::End {
            state: FinalState::Failed,
            cause: Cause::because("the device could not parse the command (CommandFormatError)"),
        },
        ReportStatus::NotNow => Effect::Defer,
        ReportStatus::Other(_) => Effect::Keep,
    }
}

fn clipped(link: &ErrorLink) -> ErrorLink {
    let clip = |text: &String| text.chars().take(LINK_LENGTH).collect();
    ErrorLink {
        domain: clip(&link.domain),
        code: link.code,
        localized: link.localized.as_ref().map(clip),
        us_english: link.us_english.as_ref().map(clip),
    }
}

#[cfg(test)]
mod tests;
