//! Reads, each on one of a few pooled connections and inside one snapshot where it reads more than a row.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::feed::{Change, ChangeKind};
use super::seal;
use super::{Facets, Key, Replay, StorageError, Stored, migrations};
use crate::pki::Sealer;

/// Chooses objects by namespace, name and facets.
pub type Filter = Arc<dyn Fn(&str, &str, &Facets) -> bool + Send + Sync>;

/// Connections kept open between reads.
const IDLE_CONNECTIONS: usize = 4;
/// Changes read from the log at a time.
const REPLAY_BATCH: i64 = 512;
/// Bodies in one page, in bytes; a page that grows larger ends early and names where to go on.
const PAGE_BYTES: usize = 8 << 20;
/// Keys handed out by one sweep of the collector.
const SWEEP: i64 = 500;

/// The objects of a resource as they are, after a namespace and name.
const PRESENT: &str = "SELECT namespace, name, revision, facets, sealed, body FROM objects
     WHERE resource = ?1 AND (namespace, name) > (?2, ?3) AND (?4 IS NULL OR namespace = ?4) AND revision <= ?5
     ORDER BY namespace, name";
const PRESENT_COUNT: &str = "SELECT count(*) FROM objects WHERE resource = ?1
     AND (namespace, name) > (?2, ?3) AND (?4 IS NULL OR namespace = ?4) AND revision <= ?5";
/// The same at revision ?5: what has not been written since, and of the rest what its first change since then replaced.
const PAST: &str = "SELECT namespace, name, revision, facets, sealed, body FROM objects
     WHERE resource = ?1 AND (namespace, name) > (?2, ?3) AND (?4 IS NULL OR namespace = ?4) AND revision <= ?5
     UNION ALL SELECT namespace, name, revision, facets, sealed, body FROM changes WHERE revision IN (
         SELECT replaces FROM (
             SELECT min(revision), replaces FROM changes
             WHERE resource = ?1 AND revision > ?5 AND (namespace, name) > (?2, ?3)
                 AND (?4 IS NULL OR namespace = ?4)
             GROUP BY namespace, name
         ) WHERE replaces <= ?5
     )
     ORDER BY namespace, name";
const PAST_COUNT: &str = "SELECT (SELECT count(*) FROM objects WHERE resource = ?1
         AND (namespace, name) > (?2, ?3) AND (?4 IS NULL OR namespace = ?4) AND revision <= ?5)
     + (SELECT count(*) FROM (
         SELECT min(revision), replaces FROM changes
         WHERE resource = ?1 AND revision > ?5 AND (namespace, name) > (?2, ?3)
             AND (?4 IS NULL OR namespace = ?4)
         GROUP BY namespace, name
     ) WHERE replaces <= ?5)";

/// What to list.
#[derive(Clone)]
pub struct PageRequest {
    /// `plural.group`.
    pub resource: Arc<str>,
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Start after this namespace and name.
    pub after: Option<(String, String)>,
    /// At most so many.
    pub limit: usize,
    /// Only these.
    pub filter: Option<Filter>,
}

/// A part of a list.
#[derive(Debug)]
pub struct Page {
    /// The revision the page was read at.
    pub revision: i64,
    /// In order of namespace and name.
    pub rows: Vec<Stored>,
    /// Where the next page starts, when there is more.
    pub next: Option<(String, String)>,
    /// How many objects follow, when that is cheap to know (no filter).
    pub remaining: Option<i64>,
}

