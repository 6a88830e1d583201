use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rcgen::{Attribute, CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use super::server::Answer;
use super::*;
use crate::api::common::{EnrollmentMode, Platform};
use crate::clock::{Clock as _, ManualClock, SeededEntropy};
use crate::enrollment::{IdentityMetrics, InviteRequest, invite};
use crate::ids::{Digest, EnrollmentId, Namespace, PushTopic};
use crate::pki::KeyFile;
use crate::pki::ca::{Pki, server_names};
use crate::pki::cms::envelope::{open, seal};
use crate::pki::cms::{Cipher, CipherPolicy, Content, HashPolicy, Recipient, Signer, verify};
use crate::store::sqlite::SqliteStore;
use crate::store::{Authentication, Store};

const UDID: &str = "A0000000-0000-4000-8000-000000000001";

const fn attribute_name(last: u32) -> der::asn1::ObjectIdentifier {
    let base = der::asn1::ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9");
    match base.push_arc(last) {
        Ok(name) => name,
        Err(_) => base,
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
}

struct World {
    _folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    pki: Pki,
    metrics: IdentityMetrics,
    server: ScepServer,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new("2026-11-24T00:00:00Z".parse().unwrap()));
        let entropy = Arc::new(SeededEntropy::new(1));
        let sealer = KeyFile::open(&folder.path().join("k"), SeededEntropy::new(2)).unwrap();
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&folder.path().join("db"), Arc::new(sealer)).unwrap());
        let pki = Pki::open(folder.path(), &server_names("localhost"), clock.now(), &*entropy).unwrap();
        let metrics = IdentityMetrics::default();
        let server = ScepServer::new(
            store.clone(),
            clock.clone(),
            entropy,
            pki.scep.clone(),
            pki.trust.clone(),
            Dialect::Strict,
        )
        .with_metrics(metrics.clone());
        Self {
            _folder: folder,
            store,
            clock,
            pki,
            metrics,
            server,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn challenge(&self, udid: Option<&str>) -> String {
        let request = InviteRequest {
            namespace: Namespace::parse("fleet").unwrap(),
            serial_number: None,
            udid: udid.map(|udid| EnrollmentId::parse(udid).unwrap()),
            labels: std::collections::BTreeMap::default(),
            life: SignedDuration::from_hours(1),
            public_url: "https://localhost".to_owned(),
        };
        // Another sequence each time.
        let entropy = SeededEntropy::new(rand::random());
        let made = invite(&*self.store, &*self.clock, &entropy, request).await;
        made.unwrap().challenge
    }

    async fn ask(&self, message: &[u8]) -> Answer {
        self.server.answer(message).await.unwrap()
    }

    async fn authenticate(&self, certificate: &[u8], udid: &str) -> Result<(), crate::store::Refusal> {
        let authentication = Authentication {
            enrollment: EnrollmentId::parse(udid).unwrap(),
            certificate: Digest::of(certificate),
            topic: PushTopic::parse("com.apple.mgmt.External.test").unwrap(),
            platform: Platform::MacOS,
            mode: EnrollmentMode::Device,
            serial_number: None,
            model: None,
            os_version: "26.1".to_owned(),
            build_version: None,
            declarative: true,
        };
        let begun = self.store.authenticate(authentication, self.now()).await.unwrap();
        begun.map(drop)
    }
}

/// A client with a key, and a certificate of its own making or of the server's.
struct Client {
    key: KeyPair,
    certificate: Vec<u8>,
}

