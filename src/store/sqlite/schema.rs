//! The database file: made, recognised, and brought to the newest schema by ordered steps that never change once released.
//!
//! `application_id` names the program, `user_version` the schema, and the table `migrations` keeps the digest of each step that made it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use crate::files;
use crate::ids::Digest;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is something else.
    #[error("{path} is not a database of Provost; choose another data directory, or move the file away")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer Provost made it.
    #[error(
        "{path} has schema {found} and this Provost knows schemas up to {known}; use the newer Provost that wrote it, or restore a backup"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// It was made by a build with another step of the same number.
    #[error(
        "{path} was made by a Provost whose schema {version} differs from this one's; use the Provost that wrote it"
    )]
    Differs {
        /// The file.
        path: PathBuf,
        /// The step that differs.
        version: i64,
    },
    /// The file cannot be made.
    #[error("could not make the database {path}")]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be opened or brought to the newest schema.
    #[error("could not open the database {path}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A thread could not be started.
    #[error("could not start the thread that writes to the database {path}")]
    Thread {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// "PrvS": marks a file as this store's.
const APPLICATION_ID: i64 = 0x5072_7653;

/// Each step brings the schema from its index to the next number.
const STEPS: &[&str] = &[include_str!("migrations/0001_initial.sql")];

/// Statements each connection keeps prepared; more than there are different ones.
const STATEMENTS: usize = 128;

/// How long a connection waits for another process, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Pages in the log before they are carried into the database: 64 MiB. The more there are, the more often a page that was changed many times is
/// carried over once.
pub(super) const CHECKPOINT_PAGES: i64 = 16_384;

/// Pages in the log before the writer does this by itself, should `super::checkpoint` not do it.
const LAST_CHECKPOINT_PAGES: i64 = 4 * CHECKPOINT_PAGES;

/// What the log is cut to after it was larger, in bytes: room for its usual size.
const LOG_SIZE: i64 = 128 << 20;

/// Pages that the writer keeps in memory, in KiB (negative, which is SQLite's way to say so). A commit in which a tree was balanced looks at all of
/// them; what is missing here is in the system's memory.
const CACHE_KIB: i64 = -16 * 1024;

/// Opens the one connection that writes, making or migrating the database.
pub(super) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    let database = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign {
            path: path.to_owned(),
        },
        _ => OpenError::Database {
            path: path.to_owned(),
            source,
        },
    };
    files::open_private(path).map_err(|source| OpenError::Create {
        path: path.to_owned(),
        source,
    })?;
    let mut connection = Connection::open(path).map_err(database)?;
    // Nothing is written to a file before it is known to be ours.
    migrate(&mut connection, path, STEPS, database)?;
    Ok(connection)
}

/// Opens a connection that carries the log into the database and does nothing else.
pub(super) fn open_checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    keep_statements(&connection)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Checkpoints are safe; that commits are on the disk before anybody hears of them is seen to by `super::log`.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", LAST_CHECKPOINT_PAGES)?;
    // Keep the log from staying as large as its largest burst.
    connection.pragma_update(None, "journal_size_limit", LOG_SIZE)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    // What a savepoint would undo stays in memory, and is no file on its way to the disk.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    keep_statements(connection)
}

/// Has statements prepared once: without the guarantee of a stable plan, SQLite prepares some anew for other values.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

fn migrate(
    connection: &mut Connection,
    path: &Path,
    steps: &[&str],
    database: impl Fn(rusqlite::Error) -> OpenError + Copy,
) -> Result<(), OpenError> {
    connection.busy_timeout(BUSY_TIMEOUT).map_err(database)?;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, found) = (
        pragma("application_id").map_err(database)?,
        pragma("user_version").map_err(database)?,
    );
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(database)?;
    if application != APPLICATION_ID && (tables > 0 || application != 0) {
        return Err(OpenError::Foreign {
            path: path.to_owned(),
        });
    }
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    configure(connection).map_err(database)?;
    for (version, step) in (1_i64..).zip(steps) {
        let digest = Digest::of(step.as_bytes());
        if version <= found {
            let kept: Digest = connection
                .query_row(
                    "SELECT digest FROM migrations WHERE version = ?1",
                    [version],
                    |row| row.get(0),
                )
                .map_err(database)?;
            if kept != digest {
                return Err(OpenError::Differs {
                    path: path.to_owned(),
                    version,
                });
            }
            continue;
        }
        let apply = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            transaction.execute_batch(
                "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, digest BLOB NOT NULL) STRICT",
            )?;
            transaction.execute_batch(step)?;
            transaction.execute("INSERT INTO migrations VALUES (?1, ?2)", params![version, digest])?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()
        };
        apply(connection).map_err(database)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("store.db")
    }

    fn migrated(path: &Path, steps: &[&str]) -> Result<(), OpenError> {
        migrate(&mut Connection::open(path).unwrap(), path, steps, |source| {
            panic!("unexpected: {source}");
        })
    }

    #[test]
    fn a_database_is_made_once_and_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        drop(open_writer(&file(&folder)).unwrap());
        let connection = open_writer(&file(&folder)).unwrap();
        let mode: String = connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .unwrap();
        let synchronous: i64 = connection
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap();
        assert_eq!((mode.as_str(), synchronous), ("wal", 1), "1 is NORMAL");
        assert!(
            open_reader(&file(&folder))
                .unwrap()
                .execute("DELETE FROM sequence", [])
                .is_err()
        );
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("notes.txt");
        std::fs::write(&text, "a text that is no database at all ".repeat(40)).unwrap();
        assert!(matches!(open_writer(&text), Err(OpenError::Foreign { .. })));
        let other = folder.path().join("other.db");
        Connection::open(&other)
            .unwrap()
            .execute_batch("CREATE TABLE t (x)")
            .unwrap();
        let before = std::fs::read(&other).unwrap();
        assert!(matches!(open_writer(&other), Err(OpenError::Foreign { .. })));
        assert_eq!(std::fs::read(&other).unwrap(), before);
    }

    #[test]
    fn steps_are_applied_in_order_and_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder);
        migrated(&path, &["CREATE TABLE a (x INTEGER) STRICT"]).unwrap();
        let steps = ["CREATE TABLE a (x INTEGER) STRICT", "INSERT INTO a VALUES (7)"];
        migrated(&path, &steps).unwrap();
        migrated(&path, &steps).unwrap();
        let sum: i64 = Connection::open(&path)
            .unwrap()
            .query_row("SELECT sum(x) FROM a", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sum, 7);
    }

    #[test]
    fn a_newer_or_different_schema_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder);
        migrated(
            &path,
            &[
                "CREATE TABLE a (x INTEGER) STRICT",
                "CREATE TABLE b (x INTEGER) STRICT",
            ],
        )
        .unwrap();
        let newer = migrated(&path, &["CREATE TABLE a (x INTEGER) STRICT"])
            .unwrap_err()
            .to_string();
        assert!(
            newer.contains("has schema 2 and this Provost knows schemas up to 1"),
            "{newer}"
        );
        let differs = migrated(
            &path,
            &[
                "CREATE TABLE c (x INTEGER) STRICT",
                "CREATE TABLE b (x INTEGER) STRICT",
            ],
        );
        assert!(matches!(differs, Err(OpenError::Differs { version: 1, .. })));
    }
}
