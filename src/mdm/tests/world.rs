//! The world of the stories: a server, and devices that hold keys and speak the protocol by hand.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use plist::Value;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, ManualClock, SeededEntropy};
use crate::enrollment::identity::{IdentityIssuer, MdmAddress};
use crate::enrollment::invitation::{InviteRequest, invite};
use crate::enrollment::limiter::{Limiter, Rate};
use crate::ids::{CommandUuid, Digest, EnrollmentId, Namespace, PushTopic, SerialNumber};
use crate::listener::ConnectionMetrics;
use crate::mdm::commands::Command as MdmCommand;
use crate::mdm::gateway::Gateway;
use crate::mdm::http::{Limits, guarded, router};
use crate::mdm::metrics::GatewayMetrics;
use crate::mdm::peer::Peers;
use crate::mdm::plist::{read_dictionary, to_xml};
use crate::mdm::profile_pass::ProfilePasses;
use crate::mdm::proxy::{Proxies, behind};
use crate::mdm::seen::SeenBatch;
use crate::mdm::serve::{serve, serve_proxies, tls_config};
use crate::pki::ca::{ClientTrust, Pki, server_names};
use crate::pki::cms::HashPolicy;
use crate::pki::{KeyFile, Sealer};
use crate::policy::{Declaration, Manifest, ProfileDocument, Section};
use crate::store::Store;
use crate::store::sqlite::SqliteStore;

pub(super) const TOPIC: &str = "com.apple.mgmt.External.00000000-0000-4000-8000-000000000001";

/// Where devices are told that the server is.
pub(super) const PUBLIC_URL: &str = "https://localhost";

