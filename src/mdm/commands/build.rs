//! Commands before they have a UUID: checked against the table when they are made, and written as the XML property lists that devices read.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use plist::{Dictionary, Value};

use super::admissible::{Refused, Target, admissible, admissible_values};
use super::arguments::entries;
use super::class::{self, Class};
use super::table;
use crate::api::common::EnrollmentMode;
use crate::ids::{CommandUuid, EnrollmentId};
use crate::mdm::command::{Intent, NewCommand};
use crate::mdm::plist::to_xml;
use crate::policy::schema::{Finding, Schema};
use crate::suggest::did_you_mean;

/// The `PayloadIdentifier` of the profile that holds the MDM payload. Removing it ends the enrolment.
pub const MDM_PROFILE: &str = "dev.provost.mdm";

/// What DeviceInformation asks those that know it.
const QUERIES: [&str; 12] = [
    "BuildVersion",
    "IsActivationLockEnabled",
    "IsAppleSilicon",
    "IsMDMLostModeEnabled",
    "IsSupervised",
    "MDMOptions",
    "ModelName",
    "OSVersion",
    "ProductName",
    "SupplementalBuildVersion",
    "SupplementalOSVersionExtra",
    "TimeZone",
];

/// Why a command cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Apple has no such command.
    #[error("there is no command `{request_type}`{hint}")]
    UnknownCommand {
        /// What was asked for.
        request_type: String,
        /// `; did you mean …?`, or nothing.
        hint: String,
    },
    /// The command cannot be with these arguments.
    #[error("{request_type}: {}", told(errors))]
    Arguments {
        /// Which command.
        request_type: &'static str,
        /// What is wrong with them.
        errors: Vec<Finding>,
    },
}

