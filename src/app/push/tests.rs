//! From work in the store to a device that is woken, over the simulated push service.

use std::sync::Mutex;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::*;
use crate::api::common::{EnrollmentMode, Platform};
use crate::clock::{SeededEntropy, SystemClock};
use crate::ids::{CommandUuid, Namespace};
use crate::mdm::command::{NewCommand, Priority};
use crate::pki::KeyFile;
use crate::push::certificate::fixtures::certificate;
use crate::push::{Http2Pusher, Http2Settings, PushCertificate, Pusher};
use crate::secret::Secret;
use crate::simulator::apns::{Delivery, FakeApns, FakeApnsSettings, PushSink, TlsIdentity};
use crate::store::sqlite::SqliteStore;
use crate::store::{Authentication, Ending, Invitation, IssuedCertificate, PushAddress};

const TOPIC: &str = "com.apple.mgmt.External.kites";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// Tells who was woken.
struct Phone(EnrollmentId, mpsc::UnboundedSender<EnrollmentId>);

impl PushSink for Phone {
    fn deliver(&self, _push: &Delivery) {
        self.1.send(self.0.clone()).unwrap();
    }
}

struct World {
    store: Arc<dyn Store>,
    apns: FakeApns,
    woken: Mutex<mpsc::UnboundedReceiver<EnrollmentId>>,
    tell: mpsc::UnboundedSender<EnrollmentId>,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Arc::new(KeyFile::open(&folder.path().join("seal.key"), SeededEntropy::new(1)).unwrap());
        let store = Arc::new(SqliteStore::open(&folder.path().join("store.db"), sealer).unwrap());
        let apns = FakeApns::start(FakeApnsSettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            identity: TlsIdentity::generate(&["127.0.0.1"]).unwrap(),
            require_client_certificate: false,
        });
        let (tell, woken) = mpsc::unbounded_channel();
        Self {
            store,
            apns: apns.await.unwrap(),
            woken: Mutex::new(woken),
            tell,
            stop: CancellationToken::new(),
            _folder: folder,
        }
    }

    fn pusher(&self) -> Arc<dyn Pusher> {
        let settings = Http2Settings {
            url: &self.apns.url(),
            ca_pem: self.apns.ca_pem(),
            certificate: None,
        };
        Arc::new(Http2Pusher::new(&settings).unwrap())
    }

    /// What a server does about pushes.
    fn serve(&self) {
        let (_, held) = watch::channel(Vec::new());
        self.serve_topics(Arc::new(Topics::new(Some(self.pusher()))), held);
    }

    fn serve_topics(&self, topics: Arc<Topics>, held: watch::Receiver<Vec<HeldCertificate>>) {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let scheduler = PushScheduler::new(ScheduleSettings::default(), clock.clone());
        let observer = Arc::new(Observer {
            store: self.store.clone(),
            asked: Arc::default(),
            clock,
            pushes: Family::default(),
        });
        tokio::spawn(scheduler.clone().run(topics.clone(), observer, self.stop.clone()));
        tokio::spawn(follow(
            self.store.clone(),
            scheduler,
            topics,
            held,
            self.stop.clone(),
        ));
    }

    /// A device with something to do.
    async fn device(&self, name: &str, token: &[u8]) -> EnrollmentId {
        let device = EnrollmentId::parse(name).unwrap();
        let digest = Digest::of(name.as_bytes());
        let namespace = Namespace::parse("fleet").unwrap();
        let invitation = Invitation {
            challenge: digest,
            namespace: namespace.clone(),
            labels: [].into(),
            serial_number: None,
            udid: None,
            expires_at: at(10),
        };
        self.store.invite(invitation).await.unwrap();
        let certificate = IssuedCertificate {
            fingerprint: digest,
            key: digest,
            enrollment: Some(device.clone()),
            not_after: at(1_000_000),
            namespace,
            labels: [].into(),
            serial_number: None,
        };
        let issued = self.store.issue(digest, certificate, at(0)).await.unwrap();
        issued.unwrap();
        let authentication = Authentication {
            enrollment: device.clone(),
            certificate: digest,
            topic: PushTopic::parse(TOPIC).unwrap(),
            platform: Platform::MacOS,
            mode: EnrollmentMode::Supervised,
            serial_number: None,
            model: None,
            os_version: "26.1".to_owned(),
            build_version: None,
            declarative: true,
        };
        self.store
            .authenticate(authentication, at(0))
            .await
            .unwrap()
            .unwrap();
        self.token(&device, token).await;
        let command = NewCommand {
            enrollment: device.clone(),
            uuid: CommandUuid::parse(&format!("command-of-{name}")).unwrap(),
            request_type: "DeviceInformation".into(),
            body: format!("<string>command-of-{name}</string>").into(),
            intent: None,
            chain: None,
            priority: Priority::Normal,
            deadline: at(100_000),
        };
        self.store.enqueue(vec![command], at(0)).await.unwrap();
        device
    }

    async fn token(&self, device: &EnrollmentId, token: &[u8]) {
        let address = PushAddress {
            topic: PushTopic::parse(TOPIC).unwrap(),
            token: Secret::new(token.to_vec()),
            magic: Secret::new("M".to_owned()),
        };
        // Long ago: whatever the service says of a token, it says of this one.
        let then = Timestamp::UNIX_EPOCH;
        let updated = self.store.token_update(device, address, then).await.unwrap();
        assert!(updated.is_some());
    }

    /// Apple knows the token.
    fn attach(&self, device: &EnrollmentId, token: &[u8]) {
        let phone = Phone(device.clone(), self.tell.clone());
        self.apns.attach(token.to_vec(), TOPIC.into(), Arc::new(phone));
    }

    async fn next_woken(&self) -> EnrollmentId {
        std::future::poll_fn(|context| self.woken.lock().unwrap().poll_recv(context))
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_device_that_has_left_is_never_pushed_to() {
    let world = World::new().await;
    let (gone, stays) = (world.device("A", b"a").await, world.device("B", b"b").await);
    world.attach(&gone, b"a");
    world.attach(&stays, b"b");
    world.store.end(&gone, Ending::CheckOut, at(1)).await.unwrap();
    world.serve();
    assert_eq!(world.next_woken().await, stays);
    let tokens: Vec<_> = world.apns.recent().into_iter().map(|push| push.token).collect();
    assert_eq!(tokens, [hex::encode(b"b")]);

    // What is known of it when its turn comes is what counts, and not what was known when it was to be woken.
    let observer = Observer {
        store: world.store.clone(),
        asked: Arc::default(),
        clock: Arc::new(SystemClock),
        pushes: Family::default(),
    };
    assert_eq!(observer.pending(stays.as_str()).await, Pending::Work);
    assert_eq!(observer.pending(gone.as_str()).await, Pending::Nothing);
    assert_eq!(observer.pending("NOBODY").await, Pending::Nothing);
    world.stop.cancel();
}

#[tokio::test]
async fn a_dead_token_is_left_alone_until_the_device_sends_another_one() {
    let world = World::new().await;
    let device = world.device("A", b"dead").await;
    world.attach(&device, b"dead");
    world.apns.detach(b"dead");
    world.serve();
    while world.store.push_address(&device).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.apns.recent().len(), 1);
    world.attach(&device, b"new");
    world.token(&device, b"new").await;
    assert_eq!(world.next_woken().await, device);
    let tokens: Vec<_> = world.apns.recent().into_iter().map(|push| push.token).collect();
    assert_eq!(tokens, [hex::encode(b"dead"), hex::encode(b"new")]);
    world.stop.cancel();
}

