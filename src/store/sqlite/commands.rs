//! The command queue in tables. What happens is decided by [`crate::mdm::queue`]; this carries it out.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::bodies::{self, Templates};
use super::columns::{Fault, Json, Micros};
use super::enrollments::{row_limit, row_of};
use super::retention;
use super::writer::Writing;
use crate::ids::{CommandUuid, Digest, EnrollmentId};
use crate::mdm::command::{
    FinalState, NewCommand, OfferedCommand, PendingCommand, PendingState, ReportStatus,
};
use crate::mdm::queue::{self, Effect};
use crate::pki::Sealer;
use crate::store::{Change, CommandResult, EnrollmentState, ReportOutcome};

/// Commands to queue, with their bodies ready to be kept.
pub(super) struct Prepared {
    commands: Vec<(NewCommand, Digest)>,
    templates: Templates,
}

/// Looks at the bodies, which needs no database and would keep the writer from others.
pub(super) fn prepare(commands: Vec<NewCommand>, sealer: &dyn Sealer) -> Result<Prepared, Fault> {
    let mut templates = Templates::new();
    let commands = commands
        .into_iter()
        .map(|command| {
            let tag = templates.tag(sealer, &command.body, &command.uuid)?;
            Ok((command, tag))
        })
        .collect::<Result<_, Fault>>()?;
    Ok(Prepared { commands, templates })
}

/// What [`Pending::found`] reads.
const PENDING: &str =
    "sequence, uuid, request_type, body, state, attempts, unanswered, intent, chain, queued_at, deadline";

/// A pending command, and the row of its body.
struct Pending {
    command: PendingCommand,
    body: i64,
}

impl Pending {
    fn found(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (Micros(queued_at), Micros(deadline)) = (row.get("queued_at")?, row.get("deadline")?);
        let command = PendingCommand {
            sequence: row.get("sequence")?,
            uuid: row.get("uuid")?,
            request_type: row.get("request_type")?,
            state: row.get("state")?,
            attempts: row.get("attempts")?,
            unanswered: row.get("unanswered")?,
            intent: row.get("intent")?,
            chain: row.get("chain")?,
            queued_at,
            deadline,
        };
        Ok(Self {
            command,
            body: row.get("body")?,
        })
    }

    fn of_intent(connection: &Connection, enrollment: i64, intent: &str) -> Result<Option<Self>, Fault> {
        Ok(connection
            .prepare_cached(&format!(
                "SELECT {PENDING} FROM pending WHERE enrollment = ?1 AND intent = ?2"
            ))?
            .query_row(params![enrollment, intent], Self::found)
            .optional()?)
    }

    fn of_uuid(connection: &Connection, enrollment: i64, uuid: &CommandUuid) -> Result<Option<Self>, Fault> {
        Ok(connection
            .prepare_cached(&format!(
                "SELECT {PENDING} FROM pending WHERE enrollment = ?1 AND uuid = ?2"
            ))?
            .query_row(params![enrollment, uuid], Self::found)
            .optional()?)
    }

    /// All of an enrolment, in the order of delivery.
    fn all(connection: &Connection, enrollment: i64) -> Result<Vec<Self>, Fault> {
        Ok(connection
            .prepare_cached(&format!(
                "SELECT {PENDING} FROM pending WHERE enrollment = ?1 ORDER BY sequence"
            ))?
            .query_map([enrollment], Self::found)?
            .collect::<Result<_, _>>()?)
    }
}

pub(super) fn enqueue(
    writing: &mut Writing<'_>,
    prepared: &Prepared,
    now: Timestamp,
) -> Result<Vec<EnrollmentId>, Fault> {
    let mut refused = Vec::new();
    for (command, tag) in &prepared.commands {
        let enrollment: Option<(i64, EnrollmentState, Micros)> = writing
            .prepare_cached("SELECT id, state, enrolled_at FROM enrollments WHERE device = ?1")?
            .query_row([&command.enrollment], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((enrollment, _, enrolled_at)) =
            enrollment.filter(|(_, state, _)| *state != EnrollmentState::Ended)
        else {
            refused.push(command.enrollment.clone());
            continue;
        };
        if was_given(writing, enrollment, &command.uuid, enrolled_at)? {
            continue;
        }
        let body = prepared.templates.keep(writing, *tag)?;
        if let Some(sequence) = place(writing, enrollment, command, body, now)? {
            insert(writing, enrollment, sequence, command, body, now)?;
            writing.announce(Change::Work(command.enrollment.clone()));
        }
    }
    Ok(refused)
}

/// Whether this enrolment has, or has had, a command of this UUID.
fn was_given(
    connection: &Connection,
    enrollment: i64,
    uuid: &CommandUuid,
    enrolled_at: Micros,
) -> Result<bool, Fault> {
    Ok(connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM pending WHERE enrollment = ?1 AND uuid = ?2)
                 OR EXISTS (SELECT 1 FROM results WHERE enrollment = ?1 AND uuid = ?2 AND queued_at >= ?3)",
        )?
        .query_row(params![enrollment, uuid, enrolled_at], |row| row.get(0))?)
}

