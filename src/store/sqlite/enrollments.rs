//! Enrolments: from Authenticate to their end.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::addresses::{self, SealedAddress};
use super::columns::{Fault, Json, Micros};
use super::invitations::{self, CertificateState, Issued};
use super::writer::Writing;
use super::{commands, reports, users};
use crate::ids::{Digest, EnrollmentId};
use crate::store::{
    Authentication, Change, Ending, Enrollment, EnrollmentState, IssuedCertificate, RENEWAL_GRACE, Refusal,
    SystemNews, Transition,
};

/// A user's certificate is that of its device.
macro_rules! select_enrollments {
    ($rest:literal) => {
        concat!(
            "SELECT e.*, p.*, coalesce(e.certificate, d.certificate) AS pin,
                 EXISTS (SELECT 1 FROM escrow s WHERE s.enrollment = e.id AND s.kind = 'bootstrap_token') AS bootstrap_token,
                 EXISTS (SELECT 1 FROM escrow s WHERE s.enrollment = e.id AND s.kind = 'unlock_token') AS unlock_token
             FROM enrollments e JOIN pointers p ON p.enrollment = e.id LEFT JOIN enrollments d ON d.id = e.parent ",
            $rest
        )
    };
}

pub(super) use select_enrollments;

/// An enrolment and the number of its row.
pub(super) struct Found {
    pub(super) row: i64,
    pub(super) enrollment: Enrollment,
}

pub(super) fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    let Json(labels) = row.get("labels")?;
    let Micros(enrolled_at) = row.get("enrolled_at")?;
    let Json(lacks) = row.get("lacks")?;
    let enrollment = Enrollment {
        id: row.get("device")?,
        namespace: row.get("namespace")?,
        labels,
        state: row.get("state")?,
        certificate: row.get("pin")?,
        platform: row.get("platform")?,
        mode: row.get("mode")?,
        serial_number: row.get("serial_number")?,
        model: row.get("model")?,
        os_version: row.get("os_version")?,
        build_version: row.get("build_version")?,
        declarative: row.get("declarative")?,
        lacks,
        token_updates: row.get("token_updates")?,
        enrolled_at,
        manifest: row.get("manifest")?,
        manifest_at: row
            .get::<_, Option<Micros>>("manifest_at")?
            .map(|Micros(time)| time),
        previous_manifest: row.get("previous_manifest")?,
        advertised_manifest: row.get("advertised_manifest")?,
        applied_manifest: row.get("applied_manifest")?,
        awaiting_configuration: row.get("awaiting_configuration")?,
        bootstrap_token: row.get("bootstrap_token")?,
        unlock_token: row.get("unlock_token")?,
        push_refused: row.get("push_refused")?,
    };
    Ok(Found {
        row: row.get("id")?,
        enrollment,
    })
}

pub(super) fn by_id(connection: &Connection, id: &EnrollmentId) -> Result<Option<Found>, Fault> {
    Ok(connection
        .prepare_cached(select_enrollments!("WHERE e.device = ?1"))?
        .query_row([id], found)
        .optional()?)
}

/// An enrolment that has not ended.
pub(super) fn active(connection: &Connection, id: &EnrollmentId) -> Result<Option<Found>, Fault> {
    Ok(by_id(connection, id)?.filter(|found| found.enrollment.state != EnrollmentState::Ended))
}

pub(super) fn by_certificate(
    connection: &Connection,
    fingerprint: Digest,
    now: Timestamp,
) -> Result<Option<Enrollment>, Fault> {
    let pinned = connection
        .prepare_cached(select_enrollments!("WHERE e.certificate = ?1"))?
        .query_row([fingerprint], found)
        .optional()?;
    let found = match pinned {
        Some(pinned) => Some(pinned),
        None => match invitations::beside_the_pin(connection, fingerprint, now)? {
            Some(device) => active(connection, &device)?,
            None => None,
        },
    };
    Ok(found.map(|found| found.enrollment))
}

