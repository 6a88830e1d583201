//! Enrolment: from an invitation to a device that the server can reach.
//!
//! The device follows the enrolment profile as Apple's do (`identity`), or has a key certified at the invitation's address, which
//! takes less computing. It then announces itself with `Authenticate` and `TokenUpdate`.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use plist::{Dictionary, Value};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::identity::keys::{KeyError, RsaKeys};
use super::identity::{ProfileError, ProfileRequest, Signer};
use super::link::{Link, LinkError, Message, Reply};
use super::model::{Family, Identity};
use super::session::{Ended, check, put};
use super::trust::{Trust, TrustError};
use crate::secret::Secret;

/// The right to enrol one device.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invitation {
    /// Where the certificate is issued.
    pub url: String,
    /// The one-time proof of the right.
    #[serde(deserialize_with = "secret")]
    pub challenge: Secret<String>,
    /// Where the enrolment profile is. The address holds the challenge.
    #[serde(default, deserialize_with = "optional_secret")]
    pub profile: Option<Secret<String>>,
    /// The device that the invitation is for; without it, any.
    #[serde(default)]
    pub udid: Option<String>,
    /// The serial number that the invitation is for; without it, any.
    #[serde(default)]
    pub serial: Option<String>,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

fn optional_secret<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

/// How devices come to their identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum WayIn {
    /// By a certificate request at the invitation's address: elliptic curves, one request.
    #[default]
    Identity,
    /// By the enrolment profile and SCEP, as Apple's devices do: RSA, four requests.
    Profile,
    /// By a profile that makes the device sign its messages.
    SigningProfile,
}

/// What the issuing address answers.
#[derive(Debug, Deserialize)]
struct Issued {
    certificate: String,
    mdm: Mdm,
    #[serde(default)]
    ca: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mdm {
    server_url: String,
    #[serde(default)]
    check_in_url: Option<String>,
    topic: String,
}

/// Where an enrolled device reports, and as whom.
#[derive(Debug, Clone)]
pub(super) struct Enrollment {
    pub(super) server_url: Arc<str>,
    pub(super) check_in_url: Arc<str>,
    pub(super) topic: Arc<str>,
    pub(super) tls: Arc<rustls::ClientConfig>,
    /// Signs messages, where the profile wants it.
    pub(super) signer: Option<Arc<Signer>>,
}

impl Enrollment {
    /// A way to the server, as the enrolled device.
    pub(super) fn link(&self, gate: &Arc<Semaphore>) -> Link {
        Link::new(Arc::clone(&self.tls), Arc::clone(gate), self.signer.clone())
    }
}

/// Why a device cannot enrol.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnrollError {
    #[error("could not make a key and a certificate request")]
    Generate(#[from] rcgen::Error),
    #[error("could not reach the issuing address")]
    Reach(#[from] LinkError),
    #[error("the server answered HTTP {status}: {answer}")]
    Refused { status: StatusCode, answer: String },
    #[error("the server's answer to the certificate request is not as agreed")]
    Read(#[from] serde_json::Error),
    #[error("the issued certificate cannot be used")]
    Use(#[from] TrustError),
    #[error("there is no key")]
    Key(#[from] KeyError),
    #[error("the invitation has no enrolment profile")]
    NoProfile,
    #[error("the enrolment profile cannot be followed")]
    Profile(#[from] ProfileError),
    #[error("no identity by SCEP: {0}")]
    Scep(String),
}

impl EnrollError {
    /// Whether another try can help: the server was away or busy, not unwilling.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Reach(_) => true,
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    )
            }
            Self::Generate(_)
            | Self::Read(_)
            | Self::Use(_)
            | Self::Key(_)
            | Self::NoProfile
            | Self::Profile(_)
            | Self::Scep(_) => false,
        }
    }

    /// What the server answered instead.
    pub(super) fn refused(reply: &Reply) -> Self {
        Self::Refused {
            status: reply.status,
            answer: String::from_utf8_lossy(&reply.body).chars().take(200).collect(),
        }
    }
}

/// What a device asks for its identity with: made once, sent as often as it takes.
pub(super) enum IdentityRequest {
    Direct(CertificateRequest),
    Profile {
        request: ProfileRequest,
        query: &'static str,
    },
}

impl IdentityRequest {
    pub(super) async fn new(way: WayIn, udid: &str, keys: &RsaKeys) -> Result<Self, EnrollError> {
        let query = match way {
            WayIn::Identity => return Ok(Self::Direct(CertificateRequest::new(udid)?)),
            WayIn::Profile => "",
            WayIn::SigningProfile => "?signMessage=true",
        };
        let request = ProfileRequest::new(keys.pick().await?);
        Ok(Self::Profile { request, query })
    }

    /// Redeems the invitation.
    pub(super) async fn redeem(
        &mut self,
        invitation: &Invitation,
        trust: &Trust,
        link: &mut Link,
    ) -> Result<Enrollment, EnrollError> {
        match self {
            Self::Direct(request) => request.redeem(invitation, trust, link).await,
            Self::Profile { request, query } => {
                let profile = invitation.profile.as_ref().ok_or(EnrollError::NoProfile)?;
                let url = format!("{}{query}", profile.reveal());
                request.redeem(&url, trust, link).await
            }
        }
    }
}

/// A device's key and its request for a certificate: made once, sent as often as it takes, since the same request
/// must bring the same certificate when an answer was lost.
pub(super) struct CertificateRequest {
    key: KeyPair,
    csr: Bytes,
}

impl CertificateRequest {
    /// A P-256 key, and a request for the name `udid`.
    pub(super) fn new(udid: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, udid);
        let csr = Bytes::copy_from_slice(params.serialize_request(&key)?.der());
        Ok(Self { key, csr })
    }

    /// The request, DER.
    pub(super) fn der(&self) -> &[u8] {
        &self.csr
    }

    /// Redeems the invitation.
    pub(super) async fn redeem(
        &self,
        invitation: &Invitation,
        trust: &Trust,
        link: &mut Link,
    ) -> Result<Enrollment, EnrollError> {
        let message = Message {
            method: Method::POST,
            url: &invitation.url,
            content_type: "application/pkcs10",
            authorization: Some(format!("Bearer {}", invitation.challenge.reveal())),
            body: self.csr.clone(),
        };
        let reply = link.send(message).await?;
        if reply.status != StatusCode::OK {
            return Err(EnrollError::refused(&reply));
        }
        let issued: Issued = serde_json::from_slice(&reply.body)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let tls = Arc::new(trust.identified(&issued.ca, &issued.certificate, key)?);
        let check_in_url = issued
            .mdm
            .check_in_url
            .unwrap_or_else(|| issued.mdm.server_url.clone());
        Ok(Enrollment {
            server_url: issued.mdm.server_url.into(),
            check_in_url: check_in_url.into(),
            topic: issued.mdm.topic.into(),
            tls,
            signer: None,
        })
    }
}

/// The push token of a device, which its user's follows from.
pub(super) type PushToken = [u8; 32];

/// The push token of the channel of a device's user.
pub(super) fn user_token(token: &PushToken) -> PushToken {
    token.map(|byte| !byte)
}

/// What the push service and the device know each other by.
pub(super) struct PushAddress<'a> {
    pub(super) token: &'a PushToken,
    pub(super) magic: &'a str,
    /// Of the user's channel.
    pub(super) user_magic: &'a str,
}

