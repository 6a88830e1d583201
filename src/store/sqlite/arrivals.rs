//! Enrolments that began at another server: told apart from what is known, and taken over.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, named_params, params};

use super::addresses::{self, SealedAddress};
use super::columns::{Fault, Json, Micros};
use super::enrollments::{self, Found, by_id};
use super::invitations;
use super::writer::Writing;
use super::{escrow, users};
use crate::ids::EnrollmentId;
use crate::pki::Sealer;
use crate::secret::Secret;
use crate::store::{Arrival, Arrived, Change, Enrollment, EnrollmentState, Escrow, NotTaken, PushAddress};

/// Where the evidence of such a beginning comes from, as [`crate::store::Transition::evidence`].
const EVIDENCE: &str = "Import";

/// What would become of an arrival.
pub(super) fn weigh(
    connection: &Connection,
    sealer: &dyn Sealer,
    arrival: &Arrival,
) -> Result<Result<Arrived, NotTaken>, Fault> {
    let known = by_id(connection, &arrival.enrollment)?;
    weigh_against(connection, sealer, arrival, known.as_ref())
}

fn weigh_against(
    connection: &Connection,
    sealer: &dyn Sealer,
    arrival: &Arrival,
    known: Option<&Found>,
) -> Result<Result<Arrived, NotTaken>, Fault> {
    if let Some(known) = known
        && speaks_for_itself(connection, known)?
    {
        return Ok(Ok(Arrived::Left));
    }
    let obstacle = if arrival.enrollment.is_user() {
        obstacle_for_user(connection, &arrival.enrollment, known.is_some())?
    } else {
        obstacle_for_device(connection, arrival)?
    };
    if let Some(obstacle) = obstacle {
        return Ok(Err(obstacle));
    }
    let Some(known) = known else {
        return Ok(Ok(Arrived::New));
    };
    let news = is_news(arrival, &known.enrollment)
        || !knows_address(connection, sealer, arrival)?
        || !knows_secret(connection, sealer, arrival, Escrow::UnlockToken)?
        || !knows_secret(connection, sealer, arrival, Escrow::BootstrapToken)?;
    Ok(Ok(if news { Arrived::Changed } else { Arrived::Same }))
}

/// Whether an enrolment has been in contact here, or has ended. One that has only arrived has not.
fn speaks_for_itself(connection: &Connection, known: &Found) -> Result<bool, Fault> {
    let enrollment = &known.enrollment;
    Ok(enrollment.state != EnrollmentState::Enrolled
        || enrollment.token_updates > 0
        || enrollments::last_seen(connection, &enrollment.id)?.is_some())
}

fn obstacle_for_device(connection: &Connection, arrival: &Arrival) -> Result<Option<NotTaken>, Fault> {
    let Some(certificate) = arrival.certificate else {
        return Ok(Some(NotTaken::NoCertificate));
    };
    let holder: Option<EnrollmentId> = connection
        .prepare_cached("SELECT device FROM enrollments WHERE certificate = ?1")?
        .query_row([certificate], |row| row.get(0))
        .optional()?;
    let is_taken = match holder {
        Some(holder) => holder != arrival.enrollment,
        // One that was issued here and is nobody's pin has its own way in.
        None => invitations::issued(connection, certificate)?.is_some(),
    };
    if is_taken {
        return Ok(Some(NotTaken::CertificateTaken));
    }
    let holder: Option<EnrollmentId> = connection
        .prepare_cached("SELECT device FROM enrollments WHERE device_name = ?1")?
        .query_row([arrival.enrollment.device_name()], |row| row.get(0))
        .optional()?;
    Ok(holder
        .is_some_and(|holder| holder != arrival.enrollment)
        .then_some(NotTaken::NameTaken))
}

