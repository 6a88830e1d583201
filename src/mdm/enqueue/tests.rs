//! Stories of scripts.

use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::api::common::{EnrollmentMode, Platform};
use crate::clock::{ManualClock, SeededEntropy};
use crate::ids::{Digest, EnrollmentId, Namespace, PushTopic};
use crate::mdm::commands::RAW_COMMAND_LIMIT;
use crate::pki::KeyFile;
use crate::secret::Secret;
use crate::store::sqlite::SqliteStore;
use crate::store::{Arrival, PushAddress, Store, StoreError};

const KEY: &str = "a-key-that-is-long-enough";
const LOCK: &str = "<plist version=\"1.0\"><dict><key>Command</key><dict><key>RequestType</key><string>DeviceLock</string></dict>\
    <key>CommandUUID</key><string>lock-1</string></dict></plist>";

/// Wakes whoever has a push address, and remembers whom.
struct Bell {
    store: Arc<dyn Store>,
    rung: Mutex<Vec<String>>,
    certificate: bool,
}

impl Waker for Bell {
    fn wake<'a>(
        &'a self,
        enrollments: &'a [EnrollmentId],
    ) -> BoxFuture<'a, Result<Vec<(EnrollmentId, NotWoken)>, StoreError>> {
        async move {
            let mut failures = Vec::new();
            for id in enrollments {
                if !self.certificate {
                    failures.push((id.clone(), NotWoken::NoCertificate));
                } else if self.store.push_address(id).await?.is_none() {
                    failures.push((id.clone(), NotWoken::NoAddress));
                } else {
                    self.rung.lock().unwrap().push(id.as_str().to_owned());
                }
            }
            Ok(failures)
        }
        .boxed()
    }
}

struct Desktop {
    desk: Desk,
    bell: Arc<Bell>,
    _directory: tempfile::TempDir,
}

impl Desktop {
    async fn with(devices: impl IntoIterator<Item = String>) -> Self {
        Self::new(devices, true).await
    }

    async fn new(devices: impl IntoIterator<Item = String>, certificate: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sealer = KeyFile::open(&directory.path().join("key"), SeededEntropy::new(1)).unwrap();
        let store = SqliteStore::open(&directory.path().join("store.db"), Arc::new(sealer)).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let arrivals: Vec<Arrival> = devices.into_iter().map(|device| arrival(&device)).collect();
        store
            .take_over(arrivals.into(), Timestamp::UNIX_EPOCH)
            .await
            .unwrap();
        let bell = Arc::new(Bell {
            store: store.clone(),
            rung: Mutex::default(),
            certificate,
        });
        let desk = Desk {
            store,
            waker: bell.clone(),
            clock: Arc::new(ManualClock::new("2026-11-24T00:00:00Z".parse().unwrap())),
            entropy: Arc::new(SeededEntropy::new(2)),
        };
        Self {
            desk,
            bell,
            _directory: directory,
        }
    }

    /// As `curl` would.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        password: Option<&str>,
        body: impl Into<Body>,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(password) = password {
            let credentials = STANDARD.encode(format!("nanomdm:{password}"));
            request = request.header("authorization", format!("Basic {credentials}"));
        }
        let router = router(self.desk.clone(), Key::new(&format!("{KEY}\n")).unwrap());
        let response = router.oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            assert!(
                response.headers()["www-authenticate"]
                    .to_str()
                    .unwrap()
                    .starts_with("Basic")
            );
        }
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn pending(&self, id: &str) -> Vec<String> {
        let pending = self
            .desk
            .store
            .pending(&EnrollmentId::parse_with_user(id).unwrap())
            .await
            .unwrap();
        pending
            .iter()
            .map(|command| command.uuid.as_str().to_owned())
            .collect()
    }
}

/// A phone whose name ends with `q` has told no push address, and one whose name begins with `E` is a personal one.
fn arrival(device: &str) -> Arrival {
    let topic = PushTopic::parse("t").unwrap();
    Arrival {
        enrollment: EnrollmentId::parse(device).unwrap(),
        namespace: Namespace::parse("fleet").unwrap(),
        labels: [].into(),
        certificate: Some(Digest::of(device.as_bytes())),
        platform: Platform::IOS,
        mode: if device.starts_with('E') {
            EnrollmentMode::User
        } else {
            EnrollmentMode::Device
        },
        serial_number: None,
        model: None,
        os_version: "26.1".to_owned(),
        declarative: true,
        topic: Some(topic.clone()),
        push: (!device.ends_with('q')).then(|| PushAddress {
            topic,
            token: Secret::new(vec![1]),
            magic: Secret::new("m".to_owned()),
        }),
        unlock_token: None,
        bootstrap_token: None,
    }
}

