//! Policy that changes, and what does not change.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::stage::Stage;
use crate::api::{self, names};
use crate::controllers::fleet::fixtures::rules;
use crate::store::Store as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_moves_those_it_concerns_in_one_transaction() {
    let stage = Stage::new().await;
    stage.lab(8, "main@sha1:1").await;
    let a = stage.enroll("A", "lab", "fleet").await;
    let b = stage.enroll("B", "lab", "fleet").await;
    let c = stage.enroll("C", "shop", "fleet").await;
    let mut before = Vec::new();
    for device in [&a, &b, &c] {
        before.push(stage.pointed(device, None).await);
        stage.obey(device).await;
        stage.take_orders(device).await;
    }
    stage.stands("a", "Compliant", "True AllRulesPass").await;
    stage.stands("b", "Compliant", "True AllRulesPass").await;
    stage.quiet().await;
    let (compiles, writes) = (
        stage.metrics.policy_compiles.get(),
        stage.metrics.pointer_transactions.get(),
    );
    let evaluations = stage.metrics.evaluations.get();
    stage.clock.advance(Duration::from_mins(1));

    stage
        .apply("Baseline", "cis", &rules(12), Some("main@sha1:2"))
        .await;
    for (device, manifest) in [(&a, before[0]), (&b, before[1])] {
        stage.pointed(device, Some(manifest)).await;
    }
    // There is no evidence about the new revision yet, which is no failure; what did not change still passes.
    stage.stands("a", "Compliant", "Unknown EvidenceMissing").await;
    stage.stands("a", "Synced", "False AwaitingReport").await;
    for device in [&a, &b] {
        stage
            .until("it is told", async || {
                let pending = stage.store.pending(device).await.unwrap();
                pending
                    .iter()
                    .any(|command| &*command.request_type == "DeclarativeManagement")
                    .then_some(())
            })
            .await;
        stage.obey(device).await;
    }
    stage.stands("b", "Compliant", "True AllRulesPass").await;
    stage.quiet().await;
    assert_eq!(
        stage.metrics.policy_compiles.get() - compiles,
        2,
        "once for each class of the fleet"
    );
    assert_eq!(stage.metrics.pointer_transactions.get() - writes, 1);
    assert_eq!(stage.enrollment(&c).await.manifest, Some(before[2]));
    assert!(
        stage.metrics.evaluations.get() - evaluations < 16,
        "{}",
        stage.metrics.evaluations.get() - evaluations
    );
    assert_eq!(stage.metrics.corrections.get(), 0, "nobody left anything");
    let status = stage.assignment().await;
    let records: Vec<_> = status
        .history
        .iter()
        .map(|record| (record.revision.as_str(), record.moved))
        .collect();
    assert_eq!(records, [("main@sha1:2", 2), ("main@sha1:1", 2)]);
    assert_eq!(status.revision.as_deref(), Some("main@sha1:2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_moves_a_device_to_another_group() {
    let stage = Stage::new().await;
    stage.lab(8, "main@sha1:1").await;
    let a = stage.enroll("A", "shop", "fleet").await;
    let before = stage.pointed(&a, None).await;
    stage.stands("a", "Compliant", "Unknown NoRules").await;
    let label = json!({ "metadata": { "labels": { "team": "lab" } } });
    stage
        .devices("fleet")
        .patch("a", &PatchParams::default(), &Patch::Merge(&label))
        .await
        .unwrap();
    stage.pointed(&a, Some(before)).await;
    stage
        .until("the group counts it", async || {
            let groups: Api<api::DeviceGroup> = Api::namespaced(stage.client.clone(), "fleet");
            let status = groups.get("lab").await.unwrap().status?;
            (status.members == 1 && status.sample == ["a"]).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_where_nothing_but_time_has_changed() {
    let mut stage = Stage::new().await;
    stage.lab(8, "main@sha1:1").await;
    let a = stage.enroll("A", "lab", "fleet").await;
    stage.pointed(&a, None).await;
    stage.obey(&a).await;
    stage.stands("a", "Compliant", "True AllRulesPass").await;
    stage.counted().await;
    stage.quiet().await;
    let version = async || stage.devices("fleet").get("a").await.unwrap().resource_version();
    let before = version().await;
    stage.stop().await;
    stage.clock.advance(Duration::from_hours(48));
    stage.start();
    // The same facts, reported again.
    stage
        .until("it is looked at", async || {
            (stage.metrics.evaluations.get() > 0).then_some(())
        })
        .await;
    stage.report(&a, Some).await;
    stage.quiet().await;
    assert!(stage.metrics.evaluations.get() > 1);
    assert_eq!(
        (
            stage.metrics.status_writes.get(),
            stage.metrics.pointer_writes.get()
        ),
        (0, 0)
    );
    assert_eq!(stage.metrics.corrections.get(), 0);
    assert_eq!(
        stage.devices("fleet").get("a").await.unwrap().resource_version(),
        before
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_that_is_judged_in_many_rounds_is_not_summed_up_before_the_last_of_them() {
    let mut stage = Stage::new().await;
    stage.lab(8, "main@sha1:1").await;
    for name in ["A", "B", "C", "D", "E", "F", "G"] {
        let device = stage.enroll(name, "lab", "fleet").await;
        stage.pointed(&device, None).await;
        stage.obey(&device).await;
    }
    stage
        .until("all are counted", async || {
            let devices = stage.assignment().await.devices;
            (devices.compliant == 7 && devices.synced == 7).then_some(())
        })
        .await;
    stage.quiet().await;
    stage.stop().await;
    stage.start();
    stage
        .until("all are looked at", async || {
            (stage.metrics.evaluations.get() >= 7).then_some(())
        })
        .await;
    stage.quiet().await;
    assert_eq!(stage.metrics.status_writes.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_asks_for_a_look_now() {
    let stage = Stage::new().await;
    stage.lab(8, "main@sha1:1").await;
    let a = stage.enroll("A", "lab", "fleet").await;
    stage.pointed(&a, None).await;
    stage.obey(&a).await;
    stage.stands("a", "Synced", "True InSync").await;
    stage.quiet().await;
    stage.take_orders(&a).await;
    let ask = json!({ "metadata": { "annotations": { names::RECONCILE_ANNOTATION: "now" } } });
    stage
        .devices("fleet")
        .patch("a", &PatchParams::default(), &Patch::Merge(&ask))
        .await
        .unwrap();
    stage
        .until("it is handled", async || {
            let status = stage.devices("fleet").get("a").await.unwrap().status?;
            (status.last_handled_reconcile_at.as_deref() == Some("now")).then_some(())
        })
        .await;
    let orders = stage.take_orders(&a).await;
    assert_eq!(orders, ["DeclarativeManagement", "SecurityInfo"]);
    stage.quiet().await;
    assert_eq!(stage.take_orders(&a).await, [""; 0], "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_is_asked_for_at_its_interval() {
    let stage = Stage::new().await;
    stage.lab(8, "main@sha1:1").await;
    let a = stage.enroll("A", "lab", "fleet").await;
    stage.pointed(&a, None).await;
    stage.obey(&a).await;
    stage.stands("a", "Synced", "True InSync").await;
    let asked = async |what: &str| {
        let orders = async || Some(stage.take_orders(&a).await).filter(|orders| !orders.is_empty());
        stage.until(what, orders).await
    };
    stage.quiet().await;
    let first = asked("what was just applied is looked at").await;
    assert!(first.contains(&"SecurityInfo".to_owned()), "{first:?}");
    stage.quiet().await;
    for _ in 0..2 {
        stage.clock.advance(Duration::from_mins(16));
        // No check reads DeviceInformation, and the system is a status item.
        assert_eq!(asked("the next look").await, ["SecurityInfo"]);
    }
}
