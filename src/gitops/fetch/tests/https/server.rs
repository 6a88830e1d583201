//! A TLS server that hands requests to `git http-backend`.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;

use super::super::Origin;

/// What is special about the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Quirk {
    None,
    /// Its certificate is for another name.
    OtherName,
    /// Its certificate is past its time.
    Expired,
    /// Its certificate comes from an intermediate authority.
    Intermediate,
    /// It wants `deploy` and `correct horse`, or the bearer token `correct-token`.
    Authorization,
    /// It takes requests and never answers.
    Silent,
}

/// A private certificate authority.
pub(super) struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let parameters = Self::parameters(name);
        Self {
            certificate: parameters.self_signed(&key).unwrap(),
            issuer: Issuer::new(parameters, key),
        }
    }

    fn parameters(name: &str) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
    }

    fn intermediate(&self) -> Self {
        let key = KeyPair::generate().unwrap();
        let parameters = Self::parameters("Intermediate");
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        Self {
            certificate,
            issuer: Issuer::new(parameters, key),
        }
    }

    pub(super) fn pem(&self) -> Vec<u8> {
        self.certificate.pem().into_bytes()
    }

    /// A certificate chain for a server, and its key.
    fn server(&self, quirk: Quirk) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let name = if quirk == Quirk::OtherName {
            "other.example.com"
        } else {
            "127.0.0.1"
        };
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if quirk == Quirk::Expired {
            parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let chain = if quirk == Quirk::Intermediate {
            let between = self.intermediate();
            let leaf = parameters.signed_by(&key, &between.issuer).unwrap();
            vec![leaf.der().clone(), between.certificate.der().clone()]
        } else {
            vec![parameters.signed_by(&key, &self.issuer).unwrap().der().clone()]
        };
        (chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

/// A repository served over https.
pub(super) struct HttpsOrigin {
    pub(super) origin: Origin,
    pub(super) authority: Authority,
    port: u16,
    requests: std::sync::mpsc::Receiver<()>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct Front {
    quirk: Quirk,
    root: PathBuf,
    port: u16,
    requests: std::sync::mpsc::Sender<()>,
}

impl HttpsOrigin {
    pub(super) fn start(origin: Origin, quirk: Quirk) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let authority = Authority::new("Fleet Authority");
        let (chain, key) = authority.server(quirk);
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = std::sync::mpsc::channel();
        let front = Front {
            quirk,
            root: origin.root().to_owned(),
            port,
            requests: sender,
        };
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, front) = (acceptor.clone(), front.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = hyper::service::service_fn(move |request| {
                        let front = front.clone();
                        async move { Ok::<_, Infallible>(front.answer(request).await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            origin,
            authority,
            port,
            requests,
            _runtime: runtime,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("https://127.0.0.1:{}/policy.git", self.port)
    }

    /// Returns when a request has arrived.
    pub(super) fn wait_for_request(&self) {
        self.requests
            .recv_timeout(std::time::Duration::from_secs(30))
            .unwrap();
    }
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let _ = self.requests.send(());
        if self.quirk == Quirk::Silent {
            std::future::pending::<()>().await;
        }
        let (path, query) = (
            request.uri().path().to_owned(),
            request.uri().query().unwrap_or_default().to_owned(),
        );
        for (prefix, host) in [("/moved", "127.0.0.1"), ("/elsewhere", "localhost")] {
            if let Some(rest) = path.strip_prefix(prefix) {
                let location = format!("https://{host}:{}{rest}?{query}", self.port);
                let answer = Response::builder()
                    .status(StatusCode::MOVED_PERMANENTLY)
                    .header(header::LOCATION, location);
                return answer.body(Full::default()).unwrap();
            }
        }
        if self.quirk == Quirk::Authorization && !is_authorised(request.headers()) {
            let answer = Response::builder().status(StatusCode::UNAUTHORIZED);
            return answer
                .header(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")
                .body(Full::default())
                .unwrap();
        }
        self.backend(request, &path, &query).await
    }

    /// RFC 3875 as git-http-backend(1) wants it.
    async fn backend(&self, request: Request<Incoming>, path: &str, query: &str) -> Response<Full<Bytes>> {
        let header = |name: header::HeaderName| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let mut command = Command::new("git");
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("REQUEST_METHOD", request.method().as_str())
            .env("CONTENT_TYPE", header(header::CONTENT_TYPE))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut child = command
            .env("CONTENT_LENGTH", body.len().to_string())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&body).await.unwrap();
        let output = child.wait_with_output().await.unwrap().stdout;
        let end = output
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap();
        let mut answer = Response::builder();
        for line in std::str::from_utf8(&output[..end]).unwrap().lines() {
            let (name, value) = line.split_once(": ").unwrap();
            answer = match name {
                "Status" => answer.status(value.split(' ').next().unwrap()),
                _ => answer.header(name, value),
            };
        }
        answer.body(Full::from(output[end + 4..].to_vec())).unwrap()
    }
}

fn is_authorised(headers: &HeaderMap) -> bool {
    let basic = base64::engine::general_purpose::STANDARD.encode("deploy:correct horse");
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    given.is_some_and(|given| given == format!("Basic {basic}") || given == "Bearer correct-token")
}
