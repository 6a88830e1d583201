//! The store: what the device plane needs to remember, as a port with adapters.
//!
//! Both planes meet here. Controllers write manifests, pointers and commands; the gateway writes enrolments, reports and
//! results; [`Store::changes`] wakes the other side. Every method that changes something is one transaction and returns after it is
//! durable. Secrets (push tokens, push magics, what devices give into safe keeping) are sealed by the adapter and never stand in clear in the database.
//!
//! A user's channel is an enrolment of its own ([`EnrollmentId::is_user`]): its own queue, push address, pointers and facts. It belongs to its
//! device, whose certificate speaks for it, and ends with it.

#[cfg(test)]
mod contract;
pub mod sqlite;
mod to_many;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::api::common::{EnrollmentMode, Platform};
use crate::compliance::Facts;
pub use crate::compliance::{Transition, Verdicts};
use crate::ids::{CommandUuid, Digest, EnrollmentId, Namespace, PushTopic, SerialNumber};
use crate::mdm::command::{Cause, FinalState, NewCommand, OfferedCommand, PendingCommand, ReportStatus};
use crate::mdm::commands::Target;
use crate::mdm::commands::table::AccessRights;
use crate::policy::{DeviceClass, Lacks, Manifest, OsVersion};
use crate::secret::Secret;

pub use to_many::{Broadcast, CHUNK, broadcast};

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed. Nothing was changed; the caller may try again.
    #[error("the store could not {action}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// The adapter's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stored value cannot be read: a defect, or a damaged file.
    #[error("the store holds a damaged {what}")]
    Damaged {
        /// What is damaged.
        what: &'static str,
        /// How that was noticed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Devices cannot be pointed at a manifest before it is kept. Nothing was changed.
    #[error("manifest {0} is not in the store; keep it before pointing devices at it")]
    NoManifest(Digest),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

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

/// How to wake a device.
#[derive(Debug, Clone)]
pub struct PushAddress {
    /// The topic of its MDM profile.
    pub topic: PushTopic,
    /// Its push token.
    pub token: Secret<Vec<u8>>,
    /// What to say to it.
    pub magic: Secret<String>,
}

/// Why the push service does not take the push address of an enrolment, in Apple's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString, strum::Display)]
pub enum PushRefusal {
    /// The token is none of the service's.
    BadDeviceToken,
    /// The token is of another topic.
    DeviceTokenNotForTopic,
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
    /// The pinned certificate. Renewed ones count beside it until the first of them is used; see [`Store::adopt`].
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

/// A command that was not queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotQueued {
    /// For whom it was.
    pub enrollment: EnrollmentId,
    /// Why it was not.
    pub reason: NotQueuedReason,
}

/// Why a command was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotQueuedReason {
    /// Nobody of this id ever enrolled.
    #[error("no such enrolment")]
    Unknown,
    /// The enrolment is over.
    #[error("the enrolment has ended")]
    Ended,
    /// It is a personal device, and the command would erase, open or locate it.
    #[error("the command is never sent to a personal device")]
    Personal,
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

    /// Where the evidence comes from, as [`Transition::evidence`].
    #[must_use]
    pub const fn evidence(self) -> &'static str {
        match self {
            Self::CheckOut | Self::Removed => "CheckIn",
            Self::Forgotten => "Policy",
        }
    }
}

/// What became of a report on a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportOutcome {
    /// The command has ended by this report.
    Ended {
        /// How.
        state: FinalState,
        /// What it was.
        request_type: Arc<str>,
    },
    /// The command waits for the device's next Idle.
    Deferred,
    /// Unknown, ended before, or of a status that nobody knows: nothing changed.
    AlreadyKnown,
}

/// One ended command, as history keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandResult {
    /// Its UUID.
    pub uuid: CommandUuid,
    /// Apple's `RequestType`.
    pub request_type: Arc<str>,
    /// How it ended.
    pub state: FinalState,
    /// Why it ended so.
    pub cause: Cause,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// A change of facts; returns whether anything but time changed.
pub type FactsChange = Box<dyn FnOnce(&mut Facts) -> bool + Send>;

/// Something that the other plane may want to look at. Lost ones do no harm: readers look again at everything when they lag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An enrolment began, changed or ended.
    Enrollment(EnrollmentId),
    /// A device reported facts.
    Facts(EnrollmentId),
    /// A device has pending commands or a new manifest: wake it.
    Work(EnrollmentId),
}

