//! Which systems take a type or a key, and what they demand for it.
//!
//! Specification: `supportedOS` of Apple's schema. Conditions of a key lie over those of what it is part of, attribute by attribute.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::common::Platform;
use crate::policy::platform::OsVersion;

/// An operating system, as Apple's schema tells them apart.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
)]
pub enum System {
    /// iOS and iPadOS.
    #[serde(rename = "iOS")]
    #[strum(serialize = "iOS")]
    IOS,
    /// macOS.
    #[serde(rename = "macOS")]
    #[strum(serialize = "macOS")]
    MacOS,
    /// tvOS.
    #[serde(rename = "tvOS")]
    #[strum(serialize = "tvOS")]
    TvOS,
    /// visionOS.
    #[serde(rename = "visionOS")]
    #[strum(serialize = "visionOS")]
    VisionOS,
    /// watchOS.
    #[serde(rename = "watchOS")]
    #[strum(serialize = "watchOS")]
    WatchOS,
}

impl From<Platform> for System {
    fn from(platform: Platform) -> Self {
        match platform {
            Platform::IOS | Platform::IPadOS => Self::IOS,
            Platform::MacOS => Self::MacOS,
            Platform::TvOS => Self::TvOS,
            Platform::VisionOS => Self::VisionOS,
            Platform::WatchOS => Self::WatchOS,
        }
    }
}

/// A version of a system, in the table as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Version(pub OsVersion);

impl From<String> for Version {
    fn from(text: String) -> Self {
        Self(OsVersion::read(&text))
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0.to_string()
    }
}

/// Since when a system has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Since {
    /// It never had.
    Never,
    /// Since this version.
    Version(Version),
}

impl From<String> for Since {
    fn from(text: String) -> Self {
        if text == "never" {
            Self::Never
        } else {
            Self::Version(text.into())
        }
    }
}

impl From<Since> for String {
    fn from(since: Since) -> Self {
        match since {
            Since::Never => "never".to_owned(),
            Since::Version(version) => version.into(),
        }
    }
}

/// What a kind of enrolment means for a type or a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::EnumString)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "lowercase")]
pub enum Mode {
    /// It may be used.
    Allowed,
    /// It is refused.
    Forbidden,
    /// It has no effect.
    Ignored,
    /// It may be used only here.
    Required,
}

/// What a Shared iPad means for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SharedIPad {
    /// Whether it may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Whether on the channel of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_channel: Option<bool>,
    /// Whether on that of its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_channel: Option<bool>,
    /// Where its declaration may be active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
}

