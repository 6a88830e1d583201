//! A listener: it accepts, and hands each connection to the router.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Extension, Request};
use axum::middleware::AddExtension;
use axum_server::Handle;
use axum_server::accept::{Accept, NoDelayAcceptor};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, PollSemaphore};
use tower::{Layer as _, Service};

use super::limits::Limits;
use super::metrics::ConnectionMetrics;

/// The most bytes of a connection that wait to be read, over HTTP/1.1: what a client sends faster than it is wanted stays with the client.
const BUFFER: usize = 16 * 1024;

/// As [`BUFFER`], over HTTP/2.
const WINDOW: u32 = 64 * 1024;

/// TLS settings of a server.
pub type TlsConfig = Arc<ServerConfig>;

/// The certificate that a client has shown and proved to hold the key of, and its chain. Empty for a client without one.
#[derive(Debug, Clone)]
pub struct ClientCertificates(Arc<[CertificateDer<'static>]>);

impl ClientCertificates {
    /// As the handshake gives them.
    #[must_use]
    pub fn of(chain: &[CertificateDer<'static>]) -> Self {
        Self(chain.into())
    }
}

impl Deref for ClientCertificates {
    type Target = [CertificateDer<'static>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// A server that has been started.
#[derive(Debug)]
pub struct Serving {
    /// The address it listens on, with the port that was chosen.
    pub address: SocketAddr,
    /// Ends when the server has stopped.
    pub task: JoinHandle<io::Result<()>>,
}

/// How a server listens. The address of a client is in the extensions of its requests, as [`ConnectInfo<SocketAddr>`].
#[derive(Debug, Clone)]
pub struct Listener {
    name: &'static str,
    limits: Limits,
    metrics: ConnectionMetrics,
}

impl Listener {
    /// `name` says in logs and metrics which listener it is.
    #[must_use]
    pub const fn new(name: &'static str, limits: Limits, metrics: ConnectionMetrics) -> Self {
        Self {
            name,
            limits,
            metrics,
        }
    }

    /// Serves `router` on `socket` over plain HTTP until `shutdown`; then requests under way are finished.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn http(
        self,
        router: Router,
        socket: TcpListener,
        shutdown: CancellationToken,
    ) -> io::Result<Serving> {
        self.start(router, socket, NoDelayAcceptor::new(), shutdown)
    }

    /// Serves `router` on `socket` over TLS until `shutdown`; then requests under way are finished. What `introduce` makes of the client's
    /// certificates is in the extensions of each request of the connection: [`ClientCertificates::of`] keeps them as they are.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn https<I, T>(
        self,
        router: Router,
        socket: TcpListener,
        tls: TlsConfig,
        introduce: I,
        shutdown: CancellationToken,
    ) -> io::Result<Serving>
    where
        I: Fn(&[CertificateDer<'static>]) -> T + Send + Sync + 'static,
        T: Clone + Send + Sync + 'static,
    {
        let acceptor = Handshake {
            tls: TlsAcceptor::from(tls),
            patience: self.limits.handshake,
            introduce: Arc::new(introduce),
        };
        self.start(router, socket, acceptor, shutdown)
    }

    fn start<A, S, T>(
        self,
        router: Router,
        socket: TcpListener,
        acceptor: A,
        shutdown: CancellationToken,
    ) -> io::Result<Serving>
    where
        A: Accept<TcpStream, Admitted, Stream = S, Service = T> + Clone + Send + Sync + 'static,
        A::Future: Send,
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        T: Service<Request<hyper::body::Incoming>, Response = axum::response::Response, Error = Infallible>
            + Clone
            + Send
            + 'static,
        T::Future: Send,
    {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let Limits {
            handshake,
            idle,
            streams,
            grace,
            ..
        } = self.limits;
        let name = self.name;
        let handle = Handle::new();
        let mut server = axum_server::from_tcp(socket)?
            .acceptor(acceptor)
            .handle(handle.clone())
            .first_request_timeout(handshake)
            .accept_error_handler(move |client, error| {
                if client.is_some() {
                    tracing::debug!(name, ?client, %error, "a connection came to nothing");
                } else {
                    tracing::warn!(name, %error, "a connection cannot be accepted");
                }
            });
        let builder = server.http_builder();
        builder.http1().header_read_timeout(idle).max_buf_size(BUFFER);
        builder
            .http2()
            .max_concurrent_streams(streams)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .keep_alive_interval(idle)
            .keep_alive_timeout(handshake);
        let places = Arc::new(Semaphore::new(self.limits.room().min(Semaphore::MAX_PERMITS)));
        let door = Door {
            router,
            open: self.metrics.of(name, places.available_permits()),
            places: PollSemaphore::new(Arc::clone(&places)),
            next: Next::Waits,
        };
        let task = tokio::spawn(async move {
            let serving = server.serve(door);
            tokio::pin!(serving);
            tokio::select! {
                ended = &mut serving => return ended,
                () = shutdown.cancelled() => {}
            }
            handle.graceful_shutdown(Some(grace));
            // Whoever waits for a place is let in, and sees at once that the server stops.
            places.close();
            serving.await
        });
        Ok(Serving { address, task })
    }
}

/// Who may come in next.
enum Next {
    /// Nobody, until there is a place.
    Waits,
    /// A client, to this place.
    Has(OwnedSemaphorePermit),
    /// Anybody, to be told that the server stops.
    Stops,
}

/// Makes the service of each connection once there is a place for it. Until then no other is accepted.
struct Door {
    router: Router,
    places: PollSemaphore,
    open: Gauge,
    next: Next,
}

impl Service<SocketAddr> for Door {
    type Response = Admitted;
    type Error = Infallible;
    type Future = Ready<Result<Admitted, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if matches!(self.next, Next::Waits) {
            self.next = match self.places.poll_acquire(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(place)) => Next::Has(place),
                Poll::Ready(None) => Next::Stops,
            };
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, client: SocketAddr) -> Self::Future {
        self.open.inc();
        let permit = match std::mem::replace(&mut self.next, Next::Waits) {
            Next::Has(permit) => Some(permit),
            Next::Waits | Next::Stops => None,
        };
        let place = Place {
            open: self.open.clone(),
            _permit: permit,
        };
        ready(Ok(Admitted {
            router: Extension(ConnectInfo(client)).layer(self.router.clone()),
            _place: Arc::new(place),
        }))
    }
}

/// The place of a connection, free again when it is dropped.
struct Place {
    open: Gauge,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// What answers a connection's requests; it keeps the connection's place from the handshake until its last request has ended.
#[derive(Clone)]
struct Admitted {
    router: AddExtension<Router, ConnectInfo<SocketAddr>>,
    _place: Arc<Place>,
}

impl<B> Service<Request<B>> for Admitted
where
    AddExtension<Router, ConnectInfo<SocketAddr>>: Service<Request<B>>,
{
    type Response = <AddExtension<Router, ConnectInfo<SocketAddr>> as Service<Request<B>>>::Response;
    type Error = <AddExtension<Router, ConnectInfo<SocketAddr>> as Service<Request<B>>>::Error;
    type Future = <AddExtension<Router, ConnectInfo<SocketAddr>> as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.router.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.router.call(request)
    }
}

/// To who begins with no handshake: the likeliest is a URL with `http:` where `https:` is meant.
const NO_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r
Connection: close\r
Content-Type: text/plain; charset=utf-8\r
\r
Client sent an HTTP request to an HTTPS server.
";

/// The most bytes that are read of what such a client says.
const UNREAD: usize = 1024;

/// Whether a client begins with the name of a method, all of them capitals, where a handshake begins with 0x16. Nothing is taken from the stream.
async fn speaks_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    Ok(first.first().is_some_and(u8::is_ascii_uppercase))
}

/// Shakes hands, and says to the requests who the client is.
struct Handshake<I> {
    tls: TlsAcceptor,
    patience: Duration,
    introduce: Arc<I>,
}

impl<I> Clone for Handshake<I> {
    fn clone(&self) -> Self {
        Self {
            tls: self.tls.clone(),
            patience: self.patience,
            introduce: Arc::clone(&self.introduce),
        }
    }
}

impl<I, T, S> Accept<TcpStream, S> for Handshake<I>
where
    I: Fn(&[CertificateDer<'static>]) -> T + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    S: Send + 'static,
{
    type Stream = TlsStream<TcpStream>;
    type Service = AddExtension<S, T>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, mut stream: TcpStream, service: S) -> Self::Future {
        let Self {
            tls,
            patience,
            introduce,
        } = self.clone();
        async move {
            stream.set_nodelay(true)?;
            let shaken = async move {
                if speaks_http(&stream).await? {
                    // What nobody has read when a connection is closed would make the answer vanish with it.
                    let _ = stream.read(&mut [0; UNREAD]).await?;
                    stream.write_all(NO_TLS).await?;
                    return Err(io::Error::other("it speaks HTTP without TLS"));
                }
                tls.accept(stream).await
            };
            let stream = tokio::time::timeout(patience, shaken).await??;
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let who = introduce(chain);
            Ok((stream, Extension(who).layer(service)))
        }
        .boxed()
    }
}
