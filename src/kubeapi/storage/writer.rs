//! The one thread that writes.
//!
//! It takes all jobs that are waiting, does them in one transaction, syncs once, publishes the changes in order of
//! revision, then answers every caller. A job whose condition does not hold is answered so and writes nothing.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::feed::{Change, ChangeKind, Feed};
use super::seal;
use super::{Expected, Facets, Key, Limits, Outcome, StorageError, Write};
use crate::pki::Sealer;

/// Jobs that share a transaction.
const GROUP: usize = 512;

pub(super) enum Job {
    Write {
        write: Box<Write>,
        answer: oneshot::Sender<Result<Outcome, StorageError>>,
    },
    Compact {
        revision: i64,
        answer: oneshot::Sender<Result<(), StorageError>>,
    },
    Release {
        id: i64,
        revision: i64,
        answer: oneshot::Sender<Result<(), StorageError>>,
    },
}

pub(super) struct Writer {
    connection: Connection,
    sealer: Arc<dyn Sealer>,
    feed: Arc<Feed>,
    limits: Limits,
    head: i64,
    compacted: i64,
}

/// The row a write finds.
struct Row {
    id: i64,
    revision: i64,
    facets: String,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        sealer: Arc<dyn Sealer>,
        feed: Arc<Feed>,
        limits: Limits,
        head: i64,
    ) -> Self {
        Self {
            connection,
            sealer,
            feed,
            limits,
            head,
            compacted: 0,
        }
    }

    /// Works until every sender is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            jobs.push(first);
            while jobs.len() < GROUP
                && let Ok(next) = queue.try_recv()
            {
                jobs.push(next);
            }
            self.group(std::mem::take(&mut jobs));
        }
    }

    fn group(&mut self, jobs: Vec<Job>) {
        let (mut writes, mut answers) = (Vec::new(), Vec::new());
        let (mut compactions, mut releases) = (Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Write { write, answer } => {
                    writes.push(*write);
                    answers.push(answer);
                }
                Job::Compact { revision, answer } => compactions.push((revision, answer)),
                Job::Release { id, revision, answer } => releases.push((id, revision, answer)),
            }
        }
        match self.commit(writes) {
            Ok(outcomes) => {
                let changes = outcomes.iter().filter_map(|outcome| match outcome {
                    Outcome::Committed(change) => Some(Arc::clone(change)),
                    Outcome::Mismatch(_) => None,
                });
                self.feed.publish(changes.collect());
                // A caller that has gone away no longer wants the answer.
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    let _ = answer.send(Ok(outcome));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the embedded Kubernetes API could not write");
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
        for (id, revision, answer) in releases {
            let _ = answer.send(self.release(id, revision));
        }
        for (revision, answer) in compactions {
            let _ = answer.send(self.compact(revision.min(self.head)));
        }
        if self.head - self.compacted > self.limits.log_changes + self.limits.log_changes / 4 {
            let revision = self.head - self.limits.log_changes;
            if let Err(error) = self.compact(revision) {
                tracing::warn!(%error, "the change log of the embedded Kubernetes API could not be shortened");
            }
        }
    }

    fn commit(&mut self, writes: Vec<Write>) -> Result<Vec<Outcome>, StorageError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut head = self.head;
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            outcomes.push(apply(&transaction, &*self.sealer, write, &mut head)?);
        }
        transaction
            .prepare_cached("UPDATE head SET revision = ?1")?
            .execute([head])?;
        transaction.commit()?;
        self.head = head;
        Ok(outcomes)
    }

    fn release(&mut self, id: i64, revision: i64) -> Result<(), StorageError> {
        self.connection
            .prepare_cached("UPDATE objects SET held = 0 WHERE id = ?1 AND revision = ?2")?
            .execute([id, revision])?;
        Ok(())
    }

    fn compact(&mut self, revision: i64) -> Result<(), StorageError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        // What a later change replaced stays, for lists at a revision in between.
        transaction.execute(
            "DELETE FROM changes WHERE revision <= ?1 AND revision NOT IN
             (SELECT replaces FROM changes WHERE revision > ?1 AND replaces IS NOT NULL)",
            [revision],
        )?;
        transaction.execute("UPDATE head SET compacted = max(compacted, ?1)", [revision])?;
        transaction.commit()?;
        self.compacted = self.compacted.max(revision);
        self.feed.compact(revision);
        Ok(())
    }
}

