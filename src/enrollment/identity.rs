//! Issues identity certificates for invitations.
//!
//! Whoever shows an open challenge and a request whose common name the challenge allows gets a certificate for that enrolment. The same request
//! may come again until the certificate is used, since the answer may get lost. The refusal does not tell why: what a challenge is for is
//! nobody's business who does not hold it.

use std::sync::Arc;

use serde::Serialize;

use super::invitation::digest_of;
use super::metrics::IdentityMetrics;
use crate::clock::{Clock, Entropy};
use crate::ids::{EnrollmentId, PushTopic};
use crate::pki::ca::{self, Authority};
use crate::pki::csr::{self, CertificateRequest};
use crate::store::{IssuedCertificate, Refusal, Store, StoreError};

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is none that can be signed.
    #[error(transparent)]
    Request(#[from] csr::Error),
    /// There is not exactly one common name.
    #[error("the certificate request must have exactly one common name: the id of the enrolment")]
    NoCommonName,
    /// The common name is no enrolment id.
    #[error("the common name of the request is not the id of an enrolment")]
    CommonName(#[source] crate::ids::IdError),
    /// The challenge does not give the right.
    #[error("the challenge does not allow this enrolment")]
    Refused(#[source] Refusal),
    /// The certificate could not be made.
    #[error("the certificate could not be made")]
    Sign(#[source] ca::Error),
    /// The store failed.
    #[error("the certificate could not be recorded")]
    Store(#[from] StoreError),
}

/// A certificate, and what its holder has to know to enrol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnrollmentIdentity {
    /// The certificate and its issuer's, as PEM.
    pub certificate: String,
    /// What belongs into the MDM payload.
    pub mdm: MdmAddress,
    /// The authority of the server, as PEM.
    pub ca: String,
}

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MdmAddress {
    /// For reports on commands.
    pub server_url: String,
    /// For check-in messages.
    pub check_in_url: String,
    /// The push topic.
    pub topic: PushTopic,
}

impl MdmAddress {
    /// The addresses below `public_url`.
    #[must_use]
    pub fn new(public_url: &str, topic: PushTopic) -> Self {
        let public_url = public_url.trim_end_matches('/');
        Self {
            server_url: format!("{public_url}/mdm"),
            check_in_url: format!("{public_url}/mdm/checkin"),
            topic,
        }
    }
}

/// Where devices are sent at the moment: the topic is another one when the push certificate for new enrolments is.
pub type CurrentAddress = Arc<dyn Fn() -> MdmAddress + Send + Sync>;

/// Issues identities.
pub struct IdentityIssuer {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    authority: Arc<Authority>,
    mdm: CurrentAddress,
    server_ca: String,
    metrics: IdentityMetrics,
}

impl IdentityIssuer {
    /// An issuer that signs with `authority` and sends devices to `mdm`, whose certificates `server_ca` (PEM) has issued.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        authority: Arc<Authority>,
        mdm: CurrentAddress,
        server_ca: String,
    ) -> Self {
        Self {
            store,
            clock,
            entropy,
            authority,
            mdm,
            server_ca,
            metrics: IdentityMetrics::default(),
        }
    }

    /// Counts requests in `metrics`; without this nobody sees the counts.
    #[must_use]
    pub fn with_metrics(mut self, metrics: IdentityMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Issues a certificate for a request (DER or PEM) on a challenge, and uses the challenge up.
    ///
    /// # Errors
    /// When the request is no good, the challenge does not allow it, or something of ours fails; the challenge is then not used up.
    pub async fn issue(&self, challenge: &str, request: &[u8]) -> Result<EnrollmentIdentity, Error> {
        let outcome = self.identity(challenge, request).await;
        let result = match &outcome {
            Ok(_) => "issued",
            Err(Error::Sign(_) | Error::Store(_)) => "failed",
            Err(_) => "refused",
        };
        self.metrics.count("first", result);
        outcome
    }

    async fn identity(&self, challenge: &str, request: &[u8]) -> Result<EnrollmentIdentity, Error> {
        let now = self.clock.now();
        let request = CertificateRequest::read(request)?;
        let enrollment = request.common_name.as_deref().ok_or(Error::NoCommonName)?;
        let enrollment = EnrollmentId::parse(enrollment).map_err(Error::CommonName)?;
        tracing::Span::current().record("device.id", enrollment.as_str());
        let challenge = digest_of(challenge);
        let invitation = self
            .store
            .invitation(challenge, Some(&enrollment), request.key_digest, now)
            .await?
            .map_err(Error::Refused)?;
        let issued = self
            .authority
            .issue_identity(&request, enrollment.as_str(), now, &*self.entropy)
            .map_err(Error::Sign)?;
        let certificate = IssuedCertificate {
            fingerprint: issued.fingerprint,
            key: request.key_digest,
            enrollment: Some(enrollment),
            not_after: issued.not_after,
            namespace: invitation.namespace,
            labels: invitation.labels,
            serial_number: invitation.serial_number,
        };
        self.store
            .issue(challenge, certificate, now)
            .await?
            .map_err(Error::Refused)?;
        tracing::info!(fingerprint = %issued.fingerprint.short(), "an identity has been issued");
        Ok(EnrollmentIdentity {
            certificate: issued.chain_pem,
            mdm: (self.mdm)(),
            ca: self.server_ca.clone(),
        })
    }
}
