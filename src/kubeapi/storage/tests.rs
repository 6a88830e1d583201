//! The database itself: what it refuses, and what it keeps.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::json;

use super::*;
use crate::clock::SystemEntropy;
use crate::pki::KeyFile;

fn open(path: &Path) -> Result<Storage, OpenError> {
    let sealer = KeyFile::open(&path.with_file_name("seal.key"), SystemEntropy).unwrap();
    Storage::open(
        path,
        Arc::new(sealer),
        Limits {
            log_changes: 4,
            memory_changes: 2,
            memory_bytes: 1 << 20,
        },
    )
}

fn key(name: &str) -> Key {
    Key {
        resource: "kites".into(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
    }
}

async fn put(storage: &Storage, name: &str, expected: Expected) -> Outcome {
    let facets = Facets {
        uid: name.to_owned(),
        ..Facets::default()
    };
    let object = json!({ "metadata": { "name": name } });
    storage
        .write(Write::Put {
            key: key(name),
            expected,
            object,
            facets,
            expires: None,
            sealed: false,
        })
        .await
        .unwrap()
}

fn revision(outcome: &Outcome) -> i64 {
    match outcome {
        Outcome::Committed(change) => change.revision,
        Outcome::Mismatch(found) => panic!("expected a commit, found {found:?}"),
    }
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubernetes.db");
    drop(open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let refused = open(&path).err().unwrap();
    assert!(matches!(refused, OpenError::Newer { found: 99, .. }));
    assert!(refused.to_string().contains("run the newer program"), "{refused}");
}

#[test]
fn a_database_of_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE t (a)")
        .unwrap();
    assert!(matches!(open(&path).err().unwrap(), OpenError::Foreign { .. }));
    let path = folder.path().join("text");
    std::fs::write(
        &path,
        "this is no database, but it is long enough to be taken for one".repeat(100),
    )
    .unwrap();
    assert!(matches!(open(&path).err().unwrap(), OpenError::Database { .. }));
}

#[tokio::test]
async fn writes_are_compare_and_set_and_revisions_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubernetes.db");
    let storage = open(&path).unwrap();
    let first = revision(&put(&storage, "a", Expected::Absent).await);
    assert!(
        matches!(put(&storage, "a", Expected::Absent).await, Outcome::Mismatch(Some(found)) if found == first)
    );
    let second = revision(&put(&storage, "a", Expected::Revision(first)).await);
    assert_eq!(second, first + 1, "a write that did not happen takes no revision");
    assert!(matches!(
        put(&storage, "a", Expected::Revision(first)).await,
        Outcome::Mismatch(_)
    ));
    assert!(matches!(
        put(&storage, "b", Expected::Revision(first)).await,
        Outcome::Mismatch(None)
    ));
    drop(storage);
    let storage = open(&path).unwrap();
    assert_eq!(storage.head(), second);
    let stored = storage.load(key("a")).await.unwrap().unwrap();
    assert_eq!(stored.revision, second);
    assert_eq!(revision(&put(&storage, "b", Expected::Absent).await), second + 1);
}

#[tokio::test]
async fn the_log_is_replayed_from_memory_or_disk_until_it_is_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(&folder.path().join("kubernetes.db")).unwrap();
    let start = storage.head();
    for name in ["a", "b", "c"] {
        put(&storage, name, Expected::Absent).await;
    }
    for (from, expected) in [(start, 3), (start + 2, 1), (start + 3, 0)] {
        let Replay::Changes { changes, upto } = storage.changes("kites".into(), from).await.unwrap() else {
            panic!("compacted");
        };
        assert_eq!((changes.len(), upto), (expected, start + 3));
    }
    for index in 0..8 {
        put(&storage, &format!("more-{index}"), Expected::Absent).await;
    }
    assert!(matches!(
        storage.changes("kites".into(), start).await.unwrap(),
        Replay::Compacted
    ));
    // Four changes are kept, and a few more until it is worth the work.
    assert!(storage.head() - storage.compacted().await.unwrap() <= 6);
}

#[tokio::test]
async fn a_sealed_row_is_bound_to_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubernetes.db");
    let storage = open(&path).unwrap();
    for name in ["a", "b"] {
        let facets = Facets {
            uid: name.to_owned(),
            ..Facets::default()
        };
        let object = json!({ "metadata": { "name": name }, "data": "hunter2" });
        let write = Write::Put {
            key: key(name),
            expected: Expected::Absent,
            object,
            facets,
            expires: None,
            sealed: true,
        };
        storage.write(write).await.unwrap();
    }
    let connection = Connection::open(&path).unwrap();
    connection
        .execute(
            "UPDATE objects SET body = (SELECT body FROM objects WHERE name = 'b') WHERE name = 'a'",
            [],
        )
        .unwrap();
    assert!(storage.load(key("b")).await.unwrap().is_some());
    assert!(matches!(storage.load(key("a")).await, Err(StorageError::Seal(_))));
}

#[tokio::test]
async fn a_page_is_read_as_it_was_even_if_what_it_held_was_written_before_the_log_begins() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(&folder.path().join("kubernetes.db")).unwrap();
    let old = revision(&put(&storage, "old", Expected::Absent).await);
    let gone = revision(&put(&storage, "gone", Expected::Absent).await);
    storage.compact(gone).await.unwrap();
    put(&storage, "old", Expected::Revision(old)).await;
    let remove = Write::Remove {
        key: key("gone"),
        revision: gone,
        object: json!({ "metadata": { "name": "gone" } }),
        sealed: false,
    };
    revision(&storage.write(remove).await.unwrap());
    put(&storage, "new", Expected::Absent).await;
    let request = |limit, after| PageRequest {
        resource: "kites".into(),
        namespace: None,
        after,
        limit,
        filter: None,
    };
    let names = |page: &Page| page.rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
    let then = storage.page_at(request(9, None), gone).await.unwrap().unwrap();
    assert_eq!(
        (names(&then), then.revision),
        (vec!["gone".to_owned(), "old".to_owned()], gone)
    );
    assert_eq!(then.rows.last().map(|row| row.revision), Some(old));
    let first = storage.page_at(request(1, None), gone).await.unwrap().unwrap();
    assert_eq!(
        (names(&first), first.remaining),
        (vec!["gone".to_owned()], Some(1))
    );
    let rest = storage
        .page_at(request(1, first.next), gone)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(names(&rest), ["old"]);
    assert_eq!(
        names(&storage.page(request(9, None)).await.unwrap()),
        ["new", "old"]
    );
    assert!(
        storage.page_at(request(9, None), old).await.unwrap().is_none(),
        "before the log begins"
    );
    // The log goes on over it, and what it replaced goes with the change that replaced it.
    storage.compact(storage.head()).await.unwrap();
    let page = storage
        .page_at(request(9, None), storage.head())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(names(&page), ["new", "old"]);
}
