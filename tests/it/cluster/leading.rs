//! Two replicas with a store each on one API: one leads, the other takes over.

use std::time::Duration;

use tokio::time::Instant;

use super::{leads, lease, plane, reads, work_is_done, writes};
use crate::world::{SHORT_LEASE, Server, eventually};

/// As in [`SHORT_LEASE`].
const LEASE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn another_takes_over_from_a_leader_that_stops_and_from_one_that_is_killed() {
    let Some(plane) = plane().await else { return };
    let client = plane.client().await;
    let folder = tempfile::tempdir().unwrap();
    let start = async |name: &str| {
        let more = [SHORT_LEASE.as_slice(), &["--pod-name", name]].concat();
        Server::serve(&folder.path().join(name), &plane.kubeconfig(), 0, &more).await
    };
    let mut first = start("first").await;
    leads(&first).await;
    assert!(
        lease(&client)
            .await
            .holder_identity
            .unwrap()
            .starts_with("first_")
    );
    work_is_done(&client, "one").await;

    let mut second = start("second").await;
    eventually("the second follows the first", async || {
        let said = second.said();
        if said.contains("standing by") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    assert_eq!(
        second.admin("/readyz?verbose").await,
        (
            200,
            "[+]ready\n[+]kubernetes api reachable\n[-]leader\nok\n".to_owned()
        ),
        "it serves devices"
    );
    assert_eq!(second.metric("provost_leader").await, 0);

    let stopped = Instant::now();
    assert!(first.terminate().await.0.success());
    leads(&second).await;
    assert!(
        stopped.elapsed() < LEASE,
        "what was handed back is not waited for: {:?}",
        stopped.elapsed()
    );
    assert!(
        first.said().contains("the lease is handed back"),
        "{}",
        first.said()
    );
    assert_eq!(second.metric("provost_leader_transitions").await, 1);
    work_is_done(&client, "two").await;

    let third = start("third").await;
    second.kill().await;
    leads(&third).await;
    let held = lease(&client).await;
    assert!(held.holder_identity.unwrap().starts_with("third_"));
    assert_eq!(held.lease_transitions, Some(2));
    assert_eq!(held.lease_duration_seconds, Some(5));
    work_is_done(&client, "three").await;
}

#[tokio::test]
async fn a_leader_that_slept_through_its_term_writes_nothing_when_it_wakes() {
    let Some(plane) = plane().await else { return };
    let client = plane.client().await;
    let folder = tempfile::tempdir().unwrap();
    let start = async |name: &str| {
        let kubeconfig = plane.kubeconfig_for(name, &["system:masters"]);
        Server::serve(&folder.path().join(name), &kubeconfig, 0, &SHORT_LEASE).await
    };
    let sleeper = start("sleeper").await;
    leads(&sleeper).await;
    let other = start("other").await;
    work_is_done(&client, "one").await;

    sleeper.signal("STOP").await;
    leads(&other).await;
    // The sleeper will hear of it, and would write a status of its own.
    work_is_done(&client, "two").await;
    let theirs = |event: &serde_json::Value| event["user"]["username"] == "sleeper";
    let before = writes(&plane, theirs);
    assert!(!before.is_empty(), "it did lead");
    sleeper.signal("CONT").await;
    reads(&sleeper, "provost_leader", 0).await;
    work_is_done(&client, "three").await;
    eventually("it stands by", async || {
        let said = sleeper.said();
        if said.contains("standing by") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    assert_eq!(writes(&plane, theirs), before);
    assert_eq!(other.metric("provost_leader").await, 1);
    assert_eq!(lease(&client).await.lease_transitions, Some(1));
}
