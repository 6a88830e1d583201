//! What devices give into safe keeping, sealed; and who of them waits in Setup Assistant.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::columns::{Fault, Micros};
use super::enrollments::{active, found, row_limit, select_enrollments};
use super::writer::Writing;
use crate::ids::EnrollmentId;
use crate::store::{Change, Enrollment, EnrollmentState, Escrow};

/// What a sealed secret is bound to: it opens for no other enrolment, and as nothing else.
pub(super) fn context(id: &EnrollmentId, kind: Escrow) -> String {
    format!("{}/{id}", <&'static str>::from(kind))
}

/// None: gives up what was there. False: there is no such enrolment, or it has ended.
pub(super) fn keep(
    writing: &mut Writing<'_>,
    id: &EnrollmentId,
    kind: Escrow,
    sealed: Option<&[u8]>,
) -> Result<bool, Fault> {
    let Some(before) = active(writing, id)? else {
        return Ok(false);
    };
    match sealed {
        Some(sealed) => put(writing, before.row, kind, sealed)?,
        None => {
            writing
                .prepare_cached("DELETE FROM escrow WHERE enrollment = ?1 AND kind = ?2")?
                .execute(params![before.row, kind])?;
        }
    }
    let known = match kind {
        Escrow::BootstrapToken => before.enrollment.bootstrap_token,
        Escrow::UnlockToken => before.enrollment.unlock_token,
    };
    if known != sealed.is_some() {
        // That it is there is part of the enrolment, and what people see of it.
        writing.forget(before.enrollment.certificate);
        writing.announce(Change::Enrollment(id.clone()));
    }
    Ok(true)
}

/// In place of what was there.
pub(super) fn put(writing: &Writing<'_>, row: i64, kind: Escrow, sealed: &[u8]) -> Result<(), Fault> {
    writing
        .prepare_cached(
            "INSERT INTO escrow (enrollment, kind, sealed) VALUES (?1, ?2, ?3)
             ON CONFLICT (enrollment, kind) DO UPDATE SET sealed = excluded.sealed",
        )?
        .execute(params![row, kind, sealed])?;
    Ok(())
}

/// As it stands in the database.
pub(super) fn sealed(
    connection: &Connection,
    id: &EnrollmentId,
    kind: Escrow,
) -> Result<Option<Vec<u8>>, Fault> {
    Ok(connection
        .prepare_cached(
            "SELECT sealed FROM escrow WHERE enrollment = (SELECT id FROM enrollments WHERE device = ?1) AND kind = ?2",
        )?
        .query_row(params![id, kind], |row| row.get(0))
        .optional()?)
}

pub(super) fn await_configuration(
    writing: &mut Writing<'_>,
    id: &EnrollmentId,
    awaiting: bool,
) -> Result<(), Fault> {
    let Some(before) =
        active(writing, id)?.filter(|found| found.enrollment.awaiting_configuration != awaiting)
    else {
        return Ok(());
    };
    writing
        .prepare_cached("UPDATE enrollments SET awaiting_configuration = ?2 WHERE id = ?1")?
        .execute(params![before.row, awaiting])?;
    writing.forget(before.enrollment.certificate);
    Ok(())
}

pub(super) fn awaiting(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<Enrollment>, Fault> {
    Ok(connection
        .prepare_cached(select_enrollments!(
            "WHERE e.awaiting_configuration = 1 AND e.enrolled_at <= ?1 AND e.state = ?2 ORDER BY e.enrolled_at LIMIT ?3"
        ))?
        .query_map(
            params![Micros(before), EnrollmentState::Enrolled, row_limit(limit)],
            found,
        )?
        .map(|row| row.map(|found| found.enrollment))
        .collect::<Result<_, _>>()?)
}
