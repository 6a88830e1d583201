//! Waivers: exceptions that are made in git, count, show, and end by themselves.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use provost::api::common::Verdict;
use provost::api::{Device, Waiver, WaiverStatus};
use provost::clock::{Clock as _, SystemClock};

use crate::both;
use crate::world::standing::{describe, expect_unbroken_history, history_of, status, sums};
use crate::world::{Api, World, condition, eventually, is_true, policy, text};

both!(a_waiver_counts_until_it_ends_and_then_shows_that_it_has);

const DEVICES: usize = 6;
const RULE: &str = "essentials/passcode_length";
const FILE: &str = "fleet/waiver.yaml";

fn waiver(ends: Timestamp) -> String {
    format!(
        "\
apiVersion: provost.dev/v1alpha1
kind: Waiver
metadata:
  name: pilot
spec:
  rules: [passcode_length, firewall_on]
  baseline: essentials
  selector: {{}}
  reason: The pilot begins with a look.
  approvedBy: Ada
  expiresAt: {}
  ticket: TICKET-1
",
        Timestamp::from_second(ends.as_second()).unwrap()
    )
}

/// Waits until the devices and the waiver stand as they should.
async fn stand(
    world: &World,
    what: &str,
    device: impl Fn(&Device) -> bool,
    waiver: impl Fn(&WaiverStatus) -> bool,
) -> BTreeMap<String, Device> {
    eventually(what, async || {
        let devices = world.devices().await?;
        let waivers = world
            .api::<Waiver>()
            .list(&ListParams::default())
            .await
            .map_err(text)?;
        let statuses: Vec<WaiverStatus> = waivers.into_iter().filter_map(|waiver| waiver.status).collect();
        if devices.len() == DEVICES && devices.values().all(&device) && statuses.iter().all(&waiver) {
            Ok(devices)
        } else {
            Err(format!("{statuses:#?}\n{}", describe(&devices, &BTreeMap::new())))
        }
    })
    .await
}

/// Without its reason, or its end, it is refused at its line, before anything happens.
async fn half_a_waiver_is_refused(world: &mut World, whole: &str) {
    for (field, line) in [
        ("reason", "  reason: The pilot begins with a look.\n"),
        ("expiresAt", "  expiresAt: "),
    ] {
        let lacking: String = whole
            .split_inclusive('\n')
            .filter(|kept| !kept.starts_with(line.trim_end_matches('\n')))
            .collect();
        world.write(FILE, &lacking);
        world.commit("Forget something");
        let refused = world.look().await;
        let ready = condition(&refused.conditions, "Ready").unwrap();
        assert_eq!(ready.reason, "InvalidRevision", "{}", ready.message);
        assert!(
            ready.message.contains("fleet/waiver.yaml:5:") && ready.message.contains(field),
            "{}",
            ready.message
        );
    }
}

async fn a_waiver_counts_until_it_ends_and_then_shows_that_it_has(api: Api) {
    let mut world = World::on(api).await;
    world.write("fleet/group.yaml", policy::EVERYONE);
    world.write("fleet/baseline.yaml", policy::ESSENTIALS);
    // Nothing is served, so nothing proves the passcode: the rule is unknown.
    world.write(
        "fleet/assignment.yaml",
        &policy::essentials_for_everyone("Audit", 8),
    );
    world.commit("Look");
    world.follow().await;
    world.look().await;
    world.enroll(u32::try_from(DEVICES).unwrap()).await;
    let is_unmet = |device: &Device| {
        let counts = status(device).verdicts;
        counts.unknown + counts.fail > 0
            && counts.waived == 0
            && !is_true(&status(device).conditions, "Compliant")
    };
    stand(
        &world,
        "every device has a rule that it does not meet",
        is_unmet,
        |_| true,
    )
    .await;

    let year = waiver(now() + SignedDuration::from_hours(24 * 365));
    half_a_waiver_is_refused(&mut world, &year).await;
    world.write(FILE, &year);
    world.bring_into_force("Except everybody").await;
    let covered = i64::try_from(DEVICES).unwrap();
    let is_waived = |device: &Device| {
        let status = status(device);
        is_true(&status.conditions, "Compliant")
            && status.verdicts.fail + status.verdicts.unknown == 0
            && status.verdicts.waived > 0
            && i64::try_from(status.waived_rules.len()).unwrap() == status.verdicts.waived
            && status
                .waived_rules
                .iter()
                .all(|rule| rule.waiver == "pilot" && rule.baseline == "essentials")
    };
    let in_force = |waiver: &WaiverStatus| {
        is_true(&waiver.conditions, "Ready") && waiver.devices == covered && waiver.waived >= covered
    };
    let devices = stand(&world, "every device is excepted", is_waived, in_force).await;
    for device in devices.values() {
        let record = history_of(device, RULE);
        let last = record.last().unwrap();
        assert_eq!(
            (last.from, last.to),
            (Some(Verdict::Unknown), Some(Verdict::Waived))
        );
        assert!(
            last.reason.starts_with("waived by pilot until ") && last.reason.contains("approved by Ada"),
            "{}",
            last.reason
        );
        assert_eq!(last.evidence, "Policy");
        expect_unbroken_history(device);
    }
    let counted = world.assignments().await.unwrap();
    assert_eq!(sums(&counted["essentials"]).devices.compliant, covered);

    world.write(FILE, &waiver(now() + SignedDuration::from_secs(2)));
    world.bring_into_force("End it").await;
    let expired = |waiver: &WaiverStatus| {
        ["Expired", "Stalled"]
            .iter()
            .all(|kind| is_true(&waiver.conditions, kind))
            && !is_true(&waiver.conditions, "Ready")
            && (waiver.devices, waiver.waived) == (0, 0)
    };
    let devices = stand(&world, "the waiver has ended", is_unmet, expired).await;
    for device in devices.values() {
        let record = history_of(device, RULE);
        let last = record.last().unwrap();
        assert_eq!(
            (last.from, last.to),
            (Some(Verdict::Waived), Some(Verdict::Unknown))
        );
        assert_eq!(status(device).waived_rules, []);
        expect_unbroken_history(device);
    }
    let told = ListParams::default().fields("regarding.name=pilot");
    eventually("an event tells it", async || {
        let events = world.api::<Event>().list(&told).await.map_err(text)?.items;
        match events.as_slice() {
            [event] if event.reason.as_deref() == Some("Expired") => Ok(()),
            other => Err(format!("{other:#?}")),
        }
    })
    .await;
}

fn now() -> Timestamp {
    SystemClock.now()
}