/// The port. `now` is always the caller's clock.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // ---- the right to enrol

    /// Keeps an invitation.
    async fn invite(&self, invitation: Invitation) -> Result<(), StoreError>;

    /// The invitation of a challenge, if `enrollment` may use it now with `key`. Changes nothing: a check before a certificate is made. Without an
    /// enrolment, whoever holds the challenge is taken for the one that it is for.
    ///
    /// A used invitation still is good for the enrolment and key it was used for, a few times, until one of the certificates issued on it has
    /// begun an enrolment: the answer to a request may get lost.
    async fn invitation(
        &self,
        challenge: Digest,
        enrollment: Option<&EnrollmentId>,
        key: Digest,
        now: Timestamp,
    ) -> Result<Result<Invitation, Refusal>, StoreError>;

    /// Uses an invitation up and records the certificate issued on it, or neither; under the conditions of [`Self::invitation`].
    async fn issue(
        &self,
        challenge: Digest,
        certificate: IssuedCertificate,
        now: Timestamp,
    ) -> Result<Result<(), Refusal>, StoreError>;

    /// Records a certificate in the place of `by`, one that has begun no enrolment yet: on the same invitation, for the same device. Refused where
    /// there is no such certificate, or where that has happened a few times.
    async fn reissue(
        &self,
        by: Digest,
        certificate: Reissued,
        now: Timestamp,
    ) -> Result<Result<(), Refusal>, StoreError>;

    /// The certificate (DER) that was the answer to a message, by the digest of the message.
    async fn answer(&self, message: Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a certificate (DER) as the answer to a message, at least until `until`. Gives the one to answer with: whichever was kept first.
    async fn keep_answer(
        &self,
        message: Digest,
        certificate: Vec<u8>,
        until: Timestamp,
    ) -> Result<Vec<u8>, StoreError>;

    /// Records a certificate that renews the one that asks, or refuses. `by` is the fingerprint of the pinned certificate that asks, which the
    /// caller has seen proof of; it may have run out by up to [`RENEWAL_GRACE`], which gives it no other right. Of `certificate`, the
    /// enrolment has to be the same; fleet, labels and serial number are the enrolment's, whatever the caller has made of them.
    ///
    /// Both are accepted until the renewed one is first used ([`Self::adopt`]). A few renewals may be open at a time, since answers get
    /// lost; of more, the oldest are withdrawn.
    async fn renew(
        &self,
        by: Digest,
        certificate: IssuedCertificate,
        now: Timestamp,
    ) -> Result<Result<(), Refusal>, StoreError>;

    // ---- enrolments

    /// A new enrolment begins: refused unless the certificate was issued for this enrolment, has not run out and is not withdrawn, and the
    /// serial number fits the invitation. An enrolment that is pinned to another certificate gives way only to one issued after it, that is on a new
    /// invitation; the old pin is withdrawn. The pin itself is accepted again, unless the enrolment is to be removed. An id that gives the same
    /// Device name as another's is refused. Clears queue, push address, facts, verdicts, manifest pointers and what was in safe keeping of the
    /// enrolment before, and ends the device's users; keeps history.
    ///
    /// On a renewed certificate nothing begins and nothing is cleared: the device has installed its profile again to get it. It is the way in
    /// which a certificate was issued that decides, not what waits for the device.
    async fn authenticate(
        &self,
        authentication: Authentication,
        now: Timestamp,
    ) -> Result<Result<Enrollment, Refusal>, StoreError>;

    /// Keeps a push address and counts the TokenUpdate; `Authenticated` becomes `Enrolled`, which is recorded as a transition. What waits for the device is told as
    /// [`Change::Work`]: it could not be woken for it, or was woken at an address that is no longer good. None: no such enrolment, or it has ended.
    ///
    /// A user's channel begins here, and begins anew after its end, as long as its device is enrolled and has not too many. It is of the device's fleet.
    async fn token_update(
        &self,
        enrollment: &EnrollmentId,
        push: PushAddress,
        now: Timestamp,
    ) -> Result<Option<Enrollment>, StoreError>;

    /// What [`Self::take_over`] would make of each arrival, on its own. Changes nothing.
    async fn weigh_arrivals(
        &self,
        arrivals: Arc<[Arrival]>,
    ) -> Result<Vec<Result<Arrived, NotTaken>>, StoreError>;

    /// Takes over enrolments that began at another server, all in one transaction; says of each what became of it. One that cannot be taken does not
    /// keep the others from it. A device comes with its certificate, which is pinned to it, and is `Enrolled` without Authenticate and TokenUpdate; a
    /// user comes after its device. Secrets are sealed as those that devices send; one that is not given leaves what is kept.
    ///
    /// Who has been in contact since knows better than the other server's records, and is left as it is.
    async fn take_over(
        &self,
        arrivals: Arc<[Arrival]>,
        now: Timestamp,
    ) -> Result<Vec<Result<Arrived, NotTaken>>, StoreError>;

    /// One enrolment, ended ones included.
    async fn enrollment(&self, id: &EnrollmentId) -> Result<Option<Enrollment>, StoreError>;

    /// The enrolment that a certificate is good for: its pin (ended enrolments included), one that renews the pin, or the pin before while
    /// they overlap. The hot path of every request, and so shared with what is kept in memory.
    async fn enrollment_by_certificate(
        &self,
        fingerprint: Digest,
        now: Timestamp,
    ) -> Result<Option<Arc<Enrollment>>, StoreError>;

    /// A renewed certificate has been used: from now on it is the pin, and the one before is accepted for [`PIN_OVERLAP`] longer; renewed ones
    /// issued before it are withdrawn. None, and nothing done, for every other certificate.
    async fn adopt(&self, fingerprint: Digest, now: Timestamp) -> Result<Option<Enrollment>, StoreError>;

    /// Enrolments of devices in the order of their ids, after `after`, at most `limit`.
    async fn enrollments(
        &self,
        after: Option<&EnrollmentId>,
        limit: usize,
    ) -> Result<Vec<Enrollment>, StoreError>;

    /// The users' channels of a device, ended ones included, in the order of their ids.
    async fn users(&self, device: &EnrollmentId) -> Result<Vec<Enrollment>, StoreError>;

    /// Ends an enrolment: all its certificates withdrawn, queue cleared, push address, manifest pointers and what was in safe keeping dropped. Facts
    /// and verdicts stay as they were last; the end is recorded as a transition. With a device its users end. False: it had ended before or never was.
    async fn end(
        &self,
        enrollment: &EnrollmentId,
        ending: Ending,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Marks an enrolment for removal at the next contact, records that as a transition, and has it woken. False: there is none, or it has
    /// ended.
    async fn remove_at_next_contact(
        &self,
        enrollment: &EnrollmentId,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Keeps what a report says about the system (`DeviceInformation`, status items).
    async fn update_system(&self, enrollment: &EnrollmentId, news: SystemNews) -> Result<(), StoreError>;

    /// How to wake a device. None: it has no push address, or the enrolment has ended.
    async fn push_address(&self, enrollment: &EnrollmentId) -> Result<Option<PushAddress>, StoreError>;

    /// The push topic of an enrolment's MDM profile, as far as it is known.
    async fn push_topic(&self, enrollment: &EnrollmentId) -> Result<Option<PushTopic>, StoreError>;

    /// The push topics of enrolments that have not ended, as far as they are known, and how many devices have each.
    async fn push_topics(&self) -> Result<BTreeMap<PushTopic, u32>, StoreError>;

    /// Forgets a push address that APNs calls unregistered. False, and nothing done, when the device has sent another token meanwhile, or this one
    /// after the moment `since` which APNs speaks of.
    async fn drop_push_address(
        &self,
        enrollment: &EnrollmentId,
        token: &[u8],
        since: Option<Timestamp>,
    ) -> Result<bool, StoreError>;

    /// Notes that APNs does not take a push address, which is kept; unless the device has sent another token meanwhile. A push address that comes
    /// ends it, be it the same.
    async fn refuse_push_address(
        &self,
        enrollment: &EnrollmentId,
        token: &[u8],
        refusal: PushRefusal,
    ) -> Result<(), StoreError>;

    /// Push addresses that were refused are no longer held to be: the reason may have gone. Returns how many.
    async fn readmit_push_addresses(&self) -> Result<usize, StoreError>;

    /// Takes something into safe keeping, in place of what was there; None: gives it up. False: no such enrolment, or it has ended.
    async fn keep_escrow(
        &self,
        enrollment: &EnrollmentId,
        kind: Escrow,
        secret: Option<Secret<Vec<u8>>>,
    ) -> Result<bool, StoreError>;

    /// What is in safe keeping for an enrolment.
    async fn escrow(
        &self,
        enrollment: &EnrollmentId,
        kind: Escrow,
    ) -> Result<Option<Secret<Vec<u8>>>, StoreError>;

    /// Keeps whether an enrolment waits in Setup Assistant. Nothing changes for one that is unknown or has ended.
    async fn await_configuration(&self, enrollment: &EnrollmentId, awaiting: bool) -> Result<(), StoreError>;

    /// Enrolments that have waited in Setup Assistant since `before` or longer, the longest first, at most `limit`; users' channels too.
    async fn awaiting_configuration(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<Enrollment>, StoreError>;

    /// Keeps when devices were last heard of; called in batches.
    async fn seen(&self, times: &[(EnrollmentId, Timestamp)]) -> Result<(), StoreError>;

    /// When a device was last heard of.
    async fn last_seen(&self, enrollment: &EnrollmentId) -> Result<Option<Timestamp>, StoreError>;

    // ---- the command queue

    /// Queues commands, all in one transaction, collapsing equal intents. Those that cannot be queued are returned, and do not keep the others
    /// from it. For a great many see [`broadcast()`].
    async fn enqueue(&self, commands: Vec<NewCommand>, now: Timestamp) -> Result<Vec<NotQueued>, StoreError>;

    /// Withdraws a pending command, for the `reason` that history will give. False: it is not pending. One that the device has been given
    /// already may be carried out all the same; its report then changes nothing.
    async fn cancel(
        &self,
        enrollment: &EnrollmentId,
        uuid: &CommandUuid,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// The next command for a device that went idle (`Idle`) or has just reported. `idle` offers again what answered NotNow. Expires what is
    /// past its deadline. Writes nothing where nothing is pending.
    async fn next_command(
        &self,
        enrollment: &EnrollmentId,
        idle: bool,
        now: Timestamp,
    ) -> Result<Option<OfferedCommand>, StoreError>;

    /// Takes a report on a command. Idempotent.
    async fn report(
        &self,
        enrollment: &EnrollmentId,
        uuid: &CommandUuid,
        status: &ReportStatus,
        now: Timestamp,
    ) -> Result<ReportOutcome, StoreError>;

    /// As [`Self::report`], and then as [`Self::next_command`] for one that has just reported, in one transaction: what devices do most.
    async fn report_and_next(
        &self,
        enrollment: &EnrollmentId,
        uuid: &CommandUuid,
        status: &ReportStatus,
        now: Timestamp,
    ) -> Result<(ReportOutcome, Option<OfferedCommand>), StoreError>;

    /// What is pending for a device, in the order of delivery.
    async fn pending(&self, enrollment: &EnrollmentId) -> Result<Vec<PendingCommand>, StoreError>;

    /// The devices that have something pending or are to be told to go, in the order of their ids, after `after`, at most `limit`.
    async fn with_pending(
        &self,
        after: Option<&EnrollmentId>,
        limit: usize,
    ) -> Result<Vec<EnrollmentId>, StoreError>;

    /// The last ended commands of a device, newest first.
    async fn results(
        &self,
        enrollment: &EnrollmentId,
        limit: usize,
    ) -> Result<Vec<CommandResult>, StoreError>;

    // ---- desired state

    /// Keeps a manifest under its id. Keeping it twice is keeping it once.
    async fn keep_manifest(&self, manifest: Arc<Manifest>) -> Result<(), StoreError>;

    /// A manifest. Adapters keep the ones in use in memory.
    async fn manifest(&self, id: Digest) -> Result<Option<Arc<Manifest>>, StoreError>;

    /// Points devices at manifests, all in one transaction; a pointer that stands right already is not written, nor one of an enrolment that
    /// is unknown or has ended. Returns how many were. A manifest must be kept first ([`StoreError::NoManifest`]).
    async fn point(&self, pointers: &[(EnrollmentId, Digest)], now: Timestamp) -> Result<usize, StoreError>;

    /// Records which manifest a device was told of (`declaration-items`). Nothing happens where there is no enrolment, or it has ended.
    async fn advertise(&self, enrollment: &EnrollmentId, manifest: Digest) -> Result<(), StoreError>;

    /// Records that a device has proved to hold a manifest. True: that is news.
    async fn applied(&self, enrollment: &EnrollmentId, manifest: Digest) -> Result<bool, StoreError>;

    /// Removes manifests that nothing points at any more; one that was kept since the last call is spared, for its pointers may be on their way.
    /// Returns how many.
    async fn collect_manifests(&self) -> Result<usize, StoreError>;

    // ---- facts and verdicts

    /// What a device has reported.
    async fn facts(&self, enrollment: &EnrollmentId) -> Result<Facts, StoreError>;

    /// Changes a device's facts in one transaction. `change` returns whether anything but time changed, which is also when readers are woken; it
    /// is returned.
    async fn update_facts(&self, enrollment: &EnrollmentId, change: FactsChange) -> Result<bool, StoreError>;

    /// The verdicts of a device as last recorded.
    async fn verdicts(&self, enrollment: &EnrollmentId) -> Result<Verdicts, StoreError>;

    /// Records verdicts and the transitions that led to them, together.
    async fn record_verdicts(
        &self,
        enrollment: &EnrollmentId,
        verdicts: Verdicts,
        transitions: Vec<Transition>,
    ) -> Result<(), StoreError>;

    /// The last transitions of a device, newest first.
    async fn transitions(
        &self,
        enrollment: &EnrollmentId,
        limit: usize,
    ) -> Result<Vec<Transition>, StoreError>;

    // ---- waking each other

    /// A feed of changes from now on.
    fn changes(&self) -> broadcast::Receiver<Change>;
}
