//! The port itself. Its adapters are beside it, and one suite of tests holds all of them to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::broadcast;

use super::arrival::{Arrival, Arrived, NotTaken};
use super::enrollment::{Authentication, Ending, Enrollment, Escrow, SystemNews};
use super::error::StoreError;
use super::identity::{Invitation, IssuedCertificate, Refusal, Reissued};
use super::queue::{CommandResult, NotQueued, ReportOutcome};
use super::waking::{PushAddress, PushRefusal, Wakeable};
use crate::compliance::{Facts, Transition, Verdicts};
use crate::ids::{CommandUuid, Digest, EnrollmentId, PushTopic};
use crate::mdm::command::{NewCommand, OfferedCommand, PendingCommand, ReportStatus};
use crate::policy::Manifest;
use crate::secret::Secret;

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
    /// caller has seen proof of; it may have run out by up to [`super::RENEWAL_GRACE`], which gives it no other right. Of `certificate`, the
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

    /// A renewed certificate has been used: from now on it is the pin, and the one before is accepted for [`super::PIN_OVERLAP`] longer; renewed ones
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

    /// The same with what else has to be known to wake it.
    async fn wakeable(&self, enrollment: &EnrollmentId) -> Result<Option<Wakeable>, StoreError>;

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
    /// from it. For a great many see [`super::broadcast()`].
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
