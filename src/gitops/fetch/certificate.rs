//! Trust in an https server under a private authority.
//!
//! libgit2's own list of authorities is one for the whole process: adding one source's CA there would make every
//! other source trust it too, and nothing could be taken out again. So libgit2 keeps the system's list for sources
//! without a CA, and for a source with one the callback decides here, by rustls' verifier, against that source's
//! authorities alone. OpenSSL has by then proved that the server holds the certificate's key.
//!
//! The callback is shown the server's own certificate but not the intermediate ones. When the issuer is not among the
//! source's authorities, a second handshake, by rustls and fully verified, brings the intermediates.

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier as _;
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore};

/// The most authorities one source may name.
const MAXIMUM_AUTHORITIES: usize = 100;

/// Why a server is not trusted, or its authorities cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateFailure {
    #[error("the CA is not PEM text with certificates")]
    ReadAuthorities(#[source] rustls::pki_types::pem::Error),
    #[error("the CA holds no certificate, or more than {MAXIMUM_AUTHORITIES}")]
    CountAuthorities,
    #[error("the CA holds a certificate that cannot be an authority")]
    UseAuthority(#[source] rustls::Error),
    #[error("the CA cannot be used to verify a server")]
    BuildVerifier(#[source] rustls::client::VerifierBuilderError),
    #[error("the server's certificate is not one this source trusts")]
    Verify(#[source] rustls::Error),
    #[error("the server's intermediate certificates could not be fetched")]
    FetchIntermediates(#[source] io::Error),
}

/// The authorities of one source.
#[derive(Debug)]
pub(super) struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Authorities {
    /// Reads the certificates of a PEM bundle; each is an anchor, be it a root or an intermediate.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, CertificateFailure> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .take(MAXIMUM_AUTHORITIES + 1)
            .collect::<Result<Vec<_>, _>>()
            .map_err(CertificateFailure::ReadAuthorities)?;
        if certificates.is_empty() || certificates.len() > MAXIMUM_AUTHORITIES {
            return Err(CertificateFailure::CountAuthorities);
        }
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(CertificateFailure::UseAuthority)?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider)
            .build()
            .map_err(CertificateFailure::BuildVerifier)?;
        Ok(Self {
            certificates,
            roots,
            verifier,
        })
    }

    /// Decides whether `certificate` (DER) proves that the server is `host`.
    pub(super) fn verify(
        &self,
        certificate: &[u8],
        host: &str,
        port: u16,
        patience: Duration,
    ) -> Result<(), CertificateFailure> {
        let leaf = CertificateDer::from(certificate);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            CertificateFailure::Verify(rustls::Error::General("the host has no valid name".into()))
        })?;
        // TLS judges validity by the computer's clock, here as in every other connection of the program.
        let now = UnixTime::now();
        let verify = |chain: &[CertificateDer<'_>]| {
            self.verifier
                .verify_server_cert(&leaf, chain, &name, &[], now)
                .map(|_| ())
        };
        match verify(&[]) {
            Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                let chain = self
                    .fetch_intermediates(&name, host, port, patience)
                    .map_err(|error| match rustls_cause(&error) {
                        Some(cause) => CertificateFailure::Verify(cause),
                        None => CertificateFailure::FetchIntermediates(error),
                    })?;
                verify(&chain).map_err(CertificateFailure::Verify)
            }
            Err(error) if self.is_pinned(&leaf, &name, now) => {
                tracing::debug!(%error, "the server's self-signed certificate is the one the source names");
                Ok(())
            }
            other => other.map_err(CertificateFailure::Verify),
        }
    }

    /// A self-signed server certificate that was given as its own CA: the path rules refuse an authority as a server's
    /// certificate, but naming exactly this one is as strong as trust can be. Name and validity still count.
    fn is_pinned(&self, leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> bool {
        let named = || verify_server_name(&ParsedCertificate::try_from(leaf)?, name);
        let valid = || {
            let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
            let now = x509_parser::time::ASN1Time::from_timestamp(i64::try_from(now.as_secs()).ok()?).ok()?;
            Some(certificate.validity().is_valid_at(now))
        };
        self.certificates.contains(leaf) && named().is_ok() && valid() == Some(true)
    }

    fn fetch_intermediates(
        &self,
        name: &ServerName<'static>,
        host: &str,
        port: u16,
        patience: Duration,
    ) -> io::Result<Vec<CertificateDer<'static>>> {
        let address = (host, port)
            .to_socket_addrs()?
            .next()
            .ok_or(io::ErrorKind::NotFound)?;
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        let mut connection =
            ClientConnection::new(Arc::new(config), name.clone()).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        let chain = connection.peer_certificates().unwrap_or_default();
        Ok(chain
            .iter()
            .skip(1)
            .map(|certificate| certificate.clone().into_owned())
            .collect())
    }
}

fn rustls_cause(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        assert!(matches!(
            Authorities::from_pem(b""),
            Err(CertificateFailure::CountAuthorities)
        ));
        assert!(matches!(
            Authorities::from_pem(b"secret"),
            Err(CertificateFailure::CountAuthorities)
        ));
        let broken = b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            Authorities::from_pem(broken),
            Err(CertificateFailure::ReadAuthorities(_))
        ));
    }

    #[test]
    fn a_self_signed_server_may_be_its_own_authority_under_its_own_name_only() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["git.example.com".into()]).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        let authorities = Authorities::from_pem(certificate.pem().as_bytes()).unwrap();
        authorities
            .verify(certificate.der(), "git.example.com", 443, PATIENCE)
            .unwrap();
        assert!(matches!(
            authorities.verify(certificate.der(), "other.example.com", 443, PATIENCE),
            Err(CertificateFailure::Verify(_))
        ));

        parameters.not_after = rcgen::date_time_ymd(2001, 1, 1);
        let expired = parameters.self_signed(&key).unwrap();
        let authorities = Authorities::from_pem(expired.pem().as_bytes()).unwrap();
        assert!(
            authorities
                .verify(expired.der(), "git.example.com", 443, PATIENCE)
                .is_err()
        );
    }
}