pub(super) fn after(
    connection: &Connection,
    after: Option<&EnrollmentId>,
    limit: usize,
) -> Result<Vec<Enrollment>, Fault> {
    // No device has an empty id, so everything is after it.
    let rows = connection
        .prepare_cached(select_enrollments!(
            "WHERE e.device > ?1 AND e.parent IS NULL ORDER BY e.device LIMIT ?2"
        ))?
        .query_map(
            params![after.map_or("", EnrollmentId::as_str), row_limit(limit)],
            found,
        )?
        .map(|row| row.map(|found| found.enrollment))
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// `LIMIT` takes a signed number, and a negative one means none.
pub(super) fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The number of an enrolment's row.
pub(super) fn row_of(connection: &Connection, id: &EnrollmentId) -> Result<Option<i64>, Fault> {
    Ok(connection
        .prepare_cached("SELECT id FROM enrollments WHERE device = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?)
}

pub(super) fn authenticate(
    writing: &mut Writing<'_>,
    device: &Authentication,
    now: Timestamp,
) -> Result<Result<Enrollment, Refusal>, Fault> {
    let Some(issued) = invitations::issued(writing, device.certificate)? else {
        return Ok(Err(Refusal::WrongCertificate));
    };
    let certificate = &issued.certificate;
    let other = |bound: &EnrollmentId| *bound != device.enrollment;
    if certificate.enrollment.as_ref().is_some_and(other) || certificate.not_after < now {
        return Ok(Err(Refusal::WrongCertificate));
    }
    if certificate.serial_number.is_some() && certificate.serial_number != device.serial_number {
        return Ok(Err(Refusal::WrongDevice));
    }
    if issued.is_renewal() {
        return go_on(writing, device, &issued, now);
    }
    let before = by_id(writing, &device.enrollment)?;
    let allowed = match (issued.state, &before) {
        (CertificateState::Withdrawn | CertificateState::Former | CertificateState::Next, _)
        | (CertificateState::Pinned, None) => false,
        // New, on an invitation of its own.
        (CertificateState::Issued, _) => true,
        // The device says it again, unless it has been told to go.
        (CertificateState::Pinned, Some(Found { enrollment, .. })) => {
            enrollment.certificate == device.certificate
                && matches!(
                    enrollment.state,
                    EnrollmentState::Authenticated | EnrollmentState::Enrolled
                )
        }
    };
    if !allowed {
        return Ok(Err(Refusal::WrongCertificate));
    }
    let name_holder: Option<EnrollmentId> = writing
        .prepare_cached("SELECT device FROM enrollments WHERE device_name = ?1")?
        .query_row([device.enrollment.device_name()], |row| row.get(0))
        .optional()?;
    if name_holder.is_some_and(|holder| holder != device.enrollment) {
        // Another spelling of an id that is taken: both would be one Device object.
        return Ok(Err(Refusal::WrongDevice));
    }
    invitations::pin(writing, &issued, &device.enrollment)?;
    let row = begin(writing, device, &issued.certificate, now)?;
    if let Some(before) = before {
        writing.forget(before.enrollment.certificate);
        clear(writing, row, "a new enrolment began", now)?;
        reports::clear(writing, row)?;
        users::begin_without(writing, row, now)?;
    }
    writing.announce(Change::Enrollment(device.enrollment.clone()));
    let begun = by_id(writing, &device.enrollment)?;
    let begun = begun.ok_or(Fault::Sqlite(rusqlite::Error::QueryReturnedNoRows))?;
    Ok(Ok(begun.enrollment))
}

/// Authenticate on a renewed certificate: the enrolment goes on, with what the device says of its system.
fn go_on(
    writing: &mut Writing<'_>,
    device: &Authentication,
    renewed: &Issued,
    now: Timestamp,
) -> Result<Result<Enrollment, Refusal>, Fault> {
    let before = active(writing, &device.enrollment)?;
    let Some(before) = before.filter(|before| before.enrollment.state != EnrollmentState::Removing) else {
        return Ok(Err(Refusal::WrongCertificate));
    };
    match renewed.state {
        CertificateState::Next => succeed(writing, &before, renewed, now)?,
        CertificateState::Pinned => {}
        _ => return Ok(Err(Refusal::WrongCertificate)),
    }
    update_system(
        writing,
        &device.enrollment,
        &SystemNews {
            os_version: Some(device.os_version.clone()),
            build_version: device.build_version.clone(),
            lacks: None,
        },
    )?;
    let now_so = by_id(writing, &device.enrollment)?;
    let now_so = now_so.ok_or(Fault::Sqlite(rusqlite::Error::QueryReturnedNoRows))?;
    Ok(Ok(now_so.enrollment))
}

/// Records a certificate on proof by the one before it.
pub(super) fn renew(
    writing: &mut Writing<'_>,
    by: Digest,
    certificate: IssuedCertificate,
    now: Timestamp,
) -> Result<Result<(), Refusal>, Fault> {
    // Who asks with a renewed certificate has thereby used it.
    adopt(writing, by, now)?;
    let pinned: Option<EnrollmentId> = writing
        .prepare_cached("SELECT device FROM enrollments WHERE certificate = ?1")?
        .query_row([by], |row| row.get(0))
        .optional()?;
    let Some(device) = pinned.filter(|device| Some(device) == certificate.enrollment.as_ref()) else {
        return Ok(Err(Refusal::WrongCertificate));
    };
    let Some(before) = active(writing, &device)? else {
        return Ok(Err(Refusal::WrongCertificate));
    };
    if before.enrollment.state == EnrollmentState::Removing {
        return Ok(Err(Refusal::WrongCertificate));
    }
    // One that came from elsewhere has no record here; whether it runs is its authority's word, which the caller has heard.
    let ends = invitations::issued(writing, by)?.map(|issued| issued.certificate.not_after);
    let grace = |end: Timestamp| end.saturating_add(RENEWAL_GRACE).unwrap_or(Timestamp::MAX);
    if ends.is_some_and(|end| grace(end) < now) {
        return Ok(Err(Refusal::RanOut));
    }
    let certificate = IssuedCertificate {
        namespace: before.enrollment.namespace,
        labels: before.enrollment.labels,
        serial_number: before.enrollment.serial_number,
        ..certificate
    };
    Ok(invitations::renew(writing, &certificate)?
        .then_some(())
        .ok_or(Refusal::WrongCertificate))
}

/// Makes a renewed certificate the pin, since it has been used.
pub(super) fn adopt(
    writing: &mut Writing<'_>,
    fingerprint: Digest,
    now: Timestamp,
) -> Result<Option<Enrollment>, Fault> {
    let issued = invitations::issued(writing, fingerprint)?;
    let Some(renewed) = issued.filter(|issued| issued.state == CertificateState::Next) else {
        return Ok(None);
    };
    let Some(device) = &renewed.certificate.enrollment else {
        return Ok(None);
    };
    let Some(before) = active(writing, device)? else {
        return Ok(None);
    };
    succeed(writing, &before, &renewed, now)?;
    Ok(by_id(writing, &before.enrollment.id)?.map(|found| found.enrollment))
}

fn succeed(writing: &mut Writing<'_>, before: &Found, renewed: &Issued, now: Timestamp) -> Result<(), Fault> {
    invitations::succeed(writing, renewed, now)?;
    writing
        .prepare_cached("UPDATE enrollments SET certificate = ?2 WHERE id = ?1")?
        .execute(params![before.row, renewed.certificate.fingerprint])?;
    writing.forget(before.enrollment.certificate);
    let reason = "the device has renewed its identity certificate";
    note(writing, before.row, "CheckIn", reason, now)?;
    writing.announce(Change::Enrollment(before.enrollment.id.clone()));
    Ok(())
}

/// Writes the row of a new enrolment, over the one before.
fn begin(
    writing: &Writing<'_>,
    device: &Authentication,
    certificate: &IssuedCertificate,
    now: Timestamp,
) -> Result<i64, Fault> {
    let row = writing
        .prepare_cached(
            "INSERT INTO enrollments (device, device_name, generation, namespace, labels, state, certificate, platform, mode,
                 serial_number, model, os_version, build_version, declarative, token_updates, enrolled_at)
             VALUES (:device, :device_name, 1, :namespace, :labels, :state, :certificate, :platform, :mode,
                 :serial_number, :model, :os_version, :build_version, :declarative, 0, :enrolled_at)
             ON CONFLICT (device) DO UPDATE SET
                 generation = generation + 1, namespace = excluded.namespace, labels = excluded.labels,
                 state = excluded.state, certificate = excluded.certificate, platform = excluded.platform,
                 mode = excluded.mode, serial_number = excluded.serial_number, model = excluded.model,
                 os_version = excluded.os_version, build_version = excluded.build_version,
                 declarative = excluded.declarative, lacks = '{}', token_updates = 0, enrolled_at = excluded.enrolled_at,
                 awaiting_configuration = 0
             RETURNING id",
        )?
        .query_row(
            named_params! {
                ":device": device.enrollment,
                ":device_name": device.enrollment.device_name(),
                ":namespace": certificate.namespace,
                ":labels": Json(&certificate.labels),
                ":state": EnrollmentState::Authenticated,
                ":certificate": device.certificate,
                ":platform": device.platform,
                ":mode": device.mode,
                ":serial_number": device.serial_number,
                ":model": device.model,
                ":os_version": device.os_version,
                ":build_version": device.build_version,
                ":declarative": device.declarative,
                ":enrolled_at": Micros(now),
            },
            |row| row.get(0),
        )?;
    writing
        .prepare_cached("INSERT INTO pointers (enrollment) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([row])?;
    Ok(row)
}

/// What no enrolment leaves behind: its queue, its push address, what was in safe keeping, its manifest pointers.
pub(super) fn clear(writing: &Writing<'_>, row: i64, reason: &str, now: Timestamp) -> Result<(), Fault> {
    commands::cancel_all(writing, row, reason, now)?;
    addresses::remove(writing, row)?;
    writing
        .prepare_cached("DELETE FROM escrow WHERE enrollment = ?1")?
        .execute([row])?;
    writing
        .prepare_cached(
            "UPDATE pointers SET manifest = NULL, manifest_at = NULL, previous_manifest = NULL, advertised_manifest = NULL,
                 applied_manifest = NULL
             WHERE enrollment = ?1",
        )?
        .execute([row])?;
    Ok(())
}

pub(super) fn token_update(
    writing: &mut Writing<'_>,
    id: &EnrollmentId,
    address: &SealedAddress,
    now: Timestamp,
) -> Result<Option<Enrollment>, Fault> {
    let before = if id.is_user() {
        users::begin(writing, id, now)?
    } else {
        active(writing, id)?
    };
    let Some(before) = before else {
        return Ok(None);
    };
    if before.enrollment.state == EnrollmentState::Removing || commands::has_pending(writing, id)? {
        // It could not be woken for these until now, or the push that was to do it went to a token that is no longer good.
        writing.announce(Change::Work(id.clone()));
    }
    addresses::put(writing, before.row, address, Some(now))?;
    let state = match before.enrollment.state {
        EnrollmentState::Authenticated => EnrollmentState::Enrolled,
        other => other,
    };
    writing
        .prepare_cached("UPDATE enrollments SET state = ?2, token_updates = token_updates + 1 WHERE id = ?1")?
        .execute(params![before.row, state])?;
    writing.forget(before.enrollment.certificate);
    if state != before.enrollment.state {
        let reason = if id.is_user() {
            "the user's channel began"
        } else {
            "the device enrolled"
        };
        note(writing, before.row, "CheckIn", reason, now)?;
        writing.announce(Change::Enrollment(id.clone()));
    }
    Ok(by_id(writing, id)?.map(|found| found.enrollment))
}

pub(super) fn end(
    writing: &mut Writing<'_>,
    id: &EnrollmentId,
    ending: Ending,
    now: Timestamp,
) -> Result<bool, Fault> {
    let Some(before) = active(writing, id)? else {
        return Ok(false);
    };
    set_state(writing, &before, EnrollmentState::Ended)?;
    note(writing, before.row, ending.evidence(), ending.reason(), now)?;
    clear(writing, before.row, ending.reason(), now)?;
    users::end_all(writing, before.row, ending.evidence(), ending.reason(), now)?;
    invitations::withdraw(writing, id)?;
    Ok(true)
}

/// Records what happened to an enrolment itself, in the transaction in which it happens: once, whatever interrupts us.
pub(super) fn note(
    writing: &Writing<'_>,
    row: i64,
    evidence: &str,
    reason: &str,
    time: Timestamp,
) -> Result<(), Fault> {
    let transition = Transition {
        time,
        rule: None,
        from: None,
        to: None,
        revision: None,
        evidence: evidence.into(),
        reason: reason.to_owned(),
    };
    reports::append(writing, row, &[transition])
}

pub(super) fn remove_at_next_contact(
    writing: &mut Writing<'_>,
    id: &EnrollmentId,
    now: Timestamp,
) -> Result<bool, Fault> {
    let Some(before) = active(writing, id)? else {
        return Ok(false);
    };
    if before.enrollment.state != EnrollmentState::Removing {
        set_state(writing, &before, EnrollmentState::Removing)?;
        let reason = "its Device was deleted: the device is told to remove its enrolment at the next contact";
        note(writing, before.row, "Policy", reason, now)?;
        writing.announce(Change::Work(id.clone()));
    }
    Ok(true)
}

fn set_state(writing: &mut Writing<'_>, before: &Found, state: EnrollmentState) -> Result<(), Fault> {
    writing
        .prepare_cached("UPDATE enrollments SET state = ?2, awaiting_configuration = 0 WHERE id = ?1")?
        .execute(params![before.row, state])?;
    writing.forget(before.enrollment.certificate);
    writing.announce(Change::Enrollment(before.enrollment.id.clone()));
    Ok(())
}

pub(super) fn update_system(
    writing: &mut Writing<'_>,
    id: &EnrollmentId,
    news: &SystemNews,
) -> Result<(), Fault> {
    let Some(before) = active(writing, id)? else {
        return Ok(());
    };
    if !news.is_news(&before.enrollment) {
        return Ok(());
    }
    // The system of a device is that of its users; what it takes on its own channel says nothing about theirs.
    writing
        .prepare_cached(
            "UPDATE enrollments SET os_version = coalesce(?2, os_version), build_version = coalesce(?3, build_version),
                 lacks = CASE WHEN id = ?1 THEN coalesce(?4, lacks) ELSE lacks END
             WHERE id = ?1 OR parent = ?1",
        )?
        .execute(params![
            before.row,
            news.os_version,
            news.build_version,
            news.lacks.map(Json)
        ])?;
    writing.forget(before.enrollment.certificate);
    writing.announce(Change::Enrollment(id.clone()));
    Ok(())
}

pub(super) fn seen(writing: &Writing<'_>, times: &[(EnrollmentId, Timestamp)]) -> Result<(), Fault> {
    let mut statement = writing.prepare_cached(
        "INSERT INTO seen (enrollment, at) SELECT id, ?2 FROM enrollments WHERE device = ?1
         ON CONFLICT (enrollment) DO UPDATE SET at = max(at, excluded.at)",
    )?;
    for (id, time) in times {
        statement.execute(params![id, Micros(*time)])?;
    }
    Ok(())
}

pub(super) fn last_seen(connection: &Connection, id: &EnrollmentId) -> Result<Option<Timestamp>, Fault> {
    Ok(connection
        .prepare_cached(
            "SELECT at FROM seen WHERE enrollment = (SELECT id FROM enrollments WHERE device = ?1)",
        )?
        .query_row([id], |row| row.get(0))
        .optional()?
        .map(|Micros(time)| time))
}
