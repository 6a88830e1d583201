//! What assignments say about each other: modes, parameters, exclusions, precedence.

use std::collections::BTreeMap;

use provost::api::Device;
use provost::api::common::{Platform, Verdict};

use crate::both;
use crate::world::standing::{self, describe, history_of, status, sums};
use crate::world::{Api, World, condition, eventually, is_true, policy};

both!(
    an_audit_puts_nothing_on_devices_and_says_who_would_fail,
    parameters_and_exclusions_of_an_assignment_decide_what_devices_hold,
    two_assignments_that_want_different_values_conflict_until_one_takes_precedence,
    an_assignment_waits_for_what_it_names,
);

const DEVICES: usize = 6;

/// A world of some devices under a policy of these files.
async fn with(api: Api, files: &[(&str, String)]) -> (World, String) {
    let mut world = World::on(api).await;
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
        if there {
            Ok(devices)
        } else {
            Err(describe(&devices, &world.assignments().await?))
        }
    })
    .await
}

async fn an_audit_puts_nothing_on_devices_and_says_who_would_fail(api: Api) {
    let (mut world, _) = with(
        api,
        &[
            ("fleet/groups.yaml", policy::EVERYONE.to_owned()),
            ("fleet/essentials.yaml", policy::ESSENTIALS.to_owned()),
        ],
    )
    .await;
    world.look().await;
    let unmanaged = eventually("all devices hold that they should hold nothing", async || {
        let devices = world.devices().await?;
        let there = devices.len() == DEVICES
            && devices
                .values()
                .map(status)
                .all(|status| is_true(&status.conditions, "Synced"));
        if there {
            Ok(devices)
        } else {
            Err(describe(&devices, &BTreeMap::new()))
        }
    })
    .await;
    let pointed = world.server.metric("provost_pointer_writes_total").await;

    world.write(
        "fleet/assignments.yaml",
        &policy::essentials_for_everyone("Audit", 8),
    );
    let audit = world.bring_into_force("Look").await;
    let audited = eventually("every Mac is judged by evidence", async || {
        let devices = world.devices().await?;
        let assignments = world.assignments().await?;
        let judged = devices.values().all(|device| {
            let status = status(device);
            let mac = status.platform == Some(Platform::MacOS);
            status.revision.as_deref() == Some(&*audit)
                && (!mac || status.verdicts.pass + status.verdicts.fail == 1)
        });
        let summed = assignments.values().map(sums).all(|sums| {
            let devices = sums.devices;
            devices.total == 6
                && devices.failing > 0
                && devices.synced == 6
                && !is_true(&sums.conditions, "Compliant")
        });
        if judged && summed {
            Ok(devices)
        } else {
            Err(describe(&devices, &assignments))
        }
    })
    .await;
    assert_eq!(
        world.server.metric("provost_pointer_writes_total").await,
        pointed,
        "nobody was told anything"
    );
    for (name, device) in &audited {
        let status = status(device);
        assert_eq!(status.manifest, standing::status(&unmanaged[name]).manifest);
        // Where there is only content and no check, an audit cannot tell.
        let length = &history_of(device, "essentials/passcode_length")[0];
        assert_eq!((length.from, length.to), (None, Some(Verdict::Unknown)));
        assert!(length.reason.contains("Audit"), "{}", length.reason);
        if status.verdicts.fail > 0 {
            let failing = &status.failing_rules[0];
            assert_eq!(
                (failing.baseline.as_str(), failing.rule.as_str()),
                ("essentials", "firewall_on")
            );
            assert!(
                failing.reason.contains("FirewallEnabled is false"),
                "{}",
                failing.reason
            );
        }
    }

    world.write(
        "fleet/assignments.yaml",
        &policy::essentials_for_everyone("Enforce", 8),
    );
    let enforced = world.bring_into_force("Enforce").await;
    for (name, device) in &world.compliant(DEVICES, &enforced).await {
        assert_ne!(status(device).manifest, status(&audited[name]).manifest);
        for record in status(device)
            .history
            .iter()
            .filter(|record| record.to == Some(Verdict::Pass))
        {
            assert!(
                record.revision.is_some() && record.evidence != "Policy",
                "{record:?}"
            );
        }
    }
}

