//! The contract, and what is this adapter's own.

use std::collections::HashSet;

use super::*;
use crate::clock::SystemEntropy;
use crate::compliance::Facts;
use crate::mdm::command::{NewCommand, ReportStatus};
use crate::pki::KeyFile;
use crate::secret::Secret;
use crate::store::contract::*;
use crate::store::{Escrow, Refusal, Store, broadcast};

struct Opened {
    // Dropped before its folder.
    store: SqliteStore,
    folder: tempfile::TempDir,
}

fn open() -> Opened {
    let folder = tempfile::tempdir().unwrap();
    Opened {
        store: open_in(folder.path()),
        folder,
    }
}

fn open_in(folder: &Path) -> SqliteStore {
    let keys = KeyFile::open(&folder.join("store.key"), SystemEntropy).unwrap();
    SqliteStore::open(&folder.join("store.db"), Arc::new(keys)).unwrap()
}

store_contract!(open);

/// Every byte of the database and its logs.
fn bytes_on_disk(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in ["store.db", "store.db-wal"] {
        bytes.extend(std::fs::read(folder.join(name)).unwrap());
    }
    bytes
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[tokio::test]
async fn no_secret_stands_in_clear() {
    let opened = open();
    let store = &opened.store;
    let device = enroll(store, "A").await;
    store
        .token_update(&device, push_address(b"token-of-a-device"), at(1))
        .await
        .unwrap();
    let body = "<dict><key>PIN</key><string>pin-to-unlock</string></dict>".into();
    store
        .enqueue(
            vec![NewCommand {
                body,
                ..command(&device, "c-1")
            }],
            at(1),
        )
        .await
        .unwrap();
    let mut secret = (*manifest("m")).clone();
    secret.declarations_token = "passphrase-of-the-network".into();
    store.keep_manifest(Arc::new(secret)).await.unwrap();

    for (kind, secret) in [
        (Escrow::BootstrapToken, "token-to-bootstrap"),
        (Escrow::UnlockToken, "token-of-a-passcode"),
    ] {
        let secret = Some(Secret::new(secret.as_bytes().to_vec()));
        assert!(store.keep_escrow(&device, kind, secret).await.unwrap());
    }

    let bytes = bytes_on_disk(opened.folder.path());
    assert!(
        holds(&bytes, b"TESTSERIAL01"),
        "this test looks in the right place"
    );
    for secret in [
        "token-of-a-device",
        "push-magic-of-a-device",
        "pin-to-unlock",
        "passphrase-of-the-network",
        "token-to-bootstrap",
        "token-of-a-passcode",
    ] {
        assert!(!holds(&bytes, secret.as_bytes()), "{secret} stands in the file");
    }
    // A plain digest of a body with few possibilities would give it away.
    assert!(!holds(
        &bytes,
        &Digest::of(b"<dict><key>PIN</key><string>pin-to-unlock</string></dict>").0
    ));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(opened.folder.path().join("store.db"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn sealed_values_that_were_exchanged_are_noticed() {
    let opened = open();
    let (a, b) = (enroll(&opened.store, "A").await, enroll(&opened.store, "B").await);
    let Opened { store, folder } = opened;
    drop(store);
    Connection::open(folder.path().join("store.db"))
        .unwrap()
        .execute_batch("UPDATE push_addresses SET token = (SELECT token FROM push_addresses ORDER BY enrollment LIMIT 1)")
        .unwrap();
    let store = open_in(folder.path());
    assert!(store.push_address(&a).await.unwrap().is_some());
    let error = store.push_address(&b).await.unwrap_err();
    assert_eq!(error.to_string(), "the store holds a damaged sealed value");
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let Opened { store, folder } = open();
    let device = enroll(&store, "A").await;
    store
        .enqueue(vec![command(&device, "c-1"), command(&device, "c-2")], at(1))
        .await
        .unwrap();
    store.keep_manifest(manifest("m")).await.unwrap();
    store
        .point(&[(device.clone(), digest("m"))], at(1))
        .await
        .unwrap();
    let before = store.pending(&device).await.unwrap();
    drop(store);
    assert!(
        !folder.path().join("store.db-wal").exists(),
        "closing leaves one whole file"
    );

    let store = open_in(folder.path());
    assert_eq!(store.pending(&device).await.unwrap(), before);
    assert_eq!(store.manifest(digest("m")).await.unwrap(), Some(manifest("m")));
    assert_eq!(
        store.push_address(&device).await.unwrap().unwrap().token.reveal(),
        b"token"
    );
    store.enqueue(vec![command(&device, "c-3")], at(2)).await.unwrap();
    assert!(
        store
            .pending(&device)
            .await
            .unwrap()
            .is_sorted_by(|x, y| x.sequence < y.sequence)
    );
    assert_eq!(store.pending(&device).await.unwrap()[2].uuid, uuid("c-3"));
}

#[tokio::test]
async fn an_operation_that_fails_or_panics_takes_nothing_else_with_it() {
    let opened = open();
    let store = &opened.store;
    let device = &enroll(store, "A").await;
    let mut feed = store.changes();
    let announce = |name: &'static str| {
        move |writing: &mut Writing<'_>| {
            writing.execute("UPDATE enrollments SET model = ?1", [name])?;
            writing.announce(Change::Facts(id(name)));
            Ok(())
        }
    };
    let failing = move |writing: &mut Writing<'_>| -> Result<(), Fault> {
        announce("failing")(writing)?;
        Ok(writing.execute_batch("INSERT INTO nowhere VALUES (1)")?)
    };
    let panicking = move |writing: &mut Writing<'_>| -> Result<(), Fault> {
        announce("panicking")(writing)?;
        panic!("as it should, in this test")
    };
    // Joined, so that they wait together and go into one commit.
    let (good, failed, panicked, queued) = tokio::join!(
        store.writer.run("test", announce("good")),
        store.writer.run("test", failing),
        store.writer.run("test", panicking),
        store.enqueue(vec![command(device, "c-1")], at(1)),
    );
    assert!(good.is_ok());
    assert!(matches!(
        failed.unwrap_err(),
        StoreError::Database { action: "test", .. }
    ));
    assert!(matches!(
        panicked.unwrap_err(),
        StoreError::Database { action: "test", .. }
    ));
    assert_eq!(queued.unwrap(), []);
    assert_eq!(
        store.enrollment(device).await.unwrap().unwrap().model.as_deref(),
        Some("good")
    );
    assert_eq!(store.pending(device).await.unwrap().len(), 1);
    assert_eq!(feed.recv().await.unwrap(), Change::Facts(id("good")));
    assert_eq!(
        feed.recv().await.unwrap(),
        Change::Work(device.clone()),
        "nothing is told of what was undone"
    );
}