pub(super) struct Readers {
    path: PathBuf,
    sealer: Arc<dyn Sealer>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, sealer: Arc<dyn Sealer>) -> Self {
        Self {
            path,
            sealer,
            idle: Mutex::new(Vec::new()),
        }
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = if let Some(connection) = idle {
            connection
        } else {
            let connection = Connection::open(&self.path)?;
            migrations::configure(&connection)?;
            connection.pragma_update(None, "query_only", true)?;
            connection
        };
        let result = work(&mut connection);
        if result.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_CONNECTIONS {
                idle.push(connection);
            }
        }
        result
    }

    pub(super) fn load(&self, key: &Key) -> Result<Option<Stored>, StorageError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT namespace, name, revision, sealed, body FROM objects
                 WHERE resource = ?1 AND namespace = ?2 AND name = ?3",
            )?;
            let mut rows = statement.query(params![&*key.resource, key.namespace, key.name])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            Ok(Some(Stored {
                namespace: row.get(0)?,
                name: row.get(1)?,
                revision: row.get(2)?,
                body: self.body(&key.resource, &key.namespace, &key.name, row.get(2)?, row, 3)?,
            }))
        })
    }

    /// The body in column `at + 1`, opened when column `at` says that it is sealed.
    fn body(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        revision: i64,
        row: &Row<'_>,
        at: usize,
    ) -> Result<Bytes, StorageError> {
        let body: Vec<u8> = row.get(at + 1)?;
        if !row.get::<_, bool>(at)? {
            return Ok(body.into());
        }
        let opened = self
            .sealer
            .open(&seal::context(resource, namespace, name, revision), &body)
            .map_err(|error| StorageError::Seal(error.to_string().into()))?;
        Ok(Bytes::copy_from_slice(opened.reveal()))
    }

    pub(super) fn page(&self, request: &PageRequest) -> Result<Page, StorageError> {
        self.with(|connection| {
            let snapshot = connection.transaction()?;
            let (head, _) = bounds(&snapshot)?;
            let page = self.page_in(&snapshot, request, (PRESENT, PRESENT_COUNT), head)?;
            snapshot.finish()?;
            Ok(page)
        })
    }

    pub(super) fn page_at(&self, request: &PageRequest, revision: i64) -> Result<Option<Page>, StorageError> {
        self.with(|connection| {
            let snapshot = connection.transaction()?;
            let (head, compacted) = bounds(&snapshot)?;
            if revision < compacted {
                return Ok(None);
            }
            let page = if revision < head {
                self.page_in(&snapshot, request, (PAST, PAST_COUNT), revision)?
            } else {
                self.page_in(&snapshot, request, (PRESENT, PRESENT_COUNT), head)?
            };
            snapshot.finish()?;
            Ok(Some(page))
        })
    }

    fn page_in(
        &self,
        connection: &Connection,
        request: &PageRequest,
        (select, count): (&str, &str),
        revision: i64,
    ) -> Result<Page, StorageError> {
        let (namespace, name) = request.after.clone().unwrap_or_default();
        let mut statement = connection.prepare_cached(select)?;
        // Start inside the namespace, or the scan would first walk over all that sort before it.
        let start = match &request.namespace {
            Some(only) if *only > namespace => (only.clone(), String::new()),
            _ => (namespace, name),
        };
        let mut found = statement.query(params![
            &*request.resource,
            start.0,
            start.1,
            request.namespace,
            revision
        ])?;
        let (mut rows, mut bytes, mut next) = (Vec::new(), 0, None);
        while let Some(row) = found.next()? {
            let (namespace, name): (String, String) = (row.get(0)?, row.get(1)?);
            if request.namespace.as_ref().is_some_and(|only| *only != namespace) {
                break;
            }
            if let Some(filter) = &request.filter {
                let facets = parse_facets(row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?);
                if !filter(&namespace, &name, &facets) {
                    continue;
                }
            }
            if rows.len() >= request.limit || bytes >= PAGE_BYTES {
                next = rows
                    .last()
                    .map(|last: &Stored| (last.namespace.clone(), last.name.clone()));
                break;
            }
            let written = row.get(2)?;
            let body = self.body(&request.resource, &namespace, &name, written, row, 4)?;
            bytes += body.len();
            rows.push(Stored {
                namespace,
                name,
                revision: written,
                body,
            });
        }
        let remaining = match (&next, &request.filter) {
            (Some((namespace, name)), None) => Some(connection.prepare_cached(count)?.query_row(
                params![&*request.resource, namespace, name, request.namespace, revision],
                |row| row.get(0),
            )?),
            _ => None,
        };
        Ok(Page {
            revision,
            rows,
            next,
            remaining,
        })
    }

    pub(super) fn changes(&self, resource: &Arc<str>, revision: i64) -> Result<Replay, StorageError> {
        self.with(|connection| {
            let snapshot = connection.transaction()?;
            let (head, compacted) = bounds(&snapshot)?;
            if revision < compacted {
                return Ok(Replay::Compacted);
            }
            let mut changes = Vec::new();
            {
                let mut statement = snapshot.prepare_cached(
                    "SELECT revision, namespace, name, kind, previous, facets, sealed, body FROM changes
                     WHERE resource = ?1 AND revision > ?2 ORDER BY revision LIMIT ?3",
                )?;
                let mut rows = statement.query(params![&**resource, revision, REPLAY_BATCH])?;
                while let Some(row) = rows.next()? {
                    changes.push(Arc::new(self.change(resource, row)?));
                }
            }
            snapshot.finish()?;
            let full = i64::try_from(changes.len()).is_ok_and(|count| count == REPLAY_BATCH);
            let upto = changes.last().filter(|_| full).map_or(head, |last| last.revision);
            Ok(Replay::Changes { changes, upto })
        })
    }

    fn change(&self, resource: &Arc<str>, row: &Row<'_>) -> Result<Change, StorageError> {
        let (revision, namespace, name): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let previous: Option<String> = row.get(4)?;
        Ok(Change {
            revision,
            resource: Arc::clone(resource),
            kind: match row.get(3)? {
                0_i64 => ChangeKind::Added,
                1 => ChangeKind::Modified,
                _ => ChangeKind::Deleted,
            },
            previous: previous.map(|text| parse_facets(&text)),
            facets: parse_facets(row.get_ref(5)?.as_str().map_err(rusqlite::Error::from)?),
            body: self.body(resource, &namespace, &name, revision, row, 6)?,
            namespace,
            name,
        })
    }

    /// The body that the change with this revision, of the object under `key`, replaced.
    pub(super) fn replaced(&self, revision: i64, key: &Key) -> Result<Option<Bytes>, StorageError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT revision, sealed, body FROM changes
                 WHERE revision = (SELECT replaces FROM changes WHERE revision = ?1)",
            )?;
            let mut rows = statement.query([revision])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            self.body(&key.resource, &key.namespace, &key.name, row.get(0)?, row, 1)
                .map(Some)
        })
    }

    pub(super) fn compacted(&self) -> Result<i64, StorageError> {
        self.with(|connection| Ok(connection.query_row("SELECT compacted FROM head", [], |row| row.get(0))?))
    }

    pub(super) fn uid_exists(&self, uid: &str) -> Result<bool, StorageError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached("SELECT 1 FROM objects WHERE uid = ?1")?;
            Ok(statement.query_row([uid], |_| Ok(())).optional()?.is_some())
        })
    }

    pub(super) fn dependents(&self, uid: &str) -> Result<Vec<Key>, StorageError> {
        self.keys(
            "SELECT resource, namespace, name FROM objects
             WHERE id IN (SELECT object FROM owners WHERE owner = ?1)",
            [uid],
        )
    }

    pub(super) fn held(&self, after: i64) -> Result<Vec<(i64, Key)>, StorageError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT resource, namespace, name, id FROM objects WHERE held = 1 AND id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let rows = statement.query_map([after, SWEEP], |row| Ok((row.get(3)?, key(row)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    pub(super) fn expired(&self, now: i64) -> Result<Vec<Key>, StorageError> {
        self.keys(
            "SELECT resource, namespace, name FROM objects WHERE expires IS NOT NULL AND expires <= ?1 LIMIT ?2",
            [now, SWEEP],
        )
    }

    pub(super) fn in_namespace(&self, namespace: &str, limit: usize) -> Result<Vec<Key>, StorageError> {
        self.keys(
            "SELECT resource, namespace, name FROM objects WHERE namespace = ?1 AND namespace <> '' LIMIT ?2",
            params![namespace, i64::try_from(limit).unwrap_or(i64::MAX)],
        )
    }

    fn keys(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Key>, StorageError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let keys = statement.query_map(params, key)?;
            Ok(keys.collect::<Result<_, _>>()?)
        })
    }
}

/// The last revision, and the last one that the log no longer holds.
fn bounds(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    connection.query_row("SELECT revision, compacted FROM head", [], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        resource: row.get::<_, String>(0)?.into(),
        namespace: row.get(1)?,
        name: row.get(2)?,
    })
}

/// The facets in a row. They were written by this program; what cannot be read matches no selector.
fn parse_facets(text: &str) -> Facets {
    serde_json::from_str(text).unwrap_or_default()
}
