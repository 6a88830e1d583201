//! Whom something is for, and what of Apple's conditions they do not meet.

use std::fmt;

use super::conditions::{AccessRights, Conditions, Enrollments, Mode, Scopes, Since, System, Version};
use crate::api::common::{EnrollmentMode, Platform};
use crate::policy::platform::{DeviceClass, OsVersion};

/// A receiver. What is not known of it refuses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its system.
    pub platform: Platform,
    /// The system's version. Zero: not known.
    pub os_version: OsVersion,
    /// How it is managed. None: not known.
    pub mode: Option<EnrollmentMode>,
    /// The rights that were granted. None: of no matter. A User Enrollment has none and needs none.
    pub rights: Option<AccessRights>,
    /// Whether it is for the channel of one of its users. None: not known.
    pub user_channel: Option<bool>,
    /// Whether it is a Shared iPad. None: not known.
    pub shared_ipad: Option<bool>,
    /// Whether it came by Automated Device Enrollment. None: not known.
    pub automated: Option<bool>,
    /// Whether the person at a Mac has approved its management. None: not known.
    pub user_approved: Option<bool>,
}

impl Target {
    /// Devices of a system, of which no more is known.
    #[must_use]
    pub fn of(platform: Platform) -> Self {
        Self {
            platform,
            os_version: OsVersion::default(),
            mode: None,
            rights: None,
            user_channel: None,
            shared_ipad: None,
            automated: None,
            user_approved: None,
        }
    }

    /// Its system.
    #[must_use]
    pub fn system(&self) -> System {
        self.platform.into()
    }

    /// The first condition that it does not meet. `on` is None where its system does not have the thing.
    #[must_use]
    pub fn unmet(&self, on: Option<Conditions>) -> Option<Unmet> {
        let system = self.system();
        let Some(on) = on.filter(|on| on.since != Some(Since::Never)) else {
            return Some(Unmet::System { system });
        };
        self.version(&on)
            .or_else(|| self.enrolment(&on))
            .or_else(|| self.channel(&on))
            .or_else(|| {
                let ignored =
                    self.mode == Some(EnrollmentMode::User) && on.user_enrollment == Some(Mode::Ignored);
                ignored.then_some(Unmet::Ignored)
            })
    }

    fn version(&self, on: &Conditions) -> Option<Unmet> {
        let (system, found) = (self.system(), Version(self.os_version));
        if self.os_version == OsVersion::default() {
            return None;
        }
        match (on.since, on.removed) {
            (Some(Since::Version(since)), _) if found < since => Some(Unmet::TooOld {
                system,
                since: since.0,
                found: found.0,
            }),
            (_, Some(removed)) if found >= removed => Some(Unmet::Removed {
                system,
                removed: removed.0,
                found: found.0,
            }),
            _ => None,
        }
    }

    fn enrolment(&self, on: &Conditions) -> Option<Unmet> {
        match (self.mode, on.user_enrollment) {
            (Some(EnrollmentMode::User), Some(Mode::Forbidden)) => return Some(Unmet::UserEnrollment),
            (Some(EnrollmentMode::Device | EnrollmentMode::Supervised), Some(Mode::Required)) => {
                return Some(Unmet::System {
                    system: self.system(),
                });
            }
            _ => {}
        }
        if let (Some(mode), Some(allowed), Some(own)) = (self.mode, on.enrollments, self.enrollment())
            && !allowed.include(own)
        {
            return Some(Unmet::Enrollment { mode });
        }
        if on.supervised == Some(true) && self.is_supervised() == Some(false) {
            return Some(Unmet::Unsupervised);
        }
        if on.automated == Some(true) && self.automated == Some(false) {
            return Some(Unmet::NotAutomated);
        }
        if on.user_approved == Some(true) && self.user_approved == Some(false) {
            return Some(Unmet::NotApproved);
        }
        match (on.rights, self.rights) {
            (Some(needed), Some(granted))
                if self.mode != Some(EnrollmentMode::User) && !granted.include(needed) =>
            {
                Some(Unmet::Rights { needed })
            }
            _ => None,
        }
    }

