//! Commands that people bring as whole property lists: passed through as they are.
//!
//! Bounded, and only as much looked at as is needed to queue them. Whether Apple has such a command, and whether the device can do it, is between
//! those who send it and the device, but for what no personal device may ever be told.

use std::sync::Arc;

use jiff::Timestamp;
use plist::{Dictionary, Value};

use super::admissible::{Refused, Target};
use super::build::body;
use super::class::{Class, spares_personal_devices};
use crate::api::common::EnrollmentMode;
use crate::ids::{CommandUuid, EnrollmentId, IdError};
use crate::mdm::command::NewCommand;
use crate::mdm::plist::{self as codec, read_dictionary};
use crate::mdm::sender::text;

/// The largest command, in bytes: profiles with pictures are about one MiB.
pub const RAW_COMMAND_LIMIT: usize = 4 * 1024 * 1024;

/// The longest `RequestType`, in bytes; Apple's have up to 31.
const REQUEST_TYPE_LIMIT: usize = 64;

/// Why a property list is no command.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// More bytes than [`RAW_COMMAND_LIMIT`].
    #[error("the command has {bytes} bytes, more than the {RAW_COMMAND_LIMIT} allowed")]
    TooLarge {
        /// Bytes given.
        bytes: usize,
    },
    /// No property list, or an unreasonable one.
    #[error("the command cannot be read; send an XML or binary property list")]
    PropertyList(#[source] codec::Error),
    /// No `Command` in it.
    #[error(
        "the property list has no dictionary `Command`; a command is {{Command: {{RequestType: …}}, CommandUUID: …}}"
    )]
    NoCommand,
    /// No `RequestType` in `Command`.
    #[error(
        "`Command` has no string `RequestType`, or one that is empty, longer than {REQUEST_TYPE_LIMIT} bytes or not plain letters and digits"
    )]
    NoRequestType,
    /// A UUID that cannot be one.
    #[error("the CommandUUID cannot be used; leave it out to have one made")]
    Uuid(#[source] IdError),
    /// Something else than a string.
    #[error("the CommandUUID is not a string; leave it out to have one made")]
    UuidType,
}

/// A command as it was brought.
#[derive(Debug, Clone, PartialEq)]
pub struct RawCommand {
    request_type: Arc<str>,
    uuid: Option<CommandUuid>,
    command: Dictionary,
}

impl RawCommand {
    /// Reads a command: XML or binary.
    ///
    /// # Errors
    /// When it is none, or too large.
    pub fn read(bytes: &[u8]) -> Result<Self, RawError> {
        if bytes.len() > RAW_COMMAND_LIMIT {
            return Err(RawError::TooLarge { bytes: bytes.len() });
        }
        let mut whole = read_dictionary(bytes).map_err(RawError::PropertyList)?;
        let uuid = match whole.get("CommandUUID") {
            None => None,
            Some(Value::String(uuid)) => Some(CommandUuid::parse(uuid).map_err(RawError::Uuid)?),
            Some(_) => return Err(RawError::UuidType),
        };
        let command = whole.remove("Command").and_then(Value::into_dictionary);
        let command = command.ok_or(RawError::NoCommand)?;
        let request_type = text(&command, "RequestType")
            .filter(|name| {
                (1..=REQUEST_TYPE_LIMIT).contains(&name.len())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
            })
            .ok_or(RawError::NoRequestType)?;
        Ok(Self {
            request_type: request_type.into(),
            uuid,
            command,
        })
    }

    /// Apple's `RequestType`, or whatever stands in its place.
    #[must_use]
    pub fn request_type(&self) -> &str {
        &self.request_type
    }

    /// The UUID that it brought.
    #[must_use]
    pub const fn uuid(&self) -> Option<&CommandUuid> {
        self.uuid.as_ref()
    }

    /// Whether a device may be sent this.
    ///
    /// # Errors
    /// [`Refused::Personal`], and nothing else.
    pub fn admissible(&self, target: &Target) -> Result<(), Refused> {
        if target.mode == EnrollmentMode::User && spares_personal_devices(&self.request_type) {
            return Err(Refused::Personal {
                request_type: self.request_type.to_string(),
            });
        }
        Ok(())
    }

    /// The whole command. Commands for many devices share it, and with it the UUID.
    #[must_use]
    pub fn body(&self, uuid: &CommandUuid) -> Arc<str> {
        body(self.command.clone(), uuid)
    }

    /// The command for the queue, with its body by [`Self::body`]. It never collapses with another: each is asked for by somebody.
    #[must_use]
    pub fn queued(
        &self,
        enrollment: &EnrollmentId,
        uuid: CommandUuid,
        body: Arc<str>,
        deadline: Timestamp,
    ) -> NewCommand {
        NewCommand {
            enrollment: enrollment.clone(),
            uuid,
            request_type: Arc::clone(&self.request_type),
            body,
            intent: None,
            chain: None,
            priority: Class::of(&self.request_type).priority(),
            deadline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::common::Platform;
    use crate::mdm::commands::table::AccessRights;
    use crate::policy::OsVersion;

    fn read(entries: &str) -> Result<RawCommand, RawError> {
        RawCommand::read(format!("<plist version=\"1.0\"><dict>{entries}</dict></plist>").as_bytes())
    }

    const ERASE: &str = "<key>Command</key><dict><key>RequestType</key><string>EraseDevice</string>\
        <key>Made</key><string>up</string></dict>";

    #[test]
    fn a_command_passes_as_it_is_with_its_uuid_or_without() {
        let with = read(&format!("{ERASE}<key>CommandUUID</key><string>c-1</string>")).unwrap();
        assert_eq!(
            (with.request_type(), with.uuid().unwrap().as_str()),
            ("EraseDevice", "c-1")
        );
        let without = read(ERASE).unwrap();
        assert_eq!(without.uuid(), None);
        let body = without.body(with.uuid().unwrap());
        let again = RawCommand::read(body.as_bytes()).unwrap();
        assert_eq!(again, with);
        assert!(body.contains("<key>Made</key>"), "{body}");
    }

    #[test]
    fn what_is_no_command_is_told_what_is_missing() {
        for (entries, told) in [
            ("", "`Command`"),
            ("<key>Command</key><string>x</string>", "`Command`"),
            ("<key>Command</key><dict/>", "`RequestType`"),
            (
                "<key>Command</key><dict><key>RequestType</key><string>a b</string></dict>",
                "`RequestType`",
            ),
            (&format!("{ERASE}<key>CommandUUID</key><true/>"), "not a string"),
            (
                &format!("{ERASE}<key>CommandUUID</key><string/>"),
                "cannot be used",
            ),
        ] {
            let error = read(entries).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(matches!(
            RawCommand::read(b"nonsense"),
            Err(RawError::PropertyList(_))
        ));
        assert!(matches!(
            RawCommand::read(&vec![b' '; RAW_COMMAND_LIMIT + 1]),
            Err(RawError::TooLarge { .. })
        ));
    }

    #[test]
    fn even_a_raw_command_erases_no_personal_device() {
        let mut target = Target {
            platform: Platform::IOS,
            os_version: OsVersion::read("26"),
            mode: EnrollmentMode::User,
            rights: AccessRights::NONE,
            user_channel: false,
            shared_ipad: None,
            automated: None,
        };
        let raw = read(ERASE).unwrap();
        assert!(matches!(raw.admissible(&target), Err(Refused::Personal { .. })));
        target.mode = EnrollmentMode::Device;
        assert_eq!(
            raw.admissible(&target),
            Ok(()),
            "all else is between sender and device"
        );
    }
}
