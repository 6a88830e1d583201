//! Why a command is still waiting, for people.

use std::collections::HashMap;
use std::fmt;

use jiff::Timestamp;

use super::{OFFERS_BEFORE_PARKING, is_expired};
use crate::ids::CommandUuid;
use crate::mdm::command::PendingCommand;

/// What a pending command waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// The device has not asked for work since it was queued.
    Contact,
    /// The device was given it and has not reported.
    Report {
        /// How often it was given since the last report on it.
        offers: u32,
    },
    /// The device said that it cannot now.
    NotNow {
        /// How often it said so.
        times: u32,
    },
    /// It was given again and again without a report, and now follows after everything else.
    Parked {
        /// How often it was given.
        offers: u32,
    },
    /// An older command of its chain has to end first.
    Chain {
        /// Which.
        behind: CommandUuid,
    },
    /// Its deadline is over; it ends at the next occasion.
    Expired,
}

/// What each command of one enrolment waits for, in the order given, which is that of the sequence.
#[must_use]
pub fn explain(pending: &[PendingCommand], now: Timestamp) -> Vec<Waiting> {
    let mut heads: HashMap<&str, &CommandUuid> = HashMap::new();
    let mut waiting = Vec::with_capacity(pending.len());
    for command in pending {
        if is_expired(command, now) {
            waiting.push(Waiting::Expired);
            continue;
        }
        let head = command
            .chain
            .as_deref()
            .map_or(&command.uuid, |chain| heads.entry(chain).or_insert(&command.uuid));
        waiting.push(if *head == command.uuid {
            by_itself(command)
        } else {
            Waiting::Chain { behind: head.clone() }
        });
    }
    waiting
}

/// How often the device has said that it cannot now, where that is all that its commands wait for: of the one that it said so of least often.
/// None: something else can be done, or nothing is pending.
#[must_use]
pub fn deferred(pending: &[PendingCommand], now: Timestamp) -> Option<u32> {
    let mut least = None;
    for waiting in explain(pending, now) {
        match waiting {
            Waiting::NotNow { times } => least = Some(least.map_or(times, |least: u32| least.min(times))),
            Waiting::Chain { .. } | Waiting::Expired => {}
            Waiting::Contact | Waiting::Report { .. } | Waiting::Parked { .. } => return None,
        }
    }
    least
}

/// What a command waits for that no other is in the way of.
fn by_itself(command: &PendingCommand) -> Waiting {
    let offers = command.unanswered;
    if offers >= OFFERS_BEFORE_PARKING {
        Waiting::Parked { offers }
    } else if offers > 0 {
        Waiting::Report { offers }
    } else if command.deferrals > 0 {
        Waiting::NotNow {
            times: command.deferrals,
        }
    } else {
        Waiting::Contact
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contact => f.write_str("the device has not asked for work since"),
            Self::Report { offers: 1 } => f.write_str("the device was given it and has not reported"),
            Self::Report { offers } => {
                write!(f, "the device was given it {offers} times and has not reported")
            }
            Self::NotNow { times } => write!(
                f,
                "the device cannot now (said {times} times); it is woken again from time to time"
            ),
            Self::Parked { offers } => write!(
                f,
                "the device was given it {offers} times without a report; other commands go first"
            ),
            Self::Chain { behind } => write!(f, "command {behind} has to end first"),
            Self::Expired => f.write_str("its deadline is over"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mdm::command::{PendingState, Priority};

    fn command(name: &str, chain: Option<&str>) -> PendingCommand {
        PendingCommand {
            sequence: 1,
            uuid: CommandUuid::parse(name).unwrap(),
            request_type: "SecurityInfo".into(),
            state: PendingState::Queued,
            attempts: 0,
            unanswered: 0,
            deferrals: 0,
            intent: None,
            chain: chain.map(Into::into),
            priority: Priority::Normal,
            queued_at: Timestamp::UNIX_EPOCH,
            deadline: Timestamp::MAX,
        }
    }

    #[test]
    fn a_device_is_deferred_when_all_it_has_to_do_is_what_it_cannot() {
        let busy = |times, chain| PendingCommand {
            deferrals: times,
            ..command(&format!("busy-{times}"), chain)
        };
        let now = Timestamp::from_second(1).unwrap();
        assert_eq!(deferred(&[], now), None);
        let mut pending = vec![
            busy(3, Some("setup")),
            command("behind", Some("setup")),
            busy(2, None),
        ];
        assert_eq!(deferred(&pending, now), Some(2));
        pending.push(command("new", None));
        assert_eq!(deferred(&pending, now), None);
    }

    #[test]
    fn each_command_says_why_it_waits() {
        let pending = [
            command("new", None),
            PendingCommand {
                unanswered: 1,
                ..command("given", Some("setup"))
            },
            command("chained", Some("setup")),
            PendingCommand {
                deferrals: 2,
                ..command("busy", None)
            },
            PendingCommand {
                unanswered: OFFERS_BEFORE_PARKING,
                ..command("stuck", None)
            },
            PendingCommand {
                deadline: Timestamp::UNIX_EPOCH,
                ..command("late", None)
            },
        ];
        let now = Timestamp::from_second(1).unwrap();
        let reasons: Vec<String> = explain(&pending, now).iter().map(ToString::to_string).collect();
        assert_eq!(
            reasons,
            [
                "the device has not asked for work since",
                "the device was given it and has not reported",
                "command given has to end first",
                "the device cannot now (said 2 times); it is woken again from time to time",
                "the device was given it 3 times without a report; other commands go first",
                "its deadline is over",
            ]
        );
    }
}
