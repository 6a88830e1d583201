//! Invitations, and the certificates that are issued on them and renewed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::ids::{Digest, EnrollmentId, Namespace, SerialNumber};

/// The right to enrol one device, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The SHA-256 of the challenge; the challenge itself is never stored.
    pub challenge: Digest,
    /// The fleet that the device will belong to.
    pub namespace: Namespace,
    /// Labels of the Device object.
    pub labels: BTreeMap<String, String>,
    /// The only hardware that may use it.
    pub serial_number: Option<SerialNumber>,
    /// The only enrolment that may use it.
    pub udid: Option<EnrollmentId>,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Why an invitation cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such challenge.
    #[error("the challenge is unknown")]
    Unknown,
    /// Used before.
    #[error("the challenge has been used")]
    Used,
    /// Too late.
    #[error("the challenge has expired")]
    Expired,
    /// It is bound to another device.
    #[error("the challenge is for another device")]
    WrongDevice,
    /// The certificate was not issued here for this device, or has been withdrawn.
    #[error("the certificate does not belong to this device")]
    WrongCertificate,
    /// The certificate that asks to be renewed ran out more than [`RENEWAL_GRACE`] ago.
    #[error("the certificate ran out too long ago to be renewed")]
    RanOut,
}

/// How long after its end a pinned certificate may still be renewed, and nothing else: a quarter of a year in a drawer.
pub const RENEWAL_GRACE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// How long the certificate before is accepted once the renewed one has been used: what is under way is not cut off.
pub const PIN_OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// An identity certificate, issued on an invitation or on proof by the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The SHA-256 of its DER.
    pub fingerprint: Digest,
    /// The SHA-256 of the public key in it, as SubjectPublicKeyInfo.
    pub key: Digest,
    /// The enrolment it was issued for. None: nobody has said; the first that shows it at Authenticate makes it, and its invitation, its own.
    pub enrollment: Option<EnrollmentId>,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// The fleet, from the invitation.
    pub namespace: Namespace,
    /// Labels, from the invitation.
    pub labels: BTreeMap<String, String>,
    /// The hardware it is bound to, from the invitation.
    pub serial_number: Option<SerialNumber>,
}

/// A certificate in the place of another that was never used; what is not here is that one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reissued {
    /// The SHA-256 of its DER.
    pub fingerprint: Digest,
    /// The SHA-256 of the public key in it, as SubjectPublicKeyInfo.
    pub key: Digest,
    /// The end of its validity.
    pub not_after: Timestamp,
}
