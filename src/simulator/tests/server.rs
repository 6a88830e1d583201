//! A scripted server that speaks Apple's documents over loopback TLS, as devices must find it. It decides nothing:
//! the tests do.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use axum_server::tls::TlsInfo;
use axum_server::tls_rustls::RustlsConfig;
use plist::{Dictionary, Value};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa, KeyPair,
};
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use super::super::enroll::Invitation;

pub(super) const TOPIC: &str = "com.apple.mgmt.External.00000000-0000-4000-8000-000000000001";

/// What the server will say and what it has heard.
#[derive(Default)]
pub(super) struct Script {
    /// Commands that wait, each with its UUID.
    pub(super) queue: VecDeque<(String, Dictionary)>,
    /// A command that every poll is offered, whoever polls; its UUID is `everyone`.
    pub(super) everyone: Option<Dictionary>,
    /// Whether messages are answered and not kept.
    pub(super) forgetful: bool,
    /// Declarations: kind, and document.
    pub(super) declarations: Vec<(&'static str, Json)>,
    /// Declarations that are advertised, and answered 404 so many times.
    pub(super) vanished: usize,
    /// The profile at `/profile`.
    pub(super) profile: Vec<u8>,
    /// Answers to the next requests, whatever they are.
    pub(super) faults: VecDeque<(StatusCode, &'static str)>,
    /// Check-in messages.
    pub(super) check_ins: Vec<Dictionary>,
    /// Command reports, polls left out.
    pub(super) reports: Vec<Dictionary>,
    /// Status reports.
    pub(super) status: Vec<Json>,
    /// How many times a profile was fetched.
    pub(super) profile_fetches: usize,
    /// How many requests were refused by `faults`.
    pub(super) refused: usize,
    /// Requests of an enrolled device that came without its certificate.
    pub(super) nameless: usize,
}

impl Script {
    pub(super) fn message_types(&self) -> Vec<&str> {
        self.check_ins
            .iter()
            .map(|message| text(message, "MessageType"))
            .collect()
    }

    pub(super) fn command(&mut self, uuid: &str, entries: &[(&str, Value)]) {
        let command = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        self.queue.push_back((uuid.to_owned(), command));
    }

    pub(super) fn reported(&self, uuid: &str, status: &str) -> Option<&Dictionary> {
        self.reports
            .iter()
            .find(|report| text(report, "CommandUUID") == uuid && text(report, "Status") == status)
    }

    /// The last known state of a configuration, from all status reports.
    pub(super) fn configuration(&self, identifier: &str) -> Option<&Json> {
        self.status.iter().rev().find_map(|report| {
            let entries = &report["StatusItems"]["management"]["declarations"]["configurations"];
            entries
                .as_array()?
                .iter()
                .find(|entry| entry["identifier"] == identifier)
        })
    }

    fn token(&self) -> String {
        let tokens: Vec<String> = self
            .declarations
            .iter()
            .map(|(_, d)| d["ServerToken"].to_string())
            .collect();
        tokens.join("+")
    }

    fn manifest(&self) -> Json {
        let section = |wanted: &str| -> Vec<Json> {
            let of_kind = self.declarations.iter().filter(|(kind, _)| *kind == wanted);
            of_kind
                .map(|(_, d)| json!({"Identifier": d["Identifier"], "ServerToken": d["ServerToken"]}))
                .collect()
        };
        json!({
            "Declarations": {
                "Activations": section("activation"), "Assets": section("asset"),
                "Configurations": section("configuration"), "Management": section("management"),
            },
            "DeclarationsToken": self.token(),
        })
    }

    fn declarative(&mut self, endpoint: &str, data: Option<&[u8]>) -> Response {
        match endpoint {
            "tokens" => json_response(&json!({"SyncTokens":
                {"DeclarationsToken": self.token(), "Timestamp": "2026-01-01T00:00:00Z"}})),
            "declaration-items" => json_response(&self.manifest()),
            "status" => {
                self.status
                    .push(serde_json::from_slice(data.unwrap_or_default()).unwrap());
                StatusCode::OK.into_response()
            }
            _ if self.vanished > 0 => {
                self.vanished -= 1;
                StatusCode::NOT_FOUND.into_response()
            }
            _ => {
                let path = endpoint.strip_prefix("declaration/").unwrap();
                let found = self.declarations.iter().find(|(kind, declaration)| {
                    path == format!("{kind}/{}", declaration["Identifier"].as_str().unwrap())
                });
                found.map_or_else(
                    || StatusCode::NOT_FOUND.into_response(),
                    |(_, d)| json_response(d),
                )
            }
        }
    }
}

pub(super) fn text<'a>(dictionary: &'a Dictionary, key: &str) -> &'a str {
    dictionary.get(key).and_then(Value::as_string).unwrap_or_default()
}

fn json_response(body: &Json) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

struct Shared {
    script: Mutex<Script>,
    heard: watch::Sender<()>,
    ca: CertifiedIssuer<'static, KeyPair>,
    base: String,
}

/// The server; it stops when dropped.
pub(super) struct Server {
    shared: Arc<Shared>,
    handle: axum_server::Handle<SocketAddr>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

impl Server {
    pub(super) fn start() -> Self {
        let ca = ca();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let base = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let tls = RustlsConfig::from_config(Arc::new(server_tls(&ca)));
        let shared = Arc::new(Shared {
            script: Mutex::default(),
            heard: watch::Sender::new(()),
            ca,
            base,
        });
        let app = Router::new()
            .route("/enroll", post(issue))
            .route("/mdm", put(command))
            .route("/mdm/checkin", put(check_in))
            .route("/profile/{name}", get(profile))
            .with_state(Arc::clone(&shared));
        let handle = axum_server::Handle::new();
        let server = axum_server::from_tcp_rustls(listener, tls)
            .unwrap()
            .handle(handle.clone());
        tokio::spawn(server.serve(app.into_make_service()));
        Self { shared, handle }
    }

