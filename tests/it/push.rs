//! Push certificates: the year of an administrator, with an Apple of the test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use provost::api::PushCertificate;
use provost::clock::{Clock as _, SystemClock};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DistinguishedName,
    DnType, IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize,
};
use serde_json::json;

use crate::world::{Said, Server, condition, eventually, provost, text};

const TOPIC: &str = "com.apple.mgmt.External.00000000-0000-4000-8000-000000000001";
const OTHER: &str = "com.apple.mgmt.External.00000000-0000-4000-8000-000000000002";

/// Issues push certificates for requests, and vendor certificates.
struct Apple(CertifiedIssuer<'static, KeyPair>);

impl Apple {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Push Authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A push certificate for a request, good from so many days before now to so many after.
    fn answer(&self, request: &Path, topic: &str, days: std::ops::Range<i64>) -> String {
        let pem = fs::read_to_string(request).unwrap();
        let mut request = CertificateSigningRequestParams::from_pem(&pem).unwrap();
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "APSP:0001");
        name.push(
            DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]),
            topic,
        );
        request.params.distinguished_name = name;
        let (begin, end) = (day(days.start), day(days.end));
        request.params.not_before = rcgen::date_time_ymd(begin.0, begin.1, begin.2);
        request.params.not_after = rcgen::date_time_ymd(end.0, end.1, end.2);
        request.signed_by(&self.0).unwrap().pem()
    }

    /// A vendor's chain up to the root, and its key.
    fn vendor(&self) -> (String, String) {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "MDM Vendor: Kites");
        let leaf = params.signed_by(&key, &self.0).unwrap();
        (leaf.pem() + &self.0.pem(), key.serialize_pem())
    }
}

/// The day so many days from now.
fn day(days: i64) -> (i32, u8, u8) {
    let then = SystemClock.now() + SignedDuration::from_hours(24 * days);
    let day = then.to_zoned(TimeZone::UTC).date();
    (
        day.year().into(),
        day.month().try_into().unwrap(),
        day.day().try_into().unwrap(),
    )
}

/// A push certificate that vouches for itself, and its key.
pub(crate) fn self_made(topic: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(
        DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]),
        topic,
    );
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

struct Desk {
    folder: tempfile::TempDir,
    apple: Apple,
}

