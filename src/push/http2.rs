//! The adapter for any other address: an egress proxy that speaks APNs, Apple's port 2197, a fake APNs.
//!
//! It keeps one HTTP/2 connection for all pushes, opens a new one when that closes or the service says goodbye
//! (GOAWAY), and trusts the given certificates instead of the platform's. Requests and answers are those of [`super::notification`].

use std::sync::Arc;
use std::time::Duration;

use a2::request::payload::PayloadLike;
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::certificate::{PushCertificate, read_chain};
use super::notification::{MdmNotification, outcome};
use super::port::{PushError, PushRequest, Pusher};

/// How long a connection or an answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often an idle connection is probed: a broken one must not swallow pushes for hours.
const KEEP_ALIVE: Duration = Duration::from_mins(1);
/// The longest error body that is read; Apple's are under 100 bytes.
const MAX_ANSWER: usize = 16 * 1024;
/// The port of an `https` address that names none.
const HTTPS_PORT: u16 = 443;

type Sender = SendRequest<Full<Bytes>>;

/// Where to push and whom to trust.
#[derive(Debug, Clone)]
pub struct Http2Settings<'a> {
    /// `https://host[:port]`; a path is refused.
    pub url: &'a str,
    /// The certificates that may vouch for the host, PEM.
    pub ca_pem: &'a str,
    /// The push certificate, presented as TLS client certificate.
    pub certificate: Option<&'a PushCertificate>,
}

/// Why the adapter cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Http2Error {
    /// The address is unusable.
    #[error("the push address `{0}` must look like https://host or https://host:port")]
    ReadAddress(String),
    /// The CA file holds no usable certificate.
    #[error("the CA for the push address holds no usable PEM certificate")]
    ReadCa(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The push certificate cannot be used for TLS.
    #[error("the push certificate cannot be used for TLS")]
    UseCertificate(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Pushes to one address over one HTTP/2 connection.
pub struct Http2Pusher {
    host: String,
    port: u16,
    server_name: ServerName<'static>,
    tls: tokio_rustls::TlsConnector,
    connection: Mutex<Connection>,
}

/// The connection of all pushes.
#[derive(Default)]
struct Connection {
    /// Counts connections, so that who finds one broken does not close the next one.
    number: u64,
    sender: Option<Sender>,
}

impl Http2Pusher {
    /// A pusher for `settings`. No connection is made before the first push.
    ///
    /// # Errors
    /// [`Http2Error`] when the address, the CA or the certificate is unusable.
    pub fn new(settings: &Http2Settings<'_>) -> Result<Self, Http2Error> {
        let (host, port) = read_address(settings.url)?;
        let server_name = ServerName::try_from(host.clone())
            .map_err(|_| Http2Error::ReadAddress(settings.url.to_owned()))?;
        let tls = Arc::new(tls_config(settings)?).into();
        Ok(Self {
            host,
            port,
            server_name,
            tls,
            connection: Mutex::default(),
        })
    }

    /// The open connection, or a new one. Concurrent pushes wait here for one connection instead of opening many.
    async fn sender(&self) -> Result<(Sender, u64), Failure> {
        let mut connection = self.connection.lock().await;
        if let Some(mut sender) = connection.sender.clone()
            && sender.ready().await.is_ok()
        {
            return Ok((sender, connection.number));
        }
        connection.sender = None;
        let sender = tokio::time::timeout(TIMEOUT, self.connect())
            .await
            .map_err(|_| Failure::TimedOut)??;
        connection.number += 1;
        connection.sender = Some(sender.clone());
        Ok((sender, connection.number))
    }

    /// Has the next push open a new connection, unless somebody has done so already.
    async fn give_up(&self, number: u64) {
        let mut connection = self.connection.lock().await;
        if connection.number == number {
            connection.sender = None;
        }
    }

    async fn connect(&self) -> Result<Sender, Failure> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(Failure::Connect)?;
        tcp.set_nodelay(true).map_err(Failure::Connect)?;
        let tls = self
            .tls
            .connect(self.server_name.clone(), tcp)
            .await
            .map_err(Failure::Connect)?;
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(tls))
            .await
            .map_err(Failure::Http)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the push service ended");
            }
        });
        Ok(sender)
    }

    async fn send(&self, request: &PushRequest) -> Result<(), PushError> {
        let mut answered = self.send_once(request).await;
        if let Err(Failure::Http(_)) = answered {
            // A service says goodbye to a connection whenever it likes, and what it has not answered by then has to be sent again. A device that
            // gets both pushes is woken once.
            answered = self.send_once(request).await;
        }
        let (answer, after) = answered.map_err(|failure| PushError::Transport(Box::new(failure)))?;
        outcome(&answer, after)
    }

    async fn send_once(&self, request: &PushRequest) -> Result<(a2::Response, Option<Duration>), Failure> {
        let (mut sender, number) = self.sender().await?;
        let message = self.message(request)?;
        let answered = tokio::time::timeout(TIMEOUT, exchange(&mut sender, message)).await;
        // Silence is how a connection dies behind a firewall.
        let answered = answered.unwrap_or(Err(Failure::TimedOut));
        if answered.is_err() {
            self.give_up(number).await;
        }
        answered
    }

    fn message(&self, request: &PushRequest) -> Result<http::Request<Full<Bytes>>, Failure> {
        let notification = MdmNotification::new(request);
        let options = notification.get_options();
        let mut message = http::Request::post(format!(
            "https://{}:{}/3/device/{}",
            self.host,
            self.port,
            notification.get_device_token()
        ))
        .header(http::header::CONTENT_TYPE, "application/json");
        if let Some(push_type) = &options.apns_push_type {
            message = message.header("apns-push-type", push_type.to_string());
        }
        if let Some(priority) = &options.apns_priority {
            message = message.header("apns-priority", priority.to_string());
        }
        if let Some(expiration) = options.apns_expiration {
            message = message.header("apns-expiration", expiration);
        }
        if let Some(topic) = options.apns_topic {
            message = message.header("apns-topic", topic);
        }
        let body = notification.to_json_string().map_err(Failure::Write)?;
        message.body(Full::from(body)).map_err(Failure::Build)
    }
}

