//! How people come: TLS, and a client certificate for those who have one, as [`ClientCertificates`] in the extensions of each request.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;

use crate::listener::{ClientCertificates, ConnectionMetrics, Limits, Listener, Serving, TlsConfig};

/// People ask now and then, and wait for no answer of a device: a thousand at a time are a large organisation's.
const LIMITS: Limits = Limits {
    connections: 1_000,
    handshake: Duration::from_secs(10),
    idle: Duration::from_secs(30),
    streams: 8,
    grace: Duration::from_secs(2),
};

/// Serves `router` until `shutdown`.
pub(super) fn serve(
    router: Router,
    socket: TcpListener,
    tls: TlsConfig,
    connections: ConnectionMetrics,
    shutdown: CancellationToken,
) -> io::Result<Serving> {
    Listener::new("evidence", LIMITS, connections).https(
        router,
        socket,
        tls,
        ClientCertificates::of,
        shutdown,
    )
}