/// The sequence of a new command. None: a pending one of the same intent stands for it.
fn place(
    writing: &Writing<'_>,
    enrollment: i64,
    new: &NewCommand,
    body: i64,
    now: Timestamp,
) -> Result<Option<i64>, Fault> {
    if let Some(intent) = &new.intent
        && let Some(old) = Pending::of_intent(writing, enrollment, intent)?
    {
        if queue::is_expired(&old.command, now) {
            finish(writing, enrollment, &old.command, FinalState::Expired, &[], now)?;
        } else if old.body == body {
            // It stands for the new one for as long as the new one would have lived.
            writing
                .prepare_cached(
                    "UPDATE pending SET deadline = ?3 WHERE enrollment = ?1 AND sequence = ?2 AND deadline < ?3",
                )?
                .execute(params![enrollment, old.command.sequence, Micros(new.deadline)])?;
            return Ok(None);
        } else {
            let reason = format!("replaced by {}", new.uuid);
            finish(
                writing,
                enrollment,
                &old.command,
                FinalState::Cancelled,
                &[reason],
                now,
            )?;
            if old.command.chain == new.chain {
                return Ok(Some(old.command.sequence));
            }
        }
    }
    Ok(Some(
        writing
            .prepare_cached("UPDATE sequence SET last = last + 1 RETURNING last")?
            .query_row([], |row| row.get(0))?,
    ))
}

fn insert(
    writing: &Writing<'_>,
    enrollment: i64,
    sequence: i64,
    command: &NewCommand,
    body: i64,
    now: Timestamp,
) -> Result<(), Fault> {
    writing
        .prepare_cached(
            "INSERT INTO pending (enrollment, sequence, uuid, request_type, body, state, attempts, unanswered, intent, chain,
                 queued_at, deadline)
             VALUES (:enrollment, :sequence, :uuid, :request_type, :body, :state, 0, 0, :intent, :chain, :queued_at, :deadline)",
        )?
        .execute(named_params! {
            ":enrollment": enrollment,
            ":sequence": sequence,
            ":uuid": command.uuid,
            ":request_type": command.request_type,
            ":body": body,
            ":state": PendingState::Queued,
            ":intent": command.intent,
            ":chain": command.chain,
            ":queued_at": Micros(now),
            ":deadline": Micros(command.deadline),
        })?;
    Ok(())
}

/// Moves a pending command into history.
fn finish(
    writing: &Writing<'_>,
    enrollment: i64,
    command: &PendingCommand,
    state: FinalState,
    detail: &[String],
    now: Timestamp,
) -> Result<(), Fault> {
    writing
        .prepare_cached("DELETE FROM pending WHERE enrollment = ?1 AND sequence = ?2")?
        .execute(params![enrollment, command.sequence])?;
    writing
        .prepare_cached(
            "INSERT INTO results (enrollment, uuid, request_type, state, detail, queued_at, ended_at, expires_at)
             VALUES (:enrollment, :uuid, :request_type, :state, :detail, :queued_at, :ended_at, :expires_at)",
        )?
        .execute(named_params! {
            ":enrollment": enrollment,
            ":uuid": command.uuid,
            ":request_type": command.request_type,
            ":state": state,
            ":detail": Json(detail),
            ":queued_at": Micros(command.queued_at),
            ":ended_at": Micros(now),
            ":expires_at": Micros(retention::kept_until(&command.request_type, now)),
        })?;
    Ok(())
}

/// Ends everything that is pending for an enrolment.
pub(super) fn cancel_all(
    writing: &Writing<'_>,
    enrollment: i64,
    reason: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    for Pending { command, .. } in Pending::all(writing, enrollment)? {
        let (state, detail) = if queue::is_expired(&command, now) {
            (FinalState::Expired, Vec::new())
        } else {
            (FinalState::Cancelled, vec![reason.to_owned()])
        };
        finish(writing, enrollment, &command, state, &detail, now)?;
    }
    Ok(())
}

/// Whether anything is pending for a device: what most polls end with.
pub(super) fn has_pending(connection: &Connection, id: &EnrollmentId) -> Result<bool, Fault> {
    Ok(connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM pending WHERE enrollment = (SELECT id FROM enrollments WHERE device = ?1))",
        )?
        .query_row([id], |row| row.get(0))?)
}

