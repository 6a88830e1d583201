//! What a client certificate is worth: whether the device authority issued it for a client.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::RootCertStore;
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

/// Judges client certificates by the device authority.
#[derive(Debug)]
pub struct ClientTrust {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientTrust {
    /// Trust in what `authority` has issued.
    ///
    /// # Errors
    /// When its own certificate cannot be used as an anchor.
    pub fn new(authority: &Authority) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots
            .add(authority.certificate().clone())
            .map_err(|source| Error::Trust(Box::new(source)))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|source| Error::Trust(Box::new(source)))?;
        Ok(Self { verifier })
    }

    /// Who a client is that has shown `chain` and proved to hold the key of its first certificate.
    #[must_use]
    pub fn identify(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Identity {
        let Some((certificate, intermediates)) = chain.split_first() else {
            return Identity::Absent;
        };
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        if let Err(error) = self.verifier.verify_client_cert(certificate, intermediates, time) {
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

fn validity(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    let time = |second| Timestamp::from_second(second).ok();
    Some((
        time(validity.not_before.timestamp())?,
        time(validity.not_after.timestamp())?,
    ))
}