impl Client {
    fn new() -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        Self {
            certificate: certificate.der().to_vec(),
            key,
        }
    }

    fn csr(&self, challenge: Option<&str>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "somebody else");
        let attributes = challenge.map(|challenge| Attribute {
            oid: &[1, 2, 840, 113_549, 1, 9, 7],
            values: element(0x31, &element(0x13, challenge.as_bytes())),
        });
        let csr = params.serialize_request_with_attributes(&self.key, attributes.into_iter().collect());
        csr.unwrap().der().to_vec()
    }

    async fn message(&self, world: &World, kind: &str, csr: &[u8]) -> Vec<u8> {
        let authority = world.server.authority().await.unwrap();
        let entropy = SeededEntropy::new(rand::random());
        let envelope = seal(authority.authority.certificate(), csr, Cipher::Aes256, &entropy).unwrap();
        let attributes = [
            (attribute_name(2), element(0x13, kind.as_bytes())),
            (attribute_name(5), element(0x04, b"nonce of a client")),
            (attribute_name(7), element(0x13, b"4711")),
        ];
        let signer = Signer::new(&self.certificate, &self.key.serialize_der()).unwrap();
        signer.sign(&envelope, &attributes, &[]).unwrap()
    }

    async fn request(&self, world: &World, challenge: &str) -> Vec<u8> {
        self.message(world, "19", &self.csr(Some(challenge))).await
    }

    /// What is in an answer: a certificate, or the digit of its failure.
    fn read(&self, answer: &Answer) -> Result<Vec<u8>, String> {
        let signed = verify(&answer.message, Content::Attached, HashPolicy::Strong).unwrap();
        assert_eq!(
            signed.attribute(attribute_name(7)),
            Some(&*element(0x13, b"4711"))
        );
        let nonce = element(0x04, b"nonce of a client");
        assert_eq!(signed.attribute(attribute_name(6)), Some(&*nonce));
        assert_eq!(signed.attribute(attribute_name(2)), Some(&*element(0x13, b"3")));
        let status = signed.attribute(attribute_name(3)).unwrap();
        if status == element(0x13, b"2") {
            let info = signed.attribute(attribute_name(4)).unwrap();
            return Err(String::from_utf8_lossy(&info[2..]).into_owned());
        }
        let ours = Recipient::new(&self.certificate, &self.key.serialize_der()).unwrap();
        let entropy = SeededEntropy::new(5);
        let opened = open(&[&ours], &signed.content.unwrap(), CipherPolicy::Strong, &entropy).unwrap();
        Ok(leaf(&opened.content))
    }
}

/// The first certificate in a message that only carries certificates.
fn leaf(message: &[u8]) -> Vec<u8> {
    (0..message.len())
        .find_map(|at| {
            let (rest, _) = x509_parser::parse_x509_certificate(&message[at..]).ok()?;
            Some(message[at..message.len() - rest.len()].to_vec())
        })
        .unwrap()
}

const BAD_REQUEST: &str = "2";

#[tokio::test]
async fn a_challenge_brings_one_certificate_and_the_same_message_brings_it_again() {
    let world = World::new();
    let (device, thief) = (Client::new(), Client::new());
    let challenge = world.challenge(Some(UDID)).await;
    let message = device.request(&world, &challenge).await;
    let certificate = device.read(&world.ask(&message).await).unwrap();
    assert_eq!(device.read(&world.ask(&message).await).unwrap(), certificate);
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
    assert_eq!(parsed.subject().to_string(), format!("CN={UDID}"));

    let stolen = world.ask(&thief.request(&world, &challenge).await).await;
    assert_eq!(thief.read(&stolen), Err(BAD_REQUEST.to_owned()));
    assert!(
        world.authenticate(&certificate, "B0-1").await.is_err(),
        "it is for another device"
    );
    assert_eq!(world.authenticate(&certificate, UDID).await, Ok(()));
    assert_eq!(device.read(&world.ask(&message).await).unwrap(), certificate);
}

#[tokio::test]
async fn a_wrong_missing_or_late_challenge_gets_nothing_and_all_are_told_alike() {
    let world = World::new();
    let device = Client::new();
    let late = world.challenge(None).await;
    world.clock.advance(std::time::Duration::from_hours(2));
    for csr in [
        device.csr(Some("wrong")),
        device.csr(Some("")),
        device.csr(None),
        device.csr(Some(&late)),
        b"no request at all".to_vec(),
    ] {
        let answer = world.ask(&device.message(&world, "19", &csr).await).await;
        assert_eq!(device.read(&answer), Err(BAD_REQUEST.to_owned()));
    }
    for kind in ["20", "21", "22", "99"] {
        let answer = world.ask(&device.message(&world, kind, b"x").await).await;
        assert_eq!(
            device.read(&answer),
            Err(BAD_REQUEST.to_owned()),
            "{kind} is not offered"
        );
    }
}

