//! Who may speak for whom, and who may enrol.

use axum::http::{Method, StatusCode};
use rcgen::{CertificateParams, KeyPair};

use super::world::{Client, World};
use crate::store::EnrollmentState;

const UDID: &str = "A0000000-0000-4000-8000-000000000001";
const OTHER: &str = "A0000000-0000-4000-8000-000000000002";

#[tokio::test]
async fn nobody_speaks_in_the_name_of_another() {
    let world = World::new();
    let victim = world.enrolled(UDID).await;
    let attacker = world.enrolled(OTHER).await;
    let victims = ("UDID", plist::Value::from(UDID));
    for answer in [
        attacker
            .check_in("TokenUpdate", std::slice::from_ref(&victims))
            .await,
        attacker
            .check_in("CheckOut", std::slice::from_ref(&victims))
            .await,
        attacker
            .check_in(
                "Authenticate",
                &[victims.clone(), ("Topic", super::world::TOPIC.into())],
            )
            .await,
        attacker
            .check_in(
                "DeclarativeManagement",
                &[victims.clone(), ("Endpoint", "tokens".into())],
            )
            .await,
        attacker
            .reply("c-1", "Idle", std::slice::from_ref(&victims))
            .await,
        attacker
            .reply("c-1", "Acknowledged", std::slice::from_ref(&victims))
            .await,
    ] {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    }
    let enrollment = world.store.enrollment(&victim.id()).await.unwrap().unwrap();
    assert_eq!(enrollment.state, EnrollmentState::Enrolled);
    assert_eq!(victim.drain().await.len(), 3);
}

#[tokio::test]
async fn a_certificate_of_ours_is_not_enough_to_take_over_a_device() {
    let world = World::new();
    let victim = world.enrolled(UDID).await;
    // Issued for another device, and never used: its hash is as unseen as can be.
    let mut attacker = world.invited(OTHER).await;
    attacker.udid = UDID.to_owned();
    assert_eq!(attacker.authenticate().await.status, StatusCode::BAD_REQUEST);
    assert_eq!(attacker.token_update().await.status, StatusCode::BAD_REQUEST);
    assert_eq!(victim.drain().await.len(), 3);
}