/// A server that runs until it is dropped.
pub(super) struct World {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) entropy: Arc<SeededEntropy>,
    pub(super) pki: Pki,
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<SeenBatch>,
    pub(super) metrics: GatewayMetrics,
    pub(super) peers: Arc<Peers>,
    /// What answers devices.
    pub(super) app: Router,
    shutdown: CancellationToken,
    directory: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|store| store, Limits::default())
    }

    /// A world whose gateway sees the store through `between`.
    pub(super) fn with(between: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>, limits: Limits) -> Self {
        Self::build(between, limits, |gateway| gateway)
    }

    /// A world whose gateway is `set` as its owner likes.
    pub(super) fn with_gateway(set: impl FnOnce(Gateway) -> Gateway) -> Self {
        Self::build(|store| store, Limits::default(), set)
    }

    fn build(
        between: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
        limits: Limits,
        set: impl FnOnce(Gateway) -> Gateway,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new("2026-11-24T00:00:00Z".parse().unwrap()));
        let entropy = Arc::new(SeededEntropy::new(1));
        let sealer = KeyFile::open(&directory.path().join("store.key"), SeededEntropy::new(2)).unwrap();
        let sealer: Arc<dyn Sealer> = Arc::new(sealer);
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&directory.path().join("store.db"), sealer.clone()).unwrap());
        let pki = Pki::open(
            directory.path(),
            &server_names("localhost"),
            clock.now(),
            &*entropy,
        )
        .unwrap();
        let peers = Arc::new(Peers::new(
            Arc::new(ClientTrust::new(&pki.devices).unwrap()),
            HashPolicy::Strong,
        ));
        let served = between(Arc::clone(&store));
        let seen = Arc::new(SeenBatch::default());
        let metrics = GatewayMetrics::default();
        let gateway = Gateway::new(
            Arc::clone(&served),
            clock.clone(),
            entropy.clone(),
            Arc::clone(&seen),
        );
        let gateway = Arc::new(set(
            gateway.with_profile_passes(ProfilePasses::new(sealer, PUBLIC_URL))
        ));
        let issuer = IdentityIssuer::new(
            served,
            clock.clone(),
            entropy.clone(),
            Arc::clone(&pki.devices),
            Arc::new(|| MdmAddress::new(PUBLIC_URL, PushTopic::parse(TOPIC).unwrap())),
            pki.servers.certificate_pem().to_owned(),
        );
        let limiter = Arc::new(Limiter::new(Rate::default()));
        let app = router(gateway, Arc::clone(&peers), limits)
            .merge(crate::enrollment::http::router(
                Arc::new(issuer),
                limiter,
                clock.clone(),
            ))
            .route("/defect", axum::routing::get(defect));
        let app = guarded(app, limits, metrics.clone(), entropy.clone());
        let shutdown = CancellationToken::new();
        let serving = serve(
            app.clone(),
            std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
            tls_config(&pki.server).unwrap(),
            Arc::clone(&peers),
            clock.clone(),
            ConnectionMetrics::default(),
            shutdown.clone(),
        )
        .unwrap();
        Self {
            store,
            clock,
            entropy,
            pki,
            address: serving.address,
            seen,
            metrics,
            peers,
            app,
            shutdown,
            directory,
        }
    }

    /// The database as it is on the disk, with what has not yet been moved into its main file.
    pub(super) fn database(&self) -> [Digest; 2] {
        ["store.db", "store.db-wal"]
            .map(|file| Digest::of(&std::fs::read(self.directory.path().join(file)).unwrap()))
    }

    /// A client without a certificate.
    pub(super) fn anonymous(&self) -> Client {
        Client::new(self, None)
    }

    pub(super) async fn invitation(&self, serial: Option<&str>, udid: Option<&str>) -> String {
        let request = InviteRequest {
            namespace: Namespace::parse("fleet").unwrap(),
            serial_number: serial.map(|serial| SerialNumber::parse(serial).unwrap()),
            udid: udid.map(|udid| EnrollmentId::parse(udid).unwrap()),
            labels: [("team".to_owned(), "design".to_owned())].into(),
            life: SignedDuration::from_hours(24),
            public_url: "https://localhost/".into(),
        };
        let invite = invite(&*self.store, &*self.clock, &*self.entropy, request)
            .await
            .unwrap();
        assert_eq!(invite.url, "https://localhost/enroll/identity");
        invite.challenge
    }

    /// Asks for an identity on `challenge`.
    pub(super) async fn request_identity(&self, challenge: &str, udid: &str) -> (Answer, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (self.request_identity_for(challenge, udid, &key).await, key)
    }

    /// Asks for an identity for a key that is there.
    pub(super) async fn request_identity_for(&self, challenge: &str, udid: &str, key: &KeyPair) -> Answer {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, udid);
        let request = params.serialize_request(key).unwrap();
        self.anonymous()
            .send(
                Method::POST,
                "/enroll/identity",
                &[
                    ("content-type", "application/pkcs10"),
                    ("authorization", &format!("Bearer {challenge}")),
                ],
                request.der().to_vec(),
            )
            .await
    }

    /// A certificate for a device that has been invited, with the authority's as PEM, and its key.
    pub(super) async fn identity(&self, udid: &str) -> (String, KeyPair) {
        let challenge = self.invitation(None, Some(udid)).await;
        let (answer, key) = self.request_identity(&challenge, udid).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let identity: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        (identity["certificate"].as_str().unwrap().to_owned(), key)
    }

    /// Serves proxies from these networks too, on another address.
    pub(super) fn behind_proxies(&self, trusted: &[&str], header: &'static str) -> SocketAddr {
        let proxies = Proxies {
            header: HeaderName::from_static(header),
            trusted: trusted.iter().map(|network| network.parse().unwrap()).collect(),
        };
        let router = behind(
            self.app.clone(),
            proxies,
            Arc::clone(&self.peers),
            self.clock.clone(),
        );
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        serve_proxies(
            router,
            socket,
            ConnectionMetrics::default(),
            self.shutdown.clone(),
        )
        .unwrap()
        .address
    }

    /// A device with an identity that has not yet authenticated.
    pub(super) async fn invited(&self, udid: &str) -> Device {
        let (chain, key) = self.identity(udid).await;
        Device {
            udid: udid.to_owned(),
            os_version: "15.4".into(),
            client: Client::new(self, Some((&chain, &key))),
        }
    }

    /// A Mac that has enrolled.
    pub(super) async fn enrolled(&self, udid: &str) -> Device {
        let device = self.invited(udid).await;
        device.enroll().await;
        device
    }

    /// A Mac too old for declarations that has enrolled.
    pub(super) async fn enrolled_old(&self, udid: &str) -> Device {
        let mut device = self.invited(udid).await;
        device.os_version = "12.6".into();
        device.enroll().await;
        device
    }

    pub(super) async fn enqueue(&self, device: &Device, command: &MdmCommand, uuid: &str) {
        let deadline = self.clock.now() + SignedDuration::from_hours(24);
        let uuid = CommandUuid::parse(uuid).unwrap();
        let unknown = self
            .store
            .enqueue(
                vec![command.queued(&device.id(), uuid, None, deadline)],
                self.clock.now(),
            )
            .await
            .unwrap();
        assert!(unknown.is_empty());
    }

    /// Points a device at a manifest.
    pub(super) async fn point(&self, device: &Device, manifest: &Arc<Manifest>) {
        self.store.keep_manifest(Arc::clone(manifest)).await.unwrap();
        let moved = self
            .store
            .point(&[(device.id(), manifest.id)], self.clock.now())
            .await
            .unwrap();
        assert_eq!(moved, 1);
    }
}

