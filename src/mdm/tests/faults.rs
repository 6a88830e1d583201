//! The store fails, at any call: the device is told to come back, and loses nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use plist::Value;
use tokio::sync::broadcast;

use super::renewing::renew;
use super::world::{Answer, Client, Device, World, dictionary, manifest};
use crate::compliance::Facts;
use crate::ids::{CommandUuid, Digest, EnrollmentId, PushTopic};
use crate::mdm::checkin;
use crate::mdm::command::{NewCommand, OfferedCommand, PendingCommand, ReportStatus};
use crate::mdm::gateway::Failure;
use crate::mdm::gateway::token_service::TokenServiceError;
use crate::mdm::http::{Limits, status_of};
use crate::mdm::{ddm, peer, plist as codec, sender};
use crate::policy::Manifest;
use crate::secret::Secret;
use crate::store::{
    Arrival, Arrived, Authentication, Change, CommandResult, Ending, Enrollment, EnrollmentState, Escrow,
    FactsChange, Invitation, IssuedCertificate, NotQueued, NotTaken, PushAddress, PushRefusal, Refusal,
    Reissued, ReportOutcome, Store, StoreError, SystemNews, Transition, Verdicts, Wakeable,
};

#[test]
fn every_failure_has_the_status_that_a_device_may_see() {
    let database = || StoreError::Database {
        action: "do it",
        source: "broken".into(),
    };
    let damaged = || StoreError::Damaged {
        what: "thing",
        source: "broken".into(),
    };
    for (failure, status) in [
        (Failure::Peer(peer::Error::Absent), 400),
        (Failure::Stranger, 400),
        (Failure::AnotherDevice, 400),
        (Failure::Ended, 403),
        (Failure::Refused(Refusal::WrongCertificate), 400),
        (Failure::NotAuthenticated, 400),
        (Failure::NoUserChannel, 400),
        (Failure::Plist(codec::Error::TooDeep), 400),
        (Failure::Plist(codec::Error::TooLarge { bytes: 9 }), 413),
        (
            Failure::CheckIn(checkin::Error::Sender(sender::Error::Anonymous)),
            400,
        ),
        (Failure::Sender(sender::Error::User), 400),
        (Failure::Endpoint(ddm::EndpointError), 400),
        (Failure::Status(ddm::StatusError::Empty), 400),
        (Failure::DeviceChannel { message: "m" }, 400),
        (Failure::UserChannel { message: "m" }, 400),
        (Failure::UnknownMessage { name: "m".into() }, 400),
        (Failure::NotOffered { message: "m" }, 400),
        (Failure::UserDeclined, 410),
        (Failure::NotFound, 404),
        (Failure::Store(database()), 503),
        (Failure::Store(StoreError::Closed), 503),
        (Failure::Store(damaged()), 500),
        (Failure::ManifestMissing, 503),
        (Failure::TokenService(TokenServiceError("broken".into())), 503),
        (Failure::Stopping, 503),
    ] {
        assert_eq!(status_of(&failure).as_u16(), status, "{failure:?}");
    }
}

/// A store whose next call but `countdown` fails.
struct Faulty {
    store: Arc<dyn Store>,
    countdown: Arc<AtomicI64>,
}

impl Faulty {
    fn fault(&self) -> Result<(), StoreError> {
        if self.countdown.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(StoreError::Database {
                action: "do it",
                source: "on purpose".into(),
            });
        }
        Ok(())
    }
}

macro_rules! faulty {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $value:ty;)*) => {
        #[async_trait]
        impl Store for Faulty {
            $(async fn $name(&self, $($argument: $kind),*) -> Result<$value, StoreError> {
                self.fault()?;
                self.store.$name($($argument),*).await
            })*

            fn changes(&self) -> broadcast::Receiver<Change> {
                self.store.changes()
            }
        }
    };
}

