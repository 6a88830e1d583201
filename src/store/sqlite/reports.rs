//! What devices reported and what was concluded from it: facts and verdicts as one document a device, transitions as rows.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::columns::{Fault, Micros, decode};
use super::enrollments::{row_limit, row_of};
use super::writer::Writing;
use crate::compliance::Facts;
use crate::ids::EnrollmentId;
use crate::store::{Change, EnrollmentState, Transition, Verdicts};

/// The facts of a device, and which of its enrolments they belong to.
pub(super) struct FactsOf {
    pub(super) row: i64,
    pub(super) generation: i64,
    pub(super) facts: Facts,
}

/// None: there is no enrolment that has not ended.
pub(super) fn facts_to_change(connection: &Connection, id: &EnrollmentId) -> Result<Option<FactsOf>, Fault> {
    let found: Option<(i64, i64, Option<Vec<u8>>)> = connection
        .prepare_cached(
            "SELECT e.id, e.generation, f.body FROM enrollments e LEFT JOIN facts f ON f.enrollment = e.id
             WHERE e.device = ?1 AND e.state <> ?2",
        )?
        .query_row(params![id, EnrollmentState::Ended], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((row, generation, body)) = found else {
        return Ok(None);
    };
    let facts = body
        .map(|body| decode("facts", &body))
        .transpose()?
        .unwrap_or_default();
    Ok(Some(FactsOf {
        row,
        generation,
        facts,
    }))
}

pub(super) fn facts(connection: &Connection, id: &EnrollmentId) -> Result<Facts, Fault> {
    let body: Option<Vec<u8>> = connection
        .prepare_cached(
            "SELECT body FROM facts WHERE enrollment = (SELECT id FROM enrollments WHERE device = ?1)",
        )?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(body
        .map(|body| decode("facts", &body))
        .transpose()?
        .unwrap_or_default())
}

/// Keeps changed facts, unless the enrolment that reported them is over. Returns whether they were kept.
pub(super) fn keep_facts(
    writing: &mut Writing<'_>,
    id: &EnrollmentId,
    (row, generation): (i64, i64),
    body: &[u8],
    news: bool,
) -> Result<bool, Fault> {
    let kept = writing
        .prepare_cached(
            "INSERT INTO facts (enrollment, body)
             SELECT id, ?3 FROM enrollments WHERE id = ?1 AND generation = ?2 AND state <> ?4
             ON CONFLICT (enrollment) DO UPDATE SET body = excluded.body",
        )?
        .execute(params![row, generation, body, EnrollmentState::Ended])?
        > 0;
    if kept && news {
        writing.announce(Change::Facts(id.clone()));
    }
    Ok(kept)
}

pub(super) fn verdicts(connection: &Connection, id: &EnrollmentId) -> Result<Verdicts, Fault> {
    let body: Option<Vec<u8>> = connection
        .prepare_cached(
            "SELECT body FROM verdicts WHERE enrollment = (SELECT id FROM enrollments WHERE device = ?1)",
        )?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(body
        .map(|body| decode("verdicts", &body))
        .transpose()?
        .unwrap_or_default())
}

pub(super) fn record_verdicts(
    writing: &Writing<'_>,
    id: &EnrollmentId,
    body: &[u8],
    transitions: &[Transition],
) -> Result<(), Fault> {
    let Some(row) = row_of(writing, id)? else {
        return Ok(());
    };
    writing
        .prepare_cached(
            "INSERT INTO verdicts (enrollment, body) VALUES (?1, ?2)
             ON CONFLICT (enrollment) DO UPDATE SET body = excluded.body",
        )?
        .execute(params![row, body])?;
    append(writing, row, transitions)
}

/// Appends transitions to the history of an enrolment.
pub(super) fn append(writing: &Writing<'_>, row: i64, transitions: &[Transition]) -> Result<(), Fault> {
    let mut insert = writing.prepare_cached(
        "INSERT INTO transitions (enrollment, time, rule, before, after, revision, evidence, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for Transition {
        time,
        rule,
        from,
        to,
        revision,
        evidence,
        reason,
    } in transitions
    {
        insert.execute(params![
            row,
            Micros(*time),
            rule,
            from,
            to,
            revision,
            evidence,
            reason
        ])?;
    }
    Ok(())
}

pub(super) fn transitions(
    connection: &Connection,
    id: &EnrollmentId,
    limit: usize,
) -> Result<Vec<Transition>, Fault> {
    let Some(row) = row_of(connection, id)? else {
        return Ok(Vec::new());
    };
    Ok(connection
        .prepare_cached(
            "SELECT time, rule, before, after, revision, evidence, reason FROM transitions
             WHERE enrollment = ?1 ORDER BY id DESC LIMIT ?2",
        )?
        .query_map(params![row, row_limit(limit)], |row| {
            let Micros(time) = row.get("time")?;
            Ok(Transition {
                time,
                rule: row.get("rule")?,
                from: row.get("before")?,
                to: row.get("after")?,
                revision: row.get("revision")?,
                evidence: row.get("evidence")?,
                reason: row.get("reason")?,
            })
        })?
        .collect::<Result<_, _>>()?)
}

/// Forgets what an enrolment that is over has reported; its transitions stay.
pub(super) fn clear(writing: &Writing<'_>, row: i64) -> Result<(), Fault> {
    writing
        .prepare_cached("DELETE FROM facts WHERE enrollment = ?1")?
        .execute([row])?;
    writing
        .prepare_cached("DELETE FROM verdicts WHERE enrollment = ?1")?
        .execute([row])?;
    Ok(())
}
