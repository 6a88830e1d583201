//! The API on a socket, for kubectl: TLS with an authority of its own, and client certificates.
//!
//! A certificate of that authority, or a token of a service account, says who calls; what they may do is decided by
//! `access`. Calls inside this process do not come this way.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;

use super::access::{ADMINISTRATOR, Caller, MASTERS, Signer, SignerError};
use super::{KubeApi, kubeconfig};
use crate::files;
use crate::listener::{ClientCertificates, ConnectionMetrics, Limits, Listener};
use crate::secret::Secret;

/// Why the API could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not allowed.
    #[error("could not listen on {address} for kubectl; choose another address")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of the authority could not be read or written.
    #[error("could not use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A certificate could not be made, or the stored authority is damaged.
    #[error(
        "could not make the API's certificates; if its authority is damaged, remove {path} and start again"
    )]
    Certificate {
        /// The authority's folder.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: rcgen::Error,
    },
    /// The key of tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] SignerError),
    /// TLS could not be set up.
    #[error("could not set up TLS for the API")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A served API.
pub struct Serving {
    /// Where it listens, with the port that was chosen.
    pub address: SocketAddr,
    /// What a client needs to connect.
    pub access: kubeconfig::Access,
    /// Ends when the server has.
    pub server: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// Clients are few, and some keep dozens of watches open on one connection. They close a connection that they do not need after a minute and a
/// half; the server is not to be faster, or a request may meet the end of its connection.
const LIMITS: Limits = Limits {
    connections: 2_000,
    handshake: Duration::from_secs(10),
    idle: Duration::from_mins(3),
    streams: 250,
    grace: Duration::from_secs(2),
};
const AUTHORITY_DAYS: i64 = 20 * 365;
/// Certificates are made at every start.
const LEAF_DAYS: i64 = 2 * 365;

/// Serves `api` on `address` until `shutdown`. The authority lives in `folder` (`ca.crt`, and `ca.key` with mode 0600)
/// and is made when it is not there; certificates below it are made at every start.
///
/// # Errors
/// When the address cannot be bound, or the authority cannot be read or made.
pub async fn serve(
    api: &KubeApi,
    address: SocketAddr,
    folder: &Path,
    connections: ConnectionMetrics,
    shutdown: CancellationToken,
) -> Result<Serving, ServeError> {
    let (folder, now) = (folder.to_owned(), api.now());
    // Files and key generation.
    let keys = tokio::task::spawn_blocking(move || {
        let certificates = Certificates::open(&folder, address.ip(), now)?;
        Ok::<_, ServeError>((certificates, Signer::open(&folder)?))
    });
    let (certificates, signer) = keys.await.map_err(|error| ServeError::Tls(Box::new(error)))??;
    api.sign_with(signer);
    let config = certificates.server_config()?;
    let bind = |source| ServeError::Bind { address, source };
    let socket = std::net::TcpListener::bind(address).map_err(bind)?;
    let router = api.open_router().layer(from_fn(say_who_calls));
    let listener = Listener::new("kubernetes", LIMITS, connections);
    let serving = listener
        .https(router, socket, Arc::new(config), ClientCertificates::of, shutdown)
        .map_err(bind)?;
    let bound = serving.address;
    let host = if bound.ip().is_unspecified() {
        IpAddr::from([127, 0, 0, 1])
    } else {
        bound.ip()
    };
    let access = kubeconfig::Access {
        server: format!("https://{}", SocketAddr::new(host, bound.port())),
        authority: certificates.authority_pem,
        certificate: certificates.client_pem,
        key: Secret::new(certificates.client_key_pem),
    };
    Ok(Serving {
        address: bound,
        access,
        server: serving.task,
    })
}

/// The handshake has verified the certificate, if there is one.
async fn say_who_calls(
    Extension(certificates): Extension<ClientCertificates>,
    mut request: Request,
    next: Next,
) -> Response {
    let certificate = certificates.first().map(|certificate| certificate.to_vec());
    request
        .extensions_mut()
        .insert(Caller::Connection { certificate });
    next.run(request).await
}

struct Certificates {
    authority_pem: String,
    authority: CertificateDer<'static>,
    server: CertificateDer<'static>,
    server_key: KeyPair,
    client_pem: String,
    client_key_pem: String,
}

impl Certificates {
    fn open(folder: &Path, address: IpAddr, now: Timestamp) -> Result<Self, ServeError> {
        let certificate = |source| ServeError::Certificate {
            path: folder.to_owned(),
            source,
        };
        files::private_folder(folder).map_err(|source| ServeError::File {
            path: folder.to_owned(),
            source,
        })?;
        let (authority_pem, authority_key) = authority(folder, now)?;
        let key = KeyPair::from_pem(&authority_key).map_err(certificate)?;
        let issuer = Issuer::from_ca_cert_pem(&authority_pem, key).map_err(certificate)?;
        let mut names = vec![
            SanType::DnsName("localhost".try_into().map_err(certificate)?),
            SanType::IpAddress(IpAddr::from([127, 0, 0, 1])),
            SanType::IpAddress(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])),
        ];
        if !address.is_unspecified() && !address.is_loopback() {
            names.push(SanType::IpAddress(address));
        }
        let mut server = leaf("provost", ExtendedKeyUsagePurpose::ServerAuth, now);
        server.subject_alt_names = names;
        let mut client = leaf(ADMINISTRATOR, ExtendedKeyUsagePurpose::ClientAuth, now);
        client.distinguished_name.push(DnType::OrganizationName, MASTERS);
        let server_key = KeyPair::generate().map_err(certificate)?;
        let client_key = KeyPair::generate().map_err(certificate)?;
        let server = server.signed_by(&server_key, &issuer).map_err(certificate)?;
        let client = client.signed_by(&client_key, &issuer).map_err(certificate)?;
        let authority = rustls::pki_types::pem::PemObject::from_pem_slice(authority_pem.as_bytes())
            .map_err(|error| ServeError::Tls(Box::new(error)))?;
        Ok(Self {
            authority_pem,
            authority,
            server: server.der().clone(),
            server_key,
            client_pem: client.pem(),
            client_key_pem: client_key.serialize_pem(),
        })
    }

    fn server_config(&self) -> Result<ServerConfig, ServeError> {
        let tls = |error: Box<dyn std::error::Error + Send + Sync>| ServeError::Tls(error);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(self.authority.clone())
            .map_err(|error| tls(error.into()))?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| tls(error.into()))?;
        let key =
            PrivateKeyDer::try_from(self.server_key.serialize_der()).map_err(|error| tls(error.into()))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| tls(error.into()))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.server.clone()], key)
            .map_err(|error| tls(error.into()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The authority's certificate and key, made when they are not there.
fn authority(folder: &Path, now: Timestamp) -> Result<(String, String), ServeError> {
    let (certificate_path, key_path) = (folder.join("ca.crt"), folder.join("ca.key"));
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| ServeError::File { path, source }
    };
    if certificate_path.exists() && key_path.exists() {
        let certificate = std::fs::read_to_string(&certificate_path).map_err(file(&certificate_path))?;
        let key = std::fs::read_to_string(&key_path).map_err(file(&key_path))?;
        return Ok((certificate, key));
    }
    let failed = |source| ServeError::Certificate {
        path: folder.to_owned(),
        source,
    };
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "Provost Kubernetes API");
    set_validity(&mut params, now, AUTHORITY_DAYS);
    let certificate = params.self_signed(&key).map_err(failed)?.pem();
    let key = key.serialize_pem();
    files::replace(&key_path, key.as_bytes(), files::PRIVATE).map_err(file(&key_path))?;
    files::replace(&certificate_path, certificate.as_bytes(), files::PRIVATE)
        .map_err(file(&certificate_path))?;
    Ok((certificate, key))
}

