//! Declarative management, end to end.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::{Answer, Device, World, manifest};

const UDID: &str = "A0000000-0000-4000-8000-000000000001";

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/json");
    serde_json::from_slice(&answer.body).unwrap()
}

/// What a device reports that holds these configurations.
fn holding(configurations: &[(&str, &str)]) -> String {
    let configurations: Vec<_> = configurations
        .iter()
        .map(|(identifier, token)| {
            json!({"identifier": identifier, "server-token": token, "active": true, "valid": "valid"})
        })
        .collect();
    let declarations =
        json!({"activations": [], "assets": [], "management": [], "configurations": configurations});
    json!({"StatusItems": {"management": {"declarations": declarations}}, "FullReport": true}).to_string()
}

async fn applied(world: &World, device: &Device) -> Option<crate::ids::Digest> {
    let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    enrollment.applied_manifest
}

#[tokio::test]
async fn a_device_syncs_its_declarations_and_proves_them() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let manifest = manifest("t-1", &[("a/b/c", "s-1"), ("conf", "s-2")]);
    world.clock.advance(Duration::from_millis(90_500));
    world.point(&device, &manifest).await;
    world.clock.advance(Duration::from_hours(1));

    // The time is that of the last change, not that of the question.
    let tokens = json_of(&device.declarative("tokens", None).await);
    assert_eq!(tokens["SyncTokens"]["DeclarationsToken"], "t-1");
    assert_eq!(tokens["SyncTokens"]["Timestamp"], "2026-11-24T00:01:30Z");
    let items = json_of(&device.declarative("declaration-items", None).await);
    assert_eq!(items["DeclarationsToken"], "t-1");
    assert_eq!(
        items["Declarations"]["Configurations"],
        json!([{"Identifier": "a/b/c", "ServerToken": "s-1"}, {"Identifier": "conf", "ServerToken": "s-2"}])
    );
    let one = json_of(&device.declarative("declaration/configuration/a/b/c", None).await);
    assert_eq!(one, json!({"Identifier": "a/b/c", "ServerToken": "s-1"}));
    // Asking proves nothing, nor does half of it.
    assert_eq!(applied(&world, &device).await, None);
    device
        .declarative("status", Some(&holding(&[("conf", "s-2")])))
        .await;
    assert_eq!(applied(&world, &device).await, None);
    let report = holding(&[("a/b/c", "s-1"), ("conf", "s-2")]);
    assert_eq!(
        device.declarative("status", Some(&report)).await.status,
        StatusCode::OK
    );
    assert_eq!(applied(&world, &device).await, Some(manifest.id));
}

#[tokio::test]
async fn a_declaration_is_served_from_the_manifest_that_the_device_was_told_of() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    world
        .point(&device, &manifest("t-1", &[("conf", "s-1"), ("old", "s-1")]))
        .await;
    device.declarative("declaration-items", None).await;
    // The pointer moves in the middle of the sync.
    world.point(&device, &manifest("t-2", &[("conf", "s-2")])).await;
    let token = async |identifier: &str| {
        let endpoint = format!("declaration/configuration/{identifier}");
        json_of(&device.declarative(&endpoint, None).await)["ServerToken"].clone()
    };
    assert_eq!(token("conf").await, "s-1");
    assert_eq!(token("old").await, "s-1");
    device.declarative("declaration-items", None).await;
    assert_eq!(token("conf").await, "s-2");
}

#[tokio::test]
async fn however_often_the_pointer_moves_a_device_gets_what_it_was_told_of() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let sets = [("t-1", "s-1"), ("t-2", "s-2"), ("t-3", "s-3")]
        .map(|(token, revision)| manifest(token, &[("conf", revision), (revision, revision)]));
    world.point(&device, &sets[0]).await;
    device.declarative("declaration-items", None).await;
    world.point(&device, &sets[1]).await;
    world.point(&device, &sets[2]).await;
    // Each request is a connection of its own: nothing about it is remembered but in the store, which every replica shares.
    let conf = json_of(&device.declarative("declaration/configuration/conf", None).await);
    assert_eq!(conf["ServerToken"], "s-1");
    let told = json_of(&device.declarative("declaration/configuration/s-1", None).await);
    assert_eq!(told["ServerToken"], "s-1");
    let profile = format!("/mdm/profiles/{}", sets[0].profiles[0].digest);
    let fetched = device.client.send(Method::GET, &profile, &[], vec![]).await;
    assert_eq!(fetched.status, StatusCode::OK);
    // Told of the newest set, it gets that, and the first is out of reach.
    let items = json_of(&device.declarative("declaration-items", None).await);
    assert_eq!(items["DeclarationsToken"], "t-3");
    let conf = json_of(&device.declarative("declaration/configuration/conf", None).await);
    assert_eq!(conf["ServerToken"], "s-3");
    let gone = device.declarative("declaration/configuration/s-1", None).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_device_tells_what_it_does_not_take() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let lacks = async || {
        let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
        serde_json::to_value(enrollment.lacks).unwrap()
    };
    assert_eq!(lacks().await, json!({}));
    let capabilities = json!({"supported-payloads": {"declarations": {"management": []}}});
    let report = json!({"StatusItems": {"management": {"client-capabilities": capabilities}}}).to_string();
    device.declarative("status", Some(&report)).await;
    assert_eq!(
        lacks().await["declarations"],
        json!([
            "com.apple.management.organization-info",
            "com.apple.management.properties",
            "com.apple.management.server-capabilities"
        ])
    );
}