pub(super) fn next(
    writing: &Writing<'_>,
    sealer: &dyn Sealer,
    id: &EnrollmentId,
    idle: bool,
    now: Timestamp,
) -> Result<Option<OfferedCommand>, Fault> {
    let Some(enrollment) = row_of(writing, id)? else {
        return Ok(None);
    };
    let (commands, bodies): (Vec<_>, Vec<_>) = Pending::all(writing, enrollment)?
        .into_iter()
        .map(|pending| (pending.command, pending.body))
        .unzip();
    let plan = queue::plan(&commands, idle, now);
    let mut offered = None;
    for (command, body) in commands.iter().zip(bodies) {
        let sequence = command.sequence;
        if plan.offer == Some(sequence) {
            writing
                .prepare_cached(
                    "UPDATE pending SET state = ?3, attempts = attempts + 1, unanswered = unanswered + 1
                     WHERE enrollment = ?1 AND sequence = ?2",
                )?
                .execute(params![enrollment, sequence, PendingState::Sent])?;
            offered = Some(OfferedCommand {
                uuid: command.uuid.clone(),
                request_type: Arc::clone(&command.request_type),
                body: bodies::body(writing, sealer, body, &command.uuid)?,
            });
        } else if plan.expired.contains(&sequence) {
            finish(writing, enrollment, command, FinalState::Expired, &[], now)?;
        }
    }
    for sequence in plan.requeued {
        set_state(writing, enrollment, sequence, PendingState::Queued)?;
    }
    Ok(offered)
}

fn set_state(
    writing: &Writing<'_>,
    enrollment: i64,
    sequence: i64,
    state: PendingState,
) -> Result<(), Fault> {
    writing
        .prepare_cached("UPDATE pending SET state = ?3 WHERE enrollment = ?1 AND sequence = ?2")?
        .execute(params![enrollment, sequence, state])?;
    Ok(())
}

pub(super) fn report(
    writing: &Writing<'_>,
    id: &EnrollmentId,
    uuid: &CommandUuid,
    status: &ReportStatus,
    now: Timestamp,
) -> Result<ReportOutcome, Fault> {
    let Some(enrollment) = row_of(writing, id)? else {
        return Ok(ReportOutcome::AlreadyKnown);
    };
    let Some(Pending { command, .. }) = Pending::of_uuid(writing, enrollment, uuid)? else {
        return Ok(ReportOutcome::AlreadyKnown);
    };
    match queue::apply(status) {
        Effect::Keep => Ok(ReportOutcome::AlreadyKnown),
        Effect::Defer => {
            writing
                .prepare_cached(
                    "UPDATE pending SET state = ?3, unanswered = 0 WHERE enrollment = ?1 AND sequence = ?2",
                )?
                .execute(params![enrollment, command.sequence, PendingState::NotNow])?;
            Ok(ReportOutcome::Deferred)
        }
        Effect::End { state, detail } => {
            finish(writing, enrollment, &command, state, &detail, now)?;
            Ok(ReportOutcome::Ended {
                state,
                request_type: command.request_type,
            })
        }
    }
}

/// Ends what is past its deadline though its device never asks, at most `limit` commands. Returns how many.
pub(super) fn expire(writing: &Writing<'_>, now: Timestamp, limit: usize) -> Result<usize, Fault> {
    let overdue: Vec<(i64, PendingCommand)> = writing
        .prepare_cached(&format!(
            "SELECT enrollment, {PENDING} FROM pending WHERE deadline < ?1 LIMIT ?2"
        ))?
        .query_map(params![Micros(now), row_limit(limit)], |row| {
            Ok((row.get("enrollment")?, Pending::found(row)?.command))
        })?
        .collect::<Result<_, _>>()?;
    for (enrollment, command) in &overdue {
        finish(writing, *enrollment, command, FinalState::Expired, &[], now)?;
    }
    Ok(overdue.len())
}

pub(super) fn pending(connection: &Connection, id: &EnrollmentId) -> Result<Vec<PendingCommand>, Fault> {
    let Some(enrollment) = row_of(connection, id)? else {
        return Ok(Vec::new());
    };
    Ok(Pending::all(connection, enrollment)?
        .into_iter()
        .map(|pending| pending.command)
        .collect())
}

pub(super) fn with_pending(
    connection: &Connection,
    after: Option<&EnrollmentId>,
    limit: usize,
) -> Result<Vec<EnrollmentId>, Fault> {
    Ok(connection
        .prepare_cached(
            "SELECT device FROM enrollments WHERE id IN (SELECT enrollment FROM pending) AND device > ?1
             ORDER BY device LIMIT ?2",
        )?
        .query_map(
            params![after.map_or("", EnrollmentId::as_str), row_limit(limit)],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?)
}

pub(super) fn results(
    connection: &Connection,
    id: &EnrollmentId,
    limit: usize,
) -> Result<Vec<CommandResult>, Fault> {
    let Some(enrollment) = row_of(connection, id)? else {
        return Ok(Vec::new());
    };
    Ok(connection
        .prepare_cached(
            "SELECT uuid, request_type, state, detail, queued_at, ended_at FROM results
             WHERE enrollment = ?1 ORDER BY id DESC LIMIT ?2",
        )?
        .query_map(params![enrollment, row_limit(limit)], |row| {
            let Json(detail) = row.get("detail")?;
            let (Micros(queued_at), Micros(ended_at)) = (row.get("queued_at")?, row.get("ended_at")?);
            Ok(CommandResult {
                uuid: row.get("uuid")?,
                request_type: row.get("request_type")?,
                state: row.get("state")?,
                detail,
                queued_at,
                ended_at,
            })
        })?
        .collect::<Result<_, _>>()?)
}
