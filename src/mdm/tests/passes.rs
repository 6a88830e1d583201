//! Devices that only sign, behind a proxy in which TLS ends, fetch their profiles by passes; and who would like to fetch them too.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{Method, StatusCode};
use serde_json::Value;

use super::world::{Client, Device, PUBLIC_URL, Signer, World, manifest};
use crate::ids::Digest;
use crate::policy::{Manifest, declaration};

const UDID: &str = "A0000000-0000-4000-8000-000000000001";
const OTHER: &str = "A0000000-0000-4000-8000-000000000002";

/// A manifest with one profile, and the declaration that brings it.
fn with_profile(token: &str) -> Arc<Manifest> {
    let plain = manifest(token, &[]);
    let legacy = declaration::legacy(&plain.profiles[0], PUBLIC_URL);
    Arc::new(Manifest {
        declarations: vec![legacy],
        ..Manifest::clone(&plain)
    })
}

/// A device that signs through a proxy, which says of no certificate.
async fn signing(world: &World, proxy: SocketAddr, udid: &str) -> Device {
    let (chain, key) = world.identity(udid).await;
    let mut client = Client::proxy(proxy, Vec::new());
    client.signer = Some(Signer::new(&chain, &key, &[]));
    Device {
        udid: udid.to_owned(),
        os_version: "15.4".into(),
        client,
    }
}

/// The declaration of the profile, as a device gets it.
async fn declared(device: &Device) -> Value {
    let items = device.declarative("declaration-items", None).await;
    let items: Value = serde_json::from_slice(&items.body).unwrap();
    let identifier = items["Declarations"]["Configurations"][0]["Identifier"]
        .as_str()
        .unwrap();
    let answer = device
        .declarative(&format!("declaration/configuration/{identifier}"), None)
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// The address of the profile below the server's, as a device gets it.
async fn address(device: &Device) -> String {
    let declared = declared(device).await;
    let url = declared["Payload"]["ProfileURL"].as_str().unwrap();
    url.strip_prefix(PUBLIC_URL).unwrap().to_owned()
}

/// What somebody gets who shows nothing but an address.
async fn fetch(client: &Client, address: &str) -> StatusCode {
    client.send(Method::GET, address, &[], vec![]).await.status
}

#[tokio::test]
async fn a_device_that_only_signs_fetches_its_profile_through_a_proxy_in_which_tls_ends() {
    let world = World::new();
    let proxy = world.behind_proxies(&["127.0.0.0/8"], "client-cert");
    let (device, manifest) = (signing(&world, proxy, UDID).await, with_profile("t-1"));
    device.enroll().await;
    world.point(&device, &manifest).await;
    let first = declared(&device).await;
    assert_eq!(
        first["ServerToken"], *manifest.declarations[0].server_token,
        "it stands for the same content as everybody's"
    );
    assert_eq!(
        declared(&device).await,
        first,
        "nothing of it depends on the moment"
    );
    let address = address(&device).await;
    let got = device.client.send(Method::GET, &address, &[], vec![]).await;
    assert_eq!(
        (got.status, got.text().as_str()),
        (StatusCode::OK, &*manifest.profiles[0].body)
    );
    // It is the pass that does it.
    let (plain, _) = address.split_once('?').unwrap();
    assert_eq!(fetch(&device.client, plain).await, StatusCode::NOT_FOUND);

    // Whoever shows a certificate needs none, and gets the address that everybody gets.
    let showing = world.enrolled(OTHER).await;
    world.point(&showing, &manifest).await;
    assert_eq!(declared(&showing).await.to_string(), {
        let body: Value = serde_json::from_str(&manifest.declarations[0].body).unwrap();
        body.to_string()
    });
    assert_eq!(fetch(&showing.client, plain).await, StatusCode::OK);
}

#[tokio::test]
async fn a_pass_is_for_one_profile_of_one_device_and_cannot_be_made_by_others() {
    let world = World::new();
    let proxy = world.behind_proxies(&["127.0.0.0/8"], "client-cert");
    let (one, other) = (
        signing(&world, proxy, UDID).await,
        signing(&world, proxy, OTHER).await,
    );
    for (device, manifest) in [(&one, with_profile("t-1")), (&other, with_profile("t-2"))] {
        device.enroll().await;
        world.point(device, &manifest).await;
    }
    let (own, theirs) = (address(&one).await, address(&other).await);
    let (path, query) = own.split_once('?').unwrap();
    let (their_path, _) = theirs.split_once('?').unwrap();
    let passer_by = Client::proxy(proxy, Vec::new());
    assert_eq!(
        fetch(&passer_by, &own).await,
        StatusCode::OK,
        "it is the address that counts"
    );
    let (holder, tag) = query.split_once("&pass=").unwrap();
    for forged in [
        format!("{their_path}?{query}"),
        format!("{path}?{}", query.replace(UDID, OTHER)),
        format!("{path}?{holder}&pass={}", Digest::of(b"guessed")),
        format!("{path}?{holder}&pass={}", tag.to_uppercase().replace('A', "B")),
        format!("{path}?{}", query.replace("since=", "since=1")),
        format!("{path}?{query}&more=1"),
    ] {
        assert_eq!(
            fetch(&passer_by, &forged).await,
            StatusCode::NOT_FOUND,
            "{forged}"
        );
    }
    // Who shows a certificate is judged by it, whatever pass it has found.
    let showing = world.enrolled("A0000000-0000-4000-8000-000000000003").await;
    assert_eq!(fetch(&showing.client, &own).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_pass_ends_with_its_enrolment_and_with_what_the_device_should_hold() {
    let world = World::new();
    let proxy = world.behind_proxies(&["127.0.0.0/8"], "client-cert");
    let device = signing(&world, proxy, UDID).await;
    device.enroll().await;
    world.point(&device, &with_profile("t-1")).await;
    let first = address(&device).await;
    assert_eq!(fetch(&device.client, &first).await, StatusCode::OK);
    // Two moves on, and told of the last: nothing names the profile any more.
    world.point(&device, &with_profile("t-2")).await;
    world.point(&device, &with_profile("t-3")).await;
    let last = address(&device).await;
    assert_eq!(fetch(&device.client, &first).await, StatusCode::NOT_FOUND);
    assert_eq!(fetch(&device.client, &last).await, StatusCode::OK);

    device.check_in("CheckOut", &[]).await;
    assert_eq!(fetch(&device.client, &last).await, StatusCode::NOT_FOUND);
    // Under the same name another enrolment begins, which has a pass of its own.
    world.clock.advance(std::time::Duration::from_secs(1));
    let again = signing(&world, proxy, UDID).await;
    again.enroll().await;
    world.point(&again, &with_profile("t-3")).await;
    let new = address(&again).await;
    assert_eq!(fetch(&device.client, &last).await, StatusCode::NOT_FOUND);
    assert_eq!(fetch(&device.client, &new).await, StatusCode::OK);
}
