//! A device's connection: one at a time, TLS with the device's certificate, HTTP/1.1 kept alive.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsConnector;

use super::identity::Signer;

/// How long a connection or an answer may take.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The longest answer that is read.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// The port of an `https` address that names none.
const HTTPS_PORT: u16 = 443;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("`{0}` is not an https address")]
    Address(String),
    #[error("the host name is unusable")]
    HostName(#[from] InvalidDnsNameError),
    #[error("could not connect")]
    Connect(#[source] std::io::Error),
    #[error("the exchange broke")]
    Exchange(#[from] hyper::Error),
    #[error("the message could not be signed")]
    Sign,
    #[error("the request could not be built")]
    Build(#[from] http::Error),
    #[error("the answer could not be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("the simulator is stopping")]
    Stopping,
}

/// What the server answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// What to send.
#[derive(Debug, Clone)]
pub(super) struct Message<'a> {
    pub(super) method: Method,
    pub(super) url: &'a str,
    pub(super) content_type: &'static str,
    pub(super) authorization: Option<String>,
    pub(super) body: Bytes,
}

struct Open {
    authority: String,
    sender: SendRequest<Full<Bytes>>,
    _permit: OwnedSemaphorePermit,
}

/// A device's way to its server.
pub(super) struct Link {
    tls: Arc<rustls::ClientConfig>,
    /// Bounds how many devices are connected at once.
    gate: Arc<Semaphore>,
    /// Signs what is sent.
    signer: Option<Arc<Signer>>,
    open: Option<Open>,
}

impl Link {
    pub(super) const fn new(
        tls: Arc<rustls::ClientConfig>,
        gate: Arc<Semaphore>,
        signer: Option<Arc<Signer>>,
    ) -> Self {
        Self {
            tls,
            gate,
            signer,
            open: None,
        }
    }

    /// Ends the connection.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Sends a message and waits for the answer. A kept connection that turns out to be dead is replaced once: all
    /// that devices send may be sent twice.
    pub(super) async fn send(&mut self, message: Message<'_>) -> Result<Reply, LinkError> {
        let uri: Uri = message
            .url
            .parse()
            .map_err(|_| LinkError::Address(message.url.to_owned()))?;
        let authority = authority(&uri).ok_or_else(|| LinkError::Address(message.url.to_owned()))?;
        if let Some(open) = self
            .open
            .take_if(|open| open.authority == authority && !open.sender.is_closed())
        {
            match self.exchange(open, &uri, message.clone()).await {
                Err(LinkError::Exchange(_)) => {}
                answered => return answered,
            }
        }
        self.close();
        // Waiting for one's turn is not the server's slowness.
        let permit = Arc::clone(&self.gate)
            .acquire_owned()
            .await
            .map_err(|_| LinkError::Stopping)?;
        let open = tokio::time::timeout(TIMEOUT, self.connect(&uri, authority, permit)).await;
        let open = open.map_err(|_| LinkError::TimedOut)??;
        self.exchange(open, &uri, message).await
    }

    async fn connect(
        &self,
        uri: &Uri,
        authority: String,
        permit: OwnedSemaphorePermit,
    ) -> Result<Open, LinkError> {
        let host = uri
            .host()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())?;
        let port = uri.port_u16().unwrap_or(HTTPS_PORT);
        let tcp = TcpStream::connect((host, port))
            .await
            .map_err(LinkError::Connect)?;
        tcp.set_nodelay(true).map_err(LinkError::Connect)?;
        let tls = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, tcp)
            .await
            .map_err(LinkError::Connect)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "a device's connection ended");
            }
        });
        Ok(Open {
            authority,
            sender,
            _permit: permit,
        })
    }

    async fn exchange(
        &mut self,
        mut open: Open,
        uri: &Uri,
        message: Message<'_>,
    ) -> Result<Reply, LinkError> {
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut request = Request::builder()
            .method(message.method)
            .uri(path)
            .header(header::HOST, &open.authority)
            .header(header::USER_AGENT, "MDM/1.0 (simulated)");
        if !message.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, message.content_type);
            if let Some(signer) = &self.signer {
                let signature = signer.sign_beside(&message.body).ok_or(LinkError::Sign)?;
                request = request.header("Mdm-Signature", STANDARD.encode(signature));
            }
        }
        if let Some(authorization) = message.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(message.body))?;
        let exchange = async {
            open.sender.ready().await?;
            let answer = open.sender.send_request(request).await?;
            let status = answer.status();
            let retry_after = answer
                .headers()
                .get(header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok());
            let retry_after = retry_after
                .and_then(|value| value.parse().ok())
                .map(Duration::from_secs);
            let body = Limited::new(answer.into_body(), MAX_ANSWER)
                .collect()
                .await
                .map_err(LinkError::Answer)?;
            Ok(Reply {
                status,
                retry_after,
                body: body.to_bytes(),
            })
        };
        let reply = tokio::time::timeout(TIMEOUT, exchange)
            .await
            .map_err(|_| LinkError::TimedOut)?;
        if reply.is_ok() {
            self.open = Some(open);
        }
        reply
    }
}

fn authority(uri: &Uri) -> Option<String> {
    (uri.scheme_str() == Some("https")).then_some(())?;
    uri.authority().map(|authority| authority.as_str().to_owned())
}