fn leaf(name: &str, usage: ExtendedKeyUsagePurpose, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, LEAF_DAYS);
    params
}

/// From yesterday, for clocks that go slow.
fn set_validity(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let day = |offset: i64| {
        let at = now
            .saturating_add(SignedDuration::from_hours(24 * offset))
            .unwrap_or(now);
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(
            date.year().into(),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    params.not_before = day(-1);
    params.not_after = day(days);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use kube::api::{Api, ListParams};

    use super::*;
    use crate::kubeapi::tests::TestApi;

    async fn serve_in(test: &TestApi) -> (Serving, CancellationToken) {
        let shutdown = CancellationToken::new();
        let folder = test.folder().join("tls");
        let loopback = ([127, 0, 0, 1], 0).into();
        let metrics = ConnectionMetrics::default();
        let serving = serve(&test.api, loopback, &folder, metrics, shutdown.clone())
            .await
            .unwrap();
        (serving, shutdown)
    }

    async fn connect(path: &Path) -> kube::Client {
        let config = kube::config::Kubeconfig::read_from(path).unwrap();
        let options = kube::config::KubeConfigOptions::default();
        kube::Client::try_from(
            kube::Config::from_custom_kubeconfig(config, &options)
                .await
                .unwrap(),
        )
        .unwrap()
    }

    #[tokio::test]
    async fn a_kubeconfig_opens_the_door_and_nothing_else_does() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let test = TestApi::with_kites().await;
        let (serving, shutdown) = serve_in(&test).await;
        let path = test.folder().join("kubeconfig");
        kubeconfig::write(&path, &serving.access).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let client = connect(&path).await;
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client);
        assert_eq!(
            namespaces.list(&ListParams::default()).await.unwrap().items.len(),
            2
        );
        let mut anonymous = std::fs::read_to_string(&path).unwrap();
        anonymous = anonymous
            .lines()
            .filter(|line| !line.contains("client-"))
            .collect::<Vec<_>>()
            .join("\n");
        let path = test.folder().join("anonymous");
        std::fs::write(&path, anonymous.replace("user:\n", "user: {}\n")).unwrap();
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(connect(&path).await);
        let refused = namespaces.list(&ListParams::default()).await.unwrap_err();
        assert!(
            matches!(&refused, kube::Error::Api(status) if status.code == 403),
            "{refused}"
        );
        shutdown.cancel();
        serving.server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_authority_outlives_a_restart() {
        let test = TestApi::new().await;
        let (first, _) = serve_in(&test).await;
        let (second, _) = serve_in(&test).await;
        assert_eq!(first.access.authority, second.access.authority);
        let key = std::fs::metadata(test.folder().join("tls/ca.key")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }
}