#[tokio::test]
async fn a_push_address_that_the_service_does_not_know_is_kept_and_tried_again_when_certificates_change() {
    let world = World::new().await;
    let device = world.device("A", b"a").await;
    let (certificates, held) = watch::channel(Vec::new());
    world.serve_topics(Arc::new(Topics::new(Some(world.pusher()))), held);
    let refused = async || {
        let enrollment = world.store.enrollment(&device).await.unwrap().unwrap();
        enrollment.push_refused
    };
    while refused().await.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(refused().await, Some(PushRefusal::BadDeviceToken));
    let address = world.store.push_address(&device).await.unwrap().unwrap();
    assert_eq!(address.token.reveal(), b"a");

    // Nothing is pushed to it, nor promised.
    let observer = Arc::new(Observer {
        store: world.store.clone(),
        asked: Arc::default(),
        clock: Arc::new(SystemClock),
        pushes: Family::default(),
    });
    assert_eq!(observer.pending(device.as_str()).await, Pending::Nothing);
    let bell = Bell {
        store: world.store.clone(),
        scheduler: PushScheduler::new(ScheduleSettings::default(), Arc::new(SystemClock)),
        asked: Arc::default(),
        topics: Arc::new(Topics::new(Some(world.pusher()))),
    };
    let failures = bell.wake(std::slice::from_ref(&device)).await.unwrap();
    assert_eq!(failures, [(device.clone(), NotWoken::Refused)]);

    world.attach(&device, b"a");
    certificates.send(Vec::new()).unwrap();
    assert_eq!(world.next_woken().await, device);
    assert_eq!(refused().await, None);
    world.stop.cancel();
}