#[tokio::test]
async fn history_is_kept_as_long_as_it_says() {
    let opened = open();
    let store = &opened.store;
    let device = enroll(store, "A").await;
    let poll = |name: &str| NewCommand {
        request_type: "SecurityInfo".into(),
        ..command(&device, name)
    };
    let mut commands: Vec<_> = (0..205)
        .map(|number| command(&device, &format!("c-{number}")))
        .collect();
    commands.extend([
        poll("poll"),
        NewCommand {
            deadline: at(60),
            ..command(&device, "unasked")
        },
    ]);
    store.enqueue(commands, at(0)).await.unwrap();
    for name in (0..205)
        .map(|number| format!("c-{number}"))
        .chain(["poll".to_owned()])
    {
        report(store, &device, &name, ReportStatus::Acknowledged).await;
    }
    let names = || async {
        let results = store.results(&device, 1000).await.unwrap();
        results
            .iter()
            .map(|result| result.uuid.to_string())
            .collect::<Vec<_>>()
    };
    let (hour, day) = (3600, 24 * 3600);

    let removed = store.retain(at(hour)).await.unwrap();
    assert_eq!(
        removed.expired_commands, 1,
        "a device that never asks keeps no command for ever"
    );
    assert_eq!(removed.results, 6, "206 of that class ended, 200 are kept");
    assert_eq!(removed.bodies, 1, "one template for all of them");
    assert_eq!(names().await[..3], ["unasked", "poll", "c-204"]);

    assert_eq!(store.retain(at(2 * day)).await.unwrap().results, 1);
    assert_eq!(
        names().await[..2],
        ["unasked", "c-204"],
        "a question is kept for a day"
    );
    assert_eq!(store.retain(at(89 * day)).await.unwrap().results, 0);
    assert_eq!(store.retain(at(91 * day)).await.unwrap().results, 200);
    assert_eq!(names().await, Vec::<String>::new());
}

#[tokio::test]
async fn invitations_and_certificates_are_forgotten_long_after_they_ran_out() {
    let opened = open();
    let store = &opened.store;
    let (pinned, unused) = (enroll(store, "A").await, id("B"));
    issue(store, &unused, "b", 0).await;
    let day = 24 * 3600;
    let removed = store.retain(at(29 * day)).await.unwrap();
    assert_eq!((removed.invitations, removed.certificates), (0, 0));
    assert_eq!(
        store
            .invitation(digest("challenge of b"), Some(&unused), digest("key"), at(0))
            .await
            .unwrap(),
        Err(Refusal::Used)
    );
    let removed = store.retain(at(60 * day)).await.unwrap();
    assert_eq!(
        (removed.invitations, removed.certificates),
        (2, 1),
        "a pin is kept as long as it is one"
    );
    assert_eq!(
        store
            .invitation(digest("challenge of b"), Some(&unused), digest("key"), at(0))
            .await
            .unwrap(),
        Err(Refusal::Unknown)
    );
    assert!(store.enrollment(&pinned).await.unwrap().is_some());
}