impl Pusher for Http2Pusher {
    fn push(&self, request: PushRequest) -> BoxFuture<'_, Result<(), PushError>> {
        Box::pin(async move { self.send(&request).await })
    }
}

/// What can go wrong between here and an answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("could not connect")]
    Connect(#[source] std::io::Error),
    #[error("the HTTP/2 exchange broke")]
    Http(#[source] hyper::Error),
    #[error("the answer could not be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the request could not be written")]
    Build(#[source] http::Error),
    #[error("the notification could not be written")]
    Write(#[source] a2::Error),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
}

/// One request and its answer, with its `Retry-After`.
async fn exchange(
    sender: &mut Sender,
    message: http::Request<Full<Bytes>>,
) -> Result<(a2::Response, Option<Duration>), Failure> {
    let answer = sender.send_request(message).await.map_err(Failure::Http)?;
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let apns_id = header("apns-id").map(str::to_owned);
    let after = header("retry-after")
        .and_then(|value| value.parse().ok())
        .map(Duration::from_secs);
    let code = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(Failure::Answer)?
        .to_bytes();
    let error = serde_json::from_slice(&body).ok();
    Ok((
        a2::Response {
            error,
            apns_id,
            apns_unique_id: None,
            code,
        },
        after,
    ))
}

fn read_address(url: &str) -> Result<(String, u16), Http2Error> {
    let refuse = || Http2Error::ReadAddress(url.to_owned());
    let uri: http::Uri = url.parse().map_err(|_| refuse())?;
    let host = uri.host().ok_or_else(refuse)?;
    if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(refuse());
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host.to_owned(), uri.port_u16().unwrap_or(HTTPS_PORT)))
}

fn tls_config(settings: &Http2Settings<'_>) -> Result<rustls::ClientConfig, Http2Error> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in read_chain(settings.ca_pem).map_err(|source| Http2Error::ReadCa(Box::new(source)))? {
        roots
            .add(certificate)
            .map_err(|source| Http2Error::ReadCa(Box::new(source)))?;
    }
    if roots.is_empty() {
        return Err(Http2Error::ReadCa(Box::new(
            rustls::pki_types::pem::Error::NoItemsFound,
        )));
    }
    let unusable = |source: rustls::Error| Http2Error::UseCertificate(Box::new(source));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots);
    let mut config = match settings.certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let unreadable = |source| Http2Error::UseCertificate(Box::new(source));
            let chain = read_chain(certificate.chain_pem()).map_err(unreadable)?;
            let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().reveal().as_bytes())
                .map_err(unreadable)?;
            builder.with_client_auth_cert(chain, key).map_err(unusable)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_without_a_path() {
        assert_eq!(
            read_address("https://127.0.0.1:8443").unwrap(),
            ("127.0.0.1".to_owned(), 8443)
        );
        assert_eq!(
            read_address("https://[::1]:8443/").unwrap(),
            ("::1".to_owned(), 8443)
        );
        assert_eq!(
            read_address("https://push.example").unwrap(),
            ("push.example".to_owned(), 443)
        );
        for refused in ["http://a", "a:1", "https://a/3/device", "https://a?x", ""] {
            assert!(
                matches!(read_address(refused), Err(Http2Error::ReadAddress(_))),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused() {
        let settings = Http2Settings {
            url: "https://a",
            ca_pem: "",
            certificate: None,
        };
        assert!(matches!(Http2Pusher::new(&settings), Err(Http2Error::ReadCa(_))));
    }
}