async fn defect() -> StatusCode {
    panic!("a defect, on purpose")
}

/// A manifest of configurations, given by identifier and token, and one profile.
pub(super) fn manifest(token: &str, configurations: &[(&str, &str)]) -> Arc<Manifest> {
    let declarations = configurations
        .iter()
        .map(|(identifier, server_token)| Declaration {
            section: Section::Configurations,
            identifier: (*identifier).into(),
            server_token: (*server_token).into(),
            body: format!(r#"{{"Identifier":"{identifier}","ServerToken":"{server_token}"}}"#).into(),
        });
    let body = format!("<plist><string>{token}</string></plist>");
    Arc::new(Manifest {
        id: Digest::of(token.as_bytes()),
        declarations_token: token.into(),
        declarations: declarations.collect(),
        profiles: vec![ProfileDocument {
            identifier: "dev.provost.profile.a".into(),
            uuid: format!("U-{token}").into(),
            digest: Digest::of(body.as_bytes()),
            body: body.into(),
        }],
        users: None,
    })
}

/// What a client got.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `RequestType` and the `CommandUUID` of a command. None: there is no work.
    pub(super) fn command(&self) -> Option<(String, String)> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        if self.body.is_empty() {
            return None;
        }
        let whole = read_dictionary(&self.body).unwrap();
        let uuid = whole.get("CommandUUID")?.as_string()?;
        let command = whole.get("Command")?.as_dictionary()?;
        Some((
            command.get("RequestType")?.as_string()?.to_owned(),
            uuid.to_owned(),
        ))
    }
}

