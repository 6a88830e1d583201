//! The right to enrol: invitations, and the certificates issued on them.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::columns::{Fault, Json, Micros};
use super::writer::Writing;
use crate::ids::{Digest, EnrollmentId};
use crate::store::{Invitation, IssuedCertificate, PIN_OVERLAP, Refusal, Reissued};

/// How many certificates one invitation may bring while answers get lost.
const REPEATS: u32 = 8;

/// How many renewed certificates of one device may wait for their first use.
const RENEWALS: u32 = 4;

/// Where an issued certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub(super) enum CertificateState {
    /// Never used.
    Issued,
    /// Issued on proof by the pin, and never used: accepted beside it.
    Next,
    /// The pin of an enrolment.
    Pinned,
    /// The pin before, accepted beside it for a while.
    Former,
    /// Worth nothing any more.
    Withdrawn,
}

pub(super) fn invite(writing: &Writing<'_>, invitation: &Invitation) -> Result<(), Fault> {
    writing
        .prepare_cached(
            "INSERT INTO invitations (challenge, namespace, labels, serial_number, udid, expires_at)
             VALUES (:challenge, :namespace, :labels, :serial_number, :udid, :expires_at)",
        )?
        .execute(named_params! {
            ":challenge": invitation.challenge,
            ":namespace": invitation.namespace,
            ":labels": Json(&invitation.labels),
            ":serial_number": invitation.serial_number,
            ":udid": invitation.udid,
            ":expires_at": Micros(invitation.expires_at),
        })?;
    Ok(())
}

fn invitation(row: &Row<'_>) -> rusqlite::Result<(Invitation, bool)> {
    let Json(labels) = row.get("labels")?;
    let Micros(expires_at) = row.get("expires_at")?;
    let invitation = Invitation {
        challenge: row.get("challenge")?,
        namespace: row.get("namespace")?,
        labels,
        serial_number: row.get("serial_number")?,
        udid: row.get("udid")?,
        expires_at,
    };
    Ok((invitation, row.get("used")?))
}

/// The invitation of a challenge, if `enrollment` may use it now with `key`.
pub(super) fn usable(
    connection: &Connection,
    challenge: Digest,
    enrollment: Option<&EnrollmentId>,
    key: Digest,
    now: Timestamp,
) -> Result<Result<Invitation, Refusal>, Fault> {
    let found = connection
        .prepare_cached("SELECT * FROM invitations WHERE challenge = ?1")?
        .query_row([challenge], invitation)
        .optional()?;
    Ok(match found {
        None => Err(Refusal::Unknown),
        Some((_, true)) if !may_repeat(connection, challenge, enrollment, key)? => Err(Refusal::Used),
        Some((invitation, _)) if invitation.expires_at < now => Err(Refusal::Expired),
        Some((invitation, _)) if !is_for(&invitation, enrollment) => Err(Refusal::WrongDevice),
        Some((invitation, _)) => Ok(invitation),
    })
}

/// Whether an invitation is for an enrolment, or for whoever it is that does not say.
fn is_for(invitation: &Invitation, enrollment: Option<&EnrollmentId>) -> bool {
    match (&invitation.udid, enrollment) {
        (Some(udid), Some(enrollment)) => udid == enrollment,
        _ => true,
    }
}

/// Whether a used invitation was used for this very enrolment and key, not too often, and has begun no enrolment yet.
fn may_repeat(
    connection: &Connection,
    challenge: Digest,
    enrollment: Option<&EnrollmentId>,
    key: Digest,
) -> Result<bool, Fault> {
    let (same, others): (u32, u32) = connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE device IS ?2 AND key = ?3 AND state = ?4),
                    count(*) FILTER (WHERE NOT (device IS ?2 AND key = ?3 AND state = ?4))
             FROM certificates WHERE challenge = ?1",
        )?
        .query_row(
            params![challenge, enrollment, key, CertificateState::Issued],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    Ok((1..REPEATS).contains(&same) && others == 0)
}