#[tokio::test]
async fn devices_of_a_topic_are_woken_as_soon_as_there_is_a_certificate_for_it() {
    let world = World::new().await;
    let device = world.device("A", b"a").await;
    world.attach(&device, b"a");
    let topics = Arc::new(Topics::new(None));
    let (tell, held) = watch::channel(Vec::new());
    world.serve_topics(topics.clone(), held);
    topics.replace([(TOPIC.to_owned(), world.pusher())].into());
    tell.send(Vec::new()).unwrap();
    assert_eq!(world.next_woken().await, device);
    world.stop.cancel();
}

#[tokio::test]
async fn who_is_to_be_told_to_go_is_woken_after_a_restart_with_an_empty_queue_too() {
    let world = World::new().await;
    let device = world.device("A", b"a").await;
    world.attach(&device, b"a");
    let command = world.store.pending(&device).await.unwrap().remove(0);
    let cancelled = world
        .store
        .cancel(&device, &command.uuid, "not wanted", at(1))
        .await;
    assert!(cancelled.unwrap());
    assert!(world.store.remove_at_next_contact(&device, at(2)).await.unwrap());
    world.serve();
    assert_eq!(world.next_woken().await, device);
    world.stop.cancel();
}

#[test]
fn devices_enrol_with_the_topic_of_the_first_certificate_that_is_there_at_the_moment() {
    let place = tempfile::tempdir().unwrap();
    let settings = PushSettings {
        service: PushService::Apple,
        certificates: Vec::new(),
    };
    let metrics = Metrics::new();
    let mut push = Push::new(&settings, place.path().to_owned(), &metrics).unwrap();
    let stand_in = stand_in_topic("an authority").unwrap();
    let (enrolling, reachable) = (push.enrolling(stand_in.clone()), push.reachable());
    assert_eq!(enrolling(), stand_in);
    assert!(!push.wakes_devices());
    assert!(reachable(&stand_in), "nobody expects them to be woken");

    let topic = PushTopic::parse(TOPIC).unwrap();
    assert!(!reachable(&topic));
    let (pem, key) = certificate(TOPIC);
    let installed = PushCertificate::from_pem(&pem, &key).unwrap();
    PushFolder::new(place.path().to_owned())
        .install(&installed, None)
        .unwrap();
    assert!(push.certificates.reload().unwrap());
    assert_eq!(enrolling(), topic);
    assert!(push.wakes_devices());
    assert!(reachable(&topic));
    assert!(!reachable(&stand_in), "they have to enrol again");
    assert!(is_stand_in(&stand_in) && !is_stand_in(&topic));
}
