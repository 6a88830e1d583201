//! Whether a device may be sent a command: asked before it is queued, so that what cannot work fails with a reason instead of on the device.
//!
//! Pure. What is not known of a device (its version, whether it is a Shared iPad) refuses nothing. A command that the table does not know is
//! refused only where it would harm a personal device.
//!
//! Specification: `supportedOS` of Apple's schema, for the command and for each key in it; `AccessRights` of the MDM payload.

use std::collections::BTreeMap;

use plist::{Dictionary, Value};

use super::class::{managed_only, spares_personal_devices};
use super::table::{self, AccessRights, Conditions, DISCRIMINATOR, Key, Kind, Mode, Since, System, Version};
use crate::api::common::{EnrollmentMode, Platform};
use crate::policy::OsVersion;

/// What is known of the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its system.
    pub platform: Platform,
    /// The system's version. Zero: not known.
    pub os_version: OsVersion,
    /// How it is managed.
    pub mode: EnrollmentMode,
    /// The rights that were granted. Without meaning in a User Enrollment, which has none.
    pub rights: AccessRights,
    /// Whether the command is for the channel of one of its users.
    pub user_channel: bool,
    /// Whether it is a Shared iPad. None: not known.
    pub shared_ipad: Option<bool>,
    /// Whether it came by Automated Device Enrollment. None: not known.
    pub automated: Option<bool>,
}

/// Why a command cannot be sent. `what` is the command, or a key of it with the command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It erases, opens or locates a device that belongs to a person.
    #[error("{request_type} is never sent to a personal device")]
    Personal {
        /// Which command.
        request_type: String,
    },
    /// It asks a personal device about more than what is managed.
    #[error("a personal device tells only of what is managed: {request_type} needs {key} to be true")]
    PersonalInventory {
        /// Which command.
        request_type: &'static str,
        /// The key that limits it.
        key: &'static str,
    },
    /// A User Enrollment does not have it.
    #[error("{what} is not there in a User Enrollment")]
    UserEnrollment {
        /// What.
        what: String,
    },
    /// The system does not have it at all.
    #[error("{what} is not there on {system}")]
    System {
        /// What.
        what: String,
        /// Where.
        system: System,
    },
    /// The system is too old.
    #[error("{what} needs {system} {since} or later; the device has {}", found.0)]
    TooOld {
        /// What.
        what: String,
        /// Where.
        system: System,
        /// The first version that has it.
        since: OsVersion,
        /// The version there is.
        found: Version,
    },
    /// The system is too new.
    #[error("{what} is no longer there since {system} {removed}; the device has {}", found.0)]
    Removed {
        /// What.
        what: String,
        /// Where.
        system: System,
        /// The first version without it.
        removed: OsVersion,
        /// The version there is.
        found: Version,
    },
    /// The device is not supervised.
    #[error("{what} needs a supervised device")]
    Unsupervised {
        /// What.
        what: String,
    },
    /// The device did not enrol automatically.
    #[error("{what} needs Automated Device Enrollment")]
    NotAutomated {
        /// What.
        what: String,
    },
    /// The enrolment lacks a right.
    #[error("{what} needs a right that the enrolment was not granted: {needed}")]
    Rights {
        /// What.
        what: String,
        /// The right.
        needed: AccessRights,
    },
    /// Not on this channel.
    #[error("{what} does not work on the channel of {channel}")]
    Channel {
        /// What.
        what: String,
        /// Which channel: `the device` or `a user`.
        channel: &'static str,
    },
    /// Shared iPads do not have it.
    #[error("{what} is not there on a Shared iPad")]
    SharedIPad {
        /// What.
        what: String,
    },
    /// Only Shared iPads have it.
    #[error("{what} needs a Shared iPad")]
    NotSharedIPad {
        /// What.
        what: String,
    },
}

/// Whether a device may be sent the command.
///
/// # Errors
/// The first reason against it.
pub(super) fn admissible(request_type: &str, arguments: &Dictionary, target: &Target) -> Result<(), Refused> {
    if target.mode == EnrollmentMode::User && spares_personal_devices(request_type) {
        return Err(Refused::Personal {
            request_type: request_type.to_owned(),
        });
    }
    let Some((request_type, facts)) = table::command(request_type) else {
        return Ok(());
    };
    let system = System::from(target.platform);
    let conditions = facts.on.get(&system).copied();
    target.meets(conditions, || request_type.to_owned())?;
    if target.mode == EnrollmentMode::User
        && let Some(key) = managed_only(request_type)
        && facts
            .request
            .get(key)
            .is_some_and(|key| is_there(key, system, conditions))
        && arguments.get(key).and_then(Value::as_boolean) != Some(true)
    {
        return Err(Refused::PersonalInventory { request_type, key });
    }
    let Some(conditions) = conditions else {
        return Ok(());
    };
    keys(&facts.request, arguments, &conditions, target, &|name| {
        format!("{name} of {request_type}")
    })
}

/// Those of the values of a key that a device may be asked for, such as the queries of DeviceInformation.
pub(super) fn admissible_values<'v>(
    request_type: &str,
    key: &str,
    values: &[&'v str],
    target: &Target,
) -> Vec<&'v str> {
    let may = |value: &&&'v str| {
        let list = Value::Array(vec![Value::from(**value)]);
        admissible(
            request_type,
            &Dictionary::from_iter([(key.to_owned(), list)]),
            target,
        )
        .is_ok()
    };
    values.iter().filter(may).copied().collect()
}

