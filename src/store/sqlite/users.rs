//! Users' channels: enrolments of their own that belong to a device and end with it.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::columns::{Fault, Micros};
use super::enrollments::{self, Found, active, by_id, found, row_of, select_enrollments};
use super::reports;
use super::writer::Writing;
use crate::ids::EnrollmentId;
use crate::store::{Enrollment, EnrollmentState};

/// The most users that are kept of one device, ended ones included: more than sign in at the iPad of any classroom, and few enough that a device
/// that makes them up fills no disk.
pub(super) const USERS: i64 = 1_000;

/// A user's channel that goes on, or begins (anew). None: its device is not enrolled, or has too many.
pub(super) fn begin(
    writing: &Writing<'_>,
    id: &EnrollmentId,
    now: Timestamp,
) -> Result<Option<Found>, Fault> {
    let Some(device) = active(writing, &id.device())? else {
        return Ok(None);
    };
    let known = by_id(writing, id)?;
    if known.is_none() && count(writing, device.row)? >= USERS {
        return Ok(None);
    }
    if let Some(known) = known
        && known.enrollment.state != EnrollmentState::Ended
    {
        return Ok(Some(known));
    }
    let row: i64 = writing
        .prepare_cached(
            "INSERT INTO enrollments (device, parent, generation, namespace, labels, state, platform, mode, serial_number, model,
                 os_version, build_version, declarative, token_updates, enrolled_at)
             SELECT ?2, id, 1, namespace, labels, ?3, platform, mode, serial_number, model, os_version, build_version, declarative, 0, ?4
             FROM enrollments WHERE id = ?1
             ON CONFLICT (device) DO UPDATE SET
                 generation = generation + 1, namespace = excluded.namespace, labels = excluded.labels,
                 state = excluded.state, platform = excluded.platform, mode = excluded.mode,
                 serial_number = excluded.serial_number, model = excluded.model, os_version = excluded.os_version,
                 build_version = excluded.build_version, declarative = excluded.declarative, token_updates = 0,
                 enrolled_at = excluded.enrolled_at, awaiting_configuration = 0
             RETURNING id",
        )?
        .query_row(
            params![device.row, id, EnrollmentState::Authenticated, Micros(now)],
            |row| row.get(0),
        )?;
    writing
        .prepare_cached("INSERT INTO pointers (enrollment) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([row])?;
    reports::clear(writing, row)?;
    by_id(writing, id)
}

pub(super) fn count(connection: &Connection, device: i64) -> Result<i64, Fault> {
    Ok(connection
        .prepare_cached("SELECT count(*) FROM enrollments WHERE parent = ?1")?
        .query_row([device], |row| row.get(0))?)
}

/// Ends the users of a device that ends.
pub(super) fn end_all(
    writing: &Writing<'_>,
    device: i64,
    evidence: &str,
    reason: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    for row in rows(writing, device)? {
        let ended = writing
            .prepare_cached(
                "UPDATE enrollments SET state = ?2, awaiting_configuration = 0 WHERE id = ?1 AND state <> ?2",
            )?
            .execute(params![row, EnrollmentState::Ended])?;
        if ended > 0 {
            enrollments::note(writing, row, evidence, reason, now)?;
            enrollments::clear(writing, row, reason, now)?;
        }
    }
    Ok(())
}

/// A new enrolment of a device begins without users, and without what they reported.
pub(super) fn begin_without(writing: &Writing<'_>, device: i64, now: Timestamp) -> Result<(), Fault> {
    end_all(
        writing,
        device,
        "CheckIn",
        "a new enrolment of the device began",
        now,
    )?;
    for row in rows(writing, device)? {
        reports::clear(writing, row)?;
    }
    Ok(())
}

fn rows(connection: &Connection, device: i64) -> Result<Vec<i64>, Fault> {
    Ok(connection
        .prepare_cached("SELECT id FROM enrollments WHERE parent = ?1")?
        .query_map([device], |row| row.get(0))?
        .collect::<Result<_, _>>()?)
}

/// The users of a device, in the order of their ids.
pub(super) fn of(connection: &Connection, device: &EnrollmentId) -> Result<Vec<Enrollment>, Fault> {
    let Some(device) = row_of(connection, device)? else {
        return Ok(Vec::new());
    };
    Ok(connection
        .prepare_cached(select_enrollments!("WHERE e.parent = ?1 ORDER BY e.device"))?
        .query_map([device], found)?
        .map(|row| row.map(|found| found.enrollment))
        .collect::<Result<_, _>>()?)
}