#[tokio::test]
async fn certificates_of_others_are_refused_in_words() {
    let world = World::new();
    world.enrolled(UDID).await;
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![UDID.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let clients = [Client::with_identity(&world, &own.pem(), &key), world.anonymous()];
    let body = format!(
        "<plist><dict><key>Status</key><string>Idle</string><key>UDID</key><string>{UDID}</string></dict></plist>"
    );
    for client in clients {
        let answer = client
            .send(Method::PUT, "/mdm", &[], body.clone().into_bytes())
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(!answer.body.is_empty());
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused_and_the_enrolment_kept() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    world.clock.advance(std::time::Duration::from_hours(366 * 24));
    assert_eq!(device.idle().await.status, StatusCode::BAD_REQUEST);
    let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    assert_eq!(enrollment.state, EnrollmentState::Enrolled);
}

#[tokio::test]
async fn a_user_channel_belongs_to_its_device_alone() {
    let world = World::new();
    let victim = world.enrolled(UDID).await;
    let attacker = world.enrolled(OTHER).await;
    let users = [
        ("UDID", plist::Value::from(UDID)),
        ("UserID", "F0000000-0000-4000-8000-000000000001".into()),
        ("UserShortName", "ada".into()),
    ];
    let with = |more: &[(&'static str, plist::Value)]| [&users[..], more].concat();
    let token = [
        ("Topic", super::world::TOPIC.into()),
        ("Token", plist::Value::Data(vec![9; 32])),
        ("PushMagic", "M-9".into()),
    ];
    for answer in [
        attacker.check_in("TokenUpdate", &with(&token)).await,
        attacker.check_in("UserAuthenticate", &users).await,
        attacker.check_in("CheckOut", &users).await,
        attacker.reply("c-1", "Acknowledged", &users).await,
    ] {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    }
    // A user of the device itself does not end or begin it either.
    let answer = victim.check_in("Authenticate", &with(&token[..1])).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let enrollment = world.store.enrollment(&victim.id()).await.unwrap().unwrap();
    assert_eq!(
        (enrollment.state, enrollment.token_updates),
        (EnrollmentState::Enrolled, 1)
    );
    let address = world.store.push_address(&victim.id()).await.unwrap().unwrap();
    assert_eq!(address.token.reveal(), &[7; 32]);
}

#[tokio::test]
async fn who_has_checked_out_does_not_come_back_on_the_same_certificate() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    assert_eq!(device.check_in("CheckOut", &[]).await.status, StatusCode::OK);
    assert_eq!(device.authenticate().await.status, StatusCode::BAD_REQUEST);
    assert_eq!(device.idle().await.status, StatusCode::FORBIDDEN);
    assert_eq!(device.token_update().await.status, StatusCode::FORBIDDEN);
    let ended = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    assert_eq!(ended.state, EnrollmentState::Ended);
}

#[tokio::test]
async fn a_token_update_without_authenticate_is_refused() {
    let world = World::new();
    let device = world.invited(UDID).await;
    assert_eq!(device.token_update().await.status, StatusCode::BAD_REQUEST);
    assert_eq!(device.idle().await.status, StatusCode::BAD_REQUEST);
    device.enroll().await;
}

#[tokio::test]
async fn a_challenge_enrols_one_device_once_and_every_refusal_reads_the_same() {
    let world = World::new();
    let used = world.invitation(None, None).await;
    assert_eq!(world.request_identity(&used, UDID).await.0.status, StatusCode::OK);
    let bound = world.invitation(None, Some(UDID)).await;
    let expired = world.invitation(None, None).await;
    world.clock.advance(std::time::Duration::from_hours(25));
    let fresh = world.invitation(None, Some(UDID)).await;
    let mut refusals = Vec::new();
    for (challenge, udid) in [
        (used.as_str(), UDID),
        ("unknown", UDID),
        (expired.as_str(), UDID),
        (bound.as_str(), OTHER),
        (fresh.as_str(), OTHER),
    ] {
        let (answer, _) = world.request_identity(challenge, udid).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        refusals.push(answer.text());
    }
    refusals.dedup();
    assert_eq!(
        refusals,
        [r#"{"error":"the challenge is not valid for this device"}"#]
    );
    assert_eq!(
        world.request_identity(&fresh, UDID).await.0.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_device_whose_answer_got_lost_asks_again() {
    let world = World::new();
    let challenge = world.invitation(None, None).await;
    let (lost, key) = world.request_identity(&challenge, UDID).await;
    assert_eq!(lost.status, StatusCode::OK);
    let again = world.request_identity_for(&challenge, UDID, &key).await;
    assert_eq!(again.status, StatusCode::OK);
    let (another, _) = world.request_identity(&challenge, UDID).await;
    assert_eq!(another.status, StatusCode::FORBIDDEN);
    let identity: serde_json::Value = serde_json::from_slice(&again.body).unwrap();
    let device = super::world::Device {
        udid: UDID.into(),
        os_version: "15.4".into(),
        client: Client::with_identity(&world, identity["certificate"].as_str().unwrap(), &key),
    };
    device.enroll().await;
    let late = world.request_identity_for(&challenge, UDID, &key).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_invitation_for_one_serial_number_enrols_no_other_hardware() {
    let world = World::new();
    let challenge = world.invitation(Some("OTHERSERIAL"), None).await;
    let (answer, key) = world.request_identity(&challenge, UDID).await;
    let identity: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let device = super::world::Device {
        udid: UDID.into(),
        os_version: "15.4".into(),
        client: Client::with_identity(&world, identity["certificate"].as_str().unwrap(), &key),
    };
    assert_eq!(device.authenticate().await.status, StatusCode::BAD_REQUEST);
    assert!(world.store.enrollment(&device.id()).await.unwrap().is_none());
}

#[tokio::test]
async fn the_identity_endpoint_tells_what_is_wrong_with_a_request() {
    let world = World::new();
    let challenge = world.invitation(None, None).await;
    let bearer = format!("Bearer {challenge}");
    let client = world.anonymous();
    let send = async |headers: &[(&str, &str)], body: &[u8]| {
        client
            .send(Method::POST, "/enroll/identity", headers, body.to_vec())
            .await
    };
    let missing = send(&[], b"x").await;
    assert_eq!(missing.status, StatusCode::UNAUTHORIZED);
    assert_eq!(missing.headers["www-authenticate"], "Bearer");
    assert_eq!(
        send(&[("authorization", "Basic x")], b"x").await.status,
        StatusCode::FORBIDDEN
    );
    let no_request = send(&[("authorization", &bearer)], b"x").await;
    assert_eq!(no_request.status, StatusCode::BAD_REQUEST);
    assert!(no_request.text().contains("PKCS #10"), "{}", no_request.text());
    let large = send(&[("authorization", &bearer)], &vec![0; 20_000]).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    // None of it has used the challenge up.
    let (answer, _) = world.request_identity(&challenge, UDID).await;
    assert_eq!(answer.status, StatusCode::OK);
    let identity: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(identity["mdm"]["serverUrl"], "https://localhost/mdm");
    assert_eq!(identity["mdm"]["checkInUrl"], "https://localhost/mdm/checkin");
    assert_eq!(identity["mdm"]["topic"], super::world::TOPIC);
    assert_eq!(identity["ca"], world.pki.servers.certificate_pem());
}

#[tokio::test]
async fn one_source_may_not_try_without_end() {
    let world = World::new();
    let client = world.anonymous();
    let mut last = StatusCode::OK;
    for _ in 0..150 {
        let headers = [("authorization", "Bearer x")];
        let answer = client
            .send(Method::POST, "/enroll/identity", &headers, b"x".to_vec())
            .await;
        last = answer.status;
        if last == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.headers.contains_key("retry-after"));
            break;
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}