#[tokio::test]
async fn an_enrolment_that_begins_again_is_told_to_sync_though_nothing_changed() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let set = manifest("t-1", &[("conf", "s-1")]);
    world.point(&device, &set).await;
    device
        .declarative("status", Some(&holding(&[("conf", "s-1")])))
        .await;
    device.drain().await;
    assert_eq!(applied(&world, &device).await, Some(set.id));
    device.enroll().await;
    assert_eq!(applied(&world, &device).await, None);
    assert!(device.drain().await.contains(&"DeclarativeManagement".to_owned()));
    world.point(&device, &set).await;
    let items = json_of(&device.declarative("declaration-items", None).await);
    assert_eq!(items["DeclarationsToken"], "t-1");
}

#[tokio::test]
async fn unknown_and_not_assigned_look_the_same() {
    let world = World::new();
    let (device, other) = (
        world.enrolled(UDID).await,
        world.enrolled("A0000000-0000-4000-8000-000000000002").await,
    );
    world.point(&other, &manifest("t-1", &[("secret", "s-1")])).await;
    let not_assigned = device.declarative("declaration/configuration/secret", None).await;
    let unknown = device
        .declarative("declaration/configuration/nothing", None)
        .await;
    assert_eq!(not_assigned.status, StatusCode::NOT_FOUND);
    assert_eq!(
        (not_assigned.status, not_assigned.body),
        (unknown.status, unknown.body)
    );
}

#[tokio::test]
async fn an_endpoint_that_leads_elsewhere_is_refused() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let long = format!("declaration/configuration/{}", "a".repeat(10_000));
    for endpoint in [
        "",
        "http://example.com/tokens",
        "//example.com/tokens",
        "declaration/configuration/../management/a",
        "declaration/configuration/%2e%2e",
        &long,
    ] {
        let answer = device.declarative(endpoint, None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{endpoint:?}");
    }
}

#[tokio::test]
async fn a_profile_is_served_only_to_those_whose_manifest_names_it() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let other = world.enrolled("A0000000-0000-4000-8000-000000000002").await;
    let (first, second) = (manifest("t-1", &[]), manifest("t-2", &[]));
    world.point(&device, &first).await;
    let path = format!("/mdm/profiles/{}", first.profiles[0].digest);
    let fetch = async |path: &str| device.client.send(Method::GET, path, &[], vec![]).await;
    let answer = fetch(&path).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/x-apple-aspen-config");
    assert_eq!(answer.text(), *first.profiles[0].body);
    // The one before is still served, the one before that is not.
    world.point(&device, &second).await;
    assert_eq!(fetch(&path).await.status, StatusCode::OK);

    for client in [&other.client, &world.anonymous()] {
        let answer = client.send(Method::GET, &path, &[], vec![]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(fetch("/mdm/profiles/x").await.status, StatusCode::NOT_FOUND);
    device.check_in("CheckOut", &[]).await;
    assert_eq!(fetch(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_status_report_that_is_none_is_refused_and_changes_nothing() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let before = world.store.facts(&device.id()).await.unwrap();
    let deep = "[".repeat(100_000);
    for data in [None, Some("{"), Some("[]"), Some("\0"), Some(deep.as_str())] {
        assert_eq!(
            device.declarative("status", data).await.status,
            StatusCode::BAD_REQUEST
        );
    }
    assert_eq!(world.store.facts(&device.id()).await.unwrap(), before);
}

#[tokio::test]
async fn a_status_report_tells_of_a_new_system() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let system = json!({"operating-system": {"version": "26.0", "build-version": "25A1"}});
    let report = json!({"StatusItems": {"device": system}}).to_string();
    device.declarative("status", Some(&report)).await;
    let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    assert_eq!(enrollment.os_version, "26.0");
    assert_eq!(enrollment.build_version.as_deref(), Some("25A1"));
}
