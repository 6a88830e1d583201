//! What every new enrolment is asked first.

use jiff::{SignedDuration, Timestamp};

use super::{Command, Target};
use crate::clock::Entropy;
use crate::ids::{CommandUuid, EnrollmentId};
use crate::mdm::command::NewCommand;

/// How long the first questions wait for a device that enrolled and went silent.
pub const FIRST_CONTACT_DEADLINE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The commands for an enrolment whose first TokenUpdate has come: who are you, how are you protected, and either the start of
/// declarative management or the list of profiles; each as far as the device may be asked. They are independent: one that gets stuck holds up
/// none of the others.
///
/// Declarative management is started at every enrolment, even where nothing has changed since the one before: the device has forgotten it.
#[must_use]
pub fn first_contact(
    enrollment: &EnrollmentId,
    target: &Target,
    declarative: bool,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Vec<NewCommand> {
    let third = if declarative {
        Command::DeclarativeManagement { tokens: None }
    } else {
        Command::profile_list(target)
    };
    let deadline = now
        .saturating_add(FIRST_CONTACT_DEADLINE)
        .unwrap_or(Timestamp::MAX);
    [Command::who_are_you(target), Command::SecurityInfo, third]
        .iter()
        .filter(|command| command.is_admissible(target))
        .map(|command| {
            let uuid = CommandUuid::from(entropy.uuid());
            command.queued(enrollment, uuid, None, deadline)
        })
        .collect()
}
