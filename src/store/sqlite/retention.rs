//! How long things are kept, and their removal in batches beside the daily work, never within it.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use super::columns::{Fault, Micros};
use super::writer::Writing;
use crate::mdm::commands::Class;

/// Rows that one transaction removes: the writer is not kept from others for longer than that takes.
pub(super) const BATCH: usize = 500;

/// Ended commands of one class kept for one device, whatever their age: questions do not crowd out what an auditor asks for.
const RESULTS_PER_DEVICE: u32 = 200;

/// Enrolments looked through at a time for having too many results.
const ENROLLMENTS_AT_A_TIME: i64 = 1_000;

/// What changes or could harm a device: an auditor asks for it.
const RECORDED: SignedDuration = SignedDuration::from_hours(24 * 90);

/// Questions asked over and over, whose answers are facts.
const POLLED: SignedDuration = SignedDuration::from_hours(24);

/// How long an invitation, or a certificate that is no pin, is remembered after it ran out: to say `expired` and `used` rather than `unknown`.
const RUN_OUT: SignedDuration = SignedDuration::from_hours(24 * 30);

/// Until when an ended command is kept.
pub(super) fn kept_until(class: Class, ended_at: Timestamp) -> Timestamp {
    let kept_for = match class {
        Class::Question => POLLED,
        Class::Change | Class::Emergency => RECORDED,
    };
    ended_at.saturating_add(kept_for).unwrap_or(Timestamp::MAX)
}

/// How much [`super::SqliteStore::retain`] has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Commands past their deadline, moved to history.
    pub expired_commands: usize,
    /// Ended commands.
    pub results: usize,
    /// Request bodies that no command needs any more.
    pub bodies: usize,
    /// Invitations that ran out long ago.
    pub invitations: usize,
    /// Certificates that ran out long ago.
    pub certificates: usize,
    /// Answers that nobody asks for again.
    pub answers: usize,
}

fn removed(writing: &Writing<'_>, statement: &str, before: Timestamp) -> Result<usize, Fault> {
    Ok(writing
        .prepare_cached(statement)?
        .execute(params![Micros(before), i64::try_from(BATCH).unwrap_or(i64::MAX)])?)
}

fn long_ago(now: Timestamp) -> Timestamp {
    now.saturating_sub(RUN_OUT).unwrap_or(Timestamp::MIN)
}

pub(super) fn invitations(writing: &Writing<'_>, now: Timestamp) -> Result<usize, Fault> {
    let statement = "DELETE FROM invitations WHERE challenge IN (SELECT challenge FROM invitations WHERE expires_at < ?1 LIMIT ?2)";
    removed(writing, statement, long_ago(now))
}

pub(super) fn certificates(writing: &Writing<'_>, now: Timestamp) -> Result<usize, Fault> {
    let statement = "DELETE FROM certificates WHERE id IN (
        SELECT id FROM certificates WHERE not_after < ?1 AND state <> 'pinned' LIMIT ?2)";
    removed(writing, statement, long_ago(now))
}

pub(super) fn answers(writing: &Writing<'_>, now: Timestamp) -> Result<usize, Fault> {
    let statement =
        "DELETE FROM answers WHERE message IN (SELECT message FROM answers WHERE expires_at < ?1 LIMIT ?2)";
    removed(writing, statement, now)
}

/// A body that no command needs, and how often it had been used when it was found so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unneeded {
    id: i64,
    uses: i64,
}

/// Looks for bodies that no command needs any more; a reader does this, since it looks at all commands.
pub(super) fn unneeded_bodies(connection: &Connection) -> Result<Vec<Unneeded>, Fault> {
    Ok(connection
        .prepare_cached("SELECT id, uses FROM bodies WHERE id NOT IN (SELECT body FROM pending)")?
        .query_map([], |row| {
            Ok(Unneeded {
                id: row.get(0)?,
                uses: row.get(1)?,
            })
        })?
        .collect::<Result<_, _>>()?)
}

/// Removes those of `unneeded` that nobody has used since.
pub(super) fn remove_bodies(writing: &Writing<'_>, unneeded: &[Unneeded]) -> Result<usize, Fault> {
    let mut statement = writing.prepare_cached("DELETE FROM bodies WHERE id = ?1 AND uses = ?2")?;
    let mut removed = 0;
    for Unneeded { id, uses } in unneeded {
        writing.queues().borrow_mut().forget_template(*id);
        removed += statement.execute([id, uses])?;
    }
    Ok(removed)
}

/// The results that need not be kept, for a range of enrolments that begins after `after`: those whose time is over, and those beyond the newest of
/// each class of each enrolment.
pub(super) struct Surplus {
    pub(super) results: Vec<i64>,
    /// Where the range ended. None: there are no more enrolments.
    pub(super) last: Option<i64>,
}

/// Looks for results that need not be kept. A reader does this, since it looks at all of them: an index by time would be one more page to write for
/// every report.
pub(super) fn surplus(connection: &Connection, after: i64, now: Timestamp) -> Result<Surplus, Fault> {
    let last: Option<i64> = connection
        .prepare_cached(
            "SELECT max(id) FROM (SELECT id FROM enrollments WHERE id > ?1 ORDER BY id LIMIT ?2)",
        )?
        .query_row([after, ENROLLMENTS_AT_A_TIME], |row| row.get(0))?;
    let results = connection
        .prepare_cached(
            "SELECT id FROM (
                 SELECT id, expires_at, row_number() OVER (PARTITION BY enrollment, class ORDER BY id DESC) AS place
                 FROM results WHERE enrollment > ?1 AND enrollment <= ?2)
             WHERE place > ?3 OR expires_at < ?4",
        )?
        .query_map(params![after, last, RESULTS_PER_DEVICE, Micros(now)], |row| {
            row.get(0)
        })?
        .collect::<Result<_, _>>()?;
    Ok(Surplus { results, last })
}

pub(super) fn remove_results(writing: &Writing<'_>, ids: &[i64]) -> Result<usize, Fault> {
    let mut statement = writing.prepare_cached("DELETE FROM results WHERE id = ?1")?;
    let mut removed = 0;
    for id in ids {
        removed += statement.execute([id])?;
    }
    Ok(removed)
}