/// A set of words, in the table as one text with blanks between them.
macro_rules! words {
    ($(#[$docs:meta])* $name:ident: $type:ty { $($(#[$doc:meta])* $constant:ident = $bit:literal $word:literal),+ $(,)? }) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name($type);

        impl $name {
            $($(#[$doc])* pub const $constant: Self = Self($bit);)+
            const WORDS: &[(Self, &str)] = &[$((Self::$constant, $word)),+];

            /// Whether all of `other` is among these.
            #[must_use]
            pub const fn include(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// These and those of `other`.
            #[must_use]
            pub const fn and(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// By the schema's word for it.
            #[must_use]
            pub fn named(word: &str) -> Option<Self> {
                Self::WORDS.iter().find(|(_, known)| *known == word).map(|(set, _)| *set)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let held = Self::WORDS.iter().filter(|(set, _)| self.include(*set));
                for (place, (_, word)) in held.enumerate() {
                    write!(f, "{}{word}", if place == 0 { "" } else { " " })?;
                }
                Ok(())
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.split_ascii_whitespace().try_fold(Self::default(), |set, word| {
                    Self::named(word)
                        .map(|known| set.and(known))
                        .ok_or_else(|| format!("`{word}` is not among {}", Self::WORDS.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(", ")))
                })
            }
        }

        impl From<$name> for String {
            fn from(set: $name) -> Self {
                set.to_string()
            }
        }
    };
}

words! {
    /// Kinds of enrolment that take a declaration.
    Enrollments: u8 {
        /// Supervised.
        SUPERVISED = 1 "supervised",
        /// By a device enrolment, not supervised.
        DEVICE = 2 "device",
        /// By a User Enrollment.
        USER = 4 "user",
        /// Not by a server.
        LOCAL = 8 "local",
    }
}

words! {
    /// Where a declaration may be active.
    Scopes: u8 {
        /// For the device.
        SYSTEM = 1 "system",
        /// For one of its users.
        USER = 2 "user",
    }
}

/// Conditions on one system. What is absent is as in what lies below, or of no matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Conditions {
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
    /// Apple advises against it since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<Version>,
    /// The first version without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Version>,
    /// The right that the enrolment must have been granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<AccessRights>,
    /// Whether the device must be supervised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervised: Option<bool>,
    /// Whether it must have enrolled by Automated Device Enrollment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automated: Option<bool>,
    /// Whether the person at a Mac must have approved its management.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_approved: Option<bool>,
    /// Whether a device may have several of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiple: Option<bool>,
    /// Whether the device's channel takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_channel: Option<bool>,
    /// Whether a user's channel takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_channel: Option<bool>,
    /// The kinds of enrolment that take it, of a declaration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrollments: Option<Enrollments>,
    /// Where it may be active, of a declaration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
    /// What a User Enrollment means for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_enrollment: Option<Mode>,
    /// What a Shared iPad means for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_ipad: Option<SharedIPad>,
}

impl Conditions {
    /// These over those of what this is part of.
    #[must_use]
    pub fn over(&self, below: &Self) -> Self {
        let shared_ipad = match (self.shared_ipad, below.shared_ipad) {
            (Some(own), Some(below)) => Some(SharedIPad {
                mode: own.mode.or(below.mode),
                device_channel: own.device_channel.or(below.device_channel),
                user_channel: own.user_channel.or(below.user_channel),
                scopes: own.scopes.or(below.scopes),
            }),
            (own, below) => own.or(below),
        };
        Self {
            since: self.since.or(below.since),
            deprecated: self.deprecated.or(below.deprecated),
            removed: self.removed.or(below.removed),
            rights: self.rights.or(below.rights),
            supervised: self.supervised.or(below.supervised),
            automated: self.automated.or(below.automated),
            user_approved: self.user_approved.or(below.user_approved),
            multiple: self.multiple.or(below.multiple),
            device_channel: self.device_channel.or(below.device_channel),
            user_channel: self.user_channel.or(below.user_channel),
            enrollments: self.enrollments.or(below.enrollments),
            scopes: self.scopes.or(below.scopes),
            user_enrollment: self.user_enrollment.or(below.user_enrollment),
            shared_ipad,
        }
    }
}

/// What the person agreed to when the device enrolled: the `AccessRights` of the MDM payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccessRights(pub u32);

/// Each right: its bit, and what it allows.
const RIGHTS: [(u32, &str); 13] = [
    (1, "inspect installed profiles"),
    (2, "install and remove profiles"),
    (4, "lock the device and remove its passcode"),
    (8, "erase the device"),
    (16, "query device information"),
    (32, "query network information"),
    (64, "inspect provisioning profiles"),
    (128, "install and remove provisioning profiles"),
    (256, "inspect installed apps"),
    (512, "query restrictions"),
    (1024, "query security information"),
    (2048, "change settings"),
    (4096, "manage apps"),
];

impl AccessRights {
    /// None.
    pub const NONE: Self = Self(0);
    /// All there are.
    pub const ALL: Self = Self(8191);

    /// Whether all of `needed` is among these.
    #[must_use]
    pub const fn include(self, needed: Self) -> bool {
        self.0 & needed.0 == needed.0
    }
}

impl fmt::Display for AccessRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = RIGHTS.iter().filter(|(bit, _)| self.0 & bit != 0);
        for (place, (_, words)) in held.enumerate() {
            write!(f, "{}{words}", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
