//! TLS for devices: the handshake proves that a client holds the key of the certificate it shows, and leaves it to the requests what that
//! certificate is worth.
//!
//! So a client with an expired certificate, or one of another authority, gets an answer that says so instead of a broken connection, and one
//! without a certificate can still fetch one. Nothing is encrypted or decided here.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::middleware::AddExtension;
use axum_server::Handle;
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::Layer as _;

use super::peer::Peer;
use crate::clock::Clock;
use crate::pki::ca::{ClientTrust, ServerIdentity};

/// How long a client may take for the handshake, and then for its first request.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a connection may be without a request before it is closed.
const IDLE: Duration = Duration::from_mins(2);

/// The most requests of one HTTP/2 connection at a time: a device needs one.
const STREAMS: u32 = 32;

/// The most bytes of a connection that wait to be read, over HTTP/1.1: what a client sends faster than it is wanted stays with the client.
const BUFFER: usize = 16 * 1024;

/// As [`BUFFER`], over HTTP/2.
const WINDOW: u32 = 64 * 1024;

/// How long requests may take to finish once the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// A server that has been started.
#[derive(Debug)]
pub struct Serving {
    /// The address it listens on, with the port that was chosen.
    pub address: SocketAddr,
    /// Ends when the server has stopped.
    pub task: JoinHandle<io::Result<()>>,
}

/// TLS settings of a server.
pub type TlsConfig = Arc<ServerConfig>;

/// The TLS settings of the device endpoint: HTTP/2 and 1.1, and a client certificate for those who have one.
///
/// # Errors
/// When the server's key does not fit its certificate, or is of an unknown kind.
pub fn tls_config(identity: &ServerIdentity) -> Result<TlsConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Possession::new(&provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves `router` on `listener` until `shutdown`; then requests under way are finished. The client of a connection is in the
/// extensions of its requests, as [`Arc<Peer>`], and its address as [`axum::extract::ConnectInfo<SocketAddr>`].
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(
    router: Router,
    listener: std::net::TcpListener,
    tls: Arc<ServerConfig>,
    trust: Arc<ClientTrust>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) -> io::Result<Serving> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let acceptor = DeviceAcceptor {
        tls: RustlsAcceptor::new(RustlsConfig::from_config(tls)).handshake_timeout(HANDSHAKE),
        trust,
        clock,
    };
    let handle = Handle::new();
    let mut server = axum_server::from_tcp(listener)?
        .acceptor(acceptor)
        .handle(handle.clone())
        .first_request_timeout(HANDSHAKE)
        .accept_error_handler(
            |client, error| tracing::debug!(?client, %error, "a connection came to nothing"),
        );
    let builder = server.http_builder();
    builder.http1().header_read_timeout(IDLE).max_buf_size(BUFFER);
    builder
        .http2()
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .keep_alive_interval(IDLE)
        .keep_alive_timeout(HANDSHAKE);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let task = tokio::spawn(async move {
        let serving = server.serve(service);
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended,
            () = shutdown.cancelled() => handle.graceful_shutdown(Some(GRACE)),
        }
        serving.await
    });
    Ok(Serving { address, task })
}

/// Accepts TLS connections and finds out whose they are.
#[derive(Clone)]
struct DeviceAcceptor {
    tls: RustlsAcceptor,
    trust: Arc<ClientTrust>,
    clock: Arc<dyn Clock>,
}

impl<S: Send + 'static> Accept<TcpStream, S> for DeviceAcceptor {
    type Stream = TlsStream<TcpStream>;
    type Service = AddExtension<axum_server::tls::TlsService<S>, Arc<Peer>>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let (trust, clock) = (Arc::clone(&self.trust), Arc::clone(&self.clock));
        if let Err(error) = stream.set_nodelay(true) {
            return futures::future::err(error).boxed();
        }
        self.tls
            .accept(stream, service)
            .map_ok(move |(stream, service)| {
                let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let peer = Arc::new(Peer::new(trust.identify(chain, clock.now())));
                (stream, Extension(peer).layer(service))
            })
            .boxed()
    }
}

/// Asks for a client certificate, and checks of it only that the client holds its key.
#[derive(Debug)]
struct Possession {
    algorithms: WebPkiSupportedAlgorithms,
}

impl Possession {
    const fn new(provider: &CryptoProvider) -> Self {
        Self {
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

impl ClientCertVerifier for Possession {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A device has one identity for this server and needs no hint; a client with another one should be told in words.
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