/// Announces the device: `Authenticate`, then `TokenUpdate`. A Mac with a managed user then hands over its bootstrap token, and its user's
/// channel begins.
pub(super) async fn announce(
    link: &mut Link,
    enrollment: &Enrollment,
    identity: &Identity,
    push: &PushAddress<'_>,
) -> Result<(), Ended> {
    let mut authenticate = check_in("Authenticate", identity, enrollment);
    let mac = identity.family == Family::Mac;
    for (key, value) in [
        ("DeviceName", identity.name.as_str()),
        (
            "Model",
            if mac {
                identity.product
            } else {
                identity.model_number
            },
        ),
        ("ModelName", identity.model_name),
        ("ProductName", identity.product),
        ("OSVersion", identity.release.version),
        ("BuildVersion", identity.release.build),
        ("SerialNumber", identity.serial.as_str()),
    ] {
        authenticate.insert(key.to_owned(), value.into());
    }
    check(put(link, &enrollment.check_in_url, CHECK_IN, &authenticate).await?)?;

    let mut update = check_in("TokenUpdate", identity, enrollment);
    update.insert("Token".to_owned(), Value::Data(push.token.to_vec()));
    update.insert("PushMagic".to_owned(), push.magic.into());
    update.insert("AwaitingConfiguration".to_owned(), false.into());
    if !mac {
        update.insert(
            "UnlockToken".to_owned(),
            Value::Data(push.token.iter().rev().copied().collect()),
        );
    }
    check(put(link, &enrollment.check_in_url, CHECK_IN, &update).await?)?;
    if let Some(user) = &identity.user {
        announce_user(link, enrollment, identity, user, push).await?;
    }
    Ok(())
}

/// A Mac makes its bootstrap token when its first user signs in.
async fn announce_user(
    link: &mut Link,
    enrollment: &Enrollment,
    identity: &Identity,
    user: &str,
    push: &PushAddress<'_>,
) -> Result<(), Ended> {
    let mut handed_over = check_in("SetBootstrapToken", identity, enrollment);
    let token = format!("bootstrap token of {}", identity.udid);
    handed_over.insert("BootstrapToken".to_owned(), Value::Data(token.into_bytes()));
    check(put(link, &enrollment.check_in_url, CHECK_IN, &handed_over).await?)?;

    let mut update = check_in("TokenUpdate", identity, enrollment);
    update.insert("Token".to_owned(), Value::Data(user_token(push.token).to_vec()));
    update.insert("PushMagic".to_owned(), push.user_magic.into());
    update.insert("NotOnConsole".to_owned(), false.into());
    speak_for(user, &mut update);
    check(put(link, &enrollment.check_in_url, CHECK_IN, &update).await?)?;
    Ok(())
}

/// Makes a message one of a user.
pub(super) fn speak_for(user: &str, message: &mut Dictionary) {
    for (key, value) in [
        ("UserID", user),
        ("UserShortName", "user"),
        ("UserLongName", "User"),
    ] {
        message.insert(key.to_owned(), value.into());
    }
}

/// The content type of check-in messages.
pub(super) const CHECK_IN: &str = "application/x-apple-aspen-mdm-checkin";

/// The beginning of every check-in message.
pub(super) fn check_in(message_type: &str, identity: &Identity, enrollment: &Enrollment) -> Dictionary {
    let mut message = Dictionary::new();
    message.insert("MessageType".to_owned(), message_type.into());
    message.insert("UDID".to_owned(), identity.udid.as_str().into());
    if message_type != "DeclarativeManagement" {
        message.insert("Topic".to_owned(), enrollment.topic.as_ref().into());
    }
    message
}