fn told(errors: &[Finding]) -> String {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

/// A command, before it has a UUID.
#[derive(Debug, Clone, PartialEq, strum::IntoStaticStr)]
pub enum Command {
    /// Start, or sync, declarative management.
    DeclarativeManagement {
        /// The tokens document, which spares the device one round trip.
        tokens: Option<Vec<u8>>,
    },
    /// Go on from Setup Assistant: everything is in place.
    DeviceConfigured,
    /// Tell about the system.
    DeviceInformation {
        /// What; see [`Command::device_information`].
        queries: Vec<&'static str>,
    },
    /// Install a profile.
    InstallProfile {
        /// Its `PayloadIdentifier`.
        identifier: Arc<str>,
        /// The profile, as it is.
        profile: Arc<str>,
    },
    /// List the profiles that are installed.
    ProfileList {
        /// Only those that management has installed.
        managed_only: bool,
    },
    /// Remove a profile.
    RemoveProfile {
        /// Its `PayloadIdentifier`.
        identifier: Arc<str>,
    },
    /// Tell about protection: encryption, firewall, passcode.
    SecurityInfo,
    /// As `DeviceConfigured`, to a user of a Shared iPad.
    UserConfigured,
    /// List what there is: certificates, apps, restrictions, users.
    Inventory {
        /// Apple's `RequestType`.
        request_type: &'static str,
        /// The key that limits it to what is managed.
        limit: Option<&'static str>,
    },
    /// Any other of Apple's commands; made by [`Command::build`].
    Other(Arc<Built>),
}

/// A command whose arguments are what the table says.
#[derive(Debug, PartialEq)]
pub struct Built {
    request_type: &'static str,
    arguments: Dictionary,
}

impl Command {
    /// Any of Apple's commands. `arguments` are the keys of `Command` beside `RequestType`.
    ///
    /// # Errors
    /// When Apple has no such command, or it cannot have these arguments.
    pub fn build(request_type: &str, arguments: Dictionary) -> Result<Self, BuildError> {
        let Some((request_type, _)) = table::command(request_type) else {
            return Err(BuildError::UnknownCommand {
                request_type: request_type.chars().take(64).collect(),
                hint: did_you_mean(request_type, table::commands().keys().map(String::as_str)),
            });
        };
        let errors = Schema::in_force()
            .check_command(request_type, &entries(&arguments))
            .unwrap_or_default();
        if !errors.is_empty() {
            return Err(BuildError::Arguments { request_type, errors });
        }
        Ok(Self::Other(Arc::new(Built {
            request_type,
            arguments,
        })))
    }

    /// DeviceInformation with those of the queries that the device may be asked.
    #[must_use]
    pub fn device_information(queries: &[&'static str], target: &Target) -> Self {
        Self::DeviceInformation {
            queries: admissible_values("DeviceInformation", "Queries", queries, target),
        }
    }

    /// DeviceInformation with what is asked at the first contact, as far as the device may be asked.
    #[must_use]
    pub fn who_are_you(target: &Target) -> Self {
        Self::device_information(&QUERIES, target)
    }

    /// A list of what there is; of a kind of which all is managed, everything either way.
    #[must_use]
    pub fn inventory(request_type: &'static str, managed_only: bool) -> Self {
        Self::Inventory {
            request_type,
            limit: class::managed_only(request_type).filter(|_| managed_only),
        }
    }

    /// ProfileList as far as it may go: a personal device is asked for what is managed only.
    #[must_use]
    pub fn profile_list(target: &Target) -> Self {
        Self::ProfileList {
            managed_only: target.mode == EnrollmentMode::User,
        }
    }

    /// Apple's `RequestType`.
    #[must_use]
    pub fn request_type(&self) -> &'static str {
        match self {
            Self::Inventory { request_type, .. } => request_type,
            Self::Other(built) => built.request_type,
            typed => typed.into(),
        }
    }

    /// The keys of `Command` beside `RequestType`.
    #[must_use]
    pub fn arguments(&self) -> Cow<'_, Dictionary> {
        let one = |key: &str, value: Value| Cow::Owned(Dictionary::from_iter([(key.to_owned(), value)]));
        match self {
            Self::Other(built) => Cow::Borrowed(&built.arguments),
            Self::DeclarativeManagement { tokens: Some(tokens) } => one("Data", Value::Data(tokens.clone())),
            Self::DeviceInformation { queries } => {
                let queries = queries.iter().map(|query| Value::from(*query)).collect();
                one("Queries", Value::Array(queries))
            }
            Self::InstallProfile { profile, .. } => one("Payload", Value::Data(profile.as_bytes().to_vec())),
            Self::ProfileList { managed_only: true } => one("ManagedOnly", true.into()),
            Self::Inventory { limit: Some(key), .. } => one(key, true.into()),
            Self::RemoveProfile { identifier } => one("Identifier", (&**identifier).into()),
            Self::DeclarativeManagement { tokens: None }
            | Self::DeviceConfigured
            | Self::Inventory { limit: None, .. }
            | Self::ProfileList { managed_only: false }
            | Self::SecurityInfo
            | Self::UserConfigured => Cow::Owned(Dictionary::new()),
        }
    }

    /// Whether a device may be sent this.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn admissible(&self, target: &Target) -> Result<(), Refused> {
        let arguments = match self {
            // Its one argument is always there and may be large.
            Self::InstallProfile { .. } => Cow::Owned(Dictionary::new()),
            other => other.arguments(),
        };
        admissible(self.request_type(), &arguments, target)
    }

    /// As [`Self::admissible`], with the reason against it in the log.
    #[must_use]
    pub fn is_admissible(&self, target: &Target) -> bool {
        match self.admissible(target) {
            Ok(()) => true,
            Err(refused) => {
                tracing::debug!(%refused, "a command is not queued");
                false
            }
        }
    }

    /// The whole command. The same command with the same UUID gives the same bytes.
    #[must_use]
    pub fn body(&self, uuid: &CommandUuid) -> Arc<str> {
        let mut command =
            Dictionary::from_iter([("RequestType".to_owned(), Value::from(self.request_type()))]);
        command.extend(self.arguments().into_owned());
        body(command, uuid)
    }

    /// What the command is for; see [`NewCommand::intent`].
    #[must_use]
    pub fn intent(&self) -> Intent {
        match self {
            // Installing and removing one profile are two answers to one question.
            Self::InstallProfile { identifier, .. } | Self::RemoveProfile { identifier } => {
                Intent::Of(format!("Profile:{identifier}").into())
            }
            // Two that differ in an argument are two intents: neither makes the other needless.
            Self::Other(_) => Intent::Identical,
            other => Intent::Of(other.request_type().into()),
        }
    }

    /// The command for the queue.
    #[must_use]
    pub fn queued(
        &self,
        enrollment: &EnrollmentId,
        uuid: CommandUuid,
        chain: Option<Arc<str>>,
        deadline: Timestamp,
    ) -> NewCommand {
        NewCommand {
            enrollment: enrollment.clone(),
            request_type: self.request_type().into(),
            body: self.body(&uuid),
            uuid,
            intent: Some(self.intent()),
            chain,
            priority: Class::of(self.request_type()).priority(),
            deadline,
        }
    }
}

/// A whole command, of its `Command` dictionary.
pub(super) fn body(command: Dictionary, uuid: &CommandUuid) -> Arc<str> {
    let mut whole = Dictionary::new();
    whole.insert("Command".into(), Value::Dictionary(command));
    whole.insert("CommandUUID".into(), uuid.as_str().into());
    to_xml(&Value::Dictionary(whole))
}

#[cfg(test)]
mod tests;
