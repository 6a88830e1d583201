//! A client of few manners: one TLS connection for each request, bytes as they are given, and an ear for the answer even while it
//! still speaks.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::server::Server;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Calls one address as one client.
#[derive(Clone)]
pub(crate) struct Caller {
    port: u16,
    tls: Arc<ClientConfig>,
}

impl Caller {
    /// A client of the device endpoint of a server that is not ready yet.
    pub(crate) fn of_port(port: u16, ca: &Path) -> Self {
        let url = format!("https://localhost:{port}");
        Self::new(&url, &fs::read_to_string(ca).unwrap(), None)
    }

    /// A client of the device endpoint, who may have a certificate (PEM) and its key.
    pub(crate) fn of_devices(server: &Server, identity: Option<(&str, &KeyPair)>) -> Self {
        let authority = fs::read_to_string(&server.ready.ca).unwrap();
        let identity = identity.map(|(chain, key)| (chain.to_owned(), key.serialize_pem()));
        Self::new(&server.ready.mdm, &authority, identity)
    }

    /// The administrator, at the Kubernetes API.
    pub(crate) fn administrator(server: &Server) -> Self {
        let file = Kubeconfig::read(server);
        let identity = (
            file.data("/users/0/user/client-certificate-data"),
            file.data("/users/0/user/client-key-data"),
        );
        Self::new(&server.ready.api, &file.authority(), Some(identity))
    }

    /// Somebody without a certificate, at the Kubernetes API.
    pub(crate) fn passer_by(server: &Server) -> Self {
        Self::new(&server.ready.api, &Kubeconfig::read(server).authority(), None)
    }

    fn new(url: &str, authority: &str, identity: Option<(String, String)>) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let tls = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
                    .map(Result::unwrap)
                    .collect();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Self {
            port: url.parse::<http::Uri>().unwrap().port_u16().unwrap(),
            tls: Arc::new(tls),
        }
    }

    /// A connection after its handshake.
    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, stream)
            .await
            .unwrap()
    }

    /// Sends a request. `method` and `path` in one, as `PUT /mdm`; headers as lines.
    pub(crate) async fn send(&self, target: &str, headers: &str, body: &[u8]) -> Answer {
        let head = format!(
            "{target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.exchange(vec![head.as_bytes(), body]).await
    }

    /// Sends a request of `length` blanks, in chunks and without saying how many there will be.
    pub(crate) async fn send_blanks(&self, target: &str, headers: &str, length: usize) -> Answer {
        const BLANKS: usize = 64 * 1024;
        let head = format!(
            "{target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n{headers}\r\n"
        );
        let chunk = format!("{BLANKS:x}\r\n{}\r\n", " ".repeat(BLANKS));
        let mut parts = vec![head.as_bytes()];
        parts.extend(std::iter::repeat_n(chunk.as_bytes(), length.div_ceil(BLANKS)));
        parts.push(b"0\r\n\r\n");
        self.exchange(parts).await
    }

    async fn exchange(&self, parts: Vec<&[u8]>) -> Answer {
        let (reader, mut writer) = tokio::io::split(self.connect().await);
        let write = async {
            for part in parts {
                writer.write_all(part).await?;
            }
            writer.flush().await
        };
        let read = read_all(reader);
        tokio::pin!(read);
        let both = async {
            tokio::select! {
                answer = &mut read => answer,
                // A server that has enough hangs up; what it said before that is on its way.
                _ = write => read.await,
            }
        };
        let bytes = timeout(PATIENCE, both).await.expect("an answer");
        parse(&bytes)
    }
}

/// Everything until the other side is done, or has hung up.
async fn read_all(mut reader: ReadHalf<TlsStream<TcpStream>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = reader.read_to_end(&mut bytes).await;
    bytes
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8_lossy(&bytes[..end]);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {head}"));
    Answer {
        status,
        body: bytes[end + 4..].to_vec(),
    }
}

/// The file that lets kubectl in.
struct Kubeconfig(Value);

impl Kubeconfig {
    fn read(server: &Server) -> Self {
        Self(serde_yaml::from_slice(&fs::read(&server.ready.kubeconfig).unwrap()).unwrap())
    }

    fn authority(&self) -> String {
        self.data("/clusters/0/cluster/certificate-authority-data")
    }

    fn data(&self, pointer: &str) -> String {
        let data = self.0.pointer(pointer).and_then(Value::as_str).unwrap();
        String::from_utf8(STANDARD.decode(data).unwrap()).unwrap()
    }
}