faulty! {
    invite(invitation: Invitation) -> ();
    invitation(challenge: Digest, enrollment: Option<&EnrollmentId>, key: Digest, now: Timestamp) -> Result<Invitation, Refusal>;
    issue(challenge: Digest, certificate: IssuedCertificate, now: Timestamp) -> Result<(), Refusal>;
    reissue(by: Digest, certificate: Reissued, now: Timestamp) -> Result<(), Refusal>;
    answer(message: Digest) -> Option<Vec<u8>>;
    keep_answer(message: Digest, certificate: Vec<u8>, until: Timestamp) -> Vec<u8>;
    renew(by: Digest, certificate: IssuedCertificate, now: Timestamp) -> Result<(), Refusal>;
    authenticate(authentication: Authentication, now: Timestamp) -> Result<Enrollment, Refusal>;
    token_update(enrollment: &EnrollmentId, push: PushAddress, now: Timestamp) -> Option<Enrollment>;
    weigh_arrivals(arrivals: Arc<[Arrival]>) -> Vec<Result<Arrived, NotTaken>>;
    take_over(arrivals: Arc<[Arrival]>, now: Timestamp) -> Vec<Result<Arrived, NotTaken>>;
    enrollment(id: &EnrollmentId) -> Option<Enrollment>;
    enrollment_by_certificate(fingerprint: Digest, now: Timestamp) -> Option<Arc<Enrollment>>;
    adopt(fingerprint: Digest, now: Timestamp) -> Option<Enrollment>;
    enrollments(after: Option<&EnrollmentId>, limit: usize) -> Vec<Enrollment>;
    users(device: &EnrollmentId) -> Vec<Enrollment>;
    end(enrollment: &EnrollmentId, ending: Ending, now: Timestamp) -> bool;
    remove_at_next_contact(enrollment: &EnrollmentId, now: Timestamp) -> bool;
    update_system(enrollment: &EnrollmentId, news: SystemNews) -> ();
    push_address(enrollment: &EnrollmentId) -> Option<PushAddress>;
    wakeable(enrollment: &EnrollmentId) -> Option<Wakeable>;
    push_topic(enrollment: &EnrollmentId) -> Option<PushTopic>;
    push_topics() -> BTreeMap<PushTopic, u32>;
    drop_push_address(enrollment: &EnrollmentId, token: &[u8], since: Option<Timestamp>) -> bool;
    refuse_push_address(enrollment: &EnrollmentId, token: &[u8], refusal: PushRefusal) -> ();
    readmit_push_addresses() -> usize;
    keep_escrow(enrollment: &EnrollmentId, kind: Escrow, secret: Option<Secret<Vec<u8>>>) -> bool;
    escrow(enrollment: &EnrollmentId, kind: Escrow) -> Option<Secret<Vec<u8>>>;
    await_configuration(enrollment: &EnrollmentId, awaiting: bool) -> ();
    awaiting_configuration(before: Timestamp, limit: usize) -> Vec<Enrollment>;
    seen(times: &[(EnrollmentId, Timestamp)]) -> ();
    last_seen(enrollment: &EnrollmentId) -> Option<Timestamp>;
    enqueue(commands: Vec<NewCommand>, now: Timestamp) -> Vec<NotQueued>;
    cancel(enrollment: &EnrollmentId, uuid: &CommandUuid, reason: &str, now: Timestamp) -> bool;
    next_command(enrollment: &EnrollmentId, idle: bool, now: Timestamp) -> Option<OfferedCommand>;
    report(enrollment: &EnrollmentId, uuid: &CommandUuid, status: &ReportStatus, now: Timestamp) -> ReportOutcome;
    report_and_next(enrollment: &EnrollmentId, uuid: &CommandUuid, status: &ReportStatus, now: Timestamp)
        -> (ReportOutcome, Option<OfferedCommand>);
    pending(enrollment: &EnrollmentId) -> Vec<PendingCommand>;
    with_pending(after: Option<&EnrollmentId>, limit: usize) -> Vec<EnrollmentId>;
    results(enrollment: &EnrollmentId, limit: usize) -> Vec<CommandResult>;
    keep_manifest(manifest: Arc<Manifest>) -> ();
    manifest(id: Digest) -> Option<Arc<Manifest>>;
    point(pointers: &[(EnrollmentId, Digest)], now: Timestamp) -> usize;
    advertise(enrollment: &EnrollmentId, manifest: Digest) -> ();
    applied(enrollment: &EnrollmentId, manifest: Digest) -> bool;
    collect_manifests() -> usize;
    facts(enrollment: &EnrollmentId) -> Facts;
    update_facts(enrollment: &EnrollmentId, change: FactsChange) -> bool;
    verdicts(enrollment: &EnrollmentId) -> Verdicts;
    record_verdicts(enrollment: &EnrollmentId, verdicts: Verdicts, transitions: Vec<Transition>) -> ();
    transitions(enrollment: &EnrollmentId, limit: usize) -> Vec<Transition>;
}

#[tokio::test]
async fn no_fault_of_the_store_is_answered_by_what_makes_a_device_leave() {
    const UDID: &str = "A0000000-0000-4000-8000-000000000001";
    let countdown = Arc::new(AtomicI64::new(i64::MAX));
    let inner = Arc::clone(&countdown);
    let between = move |store| -> Arc<dyn Store> {
        Arc::new(Faulty {
            store,
            countdown: inner,
        })
    };
    let world = World::with(between, Limits::default());
    let enrolled = world.enrolled(UDID).await;
    let stranger = world.invited("A0000000-0000-4000-8000-000000000002").await;
    let challenge = world.invitation(None, None).await;
    let check_ins = [
        "Authenticate",
        "TokenUpdate",
        "UserAuthenticate",
        "SetBootstrapToken",
        "GetBootstrapToken",
        "GetToken",
        "DeclarativeManagement",
        "Nonsense",
        "CheckOut",
    ];
    for fault in 0..6 {
        let arm = || countdown.store(fault, Ordering::SeqCst);
        let mut answers = Vec::new();
        for device in [&enrolled, &stranger] {
            for message in check_ins {
                arm();
                answers.push(device.check_in(message, &[("Endpoint", "tokens".into())]).await);
            }
            arm();
            answers.push(device.authenticate().await);
            for status in ["Acknowledged", "Error", "NotNow", "Nonsense"] {
                arm();
                answers.push(device.reply("c-1", status, &[]).await);
            }
            arm();
            answers.push(device.idle().await);
            arm();
            let path = format!("/mdm/profiles/{}", Digest::of(b"p"));
            answers.push(device.client.send(Method::GET, &path, &[], vec![]).await);
        }
        arm();
        answers.push(world.request_identity(&challenge, UDID).await.0);
        for answer in answers {
            assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
            // Only who has checked out is told to leave, and that was its own doing.
            if answer.status == StatusCode::FORBIDDEN {
                assert!(
                    world
                        .store
                        .enrollment(&enrolled.id())
                        .await
                        .unwrap()
                        .is_some_and(|found| { found.state == EnrollmentState::Ended })
                );
            }
        }
        countdown.store(i64::MAX, Ordering::SeqCst);
    }
}

