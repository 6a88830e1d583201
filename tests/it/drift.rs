//! Devices that leave their desired state by themselves, and come back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use provost::api::Device;
use provost::api::common::Verdict;
use serde_json::json;

use crate::both;
use crate::world::standing::{describe, expect_unbroken_history, history_of, settled, status};
use crate::world::{Api, Setting, World, eventually};

both!(devices_that_leave_their_desired_state_are_seen_and_corrected);

const DEVICES: usize = 6;
const RULES: [&str; 2] = ["essentials/passcode_length", "essentials/firewall_on"];

/// The rule that passed, failed and passed again last, if there is one.
fn came_back(device: &Device) -> Option<&'static str> {
    RULES.into_iter().find(|rule| {
        let verdicts: Vec<_> = history_of(device, rule).iter().map(|record| record.to).collect();
        verdicts.ends_with(&[Some(Verdict::Pass), Some(Verdict::Fail), Some(Verdict::Pass)])
    })
}

async fn devices_that_leave_their_desired_state_are_seen_and_corrected(api: Api) {
    let mut world = World::start(Setting {
        api,
        evidence_interval: "2s",
        ..Setting::default()
    })
    .await;
    let (revision, before) = world.under_policy(DEVICES, 8).await;
    assert_eq!(world.server.metric("provost_corrections_total").await, 0);

    world
        .simulator
        .order(&json!({ "drift": { "count": DEVICES } }))
        .await;
    let drifted = &world.simulator.happened("drifted", 1).await[0];
    let drifted_devices = drifted["devices"].as_array().unwrap();
    assert_eq!(drifted_devices.len(), DEVICES);
    let declarative: BTreeSet<bool> = before
        .values()
        .map(|device| status(device).declarative_management)
        .collect();
    assert_eq!(declarative.len(), 2, "with and without declarations");

    let corrected = world.simulator.happened("corrected", DEVICES).await;
    for (device, kind) in drifted_devices.iter().zip(drifted["kinds"].as_array().unwrap()) {
        assert!(
            corrected
                .iter()
                .any(|event| event["device"] == *device && event["kind"] == *kind),
            "{corrected:#?}"
        );
    }
    let after = eventually("all devices have come back", async || {
        let devices = world.devices().await?;
        // A Mac whose owner has the firewall on passes without our profile, and is corrected nevertheless.
        let seen = devices
            .values()
            .filter(|device| came_back(device).is_some())
            .count();
        let back = devices.values().all(|device| settled(device, &revision)) && seen >= DEVICES / 2;
        if back {
            Ok(devices)
        } else {
            Err(show(&world, &devices).await)
        }
    })
    .await;
    let kinds: BTreeSet<bool> = after
        .values()
        .filter(|device| came_back(device).is_some())
        .map(|device| status(device).declarative_management)
        .collect();
    assert_eq!(kinds.len(), 2, "seen with and without declarations");
    for device in after.values() {
        expect_unbroken_history(device);
        let Some(rule) = came_back(device) else { continue };
        let history = history_of(device, rule);
        let [.., fail, pass] = history.as_slice() else {
            panic!("{history:#?}")
        };
        for record in [fail, pass] {
            assert!(
                ["StatusReport", "ProfileList", "SecurityInfo"].contains(&record.evidence.as_str()),
                "{record:#?}"
            );
            assert_eq!(record.revision.as_deref(), Some(&*revision));
            assert!(!record.reason.is_empty());
        }
        assert!(fail.time <= pass.time);
        assert_eq!(status(device).failing_rules, []);
    }
    assert!(world.server.metric("provost_corrections_total").await >= u64::try_from(DEVICES).unwrap());
    assert_eq!(world.simulator.number("unenrolled"), 0);
}

async fn show(world: &World, devices: &BTreeMap<String, Device>) -> String {
    let assignments = world.assignments().await.unwrap_or_default();
    let mut text = describe(devices, &assignments);
    for (name, device) in devices.iter().filter(|(_, device)| came_back(device).is_none()) {
        let _ = writeln!(text, "{name}: {:#?}", status(device).history);
    }
    text
}
