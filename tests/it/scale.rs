//! Ten thousand Device objects, and a hundred thousand enrolments.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, stream};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use provost::api::Device;
use provost::ids::Digest;
use serde_json::{Value, json};

use crate::control_plane::summary;
use crate::world::{NAMESPACE, Server, provost};

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

/// How many Device objects there are. Told by the first of them: the pages of a list that is read while ten thousands are written grow too old.
async fn count(client: &Client) -> usize {
    let request = http::Request::get("/apis/provost.dev/v1alpha1/devices?limit=1");
    let request = request.body(Vec::new()).unwrap();
    let page: Value = client.request(request).await.unwrap();
    let rest = page["metadata"]["remainingItemCount"].as_u64().unwrap_or(0);
    page["items"].as_array().unwrap().len() + usize::try_from(rest).unwrap()
}

/// Enrolments of a large fleet.
const ENROLLMENTS: u32 = 100_000;

/// The lines of a fleet, as another server would give them away.
fn write_enrollments(file: &Path) {
    let mut lines = String::new();
    for number in 0..ENROLLMENTS {
        let line = json!({
            "udid": udid(number), "serialNumber": format!("C02{number:08}"),
            "topic": "com.apple.mgmt.External.6c2b5a43-5f3e-4b8a-9d0e-3f5c7a1b2c3d",
            "pushToken": STANDARD.encode(Digest::of(&number.to_be_bytes()).0),
            "pushMagic": format!("0F9B2C7E-3D41-4B5A-8C6D-{number:012X}"),
            "bootstrapToken": STANDARD.encode([7; 256]),
            "certificateSha256": Digest::of(udid(number).as_bytes()),
            "osVersion": "15.4", "productName": "Mac16,10", "supervised": true, "namespace": NAMESPACE,
            "labels": { "site": format!("site-{}", number % 20) },
        });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    fs::write(file, lines).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and measures"]
async fn a_hundred_thousand_enrolments_move_in_within_a_minute_and_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fleet.jsonl");
    write_enrollments(&file);
    let mut server = Server::start(&dir.path().join("data"), 0, &[]).await;
    let data_dir = server.data_dir().to_str().unwrap().to_owned();
    let import = [
        "enrollments",
        "import",
        file.to_str().unwrap(),
        "--data-dir",
        &data_dir,
    ];

    let start = Instant::now();
    let said = provost(&import).await;
    let imported = start.elapsed();
    assert!(said.success, "{}", said.stderr);
    assert_eq!(
        said.stdout,
        format!("imported {ENROLLMENTS}, updated 0, unchanged 0\n")
    );
    let after_import = server.peak_memory();

    let start = Instant::now();
    server.kill_and_restart().await;
    let restarted = start.elapsed();

    // The objects follow, whatever else happens.
    let start = Instant::now();
    let client = server.client().await;
    let mut objects = 0;
    while objects < usize::try_from(ENROLLMENTS).unwrap() {
        assert!(
            start.elapsed() < Duration::from_mins(20),
            "{objects} objects by now"
        );
        tokio::time::sleep(Duration::from_secs(10)).await;
        objects = count(&client).await;
    }
    let followed = start.elapsed();
    let peak = server.peak_memory().max(after_import);
    let start = Instant::now();
    let again = provost(&import).await;
    let repeated = start.elapsed();
    assert_eq!(
        again.stdout,
        format!("imported 0, updated 0, unchanged {ENROLLMENTS}\n")
    );
    let peak = server.peak_memory().max(peak);
    let start = Instant::now();
    server.kill_and_restart().await;
    let restarted = restarted.max(start.elapsed());
    summary(&format!(
        "{ENROLLMENTS} enrolments: imported in {:.1} s, again in {:.1} s; ready after a restart in {:.1} s; all Device objects {:.0} s later; \
         the server's memory peaked at {} MiB ({} MiB while importing)",
        imported.as_secs_f64(),
        repeated.as_secs_f64(),
        restarted.as_secs_f64(),
        followed.as_secs_f64(),
        peak >> 20,
        after_import >> 20
    ));
    assert!(imported < Duration::from_mins(1), "{imported:?}");
    assert!(restarted < Duration::from_secs(5), "{restarted:?}");
    assert!(peak < 500 << 20, "{} MiB", peak >> 20);
}
