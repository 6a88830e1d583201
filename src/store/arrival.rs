//! Enrolments that come from another server.

use std::collections::BTreeMap;

use super::waking::PushAddress;
use crate::api::common::{EnrollmentMode, Platform};
use crate::ids::{Digest, EnrollmentId, Namespace, PushTopic, SerialNumber};
use crate::secret::Secret;

/// An enrolment that began at another server, as its records tell.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Who. Of a user's channel everything but the push address is its device's.
    pub enrollment: EnrollmentId,
    /// The fleet.
    pub namespace: Namespace,
    /// Labels, for the Device object.
    pub labels: BTreeMap<String, String>,
    /// The fingerprint of the certificate that it comes with. Every device has one, and no user.
    pub certificate: Option<Digest>,
    /// Its operating system.
    pub platform: Platform,
    /// How it is managed.
    pub mode: EnrollmentMode,
    /// Hardware.
    pub serial_number: Option<SerialNumber>,
    /// The model identifier.
    pub model: Option<String>,
    /// The operating system's version.
    pub os_version: String,
    /// Whether this system can be managed by declarations.
    pub declarative: bool,
    /// The topic of its MDM profile.
    pub topic: Option<PushTopic>,
    /// How to wake it. None: that is not known, or known already.
    pub push: Option<PushAddress>,
    /// What was in safe keeping. None: nothing, or that is known already.
    pub unlock_token: Option<Secret<Vec<u8>>>,
    /// Likewise.
    pub bootstrap_token: Option<Secret<Vec<u8>>>,
}

/// What became of an arrival, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// It is enrolled here from now on.
    New,
    /// It had arrived before, otherwise.
    Changed,
    /// It had arrived before, and just so.
    Same,
    /// It speaks for itself: it has been in contact with this server, or has ended here. Nothing was changed.
    Left,
}

/// Why an enrolment of another server cannot go on here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// A device without a certificate could never speak.
    #[error("a device needs the certificate that it comes with")]
    NoCertificate,
    /// A certificate speaks for one device.
    #[error("the certificate belongs to another enrolment, or was issued here")]
    CertificateTaken,
    /// Both would be one Device object.
    #[error("another enrolment has this id in another spelling")]
    NameTaken,
    /// A user's channel belongs to a device.
    #[error("its device is not enrolled here")]
    NoDevice,
    /// More than any device has.
    #[error("its device has too many users")]
    TooManyUsers,
}
