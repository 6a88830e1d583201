//! The command queue in tables. What happens is decided by [`crate::mdm::queue`]; this carries it out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::bodies::{self, Templates};
use super::columns::{Fault, Json, Micros};
use super::enrollments::{row_limit, row_of};
use super::retention;
use super::writer::Writing;
use crate::api::common::EnrollmentMode;
use crate::ids::{CommandUuid, Digest, EnrollmentId};
use crate::mdm::command::{
    Cause, FinalState, Intent, NewCommand, OfferedCommand, PendingCommand, PendingState, ReportStatus,
};
use crate::mdm::commands::{Class, spares_personal_devices};
use crate::mdm::queue::{self, Effect};
use crate::pki::Sealer;
use crate::store::{Change, CommandResult, EnrollmentState, NotQueued, NotQueuedReason, ReportOutcome};

/// Commands to queue, with their bodies ready to be kept.
pub(super) struct Prepared {
    commands: Vec<One>,
    templates: Templates,
}

struct One {
    command: NewCommand,
    /// Of its body.
    tag: Digest,
    /// As it is compared. That of [`Intent::Identical`] is the tag, which nobody without the key can guess at.
    intent: Option<Arc<str>>,
}

/// Looks at the bodies, which needs no database and would keep the writer from others.
pub(super) fn prepare(commands: Vec<NewCommand>, sealer: &dyn Sealer) -> Result<Prepared, Fault> {
    let mut templates = Templates::new();
    let commands = commands
        .into_iter()
        .map(|command| {
            let tag = templates.tag(sealer, &command.body, &command.uuid)?;
            let intent = command.intent.as_ref().map(|intent| match intent {
                Intent::Of(intent) => Arc::clone(intent),
                Intent::Identical => format!("{}:{tag}", command.request_type).into(),
            });
            Ok(One { command, tag, intent })
        })
        .collect::<Result<_, Fault>>()?;
    Ok(Prepared { commands, templates })
}

/// A query of pending commands, as [`Pending::found`] reads them.
macro_rules! select_pending {
    ($rest:literal) => {
        concat!(
            "SELECT sequence, uuid, request_type, body, state, attempts, unanswered, deferrals, intent, chain, priority, queued_at, deadline
             FROM pending ",
            $rest
        )
    };
}

/// A pending command, and the row of its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pending {
    command: PendingCommand,
    body: i64,
}

impl Pending {
    /// By position: finding columns by their names would take longer than reading them.
    fn found(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (Micros(queued_at), Micros(deadline)) = (row.get(11)?, row.get(12)?);
        let command = PendingCommand {
            sequence: row.get(0)?,
            uuid: row.get(1)?,
            request_type: row.get(2)?,
            state: row.get(4)?,
            attempts: row.get(5)?,
            unanswered: row.get(6)?,
            deferrals: row.get(7)?,
            intent: row.get(8)?,
            chain: row.get(9)?,
            priority: row.get(10)?,
            queued_at,
            deadline,
        };
        Ok(Self {
            command,
            body: row.get(3)?,
        })
    }

    fn of_intent(connection: &Connection, enrollment: i64, intent: &str) -> Result<Option<Self>, Fault> {
        Ok(connection
            .prepare_cached(select_pending!("WHERE enrollment = ?1 AND intent = ?2"))?
            .query_row(params![enrollment, intent], Self::found)
            .optional()?)
    }

    fn of_uuid(connection: &Connection, enrollment: i64, uuid: &CommandUuid) -> Result<Option<Self>, Fault> {
        Ok(connection
            .prepare_cached(select_pending!("WHERE enrollment = ?1 AND uuid = ?2"))?
            .query_row(params![enrollment, uuid], Self::found)
            .optional()?)
    }

    /// All of an enrolment, in the order of delivery, for whoever writes: see [`super::queues`].
    fn take_all(writing: &Writing<'_>, enrollment: i64) -> Result<Vec<Self>, Fault> {
        let Some(kept) = writing.queues().borrow_mut().take(enrollment) else {
            return Self::all(writing, enrollment);
        };
        debug_assert_eq!(
            Self::all(writing, enrollment)?,
            kept,
            "whoever changes a queue has to throw away what is kept of it"
        );
        Ok(kept)
    }

    /// All of an enrolment, in the order of delivery.
    fn all(connection: &Connection, enrollment: i64) -> Result<Vec<Self>, Fault> {
        Ok(connection
            .prepare_cached(select_pending!("WHERE enrollment = ?1 ORDER BY sequence"))?
            .query_map([enrollment], Self::found)?
            .collect::<Result<_, _>>()?)
    }
}

