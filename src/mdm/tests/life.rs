//! From the invitation to the end of an enrolment.

use axum::http::{Method, StatusCode};
use plist::Value;

use super::world::{World, dictionary, manifest};
use crate::compliance::Source;
use crate::mdm::commands::Command;
use crate::mdm::metrics::RequestLabels;
use crate::store::{Change, EnrollmentState};

const UDID: &str = "A0000000-0000-4000-8000-000000000001";

#[tokio::test]
async fn an_invited_device_enrols_and_answers_the_first_questions() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    assert_eq!(enrollment.state, EnrollmentState::Enrolled);
    assert_eq!(enrollment.namespace.as_str(), "fleet");
    assert_eq!(enrollment.labels["team"], "design");
    assert!(enrollment.declarative);

    let (kind, uuid) = device.idle().await.command().unwrap();
    assert_eq!(kind, "DeviceInformation");
    let system = dictionary(&[("OSVersion", "15.5".into()), ("BuildVersion", "24F74".into())]);
    let next = device.acknowledge(&uuid, &[("QueryResponses", system)]).await;
    let (kind, uuid) = next.command().unwrap();
    assert_eq!(kind, "SecurityInfo");
    let protection = dictionary(&[
        ("FDE_Enabled", true.into()),
        ("FDE_PersonalRecoveryKeyCMS", Value::Data(b"the key".to_vec())),
    ]);
    let next = device.acknowledge(&uuid, &[("SecurityInfo", protection)]).await;
    let (kind, uuid) = next.command().unwrap();
    assert_eq!(kind, "DeclarativeManagement");
    assert_eq!(device.acknowledge(&uuid, &[]).await.command(), None);

    let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    assert_eq!(enrollment.os_version, "15.5");
    assert_eq!(enrollment.build_version.as_deref(), Some("24F74"));
    let facts = world.store.facts(&device.id()).await.unwrap();
    let protection = &facts.reports[&Source::SecurityInfo].value;
    assert_eq!(*protection, serde_json::json!({"FDE_Enabled": true}));
    assert_eq!(world.store.results(&device.id(), 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn only_the_first_token_update_asks_the_first_questions() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    assert_eq!(device.drain().await.len(), 3);
    device.token_update().await;
    assert_eq!(device.idle().await.command(), None);
    // Enrolling anew is being a stranger anew, even if nothing has changed here.
    device.enroll().await;
    assert_eq!(
        device.drain().await,
        ["DeviceInformation", "SecurityInfo", "DeclarativeManagement"]
    );
}

#[tokio::test]
async fn a_device_without_declarations_proves_its_manifest_by_its_profiles() {
    let world = World::new();
    let device = world.enrolled_old(UDID).await;
    assert_eq!(
        device.drain().await,
        ["DeviceInformation", "SecurityInfo", "ProfileList"]
    );
    let manifest = manifest("t-1", &[]);
    world.point(&device, &manifest).await;
    let install = Command::InstallProfile {
        identifier: "dev.provost.profile.a".into(),
        profile: manifest.profiles[0].body.clone(),
    };
    world.enqueue(&device, &install, "c-1").await;

    let (kind, uuid) = device.idle().await.command().unwrap();
    assert_eq!(kind, "InstallProfile");
    // That it says so proves nothing: it is asked for its list.
    let (kind, uuid) = device.acknowledge(&uuid, &[]).await.command().unwrap();
    assert_eq!(kind, "ProfileList");
    let applied = async || {
        let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
        enrollment.applied_manifest
    };
    assert_eq!(applied().await, None);
    let held = dictionary(&[
        ("PayloadIdentifier", "dev.provost.profile.a".into()),
        ("PayloadUUID", "U-t-1".into()),
    ]);
    device
        .acknowledge(&uuid, &[("ProfileList", Value::Array(vec![held.clone()]))])
        .await;
    assert_eq!(applied().await, Some(manifest.id));
}

#[tokio::test]
async fn a_repeated_or_unknown_acknowledgement_does_no_harm() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let (_, first) = device.idle().await.command().unwrap();
    device.acknowledge(&first, &[]).await;
    for uuid in [first.as_str(), "never-heard-of", "c\u{7f}d", ""] {
        let answer = device.acknowledge(uuid, &[]).await;
        assert!(answer.command().is_some(), "nothing to do after {uuid:?}");
    }
    assert_eq!(world.store.pending(&device.id()).await.unwrap().len(), 2);
    assert_eq!(world.store.results(&device.id(), 10).await.unwrap().len(), 1);
    assert_eq!(device.drain().await.len(), 2);
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_counted_and_answered() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let (_, uuid) = device.idle().await.command().unwrap();
    assert_eq!(device.reply(&uuid, "Foo", &[]).await.status, StatusCode::OK);
    assert_eq!(world.store.pending(&device.id()).await.unwrap().len(), 3);
    let (kind, status) = ("Other", 200);
    let counted = world
        .metrics
        .requests
        .get_or_create(&RequestLabels { kind, status });
    assert_eq!(counted.get(), 1);
}