/// Uses an invitation up and records the certificate issued on it.
pub(super) fn issue(
    writing: &Writing<'_>,
    challenge: Digest,
    certificate: &IssuedCertificate,
    now: Timestamp,
) -> Result<Result<(), Refusal>, Fault> {
    let invitation = match usable(
        writing,
        challenge,
        certificate.enrollment.as_ref(),
        certificate.key,
        now,
    )? {
        Ok(invitation) => invitation,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if invitation.serial_number != certificate.serial_number {
        return Ok(Err(Refusal::WrongDevice));
    }
    // The fleet and the labels are the invitation's, whatever the caller has made of them.
    let certificate = IssuedCertificate {
        namespace: invitation.namespace,
        labels: invitation.labels,
        ..certificate.clone()
    };
    if !record(writing, &certificate, Some(challenge), CertificateState::Issued)? {
        return Ok(Err(Refusal::WrongCertificate));
    }
    writing
        .prepare_cached("UPDATE invitations SET used = 1 WHERE challenge = ?1")?
        .execute([challenge])?;
    Ok(Ok(()))
}

/// Records a certificate that renews its device's pin, unless there is one of that fingerprint.
pub(super) fn renew(writing: &Writing<'_>, certificate: &IssuedCertificate) -> Result<bool, Fault> {
    if !record(writing, certificate, None, CertificateState::Next)? {
        return Ok(false);
    }
    writing
        .prepare_cached(
            "UPDATE certificates SET state = ?3 WHERE device = ?1 AND state = ?2 AND id NOT IN (
                 SELECT id FROM certificates WHERE device = ?1 AND state = ?2 ORDER BY id DESC LIMIT ?4)",
        )?
        .execute(params![
            certificate.enrollment,
            CertificateState::Next,
            CertificateState::Withdrawn,
            RENEWALS
        ])?;
    Ok(true)
}

