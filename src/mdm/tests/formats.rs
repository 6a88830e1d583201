//! XML and binary, PUT and POST, too much and too little: every message is read however it is written.

use axum::http::{Method, StatusCode};
use plist::{Dictionary, Value};

use super::world::{Answer, Device, TOPIC, World};
use crate::mdm::plist::to_xml;
use crate::store::EnrollmentState;

const UDID: &str = "A0000000-0000-4000-8000-000000000001";
const CHECK_IN: &str = "application/x-apple-aspen-mdm-checkin";

/// How a device writes and sends its messages.
#[derive(Debug, Clone)]
struct Manner {
    binary: bool,
    method: Method,
}

async fn send(device: &Device, manner: &Manner, kind: &str, entries: &[(&str, Value)]) -> Answer {
    let entries = entries.iter().cloned().chain([("UDID", UDID.into())]);
    let message: Dictionary = entries.map(|(key, value)| (key.to_owned(), value)).collect();
    let message = Value::Dictionary(message);
    let body = if manner.binary {
        let mut body = Vec::new();
        message.to_writer_binary(&mut body).unwrap();
        body
    } else {
        to_xml(&message).as_bytes().to_vec()
    };
    let path = if kind == CHECK_IN { "/mdm/checkin" } else { "/mdm" };
    device
        .client
        .send(manner.method.clone(), path, &[("content-type", kind)], body)
        .await
}

#[tokio::test]
async fn a_whole_enrolment_is_understood_in_every_manner() {
    for binary in [false, true] {
        for method in [Method::PUT, Method::POST] {
            let manner = Manner { binary, method };
            let world = World::new();
            let device = world.invited(UDID).await;
            let check_in = async |kind: &str, entries: &[(&str, Value)]| {
                let entries = [entries, &[("MessageType", kind.into())]].concat();
                let answer = send(&device, &manner, CHECK_IN, &entries).await;
                assert_eq!(answer.status, StatusCode::OK, "{manner:?}: {}", answer.text());
                answer
            };
            let topic = ("Topic", Value::from(TOPIC));
            // Names beyond ASCII, keys that nobody knows, and values of every kind.
            let unknown = Value::Array(vec![1.into(), 2.5.into(), true.into(), "ü".into()]);
            let about = [
                topic.clone(),
                ("ProductName", "Mac16,10".into()),
                ("OSVersion", "15.4".into()),
                ("DeviceName", "Zoës Mac — 東京".into()),
                ("Challenge", Value::Data(vec![0; 300])),
                ("Unheard", unknown),
            ];
            check_in("Authenticate", &about).await;
            let token = ("Token", Value::Data(vec![7; 32]));
            check_in("TokenUpdate", &[topic, token, ("PushMagic", "M-1".into())]).await;
            let bootstrap = [("BootstrapToken", Value::Data(vec![3; 200]))];
            check_in("SetBootstrapToken", &bootstrap).await;
            assert!(!check_in("GetBootstrapToken", &[]).await.body.is_empty());
            let endpoint = [("Endpoint", Value::from("tokens"))];
            let tokens = check_in("DeclarativeManagement", &endpoint).await;
            assert!(tokens.text().contains("DeclarationsToken"), "JSON in any case");

            let report = async |entries: &[(&str, Value)]| {
                send(&device, &manner, "application/x-apple-aspen-mdm", entries).await
            };
            let (_, uuid) = report(&[("Status", "Idle".into())]).await.command().unwrap();
            let done = [("Status", "Acknowledged".into()), ("CommandUUID", uuid.into())];
            assert!(report(&done).await.command().is_some());
            check_in("CheckOut", &[]).await;
            let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
            assert_eq!(enrollment.state, EnrollmentState::Ended);
        }
    }
}

#[tokio::test]
async fn what_a_system_does_not_tell_is_no_reason_to_refuse_it() {
    let world = World::new();
    let device = world.invited(UDID).await;
    let answer = device.check_in("Authenticate", &[("Topic", TOPIC.into())]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    assert_eq!((enrollment.model, enrollment.serial_number), (None, None));
    assert_eq!(enrollment.os_version, "");
}

#[tokio::test]
async fn a_message_that_nobody_knows_is_refused_without_consequences() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    for kind in ["Sing", "", "authenticate", "TokenUpdate "] {
        let answer = device.check_in(kind, &[]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{kind:?}");
    }
    assert_eq!(device.drain().await.len(), 3);
}
