//! What a server writes when there is nothing to say: its lease. Read from the API server's own audit log.

use std::time::Duration;

use tokio::time::sleep;

use super::{by_provost, leads, writes};
use crate::control_plane::summary;
use crate::world::{Api, World, eventually, still_for};

/// Enrols `count` devices, and expects no write for `quiet` while nothing happens, nor when the server starts again.
async fn a_fleet_of(count: usize, quiet: Duration) {
    let mut world = World::on(Api::Cluster).await;
    let (revision, _) = world.under_policy(count, 12).await;
    let plane = world.plane.as_ref().expect("a cluster");
    // Sums follow a moment later, and events after them.
    eventually("the last write has been made", async || {
        let before = writes(plane, by_provost).len();
        sleep(Duration::from_secs(2)).await;
        let after = writes(plane, by_provost).len();
        if before == after {
            Ok(())
        } else {
            Err(format!("{before} writes, then {after}"))
        }
    })
    .await;
    let written = still_for(quiet, "a fleet at rest is written about no more", async || {
        writes(plane, by_provost)
    })
    .await;
    assert!(!written.is_empty());

    world.server.kill_and_restart().await;
    leads(&world.server).await;
    world.compliant(count, &revision).await;
    let plane = world.plane.as_ref().expect("a cluster");
    still_for(quiet, "nothing is written after a start", async || {
        writes(plane, by_provost)[written.len()..].to_vec()
    })
    .await;
    assert_eq!(writes(plane, by_provost), written);
    summary(&format!(
        "{count} devices on a real API server: {} writes until they complied, then none in {} s at rest and none at a restart",
        written.len(),
        quiet.as_secs()
    ));
}

#[tokio::test]
async fn a_server_that_comes_back_to_a_fleet_at_rest_writes_its_lease_only() {
    if Api::Cluster.is_here() {
        a_fleet_of(20, Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes"]
async fn so_does_one_of_ten_thousand_devices() {
    if Api::Cluster.is_here() {
        a_fleet_of(10_000, Duration::from_mins(1)).await;
    }
}
