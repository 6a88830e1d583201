//! Many devices at once.

use std::time::Duration;

use super::super::Event;
use super::super::model::Family;
use super::server::Server;
use super::{World, file_vault, standard, sync_command};

/// Makes the server tell every device to sync to the standard set.
fn everyone_syncs(server: &Server) {
    let declarations = standard(server);
    let mut script = server.script();
    script.declarations = declarations;
    script.profile = file_vault();
    script.everyone = Some(
        sync_command()
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    );
    script.forgetful = true;
}

#[tokio::test]
async fn of_a_fleet_as_many_devices_drift_as_are_told_to() {
    let mut world = World::with(Family::Mac, 20).await;
    everyone_syncs(&world.server);
    world.fleet.enroll((0..60).map(|_| world.server.invitation()));
    world.numbers(|progress| progress.synced == 60).await;
    world.fleet.drift(20).await;
    let mut corrected = 0;
    let devices = loop {
        match world.event().await {
            Event::Drifted { devices, .. } => break devices,
            // The server's next answer already tells them to sync.
            Event::Corrected { .. } => corrected += 1,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(devices.len(), 20);
    while corrected < 20 {
        assert!(matches!(world.event().await, Event::Corrected { .. }));
        corrected += 1;
    }
    let progress = world.fleet.progress();
    assert_eq!(
        (progress.drifted, progress.corrected, progress.unenrolled),
        (20, 20, 0)
    );
}

#[tokio::test]
#[ignore = "a measurement: what a thousand idle devices cost, server included"]
async fn an_idle_device_costs_little_memory() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap()
            .to_owned();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let world = World::with(Family::Mac, 20).await;
    everyone_syncs(&world.server);
    world.fleet.enroll((0..200).map(|_| world.server.invitation()));
    world.numbers(|progress| progress.synced == 200).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = resident();
    world.fleet.enroll((0..2000).map(|_| world.server.invitation()));
    world.numbers(|progress| progress.synced == 2200).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let each = (resident() - before) / 2000;
    println!("{each} KiB a device, {} KiB in all", resident());
    assert!(each <= 60, "{each} KiB a device");
}
