//! The service's own certificate, and a look at the provider's.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

/// A server certificate with its key, and the certificate that vouches for it.
pub struct TlsIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    ca_pem: String,
}

/// Why a certificate cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum TlsIdentityError {
    /// Making the certificate failed.
    #[error("could not make a certificate for the push service")]
    Generate(#[from] rcgen::Error),
    /// The given files are not PEM.
    #[error("the push service's certificate or key is not PEM")]
    Read(#[from] rustls::pki_types::pem::Error),
    /// Certificate and key cannot serve TLS.
    #[error("the push service's certificate and key cannot serve TLS")]
    Use(#[from] rustls::Error),
}

impl TlsIdentity {
    /// A new CA and a certificate for `names` (DNS names or addresses) under it. The CA's key is thrown away.
    ///
    /// # Errors
    /// [`TlsIdentityError::Generate`] when a name is unusable.
    pub fn generate(names: &[&str]) -> Result<Self, TlsIdentityError> {
        let mut ca = CertificateParams::default();
        ca.distinguished_name
            .push(DnType::CommonName, "Simulated push service CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name
            .push(DnType::CommonName, "Simulated push service");
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let chain = vec![leaf.signed_by(&key, &ca)?.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Self {
            chain,
            key,
            ca_pem: ca.pem(),
        })
    }

    /// A given certificate; `ca_pem` is what providers should trust.
    ///
    /// # Errors
    /// [`TlsIdentityError::Read`] when certificate or key is not PEM.
    pub fn from_pem(chain_pem: &str, key_pem: &str, ca_pem: String) -> Result<Self, TlsIdentityError> {
        let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())?;
        Ok(Self { chain, key, ca_pem })
    }

    /// The certificate that providers should trust, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A TLS configuration that asks for a client certificate and takes any, or none.
    pub(super) fn server_config(&self) -> Result<rustls::ServerConfig, TlsIdentityError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// Takes every provider certificate whose key the provider holds; who issued it is Apple's business, not ours.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