fn apply(
    transaction: &Transaction<'_>,
    sealer: &dyn Sealer,
    write: Write,
    head: &mut i64,
) -> Result<Outcome, StorageError> {
    match write {
        Write::Put {
            key,
            expected,
            object,
            facets,
            expires,
            sealed,
        } => {
            let found = find(transaction, &key)?;
            let current = found.as_ref().map(|row| row.revision);
            let met = match expected {
                Expected::Absent => current.is_none(),
                Expected::Revision(revision) => current == Some(revision),
            };
            if !met {
                return Ok(Outcome::Mismatch(current));
            }
            *head += 1;
            let body = serialise(object, *head)?;
            let facets_text = text(&facets)?;
            let stored = at_rest(sealer, &key, *head, &body, sealed)?;
            put(
                transaction,
                &key,
                found.as_ref().map(|row| row.id),
                *head,
                &facets,
                &facets_text,
                expires,
                sealed,
                &stored,
            )?;
            let kind = if found.is_some() {
                ChangeKind::Modified
            } else {
                ChangeKind::Added
            };
            let previous = found
                .map(|row| row.facets)
                .filter(|previous| *previous != facets_text);
            record(
                transaction,
                &key,
                *head,
                kind,
                current,
                previous.as_deref(),
                &facets_text,
                sealed,
                &stored,
            )?;
            Ok(Outcome::Committed(Arc::new(change(
                key, *head, kind, previous, facets, body,
            ))))
        }
        Write::Remove {
            key,
            revision,
            object,
            sealed,
        } => {
            let found = find(transaction, &key)?;
            let Some(row) = found.filter(|row| row.revision == revision) else {
                return Ok(Outcome::Mismatch(
                    find(transaction, &key)?.map(|row| row.revision),
                ));
            };
            *head += 1;
            let body = serialise(object, *head)?;
            let stored = at_rest(sealer, &key, *head, &body, sealed)?;
            remove(transaction, &key, row.id)?;
            record(
                transaction,
                &key,
                *head,
                ChangeKind::Deleted,
                Some(revision),
                None,
                &row.facets,
                sealed,
                &stored,
            )?;
            let facets: Facets = serde_json::from_str(&row.facets).unwrap_or_default();
            transaction
                .prepare_cached(
                    "UPDATE objects SET held = 1 WHERE id IN (SELECT object FROM owners WHERE owner = ?1)",
                )?
                .execute([&facets.uid])?;
            Ok(Outcome::Committed(Arc::new(change(
                key,
                *head,
                ChangeKind::Deleted,
                None,
                facets,
                body,
            ))))
        }
    }
}

fn find(transaction: &Transaction<'_>, key: &Key) -> Result<Option<Row>, StorageError> {
    let mut statement = transaction.prepare_cached(
        "SELECT id, revision, facets FROM objects WHERE resource = ?1 AND namespace = ?2 AND name = ?3",
    )?;
    let row = statement
        .query_row(params![&*key.resource, key.namespace, key.name], |row| {
            Ok(Row {
                id: row.get(0)?,
                revision: row.get(1)?,
                facets: row.get(2)?,
            })
        })
        .optional()?;
    Ok(row)
}

