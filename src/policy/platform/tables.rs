//! Which system knows which declaration and status item, since when, in which kinds of enrolment: declarations by Apple's
//! [`schema`](crate::policy::schema), status items by a table here.
//!
//! A row's systems stand in the order iOS (and iPadOS), macOS, tvOS, visionOS, watchOS, each as `since:modes` with `s` (supervised),
//! `d` (device) and `u` (user), or `-`.

use super::{DeviceClass, OsVersion};
use crate::api::common::{EnrollmentMode, Platform};
use crate::policy::schema::{Schema, Scopes, Since, Target, TypeFacts, Unmet};

pub use crate::policy::schema::Apply;

/// What activations are called: the one kind of declaration that nobody writes by hand.
const ACTIVATIONS: &str = "com.apple.activation.";

/// A declaration type.
#[derive(Debug, Clone, Copy)]
pub struct DeclarationType {
    name: &'static str,
    facts: &'static TypeFacts,
    place: usize,
    /// How several of them act together.
    pub apply: Apply,
}

/// Whose channel brings a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// The device's.
    Device,
    /// Those of its users.
    Users,
    /// Either.
    Both,
}

/// A status item.
#[derive(Debug, Clone, Copy)]
pub struct StatusItem {
    /// Apple's name, such as `passcode.is-present`.
    pub name: &'static str,
    systems: &'static str,
    /// Its row.
    pub(super) place: usize,
}

impl DeclarationType {
    /// Apple's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.to_owned()
    }

    /// Whether devices of a class take it.
    ///
    /// # Errors
    /// Why they do not, for people.
    pub fn allows(&self, class: &DeviceClass) -> Result<(), String> {
        if !class.declarative {
            return Err("the device is not managed by declarations".to_owned());
        }
        let target = Target::from(class);
        let (name, platform) = (self.name, class.platform);
        match target.unmet(self.facts.on(target.system())) {
            None => {}
            Some(Unmet::System { .. }) => return Err(format!("{name} does not exist on {platform}")),
            Some(Unmet::TooOld { since, .. }) => return Err(format!("{name} needs {platform} {since}")),
            Some(unmet) => return Err(format!("{name} {unmet}")),
        }
        if class.lacks.declaration(self.place) {
            return Err(format!("the device says that it does not take {}", self.name));
        }
        Ok(())
    }

    /// Whose channel it belongs on. Of an iPad nobody says whether it is shared, so that what is the users' there is served on both: an
    /// iPad of one person has no users' channels, and a shared one has nothing to do with what its own channel brings.
    #[must_use]
    pub fn channels(&self, platform: Platform) -> Channels {
        let on = self.facts.on(platform.into()).unwrap_or_default();
        let users_alone = Some(Scopes::USER);
        match platform {
            Platform::MacOS if on.scopes == users_alone => Channels::Users,
            Platform::IPadOS if on.shared_ipad.and_then(|shared| shared.scopes) == users_alone => {
                Channels::Both
            }
            _ => Channels::Device,
        }
    }

    /// The first version of a platform that knows it.
    #[must_use]
    pub fn since(&self, platform: Platform) -> Option<OsVersion> {
        match self.facts.on(platform.into())?.since? {
            Since::Version(version) => Some(version.0),
            Since::Never => None,
        }
    }

    /// Whether there is a system that knows it.
    #[must_use]
    pub fn is_on_some_system(&self) -> bool {
        !self.facts.on.is_empty()
    }
}

/// `since` and modes of a platform in a row.
fn system(systems: &'static str, platform: Platform) -> Option<(&'static str, &'static str)> {
    let column = match platform {
        Platform::IOS | Platform::IPadOS => 0,
        Platform::MacOS => 1,
        Platform::TvOS => 2,
        Platform::VisionOS => 3,
        Platform::WatchOS => 4,
    };
    systems.split(' ').nth(column)?.split_once(':')
}

/// The letter of a class's enrolment. Apple's schema has no plain device enrolment of Macs: since macOS 11 they are
/// supervised by enrolling.
const fn letter(class: &DeviceClass) -> char {
    match (class.platform, class.mode) {
        (Platform::MacOS, EnrollmentMode::Device) | (_, EnrollmentMode::Supervised) => 's',
        (_, EnrollmentMode::Device) => 'd',
        (_, EnrollmentMode::User) => 'u',
    }
}

/// The first version of each system that can be managed by declarations.
pub(super) const BASE: &str = "15:sdu 13:su 16:sd 1.1:sdu 10:s";

