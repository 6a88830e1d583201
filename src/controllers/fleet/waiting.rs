//! Why a device is not (yet) where it should be: since when it waits, and for what. Pure.
//!
//! Every text names a moment and no age: it stays the same until something happens, and a status that says the same need not be written.

use jiff::{SignedDuration, Timestamp};

use crate::api::condition::Reason;
use crate::mdm::command::{FinalState, PendingCommand, PendingState};
use crate::store::{CommandResult, PushRefusal};

use super::device_status::whole_second;

/// A device that was not heard of for so long is the reason itself.
const SILENT: SignedDuration = SignedDuration::from_hours(24);
/// The commands that bring a device to its manifest.
const ORDERS: [&str; 3] = ["DeclarativeManagement", "InstallProfile", "RemoveProfile"];

/// What a device is waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// In one word.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

/// What is known of a device that does not hold what it should.
#[derive(Debug)]
pub(super) struct Traces<'a> {
    /// Since when it should hold it.
    pub told_at: Timestamp,
    /// Why the push service does not take its push address.
    pub push_refused: Option<PushRefusal>,
    /// When it was last heard of.
    pub last_seen: Option<Timestamp>,
    /// Its commands.
    pub pending: &'a [PendingCommand],
    /// Its ended commands, newest first.
    pub results: &'a [CommandResult],
}

/// Why the device does not hold what it should, as of now.
#[must_use]
pub(super) fn why(traces: &Traces<'_>, now: Timestamp) -> Waiting {
    let Traces {
        told_at,
        push_refused,
        last_seen,
        pending,
        results,
    } = traces;
    let told = whole_second(*told_at);
    let waiting = |reason, message| Waiting { reason, message };
    if let Some(refusal) = push_refused {
        let message = format!(
            "the device cannot be woken: the push service refuses its push address ({refusal}). It comes only by itself; it should hold another set \
             since {told}"
        );
        return waiting(Reason::PushRefused, message);
    }
    let silent_since = last_seen.unwrap_or(*told_at);
    if now.duration_since(silent_since) >= SILENT {
        let seen = match last_seen {
            Some(seen) => format!("not been seen since {}", whole_second(*seen)),
            None => "never been seen".to_owned(),
        };
        return waiting(
            Reason::NotSeen,
            format!("the device has {seen}; it should hold another set since {told}"),
        );
    }
    let is_order = |kind: &str| ORDERS.contains(&kind);
    let last = results
        .iter()
        .find(|result| is_order(&result.request_type) && result.ended_at >= *told_at);
    if let Some(order) = pending.iter().find(|command| is_order(&command.request_type)) {
        let (kind, queued) = (&order.request_type, whole_second(order.queued_at));
        let message = match order.state {
            PendingState::NotNow => {
                format!("the device cannot carry out {kind} now; it was queued at {queued}")
            }
            PendingState::Sent => format!("the device has not answered {kind}, queued at {queued}"),
            PendingState::Queued => format!("the device has not fetched {kind}, queued at {queued}"),
        };
        return waiting(Reason::AwaitingReport, message);
    }
    match last {
        Some(failed) if matches!(failed.state, FinalState::Failed | FinalState::Expired) => waiting(
            Reason::AwaitingReport,
            format!(
                "{} {} at {}; the device will be told again",
                failed.request_type,
                if failed.state == FinalState::Failed {
                    "failed"
                } else {
                    "was given up"
                },
                whole_second(failed.ended_at)
            ),
        ),
        _ => waiting(
            Reason::AwaitingReport,
            format!("the device has not yet reported what it should hold since {told}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CommandUuid;
    use crate::mdm::command::Priority;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600).unwrap()
    }

    fn pending(kind: &str, state: PendingState) -> PendingCommand {
        PendingCommand {
            sequence: 1,
            uuid: CommandUuid::parse("c").unwrap(),
            request_type: kind.into(),
            state,
            attempts: 1,
            unanswered: 1,
            intent: None,
            chain: None,
            deferrals: 0,
            priority: Priority::Normal,
            queued_at: at(2),
            deadline: at(1_000),
        }
    }

    fn told(last_seen: Option<Timestamp>, pending: &[PendingCommand], hour: i64) -> (Reason, String) {
        let traces = Traces {
            told_at: at(1),
            push_refused: None,
            last_seen,
            pending,
            results: &[],
        };
        let Waiting { reason, message } = why(&traces, at(hour));
        (reason, message)
    }

    #[test]
    fn a_device_that_is_away_is_why_nothing_happens() {
        let (reason, message) = told(
            Some(at(3)),
            &[pending("DeclarativeManagement", PendingState::Sent)],
            27,
        );
        assert_eq!(reason, Reason::NotSeen);
        assert_eq!(
            message,
            "the device has not been seen since 1970-01-01T03:00:00Z; it should hold another set since 1970-01-01T01:00:00Z"
        );
        assert_eq!(told(Some(at(4)), &[], 27).0, Reason::AwaitingReport);
        assert!(told(None, &[], 30).1.contains("never been seen"));
        // The same for days on end: nothing is written for it.
        assert_eq!(told(Some(at(3)), &[], 27), told(Some(at(3)), &[], 270));
    }

    #[test]
    fn a_device_whose_push_address_is_refused_says_so_first() {
        let traces = Traces {
            told_at: at(1),
            push_refused: Some(PushRefusal::DeviceTokenNotForTopic),
            last_seen: None,
            pending: &[],
            results: &[],
        };
        let Waiting { reason, message } = why(&traces, at(100));
        assert_eq!(reason, Reason::PushRefused);
        assert!(message.contains("DeviceTokenNotForTopic"), "{message}");
        assert!(message.chars().count() < 240, "nothing of it is cut off");
    }

    #[test]
    fn a_device_that_is_there_tells_by_its_commands_what_it_waits_for() {
        let message = |pending: &[PendingCommand]| told(Some(at(3)), pending, 4).1;
        assert_eq!(
            message(&[pending("DeclarativeManagement", PendingState::NotNow)]),
            "the device cannot carry out DeclarativeManagement now; it was queued at 1970-01-01T02:00:00Z"
        );
        assert_eq!(
            message(&[
                pending("SecurityInfo", PendingState::NotNow),
                pending("InstallProfile", PendingState::Queued)
            ]),
            "the device has not fetched InstallProfile, queued at 1970-01-01T02:00:00Z"
        );
        assert_eq!(
            message(&[]),
            "the device has not yet reported what it should hold since 1970-01-01T01:00:00Z"
        );
    }
}
