//! The commands that Provost sends, as the XML property lists that devices read.

use std::sync::Arc;

use jiff::Timestamp;
use plist::{Dictionary, Value};

use crate::ids::{CommandUuid, EnrollmentId};
use crate::mdm::command::NewCommand;
use crate::mdm::plist::to_xml;

/// The `PayloadIdentifier` of the profile that holds the MDM payload. Removing it ends the enrolment.
pub const MDM_PROFILE: &str = "dev.provost.mdm";

/// What DeviceInformation asks everybody. All of it may be asked of a personal device too: it leaves out what it must not tell.
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

/// A command, before it has a UUID.
#[derive(Debug, Clone, PartialEq, Eq, strum::IntoStaticStr)]
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
        /// What exactly.
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
    ProfileList,
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
}

impl Command {
    /// Apple's `RequestType`.
    #[must_use]
    pub fn request_type(&self) -> &'static str {
        match self {
            Self::Inventory { request_type, .. } => request_type,
            named => named.into(),
        }
    }

    /// DeviceInformation with what everybody is asked at the first contact.
    #[must_use]
    pub fn who_are_you() -> Self {
        Self::DeviceInformation {
            queries: QUERIES.to_vec(),
        }
    }

    /// The whole command. The same command with the same UUID gives the same bytes.
    #[must_use]
    pub fn body(&self, uuid: &CommandUuid) -> Arc<str> {
        let mut command = Dictionary::new();
        command.insert("RequestType".into(), self.request_type().into());
        match self {
            Self::DeclarativeManagement { tokens: Some(tokens) } => {
                command.insert("Data".into(), Value::Data(tokens.clone()));
            }
            Self::DeviceInformation { queries } => {
                let queries = queries.iter().map(|query| Value::from(*query)).collect();
                command.insert("Queries".into(), Value::Array(queries));
            }
            Self::InstallProfile { profile, .. } => {
                command.insert("Payload".into(), Value::Data(profile.as_bytes().to_vec()));
            }
            Self::RemoveProfile { identifier } => {
                command.insert("Identifier".into(), (&**identifier).into());
            }
            Self::Inventory { limit: Some(key), .. } => {
                command.insert((*key).into(), Value::Boolean(true));
            }
            Self::DeclarativeManagement { tokens: None }
            | Self::DeviceConfigured
            | Self::Inventory { limit: None, .. }
            | Self::ProfileList
            | Self::SecurityInfo
            | Self::UserConfigured => {}
        }
        let mut whole = Dictionary::new();
        whole.insert("Command".into(), Value::Dictionary(command));
        whole.insert("CommandUUID".into(), uuid.as_str().into());
        to_xml(&Value::Dictionary(whole))
    }

    /// What the command is for. Of two pending commands with one intent the newer one is enough.
    #[must_use]
    pub fn intent(&self) -> Arc<str> {
        match self {
            // Installing and removing one profile are two answers to one question.
            Self::InstallProfile { identifier, .. } | Self::RemoveProfile { identifier } => {
                format!("Profile:{identifier}").into()
            }
            other => other.request_type().into(),
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
            deadline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(command: &Command) -> String {
        command.body(&CommandUuid::parse("c-1").unwrap()).to_string()
    }

    #[test]
    fn commands_are_written_as_devices_read_them() {
        for command in [
            Command::DeclarativeManagement {
                tokens: Some(b"{}".to_vec()),
            },
            Command::who_are_you(),
            Command::InstallProfile {
                identifier: "dev.provost.profile.a".into(),
                profile: "<plist/>".into(),
            },
            Command::ProfileList,
            Command::RemoveProfile {
                identifier: MDM_PROFILE.into(),
            },
            Command::SecurityInfo,
            Command::DeviceConfigured,
            Command::UserConfigured,
            Command::Inventory {
                request_type: "CertificateList",
                limit: Some("ManagedOnly"),
            },
        ] {
            insta::assert_snapshot!(command.request_type(), body(&command));
        }
    }

    #[test]
    fn one_intent_is_one_question() {
        let install = Command::InstallProfile {
            identifier: "a".into(),
            profile: "<plist/>".into(),
        };
        let remove = Command::RemoveProfile {
            identifier: "a".into(),
        };
        assert_eq!(install.intent(), remove.intent());
        assert_ne!(Command::ProfileList.intent(), Command::SecurityInfo.intent());
    }
}
