//! Devices that sign their messages, and those who sign for others.

use axum::http::{Method, StatusCode};
use rcgen::{CertificateParams, KeyPair};

use super::world::{Client, Device, Signer, World};
use crate::store::EnrollmentState;

const UDID: &str = "A0000000-0000-4000-8000-000000000001";
const OTHER: &str = "A0000000-0000-4000-8000-000000000002";
const NO_OPTIONS: &[&str] = &[];

fn idle(udid: &str) -> Vec<u8> {
    format!("<plist><dict><key>Status</key><string>Idle</string><key>UDID</key><string>{udid}</string></dict></plist>")
        .into_bytes()
}

/// A device that shows no certificate over TLS, and signs instead.
async fn signing_device(world: &World, udid: &str, options: &[&'static str]) -> Device {
    let (chain, key) = world.identity(udid).await;
    let mut client = world.anonymous();
    client.signer = Some(Signer::new(&chain, &key, options));
    Device {
        udid: udid.to_owned(),
        os_version: "15.4".into(),
        client,
    }
}

/// Sends a body with this signature over a connection without a certificate.
async fn send_signed(world: &World, body: Vec<u8>, signature: &str) -> StatusCode {
    let headers = [("mdm-signature", signature)];
    world
        .anonymous()
        .send(Method::PUT, "/mdm", &headers, body)
        .await
        .status
}

#[tokio::test]
async fn a_device_that_signs_needs_no_certificate_on_its_connection() {
    let world = World::new();
    // Detached, and with a copy of the body inside in pieces of indefinite length.
    for (udid, options) in [
        (UDID, NO_OPTIONS),
        (OTHER, &["-nodetach", "-stream", "-md", "sha512"]),
    ] {
        let device = signing_device(&world, udid, options).await;
        device.enroll().await;
        assert_eq!(device.drain().await.len(), 3);
        assert_eq!(device.check_in("CheckOut", &[]).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_signature_over_another_body_or_by_a_stranger_is_refused() {
    let world = World::new();
    let device = signing_device(&world, UDID, NO_OPTIONS).await;
    device.enroll().await;
    let good = device.client.signer.as_ref().unwrap().sign(&idle(UDID));
    assert_eq!(send_signed(&world, idle(UDID), &good).await, StatusCode::OK);

    let mut spaced = idle(UDID);
    spaced.push(b'\n');
    for swapped in [idle(OTHER), spaced, vec![]] {
        assert_eq!(send_signed(&world, swapped, &good).await, StatusCode::BAD_REQUEST);
    }
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![UDID.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let stranger = Signer::new(&own.pem(), &key, NO_OPTIONS).sign(&idle(UDID));
    let server = World::new();
    let (chain, key) = server.identity(UDID).await;
    let elsewhere = Signer::new(&chain, &key, NO_OPTIONS).sign(&idle(UDID));
    for signature in [
        stranger.as_str(),
        &elsewhere,
        &good[..good.len() / 2],
        "",
        "no base64",
        "AAAA",
    ] {
        assert_eq!(
            send_signed(&world, idle(UDID), signature).await,
            StatusCode::BAD_REQUEST
        );
    }
    let twice = [("mdm-signature", good.as_str()), ("mdm-signature", good.as_str())];
    let answer = world
        .anonymous()
        .send(Method::PUT, "/mdm", &twice, idle(UDID))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    assert_eq!(enrollment.state, EnrollmentState::Enrolled);
}

#[tokio::test]
async fn a_device_signs_for_itself_alone() {
    let world = World::new();
    let victim = signing_device(&world, UDID, NO_OPTIONS).await;
    victim.enroll().await;
    let attacker = signing_device(&world, OTHER, NO_OPTIONS).await;
    attacker.enroll().await;
    let signed = attacker.client.signer.as_ref().unwrap().sign(&idle(UDID));
    assert_eq!(
        send_signed(&world, idle(UDID), &signed).await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(victim.drain().await.len(), 3);
}

#[tokio::test]
async fn a_message_signed_by_way_of_sha1_is_refused() {
    let world = World::new();
    let device = signing_device(&world, UDID, &["-md", "sha1"]).await;
    let answer = device.authenticate().await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
}

#[tokio::test]
async fn an_expired_signer_is_refused_and_the_enrolment_kept() {
    let world = World::new();
    let device = signing_device(&world, UDID, NO_OPTIONS).await;
    device.enroll().await;
    world.clock.advance(std::time::Duration::from_hours(366 * 24));
    assert_eq!(device.idle().await.status, StatusCode::BAD_REQUEST);
    let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    assert_eq!(enrollment.state, EnrollmentState::Enrolled);
}

#[tokio::test]
async fn who_signs_must_be_who_shows_its_certificate() {
    let world = World::new();
    let (chain, key) = world.identity(UDID).await;
    let (other_chain, other_key) = world.identity(OTHER).await;
    let mut device = Device {
        udid: UDID.to_owned(),
        os_version: "15.4".into(),
        client: Client::with_identity(&world, &chain, &key),
    };
    device.client.signer = Some(Signer::new(&chain, &key, NO_OPTIONS));
    device.enroll().await;
    assert_eq!(device.idle().await.status, StatusCode::OK);
    // One of ours as well, but another: neither is believed.
    device.client.signer = Some(Signer::new(&other_chain, &other_key, NO_OPTIONS));
    assert_eq!(device.idle().await.status, StatusCode::BAD_REQUEST);
    device.udid = OTHER.to_owned();
    assert_eq!(device.authenticate().await.status, StatusCode::BAD_REQUEST);
    // A signature that does not hold is not passed over for the sake of the connection.
    device.udid = UDID.to_owned();
    device.client.signer = None;
    let old = Signer::new(&chain, &key, NO_OPTIONS).sign(b"something else");
    let answer = device
        .client
        .send(Method::PUT, "/mdm", &[("mdm-signature", &old)], idle(UDID))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(device.drain().await.len(), 3);
}

#[tokio::test]
async fn a_signature_gives_no_files_away() {
    let world = World::new();
    let device = signing_device(&world, UDID, NO_OPTIONS).await;
    device.enroll().await;
    let manifest = super::world::manifest("t-1", &[]);
    world.point(&device, &manifest).await;
    // There is nothing in a GET that a signature could be for: it would be good for ever.
    let path = format!("/mdm/profiles/{}", manifest.profiles[0].digest);
    let answer = device.client.send(Method::GET, &path, &[], vec![]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
