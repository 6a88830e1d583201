//! The network side: TLS, HTTP/2, and Apple's paths and headers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::{Clock as _, SystemClock};

use super::registry::{Answer, Fault, PushSink, ReceivedPush, Registry};
use super::tls::{TlsIdentity, TlsIdentityError};

/// Apple's limit for a push body.
const MAX_BODY: usize = 4096;
/// How long a provider may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait after a failed accept: the process may be out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where and as whom the service listens.
pub struct FakeApnsSettings {
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its certificate.
    pub identity: TlsIdentity,
    /// Whether a provider must present a certificate, as at Apple.
    pub require_client_certificate: bool,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ApnsError {
    /// The address cannot be listened on.
    #[error("could not listen on {address} for pushes")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate cannot be used.
    #[error("could not set up TLS for the push service")]
    Tls(#[from] TlsIdentityError),
}

/// A running push service; it stops when dropped.
pub struct FakeApns {
    registry: Arc<Registry>,
    address: SocketAddr,
    ca_pem: String,
    _stop: DropGuard,
}

impl FakeApns {
    /// Starts the service.
    ///
    /// # Errors
    /// [`ApnsError`] when the address or the certificate cannot be used.
    pub async fn start(settings: FakeApnsSettings) -> Result<Self, ApnsError> {
        let tls = TlsAcceptor::from(Arc::new(settings.identity.server_config()?));
        let unable = |source| ApnsError::Listen {
            address: settings.listen,
            source,
        };
        let listener = TcpListener::bind(settings.listen).await.map_err(unable)?;
        let address = listener.local_addr().map_err(unable)?;
        let registry = Arc::new(Registry::default());
        let stop = CancellationToken::new();
        let service = Service {
            registry: Arc::clone(&registry),
            strict: settings.require_client_certificate,
        };
        tokio::spawn(
            stop.clone()
                .run_until_cancelled_owned(accept(listener, tls, service, stop.clone())),
        );
        let ca_pem = settings.identity.ca_pem().to_owned();
        Ok(Self {
            registry,
            address,
            ca_pem,
            _stop: stop.drop_guard(),
        })
    }

    /// The address that is listened on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://address`, for `--apns-url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// What providers should trust, PEM, for `--apns-ca`.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A device has a token for a topic and is connected.
    pub fn attach(&self, token: Vec<u8>, topic: Arc<str>, sink: Arc<dyn PushSink>) {
        self.registry.attach(token, topic, sink);
    }

    /// A token is no longer used, from now on: further pushes to it are answered 410.
    pub fn detach(&self, token: &[u8]) {
        let now = SystemClock.now().as_millisecond();
        self.registry
            .detach(token, u64::try_from(now).unwrap_or_default());
    }

    /// A device has lost or found its connection; in the latter case it gets what is pending.
    pub fn connect(&self, token: &[u8], connected: bool) {
        self.registry.connect(token, connected);
    }

    /// Makes the next requests fail; `None` ends it.
    pub fn fail(&self, fault: Option<Fault>) {
        self.registry.fail(fault);
    }

    /// Makes every answer take so long.
    pub fn slow(&self, delay: Duration) {
        self.registry.slow(delay);
    }

    /// Says goodbye (GOAWAY) to each connection after so many requests, as Apple does now and then; None: to no more of them.
    pub fn say_goodbye_after(&self, requests: Option<u32>) {
        self.registry.say_goodbye_after(requests);
    }

    /// How many connections providers have made.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.registry.connections()
    }

    /// How many pushes have been taken.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.registry.accepted()
    }

    /// The last requests, refused ones included, oldest first.
    #[must_use]
    pub fn recent(&self) -> Vec<ReceivedPush> {
        self.registry.recent()
    }
}

#[derive(Clone)]
struct Service {
    registry: Arc<Registry>,
    strict: bool,
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, service: Service, stop: CancellationToken) {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                let serve = serve(tcp, tls.clone(), service.clone());
                tokio::spawn(stop.clone().run_until_cancelled_owned(serve));
            }
            Err(error) => {
                tracing::warn!(%error, "the simulated push service could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(tcp: TcpStream, tls: TlsAcceptor, service: Service) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(tcp)).await else {
        return;
    };
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .is_some_and(|chain| !chain.is_empty());
    service.registry.connected();
    let (had, enough) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let goodbye = Arc::clone(&enough);
    let handler = service_fn(move |request| {
        let (service, had, enough) = (service.clone(), Arc::clone(&had), Arc::clone(&enough));
        async move {
            let answer = service.answer(request, certificate).await;
            if service
                .registry
                .is_enough(had.fetch_add(1, Ordering::Relaxed) + 1)
            {
                enough.notify_one();
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = std::pin::pin!(
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(1000)
            .serve_connection(TokioIo::new(stream), handler)
    );
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a provider's connection ended");
                }
                return;
            }
            // What has begun is answered; nothing more is taken.
            () = goodbye.notified() => connection.as_mut().graceful_shutdown(),
        }
    }
}

impl Service {
    async fn answer(&self, request: Request<Incoming>, client_certificate: bool) -> Response<Full<Bytes>> {
        let delay = self.registry.delay();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let answer = match read(request, client_certificate).await {
            Err(answer) => answer,
            Ok(_) if self.strict && !client_certificate => Answer::refuse(403, "MissingProviderToken"),
            Ok(push) => self.registry.receive(&push),
        };
        write(&answer)
    }
}

async fn read(request: Request<Incoming>, client_certificate: bool) -> Result<ReceivedPush, Answer> {
    if request.method() != http::Method::POST {
        return Err(Answer::refuse(405, "MethodNotAllowed"));
    }
    let Some(token) = request.uri().path().strip_prefix("/3/device/").map(str::to_owned) else {
        return Err(Answer::refuse(404, "BadPath"));
    };
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let mut push = ReceivedPush {
        token,
        topic: header("apns-topic"),
        push_type: header("apns-push-type"),
        priority: header("apns-priority"),
        expiration: header("apns-expiration"),
        body: String::new(),
        client_certificate,
    };
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
    let body = body
        .map_err(|_| Answer::refuse(413, "PayloadTooLarge"))?
        .to_bytes();
    push.body = String::from_utf8_lossy(&body).into_owned();
    Ok(push)
}

fn write(answer: &Answer) -> Response<Full<Bytes>> {
    let body = answer.reason.as_ref().map(|reason| match answer.timestamp {
        Some(timestamp) => serde_json::json!({ "reason": reason, "timestamp": timestamp }).to_string(),
        None => serde_json::json!({ "reason": reason }).to_string(),
    });
    let mut response = Response::new(Full::from(body.unwrap_or_default()));
    *response.status_mut() =
        http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(seconds) = answer.retry_after {
        response
            .headers_mut()
            .insert(http::header::RETRY_AFTER, seconds.into());
    }
    response
}
