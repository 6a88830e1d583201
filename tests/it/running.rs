//! `provost up` and `provost demo` as programs: what they print, refuse and leave behind.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use crate::world::{Server, command, provost};

/// Listens nowhere in particular.
const ANY_PORT: [&str; 6] = [
    "--mdm-listen",
    "127.0.0.1:0",
    "--api-listen",
    "127.0.0.1:0",
    "--admin-listen",
    "127.0.0.1:0",
];

async fn try_up(data_dir: &Path) -> crate::world::Said {
    let mut args = vec!["up", "--data-dir", data_dir.to_str().unwrap()];
    args.extend(ANY_PORT);
    timeout(Duration::from_secs(30), provost(&args))
        .await
        .expect("it ends by itself")
}

#[tokio::test]
async fn up_says_where_it_is_answers_probes_and_stops_when_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&folder.path().join("data"), 0, &[]).await;
    let ready = server.ready.clone();
    assert!(ready.mdm.starts_with("https://localhost:"), "{ready:?}");
    assert!(ready.api.starts_with("https://127.0.0.1:"), "{ready:?}");
    assert!(ready.kubeconfig.is_file() && ready.ca.is_file(), "{ready:?}");
    assert_eq!(server.admin("/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(server.admin("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(server.admin("/nothing").await.0, 404);
    assert_eq!(server.metric("provost_devices").await, 0);
    assert_eq!(
        server.metric(r#"provost_connections{listener="devices"}"#).await,
        0
    );
    let room = server
        .metric(r#"provost_connections_limit{listener="devices"}"#)
        .await;
    assert!(room > 100, "{room}");
    let said = std::fs::read_to_string(folder.path().join("data.log")).unwrap();
    for advice in ["KUBECONFIG", "provost enroll invite", "--apns-cert"] {
        assert!(said.contains(advice), "{said}");
    }

    let (status, rest) = timeout(Duration::from_secs(15), server.terminate())
        .await
        .expect("it stops within seconds");
    assert_eq!(
        (status.code(), rest.as_str()),
        (Some(0), ""),
        "one line on standard output, and success"
    );
}

#[tokio::test]
async fn up_refuses_a_directory_that_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), 0, &[]).await;
    let said = try_up(server.data_dir()).await;
    assert!(!said.success && said.stdout.is_empty());
    assert!(
        said.stderr.contains("another provost works in"),
        "{}",
        said.stderr
    );
    assert_eq!(server.admin("/readyz").await.0, 200, "the first is not disturbed");
}

#[tokio::test]
async fn up_refuses_data_of_a_newer_version_and_leaves_it_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    Server::start(&data_dir, 0, &[]).await.terminate().await;
    for database in ["provost.db", "kubernetes.db"] {
        let version = |set: Option<i64>| {
            let connection = Connection::open(data_dir.join(database)).unwrap();
            let found: i64 = connection
                .pragma_query_value(None, "user_version", |row| row.get(0))
                .unwrap();
            if let Some(set) = set {
                connection.pragma_update(None, "user_version", set).unwrap();
            }
            found
        };
        let ours = version(Some(9_999));
        assert!(ours > 0, "{database} tells its version");
        let said = try_up(&data_dir).await;
        assert!(
            !said.success && said.stdout.is_empty(),
            "{database}: {}",
            said.stdout
        );
        assert!(
            said.stderr.contains(database) && said.stderr.contains("newer"),
            "{database}: {}",
            said.stderr
        );
        assert_eq!(version(Some(ours)), 9_999, "{database} is left as it is");
    }
    Server::start(&data_dir, 0, &[]).await.terminate().await;
}

#[tokio::test]
async fn up_names_the_option_whose_address_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["--mdm-listen", "--api-listen", "--admin-listen"] {
        let data_dir = folder.path().join(option);
        let mut args = vec!["up", "--data-dir", data_dir.to_str().unwrap()];
        args.extend(ANY_PORT);
        let place = args.iter().position(|arg| *arg == option).unwrap();
        args[place + 1] = &address;
        let said = timeout(Duration::from_secs(30), provost(&args))
            .await
            .expect("it ends by itself");
        assert!(!said.success && said.stdout.is_empty());
        assert!(
            said.stderr.contains(option) && said.stderr.contains(&address),
            "{option}: {}",
            said.stderr
        );
    }
}