#[tokio::test]
async fn a_renewal_is_proven_by_the_pinned_certificate_and_keeps_its_device() {
    let world = World::new();
    let mut device = Client::new();
    let challenge = world.challenge(Some(UDID)).await;
    let first = device
        .read(&world.ask(&device.request(&world, &challenge).await).await)
        .unwrap();
    assert_eq!(world.authenticate(&first, UDID).await, Ok(()));

    // An old challenge in it means nothing, and the key may stay.
    device.certificate = first.clone();
    let csr = device.csr(Some(&challenge));
    let message = device.message(&world, "17", &csr).await;
    let second = device.read(&world.ask(&message).await).unwrap();
    assert_ne!(second, first);
    assert_eq!(
        device.read(&world.ask(&message).await).unwrap(),
        second,
        "the same message"
    );
    for good in [&first, &second] {
        let found = world
            .store
            .enrollment_by_certificate(Digest::of(good), world.now())
            .await;
        assert_eq!(found.unwrap().unwrap().id.as_str(), UDID);
    }

    // Neither one's own certificate nor another authority's renews anything, nor does one that has been withdrawn.
    let stranger = Client::new();
    let message = stranger
        .message(&world, "17", &stranger.csr(Some(&challenge)))
        .await;
    assert_eq!(
        stranger.read(&world.ask(&message).await),
        Err(BAD_REQUEST.to_owned())
    );
    let elsewhere = World::new();
    let challenge = elsewhere.challenge(Some(UDID)).await;
    let mut foreign = Client::new();
    let theirs = foreign.request(&elsewhere, &challenge).await;
    foreign.certificate = foreign.read(&elsewhere.ask(&theirs).await).unwrap();
    let message = foreign.message(&world, "17", &foreign.csr(None)).await;
    assert_eq!(
        foreign.read(&world.ask(&message).await),
        Err(BAD_REQUEST.to_owned())
    );
    let device_id = EnrollmentId::parse(UDID).unwrap();
    let ended = world
        .store
        .end(&device_id, crate::store::Ending::CheckOut, world.now())
        .await;
    assert!(ended.unwrap());
    let message = device.message(&world, "17", &device.csr(None)).await;
    assert_eq!(
        device.read(&world.ask(&message).await),
        Err(BAD_REQUEST.to_owned())
    );
}

#[tokio::test]
async fn a_damaged_message_is_refused_wherever_it_is_damaged() {
    let world = World::new();
    let device = Client::new();
    let challenge = world.challenge(None).await;
    let message = device.request(&world, &challenge).await;
    for length in 0..message.len() {
        let cut = message::Request::read(&message[..length], Dialect::Strict);
        assert!(cut.is_err(), "cut at {length}");
    }
    let refused = device.request(&world, "wrong").await;
    for at in (0..refused.len()).step_by(37) {
        let mut damaged = refused.clone();
        damaged[at] ^= 0x10;
        match world.server.answer(&damaged).await {
            Ok(answer) => assert!(!answer.issued, "damaged at {at}"),
            Err(error) => assert!(matches!(error, server::Error::Message(_)), "{at}: {error}"),
        }
    }
    assert!(world.ask(&message).await.issued, "the challenge is still there");
    assert!(world.pki.scep.made().is_some());
}

#[test]
fn capabilities_name_what_is_spoken() {
    insta::assert_snapshot!(capabilities(Dialect::Strict).replace('\n', " "), @"AES POSTPKIOperation Renewal SCEPStandard SHA-256 SHA-512");
    assert!(capabilities(Dialect::Legacy).contains("SHA-1\n"));
}

#[tokio::test]
async fn renewals_are_counted_apart_from_first_certificates_with_what_came_of_them() {
    let world = World::new();
    let mut device = Client::new();
    let challenge = world.challenge(Some(UDID)).await;
    let message = device.request(&world, &challenge).await;
    let first = device.read(&world.ask(&message).await).unwrap();
    assert_eq!(world.authenticate(&first, UDID).await, Ok(()));
    let too_late = device.request(&world, &challenge).await;
    assert!(!world.ask(&too_late).await.issued);

    let stranger = Client::new();
    let forged = stranger.message(&world, "17", &stranger.csr(None)).await;
    assert!(!world.ask(&forged).await.issued);
    device.certificate = first;
    let renewal = device.message(&world, "17", &device.csr(None)).await;
    assert!(world.ask(&renewal).await.issued);
    assert!(world.ask(&renewal).await.issued, "the same once more");

    let mut registry = prometheus_client::registry::Registry::default();
    world.metrics.register(&mut registry);
    let mut shown = String::new();
    prometheus_client::encoding::text::encode(&mut shown, &registry).unwrap();
    let mut counted: Vec<&str> = shown.lines().filter(|line| !line.starts_with('#')).collect();
    counted.sort_unstable();
    assert_eq!(
        counted,
        [
            r#"identity_requests_total{kind="first",result="issued"} 1"#,
            r#"identity_requests_total{kind="first",result="refused"} 1"#,
            r#"identity_requests_total{kind="renewal",result="issued"} 2"#,
            r#"identity_requests_total{kind="renewal",result="refused"} 1"#,
        ]
    );
}
