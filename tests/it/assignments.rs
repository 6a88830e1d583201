//! What assignments say about each other: modes, parameters, exclusions, precedence.

use std::collections::BTreeMap;

use provost::api::Device;
use provost::api::common::Verdict;

use crate::world::standing::{describe, history_of, status, sums};
use crate::world::{Setting, World, condition, eventually, is_true, policy};

const DEVICES: usize = 6;

/// A world of some devices under a policy of these files.
async fn with(files: &[(&str, String)]) -> (World, String) {
    let mut world = World::start(Setting::default()).await;
    for (file, content) in files {
        world.write(file, content);
    }
    let revision = world.commit("Begin");
    world.follow().await;
    world.enroll(u32::try_from(DEVICES).unwrap()).await;
    (world, revision)
}

/// Waits until all devices hold what `revision` says.
async fn synced(world: &World, revision: &str) -> BTreeMap<String, Device> {
    eventually(&format!("all devices hold {revision}"), async || {
        let devices = world.devices().await?;
        let there = devices.len() == DEVICES
            && devices.values().map(status).all(|status| {
                status.revision.as_deref() == Some(revision) && is_true(&status.conditions, "Synced")
            });
        if there { Ok(devices) } else { Err(describe(&devices, &world.assignments().await?)) }
    })
    .await
}

#[tokio::test]
async fn an_audit_puts_nothing_on_devices_and_says_who_would_fail() {
    let (mut world, audit) = with(&[
        ("fleet/groups.yaml", policy::EVERYONE.to_owned()),
        ("fleet/essentials.yaml", policy::ESSENTIALS.to_owned()),
        ("fleet/assignments.yaml", policy::essentials_for_everyone("Audit", 8)),
    ])
    .await;
    let audited = eventually("every rule is judged", async || {
        let devices = synced(&world, &audit).await;
        let judged = devices.values().map(status).all(|status| status.verdicts.unknown == 0 && !status.history.is_empty());
        if judged { Ok(devices) } else { Err(describe(&devices, &world.assignments().await?)) }
    })
    .await;
    println!("{}", describe(&audited, &world.assignments().await.unwrap()));
    for device in audited.values() {
        println!("{:#?}", status(device).history);
    }
    let enforced = { world.write("fleet/assignments.yaml", &policy::essentials_for_everyone("Enforce", 8)); world.bring_into_force("Enforce").await };
    let after = world.compliant(DEVICES, &enforced).await;
    for (name, device) in &after {
        assert_ne!(status(device).manifest, status(&audited[name]).manifest);
        let history = history_of(device, "essentials/passcode_length");
        assert_eq!(history.last().unwrap().to, Some(Verdict::Pass));
    }
}

#[tokio::test]
async fn two_assignments_that_want_different_values_conflict_until_one_takes_precedence() {
    let payload = "com.apple.applicationaccess";
    let (mut world, _) = with(&[
        ("fleet/groups.yaml", policy::EVERYONE.to_owned()),
        ("fleet/open.yaml", policy::one_rule("open", "cloud_allowed", payload, "allowCloudBackup", "true")),
        ("fleet/closed.yaml", policy::one_rule("closed", "cloud_forbidden", payload, "allowCloudBackup", "false")),
        ("fleet/a-open.yaml", policy::assignment("open", "everyone", "open", 0)),
        ("fleet/a-closed.yaml", policy::assignment("closed", "everyone", "closed", 0)),
    ])
    .await;
    let conflicted = eventually("the conflict shows", async || {
        let found = world.assignments().await?;
        let devices = world.devices().await?;
        let shows = found.len() == 2
            && found.values().map(sums).all(|sums| is_true(&sums.conditions, "Conflicted") && sums.devices.synced == 6);
        if shows { Ok((found, devices)) } else { Err(describe(&devices, &found)) }
    })
    .await;
    println!("{}", describe(&conflicted.1, &conflicted.0));
    for assignment in conflicted.0.values() {
        let message = &condition(&sums(assignment).conditions, "Conflicted").unwrap().message.clone();
        for part in ["allowCloudBackup", "cloud_allowed", "cloud_forbidden"] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
        println!("{:#?}", sums(assignment));
    }
    world.write("fleet/a-closed.yaml", &policy::assignment("closed", "everyone", "closed", 10));
    let decided = world.bring_into_force("Decide").await;
    let devices = synced(&world, &decided).await;
    println!("{}", describe(&devices, &world.assignments().await.unwrap()));
    for device in devices.values() {
        println!("{:#?}", status(device));
    }
}
