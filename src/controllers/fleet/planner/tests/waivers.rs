//! Waivers begin, end and change at their times, and nothing is written in between.

use std::time::Duration;

use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::stage::Stage;
use crate::api::common::Verdict;
use crate::api::{self, WaiverStatus};
use crate::clock::Clock as _;
use crate::controllers::fleet::fixtures::at;
use crate::ids::EnrollmentId;
use crate::store::Store as _;

fn waiver(ends: i64) -> Value {
    json!({ "rules": ["filevault"], "selector": { "matchLabels": { "team": "lab" } }, "reason": "it is being repaired",
            "approvedBy": "Ada", "expiresAt": at(ends).to_string() })
}

/// A Mac of the lab that holds what it should, and whose disk is not encrypted.
async fn unencrypted(stage: &Stage) -> EnrollmentId {
    stage.lab(8, "main@sha1:1").await;
    let device = stage.enroll("A", "lab", "fleet").await;
    stage.pointed(&device, None).await;
    stage.obey(&device).await;
    let now = stage.clock.now();
    let change = move |facts: &mut crate::compliance::Facts| {
        facts.security_info(&json!({ "FDE_Enabled": false }), now);
        true
    };
    stage.store.update_facts(&device, Box::new(change)).await.unwrap();
    stage.stands("a", "Compliant", "False RulesFail").await;
    device
}

async fn waiver_status(stage: &Stage) -> (Option<String>, WaiverStatus) {
    let api: Api<api::Waiver> = Api::namespaced(stage.client.clone(), "fleet");
    let found = api.get("repair").await.unwrap();
    (found.resource_version(), found.status.unwrap_or_default())
}

async fn device_status(stage: &Stage) -> (Option<String>, api::DeviceStatus) {
    let found = stage.devices("fleet").get("a").await.unwrap();
    (found.resource_version(), found.status.unwrap_or_default())
}

/// The last change of the rule, by the device's history.
async fn last_change(stage: &Stage) -> (Option<Verdict>, Option<Verdict>) {
    let (_, status) = device_status(stage).await;
    let record = status
        .history
        .iter()
        .find(|record| record.rule.as_deref() == Some("cis/filevault"));
    record.map(|record| (record.from, record.to)).unwrap_or_default()
}

async fn covers(stage: &Stage, devices: i64, waived: i64) {
    stage
        .until("the waiver counts", async || {
            let (_, status) = waiver_status(stage).await;
            ((status.devices, status.waived) == (devices, waived) && !status.conditions.is_empty())
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiver_begins_and_ends_at_its_time_and_nothing_is_written_between() {
    let mut stage = Stage::new().await;
    let device = unencrypted(&stage).await;
    stage.quiet().await;
    let compiles = stage.metrics.policy_compiles.get();

    stage
        .apply("Waiver", "repair", &waiver(3_600), Some("main@sha1:2"))
        .await;
    stage.stands("a", "Compliant", "True AllRulesPass").await;
    covers(&stage, 1, 1).await;
    assert_eq!(
        last_change(&stage).await,
        (Some(Verdict::Fail), Some(Verdict::Waived))
    );
    let (_, status) = device_status(&stage).await;
    assert_eq!((status.verdicts.waived, status.verdicts.fail), (1, 0));
    assert_eq!(status.waived_rules[0].waiver, "repair");
    assert_eq!(status.waived_rules[0].expires_at.0, at(3_600));
    assert_eq!(
        stage.metrics.policy_compiles.get(),
        compiles,
        "what devices should hold stays the same"
    );

    stage.quiet().await;
    let (before, device_before) = (waiver_status(&stage).await, device_status(&stage).await);
    stage.clock.advance(Duration::from_secs(3_599));
    stage.quiet().await;
    assert_eq!(waiver_status(&stage).await, before);
    assert_eq!(device_status(&stage).await, device_before);

    // It ends while nobody works: whoever begins then finds that it has.
    stage.stop().await;
    stage.clock.advance(Duration::from_secs(1));
    stage.start();
    stage.stands("a", "Compliant", "False RulesFail").await;
    covers(&stage, 0, 0).await;
    assert_eq!(
        last_change(&stage).await,
        (Some(Verdict::Waived), Some(Verdict::Fail))
    );
    let (_, status) = waiver_status(&stage).await;
    let told: Vec<_> = status
        .conditions
        .iter()
        .map(|c| format!("{} {} {}", c.type_, c.status, c.reason))
        .collect();
    assert_eq!(
        told,
        [
            "Ready False Expired",
            "Expired True Expired",
            "Stalled True Expired"
        ]
    );

    // Made longer, it counts anew; and then it ends while somebody is there.
    stage
        .apply("Waiver", "repair", &waiver(7_200), Some("main@sha1:3"))
        .await;
    stage.stands("a", "Compliant", "True AllRulesPass").await;
    covers(&stage, 1, 1).await;
    stage.clock.advance(Duration::from_hours(1));
    stage.stands("a", "Compliant", "False RulesFail").await;
    covers(&stage, 0, 0).await;
    stage.quiet().await;
    let ended = waiver_status(&stage).await;
    stage.clock.advance(Duration::from_hours(1));
    stage.quiet().await;
    assert_eq!(waiver_status(&stage).await, ended);
    assert_eq!(
        stage.store.verdicts(&device).await.unwrap()["cis/filevault"],
        Verdict::Fail
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiver_is_for_those_that_it_names_and_goes_with_its_object() {
    let stage = Stage::new().await;
    unencrypted(&stage).await;
    let mut for_others = waiver(3_600);
    for_others["selector"] = json!({ "matchLabels": { "team": "shop" } });
    stage.apply("Waiver", "repair", &for_others, None).await;
    covers(&stage, 0, 0).await;
    stage.stands("a", "Compliant", "False RulesFail").await;

    // Named beside the selector.
    for_others["devices"] = json!(["a"]);
    stage.apply("Waiver", "repair", &for_others, None).await;
    stage.stands("a", "Compliant", "True AllRulesPass").await;
    covers(&stage, 1, 1).await;

    let mut of_no_baseline = for_others.clone();
    of_no_baseline["rules"] = json!(["filevalut"]);
    stage.apply("Waiver", "repair", &of_no_baseline, None).await;
    stage.stands("a", "Compliant", "False RulesFail").await;
    covers(&stage, 0, 0).await;
    let (_, status) = waiver_status(&stage).await;
    assert_eq!(status.conditions[0].reason, "DependencyNotReady");
    assert_eq!(
        status.conditions[0].message,
        "no baseline here has what it names: filevalut"
    );

    stage.apply("Waiver", "repair", &for_others, None).await;
    stage.stands("a", "Compliant", "True AllRulesPass").await;
    let api: Api<api::Waiver> = Api::namespaced(stage.client.clone(), "fleet");
    api.delete("repair", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    stage.stands("a", "Compliant", "False RulesFail").await;
}
