//! One contract for every adapter, against the simulated push service over real TLS.
//!
//! `a2` knows Apple's two hosts and no other, so its run happens in a network and mount namespace of its own where
//! the sandbox host's name leads to the simulated service and its CA is the only one trusted.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::certificate::fixtures::certificate;
use super::certificate::tests::TOPIC;
use super::*;
use crate::clock::SystemClock;
use crate::simulator::apns::{Delivery, FakeApns, FakeApnsSettings, Fault, PushSink, TlsIdentity};

const SANDBOX: &str = "api.sandbox.push.apple.com";
const LIVE: [u8; 4] = [0xAB, 0xCD, 0x00, 0x01];
const GONE: [u8; 4] = [0xAB, 0xCD, 0x00, 0x02];

#[derive(Default)]
struct Phone(Mutex<Vec<String>>);

impl PushSink for Phone {
    fn deliver(&self, push: &Delivery) {
        self.0.lock().unwrap().push(push.push_magic.clone());
    }
}

fn push_certificate() -> PushCertificate {
    let (chain, key) = certificate(TOPIC);
    PushCertificate::from_pem(&chain, &key).unwrap()
}

pub(super) async fn service(listen: &str, names: &[&str], require_client_certificate: bool) -> FakeApns {
    let listen: SocketAddr = listen.parse().unwrap();
    let identity = TlsIdentity::generate(names).unwrap();
    FakeApns::start(FakeApnsSettings {
        listen,
        identity,
        require_client_certificate,
    })
    .await
    .unwrap()
}

fn request(token: &[u8]) -> PushRequest {
    PushRequest {
        token: token.to_vec(),
        push_magic: "M-1".to_owned(),
        topic: TOPIC.to_owned(),
        expiration: Timestamp::from_second(1_800_000_000).unwrap(),
    }
}

async fn category(pusher: &dyn Pusher, request: PushRequest) -> &'static str {
    pusher
        .push(request)
        .await
        .as_ref()
        .err()
        .map_or("accepted", PushError::category)
}

