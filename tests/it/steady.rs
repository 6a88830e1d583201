//! A fleet at rest costs the Kubernetes API nothing: what the server writes is read from the API server's own audit log.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::control_plane::summary;
use crate::world::{Api, World, eventually, policy};

/// Verbs that change something.
const WRITES: [&str; 6] = ["create", "update", "patch", "delete", "deletecollection", "apply"];

/// The server's writes so far, but for the renewals of its lease. A rehearsal (dry run) writes nothing.
fn writes(world: &World) -> Vec<String> {
    let audit = world.plane.as_ref().expect("a cluster").audit();
    let mine = audit.iter().filter(|event| {
        let agent = event["userAgent"].as_str().unwrap_or_default();
        let rehearsal = event["requestURI"]
            .as_str()
            .unwrap_or_default()
            .contains("dryRun=");
        agent.starts_with("provost/") && event["objectRef"]["resource"] != "leases" && !rehearsal
    });
    mine.filter(|event| WRITES.contains(&event["verb"].as_str().unwrap_or_default()))
        .map(text)
        .collect()
}

fn text(event: &Value) -> String {
    let part = |pointer: &str| {
        event
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    format!(
        "{} {} {} {}",
        part("/verb"),
        part("/objectRef/resource"),
        part("/objectRef/name"),
        part("/objectRef/subresource")
    )
}

/// Enrols `count` devices, and expects no write while nothing happens, nor when the server starts again.
async fn a_fleet_of(count: u32, quiet: Duration) {
    let mut world = World::on(Api::Cluster).await;
    world.write("fleet/group.yaml", policy::EVERYONE);
    world.write("fleet/baseline.yaml", policy::ESSENTIALS);
    world.write(
        "fleet/assignment.yaml",
        &policy::essentials_for_everyone("Enforce", 12),
    );
    let revision = world.commit("Bring the fleet under policy");
    world.follow().await;
    world.look().await;
    world.enroll(count).await;
    let devices = usize::try_from(count).unwrap();
    world.compliant(devices, &revision).await;
    // Sums follow a moment later, and events after them.
    eventually("the last write has been made", async || {
        let before = writes(&world).len();
        sleep(Duration::from_secs(2)).await;
        let after = writes(&world).len();
        if before == after {
            Ok(())
        } else {
            Err(format!("{before} writes, then {after}"))
        }
    })
    .await;

    let before = writes(&world);
    let end = Instant::now() + quiet;
    while Instant::now() < end {
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(
        writes(&world)[before.len()..],
        [] as [String; 0],
        "nothing happened"
    );

    world.server.kill_and_restart().await;
    eventually("the new process leads", async || {
        match world.server.metric("provost_leader").await {
            1 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    world.compliant(devices, &revision).await;
    let end = Instant::now() + quiet;
    while Instant::now() < end {
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(
        writes(&world)[before.len()..],
        [] as [String; 0],
        "a start changes nothing"
    );
    summary(&format!(
        "{count} devices on a real API server: {} writes until they complied, then none in {} s at rest and none at a restart",
        before.len(),
        quiet.as_secs()
    ));
}

#[tokio::test]
async fn a_fleet_at_rest_writes_nothing_and_a_start_writes_nothing() {
    if Api::Cluster.is_here() {
        a_fleet_of(20, Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes"]
async fn ten_thousand_devices_at_rest_write_nothing_and_a_start_writes_nothing() {
    if Api::Cluster.is_here() {
        a_fleet_of(10_000, Duration::from_mins(1)).await;
    }
}
