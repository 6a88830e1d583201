//! `provost serve` and a real API server: what it refuses, who leads, and what devices notice when the API is gone or slow (nothing).

mod definitions;
mod leading;
mod outages;
mod proxy;
mod slow;
mod writes;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::PostParams;
use kube::{Client, ResourceExt as _};
use provost::api::DeviceGroup;
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::world::{Api, NAMESPACE, Server, cluster, eventually, text};

/// An API server with the definitions; None where stories cannot be told on one.
async fn plane() -> Option<ControlPlane> {
    if Api::Cluster.is_here() {
        Some(cluster().await)
    } else {
        None
    }
}

/// Waits until a gauge of a server has a value.
async fn reads(server: &Server, gauge: &str, value: u64) {
    eventually(&format!("{gauge} is {value}"), async || {
        let found = server.metric(gauge).await;
        if found == value {
            Ok(())
        } else {
            Err(found.to_string())
        }
    })
    .await;
}

/// Waits until a server leads.
async fn leads(server: &Server) {
    reads(server, "provost_leader", 1).await;
}

/// What the lease says.
async fn lease(client: &Client) -> LeaseSpec {
    let leases: kube::Api<Lease> = kube::Api::namespaced(client.clone(), NAMESPACE);
    leases.get("provost").await.unwrap().spec.unwrap()
}

/// Makes a group and waits until a leader has written its status.
async fn work_is_done(client: &Client, name: &str) {
    let groups: kube::Api<DeviceGroup> = kube::Api::namespaced(client.clone(), NAMESPACE);
    let group = json!({
        "apiVersion": "provost.dev/v1alpha1", "kind": "DeviceGroup",
        "metadata": { "name": name }, "spec": { "selector": {} },
    });
    let group: DeviceGroup = serde_json::from_value(group).unwrap();
    groups.create(&PostParams::default(), &group).await.unwrap();
    eventually("the group has a status", async || {
        let group = groups.get(name).await.map_err(text)?;
        let generation = group.status.as_ref().map(|status| status.observed_generation);
        if generation == group.metadata.generation {
            Ok(())
        } else {
            Err(format!("{}: {:?}", group.name_any(), group.status))
        }
    })
    .await;
}

/// The writes to the API that were answered, leases and rehearsals left out, of whom `whose` says.
fn writes(plane: &ControlPlane, whose: impl Fn(&Value) -> bool) -> Vec<String> {
    let is_write = |event: &&Value| {
        let verb = event["verb"].as_str().unwrap_or_default();
        let uri = event["requestURI"].as_str().unwrap_or_default();
        ["create", "update", "patch", "delete", "deletecollection"].contains(&verb)
            && event["objectRef"]["resource"] != "leases"
            && !uri.contains("dryRun=All")
    };
    let events = plane.audit();
    let found = events.iter().filter(is_write).filter(|event| whose(event));
    found.map(line).collect()
}

fn line(event: &Value) -> String {
    let field = |pointer: &str| {
        event
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    format!(
        "{} {} {} by {}",
        field("/requestReceivedTimestamp"),
        field("/verb"),
        field("/requestURI"),
        field("/user/username")
    )
}

/// Whether a request is one of the program's.
fn by_provost(event: &Value) -> bool {
    let agent = event["userAgent"].as_str().unwrap_or_default();
    agent.starts_with("provost/")
}
