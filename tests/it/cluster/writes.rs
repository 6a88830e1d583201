//! What a server writes when there is nothing to say: its lease.

use super::{by_provost, leads, writes};
use crate::world::{Api, World, policy, still};

const DEVICES: usize = 4;

#[tokio::test]
async fn a_server_that_comes_back_to_a_fleet_at_rest_writes_its_lease_only() {
    if !Api::Cluster.is_here() {
        return;
    }
    let mut world = World::on(Api::Cluster).await;
    world.write("fleet/groups.yaml", policy::EVERYONE);
    world.write("fleet/essentials.yaml", policy::ESSENTIALS);
    world.write(
        "fleet/assignments.yaml",
        &policy::essentials_for_everyone("Enforce", 8),
    );
    let revision = world.commit("Begin");
    world.follow().await;
    world.enroll(u32::try_from(DEVICES).unwrap()).await;
    world.compliant(DEVICES, &revision).await;
    let plane = world.plane.as_ref().expect("a cluster");
    let written = still("a fleet at rest is written about no more", async || {
        writes(plane, by_provost)
    })
    .await;
    assert!(!written.is_empty());

    world.server.kill_and_restart().await;
    leads(&world.server).await;
    world.compliant(DEVICES, &revision).await;
    let plane = world.plane.as_ref().expect("a cluster");
    still("nothing is written after a start", async || {
        writes(plane, by_provost)[written.len()..].to_vec()
    })
    .await;
    assert_eq!(writes(plane, by_provost), written);
}
