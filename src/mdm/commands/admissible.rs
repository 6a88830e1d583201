//! Whether a device may be sent a command: asked before it is queued, so that what cannot work fails with a reason instead of on the device.
//!
//! Pure. What is not known of a device (its version, whether it is a Shared iPad) refuses nothing. A command that the table does not know is
//! refused only where it would harm a personal device.
//!
//! Specification: `supportedOS` of Apple's schema, for the command and for each key in it; `AccessRights` of the MDM payload.

use plist::{Dictionary, Value};

use super::class::{managed_only, spares_personal_devices};
use super::table::{self, AccessRights, Conditions, DISCRIMINATOR, Key, Keys, Kind, Since, System};
use crate::api::common::{EnrollmentMode, Platform};
use crate::policy::OsVersion;
use crate::policy::schema::{self, Unmet};

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
    /// The device does not meet a condition of it.
    #[error("{what} {unmet}")]
    Unmet {
        /// What.
        what: String,
        /// The condition.
        unmet: Unmet,
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
            .keys
            .get(key)
            .is_some_and(|key| is_there(key, system, conditions))
        && arguments.get(key).and_then(Value::as_boolean) != Some(true)
    {
        return Err(Refused::PersonalInventory { request_type, key });
    }
    let Some(conditions) = conditions else {
        return Ok(());
    };
    keys(&facts.keys, arguments, &conditions, target, &|name| {
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
    keys: &Keys,
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
                if let Some(kind) = table::item(&key.keys, discriminator) {
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
        match schema::Target::from(self).unmet(conditions) {
            // What does nothing does no harm: a person asked for it.
            None | Some(Unmet::Ignored) => Ok(()),
            Some(unmet) => Err(Refused::Unmet { what: what(), unmet }),
        }
    }
}

impl From<&Target> for schema::Target {
    fn from(target: &Target) -> Self {
        Self {
            os_version: target.os_version,
            mode: Some(target.mode),
            rights: Some(target.rights),
            user_channel: Some(target.user_channel),
            shared_ipad: target.shared_ipad,
            automated: target.automated,
            ..Self::of(target.platform)
        }
    }
}

#[cfg(test)]
mod tests;
