//! The planner ends without warning, at many moments: the next one brings everything to the same end.

use std::time::Duration;

use super::stage::Stage;
use crate::ids::EnrollmentId;
use crate::store::Store as _;

const DEVICES: [(&str, &str); 4] = [("A", "lab"), ("B", "lab"), ("C", "lab"), ("D", "shop")];

/// How everything stands, but for times and random names.
async fn picture(stage: &Stage, devices: &[EnrollmentId]) -> Vec<String> {
    let mut lines = Vec::new();
    for device in devices {
        let enrollment = stage.enrollment(device).await;
        let mut orders: Vec<String> = stage
            .store
            .pending(device)
            .await
            .unwrap()
            .iter()
            .map(|order| order.request_type.to_string())
            .collect();
        orders.sort();
        orders.dedup();
        lines.push(format!("{device} {:?} {orders:?}", enrollment.manifest));
        let transitions = stage.store.transitions(device, 100).await.unwrap();
        let told: Vec<String> = transitions
            .iter()
            .map(|t| format!("{:?} {:?}→{:?} {:?}", t.rule, t.from, t.to, t.revision))
            .collect();
        lines.push(format!("{told:?}"));
        let status = stage
            .devices("fleet")
            .get(&device.device_name())
            .await
            .unwrap()
            .status
            .unwrap();
        let conditions: Vec<String> = status
            .conditions
            .iter()
            .map(|c| format!("{} {} {}", c.type_, c.status, c.reason))
            .collect();
        lines.push(format!(
            "{conditions:?} {:?} {:?} {}",
            status.verdicts,
            status.manifest,
            status.history.len()
        ));
    }
    let status = stage.assignment().await;
    let history: Vec<_> = status
        .history
        .iter()
        .map(|record| (record.revision.clone(), record.moved))
        .collect();
    lines.push(format!("{:?} {:?} {history:?}", status.devices, status.verdicts));
    lines
}

/// A fleet under one commit, a second commit, and the planner killed `after` that, and again as long after the start.
async fn told(after: Option<Duration>) -> Vec<String> {
    let mut stage = Stage::new().await;
    stage.lab(8, "main@sha1:1").await;
    let mut devices = Vec::new();
    for (name, team) in DEVICES {
        devices.push(stage.enroll(name, team, "fleet").await);
    }
    let mut before = Vec::new();
    for device in &devices {
        before.push(stage.pointed(device, None).await);
    }
    // Judged before the first report, always: what is compared later has it in its history.
    for (name, _) in &DEVICES[..3] {
        stage
            .stands(&name.to_lowercase(), "Compliant", "Unknown EvidenceMissing")
            .await;
    }
    for device in &devices {
        stage.obey(device).await;
    }
    for (name, _) in &DEVICES[..3] {
        stage
            .stands(&name.to_lowercase(), "Compliant", "True AllRulesPass")
            .await;
    }
    stage.quiet().await;
    for device in &devices {
        stage.take_orders(device).await;
    }
    stage.clock.advance(Duration::from_secs(30));
    stage.lab(12, "main@sha1:2").await;
    if let Some(after) = after {
        for _ in 0..2 {
            tokio::time::sleep(after).await;
            stage.kill().await;
            stage.start();
        }
    }
    for (device, before) in devices.iter().zip(before).take(3) {
        stage.pointed(device, Some(before)).await;
    }
    stage
        .until("the assignment says so", async || {
            let status = stage.assignment().await;
            (status.history.len() == 2 && status.devices.unknown == 3).then_some(())
        })
        .await;
    stage.quiet().await;
    picture(&stage, &devices).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_it_ends_the_next_one_comes_to_the_same_end() {
    let expected = told(None).await;
    for milliseconds in [1, 60, 110, 125, 150, 200] {
        let stopped = told(Some(Duration::from_millis(milliseconds))).await;
        assert_eq!(stopped, expected, "killed after {milliseconds} ms");
    }
}
