//! From an enrolment profile to an identity: the profile is fetched, then a certificate by SCEP (RFC 8894).
//!
//! Made once and sent as often as it takes: what was asked for stays, for the same message brings the same certificate when an answer was lost.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use rcgen::{Attribute, CertificateParams, DistinguishedName, DnType};

use super::cms::{Named, Oid, Signed, Signer, open, seal};
use super::der::{OCTETS, PRINTABLE, SET, element};
use super::enrolment::{EnrolmentProfile, ScepSettings, pem};
use super::keys::RsaKey;
use crate::simulator::enroll::{EnrollError, Enrollment};
use crate::simulator::link::{Link, Message, Reply};
use crate::simulator::trust::Trust;

const MESSAGE_TYPE: Oid = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xF8, 0x45, 0x01, 0x09, 0x02];
const PKI_STATUS: Oid = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xF8, 0x45, 0x01, 0x09, 0x03];
const FAIL_INFO: Oid = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xF8, 0x45, 0x01, 0x09, 0x04];
const SENDER_NONCE: Oid = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xF8, 0x45, 0x01, 0x09, 0x05];
const RECIPIENT_NONCE: Oid = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xF8, 0x45, 0x01, 0x09, 0x06];
const TRANSACTION_ID: Oid = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xF8, 0x45, 0x01, 0x09, 0x07];

/// `PKCSReq`.
const REQUEST: &[u8] = b"19";
/// `challengePassword`.
const CHALLENGE: &[u64] = &[1, 2, 840, 113_549, 1, 9, 7];
/// What a server has to be able to do.
const NEEDED: [&str; 3] = ["AES", "POSTPKIOperation", "SHA-256"];

/// A device that follows an enrolment profile.
pub(in crate::simulator) struct ProfileRequest {
    key: Arc<RsaKey>,
    asked: Option<Asked>,
}

/// What has been found out and is being sent.
struct Asked {
    profile: EnrolmentProfile,
    authority: Vec<u8>,
    message: Bytes,
    nonce: [u8; 16],
}

impl ProfileRequest {
    pub(in crate::simulator) const fn new(key: Arc<RsaKey>) -> Self {
        Self { key, asked: None }
    }

    /// Follows the profile at `url` to an identity.
    pub(in crate::simulator) async fn redeem(
        &mut self,
        url: &str,
        trust: &Trust,
        link: &mut Link,
    ) -> Result<Enrollment, EnrollError> {
        let asked = match self.asked.take() {
            Some(asked) => asked,
            None => self.ask(url, link).await?,
        };
        let enrolled = self.send(&asked, trust, link).await;
        self.asked = Some(asked);
        enrolled
    }

    async fn send(&self, asked: &Asked, trust: &Trust, link: &mut Link) -> Result<Enrollment, EnrollError> {
        let Asked { profile, message, .. } = asked;
        let message = Message {
            method: Method::POST,
            url: &format!("{}?operation=PKIOperation", profile.scep.url),
            content_type: "application/x-pki-message",
            authorization: None,
            body: message.clone(),
        };
        let answer = granted(link.send(message).await?)?;
        let certificate = self.certificate(asked, &answer.body)?;
        let tls = trust.identified(&profile.anchors, &pem(&certificate), self.key.private())?;
        let signer = Signer::new(Arc::clone(&self.key), certificate);
        Ok(Enrollment {
            server_url: profile.server_url.as_str().into(),
            check_in_url: profile.check_in_url.as_str().into(),
            topic: profile.topic.as_str().into(),
            tls: Arc::new(tls),
            signer: profile.sign_message.then(|| Arc::new(signer)),
        })
    }

