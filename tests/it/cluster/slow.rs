//! An API server that takes two seconds for each answer, and that has forgotten what watches ask for.

use std::time::Duration;

use kube::api::PostParams;
use provost::api::Assignment;
use serde_json::json;

use super::proxy::Proxy;
use super::{leads, plane, work_is_done};
use crate::world::{Mac, NAMESPACE, Server, condition, eventually, text};

#[tokio::test]
async fn a_slow_api_server_that_ends_watches_is_worked_with() {
    let Some(plane) = plane().await else { return };
    let client = plane.client().await;
    let proxy = Proxy::start(&plane, Duration::from_secs(2)).await;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(&folder.path().join("data"), &proxy.kubeconfig, 0, &[]).await;
    leads(&server).await;
    eventually("both watches were begun anew", async || {
        let watches = proxy.watches();
        if watches.iter().all(|count| *count >= 2) {
            Ok(())
        } else {
            Err(format!("{watches:?}"))
        }
    })
    .await;

    // What comes after that is heard of.
    work_is_done(&client, "everyone").await;
    let assignments: kube::Api<Assignment> = kube::Api::namespaced(client, NAMESPACE);
    let assignment = json!({
        "apiVersion": "provost.dev/v1alpha1", "kind": "Assignment", "metadata": { "name": "essentials" },
        "spec": { "groups": [{ "name": "everyone" }], "mode": "Enforce", "baselines": [{ "name": "missing" }] },
    });
    let assignment: Assignment = serde_json::from_value(assignment).unwrap();
    assignments
        .create(&PostParams::default(), &assignment)
        .await
        .unwrap();
    eventually("the assignment says what it waits for", async || {
        let found = assignments.get("essentials").await.map_err(text)?;
        let status = found.status.unwrap_or_default();
        match condition(&status.conditions, "Ready") {
            Some(ready) if ready.reason == "DependencyNotReady" => Ok(()),
            _ => Err(format!("{:?}", status.conditions)),
        }
    })
    .await;

    let mac = Mac::enrolled(&server, "11111111-2222-3333-4444-000000000001").await;
    mac.drain().await;
    assert_eq!(server.metric("provost_leader").await, 1);
    assert_eq!(
        server.metric("provost_leader_transitions").await,
        0,
        "it has led all the time"
    );
    assert!(!server.said().contains("the lease is lost"), "{}", server.said());
}