#[tokio::test]
async fn a_command_that_must_wait_holds_up_no_other() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let (first, uuid) = device.idle().await.command().unwrap();
    let (second, other) = device.reply(&uuid, "NotNow", &[]).await.command().unwrap();
    assert_ne!(first, second);
    let (_, third) = device.acknowledge(&other, &[]).await.command().unwrap();
    // It is not offered again before the device goes idle.
    assert_eq!(device.acknowledge(&third, &[]).await.command(), None);
    assert_eq!(device.idle().await.command(), Some((first, uuid)));
}

#[tokio::test]
async fn a_stuck_command_does_not_hold_up_the_others_for_ever() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let mut offered = std::collections::BTreeSet::new();
    for _ in 0..40 {
        // The device never reports, for it crashes over the first.
        if let Some((kind, _)) = device.idle().await.command() {
            offered.insert(kind);
        }
    }
    assert!(offered.len() > 1, "only ever {offered:?}");
}

#[tokio::test]
async fn checking_out_ends_the_enrolment_and_its_certificate() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let mut changes = world.store.changes();
    assert_eq!(device.check_in("CheckOut", &[]).await.status, StatusCode::OK);
    assert_eq!(changes.recv().await.unwrap(), Change::Enrollment(device.id()));
    assert_eq!(device.check_in("CheckOut", &[]).await.status, StatusCode::OK);

    let refused = device.idle().await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.headers["content-type"], "application/json");
    let body: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(body["code"], "com.apple.unrecognized.device");
    // The old certificate does not open the door again; a new invitation does.
    assert_eq!(device.authenticate().await.status, StatusCode::BAD_REQUEST);
    world.enrolled(UDID).await;
    assert_eq!(device.idle().await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_device_marked_for_removal_is_told_to_go_until_it_has() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    assert!(
        world
            .store
            .remove_at_next_contact(&device.id(), jiff::Timestamp::UNIX_EPOCH)
            .await
            .unwrap()
    );
    let first = device.idle().await;
    let (kind, uuid) = first.command().unwrap();
    assert_eq!(kind, "RemoveProfile");
    assert!(first.text().contains("dev.provost.mdm"));
    assert_eq!(device.reply(&uuid, "NotNow", &[]).await.command(), None);
    assert_eq!(
        device.idle().await.body,
        first.body,
        "another command than before"
    );
    assert_eq!(device.acknowledge(&uuid, &[]).await.command(), None);
    let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    assert_eq!(enrollment.state, EnrollmentState::Ended);
    assert_eq!(device.idle().await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn check_in_messages_may_come_to_the_one_url_there_is() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let body = "<plist><dict><key>MessageType</key><string>GetBootstrapToken</string>\
                <key>UDID</key><string>A0000000-0000-4000-8000-000000000001</string></dict></plist>";
    for (method, path, kind) in [
        (
            Method::PUT,
            "/mdm",
            "application/x-apple-aspen-mdm-checkin; charset=utf-8",
        ),
        (Method::POST, "/mdm", "application/x-apple-aspen-mdm-checkin"),
        (Method::PUT, "/mdm/checkin", "application/xml"),
    ] {
        let answer = device
            .client
            .send(method, path, &[("content-type", kind)], body.into())
            .await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
        assert!(answer.headers.contains_key("x-request-id"));
    }
}

#[tokio::test]
async fn contacts_are_noted_in_memory_and_written_together() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    assert_eq!(world.store.last_seen(&device.id()).await.unwrap(), None);
    world.seen.flush(&*world.store).await.unwrap();
    let seen = world.store.last_seen(&device.id()).await.unwrap();
    assert_eq!(seen, Some("2026-11-24T00:00:00Z".parse().unwrap()));
}

#[tokio::test]
async fn nothing_is_written_because_a_device_polls() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    device.drain().await;
    let before = world.database();
    for _ in 0..20 {
        assert_eq!(device.idle().await.command(), None);
    }
    assert_eq!(world.database(), before);
    world.enqueue(&device, &Command::SecurityInfo, "c-1").await;
    assert_ne!(world.database(), before, "what is written is seen");
}
