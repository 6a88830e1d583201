//! Ten thousand Device objects.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use provost::api::Device;
use serde_json::{Value, json};

use crate::control_plane::summary;
use crate::world::{NAMESPACE, Server};

const DEVICES: u32 = 10_000;
/// Requests under way at once.
const SIDE_BY_SIDE: usize = 64;

/// The name of a device: a UDID.
fn udid(number: u32) -> String {
    format!("00008140-{number:016x}")
}

/// What the planner would say of a device that fails some rules: about three kilobytes.
fn status() -> Value {
    let failing = |n: u32| {
        json!({
            "baseline": "macos-essentials", "rule": format!("system_settings_rule_number_{n}"), "severity": "Medium",
            "reason": "com.apple.applicationaccess allowAirDrop is true on the device, and the rule wants false",
        })
    };
    let transition = |n: u32| {
        json!({
            "time": "2026-01-02T03:04:05Z", "rule": format!("system_settings_rule_number_{n}"), "from": "Pass", "to": "Fail",
            "revision": "main@sha1:0123456789abcdef0123456789abcdef01234567", "reason": "RuleFailed",
            "evidence": "allowAirDrop is true",
        })
    };
    json!({
        "observedGeneration": 1,
        "serialNumber": "C02ABCDEFGHJ", "model": "Mac15,3", "platform": "macOS", "osVersion": "26.1",
        "failingRules": (0..8).map(failing).collect::<Vec<_>>(),
        "history": (0..6).map(transition).collect::<Vec<_>>(),
    })
}

/// Writes the devices, with their statuses.
async fn write(client: &Client) {
    let api: Api<Device> = Api::namespaced(client.clone(), NAMESPACE);
    stream::iter(0..DEVICES)
        .for_each_concurrent(SIDE_BY_SIDE, async |number| {
            let name = udid(number);
            let device: Device = serde_json::from_value(json!({
                "apiVersion": "provost.dev/v1alpha1", "kind": "Device", "metadata": { "name": name }, "spec": {},
            }))
            .unwrap();
            api.create(&PostParams::default(), &device).await.unwrap();
            let status = json!({
                "apiVersion": "provost.dev/v1alpha1", "kind": "Device", "metadata": { "name": name }, "status": status(),
            });
            api.patch_status(&name, &PatchParams::apply("scale").force(), &Patch::Apply(&status))
                .await
                .unwrap();
        })
        .await;
}

/// Lists every device in pages of 500, as kubectl does. Gives how many there are, and their bytes.
async fn list(client: &Client) -> (usize, usize) {
    let (mut count, mut bytes, mut token) = (0, 0, String::new());
    loop {
        let path = format!("/apis/provost.dev/v1alpha1/devices?limit=500&continue={token}");
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let page = client.request_text(request).await.unwrap();
        bytes += page.len();
        let page: Value = serde_json::from_str(&page).unwrap();
        count += page["items"].as_array().unwrap().len();
        match page["metadata"]["continue"].as_str() {
            Some(next) if !next.is_empty() => token = next.to_owned(),
            _ => return (count, bytes),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute, and measures"]
async fn ten_thousand_devices_are_listed_in_pages_at_once_and_cost_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), 0, &[]).await;
    let client = server.client().await;
    write(&client).await;

    let start = Instant::now();
    let (count, bytes) = list(&client).await;
    let took = start.elapsed();
    let peak = server.peak_memory();
    summary(&format!(
        "{count} Device objects, {} MiB of JSON: listed by the embedded API in {} ms; the server's memory peaked at {} MiB",
        bytes >> 20,
        took.as_millis(),
        peak >> 20
    ));
    assert_eq!(count, usize::try_from(DEVICES).unwrap());
    assert!(
        bytes > 20 << 20,
        "the objects are as large as real ones: {bytes} bytes"
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(peak < 300 << 20, "{} MiB", peak >> 20);
}
