//! The adapter for Apple's own hosts, through `a2`.
//!
//! `a2` fixes host, port and trust (the platform's certificate store); another address is [`super::http2`]'s work.
//! It also hides response headers, so a `Retry-After` is not seen here and the scheduler's own backoff applies.

use futures::future::BoxFuture;

use super::certificate::PushCertificate;
use super::notification::{MdmNotification, outcome};
use super::port::{PushError, PushRequest, Pusher};

/// Pushes to `api.push.apple.com` (or its sandbox) over one HTTP/2 connection.
pub struct ApnsPusher {
    client: a2::Client,
}

impl ApnsPusher {
    /// A pusher that authenticates with `certificate`. No connection is made before the first push.
    ///
    /// # Errors
    /// [`PushError::Transport`] when the certificate and key cannot be used for TLS.
    pub fn new(certificate: &PushCertificate, endpoint: a2::Endpoint) -> Result<Self, PushError> {
        let client = a2::Client::certificate_parts(
            certificate.chain_pem().as_bytes(),
            certificate.key_pem().reveal().as_bytes(),
            a2::ClientConfig::new(endpoint),
        )
        .map_err(|source| PushError::Transport(Box::new(source)))?;
        Ok(Self { client })
    }
}

impl Pusher for ApnsPusher {
    fn push(&self, request: PushRequest) -> BoxFuture<'_, Result<(), PushError>> {
        Box::pin(async move {
            match self.client.send(MdmNotification::new(&request)).await {
                Ok(response) | Err(a2::Error::ResponseError(response)) => outcome(&response, None),
                Err(source) => Err(PushError::Transport(Box::new(source))),
            }
        })
    }
}