/// What every adapter must do.
async fn meets_the_contract(pusher: &dyn Pusher, apns: &FakeApns) {
    let phone = Arc::new(Phone::default());
    for token in [LIVE, GONE] {
        apns.attach(
            token.to_vec(),
            TOPIC.into(),
            Arc::clone(&phone) as Arc<dyn PushSink>,
        );
    }
    apns.detach(&GONE);

    assert_eq!(category(pusher, request(&LIVE)).await, "accepted");
    assert_eq!(*phone.0.lock().unwrap(), ["M-1"]);
    let sent = apns.recent().pop().unwrap();
    assert_eq!(sent.token, "abcd0001");
    assert_eq!(sent.topic, TOPIC);
    assert_eq!(sent.push_type, "mdm");
    assert_eq!(sent.priority, "10");
    assert_eq!(sent.expiration, "1800000000");
    assert_eq!(sent.body, r#"{"mdm":"M-1"}"#);
    assert!(sent.client_certificate);

    assert_eq!(category(pusher, request(&GONE)).await, "unregistered");
    assert_eq!(category(pusher, request(&[1, 2, 3])).await, "address_refused");
    let other_topic = PushRequest {
        topic: "com.apple.mgmt.External.u".to_owned(),
        ..request(&LIVE)
    };
    assert_eq!(category(pusher, other_topic).await, "address_refused");
    for (status, reason, expected) in [
        (429, "TooManyRequests", "too_many_requests"),
        (503, "ServiceUnavailable", "unavailable"),
        (500, "InternalServerError", "unavailable"),
        (403, "BadCertificateEnvironment", "rejected"),
        (400, "AWordThatIsNewToUs", "rejected"),
    ] {
        apns.fail(Some(Fault {
            status,
            reason: reason.to_owned(),
            retry_after: Some(7),
            count: 1,
        }));
        assert_eq!(
            category(pusher, request(&LIVE)).await,
            expected,
            "{status} {reason}"
        );
    }

    let many: Vec<_> = (0..200).map(|_| category(pusher, request(&LIVE))).collect();
    assert!(
        futures::future::join_all(many)
            .await
            .iter()
            .all(|category| *category == "accepted")
    );
    assert_eq!(apns.accepted(), 201);

    // The service says goodbye to connections: the pushes go on by others. One that was under way may need another try.
    let before = apns.connections();
    apns.say_goodbye_after(Some(5));
    let mut lost = 0;
    for _ in 0..40 {
        match category(pusher, request(&LIVE)).await {
            "transport" => lost += 1,
            category => assert_eq!(category, "accepted"),
        }
    }
    assert!(lost < 4 && apns.connections() > before, "{lost} lost");
    apns.say_goodbye_after(None);

    // A slow service is waited for.
    apns.slow(Duration::from_millis(100));
    assert_eq!(category(pusher, request(&LIVE)).await, "accepted");
    apns.slow(Duration::ZERO);
}

#[tokio::test]
async fn the_http2_adapter_meets_the_contract() {
    let apns = service("127.0.0.1:0", &["127.0.0.1"], true).await;
    let certificate = push_certificate();
    let settings = Http2Settings {
        url: &apns.url(),
        ca_pem: apns.ca_pem(),
        certificate: Some(&certificate),
    };
    meets_the_contract(&Http2Pusher::new(&settings).unwrap(), &apns).await;
}

#[tokio::test]
async fn the_http2_adapter_comes_back_after_an_outage_and_hears_retry_after() {
    let identity = TlsIdentity::generate(&["127.0.0.1"]).unwrap();
    let ca_pem = identity.ca_pem().to_owned();
    let listen = "127.0.0.1:0".parse().unwrap();
    let first = FakeApns::start(FakeApnsSettings {
        listen,
        identity,
        require_client_certificate: false,
    });
    let first = first.await.unwrap();
    let address = first.address();
    let pusher = Http2Pusher::new(&Http2Settings {
        url: &first.url(),
        ca_pem: &ca_pem,
        certificate: None,
    })
    .unwrap();
    let fault = Fault {
        status: 503,
        reason: "Shutdown".to_owned(),
        retry_after: Some(7),
        count: 1,
    };
    first.fail(Some(fault));
    let refused = pusher.push(request(&LIVE)).await;
    let after = Some(Duration::from_secs(7));
    assert!(matches!(refused, Err(PushError::Unavailable { status: 503, after: found }) if found == after));
    drop(first);

    while category(&pusher, request(&LIVE)).await != "transport" {
        tokio::task::yield_now().await;
    }
    // The same address with another CA is not the same service.
    let stranger = service(&address.to_string(), &["127.0.0.1"], true).await;
    assert_eq!(category(&pusher, request(&LIVE)).await, "transport");
    let settings = Http2Settings {
        url: &stranger.url(),
        ca_pem: stranger.ca_pem(),
        certificate: None,
    };
    let nameless = Http2Pusher::new(&settings).unwrap();
    assert_eq!(
        category(&nameless, request(&LIVE)).await,
        "rejected",
        "no push certificate was presented"
    );
}

#[tokio::test]
async fn without_a_certificate_every_push_says_so() {
    let refused = Topics::new(None).push(request(&LIVE)).await.unwrap_err();
    assert!(refused.to_string().contains("no push certificate"), "{refused}");
}

#[derive(Default)]
struct Dead(Mutex<Vec<(String, Vec<u8>)>>);

impl PushObserver for Dead {
    fn pending<'a>(&'a self, device: &'a str) -> futures::future::BoxFuture<'a, Pending> {
        Box::pin(async move {
            match device {
                "content" => Pending::Nothing,
                _ => Pending::Work,
            }
        })
    }

    fn unregistered<'a>(
        &'a self,
        device: &'a str,
        token: &'a [u8],
        _since: Option<Timestamp>,
    ) -> futures::future::BoxFuture<'a, bool> {
        self.0.lock().unwrap().push((device.to_owned(), token.to_vec()));
        Box::pin(async { true })
    }

    fn refused<'a>(
        &'a self,
        device: &'a str,
        _token: &'a [u8],
        reason: &'a str,
    ) -> futures::future::BoxFuture<'a, ()> {
        panic!("{device} is refused: {reason}");
    }

    fn pushed(&self, _category: &'static str) {}
}

pub(super) struct Pager(pub(super) tokio::sync::mpsc::UnboundedSender<String>);

impl PushSink for Pager {
    fn deliver(&self, push: &Delivery) {
        // Nobody may listen any more.
        let _ = self.0.send(push.push_magic.clone());
    }
}

