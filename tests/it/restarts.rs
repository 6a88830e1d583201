//! `provost up` is killed, as by a power cut, and started again: the fleet ends where it would have ended without.

use std::collections::BTreeMap;

use provost::api::Device;
use serde_json::json;

use crate::both;
use crate::world::standing::{describe, ends, expect_unbroken_history, settled, sums};
use crate::world::{Api, Setting, World, eventually, policy};

both!(
    killed_while_devices_enrol,
    killed_while_devices_move_to_a_new_commit,
    killed_while_devices_drift,
);

const DEVICES: usize = 8;
const DRIFTED: usize = 4;

/// Where in the story the server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kill {
    /// Once so many devices have enrolled.
    Enrolling(u64),
    /// As soon as the stricter revision is in force.
    Committed,
    /// As soon as devices are pointed at what it asks for.
    Moving,
    /// As soon as devices have drifted.
    Drifted,
    /// As soon as the first drifted device is back.
    Corrected,
}

/// A fleet enrols, complies, moves to a stricter commit, drifts and comes back; the server is killed on the way.
async fn tell(api: Api, mdm_port: u16, kills: &[Kill]) -> (World, BTreeMap<String, Device>) {
    let setting = Setting {
        api,
        mdm_port,
        evidence_interval: "2s",
        ..Setting::default()
    };
    let mut world = World::start(setting).await;
    let killed = |kill: Kill| kills.contains(&kill);
    world.write_essentials(8);
    let loose = world.commit("Begin");
    world.follow().await;
    world.enroll(u32::try_from(DEVICES).unwrap()).await;
    for kill in kills {
        if let Kill::Enrolling(count) = kill {
            world.simulator.reaches("enrolled", *count).await;
            world.server.kill_and_restart().await;
        }
    }
    world.compliant(DEVICES, &loose).await;

    world.write(
        "fleet/assignment.yaml",
        &policy::essentials_for_everyone("Enforce", 10),
    );
    let tight = world.bring_into_force("Ask for ten characters").await;
    if killed(Kill::Committed) {
        world.server.kill_and_restart().await;
    }
    if killed(Kill::Moving) {
        eventually("devices are pointed at another manifest", async || {
            let writes = world.server.metric("provost_pointer_writes_total").await;
            // Counted since the last start.
            if writes > 0 {
                Ok(())
            } else {
                Err(format!("{writes} written"))
            }
        })
        .await;
        world.server.kill_and_restart().await;
    }
    world.compliant(DEVICES, &tight).await;

    world
        .simulator
        .order(&json!({ "drift": { "count": DRIFTED } }))
        .await;
    world.simulator.happened("drifted", 1).await;
    if killed(Kill::Drifted) {
        world.server.kill_and_restart().await;
    }
    if killed(Kill::Corrected) {
        world.simulator.happened("corrected", 1).await;
        world.server.kill_and_restart().await;
    }
    world.simulator.happened("corrected", DRIFTED).await;
    world.compliant(DEVICES, &tight).await;
    // What was corrected last may still be judged.
    let devices = eventually("the fleet has come to rest", async || {
        let devices = world.devices().await?;
        let rest = devices.values().all(|device| settled(device, &tight));
        if rest {
            Ok(devices)
        } else {
            Err(describe(&devices, &world.assignments().await?))
        }
    })
    .await;
    (world, devices)
}

/// Tells the story undisturbed, then with kills at the same address, and expects the same end.
async fn ends_the_same_with(api: Api, kills: &[Kill]) {
    let (mut undisturbed, expected) = tell(api, 0, &[]).await;
    let port = undisturbed.server.mdm_port();
    let expected_sums = sums(&undisturbed.assignments().await.unwrap()["essentials"]);
    undisturbed.server.terminate().await;
    drop(undisturbed);

    let (world, devices) = tell(api, port, kills).await;
    assert_eq!(ends(&devices), ends(&expected));
    let sums = sums(&world.assignments().await.unwrap()["essentials"]);
    assert_eq!(sums.devices, expected_sums.devices);
    assert_eq!(sums.verdicts, expected_sums.verdicts);
    assert_eq!(sums.controls, expected_sums.controls);
    let moved = |history: &[provost::api::assignment::AssignmentRecord]| -> Vec<i64> {
        history.iter().map(|record| record.moved).collect()
    };
    assert_eq!(moved(&sums.history), moved(&expected_sums.history));
    assert_eq!(world.simulator.number("unenrolled"), 0);
    for device in devices.values() {
        expect_unbroken_history(device);
    }
}

async fn killed_while_devices_enrol(api: Api) {
    ends_the_same_with(api, &[Kill::Enrolling(1), Kill::Enrolling(4)]).await;
}

async fn killed_while_devices_move_to_a_new_commit(api: Api) {
    ends_the_same_with(api, &[Kill::Committed, Kill::Moving]).await;
}

async fn killed_while_devices_drift(api: Api) {
    ends_the_same_with(api, &[Kill::Drifted, Kill::Corrected]).await;
}
