//! Devices that leave their desired state.

use std::time::Duration;

use serde_json::json;

use super::stage::Stage;
use crate::compliance::facts::DeclarationState;
use crate::ids::EnrollmentId;
use crate::store::Store as _;

/// A device of the lab that holds everything and has no orders.
async fn settled(stage: &Stage) -> EnrollmentId {
    stage.lab(8, "main@sha1:1").await;
    let a = stage.enroll("A", "lab", "fleet").await;
    stage.pointed(&a, None).await;
    stage.obey(&a).await;
    stage.stands("a", "Compliant", "True AllRulesPass").await;
    stage.quiet().await;
    stage.take_orders(&a).await;
    assert_eq!(stage.metrics.corrections.get(), 0);
    a
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it says how to tell, and some tell nothing"
)]
fn invalid(state: DeclarationState) -> Option<DeclarationState> {
    Some(DeclarationState {
        valid: "invalid".to_owned(),
        active: false,
        ..state
    })
}

async fn corrected(stage: &Stage, device: &EnrollmentId, times: u64) {
    stage
        .until("it is corrected", async || {
            (stage.metrics.corrections.get() == times).then_some(())
        })
        .await;
    assert!(
        stage
            .take_orders(device)
            .await
            .contains(&"DeclarativeManagement".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_leaves_its_state_is_told_to_apply_it_again() {
    let stage = Stage::new().await;
    let a = settled(&stage).await;
    stage.report(&a, invalid).await;
    corrected(&stage, &a, 1).await;
    stage.stands("a", "Synced", "False DeviceReportedError").await;
    stage.stands("a", "Compliant", "False RulesFail").await;
    stage.obey(&a).await;
    stage.stands("a", "Compliant", "True AllRulesPass").await;

    // Soon after that it does so again: the need is not dropped, it waits.
    stage.report(&a, |_| None).await;
    stage.stands("a", "Compliant", "Unknown EvidenceMissing").await;
    stage.quiet().await;
    assert_eq!(stage.metrics.corrections.get(), 1);
    stage.clock.advance(Duration::from_secs(61));
    corrected(&stage, &a, 2).await;
    // It stays as it is: it is told at the interval, not all the time.
    stage.quiet().await;
    assert_eq!(stage.metrics.corrections.get(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_came_back_by_itself_is_left_alone() {
    let stage = Stage::new().await;
    let a = settled(&stage).await;
    stage.report(&a, invalid).await;
    corrected(&stage, &a, 1).await;
    stage.obey(&a).await;
    stage.stands("a", "Compliant", "True AllRulesPass").await;
    stage.report(&a, invalid).await;
    stage.stands("a", "Compliant", "False RulesFail").await;
    stage.report(&a, Some).await;
    stage.stands("a", "Compliant", "True AllRulesPass").await;
    stage.clock.advance(Duration::from_secs(61));
    stage.quiet().await;
    assert_eq!(stage.metrics.corrections.get(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_only_checked_is_nobodys_to_correct() {
    let stage = Stage::new().await;
    let a = settled(&stage).await;
    let off = |facts: &mut crate::compliance::Facts| {
        facts.security_info(
            &json!({ "FDE_Enabled": false }),
            crate::controllers::fleet::fixtures::at(9),
        )
    };
    stage.store.update_facts(&a, Box::new(off)).await.unwrap();
    stage.stands("a", "Compliant", "False RulesFail").await;
    stage.stands("a", "Synced", "True InSync").await;
    stage.quiet().await;
    assert_eq!(
        (stage.metrics.corrections.get(), stage.take_orders(&a).await),
        (0, Vec::new())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_that_was_missed_is_asked_for_again() {
    let stage = Stage::new().await;
    stage.lab(8, "main@sha1:1").await;
    let a = stage.enroll("A", "lab", "fleet").await;
    stage.pointed(&a, None).await;
    stage.stands("a", "Synced", "False AwaitingReport").await;
    stage.take_orders(&a).await;
    // It has reported everything, but not as what it should hold.
    stage.report(&a, Some).await;
    stage
        .until("it is asked again", async || {
            stage
                .take_orders(&a)
                .await
                .contains(&"DeclarativeManagement".to_owned())
                .then_some(())
        })
        .await;
    assert_eq!(stage.metrics.corrections.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_that_nobody_was_there_to_see_is_seen_after_a_start() {
    let mut stage = Stage::new().await;
    let a = settled(&stage).await;
    stage.kill().await;
    stage.report(&a, invalid).await;
    stage.start();
    corrected(&stage, &a, 1).await;
}