#[tokio::test]
async fn a_reader_that_goes_early_is_no_failure() {
    for args in [&["crd"] as &[&str], &["completions", "bash"], &["reference"]] {
        let mut child = command()
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success() && said.is_empty(), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn a_server_goes_on_when_nobody_reads_its_log_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let mut child = command()
        .args(["up", "--log", "debug", "--data-dir"])
        .arg(&data_dir)
        .args(ANY_PORT)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.next_line().await.unwrap().expect("it becomes ready");
    assert!(ready.starts_with("ready "), "{ready}");
    let invited = ["enroll", "invite", "--namespace", "default", "--data-dir"];
    let invited = [&invited[..], &[data_dir.to_str().unwrap()]].concat();
    let said = provost(&invited).await;
    assert!(said.success, "it answers: {}", said.stderr);
    assert!(child.try_wait().unwrap().is_none(), "it runs");
}

#[tokio::test]
async fn several_invitations_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), 0, &[]).await;
    let data_dir = server.data_dir().to_str().unwrap();
    let said = provost(&[
        "enroll",
        "invite",
        "--data-dir",
        data_dir,
        "-n",
        "default",
        "--count",
        "2",
    ])
    .await;
    let invitations: Vec<&str> = said.stdout.split("\n\n").collect();
    assert_eq!(invitations.len(), 2, "{}", said.stdout);
    for invitation in invitations {
        let words: Vec<&str> = invitation
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(words, ["url", "profile", "challenge", "expires"]);
    }
}

#[tokio::test]
async fn a_log_filter_that_is_none_is_refused() {
    let said = provost(&["--log", "provost=loud", "crd"]).await;
    assert!(!said.success && said.stdout.is_empty());
    assert!(said.stderr.contains("`provost=loud`"), "{}", said.stderr);
}

#[tokio::test]
async fn the_demo_ends_with_one_line_of_numbers() {
    let said = provost(&["demo", "--once", "--devices", "10", "-o", "json"]).await;
    assert!(said.success, "{}", said.stderr);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 1, "{}", said.stdout);
    let summary: Value = serde_json::from_str(lines[0]).unwrap();
    let mut keys: Vec<&str> = summary.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let mut expected = [
        "devices",
        "compliant",
        "drifted",
        "corrected",
        "policyMoves",
        "compiles",
        "enrollSeconds",
        "moveSeconds",
        "totalSeconds",
        "serverPeakRssBytes",
        "simulatorPeakRssBytes",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    let number = |key: &str| summary[key].as_f64().unwrap();
    assert_eq!((number("devices"), number("compliant")), (10.0, 10.0));
    assert!(number("drifted") >= 1.0);
    assert_eq!(summary["drifted"], summary["corrected"]);
    assert!((1.0..=10.0).contains(&number("policyMoves")));
    for key in [
        "compiles",
        "enrollSeconds",
        "moveSeconds",
        "totalSeconds",
        "serverPeakRssBytes",
        "simulatorPeakRssBytes",
    ] {
        assert!(number(key) > 0.0, "{key}");
    }
    assert!(number("enrollSeconds") + number("moveSeconds") <= number("totalSeconds"));
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn five_thousand_devices_become_compliant_with_little_memory() {
    let said = provost(&["demo", "--once", "--devices", "5000", "-o", "json"]).await;
    assert!(said.success, "{}", said.stderr);
    let summary: Value = serde_json::from_str(said.stdout.trim()).unwrap();
    assert_eq!(summary["compliant"], 5_000);
    let peak = summary["serverPeakRssBytes"].as_u64().unwrap();
    assert!(peak > 0 && peak < 300 << 20, "{} MiB", peak >> 20);
}
