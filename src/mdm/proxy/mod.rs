//! Devices whose TLS ends at a proxy, which says in a header whose certificate it has seen.
//!
//! Who can write that header is every device at will. So only hops on a list may come here at all, what others say is not read, and the
//! proxy has to strip the header from what it is sent. It proves what the handshake would: that the client holds the certificate's key.
//! Whether the certificate is ours, valid and whose, is decided as everywhere.

mod certificate;
mod network;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};

pub use certificate::CertificateError;
pub use network::{Network, NetworkError};

use super::peer::{Peer, Peers};
use crate::clock::Clock;
use crate::ids::Digest;
use crate::pki::ca::Identity;

/// Where a proxy says for whom it speaks: the last address is the one it has seen.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Which proxies are believed, and where they say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies {
    /// The header that holds the certificate.
    pub header: HeaderName,
    /// The networks that they come from.
    pub trusted: Vec<Network>,
}

impl Proxies {
    fn trust(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// The client that a trusted proxy speaks for, by the newest entry that is none of the proxies themselves.
    fn source(&self, headers: &HeaderMap) -> Option<IpAddr> {
        for line in headers.get_all(FORWARDED_FOR).iter().rev() {
            for entry in line.to_str().ok()?.rsplit(',') {
                let entry = entry.trim();
                let address = entry
                    .parse::<IpAddr>()
                    .or_else(|_| entry.parse::<SocketAddr>().map(|address| address.ip()))
                    .ok()?;
                if !self.trust(address) {
                    return Some(address);
                }
            }
        }
        None
    }
}

struct Gate {
    proxies: Proxies,
    peers: Arc<Peers>,
    clock: Arc<dyn Clock>,
}

impl Gate {
    /// Who the request is from. None: the header is there more than once.
    fn peer(&self, headers: &HeaderMap) -> Option<Arc<Peer>> {
        let mut values = headers.get_all(&self.proxies.header).iter();
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => None,
            (None, _) => Some(Arc::new(Peer::new(Identity::Absent))),
            // Some proxies write the header of a client without a certificate too.
            (Some(value), None) if value.is_empty() => Some(Arc::new(Peer::new(Identity::Absent))),
            (Some(value), None) => {
                let value = value.as_bytes();
                let read = || match certificate::read(value) {
                    Ok(certificate) => Ok(vec![certificate]),
                    Err(error) => Err(error.to_string()),
                };
                Some(self.peers.known(Digest::of(value), self.clock.now(), read))
            }
        }
    }
}

/// `router` as trusted proxies may reach it: the client of a request is in its extensions, as [`Arc<Peer>`], and its address, where the proxy tells it,
/// as [`ConnectInfo`]. Everybody else is refused.
pub fn behind(router: Router, proxies: Proxies, peers: Arc<Peers>, clock: Arc<dyn Clock>) -> Router {
    let gate = Arc::new(Gate {
        proxies,
        peers,
        clock,
    });
    router.layer(middleware::from_fn_with_state(gate, introduce))
}

async fn introduce(
    State(gate): State<Arc<Gate>>,
    ConnectInfo(hop): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    if !gate.proxies.trust(hop.ip()) {
        tracing::info!(%hop, "a request from a hop that is no trusted proxy was refused");
        // Without the code that would make a device leave.
        return (StatusCode::FORBIDDEN, "only trusted proxies are answered here\n").into_response();
    }
    let Some(peer) = gate.peer(request.headers()) else {
        tracing::warn!(%hop, "a proxy passes on more than one certificate header");
        return (
            StatusCode::BAD_REQUEST,
            "there is more than one certificate header\n",
        )
            .into_response();
    };
    let source = gate.proxies.source(request.headers());
    let extensions = request.extensions_mut();
    extensions.insert(peer);
    if let Some(source) = source {
        extensions.insert(ConnectInfo(SocketAddr::new(source, 0)));
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_newest_address_that_is_no_proxy() {
        let proxies = Proxies {
            header: HeaderName::from_static("client-cert"),
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
        };
        let source = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, line.parse().unwrap());
            }
            proxies.source(&headers).map(|address| address.to_string())
        };
        assert_eq!(source(&[]), None);
        assert_eq!(source(&["192.0.2.1"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(
            source(&["198.51.100.9, 192.0.2.1, 10.0.0.7"]).as_deref(),
            Some("192.0.2.1")
        );
        assert_eq!(
            source(&["198.51.100.9", "[2001:db8::1]:443"]).as_deref(),
            Some("2001:db8::1")
        );
        assert_eq!(source(&["198.51.100.9, nonsense"]), None);
        assert_eq!(source(&["10.0.0.1"]), None);
    }
}