fn obstacle_for_user(
    connection: &Connection,
    user: &EnrollmentId,
    known: bool,
) -> Result<Option<NotTaken>, Fault> {
    Ok(match enrollments::active(connection, &user.device())? {
        None => Some(NotTaken::NoDevice),
        Some(device) if !known && users::count(connection, device.row)? >= users::USERS => {
            Some(NotTaken::TooManyUsers)
        }
        Some(_) => None,
    })
}

/// Whether an arrival says anything of the enrolment itself that is not known.
fn is_news(arrival: &Arrival, known: &Enrollment) -> bool {
    let Arrival {
        enrollment,
        namespace,
        labels,
        certificate,
        platform,
        mode,
        serial_number,
        model,
        os_version,
        declarative,
        topic: _,
        push: _,
        unlock_token: _,
        bootstrap_token: _,
    } = arrival;
    !enrollment.is_user()
        && (*namespace != known.namespace
            || *labels != known.labels
            || *certificate != Some(known.certificate)
            || *platform != known.platform
            || *mode != known.mode
            || *serial_number != known.serial_number
            || *model != known.model
            || *os_version != known.os_version
            || *declarative != known.declarative)
}

fn knows_address(connection: &Connection, sealer: &dyn Sealer, arrival: &Arrival) -> Result<bool, Fault> {
    let id = &arrival.enrollment;
    let known = addresses::of(connection, id)?;
    let Some(push) = &arrival.push else {
        let is_known = arrival.topic.is_none() || arrival.topic == addresses::topic(connection, id)?;
        return Ok(known.is_some() || is_known);
    };
    let Some(known) = known else {
        return Ok(false);
    };
    let known: PushAddress = known.unseal(sealer, id)?;
    Ok(known.topic == push.topic
        && known.token.reveal() == push.token.reveal()
        && known.magic.reveal() == push.magic.reveal())
}

fn secret_of(arrival: &Arrival, kind: Escrow) -> Option<&Secret<Vec<u8>>> {
    match kind {
        Escrow::BootstrapToken => arrival.bootstrap_token.as_ref(),
        Escrow::UnlockToken => arrival.unlock_token.as_ref(),
    }
}

fn knows_secret(
    connection: &Connection,
    sealer: &dyn Sealer,
    arrival: &Arrival,
    kind: Escrow,
) -> Result<bool, Fault> {
    let Some(secret) = secret_of(arrival, kind) else {
        return Ok(true);
    };
    let id = &arrival.enrollment;
    let Some(known) = escrow::sealed(connection, id, kind)? else {
        return Ok(false);
    };
    let known = sealer.open(&escrow::context(id, kind), &known)?;
    Ok(known.reveal() == secret.reveal())
}

/// Takes an arrival over.
pub(super) fn take_over(
    writing: &mut Writing<'_>,
    sealer: &dyn Sealer,
    arrival: &Arrival,
    now: Timestamp,
) -> Result<Result<Arrived, NotTaken>, Fault> {
    let id = &arrival.enrollment;
    let known = by_id(writing, id)?;
    let arrived = match weigh_against(writing, sealer, arrival, known.as_ref())? {
        Ok(arrived @ (Arrived::New | Arrived::Changed)) => arrived,
        nothing_to_do => return Ok(nothing_to_do),
    };
    let row = match &known {
        None if id.is_user() => begin_user(writing, id, now)?,
        None => begin_device(writing, arrival, now)?,
        Some(known) => {
            writing.forget(known.enrollment.certificate);
            if !id.is_user() {
                change_device(writing, arrival, known.row)?;
            }
            known.row
        }
    };
    writing
        .prepare_cached("UPDATE enrollments SET topic = coalesce(?2, topic) WHERE id = ?1")?
        .execute(params![row, arrival.topic])?;
    keep_secrets(writing, sealer, arrival, row)?;
    if arrived == Arrived::New {
        enrollments::note(
            writing,
            row,
            EVIDENCE,
            "the enrolment came from another server",
            now,
        )?;
    }
    writing.announce(Change::Enrollment(id.clone()));
    Ok(Ok(arrived))
}