/// Sends one request again and again, with the first, the second … call to the store failing, until it gets through without a fault.
/// Returns the answer and how many faults it took.
async fn through_every_fault(countdown: &AtomicI64, send: impl AsyncFn() -> Answer) -> (Answer, i64) {
    for fault in 0.. {
        countdown.store(fault, Ordering::SeqCst);
        let answer = send().await;
        let untouched = countdown.swap(i64::MAX, Ordering::SeqCst) >= 0;
        if untouched {
            return (answer, fault);
        }
        assert_eq!(
            answer.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "with call {fault} failing: {}",
            answer.text()
        );
        assert!(answer.headers.contains_key("retry-after"));
    }
    unreachable!("a request makes finitely many calls");
}

#[tokio::test]
async fn whichever_call_fails_the_device_comes_back_and_loses_nothing() {
    const UDID: &str = "A0000000-0000-4000-8000-000000000001";
    let countdown = Arc::new(AtomicI64::new(i64::MAX));
    let inner = Arc::clone(&countdown);
    let between = move |store| -> Arc<dyn Store> {
        Arc::new(Faulty {
            store,
            countdown: inner,
        })
    };
    let world = World::with(between, Limits::default());
    let (chain, key) = world.identity(UDID).await;
    let device = Device {
        udid: UDID.to_owned(),
        os_version: "15.4".into(),
        client: Client::with_identity(&world, &chain, &key),
    };
    let manifest = manifest("t-1", &[("conf", "s-1")]);
    let mut faults = 0;
    macro_rules! through {
        ($send:expr) => {{
            let (answer, count) = through_every_fault(&countdown, async || $send.await).await;
            assert!(count > 0, "no call to the store at all");
            faults += count;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
            answer
        }};
    }

    through!(device.authenticate());
    through!(device.token_update());
    let (kind, uuid) = through!(device.idle()).command().unwrap();
    assert_eq!(kind, "DeviceInformation");
    let system = dictionary(&[("OSVersion", "15.5".into())]);
    through!(device.acknowledge(&uuid, &[("QueryResponses", system.clone())]));
    world.point(&device, &manifest).await;
    through!(device.declarative("tokens", None));
    through!(device.declarative("declaration-items", None));
    through!(device.declarative("declaration/configuration/conf", None));
    let report = r#"{"StatusItems":{"management":{"declarations":{"activations":[],"assets":[],"management":[],
        "configurations":[{"identifier":"conf","server-token":"s-1","active":true,"valid":"valid"}]}}}}"#;
    through!(device.declarative("status", Some(report)));
    let before = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    let profile = format!("/mdm/profiles/{}", manifest.profiles[0].digest);
    through!(device.client.send(Method::GET, &profile, &[], vec![]));

    let (chain, key) = renew(&world, &chain, UDID).await.unwrap();
    let device = Device {
        client: Client::with_identity(&world, &chain, &key),
        ..device
    };
    through!(device.declarative("tokens", None));

    let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    assert_eq!(enrollment.token_updates, 1);
    assert_ne!(enrollment.certificate, before.certificate);
    assert_eq!(enrollment.os_version, "15.5");
    assert_eq!(enrollment.applied_manifest, Some(manifest.id));
    // Each of the first questions once, however often the token came.
    let kinds: Vec<_> = world.store.pending(&device.id()).await.unwrap();
    let kinds: Vec<_> = kinds.iter().map(|command| &*command.request_type).collect();
    assert_eq!(kinds, ["SecurityInfo", "DeclarativeManagement"]);

    world
        .store
        .remove_at_next_contact(&device.id(), Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    let (_, removal) = through!(device.idle()).command().unwrap();
    through!(device.acknowledge(&removal, &[("ErrorChain", Value::Array(vec![]))]));
    through!(device.check_in("CheckOut", &[]));
    assert!(faults > 15, "only {faults} faults");
}