#[tokio::test]
async fn the_scheduler_wakes_devices_and_reports_dead_tokens() {
    let apns = service("127.0.0.1:0", &["127.0.0.1"], true).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    apns.attach(LIVE.to_vec(), TOPIC.into(), Arc::new(Pager(tell)));
    let certificate = push_certificate();
    let settings = Http2Settings {
        url: &apns.url(),
        ca_pem: apns.ca_pem(),
        certificate: Some(&certificate),
    };
    let pusher = Arc::new(Http2Pusher::new(&settings).unwrap());
    let fast = ScheduleSettings {
        retry_first: Duration::from_millis(10),
        ..ScheduleSettings::default()
    };
    let scheduler = PushScheduler::new(fast, Arc::new(SystemClock));
    let observer = Arc::new(Dead::default());
    let stop = CancellationToken::new();
    let running = tokio::spawn(
        scheduler
            .clone()
            .run(pusher, Arc::<Dead>::clone(&observer), stop.clone()),
    );

    apns.attach(GONE.to_vec(), TOPIC.into(), Arc::new(Phone::default()));
    apns.detach(&GONE);
    let down = Fault {
        status: 503,
        reason: "Shutdown".to_owned(),
        retry_after: None,
        count: 2,
    };
    apns.fail(Some(down));
    let wake_up = |device: &str, token: &[u8]| WakeUp {
        device: device.into(),
        target: PushTarget {
            token: token.to_vec(),
            push_magic: device.to_owned(),
            topic: TOPIC.into(),
        },
        last_seen: None,
    };
    // The one that has nothing pending by its turn is left in peace.
    scheduler.wake([
        wake_up("content", &LIVE),
        wake_up("gone", &GONE),
        wake_up("live", &LIVE),
    ]);
    assert_eq!(told.recv().await.unwrap(), "live");
    while scheduler.pending() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*observer.0.lock().unwrap(), [("gone".to_owned(), GONE.to_vec())]);
    scheduler.settled("live");
    assert_eq!(scheduler.pending(), 0);
    stop.cancel();
    running.await.unwrap();
}

/// Runs inside the namespace that the next test makes; alone it would talk to Apple.
#[tokio::test]
#[ignore = "only for the_apns_adapter_meets_the_contract, which starts it in a namespace of its own"]
async fn inside_a_namespace_that_looks_like_apples() {
    assert!(
        Path::new("/mnt/provost-contract/hosts").exists(),
        "not inside the namespace"
    );
    let identity = TlsIdentity::generate(&[SANDBOX]).unwrap();
    std::fs::write("/mnt/provost-contract/ca.pem", identity.ca_pem()).unwrap();
    let listen = "127.0.0.1:443".parse().unwrap();
    let settings = FakeApnsSettings {
        listen,
        identity,
        require_client_certificate: true,
    };
    let apns = FakeApns::start(settings).await.unwrap();
    let pusher = ApnsPusher::new(&push_certificate(), a2::Endpoint::Sandbox).unwrap();
    meets_the_contract(&pusher, &apns).await;
}

#[test]
fn the_apns_adapter_meets_the_contract() {
    // A private /mnt and /etc/hosts and a loopback of its own: nothing outside sees them.
    let script = format!(
        "set -e; mount -t tmpfs tmpfs /mnt; mkdir /mnt/provost-contract; cd /mnt/provost-contract; \
         echo '127.0.0.1 {SANDBOX}' > hosts; mount --bind hosts /etc/hosts; ip link set lo up; \
         SSL_CERT_FILE=/mnt/provost-contract/ca.pem exec \"$0\" --ignored --exact \
         push::contract::inside_a_namespace_that_looks_like_apples"
    );
    let possible = Command::new("unshare")
        .args(["-n", "-m", "ip", "link", "set", "lo", "up"])
        .output();
    if !possible.is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: this machine allows no namespaces (needs root and util-linux, iproute2)");
        return;
    }
    let binary = std::env::current_exe().unwrap();
    let run = Command::new("unshare")
        .args(["-n", "-m", "sh", "-c", &script])
        .arg(binary)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success() && output.contains("1 passed"),
        "{output}{}",
        String::from_utf8_lossy(&run.stderr)
    );
}