/// One connection, made anew when it has been closed.
pub(super) struct Client {
    address: SocketAddr,
    /// None: plain HTTP.
    tls: Option<Arc<ClientConfig>>,
    /// What is added to each request.
    pub(super) headers: Vec<(&'static str, String)>,
    /// Signs each body.
    pub(super) signer: Option<Signer>,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Client {
    fn new(world: &World, identity: Option<(&str, &KeyPair)>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(world.pki.servers.certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let tls = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.as_bytes())
                    .map(Result::unwrap)
                    .collect();
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Self {
            address: world.address,
            tls: Some(Arc::new(tls)),
            headers: Vec::new(),
            signer: None,
            connection: Mutex::new(None),
        }
    }

    /// A proxy that speaks plain HTTP and says `headers` with each request.
    pub(super) fn proxy(address: SocketAddr, headers: Vec<(&'static str, String)>) -> Self {
        Self {
            address,
            tls: None,
            headers,
            signer: None,
            connection: Mutex::new(None),
        }
    }

    /// A client with a certificate of its own making.
    pub(super) fn with_identity(world: &World, chain: &str, key: &KeyPair) -> Self {
        Self::new(world, Some((chain, key)))
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(signer) = &self.signer {
            request = request.header("mdm-signature", signer.sign(&body));
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let mut connection = self.connection.lock().await;
        if connection.as_mut().is_none_or(|open| open.is_closed()) {
            *connection = Some(self.connect().await);
        }
        let open = connection.as_mut().unwrap();
        open.ready().await.unwrap();
        let response: Response<_> = open.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let Some(tls) = &self.tls else {
            return speak(stream).await;
        };
        let name = ServerName::try_from("localhost").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(tls));
        speak(connector.connect(name, stream).await.unwrap()).await
    }
}

async fn speak(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
) -> SendRequest<Full<Bytes>> {
    let (send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    send
}

/// Signs messages as OpenSSL does.
pub(super) struct Signer {
    directory: tempfile::TempDir,
    options: Vec<&'static str>,
}

impl Signer {
    pub(super) fn new(chain: &str, key: &KeyPair, options: &[&'static str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("chain.pem"), chain).unwrap();
        std::fs::write(directory.path().join("key.pem"), key.serialize_pem()).unwrap();
        Self {
            directory,
            options: options.to_vec(),
        }
    }

    /// The value of `Mdm-Signature` for a body.
    pub(super) fn sign(&self, body: &[u8]) -> String {
        std::fs::write(self.directory.path().join("body"), body).unwrap();
        let signed = Command::new("openssl")
            .current_dir(self.directory.path())
            .args([
                "cms", "-sign", "-binary", "-outform", "DER", "-in", "body", "-signer",
            ])
            .args(["chain.pem", "-inkey", "key.pem"])
            .args(&self.options)
            .output()
            .unwrap();
        assert!(
            signed.status.success(),
            "{}",
            String::from_utf8_lossy(&signed.stderr)
        );
        STANDARD.encode(signed.stdout)
    }
}

/// A Mac, by hand.
pub(super) struct Device {
    pub(super) udid: String,
    pub(super) os_version: String,
    pub(super) client: Client,
}

impl Device {
    pub(super) fn id(&self) -> EnrollmentId {
        EnrollmentId::parse(&self.udid).unwrap()
    }

    pub(super) async fn enroll(&self) {
        let answer = self.authenticate().await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let answer = self.token_update().await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }

    pub(super) async fn authenticate(&self) -> Answer {
        self.check_in(
            "Authenticate",
            &[
                ("Topic", TOPIC.into()),
                ("SerialNumber", "TESTSERIAL01".into()),
                ("ProductName", "Mac16,10".into()),
                ("OSVersion", self.os_version.as_str().into()),
                ("BuildVersion", "24E263".into()),
            ],
        )
        .await
    }

    pub(super) async fn token_update(&self) -> Answer {
        self.token_update_saying(&[]).await
    }

    /// A first or later token, with what else the message says.
    pub(super) async fn token_update_saying(&self, more: &[(&str, Value)]) -> Answer {
        let mut entries = vec![
            ("Topic", TOPIC.into()),
            ("Token", Value::Data(vec![7; 32])),
            ("PushMagic", "M-1".into()),
        ];
        entries.extend_from_slice(more);
        self.check_in("TokenUpdate", &entries).await
    }

    pub(super) async fn check_in(&self, kind: &str, entries: &[(&str, Value)]) -> Answer {
        let mut entries = entries.to_vec();
        entries.push(("MessageType", kind.into()));
        self.put("/mdm/checkin", "application/x-apple-aspen-mdm-checkin", &entries)
            .await
    }

    pub(super) async fn declarative(&self, endpoint: &str, data: Option<&str>) -> Answer {
        let mut entries = vec![("Endpoint", Value::from(endpoint))];
        if let Some(data) = data {
            entries.push(("Data", Value::Data(data.as_bytes().to_vec())));
        }
        self.check_in("DeclarativeManagement", &entries).await
    }

    pub(super) async fn idle(&self) -> Answer {
        self.report(&[("Status", "Idle".into())]).await
    }

    pub(super) async fn acknowledge(&self, uuid: &str, entries: &[(&str, Value)]) -> Answer {
        self.reply(uuid, "Acknowledged", entries).await
    }

    pub(super) async fn reply(&self, uuid: &str, status: &str, entries: &[(&str, Value)]) -> Answer {
        let mut entries = entries.to_vec();
        entries.push(("CommandUUID", uuid.into()));
        entries.push(("Status", status.into()));
        self.report(&entries).await
    }

    pub(super) async fn report(&self, entries: &[(&str, Value)]) -> Answer {
        self.put("/mdm", "application/x-apple-aspen-mdm", entries).await
    }

    async fn put(&self, path: &str, kind: &str, entries: &[(&str, Value)]) -> Answer {
        let mut message: plist::Dictionary = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        if !message.contains_key("UDID") && !message.contains_key("EnrollmentID") {
            message.insert("UDID".into(), self.udid.as_str().into());
        }
        let body = to_xml(&Value::Dictionary(message));
        self.client
            .send(
                Method::PUT,
                path,
                &[("content-type", kind)],
                body.as_bytes().to_vec(),
            )
            .await
    }

    /// Acknowledges everything that is pending, without saying more; returns what it was.
    pub(super) async fn drain(&self) -> Vec<String> {
        let mut done = Vec::new();
        let mut next = self.idle().await.command();
        while let Some((kind, uuid)) = next {
            done.push(kind);
            next = self.acknowledge(&uuid, &[]).await.command();
        }
        done
    }
}

/// A property-list dictionary.
pub(super) fn dictionary(entries: &[(&str, Value)]) -> Value {
    Value::Dictionary(
        entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
    )
}