pub(super) fn enqueue(
    writing: &mut Writing<'_>,
    prepared: &Prepared,
    now: Timestamp,
) -> Result<Vec<NotQueued>, Fault> {
    let mut not_queued = Vec::new();
    // One body of many commands is looked up once.
    let mut kept: HashMap<Digest, i64> = HashMap::new();
    for one in &prepared.commands {
        let (enrollment, enrolled_at) = match receiver(writing, &one.command)? {
            Ok(found) => found,
            Err(reason) => {
                not_queued.push(NotQueued {
                    enrollment: one.command.enrollment.clone(),
                    reason,
                });
                continue;
            }
        };
        if was_given(writing, enrollment, &one.command.uuid, enrolled_at)? {
            continue;
        }
        let body = match kept.entry(one.tag) {
            Entry::Occupied(kept) => *kept.get(),
            Entry::Vacant(vacant) => *vacant.insert(prepared.templates.keep(writing, one.tag)?),
        };
        if let Some(sequence) = place(writing, enrollment, one, body, now)? {
            insert(writing, enrollment, sequence, one, body, now)?;
            writing.announce(Change::Work(one.command.enrollment.clone()));
        }
    }
    Ok(not_queued)
}

/// The enrolment of a command and when it began.
fn receiver(
    connection: &Connection,
    command: &NewCommand,
) -> Result<Result<(i64, Micros), NotQueuedReason>, Fault> {
    let found: Option<(i64, EnrollmentState, EnrollmentMode, Micros)> = connection
        .prepare_cached("SELECT id, state, mode, enrolled_at FROM enrollments WHERE device = ?1")?
        .query_row([&command.enrollment], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    Ok(match found {
        None => Err(NotQueuedReason::Unknown),
        Some((_, EnrollmentState::Ended, ..)) => Err(NotQueuedReason::Ended),
        // Whoever queues asks for all that is admissible; this is the last door, and nobody gets around it.
        Some((_, _, EnrollmentMode::User, _)) if spares_personal_devices(&command.request_type) => {
            Err(NotQueuedReason::Personal)
        }
        Some((id, _, _, enrolled_at)) => Ok((id, enrolled_at)),
    })
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
    one: &One,
    body: i64,
    now: Timestamp,
) -> Result<Option<i64>, Fault> {
    let new = &one.command;
    if let Some(intent) = &one.intent
        && let Some(old) = Pending::of_intent(writing, enrollment, intent)?
    {
        if queue::is_expired(&old.command, now) {
            finish(
                writing,
                enrollment,
                &old.command,
                FinalState::Expired,
                &Cause::default(),
                now,
            )?;
        } else if old.body == body {
            // It stands for the new one for as long as the new one would have lived, and is as urgent.
            let deadline = old.command.deadline.max(new.deadline);
            let priority = old.command.priority.min(new.priority);
            if (deadline, priority) != (old.command.deadline, old.command.priority) {
                forget_queue(writing, enrollment);
                writing
                    .prepare_cached(
                        "UPDATE pending SET deadline = ?3, priority = ?4 WHERE enrollment = ?1 AND sequence = ?2",
                    )?
                    .execute(params![enrollment, old.command.sequence, Micros(deadline), priority])?;
            }
            return Ok(None);
        } else {
            let cause = Cause::because(format!("replaced by {}", new.uuid));
            finish(
                writing,
                enrollment,
                &old.command,
                FinalState::Cancelled,
                &cause,
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
    one: &One,
    body: i64,
    now: Timestamp,
) -> Result<(), Fault> {
    let command = &one.command;
    forget_queue(writing, enrollment);
    writing
        .prepare_cached(
            "INSERT INTO pending (enrollment, sequence, uuid, request_type, body, state, attempts, unanswered, deferrals, intent, chain,
                 priority, queued_at, deadline)
             VALUES (:enrollment, :sequence, :uuid, :request_type, :body, :state, 0, 0, 0, :intent, :chain, :priority, :queued_at,
                 :deadline)",
        )?
        .execute(named_params! {
            ":enrollment": enrollment,
            ":sequence": sequence,
            ":uuid": command.uuid,
            ":request_type": command.request_type,
            ":body": body,
            ":state": PendingState::Queued,
            ":intent": one.intent,
            ":chain": command.chain,
            ":priority": command.priority,
            ":queued_at": Micros(now),
            ":deadline": Micros(command.deadline),
        })?;
    Ok(())
}

/// To be called by whoever changes a queue without having taken it.
fn forget_queue(writing: &Writing<'_>, enrollment: i64) {
    drop(writing.queues().borrow_mut().take(enrollment));
}

/// As [`row_of`], for what is asked at every report.
fn known_row_of(writing: &Writing<'_>, id: &EnrollmentId) -> Result<Option<i64>, Fault> {
    let known = writing.queues().borrow_mut().row(id);
    if known.is_some() {
        return Ok(known);
    }
    let found = row_of(writing, id)?;
    if let Some(row) = found {
        writing.queues().borrow_mut().know(id, row);
    }
    Ok(found)
}

/// Moves a pending command into history.
fn finish(
    writing: &Writing<'_>,
    enrollment: i64,
    command: &PendingCommand,
    state: FinalState,
    cause: &Cause,
    now: Timestamp,
) -> Result<(), Fault> {
    forget_queue(writing, enrollment);
    writing
        .prepare_cached("DELETE FROM pending WHERE enrollment = ?1 AND sequence = ?2")?
        .execute(params![enrollment, command.sequence])?;
    let class = Class::of(&command.request_type);
    writing
        .prepare_cached(
            "INSERT INTO results (enrollment, uuid, request_type, class, state, cause, queued_at, ended_at, expires_at)
             VALUES (:enrollment, :uuid, :request_type, :class, :state, :cause, :queued_at, :ended_at, :expires_at)",
        )?
        .execute(named_params! {
            ":enrollment": enrollment,
            ":uuid": command.uuid,
            ":request_type": command.request_type,
            ":state": state,
            ":class": class,
            ":cause": Json(cause),
            ":queued_at": Micros(command.queued_at),
            ":ended_at": Micros(now),
            ":expires_at": Micros(retention::kept_until(class, now)),
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
        withdraw(writing, enrollment, &command, reason, now)?;
    }
    Ok(())
}

fn withdraw(
    writing: &Writing<'_>,
    enrollment: i64,
    command: &PendingCommand,
    reason: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    let (state, cause) = if queue::is_expired(command, now) {
        (FinalState::Expired, Cause::default())
    } else {
        (FinalState::Cancelled, Cause::because(reason))
    };
    finish(writing, enrollment, command, state, &cause, now)
}

/// Ends one pending command.
pub(super) fn cancel(
    writing: &Writing<'_>,
    id: &EnrollmentId,
    uuid: &CommandUuid,
    reason: &str,
    now: Timestamp,
) -> Result<bool, Fault> {
    let Some(enrollment) = row_of(writing, id)? else {
        return Ok(false);
    };
    let Some(Pending { command, .. }) = Pending::of_uuid(writing, enrollment, uuid)? else {
        return Ok(false);
    };
    withdraw(writing, enrollment, &command, reason, now)?;
    Ok(true)
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
    let Some(enrollment) = known_row_of(writing, id)? else {
        return Ok(None);
    };
    let pending = Pending::take_all(writing, enrollment)?;
    offer(writing, sealer, enrollment, pending, idle, now)
}

/// Carries out the plan for what is pending.
fn offer(
    writing: &Writing<'_>,
    sealer: &dyn Sealer,
    enrollment: i64,
    mut pending: Vec<Pending>,
    idle: bool,
    now: Timestamp,
) -> Result<Option<OfferedCommand>, Fault> {
    let plan = queue::plan(pending.iter().map(|pending| &pending.command), idle, now);
    let mut offered = None;
    for Pending { command, body } in &mut pending {
        let sequence = command.sequence;
        if plan.offer == Some(sequence) {
            writing
                .prepare_cached(
                    "UPDATE pending SET state = ?3, attempts = attempts + 1, unanswered = unanswered + 1
                     WHERE enrollment = ?1 AND sequence = ?2",
                )?
                .execute(params![enrollment, sequence, PendingState::Sent])?;
            command.state = PendingState::Sent;
            command.attempts += 1;
            command.unanswered += 1;
            offered = Some(OfferedCommand {
                uuid: command.uuid.clone(),
                request_type: Arc::clone(&command.request_type),
                body: bodies::body(writing, sealer, *body, &command.uuid)?,
            });
        } else if plan.expired.contains(&sequence) {
            finish(
                writing,
                enrollment,
                command,
                FinalState::Expired,
                &Cause::default(),
                now,
            )?;
        } else if plan.requeued.contains(&sequence) {
            writing
                .prepare_cached("UPDATE pending SET state = ?3 WHERE enrollment = ?1 AND sequence = ?2")?
                .execute(params![enrollment, sequence, PendingState::Queued])?;
            command.state = PendingState::Queued;
        }
    }
    pending.retain(|pending| !plan.expired.contains(&pending.command.sequence));
    writing.queues().borrow_mut().put(enrollment, pending);
    Ok(offered)
}

/// Takes a report.
pub(super) fn report(
    writing: &Writing<'_>,
    id: &EnrollmentId,
    uuid: &CommandUuid,
    status: &ReportStatus,
    now: Timestamp,
) -> Result<ReportOutcome, Fault> {
    let Some(enrollment) = known_row_of(writing, id)? else {
        return Ok(ReportOutcome::AlreadyKnown);
    };
    let mut pending = Pending::take_all(writing, enrollment)?;
    let outcome = settle(writing, enrollment, &mut pending, uuid, status, now)?;
    writing.queues().borrow_mut().put(enrollment, pending);
    Ok(outcome)
}

/// Takes a report, and finds the command that comes after it.
pub(super) fn report_and_next(
    writing: &Writing<'_>,
    sealer: &dyn Sealer,
    id: &EnrollmentId,
    uuid: &CommandUuid,
    status: &ReportStatus,
    now: Timestamp,
) -> Result<(ReportOutcome, Option<OfferedCommand>), Fault> {
    let Some(enrollment) = known_row_of(writing, id)? else {
        return Ok((ReportOutcome::AlreadyKnown, None));
    };
    let mut pending = Pending::take_all(writing, enrollment)?;
    let outcome = settle(writing, enrollment, &mut pending, uuid, status, now)?;
    let offered = offer(writing, sealer, enrollment, pending, false, now)?;
    Ok((outcome, offered))
}

/// Does what a report on one of `pending` changes, to them too.
fn settle(
    writing: &Writing<'_>,
    enrollment: i64,
    pending: &mut Vec<Pending>,
    uuid: &CommandUuid,
    status: &ReportStatus,
    now: Timestamp,
) -> Result<ReportOutcome, Fault> {
    let found = pending
        .iter_mut()
        .enumerate()
        .find(|(_, pending)| pending.command.uuid == *uuid);
    let Some((place, Pending { command, .. })) = found else {
        return Ok(ReportOutcome::AlreadyKnown);
    };
    match queue::apply(status) {
        Effect::Keep => Ok(ReportOutcome::AlreadyKnown),
        Effect::Defer => {
            command.deferrals += u32::from(command.state != PendingState::NotNow);
            command.state = PendingState::NotNow;
            command.unanswered = 0;
            writing
                .prepare_cached(
                    "UPDATE pending SET state = ?3, unanswered = 0, deferrals = ?4 WHERE enrollment = ?1 AND sequence = ?2",
                )?
                .execute(params![enrollment, command.sequence, command.state, command.deferrals])?;
            Ok(ReportOutcome::Deferred)
        }
        Effect::End { state, cause } => {
            let Pending { command, .. } = pending.remove(place);
            finish(writing, enrollment, &command, state, &cause, now)?;
            Ok(ReportOutcome::Ended {
                state,
                request_type: command.request_type,
            })
        }
    }
}

/// What is past its deadline though its device never asks, by enrolment and sequence. A reader looks: it looks at all there is.
pub(super) fn overdue(connection: &Connection, now: Timestamp) -> Result<Vec<(i64, i64)>, Fault> {
    Ok(connection
        .prepare_cached("SELECT enrollment, sequence FROM pending WHERE deadline < ?1")?
        .query_map([Micros(now)], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?)
}

/// Ends those of `overdue` that still are. Returns how many.
pub(super) fn expire(writing: &Writing<'_>, overdue: &[(i64, i64)], now: Timestamp) -> Result<usize, Fault> {
    let mut expired = 0;
    for (enrollment, sequence) in overdue {
        let command = writing
            .prepare_cached(select_pending!("WHERE enrollment = ?1 AND sequence = ?2"))?
            .query_row([enrollment, sequence], Pending::found)
            .optional()?
            .map(|pending| pending.command)
            .filter(|command| queue::is_expired(command, now));
        if let Some(command) = command {
            finish(
                writing,
                *enrollment,
                &command,
                FinalState::Expired,
                &Cause::default(),
                now,
            )?;
            expired += 1;
        }
    }
    Ok(expired)
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
             UNION SELECT device FROM enrollments WHERE state = 'Removing' AND device > ?1
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
            "SELECT uuid, request_type, state, cause, queued_at, ended_at FROM results
             WHERE enrollment = ?1 ORDER BY id DESC LIMIT ?2",
        )?
        .query_map(params![enrollment, row_limit(limit)], |row| {
            let Json(cause) = row.get("cause")?;
            let (Micros(queued_at), Micros(ended_at)) = (row.get("queued_at")?, row.get("ended_at")?);
            Ok(CommandResult {
                uuid: row.get("uuid")?,
                request_type: row.get("request_type")?,
                state: row.get("state")?,
                cause,
                queued_at,
                ended_at,
            })
        })?
        .collect::<Result<_, _>>()?)
}
