//! What a client certificate is worth: whether the device authority issued it for a client; or whether a Kubernetes API's did, and for whom.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::{Authority, Error};
use crate::ids::Digest;

/// What is known of a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The client showed none.
    Absent,
    /// It is not one of ours.
    Untrusted {
        /// Why not, for the log.
        reason: String,
    },
    /// Our device authority issued it.
    Issued {
        /// The SHA-256 of its DER.
        fingerprint: Digest,
        /// From when it is valid.
        not_before: Timestamp,
        /// Until when.
        not_after: Timestamp,
    },
}

/// Somebody whom the authority of a Kubernetes API vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The common name: the user.
    pub name: String,
    /// The organisations: the user's groups.
    pub groups: Vec<String>,
}

impl Subject {
    /// Whom a certificate names, by Kubernetes' reading of it. Whether it is to be believed is another question.
    #[must_use]
    pub fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization();
        let groups = groups.filter_map(|group| group.as_str().ok().map(str::to_owned));
        (!name.is_empty()).then(|| Self {
            name,
            groups: groups.collect(),
        })
    }
}

/// Judges client certificates by the device authority, or by the authorities of a bundle.
#[derive(Debug)]
pub struct ClientTrust {
    roots: Mutex<RootCertStore>,
    verifier: RwLock<Arc<dyn ClientCertVerifier>>,
}

impl ClientTrust {
    /// Trust in what `authority` has issued.
    ///
    /// # Errors
    /// When its own certificate cannot be used as an anchor.
    pub fn new(authority: &Authority) -> Result<Self, Error> {
        Self::in_roots(std::iter::once(Ok(authority.certificate().clone())))
    }

    /// Trusts the authorities of a bundle (PEM, which may be empty) as well: those of devices that came from another server. What they issue is
    /// one of ours from then on, and whose it is still is the pin's to say.
    ///
    /// # Errors
    /// When the bundle cannot be read, or one certificate cannot be used as an anchor.
    pub fn add_former(&self, former: &str) -> Result<(), Error> {
        for certificate in CertificateDer::pem_slice_iter(former.as_bytes()) {
            self.add(&certificate.map_err(|source| Error::Trust(Box::new(source)))?)?;
        }
        Ok(())
    }

    /// Trust in what the authorities of a bundle have issued, PEM.
    ///
    /// # Errors
    /// When there is none in it, or one cannot be used as an anchor.
    pub fn in_bundle(pem: &str) -> Result<Self, Error> {
        Self::in_roots(CertificateDer::pem_slice_iter(pem.as_bytes()))
    }

    fn in_roots(
        certificates: impl Iterator<Item = Result<CertificateDer<'static>, pem::Error>>,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            let certificate = certificate.map_err(|source| Error::Trust(Box::new(source)))?;
            roots
                .add(certificate)
                .map_err(|source| Error::Trust(Box::new(source)))?;
        }
        Ok(Self {
            verifier: RwLock::new(verifier_of(&roots)?),
            roots: Mutex::new(roots),
        })
    }

    /// Trusts what another authority has issued as well, from now on.
    ///
    /// # Errors
    /// When its certificate cannot be used as an anchor.
    pub fn add(&self, authority: &CertificateDer<'static>) -> Result<(), Error> {
        let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        roots
            .add(authority.clone())
            .map_err(|source| Error::Trust(Box::new(source)))?;
        let verifier = verifier_of(&roots)?;
        *self.verifier.write().unwrap_or_else(PoisonError::into_inner) = verifier;
        Ok(())
    }

    /// Who a client is that has shown `chain` and proved to hold the key of its first certificate.
    #[must_use]
    pub fn identify(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Identity {
        let Some((certificate, intermediates)) = chain.split_first() else {
            return Identity::Absent;
        };
        if let Err(error) = self.verify(certificate, intermediates, now) {
            return Identity::Untrusted {
                reason: error.to_string(),
            };
        }
        match validity(certificate) {
            Some((not_before, not_after)) => Identity::Issued {
                fingerprint: Digest::of(certificate),
                not_before,
                not_after,
            },
            None => Identity::Untrusted {
                reason: "its validity cannot be read".into(),
            },
        }
    }
}

impl ClientTrust {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), rustls::Error> {
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let verifier = Arc::clone(&self.verifier.read().unwrap_or_else(PoisonError::into_inner));
        verifier
            .verify_client_cert(certificate, intermediates, time)
            .map(|_| ())
    }

    /// For whom `chain` was issued, by Kubernetes' reading of the subject, if it is trusted and valid now. That the client holds the key of
    /// its first certificate is the handshake's to prove.
    #[must_use]
    pub fn subject(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Option<Subject> {
        let (certificate, intermediates) = chain.split_first()?;
        self.verify(certificate, intermediates, now).ok()?;
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        Subject::of(&certificate)
    }
}

fn verifier_of(roots: &RootCertStore) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider)
        .build()
        .map_err(|source| Error::Trust(Box::new(source)))
}

fn validity(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    let time = |second| Timestamp::from_second(second).ok();
    Some((
        time(validity.not_before.timestamp())?,
        time(validity.not_after.timestamp())?,
    ))
}