fn begin_device(writing: &Writing<'_>, arrival: &Arrival, now: Timestamp) -> Result<i64, Fault> {
    let row = writing
        .prepare_cached(
            "INSERT INTO enrollments (device, device_name, generation, namespace, labels, state, certificate, platform, mode,
                 serial_number, model, os_version, declarative, token_updates, enrolled_at)
             VALUES (:device, :device_name, 1, :namespace, :labels, :state, :certificate, :platform, :mode,
                 :serial_number, :model, :os_version, :declarative, 0, :enrolled_at)
             RETURNING id",
        )?
        .query_row(
            named_params! {
                ":device": arrival.enrollment,
                ":device_name": arrival.enrollment.device_name(),
                ":namespace": arrival.namespace,
                ":labels": Json(&arrival.labels),
                ":state": EnrollmentState::Enrolled,
                ":certificate": arrival.certificate,
                ":platform": arrival.platform,
                ":mode": arrival.mode,
                ":serial_number": arrival.serial_number,
                ":model": arrival.model,
                ":os_version": arrival.os_version,
                ":declarative": arrival.declarative,
                ":enrolled_at": Micros(now),
            },
            |row| row.get(0),
        )?;
    begin_pointers(writing, row)?;
    Ok(row)
}

fn begin_user(writing: &Writing<'_>, id: &EnrollmentId, now: Timestamp) -> Result<i64, Fault> {
    let row = writing
        .prepare_cached(
            "INSERT INTO enrollments (device, parent, generation, namespace, labels, state, platform, mode, serial_number, model,
                 os_version, build_version, declarative, token_updates, enrolled_at)
             SELECT ?2, id, 1, namespace, labels, ?3, platform, mode, serial_number, model, os_version, build_version, declarative, 0, ?4
             FROM enrollments WHERE device = ?1
             RETURNING id",
        )?
        .query_row(
            params![id.device(), id, EnrollmentState::Enrolled, Micros(now)],
            |row| row.get(0),
        )?;
    begin_pointers(writing, row)?;
    Ok(row)
}

fn begin_pointers(writing: &Writing<'_>, row: i64) -> Result<(), Fault> {
    writing
        .prepare_cached("INSERT INTO pointers (enrollment) VALUES (?1)")?
        .execute([row])?;
    Ok(())
}

/// What is said of a device is true of its users; the certificate is the device's alone.
fn change_device(writing: &Writing<'_>, arrival: &Arrival, row: i64) -> Result<(), Fault> {
    writing
        .prepare_cached(
            "UPDATE enrollments SET namespace = :namespace, labels = :labels, platform = :platform, mode = :mode,
                 serial_number = :serial_number, model = :model, os_version = :os_version, declarative = :declarative,
                 certificate = CASE WHEN id = :row THEN :certificate END
             WHERE id = :row OR parent = :row",
        )?
        .execute(named_params! {
            ":row": row,
            ":namespace": arrival.namespace,
            ":labels": Json(&arrival.labels),
            ":certificate": arrival.certificate,
            ":platform": arrival.platform,
            ":mode": arrival.mode,
            ":serial_number": arrival.serial_number,
            ":model": arrival.model,
            ":os_version": arrival.os_version,
            ":declarative": arrival.declarative,
        })?;
    Ok(())
}

fn keep_secrets(
    writing: &Writing<'_>,
    sealer: &dyn Sealer,
    arrival: &Arrival,
    row: i64,
) -> Result<(), Fault> {
    let id = &arrival.enrollment;
    if let Some(push) = &arrival.push {
        addresses::put(writing, row, &SealedAddress::seal(sealer, id, push)?, None)?;
    }
    for kind in [Escrow::UnlockToken, Escrow::BootstrapToken] {
        if let Some(secret) = secret_of(arrival, kind) {
            let bytes = sealer.seal(&escrow::context(id, kind), secret.reveal())?;
            escrow::put(writing, row, kind, &bytes)?;
        }
    }
    Ok(())
}
