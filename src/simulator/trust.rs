//! Whom devices trust, and their TLS settings.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A CA is not PEM, or holds no certificate.
    #[error("the CA is not a PEM certificate")]
    ReadCa(#[from] rustls::pki_types::pem::Error),
    /// A certificate or key cannot be used.
    #[error("a certificate cannot be used for TLS")]
    UseCertificate(#[from] rustls::Error),
}

/// The fleet's trust: the CA it was started with, and those that enrolments brought. Equal ones are kept once.
#[derive(Debug)]
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    given: Vec<CertificateDer<'static>>,
    stores: Mutex<HashMap<String, Arc<RootCertStore>>>,
}

impl Trust {
    /// Trusts the certificates in `ca_pem`.
    pub(super) fn new(ca_pem: &str) -> Result<Self, TrustError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let trust = Self {
            provider,
            given: read(ca_pem)?,
            stores: Mutex::default(),
        };
        trust.store("")?;
        Ok(trust)
    }

    /// The settings of a device that has no certificate yet.
    pub(super) fn anonymous(&self) -> Result<ClientConfig, TrustError> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.store("")?);
        Ok(finish(builder.with_no_client_auth()))
    }

    /// The settings of a device with a certificate (PEM, with its chain); it also trusts `ca_pem`.
    pub(super) fn identified(
        &self,
        ca_pem: &str,
        chain_pem: &str,
        key: PrivateKeyDer<'static>,
    ) -> Result<ClientConfig, TrustError> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.store(ca_pem)?);
        Ok(finish(builder.with_client_auth_cert(read(chain_pem)?, key)?))
    }

    fn store(&self, ca_pem: &str) -> Result<Arc<RootCertStore>, TrustError> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(ca_pem) {
            return Ok(Arc::clone(store));
        }
        let brought = if ca_pem.is_empty() {
            Vec::new()
        } else {
            read(ca_pem)?
        };
        let mut store = RootCertStore::empty();
        for certificate in self.given.iter().cloned().chain(brought) {
            store.add(certificate)?;
        }
        let store = Arc::new(store);
        stores.insert(ca_pem.to_owned(), Arc::clone(&store));
        Ok(store)
    }
}

fn finish(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A session cache a device would cost more memory than all the rest of it.
    config.resumption = Resumption::disabled();
    config
}

fn read(pem: &str) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err(rustls::pki_types::pem::Error::NoItemsFound.into());
    }
    Ok(certificates)
}
