//! Enrolments: how they begin, what is known of them, how they end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::waking::PushRefusal;
use crate::api::common::{EnrollmentMode, Platform};
use crate::ids::{Digest, EnrollmentId, Namespace, PushTopic, SerialNumber};
use crate::mdm::commands::Target;
use crate::mdm::commands::table::AccessRights;
use crate::policy::{DeviceClass, Lacks, OsVersion};

/// The life of an enrolment.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString,
)]
pub enum EnrollmentState {
    /// Authenticate came; TokenUpdate has not.
    Authenticated,
    /// Active.
    Enrolled,
    /// To be told to remove its MDM profile at the next contact.
    Removing,
    /// Ended: checked out, removed or forgotten. Refused until invited again.
    Ended,
}

/// What Authenticate says of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// Who.
    pub enrollment: EnrollmentId,
    /// The fingerprint of the certificate it came with.
    pub certificate: Digest,
    /// The push topic of its MDM profile.
    pub topic: PushTopic,
    /// Its operating system.
    pub platform: Platform,
    /// How it is managed.
    pub mode: EnrollmentMode,
    /// Hardware, absent in a User Enrollment.
    pub serial_number: Option<SerialNumber>,
    /// The model identifier, such as `Mac16,10`.
    pub model: Option<String>,
    /// The operating system's version.
    pub os_version: String,
    /// Its build.
    pub build_version: Option<String>,
    /// Whether this system can be managed by declarations.
    pub declarative: bool,
}

/// One enrolment.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, as devices tell them"
)]
pub struct Enrollment {
    /// Who.
    pub id: EnrollmentId,
    /// The fleet.
    pub namespace: Namespace,
    /// Labels of the invitation, for the Device object.
    pub labels: BTreeMap<String, String>,
    /// Where it stands.
    pub state: EnrollmentState,
    /// The pinned certificate. Renewed ones count beside it until the first of them is used; see [`crate::store::Store::adopt`].
    pub certificate: Digest,
    /// Its operating system.
    pub platform: Platform,
    /// How it is managed.
    pub mode: EnrollmentMode,
    /// Hardware.
    pub serial_number: Option<SerialNumber>,
    /// The model identifier.
    pub model: Option<String>,
    /// The operating system's version, by the newest report.
    pub os_version: String,
    /// Its build.
    pub build_version: Option<String>,
    /// Whether it is managed by declarations.
    pub declarative: bool,
    /// What it says it does not take, of what its system has.
    pub lacks: Lacks,
    /// How often TokenUpdate came since Authenticate; 1 is the enrolling one. 0 of an enrolment that is active: it began at another server.
    pub token_updates: u32,
    /// When Authenticate came.
    pub enrolled_at: Timestamp,
    /// What it should hold.
    pub manifest: Option<Digest>,
    /// Since when it should.
    pub manifest_at: Option<Timestamp>,
    /// What it should have held before; served until the new one is reported.
    pub previous_manifest: Option<Digest>,
    /// What it was last told of; its declarations are served until it is told of another.
    pub advertised_manifest: Option<Digest>,
    /// What it last proved to hold.
    pub applied_manifest: Option<Digest>,
    /// Whether it waits in Setup Assistant to be told that it is configured.
    pub awaiting_configuration: bool,
    /// Whether its bootstrap token is in safe keeping.
    pub bootstrap_token: bool,
    /// Whether its unlock token is.
    pub unlock_token: bool,
    /// Why its push address is kept and not used, where it is not.
    pub push_refused: Option<PushRefusal>,
}

impl Enrollment {
    /// What decides which content it can take.
    #[must_use]
    pub fn class(&self) -> DeviceClass {
        DeviceClass {
            platform: self.platform,
            os_version: OsVersion::read(&self.os_version),
            mode: self.mode,
            declarative: self.declarative,
            lacks: self.lacks,
        }
    }

    /// What decides which commands it may be sent. The profiles that Provost hands out ask for all rights; who waits in Setup Assistant has come by
    /// Automated Device Enrollment.
    #[must_use]
    pub fn target(&self) -> Target {
        Target {
            platform: self.platform,
            os_version: OsVersion::read(&self.os_version),
            mode: self.mode,
            rights: AccessRights::ALL,
            user_channel: self.id.is_user(),
            shared_ipad: None,
            automated: self.awaiting_configuration.then_some(true),
        }
    }
}

/// What a device gives into safe keeping. Shown to nobody; that it is there is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Escrow {
    /// A Mac's, by which it authorises what otherwise needs an administrator's password.
    BootstrapToken,
    /// Of the other systems, by which a forgotten passcode is cleared.
    UnlockToken,
}

/// What a report says about the system. What it does not say stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemNews {
    /// Its version.
    pub os_version: Option<String>,
    /// Its build.
    pub build_version: Option<String>,
    /// What it does not take.
    pub lacks: Option<Lacks>,
}

impl SystemNews {
    /// Whether any of it is not known yet.
    #[must_use]
    pub fn is_news(&self, known: &Enrollment) -> bool {
        let Self {
            os_version,
            build_version,
            lacks,
        } = self;
        os_version
            .as_ref()
            .is_some_and(|version| *version != known.os_version)
            || build_version.is_some() && *build_version != known.build_version
            || lacks.is_some_and(|lacks| lacks != known.lacks)
    }
}

/// Why an enrolment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The device said CheckOut.
    CheckOut,
    /// The device removed its MDM profile, as it was told.
    Removed,
    /// A person had it forgotten; the device was not asked.
    Forgotten,
}

impl Ending {
    /// For people: in the history of the device and of its commands.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::CheckOut => "the device checked out",
            Self::Removed => "the device removed its enrolment, as it was told",
            Self::Forgotten => "the enrolment was forgotten: its Device was deleted with policy Orphan",
        }
    }

    /// Where the evidence comes from, as [`crate::store::Transition::evidence`].
    #[must_use]
    pub const fn evidence(self) -> &'static str {
        match self {
            Self::CheckOut | Self::Removed => "CheckIn",
            Self::Forgotten => "Policy",
        }
    }
}