/// The first version of a platform in a row.
pub(super) fn introduced(systems: &'static str, platform: Platform) -> Option<&'static str> {
    system(systems, platform).map(|(since, _)| since)
}

/// A declaration type by Apple's name.
#[must_use]
pub fn declaration_type(name: &str) -> Option<DeclarationType> {
    declaration_types().find(|row| row.name == name)
}

/// Every declaration type but activations.
pub fn declaration_types() -> impl Iterator<Item = DeclarationType> {
    let types = Schema::in_force().declarations.iter();
    types
        .filter(|(name, _)| !name.starts_with(ACTIVATIONS))
        .enumerate()
        .map(|(place, (name, facts))| DeclarationType {
            name,
            facts,
            place,
            // What Apple says nothing of, such as assets, acts for itself.
            apply: facts.apply.unwrap_or(Apply::Multiple),
        })
}

/// The status items that devices of a class report.
pub fn status_items(class: &DeviceClass) -> impl Iterator<Item = StatusItem> {
    let class = *class;
    STATUS_ITEMS
        .iter()
        .enumerate()
        .map(|(place, (name, systems))| StatusItem { name, systems, place })
        .filter(move |item| {
            let has = system(item.systems, class.platform).is_some_and(|(since, modes)| {
                class.os_version >= OsVersion::read(since) && modes.contains(letter(&class))
            });
            has && !class.lacks.item(item.place)
        })
}

/// The names of all status items, in the order of the table.
pub(super) fn item_names() -> impl Iterator<Item = &'static str> {
    STATUS_ITEMS.iter().map(|(name, _)| *name)
}

/// Of the device's own channel: the accounts on a Mac are told on the channels of its users.
#[rustfmt::skip]
const STATUS_ITEMS: &[(&str, &str)] = &[
    ("account.list.caldav", "16:sdu - - 1.1:sdu -"),
    ("account.list.carddav", "16:sdu - - 1.1:sdu -"),
    ("account.list.exchange", "16:sdu - - 1.1:sdu -"),
    ("account.list.google", "16:sdu - - 1.1:sdu -"),
    ("account.list.ldap", "16:sdu - - 1.1:sdu -"),
    ("account.list.mail.incoming", "16:sdu - - 1.1:sdu -"),
    ("account.list.mail.outgoing", "16:sdu - - 1.1:sdu -"),
    ("account.list.subscribed-calendar", "16:sdu - - 1.1:sdu -"),
    ("app.managed.list", "17.2:sdu 26:su - 2.4:sdu -"),
    ("device.identifier.serial-number", "16:sd 13:s 16:sd 1.1:sd 10:s"),
    ("device.identifier.udid", "16:sd 13:s 16:sd 1.1:sd 10:s"),
    ("device.model.family", "15:sdu 13:su 16:sd 1.1:sdu 10:s"),
    ("device.model.identifier", "15:sdu 13:su 16:sd 1.1:sdu 10:s"),
    ("device.model.marketing-name", "15:sdu 13:su 16:sd 1.1:sdu 10:s"),
    ("device.model.number", "17:sdu 14:su 17:sd 1.1:sdu 10:s"),
    ("device.operating-system.build-version", "15:sdu 13:su 16:sd 1.1:sdu 10:s"),
    ("device.operating-system.family", "15:sdu 13:su 16:sd 1.1:sdu 10:s"),
    ("device.operating-system.marketing-name", "15:sdu 13:su 16:sd 1.1:sdu 10:s"),
    ("device.operating-system.supplemental.build-version", "16.1:sdu 13:su 16.1:sd 1.1:sdu 10:s"),
    ("device.operating-system.supplemental.extra-version", "16.1:sdu 13:su 16.1:sd 1.1:sdu 10:s"),
    ("device.operating-system.version", "15:sdu 13:su 16:sd 1.1:sdu 10:s"),
    ("device.power.battery-health", "17:sd 14.4:s - - -"),
    ("diskmanagement.filevault.enabled", "- 14:s - - -"),
    ("management.client-capabilities", "15:sdu 13:su 16:sd 1.1:sdu 10:s"),
    ("management.declarations", "15:sdu 13:su 16:sd 1.1:sdu 10:s"),
    ("mdm.app", "16:sdu - 16:sd 1.1:sdu 10:s"),
    ("mdm.enrollment-type", "27:sdu 27:sdu 27:sdu 27:sdu 27:sdu"),
    ("migration-assistant.report", "- 26.4:s - - -"),
    ("migration-assistant.state", "- 26.4:s - - -"),
    ("package.list", "- 26:s - - -"),
    ("passcode.is-compliant", "16:sdu - - 1.1:sdu 10:s"),
    ("passcode.is-present", "16:sdu - - 1.1:sdu 10:s"),
    ("screensharing.connection.group.unresolved-connection", "- 14.1:su - - -"),
    ("security.certificate.list", "17:sdu 14:su 17:sd 1.1:sdu 10:s"),
    ("security.lockdown-mode", "27:s 27:s - - 27:s"),
    ("services.background-task", "- 14:s - - -"),
    ("softwareupdate.beta-enrollment", "18:sd 15:s - - -"),
    ("softwareupdate.device-id", "18:sd 15:s - - -"),
    ("softwareupdate.failure-reason", "17:sd 14:s - - -"),
    ("softwareupdate.install-reason", "17:sd 14:s - - -"),
    ("softwareupdate.install-state", "17:sd 14:s - - -"),
    ("softwareupdate.pending-version", "17:sd 14:s - - -"),
];
