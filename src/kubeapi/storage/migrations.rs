//! The database's shape, by hand: `application_id` names the program, `user_version` the schema.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

use super::OpenError;

/// "PrvK": marks a file as one of ours.
const APPLICATION_ID: i64 = 0x5072_764b;

/// Each step brings the schema from its index to the next number.
const STEPS: &[&str] = &["
    CREATE TABLE objects (
        id INTEGER PRIMARY KEY,
        resource TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        uid TEXT NOT NULL UNIQUE,
        revision INTEGER NOT NULL,
        expires INTEGER,
        held INTEGER NOT NULL,
        facets TEXT NOT NULL,
        sealed INTEGER NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (resource, namespace, name)
    ) STRICT;
    CREATE INDEX objects_namespace ON objects (namespace) WHERE namespace <> '';
    CREATE INDEX objects_expires ON objects (expires) WHERE expires IS NOT NULL;
    CREATE INDEX objects_held ON objects (id) WHERE held = 1;
    CREATE TABLE owners (
        owner TEXT NOT NULL,
        object INTEGER NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
        PRIMARY KEY (owner, object)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX owners_object ON owners (object);
    CREATE TABLE changes (
        revision INTEGER PRIMARY KEY,
        resource TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        kind INTEGER NOT NULL,
        previous TEXT,
        facets TEXT NOT NULL,
        sealed INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX changes_resource ON changes (resource, revision);
    CREATE TABLE head (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        revision INTEGER NOT NULL,
        compacted INTEGER NOT NULL
    ) STRICT;
    INSERT INTO head VALUES (1, 1, 0);
", "
    -- The revision of the state that a change replaced, so that lists can be read as they were. Of older changes it is not
    -- known: watches from before start again.
    ALTER TABLE changes ADD COLUMN replaces INTEGER;
    DELETE FROM changes;
    UPDATE head SET compacted = revision;
"];

/// Settings every connection needs.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Keep the log file from staying as large as its largest burst.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Brings the file at `path` to the newest schema.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let database = |source| OpenError::Database {
        path: path.to_owned(),
        source,
    };
    let application: i64 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(database)?;
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(database)?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let empty = connection
        .query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |_| Ok(()))
        .optional()
        .map_err(database)?
        .is_none();
    if application != APPLICATION_ID && !(empty && application == 0) {
        return Err(OpenError::Foreign {
            path: path.to_owned(),
        });
    }
    if found > known {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (version, step) in (1_i64..).zip(STEPS).skip(done) {
        let transaction = connection.transaction().map_err(database)?;
        transaction.execute_batch(step).map_err(database)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(database)?;
        transaction
            .pragma_update(None, "user_version", version)
            .map_err(database)?;
        transaction.commit().map_err(database)?;
    }
    Ok(())
}

/// The last revision written.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT revision FROM head", [], |row| row.get(0))
}