    pub(super) fn ca_pem(&self) -> String {
        self.shared.ca.pem()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.shared.base)
    }

    pub(super) fn invitation(&self) -> Invitation {
        let invitation = json!({"url": self.url("/enroll"), "challenge": "let me in", "expiresAt": "2030-01-01T00:00:00Z"});
        serde_json::from_value(invitation).unwrap()
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.script.lock().unwrap()
    }

    /// Waits until what the server has heard satisfies `condition`.
    pub(super) async fn until(&self, condition: impl Fn(&Script) -> bool) {
        let mut heard = self.shared.heard.subscribe();
        let satisfied = async {
            while !condition(&self.script()) {
                heard.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(std::time::Duration::from_secs(30), satisfied)
            .await
            .is_err()
        {
            let script = self.script();
            panic!(
                "never came true; heard {:?} {:#?} {:#?}",
                script.message_types(),
                script.reports,
                script.status
            );
        }
    }
}

fn ca() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server_tls(ca: &CertifiedIssuer<'static, KeyPair>) -> rustls::ServerConfig {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, ca)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .unwrap();
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![leaf.der().clone()], key.into())
        .unwrap()
}

async fn issue(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(fault) = shared.fault() {
        return fault;
    }
    assert_eq!(headers[header::CONTENT_TYPE], "application/pkcs10");
    if headers[header::AUTHORIZATION] != "Bearer let me in" {
        return StatusCode::FORBIDDEN.into_response();
    }
    let csr = CertificateSigningRequestParams::from_der(&body.to_vec().into()).unwrap();
    let certificate = csr.signed_by(&shared.ca).unwrap();
    json_response(&json!({
        "certificate": certificate.pem(),
        "mdm": {
            "serverUrl": format!("{}/mdm", shared.base),
            "checkInUrl": format!("{}/mdm/checkin", shared.base),
            "topic": TOPIC,
        },
        "ca": shared.ca.pem(),
    }))
}

async fn command(
    State(shared): State<Arc<Shared>>,
    Extension(tls): Extension<Arc<TlsInfo>>,
    body: Bytes,
) -> Response {
    if let Some(fault) = shared.fault() {
        return fault;
    }
    let report: Dictionary = plist::from_bytes(&body).unwrap();
    let mut script = shared.hear(&tls, &report);
    let (uuid, status) = (
        text(&report, "CommandUUID").to_owned(),
        text(&report, "Status").to_owned(),
    );
    if status != "Idle" && !script.forgetful {
        script.reports.push(report);
    }
    if status == "Idle"
        && let Some(command) = script.everyone.clone()
    {
        return offer("everyone".to_owned(), command);
    }
    // A command that was put off goes to the end, and is not offered again in this contact.
    if status == "NotNow" {
        return StatusCode::OK.into_response();
    }
    if script.queue.front().is_some_and(|(waiting, _)| *waiting == uuid) {
        script.queue.pop_front();
    }
    let Some((uuid, command)) = script.queue.front().cloned() else {
        return StatusCode::OK.into_response();
    };
    offer(uuid, command)
}

fn offer(uuid: String, command: Dictionary) -> Response {
    let mut offered = Dictionary::new();
    offered.insert("CommandUUID".to_owned(), uuid.into());
    offered.insert("Command".to_owned(), command.into());
    let mut xml = Vec::new();
    plist::to_writer_xml(&mut xml, &offered).unwrap();
    xml.into_response()
}

async fn check_in(
    State(shared): State<Arc<Shared>>,
    Extension(tls): Extension<Arc<TlsInfo>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(fault) = shared.fault() {
        return fault;
    }
    assert_eq!(
        headers[header::CONTENT_TYPE],
        "application/x-apple-aspen-mdm-checkin"
    );
    let message: Dictionary = plist::from_bytes(&body).unwrap();
    let mut script = shared.hear(&tls, &message);
    let answer = match text(&message, "MessageType") {
        "DeclarativeManagement" => {
            let data = message.get("Data").and_then(Value::as_data);
            script.declarative(text(&message, "Endpoint"), data)
        }
        _ => StatusCode::OK.into_response(),
    };
    if !script.forgetful {
        script.check_ins.push(message);
    }
    answer
}

async fn profile(
    State(shared): State<Arc<Shared>>,
    Extension(tls): Extension<Arc<TlsInfo>>,
    Path(name): Path<String>,
) -> Response {
    assert!(
        !tls.peer_certificates.is_empty(),
        "profiles are for enrolled devices"
    );
    let mut script = shared.script.lock().unwrap();
    script.profile_fetches += 1;
    if name == "missing" {
        StatusCode::NOT_FOUND.into_response()
    } else {
        script.profile.clone().into_response()
    }
}

impl Shared {
    fn fault(&self) -> Option<Response> {
        let mut script = self.script.lock().unwrap();
        let (status, body) = script.faults.pop_front()?;
        script.refused += 1;
        self.heard.send_replace(());
        Some((status, body).into_response())
    }

    /// Checks that the certificate names the device of the message.
    fn hear(&self, tls: &TlsInfo, message: &Dictionary) -> MutexGuard<'_, Script> {
        let named = tls.peer_certificates.first().is_some_and(|der| {
            let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
            let name = certificate
                .subject()
                .iter_common_name()
                .next()
                .unwrap()
                .as_str()
                .unwrap();
            name == text(message, "UDID")
        });
        let mut script = self.script.lock().unwrap();
        script.nameless += usize::from(!named);
        self.heard.send_replace(());
        script
    }
}
