//! Who gets a certificate by SCEP.
//!
//! A first request carries an open challenge, which is used up; a renewal is signed by the certificate that it renews, and a challenge in it means
//! nothing. The same message again gets the same certificate: the answer may have been lost. Refusals do not tell why a challenge is not good.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::message::{self, Dialect, Error as MessageError, FailInfo, MessageType, Request, Transaction};
use crate::clock::{Clock, Entropy};
use crate::enrollment::invitation::digest_of;
use crate::enrollment::metrics::IdentityMetrics;
use crate::ids::{Digest, EnrollmentId};
use crate::pki::ca::{self, ClientTrust, Identity, IssuedIdentity, ScepAuthority, ScepKeys};
use crate::pki::cms::Cipher;
use crate::pki::csr::{self, CertificateRequest};
use crate::store::{
    EnrollmentState, Invitation, IssuedCertificate, RENEWAL_GRACE, Refusal, Reissued, Store, StoreError,
};

/// How long the same message gets the same certificate.
const REPEATABLE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The longest challenge that is looked up, in bytes.
const CHALLENGE_LIMIT: usize = 256;

/// Why a message is not answered by one of SCEP.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It says too little of itself for that.
    #[error("the message cannot be answered")]
    Message(#[source] MessageError),
    /// The authority cannot be used.
    #[error("the authority for SCEP cannot be used")]
    Authority(#[from] ca::Error),
    /// An answer could not be made.
    #[error("the answer could not be made")]
    Answer(#[from] crate::pki::cms::KeyError),
    /// The store failed.
    #[error("the certificate could not be recorded")]
    Store(#[from] StoreError),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// What a client is answered.
#[derive(Debug)]
pub struct Answer {
    /// The message, DER.
    pub message: Vec<u8>,
    /// Whether there is a certificate in it.
    pub issued: bool,
}

/// Why a request is refused: what the client is told, and what the log is.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("its content cannot be opened or read")]
    Content(FailInfo),
    #[error(transparent)]
    Request(csr::Error),
    #[error("it has no challenge")]
    NoChallenge,
    #[error(transparent)]
    Store(Refusal),
    #[error("it is signed by no certificate of ours that could be renewed")]
    Signer,
    #[error("the client's key cannot be encrypted to")]
    ClientKey,
    #[error("the operation is not offered")]
    NotOffered,
}

impl Refused {
    const fn info(&self) -> FailInfo {
        match self {
            Self::Content(info) => *info,
            Self::Request(csr::Error::Key) | Self::ClientKey => FailInfo::BadAlg,
            Self::Request(csr::Error::Signature) => FailInfo::BadMessageCheck,
            Self::Request(_) | Self::NoChallenge | Self::Store(_) | Self::Signer | Self::NotOffered => {
                FailInfo::BadRequest
            }
        }
    }
}

/// Answers messages.
pub struct ScepServer {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    keys: Arc<ScepKeys>,
    trust: Arc<ClientTrust>,
    dialect: Dialect,
    metrics: IdentityMetrics,
}

impl ScepServer {
    /// A server that issues with `keys`, and renews what `trust` knows.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        keys: Arc<ScepKeys>,
        trust: Arc<ClientTrust>,
        dialect: Dialect,
    ) -> Self {
        Self {
            store,
            clock,
            entropy,
            keys,
            trust,
            dialect,
            metrics: IdentityMetrics::default(),
        }
    }

    /// Counts requests in `metrics`; without this nobody sees the counts.
    #[must_use]
    pub fn with_metrics(mut self, metrics: IdentityMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The algorithms that it accepts.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The authority, which is made when it is first needed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn authority(&self) -> Result<Arc<ScepAuthority>, Error> {
        if let Some(made) = self.keys.made() {
            return Ok(made);
        }
        let (keys, now, entropy) = (
            Arc::clone(&self.keys),
            self.clock.now(),
            Arc::clone(&self.entropy),
        );
        let making = tokio::task::spawn_blocking(move || keys.get(now, &*entropy));
        Ok(making.await.map_err(|_| Error::Stopping)??)
    }

    /// Answers a message (`PKIOperation`).
    ///
    /// # Errors
    /// When it cannot be answered, or something of ours fails; no challenge is then used up.
    pub async fn answer(&self, message: &[u8]) -> Result<Answer, Error> {
        let authority = self.authority().await?;
        let request = match Request::read(message, self.dialect) {
            Ok(request) => request,
            Err(MessageError::Refused { info, transaction }) => {
                tracing::warn!(%info, "a message of SCEP is signed in a way that is not accepted");
                return self.refuse(&transaction, info, &authority);
            }
            Err(error) => return Err(Error::Message(error)),
        };
        let outcome = self.certificate(&request, Digest::of(message), &authority).await;
        self.metrics.count(
            match request.message_type {
                MessageType::RenewalReq => "renewal",
                _ => "first",
            },
            match &outcome {
                Ok(Ok(_)) => "issued",
                Ok(Err(_)) => "refused",
                Err(_) => "failed",
            },
        );
        match outcome? {
            Ok((certificate, cipher)) => {
                let sealed = message::success(&request, &certificate, cipher, &authority, &*self.entropy);
                Ok(Answer {
                    message: sealed?,
                    issued: true,
                })
            }
            Err(refused) => {
                let error = &refused as &dyn std::error::Error;
                tracing::warn!(error, "a certificate was refused by SCEP");
                self.refuse(&request.transaction, refused.info(), &authority)
            }
        }
    }

    fn refuse(
        &self,
        transaction: &Transaction,
        info: FailInfo,
        authority: &ScepAuthority,
    ) -> Result<Answer, Error> {
        Ok(Answer {
            message: message::failure(transaction, info, authority, &*self.entropy)?,
            issued: false,
        })
    }

    /// The certificate that a request asks for, and how its content was encrypted.
    async fn certificate(
        &self,
        request: &Request,
        message: Digest,
        authority: &ScepAuthority,
    ) -> Result<Result<(Vec<u8>, Cipher), Refused>, Error> {
        if request.message_type == MessageType::Other {
            return Ok(Err(Refused::NotOffered));
        }
        let opened = match request.open(authority, self.dialect, &*self.entropy) {
            Ok(opened) => opened,
            Err(info) => return Ok(Err(Refused::Content(info))),
        };
        // An answer that cannot be read must not use up a challenge.
        if message::success(request, &[], opened.cipher, authority, &*self.entropy).is_err() {
            return Ok(Err(Refused::ClientKey));
        }
        if let Some(before) = self.store.answer(message).await? {
            return Ok(Ok((before, opened.cipher)));
        }
        let csr = match CertificateRequest::read_with(&opened.content, self.dialect.hashes()) {
            Ok(csr) => csr,
            // Bytes that were not decrypted rightly are no request either: both are told alike.
            Err(csr::Error::Malformed | csr::Error::TooLarge { .. }) => {
                return Ok(Err(Refused::Content(FailInfo::BadRequest)));
            }
            Err(error) => return Ok(Err(Refused::Request(error))),
        };
        let now = self.clock.now();
        let issued = match request.message_type {
            MessageType::RenewalReq => self.renew(request, &csr, authority, now).await?,
            _ => self.issue(&csr, authority, now).await?,
        };
        let issued = match issued {
            Ok(issued) => issued,
            Err(refused) => return Ok(Err(refused)),
        };
        tracing::info!(fingerprint = %issued.fingerprint.short(), "an identity has been issued by SCEP");
        let until = now.saturating_add(REPEATABLE).unwrap_or(Timestamp::MAX);
        let kept = self
            .store
            .keep_answer(message, issued.certificate.to_vec(), until)
            .await?;
        Ok(Ok((kept, opened.cipher)))
    }

    /// Issues on a challenge, and uses it up.
    async fn issue(
        &self,
        csr: &CertificateRequest,
        authority: &ScepAuthority,
        now: Timestamp,
    ) -> Result<Result<IssuedIdentity, Refused>, Error> {
        let fits = |challenge: &&str| !challenge.is_empty() && challenge.len() <= CHALLENGE_LIMIT;
        let challenge = csr
            .challenge
            .as_ref()
            .map(|challenge| challenge.reveal().as_str());
        let Some(challenge) = challenge.filter(fits) else {
            return Ok(Err(Refused::NoChallenge));
        };
        // What is compared is a digest, so the time that it takes says nothing of the challenge.
        let challenge = digest_of(challenge);
        let found = self
            .store
            .invitation(challenge, None, csr.key_digest, now)
            .await?;
        let invitation = match found {
            Ok(invitation) => invitation,
            Err(refusal) => return Ok(Err(Refused::Store(refusal))),
        };
        let name = name_of(&invitation);
        let issued = authority
            .authority
            .issue_identity(csr, &name, now, &*self.entropy)?;
        let record = IssuedCertificate {
            fingerprint: issued.fingerprint,
            key: csr.key_digest,
            enrollment: invitation.udid,
            not_after: issued.not_after,
            namespace: invitation.namespace,
            labels: invitation.labels,
            serial_number: invitation.serial_number,
        };
        let recorded = self.store.issue(challenge, record, now).await?;
        Ok(recorded.map(|()| issued).map_err(Refused::Store))
    }

    /// Issues on the certificate that has signed. Whose that is, and for which device, is the record's to say.
    async fn renew(
        &self,
        request: &Request,
        csr: &CertificateRequest,
        authority: &ScepAuthority,
        now: Timestamp,
    ) -> Result<Result<IssuedIdentity, Refused>, Error> {
        let Some(by) = self.proven(request, now) else {
            return Ok(Err(Refused::Signer));
        };
        let enrollment = self.store.enrollment_by_certificate(by, now).await?;
        let active = enrollment.filter(|enrollment| enrollment.state != EnrollmentState::Ended);
        let name = active
            .as_ref()
            .map_or(UNNAMED, |enrollment| enrollment.id.as_str());
        let issued = authority
            .authority
            .issue_identity(csr, name, now, &*self.entropy)?;
        let Some(enrollment) = active else {
            return self.reissue(by, issued, csr, now).await;
        };
        let record = IssuedCertificate {
            fingerprint: issued.fingerprint,
            key: csr.key_digest,
            enrollment: Some(enrollment.id.clone()),
            not_after: issued.not_after,
            namespace: enrollment.namespace.clone(),
            labels: enrollment.labels.clone(),
            serial_number: enrollment.serial_number.clone(),
        };
        let recorded = self.store.renew(by, record, now).await?;
        Ok(recorded.map(|()| issued).map_err(Refused::Store))
    }

    /// A certificate that has begun no enrolment may still be replaced.
    async fn reissue(
        &self,
        by: Digest,
        issued: IssuedIdentity,
        csr: &CertificateRequest,
        now: Timestamp,
    ) -> Result<Result<IssuedIdentity, Refused>, Error> {
        let record = Reissued {
            fingerprint: issued.fingerprint,
            key: csr.key_digest,
            not_after: issued.not_after,
        };
        let recorded = self.store.reissue(by, record, now).await?;
        Ok(recorded.map(|()| issued).map_err(Refused::Store))
    }

    /// The certificate that has signed, if it is one of our authorities'. It may have run out a while ago, which the record judges.
    fn proven(&self, request: &Request, now: Timestamp) -> Option<Digest> {
        let chain: Vec<_> = std::iter::once(&request.signer)
            .chain(&request.others)
            .cloned()
            .collect();
        let earlier = now.saturating_sub(RENEWAL_GRACE).unwrap_or(Timestamp::MIN);
        [now, earlier]
            .into_iter()
            .find_map(|time| match self.trust.identify(&chain, time) {
                Identity::Issued { fingerprint, .. } => Some(fingerprint),
                Identity::Absent | Identity::Untrusted { .. } => None,
            })
    }
}

/// The name in a certificate whose holder nobody has named.
const UNNAMED: &str = "device";

pub(in crate::enrollment) fn name_of(invitation: &Invitation) -> String {
    let udid = invitation.udid.as_ref().map(EnrollmentId::to_string);
    let serial = || invitation.serial_number.as_ref().map(ToString::to_string);
    udid.or_else(serial).unwrap_or_else(|| UNNAMED.to_owned())
}
