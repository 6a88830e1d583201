//! Orders: the commands that bring a device to its manifest, or ask it for evidence. Pure but for the identifiers.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Entropy;
use crate::compliance::{Facts, Question, Source, Subject};
use crate::ids::{CommandUuid, PROFILE_PREFIX};
use crate::mdm::command::{NewCommand, Priority};
use crate::mdm::commands::{Command, Target, configured};
use crate::policy::Manifest;
use crate::store::Enrollment;

/// How long a device has to answer before an order is given up. A newer order of the same intent takes its place before that.
const DEADLINE: Duration = Duration::from_hours(7 * 24);
/// Profiles are installed and removed one after the other, and listed after that.
const PROFILE_CHAIN: &str = "profiles";

/// The orders that bring a device to `manifest`, given what it is known to hold. `again`: it is not to be believed that what it holds is
/// in effect.
#[must_use]
pub fn to_hold(
    device: &Enrollment,
    manifest: &Manifest,
    facts: &Facts,
    again: bool,
    issue: &Issue<'_>,
) -> Vec<NewCommand> {
    // A device in Setup Assistant goes on when all else has been said. Declarations cannot come before: it answers NotNow to them there.
    let last = device.awaiting_configuration.then(|| configured(&device.id));
    if device.declarative {
        // The device compares the token by itself and fetches what is new; the command also makes it look again at what it holds.
        let commands = [Command::DeclarativeManagement { tokens: None }];
        return issue.orders(device, None, commands.into_iter().chain(last));
    }
    let installed = facts.profiles.as_ref();
    let stale = installed
        .into_iter()
        .flatten()
        .map(|(identifier, _)| identifier)
        .filter(|identifier| {
            identifier.starts_with(PROFILE_PREFIX)
                && !manifest
                    .profiles
                    .iter()
                    .any(|profile| *profile.identifier == ***identifier)
        });
    let removals = stale.map(|identifier| Command::RemoveProfile {
        identifier: identifier.as_str().into(),
    });
    let missing = manifest.profiles.iter().filter(|profile| {
        let uuid = installed.and_then(|installed| installed.get(&*profile.identifier));
        again || !uuid.is_some_and(|uuid| uuid.eq_ignore_ascii_case(&profile.uuid))
    });
    let installs = missing.map(|profile| Command::InstallProfile {
        identifier: profile.identifier.clone(),
        profile: profile.body.clone(),
    });
    let mut commands: Vec<Command> = removals.chain(installs).collect();
    // A list from before the device was pointed at this manifest proves nothing about it, even if it shows all that is wanted.
    if !commands.is_empty() || installed.is_none() || device.applied_manifest != Some(manifest.id) {
        commands.extend([Command::profile_list(&device.target()), Command::SecurityInfo]);
    }
    commands.extend(last);
    issue.orders(device, Some(PROFILE_CHAIN), commands)
}

/// The orders that ask a device what it is like now.
#[must_use]
pub fn for_evidence(device: &Enrollment, questions: &[Question], issue: &Issue<'_>) -> Vec<NewCommand> {
    let target = device.target();
    let commands = questions.iter().map(|question| command(question, &target));
    let mut orders = issue.orders(device, None, commands);
    for order in &mut orders {
        order.priority = Priority::Background;
    }
    orders
}

/// The command that asks a question.
fn command(question: &Question, target: &Target) -> Command {
    match question.source {
        Source::DeviceInformation => Command::device_information(&question.queries, target),
        Source::SecurityInfo => Command::SecurityInfo,
        Source::ProfileList => Command::profile_list(target),
        Source::StatusReport => Command::DeclarativeManagement { tokens: None },
        Source::CertificateList
        | Source::InstalledApplicationList
        | Source::ManagedApplicationList
        | Source::Restrictions
        | Source::UserList => Command::inventory(question.source.into(), question.managed_only),
    }
}

/// Whom the questions are for.
#[must_use]
pub const fn subject(device: &Enrollment) -> Subject {
    Subject {
        platform: device.platform,
        mode: device.mode,
        declarative: device.declarative,
    }
}

/// What goes into every order.
pub struct Issue<'a> {
    /// Now.
    pub now: Timestamp,
    /// For the commands' UUIDs.
    pub entropy: &'a dyn Entropy,
}

impl Issue<'_> {
    fn orders(
        &self,
        device: &Enrollment,
        chain: Option<&str>,
        commands: impl IntoIterator<Item = Command>,
    ) -> Vec<NewCommand> {
        let deadline = self.now.saturating_add(DEADLINE).unwrap_or(Timestamp::MAX);
        let target = device.target();
        let commands = commands.into_iter();
        commands
            .filter(|command| command.is_admissible(&target))
            .map(|command| {
                let uuid = CommandUuid::from(self.entropy.uuid());
                command.queued(&device.id, uuid, chain.map(Into::into), deadline)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