#[tokio::test]
async fn a_broadcast_stores_its_body_once() {
    let opened = open();
    let store = &opened.store;
    let mut devices = Vec::new();
    for number in 0..40 {
        devices.push(enroll(store, &format!("D{number}")).await);
    }
    let secret = format!("passphrase-of-everybody-{}", "x".repeat(100_000));
    let to_all = NewCommand {
        body: format!("{}{secret}", body("c-1")).into(),
        ..command(&devices[0], "c-1")
    };
    let before = bytes_on_disk(opened.folder.path()).len();
    assert_eq!(
        broadcast(store, &to_all.into(), &devices, at(1)).await.unwrap(),
        []
    );
    let grown = bytes_on_disk(opened.folder.path()).len() - before;
    assert!(
        grown < 10 * secret.len(),
        "{grown} bytes for {} devices",
        devices.len()
    );
    for device in &devices {
        store
            .cancel(device, &uuid("c-1"), "a mistake", at(2))
            .await
            .unwrap();
    }
    assert_eq!(store.retain(at(3)).await.unwrap().bodies, 1);
}

#[tokio::test]
async fn a_body_that_takes_the_place_of_a_removed_one_is_offered_as_it_is() {
    let opened = open();
    let store = &opened.store;
    let device = enroll(store, "A").await;
    store.enqueue(vec![command(&device, "c-1")], at(0)).await.unwrap();
    assert_eq!(next(store, &device, true).await.as_deref(), Some("c-1"));
    report(store, &device, "c-1", ReportStatus::Acknowledged).await;
    assert_eq!(store.retain(at(1)).await.unwrap().bodies, 1);
    let other = NewCommand {
        body: "<dict>another body</dict>".into(),
        ..command(&device, "c-2")
    };
    store.enqueue(vec![other], at(2)).await.unwrap();
    let offered = store.next_command(&device, true, at(3)).await.unwrap().unwrap();
    assert_eq!(&*offered.body, "<dict>another body</dict>");
}

#[tokio::test]
async fn bodies_in_use_are_not_removed() {
    let opened = open();
    let store = &opened.store;
    let device = enroll(store, "A").await;
    store.enqueue(vec![command(&device, "c-1")], at(0)).await.unwrap();
    assert_eq!(store.retain(at(1)).await.unwrap(), Removed::default());
    assert_eq!(next(store, &device, true).await.as_deref(), Some("c-1"));
}

/// Names the folder to the child process of [`what_was_acknowledged_survives_a_kill`].
const CHILD: &str = "PROVOST_TEST_STORE_CHILD";

/// Not a test but the child of one: writes until it is killed, saying what was acknowledged.
#[tokio::test]
#[ignore = "run by what_was_acknowledged_survives_a_kill, in a process of its own"]
async fn child_that_writes_until_it_is_killed() {
    let folder = std::env::var_os(CHILD).expect("the parent names the folder");
    let store = open_in(Path::new(&folder));
    let device = enroll(&store, "A").await;
    let say = |what: String| {
        use std::io::Write as _;
        writeln!(std::io::stdout().lock(), "acknowledged {what}").unwrap();
    };
    for round in 0.. {
        let writes = (0..20).map(|number| {
            let (store, device, name) = (&store, &device, format!("c-{round}-{number}"));
            async move {
                store.enqueue(vec![command(device, &name)], at(1)).await.unwrap();
                say(format!("queued {name}"));
                if number % 2 == 0 {
                    report(store, device, &name, ReportStatus::Acknowledged).await;
                    say(format!("ended {name}"));
                }
                let add = name.clone();
                let add = move |facts: &mut Facts| {
                    facts
                        .profiles
                        .get_or_insert_default()
                        .insert(add, String::new())
                        .is_none()
                };
                store.update_facts(device, Box::new(add)).await.unwrap();
                say(format!("fact {name}"));
            }
        });
        futures::future::join_all(writes).await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    use std::io::BufRead as _;
    for lines in [1, 50, 333] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "--test-threads=1"])
            .arg("store::sqlite::tests::child_that_writes_until_it_is_killed")
            .env(CHILD, folder.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let acknowledged = |line: String| line.strip_prefix("acknowledged ").map(str::to_owned);
        let mut promises: Vec<String> = output.by_ref().filter_map(acknowledged).take(lines).collect();
        // SIGKILL: nothing is flushed, nothing is closed.
        child.kill().unwrap();
        child.wait().unwrap();
        promises.extend(output.filter_map(acknowledged));
        assert!(promises.len() >= lines, "the child wrote until it was killed");

        let store = open_in(folder.path());
        let device = id("A");
        let pending: HashSet<_> = store
            .pending(&device)
            .await
            .unwrap()
            .iter()
            .map(|command| command.uuid.to_string())
            .collect();
        let ended: HashSet<_> = store
            .results(&device, usize::MAX)
            .await
            .unwrap()
            .iter()
            .map(|result| result.uuid.to_string())
            .collect();
        let facts = store.facts(&device).await.unwrap().profiles.unwrap_or_default();
        for promise in promises {
            let (what, name) = promise.split_once(' ').unwrap();
            let kept = match what {
                "queued" => pending.contains(name) || ended.contains(name),
                "ended" => ended.contains(name) && !pending.contains(name),
                _ => facts.contains_key(name),
            };
            assert!(kept, "{promise} was acknowledged and is lost");
        }
    }
}
