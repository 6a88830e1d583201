//! TLS for people: a client certificate for those who have one, as [`TlsInfo`](axum_server::tls::TlsInfo) in the extensions of each request.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::mdm::serve::TlsConfig;

/// How long a client may take for the handshake, and then for its first request.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may be without a request.
const IDLE: Duration = Duration::from_secs(30);
/// How long requests may take to finish once the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// The most requests of one HTTP/2 connection at a time.
const STREAMS: u32 = 8;
/// The most bytes of a connection that wait to be read: no request has a body.
const BUFFER: usize = 16 * 1024;

/// Serves `router` until `shutdown`.
pub(super) fn serve(
    router: Router,
    listener: TcpListener,
    tls: TlsConfig,
    shutdown: CancellationToken,
) -> io::Result<JoinHandle<io::Result<()>>> {
    listener.set_nonblocking(true)?;
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(tls)).handshake_timeout(HANDSHAKE);
    let handle = Handle::new();
    let mut server = axum_server::from_tcp(listener)?
        .acceptor(acceptor)
        .handle(handle.clone())
        .first_request_timeout(HANDSHAKE);
    let builder = server.http_builder();
    builder.http1().header_read_timeout(IDLE).max_buf_size(BUFFER);
    builder
        .http2()
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(IDLE)
        .keep_alive_timeout(HANDSHAKE);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    Ok(tokio::spawn(async move {
        let serving = server.serve(service);
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended,
            () = shutdown.cancelled() => handle.graceful_shutdown(Some(GRACE)),
        }
        serving.await
    }))
}