/// Records a certificate in the place of one that was never used.
pub(super) fn reissue(
    writing: &Writing<'_>,
    by: Digest,
    certificate: Reissued,
    now: Timestamp,
) -> Result<Result<(), Refusal>, Fault> {
    let unused = |issued: &Issued| {
        issued.state == CertificateState::Issued
            && issued.certificate.not_after >= now
            && !issued.is_renewal()
    };
    let Some(before) = issued(writing, by)?.filter(unused) else {
        return Ok(Err(Refusal::WrongCertificate));
    };
    let (issued, used): (u32, u32) = writing
        .prepare_cached(
            "SELECT count(*), count(*) FILTER (WHERE state <> ?2) FROM certificates WHERE challenge = ?1",
        )?
        .query_row(params![before.challenge, CertificateState::Issued], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if issued >= REPEATS || used > 0 {
        return Ok(Err(Refusal::Used));
    }
    let certificate = IssuedCertificate {
        fingerprint: certificate.fingerprint,
        key: certificate.key,
        not_after: certificate.not_after,
        ..before.certificate
    };
    Ok(
        record(writing, &certificate, before.challenge, CertificateState::Issued)?
            .then_some(())
            .ok_or(Refusal::WrongCertificate),
    )
}

pub(super) fn answer(connection: &Connection, message: Digest) -> Result<Option<Vec<u8>>, Fault> {
    Ok(connection
        .prepare_cached("SELECT certificate FROM answers WHERE message = ?1")?
        .query_row([message], |row| row.get(0))
        .optional()?)
}

pub(super) fn keep_answer(
    writing: &Writing<'_>,
    message: Digest,
    certificate: Vec<u8>,
    until: Timestamp,
) -> Result<Vec<u8>, Fault> {
    writing
        .prepare_cached(
            "INSERT INTO answers (message, certificate, expires_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![message, certificate, Micros(until)])?;
    Ok(answer(writing, message)?.unwrap_or(certificate))
}

/// Writes a certificate down. False: there is one of that fingerprint.
fn record(
    writing: &Writing<'_>,
    certificate: &IssuedCertificate,
    challenge: Option<Digest>,
    state: CertificateState,
) -> Result<bool, Fault> {
    let recorded = writing
        .prepare_cached(
            "INSERT INTO certificates
                 (fingerprint, challenge, key, device, not_after, namespace, labels, serial_number, state)
             VALUES
                 (:fingerprint, :challenge, :key, :device, :not_after, :namespace, :labels, :serial_number, :state)
             ON CONFLICT (fingerprint) DO NOTHING",
        )?
        .execute(named_params! {
            ":fingerprint": certificate.fingerprint,
            ":challenge": challenge,
            ":key": certificate.key,
            ":device": certificate.enrollment,
            ":not_after": Micros(certificate.not_after),
            ":namespace": certificate.namespace,
            ":labels": Json(&certificate.labels),
            ":serial_number": certificate.serial_number,
            ":state": state,
        })?;
    Ok(recorded > 0)
}

/// A certificate as it was issued, with its place in the order of issue.
pub(super) struct Issued {
    pub(super) id: i64,
    pub(super) certificate: IssuedCertificate,
    pub(super) state: CertificateState,
    challenge: Option<Digest>,
}

impl Issued {
    /// Whether it was issued on proof by the certificate before it.
    pub(super) const fn is_renewal(&self) -> bool {
        self.challenge.is_none()
    }
}

pub(super) fn issued(connection: &Connection, fingerprint: Digest) -> Result<Option<Issued>, Fault> {
    let found = connection
        .prepare_cached("SELECT * FROM certificates WHERE fingerprint = ?1")?
        .query_row([fingerprint], |row| {
            let Json(labels) = row.get("labels")?;
            let Micros(not_after) = row.get("not_after")?;
            Ok(Issued {
                id: row.get("id")?,
                certificate: IssuedCertificate {
                    fingerprint,
                    key: row.get("key")?,
                    enrollment: row.get("device")?,
                    not_after,
                    namespace: row.get("namespace")?,
                    labels,
                    serial_number: row.get("serial_number")?,
                },
                state: row.get("state")?,
                challenge: row.get("challenge")?,
            })
        })
        .optional()?;
    Ok(found)
}

/// Whether a certificate renews a pin and has not been used.
pub(super) fn is_next(connection: &Connection, fingerprint: Digest) -> Result<bool, Fault> {
    Ok(issued(connection, fingerprint)?.is_some_and(|issued| issued.state == CertificateState::Next))
}

/// The device whose pin a certificate renews, or was lately.
pub(super) fn beside_the_pin(
    connection: &Connection,
    fingerprint: Digest,
    now: Timestamp,
) -> Result<Option<EnrollmentId>, Fault> {
    Ok(connection
        .prepare_cached(
            "SELECT device FROM certificates
             WHERE fingerprint = ?1 AND (state = ?2 OR (state = ?3 AND ends_at >= ?4))",
        )?
        .query_row(
            params![
                fingerprint,
                CertificateState::Next,
                CertificateState::Former,
                Micros(now)
            ],
            |row| row.get(0),
        )
        .optional()?)
}

/// Puts a renewed certificate in the place of the pin, which is accepted for a while longer. What was renewed before it never comes.
pub(super) fn succeed(writing: &Writing<'_>, renewed: &Issued, now: Timestamp) -> Result<(), Fault> {
    let device = renewed.certificate.enrollment.as_ref();
    let end = now.saturating_add(PIN_OVERLAP).unwrap_or(Timestamp::MAX);
    writing
        .prepare_cached(
            "UPDATE certificates SET state = ?3
             WHERE device = ?1 AND (state = ?4 OR (state = ?5 AND id < ?2))",
        )?
        .execute(params![
            device,
            renewed.id,
            CertificateState::Withdrawn,
            CertificateState::Former,
            CertificateState::Next
        ])?;
    writing
        .prepare_cached("UPDATE certificates SET state = ?2, ends_at = ?3 WHERE device = ?1 AND state = ?4")?
        .execute(params![
            device,
            CertificateState::Former,
            Micros(end),
            CertificateState::Pinned
        ])?;
    writing
        .prepare_cached("UPDATE certificates SET state = ?2 WHERE id = ?1")?
        .execute(params![renewed.id, CertificateState::Pinned])?;
    Ok(())
}

/// Pins one certificate to its device, and withdraws all that were issued for that device before it, or on proof by one of those. Where nobody
/// had been named, the device takes its invitation for its own: no other can come with what else was issued on it.
pub(super) fn pin(writing: &Writing<'_>, issued: &Issued, device: &EnrollmentId) -> Result<(), Fault> {
    if issued.certificate.enrollment.is_none() {
        writing
            .prepare_cached("UPDATE certificates SET device = ?2 WHERE challenge = ?1 AND device IS NULL")?
            .execute(params![issued.challenge, device])?;
    }
    writing
        .prepare_cached(
            "UPDATE certificates SET state = ?3
             WHERE device = ?1 AND id <> ?2 AND (id < ?2 OR challenge IS NULL) AND state <> ?3",
        )?
        .execute(params![device, issued.id, CertificateState::Withdrawn])?;
    writing
        .prepare_cached("UPDATE certificates SET state = ?2 WHERE id = ?1 AND state <> ?2")?
        .execute(params![issued.id, CertificateState::Pinned])?;
    Ok(())
}

/// Withdraws all certificates issued for a device so far.
pub(super) fn withdraw(writing: &Writing<'_>, device: &EnrollmentId) -> Result<(), Fault> {
    writing
        .prepare_cached("UPDATE certificates SET state = ?2 WHERE device = ?1 AND state <> ?2")?
        .execute(params![device, CertificateState::Withdrawn])?;
    Ok(())
}