async fn parameters_and_exclusions_of_an_assignment_decide_what_devices_hold(api: Api) {
    let (mut world, long) = with(
        api,
        &[
            ("fleet/groups.yaml", policy::EVERYONE.to_owned()),
            ("fleet/essentials.yaml", policy::ESSENTIALS.to_owned()),
            (
                "fleet/assignments.yaml",
                policy::essentials_for_everyone("Enforce", 12),
            ),
        ],
    )
    .await;
    let long = world.compliant(DEVICES, &long).await;

    // The same value as before, written as the default: nobody moves.
    world.write(
        "fleet/essentials.yaml",
        &policy::ESSENTIALS.replace("default: 8", "default: 12"),
    );
    let unset = policy::essentials_for_everyone("Enforce", 12)
        .replace("      parameters:\n        passcodeLength: 12\n", "");
    world.write("fleet/assignments.yaml", &unset);
    let same = world.bring_into_force("Make it the default").await;
    let same = world.compliant(DEVICES, &same).await;
    for (name, device) in &same {
        assert_eq!(status(device).manifest, status(&long[name]).manifest);
    }

    let excluding = format!(
        "{unset}      excludeRules:\n        - {{ rule: firewall_on, reason: Another product does it. }}\n"
    );
    world.write("fleet/assignments.yaml", &excluding);
    let excluded = world.bring_into_force("Leave the firewall to others").await;
    for (name, device) in &world.compliant(DEVICES, &excluded).await {
        let status = status(device);
        let mac = status.platform == Some(Platform::MacOS);
        assert_eq!(
            status.manifest != standing::status(&same[name]).manifest,
            mac,
            "only Macs had a firewall rule"
        );
        assert_eq!(status.verdicts.pass, 1);
        if mac {
            let gone = history_of(device, "essentials/firewall_on").pop().unwrap();
            assert_eq!(
                (gone.from, gone.to, gone.revision.as_deref()),
                (
                    Some(Verdict::Pass),
                    Some(Verdict::NotApplicable),
                    Some(&*excluded)
                )
            );
            assert!(
                gone.reason.contains("Another product does it."),
                "{}",
                gone.reason
            );
        }
    }
    let sums = sums(&world.assignments().await.unwrap()["essentials"]);
    let firewall = sums
        .controls
        .iter()
        .find(|control| control.id == "SC-7")
        .unwrap()
        .verdicts;
    assert_eq!(
        (
            firewall.pass,
            firewall.fail,
            firewall.unknown,
            firewall.not_applicable
        ),
        (0, 0, 0, 6)
    );

    for (wrong, says) in [
        (
            excluding.replace("rule: firewall_on", "rule: firewall_onn"),
            "firewall_on",
        ),
        (policy::essentials_for_everyone("Enforce", 99), "16"),
        (
            excluding.replace(
                "excludeRules:",
                "parameters: { passcodeLenght: 9 }\n      excludeRules:",
            ),
            "passcodeLength",
        ),
    ] {
        world.write("fleet/assignments.yaml", &wrong);
        world.commit("Err");
        let status = world.look().await;
        let ready = condition(&status.conditions, "Ready").unwrap();
        assert_eq!(ready.reason, "InvalidRevision", "{}", ready.message);
        assert!(
            ready.message.contains("fleet/assignments.yaml:") && ready.message.contains(says),
            "{}",
            ready.message
        );
    }
}

async fn two_assignments_that_want_different_values_conflict_until_one_takes_precedence(api: Api) {
    let payload = "com.apple.applicationaccess";
    let (mut world, _) = with(
        api,
        &[
            ("fleet/groups.yaml", policy::EVERYONE.to_owned()),
            (
                "fleet/open.yaml",
                policy::one_rule("open", "any_app", payload, "ratingApps", "1000"),
            ),
            (
                "fleet/closed.yaml",
                policy::one_rule("closed", "some_apps", payload, "ratingApps", "600"),
            ),
            (
                "fleet/a-open.yaml",
                policy::assignment("open", "everyone", "open", 0),
            ),
            (
                "fleet/a-closed.yaml",
                policy::assignment("closed", "everyone", "closed", 0),
            ),
        ],
    )
    .await;
    let conflicted = eventually("the conflict shows", async || {
        let found = world.assignments().await?;
        let shows = found.len() == 2
            && found
                .values()
                .map(sums)
                .all(|sums| is_true(&sums.conditions, "Conflicted") && sums.devices.synced == 6);
        if shows {
            Ok(found)
        } else {
            Err(describe(&world.devices().await?, &found))
        }
    })
    .await;
    for assignment in conflicted.values() {
        let sums = sums(assignment);
        let message = &condition(&sums.conditions, "Conflicted").unwrap().message;
        for part in ["ratingApps", "closed/some_apps", "open/any_app"] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
        assert_eq!(sums.conflicts.len(), 1);
        assert_eq!(
            (sums.verdicts.unknown, sums.verdicts.pass),
            (6, 0),
            "neither value is served"
        );
    }

    world.write(
        "fleet/a-closed.yaml",
        &policy::assignment("closed", "everyone", "closed", 10),
    );
    let decided = world.bring_into_force("Decide").await;
    let sums = eventually("the higher precedence wins", async || {
        let found = world.assignments().await?;
        let closed = sums(&found["closed"]);
        let won = closed.devices.compliant == 6 && closed.revision.as_deref() == Some(&*decided);
        if won {
            Ok([closed, sums(&found["open"])])
        } else {
            Err(describe(&world.devices().await?, &found))
        }
    })
    .await;
    for sums in &sums {
        assert!(!is_true(&sums.conditions, "Conflicted") && sums.conflicts.is_empty());
    }
    assert_eq!(sums[1].devices.unknown, 6, "what is overruled is not proven");
    for device in synced(&world, &decided).await.values() {
        assert_eq!(
            history_of(device, "closed/some_apps").pop().unwrap().to,
            Some(Verdict::Pass)
        );
    }
}

async fn an_assignment_waits_for_what_it_names(api: Api) {
    let mut world = World::on(api).await;
    world.write(
        "fleet/assignments.yaml",
        &policy::essentials_for_everyone("Enforce", 8),
    );
    world.commit("Begin at the wrong end");
    world.follow().await;
    world.look().await;
    let waits = async |world: &World, for_what: &[&str]| {
        eventually("the Assignment says what is missing", async || {
            let found = world.assignments().await?;
            let sums = found.get("essentials").map(sums).unwrap_or_default();
            let ready = condition(&sums.conditions, "Ready").cloned();
            let says = ready.as_ref().is_some_and(|ready| {
                ready.reason == "DependencyNotReady"
                    && for_what.iter().all(|name| ready.message.contains(name))
            });
            if says { Ok(()) } else { Err(format!("{ready:?}")) }
        })
        .await;
    };
    waits(&world, &["DeviceGroup everyone", "Baseline essentials"]).await;
    world.write("fleet/groups.yaml", policy::EVERYONE);
    world.bring_into_force("Say who").await;
    waits(&world, &["Baseline essentials"]).await;
    world.write("fleet/essentials.yaml", policy::ESSENTIALS);
    let whole = world.bring_into_force("Say what").await;
    world.enroll(1).await;
    world.compliant(1, &whole).await;
}
