use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::routing::get;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;

const PLACES: usize = 3;
const CLIENTS: usize = 4 * PLACES;

const LIMITS: Limits = Limits {
    connections: PLACES,
    handshake: Duration::from_secs(20),
    idle: Duration::from_secs(20),
    streams: 8,
    grace: Duration::from_secs(20),
};

/// A server whose every answer waits for [`Room::let_go`].
#[derive(Clone, Default)]
struct Room {
    gate: Arc<Gate>,
    metrics: ConnectionMetrics,
}

struct Gate {
    inside: AtomicUsize,
    most: AtomicUsize,
    entered: Notify,
    leave: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            inside: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            entered: Notify::new(),
            leave: Semaphore::new(0),
        }
    }
}

impl Room {
    fn router(&self) -> axum::Router {
        let gate = Arc::clone(&self.gate);
        let answer = async move || {
            let inside = gate.inside.fetch_add(1, Ordering::SeqCst) + 1;
            gate.most.fetch_max(inside, Ordering::SeqCst);
            gate.entered.notify_one();
            gate.leave.acquire().await.unwrap().forget();
            gate.inside.fetch_sub(1, Ordering::SeqCst);
            "well come"
        };
        axum::Router::new().route("/", get(answer))
    }

    fn serve(&self, limits: Limits, shutdown: &CancellationToken) -> Serving {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Listener::new("room", limits, self.metrics.clone())
            .http(self.router(), socket, shutdown.clone())
            .unwrap()
    }

    async fn hold(&self, inside: usize) {
        while self.gate.inside.load(Ordering::SeqCst) < inside {
            self.gate.entered.notified().await;
        }
    }

    fn let_go(&self, requests: usize) {
        self.gate.leave.add_permits(requests);
    }

    fn shown(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        self.metrics.register(&mut registry);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        page
    }
}

/// The answer to one request on a connection, which is then closed.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// So many clients that have connected; each asks once.
async fn asking(serving: &Serving, clients: usize) -> JoinSet<String> {
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        let stream = TcpStream::connect(serving.address).await.unwrap();
        asking.spawn(ask(stream));
    }
    asking
}

#[tokio::test]
async fn more_clients_than_places_wait_and_all_are_answered() {
    let (room, shutdown) = (Room::default(), CancellationToken::new());
    let serving = room.serve(LIMITS, &shutdown);
    let mut clients = asking(&serving, CLIENTS).await;
    // All of them have connected and asked, as far as they can tell; only those with a place have been heard.
    room.hold(PLACES).await;
    let page = room.shown();
    assert!(page.contains(r#"connections{listener="room"} 3"#), "{page}");
    assert!(page.contains(r#"connections_limit{listener="room"} 3"#), "{page}");
    for _ in 0..CLIENTS {
        room.let_go(1);
        let answer = clients.join_next().await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(room.gate.most.load(Ordering::SeqCst), PLACES);
    shutdown.cancel();
    serving.task.await.unwrap().unwrap();
    let page = room.shown();
    assert!(page.contains(r#"connections{listener="room"} 0"#), "{page}");
}

#[tokio::test]
async fn clients_that_say_nothing_keep_no_place() {
    let (room, shutdown) = (Room::default(), CancellationToken::new());
    let impatient = Limits {
        handshake: Duration::from_millis(200),
        ..LIMITS
    };
    let serving = room.serve(impatient, &shutdown);
    room.let_go(1);
    let mut silent = Vec::new();
    for _ in 0..PLACES {
        silent.push(TcpStream::connect(serving.address).await.unwrap());
    }
    let answer = ask(TcpStream::connect(serving.address).await.unwrap()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 0, "it is closed");
    }
}

#[tokio::test]
async fn a_full_server_stops_as_well_as_an_empty_one() {
    let (room, shutdown) = (Room::default(), CancellationToken::new());
    let serving = room.serve(LIMITS, &shutdown);
    let mut clients = asking(&serving, PLACES).await;
    room.hold(PLACES).await;
    let mut waiting = TcpStream::connect(serving.address).await.unwrap();
    shutdown.cancel();
    // Whoever waits is turned away, whoever was heard gets an answer.
    assert_eq!(waiting.read(&mut [0; 64]).await.unwrap_or_default(), 0);
    room.let_go(PLACES);
    while let Some(answer) = clients.join_next().await {
        let answer = answer.unwrap();
        assert!(answer.ends_with("well come"), "{answer}");
    }
    serving.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_without_end_does_not_keep_a_full_server_from_stopping() {
    let (room, shutdown) = (Room::default(), CancellationToken::new());
    let short = Limits {
        grace: Duration::from_millis(100),
        ..LIMITS
    };
    let serving = room.serve(short, &shutdown);
    let mut streams = Vec::new();
    for _ in 0..=PLACES {
        let mut stream = TcpStream::connect(serving.address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .unwrap();
        streams.push(stream);
    }
    room.hold(PLACES).await;
    shutdown.cancel();
    serving.task.await.unwrap().unwrap();
}

/// A server's settings with a certificate of its own, and a client's that trust it.
fn tls() -> (TlsConfig, tokio_rustls::TlsConnector) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client).into())
}

#[tokio::test]
async fn a_handshake_has_its_time_and_takes_a_place_and_what_is_none_is_told_so() {
    let (server, client) = tls();
    let room = Room::default();
    let shutdown = CancellationToken::new();
    let impatient = Limits {
        connections: 1,
        handshake: Duration::from_millis(500),
        ..LIMITS
    };
    let router = axum::Router::new().route(
        "/",
        get(
            async |axum::Extension(certificates): axum::Extension<ClientCertificates>| {
                format!("{} certificates", certificates.len())
            },
        ),
    );
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let serving = Listener::new("room", impatient, room.metrics.clone())
        .https(router, socket, server, ClientCertificates::of, shutdown.clone())
        .unwrap();
    let mut silent = TcpStream::connect(serving.address).await.unwrap();
    let stream = TcpStream::connect(serving.address).await.unwrap();
    let stream = client
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
        .unwrap();
    assert_eq!(silent.read(&mut [0; 64]).await.unwrap(), 0, "it is closed");
    let answer = ask(stream).await;
    assert!(answer.ends_with("0 certificates"), "{answer}");
    let plain = ask(TcpStream::connect(serving.address).await.unwrap()).await;
    assert!(plain.starts_with("HTTP/1.0 400"), "{plain}");
    assert!(
        plain.ends_with("an HTTP request to an HTTPS server.\n"),
        "{plain}"
    );
    shutdown.cancel();
    serving.task.await.unwrap().unwrap();
}
