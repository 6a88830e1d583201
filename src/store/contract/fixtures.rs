//! What the stories are made of.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::api::common::{EnrollmentMode, Platform};
use crate::ids::{CommandUuid, Digest, EnrollmentId, Namespace, PushTopic, SerialNumber};
use crate::mdm::command::{NewCommand, Priority, ReportStatus};
use crate::policy::Manifest;
use crate::secret::Secret;
use crate::store::{
    Authentication, Enrollment, EnrollmentState, Invitation, IssuedCertificate, PushAddress, ReportOutcome,
    Store, SystemNews,
};

/// `seconds` after the beginning of the story.
pub(in crate::store) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap() + SignedDuration::from_secs(seconds)
}

pub(in crate::store) fn id(text: &str) -> EnrollmentId {
    EnrollmentId::parse(text).unwrap()
}

pub(in crate::store) fn serial(text: &str) -> SerialNumber {
    SerialNumber::parse(text).unwrap()
}

pub(in crate::store) fn uuid(text: &str) -> CommandUuid {
    CommandUuid::parse(text).unwrap()
}

/// Stands for the digest of a challenge or a certificate.
pub(in crate::store) fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

pub(in crate::store) fn invitation(challenge: &str) -> Invitation {
    Invitation {
        challenge: digest(challenge),
        namespace: Namespace::parse("fleet").unwrap(),
        labels: [("team".to_owned(), "design".to_owned())].into(),
        serial_number: None,
        udid: None,
        expires_at: at(1000),
    }
}

pub(in crate::store) fn certificate(name: &str, device: &EnrollmentId) -> IssuedCertificate {
    IssuedCertificate {
        fingerprint: digest(name),
        key: digest(&format!("key of {name}")),
        enrollment: Some(device.clone()),
        not_after: at(1_000_000),
        namespace: Namespace::parse("fleet").unwrap(),
        labels: [("team".to_owned(), "design".to_owned())].into(),
        serial_number: None,
    }
}

pub(in crate::store) fn authentication(device: &EnrollmentId, certificate: &str) -> Authentication {
    Authentication {
        enrollment: device.clone(),
        certificate: digest(certificate),
        topic: PushTopic::parse("com.apple.mgmt.External.test").unwrap(),
        platform: Platform::MacOS,
        mode: EnrollmentMode::Supervised,
        serial_number: Some(serial("TESTSERIAL01")),
        model: Some("Mac16,10".to_owned()),
        os_version: "26.1".to_owned(),
        build_version: Some("25B78".to_owned()),
        declarative: true,
    }
}

pub(in crate::store) fn push_address(token: &[u8]) -> PushAddress {
    PushAddress {
        topic: PushTopic::parse("com.apple.mgmt.External.test").unwrap(),
        token: Secret::new(token.to_vec()),
        magic: Secret::new("push-magic-of-a-device".to_owned()),
    }
}

/// Invites a device and issues the certificate called `name` to it.
pub(in crate::store) async fn issue(store: &dyn Store, device: &EnrollmentId, name: &str, seconds: i64) {
    let challenge = format!("challenge of {name}");
    let mut invitation = invitation(&challenge);
    invitation.expires_at = at(seconds + 1);
    store.invite(invitation).await.unwrap();
    store
        .issue(digest(&challenge), certificate(name, device), at(seconds))
        .await
        .unwrap()
        .unwrap();
}

/// Enrols a device on a certificate called as it is.
pub(in crate::store) async fn enroll(store: &dyn Store, device: &str) -> EnrollmentId {
    let device = id(device);
    enroll_with(store, &device, device.as_str(), 0).await;
    device
}

/// Enrols a device on a new certificate.
pub(in crate::store) async fn enroll_with(
    store: &dyn Store,
    device: &EnrollmentId,
    certificate: &str,
    seconds: i64,
) -> Enrollment {
    issue(store, device, certificate, seconds).await;
    store
        .authenticate(authentication(device, certificate), at(seconds))
        .await
        .unwrap()
        .unwrap();
    let enrolled = store
        .token_update(device, push_address(b"token"), at(seconds))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(enrolled.state, EnrollmentState::Enrolled);
    enrolled
}

/// A command whose body is like those of all devices but for the UUID.
pub(in crate::store) fn command(device: &EnrollmentId, name: &str) -> NewCommand {
    NewCommand {
        enrollment: device.clone(),
        uuid: uuid(name),
        request_type: "InstallProfile".into(),
        body: body(name).into(),
        intent: None,
        chain: None,
        priority: Priority::Normal,
        deadline: at(100_000),
    }
}

pub(in crate::store) fn body(name: &str) -> String {
    format!("<dict><key>CommandUUID</key><string>{name}</string><key>Command</key>…</dict>")
}

/// The name of the command that a poll (`idle`) or a report is answered with.
pub(in crate::store) async fn next(store: &dyn Store, device: &EnrollmentId, idle: bool) -> Option<String> {
    next_at(store, device, idle, 10).await
}

pub(in crate::store) async fn next_at(
    store: &dyn Store,
    device: &EnrollmentId,
    idle: bool,
    seconds: i64,
) -> Option<String> {
    let offered = store.next_command(device, idle, at(seconds)).await.unwrap()?;
    assert_eq!(
        *offered.body,
        *body(offered.uuid.as_str()),
        "the body is the one that was queued"
    );
    Some(offered.uuid.as_str().to_owned())
}

pub(in crate::store) async fn report(
    store: &dyn Store,
    device: &EnrollmentId,
    name: &str,
    status: ReportStatus,
) -> ReportOutcome {
    store.report(device, &uuid(name), &status, at(20)).await.unwrap()
}

/// What a report says of a system.
pub(in crate::store) fn system(version: &str, build: Option<&str>) -> SystemNews {
    SystemNews {
        os_version: Some(version.to_owned()),
        build_version: build.map(str::to_owned),
        lacks: None,
    }
}

pub(in crate::store) fn manifest(content: &str) -> Arc<Manifest> {
    Arc::new(Manifest {
        id: digest(content),
        declarations_token: content.into(),
        declarations: Vec::new(),
        profiles: Vec::new(),
        users: None,
    })
}
