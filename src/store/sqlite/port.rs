//! [`Store`] on [`SqliteStore`]: what is looked up in memory, what a reader answers, and what goes to the writer.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::broadcast;

use super::addresses::{self, SealedAddress};
use super::columns::{Fault, encode};
use super::writer::Writing;
use super::{SqliteStore, arrivals, commands, enrollments, escrow, invitations, manifests, reports, users};
use crate::compliance::Facts;
use crate::ids::{CommandUuid, Digest, EnrollmentId, PushTopic};
use crate::mdm::command::{NewCommand, OfferedCommand, PendingCommand, ReportStatus};
use crate::policy::Manifest;
use crate::secret::Secret;
use crate::store::{
    Arrival, Arrived, Authentication, Change, CommandResult, Ending, Enrollment, Escrow, FactsChange,
    Invitation, IssuedCertificate, NotQueued, NotTaken, PushAddress, PushRefusal, Refusal, Reissued,
    ReportOutcome, Store, StoreError, SystemNews, Transition, Verdicts, Wakeable,
};

/// Work that needs neither async nor a database, off the async threads.
async fn compute<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|fault| fault.during(action)),
        Err(source) => Err(StoreError::Database {
            action,
            source: Box::new(source),
        }),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn invite(&self, invitation: Invitation) -> Result<(), StoreError> {
        self.writer
            .run("keep an invitation", move |w| invitations::invite(w, &invitation))
            .await
    }

    async fn invitation(
        &self,
        challenge: Digest,
        enrollment: Option<&EnrollmentId>,
        key: Digest,
        now: Timestamp,
    ) -> Result<Result<Invitation, Refusal>, StoreError> {
        let id = enrollment.cloned();
        self.read("look up an invitation", move |db| {
            invitations::usable(db, challenge, id.as_ref(), key, now)
        })
        .await
    }

    async fn issue(
        &self,
        challenge: Digest,
        certificate: IssuedCertificate,
        now: Timestamp,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let work = move |w: &mut Writing<'_>| invitations::issue(w, challenge, &certificate, now);
        self.writer.run("record a certificate", work).await
    }

    async fn reissue(
        &self,
        by: Digest,
        certificate: Reissued,
        now: Timestamp,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let work = move |w: &mut Writing<'_>| invitations::reissue(w, by, certificate, now);
        self.writer.run("record a certificate", work).await
    }

    async fn answer(&self, message: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let work = move |db: &Connection| invitations::answer(db, message);
        self.read("look up an answer", work).await
    }

    async fn keep_answer(
        &self,
        message: Digest,
        certificate: Vec<u8>,
        until: Timestamp,
    ) -> Result<Vec<u8>, StoreError> {
        let work = move |w: &mut Writing<'_>| invitations::keep_answer(w, message, certificate, until);
        self.writer.run("keep an answer", work).await
    }

    async fn renew(
        &self,
        by: Digest,
        certificate: IssuedCertificate,
        now: Timestamp,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let work = move |w: &mut Writing<'_>| enrollments::renew(w, by, certificate, now);
        self.writer.run("record a renewed certificate", work).await
    }

    async fn authenticate(
        &self,
        authentication: Authentication,
        now: Timestamp,
    ) -> Result<Result<Enrollment, Refusal>, StoreError> {
        let work = move |w: &mut Writing<'_>| enrollments::authenticate(w, &authentication, now);
        self.writer.run("begin an enrolment", work).await
    }

    async fn token_update(
        &self,
        enrollment: &EnrollmentId,
        push: PushAddress,
        now: Timestamp,
    ) -> Result<Option<Enrollment>, StoreError> {
        let action = "keep a push address";
        let id = enrollment.clone();
        let address = SealedAddress::seal(&*self.sealer, &id, &push).map_err(|fault| fault.during(action))?;
        self.writer
            .run(action, move |w| enrollments::token_update(w, &id, &address, now))
            .await
    }

    async fn weigh_arrivals(
        &self,
        arrivals: Arc<[Arrival]>,
    ) -> Result<Vec<Result<Arrived, NotTaken>>, StoreError> {
        let sealer = Arc::clone(&self.sealer);
        self.read("look at arrivals", move |db| {
            let weighed = arrivals
                .iter()
                .map(|arrival| arrivals::weigh(db, &*sealer, arrival));
            weighed.collect()
        })
        .await
    }

    async fn take_over(
        &self,
        arrivals: Arc<[Arrival]>,
        now: Timestamp,
    ) -> Result<Vec<Result<Arrived, NotTaken>>, StoreError> {
        let sealer = Arc::clone(&self.sealer);
        let work = move |w: &mut Writing<'_>| {
            let taken = arrivals
                .iter()
                .map(|arrival| arrivals::take_over(w, &*sealer, arrival, now));
            taken.collect()
        };
        self.writer.run("take enrolments over", work).await
    }

    async fn enrollment(&self, id: &EnrollmentId) -> Result<Option<Enrollment>, StoreError> {
        let id = id.clone();
        let work = move |db: &Connection| Ok(enrollments::by_id(db, &id)?.map(|found| found.enrollment));
        self.look_up("look up an enrolment", work).await
    }

    async fn enrollment_by_certificate(
        &self,
        fingerprint: Digest,
        now: Timestamp,
    ) -> Result<Option<Arc<Enrollment>>, StoreError> {
        let epoch = match self.enrollments.lookup(&fingerprint) {
            Ok(enrollment) => return Ok(Some(enrollment)),
            Err(epoch) => epoch,
        };
        let work = move |db: &Connection| enrollments::by_certificate(db, fingerprint, now);
        let found = self.look_up("look up a certificate", work).await?.map(Arc::new);
        if let Some(enrollment) = &found {
            self.enrollments.keep(epoch, Arc::clone(enrollment));
        }
        Ok(found)
    }

    async fn adopt(&self, fingerprint: Digest, now: Timestamp) -> Result<Option<Enrollment>, StoreError> {
        let action = "pin a renewed certificate";
        let is_next = move |db: &Connection| invitations::is_next(db, fingerprint);
        if !self.read(action, is_next).await? {
            return Ok(None);
        }
        let work = move |w: &mut Writing<'_>| enrollments::adopt(w, fingerprint, now);
        self.writer.run(action, work).await
    }

    async fn enrollments(
        &self,
        after: Option<&EnrollmentId>,
        limit: usize,
    ) -> Result<Vec<Enrollment>, StoreError> {
        let after = after.cloned();
        self.read("list enrolments", move |db| {
            enrollments::after(db, after.as_ref(), limit)
        })
        .await
    }

    async fn users(&self, device: &EnrollmentId) -> Result<Vec<Enrollment>, StoreError> {
        let id = device.clone();
        self.read("list the users of a device", move |db| users::of(db, &id))
            .await
    }

    async fn end(
        &self,
        enrollment: &EnrollmentId,
        ending: Ending,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = enrollment.clone();
        self.writer
            .run("end an enrolment", move |w| enrollments::end(w, &id, ending, now))
            .await
    }

    async fn remove_at_next_contact(
        &self,
        enrollment: &EnrollmentId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = enrollment.clone();
        let work = move |w: &mut Writing<'_>| enrollments::remove_at_next_contact(w, &id, now);
        self.writer.run("mark an enrolment for removal", work).await
    }

    async fn update_system(&self, enrollment: &EnrollmentId, news: SystemNews) -> Result<(), StoreError> {
        // Said with every report and new with hardly any.
        let known = self.enrollment(enrollment).await?;
        if known.is_none_or(|known| !news.is_news(&known)) {
            return Ok(());
        }
        let id = enrollment.clone();
        let work = move |w: &mut Writing<'_>| enrollments::update_system(w, &id, &news);
        self.writer.run("keep a system version", work).await
    }

    async fn push_address(&self, enrollment: &EnrollmentId) -> Result<Option<PushAddress>, StoreError> {
        let action = "look up a push address";
        let id = enrollment.clone();
        let sealed = self.read(action, move |db| addresses::of(db, &id)).await?;
        sealed
            .map(|sealed| sealed.unseal(&*self.sealer, enrollment))
            .transpose()
            .map_err(|fault| fault.during(action))
    }

    async fn wakeable(&self, enrollment: &EnrollmentId) -> Result<Option<Wakeable>, StoreError> {
        let action = "look up how to wake a device";
        let id = enrollment.clone();
        let found = self.read(action, move |db| addresses::wakeable(db, &id)).await?;
        let unsealed = found.map(|(sealed, refused, last_seen)| {
            let address = sealed.unseal(&*self.sealer, enrollment)?;
            Ok(Wakeable {
                address,
                refused,
                last_seen,
            })
        });
        unsealed.transpose().map_err(|fault: Fault| fault.during(action))
    }

    async fn push_topic(&self, enrollment: &EnrollmentId) -> Result<Option<PushTopic>, StoreError> {
        let id = enrollment.clone();
        let work = move |db: &Connection| addresses::topic(db, &id);
        self.read("look up a push topic", work).await
    }

    async fn push_topics(&self) -> Result<BTreeMap<PushTopic, u32>, StoreError> {
        self.read("count push topics", addresses::topics).await
    }

    async fn drop_push_address(
        &self,
        enrollment: &EnrollmentId,
        token: &[u8],
        since: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let (id, sealer) = (enrollment.clone(), self.sealer.clone());
        let token = Secret::new(token.to_vec());
        self.writer
            .run("drop a push address", move |w| {
                addresses::drop(w, &*sealer, &id, token.reveal(), since)
            })
            .await
    }

    async fn refuse_push_address(
        &self,
        enrollment: &EnrollmentId,
        token: &[u8],
        refusal: PushRefusal,
    ) -> Result<(), StoreError> {
        let (id, sealer) = (enrollment.clone(), self.sealer.clone());
        let token = Secret::new(token.to_vec());
        self.writer
            .run("note that a push address is refused", move |w| {
                addresses::refuse(w, &*sealer, &id, token.reveal(), refusal)
            })
            .await
    }

    async fn readmit_push_addresses(&self) -> Result<usize, StoreError> {
        self.writer
            .run("readmit push addresses", addresses::readmit)
            .await
    }

    async fn keep_escrow(
        &self,
        enrollment: &EnrollmentId,
        kind: Escrow,
        secret: Option<Secret<Vec<u8>>>,
    ) -> Result<bool, StoreError> {
        let action = "keep a device's secret";
        let sealed = secret
            .map(|secret| {
                self.sealer
                    .seal(&escrow::context(enrollment, kind), secret.reveal())
            })
            .transpose()
            .map_err(|error| Fault::from(error).during(action))?;
        let id = enrollment.clone();
        self.writer
            .run(action, move |w| escrow::keep(w, &id, kind, sealed.as_deref()))
            .await
    }

    async fn escrow(
        &self,
        enrollment: &EnrollmentId,
        kind: Escrow,
    ) -> Result<Option<Secret<Vec<u8>>>, StoreError> {
        let action = "look up a device's secret";
        let id = enrollment.clone();
        let sealed = self.read(action, move |db| escrow::sealed(db, &id, kind)).await?;
        sealed
            .map(|sealed| self.sealer.open(&escrow::context(enrollment, kind), &sealed))
            .transpose()
            .map_err(|error| Fault::from(error).during(action))
    }

    async fn await_configuration(&self, enrollment: &EnrollmentId, awaiting: bool) -> Result<(), StoreError> {
        let id = enrollment.clone();
        self.writer
            .run("keep whether a device waits", move |w| {
                escrow::await_configuration(w, &id, awaiting)
            })
            .await
    }

    async fn awaiting_configuration(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<Enrollment>, StoreError> {
        self.read("list devices that wait", move |db| {
            escrow::awaiting(db, before, limit)
        })
        .await
    }

    async fn seen(&self, times: &[(EnrollmentId, Timestamp)]) -> Result<(), StoreError> {
        if times.is_empty() {
            return Ok(());
        }
        let times = times.to_vec();
        self.writer
            .run("keep when devices were seen", move |w| {
                enrollments::seen(w, &times)
            })
            .await
    }

    async fn last_seen(&self, enrollment: &EnrollmentId) -> Result<Option<Timestamp>, StoreError> {
        let id = enrollment.clone();
        self.read("look up when a device was seen", move |db| {
            enrollments::last_seen(db, &id)
        })
        .await
    }

    async fn enqueue(&self, commands: Vec<NewCommand>, now: Timestamp) -> Result<Vec<NotQueued>, StoreError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let action = "queue commands";
        let sealer = Arc::clone(&self.sealer);
        let prepared = compute(action, move || commands::prepare(commands, &*sealer)).await?;
        self.writer
            .run(action, move |w| commands::enqueue(w, &prepared, now))
            .await
    }

    async fn cancel(
        &self,
        enrollment: &EnrollmentId,
        uuid: &CommandUuid,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (id, uuid, reason) = (enrollment.clone(), uuid.clone(), reason.to_owned());
        let work = move |w: &mut Writing<'_>| commands::cancel(w, &id, &uuid, &reason, now);
        self.writer.run("cancel a command", work).await
    }

    async fn next_command(
        &self,
        enrollment: &EnrollmentId,
        idle: bool,
        now: Timestamp,
    ) -> Result<Option<OfferedCommand>, StoreError> {
        let action = "find the next command";
        let id = enrollment.clone();
        if !self
            .look_up(action, move |db| commands::has_pending(db, &id))
            .await?
        {
            return Ok(None);
        }
        let (id, sealer) = (enrollment.clone(), Arc::clone(&self.sealer));
        self.writer
            .run_bare(action, move |w| commands::next(w, &*sealer, &id, idle, now))
            .await
    }

    async fn report(
        &self,
        enrollment: &EnrollmentId,
        uuid: &CommandUuid,
        status: &ReportStatus,
        now: Timestamp,
    ) -> Result<ReportOutcome, StoreError> {
        let (id, uuid, status) = (enrollment.clone(), uuid.clone(), status.clone());
        let work = move |w: &mut Writing<'_>| commands::report(w, &id, &uuid, &status, now);
        self.writer.run("take a report", work).await
    }

    async fn report_and_next(
        &self,
        enrollment: &EnrollmentId,
        uuid: &CommandUuid,
        status: &ReportStatus,
        now: Timestamp,
    ) -> Result<(ReportOutcome, Option<OfferedCommand>), StoreError> {
        let (id, uuid, status) = (enrollment.clone(), uuid.clone(), status.clone());
        let sealer = Arc::clone(&self.sealer);
        let work =
            move |w: &mut Writing<'_>| commands::report_and_next(w, &*sealer, &id, &uuid, &status, now);
        self.writer.run_bare("take a report", work).await
    }

    async fn pending(&self, enrollment: &EnrollmentId) -> Result<Vec<PendingCommand>, StoreError> {
        let id = enrollment.clone();
        self.read("list pending commands", move |db| commands::pending(db, &id))
            .await
    }

    async fn with_pending(
        &self,
        after: Option<&EnrollmentId>,
        limit: usize,
    ) -> Result<Vec<EnrollmentId>, StoreError> {
        let after = after.cloned();
        let work = move |db: &Connection| commands::with_pending(db, after.as_ref(), limit);
        self.read("list devices with pending commands", work).await
    }

    async fn results(
        &self,
        enrollment: &EnrollmentId,
        limit: usize,
    ) -> Result<Vec<CommandResult>, StoreError> {
        let id = enrollment.clone();
        self.read("list ended commands", move |db| commands::results(db, &id, limit))
            .await
    }

    async fn keep_manifest(&self, manifest: Arc<Manifest>) -> Result<(), StoreError> {
        let action = "keep a manifest";
        let (id, sealer) = (manifest.id, Arc::clone(&self.sealer));
        let document = compute(action, move || {
            let plain = Secret::new(encode("manifest", &*manifest)?);
            Ok(sealer.seal(&manifests::context(manifest.id), plain.reveal())?)
        })
        .await?;
        self.writer
            .run(action, move |w| manifests::keep(w, id, &document))
            .await
    }

    async fn manifest(&self, id: Digest) -> Result<Option<Arc<Manifest>>, StoreError> {
        let kept = self
            .manifests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lookup(&id);
        if kept.is_some() {
            return Ok(kept);
        }
        let sealer = Arc::clone(&self.sealer);
        let read = self
            .read("read a manifest", move |db| manifests::manifest(db, &*sealer, id))
            .await?;
        let Some(manifest) = read.map(Arc::new) else {
            return Ok(None);
        };
        let weight = manifests::size(&manifest);
        let mut manifests = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
        manifests.insert(id, Arc::clone(&manifest), weight);
        Ok(Some(manifest))
    }

    async fn point(&self, pointers: &[(EnrollmentId, Digest)], now: Timestamp) -> Result<usize, StoreError> {
        if pointers.is_empty() {
            return Ok(0);
        }
        let pointers = pointers.to_vec();
        self.writer
            .run("point devices at manifests", move |w| {
                manifests::point(w, &pointers, now)
            })
            .await
    }

    async fn advertise(&self, enrollment: &EnrollmentId, manifest: Digest) -> Result<(), StoreError> {
        let id = enrollment.clone();
        self.writer
            .run("record what a device was told of", move |w| {
                manifests::advertise(w, &id, manifest)
            })
            .await
    }

    async fn applied(&self, enrollment: &EnrollmentId, manifest: Digest) -> Result<bool, StoreError> {
        let action = "record what a device holds";
        let id = enrollment.clone();
        // Said with every status report and new with hardly any.
        if self
            .look_up(action, move |db| manifests::is_applied(db, &id, manifest))
            .await?
        {
            return Ok(false);
        }
        let id = enrollment.clone();
        self.writer
            .run(action, move |w| manifests::applied(w, &id, manifest))
            .await
    }

    async fn collect_manifests(&self) -> Result<usize, StoreError> {
        let action = "remove unused manifests";
        let unused = self.read(action, manifests::unused).await?;
        let removed = self
            .writer
            .run(action, move |w| manifests::collect(w, &unused))
            .await?;
        let mut manifests = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
        for id in &removed {
            manifests.remove(id);
        }
        Ok(removed.len())
    }

    async fn facts(&self, enrollment: &EnrollmentId) -> Result<Facts, StoreError> {
        let id = enrollment.clone();
        self.read("read facts", move |db| reports::facts(db, &id)).await
    }

    async fn update_facts(&self, enrollment: &EnrollmentId, change: FactsChange) -> Result<bool, StoreError> {
        let action = "change facts";
        let _turn = match self.turn(enrollment) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let id = enrollment.clone();
        let changed = self
            .read(action, move |db| {
                let Some(mut found) = reports::facts_to_change(db, &id)? else {
                    return Ok(None);
                };
                let news = change(&mut found.facts);
                Ok(Some((
                    (found.row, found.generation),
                    encode("facts", &found.facts)?,
                    news,
                )))
            })
            .await?;
        let Some((key, body, news)) = changed else {
            return Ok(false);
        };
        let id = enrollment.clone();
        let kept = self
            .writer
            .run(action, move |w| reports::keep_facts(w, &id, key, &body, news))
            .await?;
        Ok(kept && news)
    }

    async fn verdicts(&self, enrollment: &EnrollmentId) -> Result<Verdicts, StoreError> {
        let id = enrollment.clone();
        self.read("read verdicts", move |db| reports::verdicts(db, &id))
            .await
    }

    async fn record_verdicts(
        &self,
        enrollment: &EnrollmentId,
        verdicts: Verdicts,
        transitions: Vec<Transition>,
    ) -> Result<(), StoreError> {
        let action = "record verdicts";
        let id = enrollment.clone();
        let body = encode("verdicts", &verdicts).map_err(|fault| fault.during(action))?;
        self.writer
            .run(action, move |w| {
                reports::record_verdicts(w, &id, &body, &transitions)
            })
            .await
    }

    async fn transitions(
        &self,
        enrollment: &EnrollmentId,
        limit: usize,
    ) -> Result<Vec<Transition>, StoreError> {
        let id = enrollment.clone();
        self.read("list transitions", move |db| reports::transitions(db, &id, limit))
            .await
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }
}
