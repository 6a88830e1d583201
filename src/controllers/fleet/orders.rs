//! Orders: the commands that bring a device to its manifest, or ask it for evidence. Pure but for the identifiers.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Entropy;
use crate::compliance::Facts;
use crate::ids::{CommandUuid, EnrollmentId};
use crate::mdm::command::NewCommand;
use crate::mdm::commands::{self, Command};
use crate::policy::Manifest;
use crate::policy::manifest::PROFILE_PREFIX;
use crate::store::Enrollment;

/// How long a device has to answer before an order is given up. A newer order of the same intent takes its place before that.
const DEADLINE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Profiles are installed and removed one after the other, and listed after that.
const PROFILE_CHAIN: &str = "profiles";

/// The orders that bring a device to `manifest`, given what it is known to hold.
#[must_use]
pub fn to_hold(device: &Enrollment, manifest: &Manifest, facts: &Facts, context: &Issue<'_>) -> Vec<NewCommand> {
    if device.declarative {
        // The device compares the token by itself and fetches what is new; the command also makes it look again at what it holds.
        let tokens = commands::sync_tokens(manifest, context.now);
        return vec![context.order(&device.id, &Command::DeclarativeManagement { tokens: Some(tokens) }, "ddm", None)];
    }
    let installed = facts.profiles.as_ref();
    let stale = installed.into_iter().flatten().map(|(identifier, _)| identifier).filter(|identifier| {
        identifier.starts_with(PROFILE_PREFIX)
            && !manifest.profiles.iter().any(|profile| *profile.identifier == **identifier)
    });
    let removals = stale.map(|identifier| {
        let command = Command::RemoveProfile { identifier: identifier.as_str().into() };
        context.order(&device.id, &command, &format!("profile:{identifier}"), Some(PROFILE_CHAIN))
    });
    let missing = manifest.profiles.iter().filter(|profile| {
        installed.and_then(|installed| installed.get(&*profile.identifier)).map(String::as_str) != Some(&*profile.uuid)
    });
    let installs = missing.map(|profile| {
        let command = Command::InstallProfile { profile: profile.body.clone() };
        context.order(&device.id, &command, &format!("profile:{}", profile.identifier), Some(PROFILE_CHAIN))
    });
    let mut orders: Vec<NewCommand> = removals.chain(installs).collect();
    if !orders.is_empty() || installed.is_none() {
        orders.push(context.order(&device.id, &Command::ProfileList, "ProfileList", Some(PROFILE_CHAIN)));
        orders.push(context.order(&device.id, &Command::SecurityInfo, "SecurityInfo", Some(PROFILE_CHAIN)));
    }
    orders
}

/// The orders that ask a device what it is like now.
#[must_use]
pub fn for_evidence(device: &Enrollment, context: &Issue<'_>) -> Vec<NewCommand> {
    let mut orders = vec![
        context.order(&device.id, &Command::device_information(), "DeviceInformation", None),
        context.order(&device.id, &Command::SecurityInfo, "SecurityInfo", None),
    ];
    if !device.declarative {
        orders.push(context.order(&device.id, &Command::ProfileList, "ProfileList", None));
    }
    orders
}

/// What goes into every order.
pub struct Issue<'a> {
    /// Now.
    pub now: Timestamp,
    /// For the command's UUID.
    pub entropy: &'a dyn Entropy,
}

impl Issue<'_> {
    fn order(&self, device: &EnrollmentId, command: &Command, intent: &str, chain: Option<&str>) -> NewCommand {
        let uuid = CommandUuid::from(self.entropy.uuid());
        let deadline = self.now.saturating_add(DEADLINE).unwrap_or(Timestamp::MAX);
        NewCommand {
            enrollment: device.clone(),
            request_type: command.request_type().into(),
            body: commands::build(command, &uuid).into(),
            uuid,
            intent: Some(Arc::from(intent)),
            chain: chain.map(Arc::from),
            deadline,
        }
    }
}