fn names<const N: usize>(names: [&str; N]) -> [String; N] {
    names.map(str::to_owned)
}

#[tokio::test]
async fn a_command_goes_into_the_queue_of_each_and_they_are_woken() {
    let desktop = Desktop::with(names(["A", "B"])).await;
    let (status, answer) = desktop.ask(Method::PUT, "/v1/enqueue/A,B", Some(KEY), LOCK).await;
    assert_eq!(status, StatusCode::OK);
    let expected = json!({
        "command_uuid": "lock-1", "request_type": "DeviceLock",
        "status": { "A": { "push_result": "scheduled" }, "B": { "push_result": "scheduled" } },
    });
    assert_eq!(answer, expected);
    assert_eq!(
        (desktop.pending("A").await, desktop.pending("B").await),
        (vec!["lock-1".to_owned()], vec!["lock-1".to_owned()])
    );
    assert_eq!(*desktop.bell.rung.lock().unwrap(), ["A", "B"]);
    let queued = desktop
        .desk
        .store
        .pending(&EnrollmentId::parse("A").unwrap())
        .await
        .unwrap();
    assert_eq!(
        queued[0].deadline,
        desktop.desk.clock.now() + SignedDuration::from_hours(30 * 24)
    );

    // Sent again, since the answer got lost.
    let (status, _) = desktop.ask(Method::PUT, "/v1/enqueue/A,B", Some(KEY), LOCK).await;
    assert_eq!((status, desktop.pending("A").await.len()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn each_id_says_what_is_wrong_with_it_and_keeps_no_other_from_its_command() {
    let desktop = Desktop::with(names(["A", "Bq", "E1"])).await;
    let erase = LOCK.replace("DeviceLock", "EraseDevice");
    let (status, answer) = desktop
        .ask(
            Method::PUT,
            "/v1/enqueue/A,Bq,nobody,a%20b,E1,A,,A:u?nopush=1",
            Some(KEY),
            erase.clone(),
        )
        .await;
    assert_eq!(status, StatusCode::MULTI_STATUS);
    assert_eq!(answer["no_push"], true);
    let errors = [
        ("nobody", "no such enrolment"),
        ("a b", "enrolment id may not hold the character ' '"),
        ("E1", "the command is never sent to a personal device"),
        ("A:u", "no such enrolment"),
    ];
    assert_eq!(
        answer["status"].as_object().unwrap().len(),
        errors.len(),
        "{answer}"
    );
    for (id, error) in errors {
        assert_eq!(answer["status"][id]["command_error"], error);
    }
    assert!(desktop.bell.rung.lock().unwrap().is_empty());

    let (status, answer) = desktop
        .ask(Method::PUT, "/v1/enqueue/A,Bq", Some(KEY), LOCK)
        .await;
    assert_eq!(
        status,
        StatusCode::OK,
        "it is queued, and taken when the device comes by itself"
    );
    assert_eq!(answer["status"]["Bq"]["push_error"], "no push address is known");
    let (status, answer) = desktop
        .ask(Method::PUT, "/v1/enqueue/nobody", Some(KEY), LOCK)
        .await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer["status"]["nobody"]["command_error"], "no such enrolment");
}

#[tokio::test]
async fn a_command_without_a_uuid_is_given_one() {
    let desktop = Desktop::with(names(["A"])).await;
    let bare = LOCK.replace("<key>CommandUUID</key><string>lock-1</string>", "");
    let (status, answer) = desktop.ask(Method::POST, "/v1/enqueue/A", Some(KEY), bare).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        desktop.pending("A").await,
        [answer["command_uuid"].as_str().unwrap()]
    );
}

#[tokio::test]
async fn nobody_comes_in_without_the_key() {
    let desktop = Desktop::with(names(["A"])).await;
    for password in [
        None,
        Some("wrong"),
        Some(""),
        Some(&KEY[1..]),
        Some("a-key-that-is-long-enough "),
    ] {
        for (method, path) in [
            (Method::PUT, "/v1/enqueue/A"),
            (Method::GET, "/v1/push/A"),
            (Method::GET, "/version"),
        ] {
            let (status, _) = desktop.ask(method, path, password, LOCK).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {password:?}");
        }
    }
    assert!(desktop.pending("A").await.is_empty());
    let (status, answer) = desktop.ask(Method::GET, "/version", Some(KEY), "").await;
    assert_eq!((status, answer["version"].is_string()), (StatusCode::OK, true));
    assert_eq!(Key::new(" short \n").unwrap_err(), KeyError::TooShort(5));
}

#[tokio::test]
async fn what_is_no_command_is_told_why_and_queues_nothing() {
    let desktop = Desktop::with(names(["A"])).await;
    let large = vec![b' '; RAW_COMMAND_LIMIT + 1];
    for (body, status, told) in [
        (b"nonsense".to_vec(), StatusCode::BAD_REQUEST, "cannot be read"),
        (Vec::new(), StatusCode::BAD_REQUEST, "cannot be read"),
        (
            b"<plist><dict/></plist>".to_vec(),
            StatusCode::BAD_REQUEST,
            "`Command`",
        ),
        (large, StatusCode::PAYLOAD_TOO_LARGE, "more than the"),
    ] {
        let (answered, answer) = desktop.ask(Method::PUT, "/v1/enqueue/A", Some(KEY), body).await;
        assert_eq!(answered, status, "{answer}");
        let error = answer
            .get("command_error")
            .or_else(|| answer.get("error"))
            .unwrap();
        assert!(error.as_str().unwrap().contains(told), "{answer}");
    }
    let many = vec!["A"; 10_001].join(",");
    let (status, _) = desktop
        .ask(Method::PUT, &format!("/v1/enqueue/{many}"), Some(KEY), LOCK)
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(desktop.pending("A").await.is_empty());
}

#[tokio::test]
async fn devices_are_woken_for_nothing_where_a_script_says_so() {
    let desktop = Desktop::with(names(["A", "Bq"])).await;
    for method in [Method::GET, Method::PUT] {
        let (status, answer) = desktop.ask(method, "/v1/push/A,Bq", Some(KEY), "").await;
        assert_eq!(status, StatusCode::MULTI_STATUS);
        let expected = json!({ "status": {
            "A": { "push_result": "scheduled" }, "Bq": { "push_error": "no push address is known" },
        } });
        assert_eq!(answer, expected);
    }
    assert_eq!(*desktop.bell.rung.lock().unwrap(), ["A", "A"]);

    let silent = Desktop::new(names(["A"]), false).await;
    let (status, answer) = silent.ask(Method::GET, "/v1/push/A", Some(KEY), "").await;
    assert_eq!(
        (status, answer),
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({ "push_error": "no push certificate is installed" })
        )
    );
    let (status, answer) = silent.ask(Method::PUT, "/v1/enqueue/A", Some(KEY), LOCK).await;
    assert_eq!(
        status,
        StatusCode::OK,
        "a device that comes by itself takes it: {answer}"
    );
}

#[tokio::test]
async fn one_bad_id_does_not_keep_forty_thousand_from_their_command() {
    const MANY: usize = 40_000;
    let ids: Vec<String> = (0..MANY).map(|number| format!("D{number:05}")).collect();
    let desktop = Desktop::with(ids.iter().filter(|id| *id != "D20000").cloned()).await;
    let asked: Vec<&str> = ids.iter().map(String::as_str).collect();
    let answer = desktop.desk.enqueue(&asked, LOCK.as_bytes(), true).await;
    assert_eq!(answer.outcome, Outcome::Some);
    assert_eq!(answer.status.len(), 1);
    assert_eq!(
        answer.status["D20000"].command_error.as_deref(),
        Some("no such enrolment")
    );
    for id in ["D00000", "D20001", "D39999"] {
        assert_eq!(desktop.pending(id).await, ["lock-1"]);
    }
    let mut queued = desktop.desk.store.with_pending(None, MANY).await.unwrap();
    queued.dedup();
    assert_eq!(queued.len(), MANY - 1);
}