    fn channel(&self, on: &Conditions) -> Option<Unmet> {
        let shared = on.shared_ipad.unwrap_or_default();
        match (shared.mode, self.shared_ipad) {
            (Some(Mode::Forbidden), Some(true)) => return Some(Unmet::SharedIPad),
            (Some(Mode::Required), Some(false)) => return Some(Unmet::NotSharedIPad),
            _ => {}
        }
        let for_user = self.user_channel?;
        // An iPad has users' channels only as a Shared iPad, and its rules for them stand there.
        let shared_ipad = self.shared_ipad == Some(true) || for_user && self.system() == System::IOS;
        let (device, user, scopes) = if shared_ipad {
            (shared.device_channel, shared.user_channel, shared.scopes)
        } else {
            (on.device_channel, on.user_channel, on.scopes)
        };
        let (channel, scope, open) = if for_user {
            ("a user", Scopes::USER, user.unwrap_or(false))
        } else {
            ("the device", Scopes::SYSTEM, device.unwrap_or(true))
        };
        let open = scopes.map_or(open, |scopes| scopes.include(scope));
        (!open).then_some(Unmet::Channel { channel })
    }

    /// Apple's schema has no plain device enrolment of Macs: since macOS 11 they are supervised by enrolling.
    fn enrollment(&self) -> Option<Enrollments> {
        Some(match self.mode? {
            EnrollmentMode::User => Enrollments::USER,
            EnrollmentMode::Device if self.platform != Platform::MacOS && self.automated != Some(true) => {
                Enrollments::DEVICE
            }
            EnrollmentMode::Device | EnrollmentMode::Supervised => Enrollments::SUPERVISED,
        })
    }

    fn is_supervised(&self) -> Option<bool> {
        // So are all that come automatically.
        if self.automated == Some(true) {
            return Some(true);
        }
        self.enrollment()
            .map(|enrollment| enrollment == Enrollments::SUPERVISED)
    }
}

impl From<&DeviceClass> for Target {
    fn from(class: &DeviceClass) -> Self {
        Self {
            os_version: class.os_version,
            mode: Some(class.mode),
            ..Self::of(class.platform)
        }
    }
}

/// A condition that is not met: what follows the name of the thing in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    /// Not on this channel.
    Channel {
        /// Which channel: `the device` or `a user`.
        channel: &'static str,
    },
    /// This kind of enrolment does not take it.
    Enrollment {
        /// Which.
        mode: EnrollmentMode,
    },
    /// A User Enrollment takes it, to no effect.
    Ignored,
    /// The person at the Mac did not approve its management.
    NotApproved,
    /// The device did not enrol automatically.
    NotAutomated,
    /// Only Shared iPads have it.
    NotSharedIPad,
    /// The system is too new.
    Removed {
        /// Where.
        system: System,
        /// The first version without it.
        removed: OsVersion,
        /// The version there is.
        found: OsVersion,
    },
    /// The enrolment lacks a right.
    Rights {
        /// The right.
        needed: AccessRights,
    },
    /// Shared iPads do not have it.
    SharedIPad,
    /// The system does not have it at all.
    System {
        /// Where.
        system: System,
    },
    /// The system is too old.
    TooOld {
        /// Where.
        system: System,
        /// The first version that has it.
        since: OsVersion,
        /// The version there is.
        found: OsVersion,
    },
    /// The device is not supervised.
    Unsupervised,
    /// A User Enrollment does not have it.
    UserEnrollment,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.demand())?;
        match self {
            Self::Removed { found, .. } | Self::TooOld { found, .. } => write!(f, "; the device has {found}"),
            _ => Ok(()),
        }
    }
}

impl Unmet {
    /// What is demanded, without what there is.
    #[must_use]
    pub fn demand(&self) -> String {
        match self {
            Self::Channel { channel } => format!("does not work on the channel of {channel}"),
            Self::Enrollment { mode } => format!("is not allowed in this kind of enrolment ({mode})"),
            Self::Ignored => "has no effect in a User Enrollment".to_owned(),
            Self::NotApproved => "needs management that the person at the Mac has approved".to_owned(),
            Self::NotAutomated => "needs Automated Device Enrollment".to_owned(),
            Self::NotSharedIPad => "needs a Shared iPad".to_owned(),
            Self::Removed { system, removed, .. } => format!("is no longer there since {system} {removed}"),
            Self::Rights { needed } => {
                format!("needs a right that the enrolment was not granted: {needed}")
            }
            Self::SharedIPad => "is not there on a Shared iPad".to_owned(),
            Self::System { system } => format!("is not there on {system}"),
            Self::TooOld { system, since, .. } => format!("needs {system} {since} or later"),
            Self::Unsupervised => "needs a supervised device".to_owned(),
            Self::UserEnrollment => "is not there in a User Enrollment".to_owned(),
        }
    }
}
