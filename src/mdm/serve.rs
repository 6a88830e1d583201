//! TLS for devices: the handshake proves that a client holds the key of the certificate it shows, and leaves it to the requests what that
//! certificate is worth.
//!
//! So a client with an expired certificate, or one of another authority, gets an answer that says so instead of a broken connection, and one
//! without a certificate can still fetch one. Nothing is encrypted or decided here.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio_util::sync::CancellationToken;

use super::peer::Peers;
use crate::clock::Clock;
use crate::listener::{ConnectionMetrics, Limits, Listener, Serving, TlsConfig};
use crate::pki::ca::ServerIdentity;

/// A device needs one request at a time, and leaves its connection open a while: there is room for a large fleet that is awake at once.
const LIMITS: Limits = Limits {
    connections: 100_000,
    handshake: Duration::from_secs(10),
    idle: Duration::from_mins(2),
    streams: 32,
    grace: Duration::from_secs(10),
};

/// A proxy keeps connections open for all of its devices, and may send their requests side by side.
const PROXY_LIMITS: Limits = Limits {
    connections: 10_000,
    streams: 1_000,
    ..LIMITS
};

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

/// Serves `router` on `socket` until `shutdown`; then requests under way are finished. The client of a connection is in the
/// extensions of its requests, as `Arc<Peer>`, and its address as [`axum::extract::ConnectInfo`].
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(
    router: Router,
    socket: TcpListener,
    tls: TlsConfig,
    peers: Arc<Peers>,
    clock: Arc<dyn Clock>,
    connections: ConnectionMetrics,
    shutdown: CancellationToken,
) -> io::Result<Serving> {
    let introduce = move |chain: &[CertificateDer<'static>]| peers.of_connection(chain, clock.now());
    Listener::new("devices", LIMITS, connections).https(router, socket, tls, introduce, shutdown)
}

/// Serves `router` on `socket` over plain HTTP to proxies in which the devices' TLS ends, until `shutdown`. It has to be [`behind`](super::proxy::behind) them.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve_proxies(
    router: Router,
    socket: TcpListener,
    connections: ConnectionMetrics,
    shutdown: CancellationToken,
) -> io::Result<Serving> {
    Listener::new("proxies of devices", PROXY_LIMITS, connections).http(router, socket, shutdown)
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