fn is_there(key: &Key, system: System, below: Option<Conditions>) -> bool {
    let own = key.on.get(&system).copied().unwrap_or_default();
    own.over(&below.unwrap_or_default()).since != Some(Since::Never)
}

fn keys(
    keys: &BTreeMap<String, Key>,
    arguments: &Dictionary,
    below: &Conditions,
    target: &Target,
    what: &dyn Fn(&str) -> String,
) -> Result<(), Refused> {
    for (name, value) in arguments {
        if let Some(key) = table::key(keys, name) {
            one(key, value, below, target, &|| what(name), what)?;
        }
    }
    Ok(())
}

fn one(
    key: &Key,
    value: &Value,
    below: &Conditions,
    target: &Target,
    own: &dyn Fn() -> String,
    what: &dyn Fn(&str) -> String,
) -> Result<(), Refused> {
    let system = System::from(target.platform);
    let conditions = key.on.get(&system).copied().unwrap_or_default().over(below);
    target.meets(Some(conditions), own)?;
    match value {
        Value::Dictionary(entries) => keys(&key.keys, entries, &conditions, target, what),
        Value::Array(items) => {
            for item in items {
                let discriminator = item
                    .as_dictionary()
                    .and_then(|entries| entries.get(DISCRIMINATOR))
                    .and_then(Value::as_string);
                if let Some(kind) = key.item(discriminator) {
                    let own = || discriminator.map_or_else(own, what);
                    one(kind, item, &conditions, target, &own, what)?;
                }
            }
            Ok(())
        }
        Value::String(text) if key.kind == Kind::String => match table::key(&key.keys, text) {
            Some(named) => {
                let conditions = named
                    .on
                    .get(&system)
                    .copied()
                    .unwrap_or_default()
                    .over(&conditions);
                target.meets(Some(conditions), || what(text))
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

impl Target {
    /// Whether the receiver meets the conditions. None: its system does not have it.
    fn meets(&self, conditions: Option<Conditions>, what: impl Fn() -> String) -> Result<(), Refused> {
        let system = System::from(self.platform);
        let Some(on) = conditions.filter(|on| on.since != Some(Since::Never)) else {
            return Err(Refused::System { what: what(), system });
        };
        self.has_version(&on, system, &what)?;
        match self.mode {
            EnrollmentMode::User if on.user_enrollment == Some(Mode::Forbidden) => {
                return Err(Refused::UserEnrollment { what: what() });
            }
            EnrollmentMode::Device | EnrollmentMode::Supervised
                if on.user_enrollment == Some(Mode::Required) =>
            {
                return Err(Refused::System { what: what(), system });
            }
            _ => {}
        }
        if on.supervised == Some(true) && !self.is_supervised() {
            return Err(Refused::Unsupervised { what: what() });
        }
        if on.automated == Some(true) && self.automated == Some(false) {
            return Err(Refused::NotAutomated { what: what() });
        }
        if let Some(needed) = on.rights
            && self.mode != EnrollmentMode::User
            && !self.rights.include(needed)
        {
            return Err(Refused::Rights { what: what(), needed });
        }
        self.has_channel(&on, &what)
    }

    fn has_version(
        &self,
        on: &Conditions,
        system: System,
        what: &impl Fn() -> String,
    ) -> Result<(), Refused> {
        let found = Version(self.os_version);
        if self.os_version == OsVersion::default() {
            return Ok(());
        }
        match (on.since, on.removed) {
            (Some(Since::Version(since)), _) if found < since => Err(Refused::TooOld {
                what: what(),
                system,
                since: since.0,
                found,
            }),
            (_, Some(removed)) if found >= removed => Err(Refused::Removed {
                what: what(),
                system,
                removed: removed.0,
                found,
            }),
            _ => Ok(()),
        }
    }

    fn has_channel(&self, on: &Conditions, what: &impl Fn() -> String) -> Result<(), Refused> {
        let shared = on.shared_ipad.unwrap_or_default();
        match (shared.mode, self.shared_ipad) {
            (Some(Mode::Forbidden), Some(true)) => return Err(Refused::SharedIPad { what: what() }),
            (Some(Mode::Required), Some(false)) => return Err(Refused::NotSharedIPad { what: what() }),
            _ => {}
        }
        // An iPad has users' channels only as a Shared iPad, and its rules for them stand there.
        let shared_ipad =
            self.shared_ipad == Some(true) || self.user_channel && System::from(self.platform) == System::IOS;
        let (device, user) = if shared_ipad {
            (shared.device_channel, shared.user_channel)
        } else {
            (on.device_channel, on.user_channel)
        };
        let (channel, open) = if self.user_channel {
            ("a user", user.unwrap_or(false))
        } else {
            ("the device", device.unwrap_or(true))
        };
        if open {
            return Ok(());
        }
        Err(Refused::Channel {
            what: what(),
            channel,
        })
    }

    /// Apple's schema has no plain device enrolment of Macs: since macOS 11 they are supervised by enrolling.
    fn is_supervised(&self) -> bool {
        match self.mode {
            // So are all that come automatically.
            _ if self.automated == Some(true) => true,
            EnrollmentMode::Supervised => true,
            EnrollmentMode::Device => self.platform == Platform::MacOS,
            EnrollmentMode::User => false,
        }
    }
}

#[cfg(test)]
mod tests;