    /// Fetches the profile and what the server is, and writes the message.
    async fn ask(&self, url: &str, link: &mut Link) -> Result<Asked, EnrollError> {
        let profile = granted(get(link, url).await?)?;
        let profile = EnrolmentProfile::read(&profile.body)?;
        let capabilities = granted(get(link, &format!("{}?operation=GetCACaps", profile.scep.url)).await?)?;
        let capabilities = String::from_utf8_lossy(&capabilities.body).into_owned();
        for needed in NEEDED {
            if !capabilities.lines().any(|line| line.trim() == needed) {
                return Err(EnrollError::Scep(format!("the server does not offer {needed}")));
            }
        }
        let authority = granted(get(link, &format!("{}?operation=GetCACert", profile.scep.url)).await?)?;
        let authority = authority.body.to_vec();
        let mut nonce = [0; 16];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| unusable("a random number"))?;
        let message = self
            .message(&profile.scep, &authority, &nonce)?
            .ok_or_else(|| unusable("the authority's certificate"))?;
        Ok(Asked {
            profile,
            authority,
            message: message.into(),
            nonce,
        })
    }

    /// The request for a certificate, encrypted to the authority and signed by the key that it is for.
    fn message(
        &self,
        scep: &ScepSettings,
        authority: &[u8],
        nonce: &[u8],
    ) -> Result<Option<Vec<u8>>, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = &scep.common_name {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        let challenge = scep.challenge.as_ref().map(|challenge| Attribute {
            oid: CHALLENGE,
            values: element(SET, &element(PRINTABLE, challenge.reveal().as_bytes())),
        });
        let attributes = challenge.into_iter().collect();
        let request = params.serialize_request_with_attributes(&self.key.pair, attributes)?;
        // Signed by the same key, under a certificate of its own making.
        let signer = Signer::new(
            Arc::clone(&self.key),
            params.self_signed(&self.key.pair)?.der().to_vec(),
        );
        let transaction = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.key.public());
        let transaction = hex::encode_upper(transaction);
        let attributes = [
            (MESSAGE_TYPE, element(PRINTABLE, REQUEST)),
            (SENDER_NONCE, element(OCTETS, nonce)),
            (TRANSACTION_ID, element(PRINTABLE, transaction.as_bytes())),
        ];
        Ok(seal(authority, request.der()).and_then(|envelope| signer.sign(&envelope, &attributes)))
    }

    /// The certificate in an answer, which has to be the authority's, to this message and for this key.
    fn certificate(&self, asked: &Asked, answer: &[u8]) -> Result<Vec<u8>, EnrollError> {
        let answer = Signed::read(answer).ok_or_else(|| unusable("the answer"))?;
        if !answer.is_by(&asked.authority) || answer.attribute(RECIPIENT_NONCE) != Some(&asked.nonce) {
            return Err(unusable("the signature or the nonce of the answer"));
        }
        if answer.attribute(PKI_STATUS) != Some(b"0") {
            let info = match answer.attribute(FAIL_INFO) {
                Some(b"0") => "badAlg",
                Some(b"1") => "badMessageCheck",
                Some(b"2") => "badRequest",
                Some(b"3") => "badTime",
                Some(b"4") => "badCertId",
                _ => "no reason",
            };
            return Err(EnrollError::Scep(format!("the server refuses: {info}")));
        }
        let opened = answer.content.and_then(|content| open(content, &self.key));
        let opened = opened.ok_or_else(|| unusable("the encryption of the answer"))?;
        let issued = Signed::read(&opened).ok_or_else(|| unusable("the certificate"))?;
        let ours = self.key.public();
        let found = issued
            .certificates
            .iter()
            .find(|certificate| Named::read(certificate).is_some_and(|named| named.public == ours));
        found
            .map(|certificate| certificate.to_vec())
            .ok_or_else(|| unusable("the key of the certificate"))
    }
}

async fn get(link: &mut Link, url: &str) -> Result<Reply, EnrollError> {
    let message = Message {
        method: Method::GET,
        url,
        content_type: "",
        authorization: None,
        body: Bytes::new(),
    };
    Ok(link.send(message).await?)
}

fn granted(reply: Reply) -> Result<Reply, EnrollError> {
    match reply.status {
        StatusCode::OK => Ok(reply),
        _ => Err(EnrollError::refused(&reply)),
    }
}

fn unusable(what: &str) -> EnrollError {
    EnrollError::Scep(format!("{what} cannot be used"))
}