impl Desk {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            apple: Apple::new(),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn keep(&self, name: &str, contents: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `provost push certificate WORDS --data-dir …`.
    async fn certificate(&self, words: &[&str]) -> Said {
        let data = self.data();
        let mut args = vec!["push", "certificate"];
        args.extend(words);
        args.extend(["--data-dir", data.to_str().unwrap()]);
        provost(&args).await
    }

    async fn works(&self, words: &[&str]) -> String {
        let said = self.certificate(words).await;
        assert!(said.success, "{words:?}: {}", said.stderr);
        said.stdout
    }

    async fn fails(&self, words: &[&str]) -> String {
        let said = self.certificate(words).await;
        assert!(
            !said.success && said.stdout.is_empty(),
            "{words:?}: {}",
            said.stdout
        );
        said.stderr
    }

    fn request(&self) -> PathBuf {
        self.data().join("push/request.csr")
    }

    /// Asks, is answered and keeps the answer.
    async fn answered(&self, topic: &str, days: std::ops::Range<i64>) -> String {
        self.works(&["request"]).await;
        self.keep("apple.pem", &self.apple.answer(&self.request(), topic, days))
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn an_administrator_asks_installs_and_renews() {
    let desk = Desk::new();
    let nothing = desk.fails(&["show"]).await;
    assert!(nothing.contains("provost push certificate request"), "{nothing}");

    // A plain request, which openssl knows to be signed with its own key.
    let said = desk.works(&["request", "--common-name", "Kites"]).await;
    for word in [
        "identity.apple.com/pushcert",
        "vendor",
        "Create a Certificate",
        "install",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let key = desk.data().join("push/request.key");
    assert_eq!((mode(&key), mode(&desk.data())), (0o600, 0o700));
    let openssl = Command::new("openssl")
        .args(["req", "-verify", "-noout", "-subject", "-in"])
        .arg(desk.request())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&openssl.stdout) + String::from_utf8_lossy(&openssl.stderr);
    assert!(openssl.status.success() && told.contains("Kites"), "{told}");
    assert!(!told.contains("failure"), "{told}");
    let first_key = fs::read(&key).unwrap();

    // Signed by a vendor it is what the portal takes: a property list in base64. The key stays the same.
    let (chain, vendor_key) = desk.apple.vendor();
    let (chain, vendor_key) = (
        desk.keep("vendor.pem", &chain),
        desk.keep("vendor.key", &vendor_key),
    );
    let out = desk.keep("upload.txt", "");
    let vendor = ["--vendor-certificate", &chain, "--vendor-key", &vendor_key];
    let said = desk
        .works(&[&["request", "--out", &out][..], &vendor].concat())
        .await;
    assert!(
        !said.contains("refuses a plain one") && said.contains(&out),
        "{said}"
    );
    assert_eq!(fs::read(&key).unwrap(), first_key);
    let list = STANDARD.decode(fs::read_to_string(&out).unwrap()).unwrap();
    let list = plist::Value::from_reader_xml(&*list).unwrap();
    let list = list.as_dictionary().unwrap();
    assert!(list.contains_key("PushCertRequestCSR"));
    let chain_told = list["PushCertCertificateChain"].as_string().unwrap();
    assert_eq!(chain_told.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(list.contains_key("PushCertSignature"));

    // What cannot be right is refused.
    let answer = desk.answered(TOPIC, -1..365).await;
    let (_, stranger) = desk.apple.vendor();
    let stranger = desk.keep("stranger.key", &stranger);
    let wrong_key = desk.fails(&["install", &answer, "--key", &stranger]).await;
    assert!(wrong_key.contains("does not belong"), "{wrong_key}");
    let web = desk.answered("com.example.app", -1..365).await;
    assert!(desk.fails(&["install", &web]).await.contains("com.apple.mgmt."));
    let old = desk.answered(TOPIC, -400..-35).await;
    assert!(desk.fails(&["install", &old]).await.contains("renew it"));

    let answer = desk.answered(TOPIC, -1..365).await;
    let said = desk.works(&["install", &answer]).await;
    assert!(
        said.contains(TOPIC) && said.contains("CN=Push Authority"),
        "{said}"
    );
    assert!(!key.exists(), "the request has been answered");
    assert_eq!(mode(&desk.data().join(format!("push/{TOPIC}.pem"))), 0o600);
    let shown = desk.works(&["show"]).await;
    assert!(
        shown.contains(TOPIC) && shown.contains("364 days left"),
        "{shown}"
    );
    assert!(!shown.contains("PRIVATE"));
    assert_eq!(
        desk.works(&["show", &answer]).await,
        shown,
        "a file is shown likewise"
    );
    renews(&desk, &answer, &first_key).await;
}

/// A year later: with a new key, in the same account unless another is meant.
async fn renews(desk: &Desk, answer: &str, first_key: &[u8]) {
    let key = desk.data().join("push/request.key");
    let said = desk.works(&["request"]).await;
    assert!(said.contains("Renew") && said.contains(TOPIC), "{said}");
    assert_ne!(fs::read(&key).unwrap(), first_key);
    let another_request = desk.fails(&["install", answer]).await;
    assert!(another_request.contains("another request"), "{another_request}");
    let another_account = desk.answered(OTHER, -1..365).await;
    let refused = desk.fails(&["install", &another_account]).await;
    for word in [TOPIC, OTHER, "--new-topic", "Apple Account"] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    let renewed = desk.answered(TOPIC, -1..400).await;
    let said = desk.works(&["install", &renewed]).await;
    assert!(said.contains("within a minute"), "{said}");
    assert!(desk.works(&["show"]).await.contains("399 days left"));

    // Another topic beside it, on purpose; each is renewed for itself.
    let other = desk.answered(OTHER, -1..365).await;
    desk.works(&["install", &other, "--new-topic"]).await;
    let shown = desk.works(&["show"]).await;
    assert!(shown.find(OTHER) < shown.find(TOPIC), "{shown}");
    let renewed = desk.answered(TOPIC, -1..500).await;
    desk.works(&["install", &renewed]).await;
    let shown = desk.works(&["show"]).await;
    assert!(shown.contains("499 days left"), "{shown}");
    assert!(
        shown.find(OTHER) < shown.find(TOPIC),
        "new devices go on with it: {shown}"
    );
}

/// A device that another server managed, with the topic of that server.
fn moved(topic: &str) -> String {
    let (certificate, _) = self_made(topic);
    let record = json!({
        "udid": "A0000000-0000-4000-8000-000000000001",
        "certificate": certificate,
        "topic": topic,
        "pushToken": STANDARD.encode(b"token"),
        "pushMagic": "magic",
        "osVersion": "26.1",
        "productName": "Mac16,10",
    });
    format!("{record}\n")
}

#[tokio::test]
async fn a_fleet_that_was_imported_keeps_its_topic_whether_or_not_a_server_runs() {
    let desk = Desk::new();
    let file = desk.keep("fleet.jsonl", &moved(TOPIC));
    let data = desk.data();
    let data = data.to_str().unwrap();
    let imported = provost(&[
        "enrollments",
        "import",
        &file,
        "--namespace",
        "default",
        "--data-dir",
        data,
    ])
    .await;
    assert!(imported.success, "{}", imported.stderr);

    let another_account = desk.answered(OTHER, -1..365).await;
    let refused = desk.fails(&["install", &another_account]).await;
    for word in [TOPIC, OTHER, "--new-topic"] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    let server = Server::start(&desk.data(), 0, &[]).await;
    assert_eq!(desk.fails(&["install", &another_account]).await, refused);

    // One for new devices, on purpose; the one for those that came is installed without more ado, and new devices go on with theirs.
    desk.works(&["install", &another_account, "--new-topic"]).await;
    let their_own = desk.answered(TOPIC, -1..365).await;
    let said = desk.works(&["install", &their_own]).await;
    assert!(said.contains("go on to enrol"), "{said}");
    let shown = desk.works(&["show"]).await;
    assert!(shown.find(OTHER) < shown.find(TOPIC), "{shown}");
    drop(server);
}

#[tokio::test]
async fn a_server_tells_how_its_push_certificates_stand() {
    let desk = Desk::new();
    let answer = desk.answered(TOPIC, -300..20).await;
    desk.works(&["install", &answer]).await;
    let server = Server::start(&desk.data(), 0, &[]).await;
    let said = server.said();
    assert!(!said.contains("no push certificate"), "{said}");
    let ends = server
        .metric(&format!(
            r#"provost_push_certificate_expiry_timestamp_seconds{{topic="{TOPIC}"}}"#
        ))
        .await;
    let left = i64::try_from(ends).unwrap() - SystemClock.now().as_second();
    assert!((18 * 86_400..=20 * 86_400).contains(&left), "{left}");

    let client = server.client().await;
    let objects: Api<PushCertificate> = Api::namespaced(client.clone(), "provost-system");
    let object = eventually("the certificate is shown", async || {
        let found = objects.list(&ListParams::default()).await.map_err(text)?;
        let found = found.items.into_iter().next().ok_or("none yet")?;
        let status = found.status.as_ref().ok_or("no status yet")?;
        condition(&status.conditions, "Expiring").ok_or("no condition yet")?;
        Ok::<_, String>(found)
    })
    .await;
    assert_eq!(object.spec.topic, TOPIC);
    let conditions = object.status.unwrap().conditions;
    assert_eq!(condition(&conditions, "Ready").unwrap().status, "True");
    let expiring = condition(&conditions, "Expiring").unwrap();
    assert_eq!(
        (expiring.status.as_str(), expiring.reason.as_str()),
        ("True", "ExpiresWithin30Days")
    );
    let events: Api<Event> = Api::namespaced(client, "provost-system");
    let told = events.list(&ListParams::default()).await.unwrap();
    let told: Vec<_> = told.iter().filter_map(|event| event.reason.as_deref()).collect();
    assert_eq!(told, ["ExpiresWithin30Days"]);
    assert_eq!(server.said().matches("ExpiresWithin").count(), 0);
    assert!(server.said().contains("within 30 days"), "{}", server.said());
}

#[tokio::test]
async fn what_does_not_belong_together_stops_the_start_and_is_named() {
    let desk = Desk::new();
    let answer = desk.answered(TOPIC, -1..365).await;
    let (_, stranger) = desk.apple.vendor();
    let stranger = desk.keep("stranger.key", &stranger);
    let data = desk.data();
    let said = provost(&[
        "up",
        "--data-dir",
        data.to_str().unwrap(),
        "--mdm-listen",
        "127.0.0.1:0",
        "--api-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--apns-cert",
        &answer,
        "--apns-key",
        &stranger,
    ])
    .await;
    assert!(!said.success);
    for word in ["--apns-cert", "apple.pem", "stranger.key", "does not belong"] {
        assert!(said.stderr.contains(word), "{word}: {}", said.stderr);
    }
}