#[expect(clippy::too_many_arguments, reason = "the columns of one row")]
fn put(
    transaction: &Transaction<'_>,
    key: &Key,
    id: Option<i64>,
    revision: i64,
    facets: &Facets,
    facets_text: &str,
    expires: Option<i64>,
    sealed: bool,
    stored: &[u8],
) -> Result<(), StorageError> {
    let held = facets.held || misses_an_owner(transaction, facets)?;
    let id = if let Some(id) = id {
        keep_replaced(transaction, key, id)?;
        transaction
            .prepare_cached(
                "UPDATE objects SET revision = ?2, expires = ?3, held = ?4, facets = ?5, sealed = ?6, body = ?7
                 WHERE id = ?1",
            )?
            .execute(params![id, revision, expires, held, facets_text, sealed, stored])?;
        transaction
            .prepare_cached("DELETE FROM owners WHERE object = ?1")?
            .execute([id])?;
        id
    } else {
        transaction
            .prepare_cached(
                "INSERT INTO objects (resource, namespace, name, uid, revision, expires, held, facets, sealed, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                &*key.resource, key.namespace, key.name, facets.uid, revision, expires, held, facets_text, sealed,
                stored
            ])?;
        transaction.last_insert_rowid()
    };
    for owner in &facets.owners {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO owners (owner, object) VALUES (?1, ?2)")?
            .execute(params![owner, id])?;
    }
    Ok(())
}

fn misses_an_owner(transaction: &Transaction<'_>, facets: &Facets) -> Result<bool, StorageError> {
    for owner in &facets.owners {
        let mut statement = transaction.prepare_cached("SELECT 1 FROM objects WHERE uid = ?1")?;
        if statement.query_row([owner], |_| Ok(())).optional()?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[expect(clippy::too_many_arguments, reason = "the columns of one row")]
fn record(
    transaction: &Transaction<'_>,
    key: &Key,
    revision: i64,
    kind: ChangeKind,
    replaces: Option<i64>,
    previous: Option<&str>,
    facets: &str,
    sealed: bool,
    stored: &[u8],
) -> Result<(), StorageError> {
    let kind = match kind {
        ChangeKind::Added => 0_i64,
        ChangeKind::Modified => 1,
        ChangeKind::Deleted => 2,
    };
    transaction
        .prepare_cached(
            "INSERT INTO changes (revision, resource, namespace, name, kind, previous, facets, sealed, body, replaces)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            revision,
            &*key.resource,
            key.namespace,
            key.name,
            kind,
            previous,
            facets,
            sealed,
            stored,
            replaces
        ])?;
    Ok(())
}

fn remove(transaction: &Transaction<'_>, key: &Key, id: i64) -> Result<(), StorageError> {
    keep_replaced(transaction, key, id)?;
    transaction
        .prepare_cached("DELETE FROM objects WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// Puts the present state of an object back into the log, if it has been compacted away, before it is replaced.
fn keep_replaced(transaction: &Transaction<'_>, key: &Key, id: i64) -> Result<(), StorageError> {
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO changes (revision, resource, namespace, name, kind, previous, facets, sealed, body)
             SELECT revision, ?1, namespace, name, 1, NULL, facets, sealed, body FROM objects WHERE id = ?2",
        )?
        .execute(params![&*key.resource, id])?;
    Ok(())
}

fn change(
    key: Key,
    revision: i64,
    kind: ChangeKind,
    previous: Option<String>,
    facets: Facets,
    body: Bytes,
) -> Change {
    Change {
        revision,
        resource: key.resource,
        namespace: key.namespace,
        name: key.name,
        kind,
        previous: previous.map(|text| serde_json::from_str(&text).unwrap_or_default()),
        facets,
        body,
    }
}

fn serialise(mut object: Value, revision: i64) -> Result<Bytes, StorageError> {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.insert("resourceVersion".to_owned(), Value::String(revision.to_string()));
    }
    let body =
        serde_json::to_vec(&object).map_err(|error| StorageError::Database(error.to_string().into()))?;
    Ok(body.into())
}

fn text(facets: &Facets) -> Result<String, StorageError> {
    serde_json::to_string(facets).map_err(|error| StorageError::Database(error.to_string().into()))
}

/// The bytes for the file: `body`, or its sealed form.
fn at_rest(
    sealer: &dyn Sealer,
    key: &Key,
    revision: i64,
    body: &Bytes,
    secret: bool,
) -> Result<Bytes, StorageError> {
    if !secret {
        return Ok(body.clone());
    }
    let stored = sealer
        .seal(
            &seal::context(&key.resource, &key.namespace, &key.name, revision),
            body,
        )
        .map_err(|error| StorageError::Seal(error.to_string().into()))?;
    Ok(stored.into())
}
