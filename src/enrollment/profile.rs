//! The enrolment profile: what a device is to install to be managed here (`com.apple.mdm`, with the identity by `com.apple.security.scep`).
//!
//! It holds the challenge of its invitation and is worth as much. Fetching it uses nothing up: links are looked at before they are opened. What a
//! device holds its profile by does not change from one fetch to the next: identifiers are fixed, and UUIDs are derived from the content, the challenge
//! left out.

use std::sync::Arc;

use plist::{Dictionary, Value};
use uuid::Uuid;

use super::identity::CurrentAddress;
use super::invitation::digest_of;
use super::scep;
use crate::clock::Clock;
use crate::ids::Digest;
use crate::mdm::plist::to_xml;
use crate::pki::cms::{KeyError, Signer};
use crate::store::{Invitation, Refusal, Store, StoreError};

/// The identifier of the profile; those of its payloads begin with it. A device replaces a profile by one of the same identifier.
const IDENTIFIER: &str = "dev.provost.enrollment";

/// Everything that a server may ask of a device (`AccessRights`).
const ALL_RIGHTS: u64 = 8191;

/// `Key Usage` of the identity: signing and decrypting.
const SIGN_AND_ENCRYPT: u64 = 5;

/// How a profile is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// Signed by the server.
    pub signed: bool,
    /// The device signs its messages (`SignMessage`): for servers whom a proxy keeps from seeing its certificate.
    pub sign_message: bool,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The challenge is not open.
    #[error("there is no open invitation for it")]
    Refused(#[source] Refusal),
    /// It could not be signed.
    #[error("the profile could not be signed")]
    Sign(#[source] KeyError),
    /// The store failed.
    #[error("the invitation could not be looked up")]
    Store(#[from] StoreError),
}

/// Makes enrolment profiles.
pub struct ProfileIssuer {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    mdm: CurrentAddress,
    scep_url: String,
    /// What the device has to trust to reach the server, DER.
    anchor: Vec<u8>,
    signer: Arc<Signer>,
}

impl ProfileIssuer {
    /// Profiles that lead to `mdm` and to SCEP below `public_url`, where `anchor` (DER) vouches for the server; `signer` signs them.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        mdm: CurrentAddress,
        public_url: &str,
        anchor: Vec<u8>,
        signer: Arc<Signer>,
    ) -> Self {
        Self {
            store,
            clock,
            mdm,
            scep_url: format!("{}{}", public_url.trim_end_matches('/'), scep::PATH),
            anchor,
            signer,
        }
    }

    /// The profile for a challenge: a property list, or one within a signed message.
    ///
    /// # Errors
    /// When the challenge is not open, or something of ours fails.
    pub async fn profile(&self, challenge: &str, variant: Variant) -> Result<Vec<u8>, Error> {
        let now = self.clock.now();
        let found = self
            .store
            .invitation(digest_of(challenge), None, Digest::of(b""), now)
            .await?;
        let invitation = found.map_err(Error::Refused)?;
        let xml = to_xml(&Value::Dictionary(self.compose(challenge, &invitation, variant)));
        if variant.signed {
            self.signer
                .sign(xml.as_bytes(), &[], &[&self.anchor])
                .map_err(Error::Sign)
        } else {
            Ok(xml.as_bytes().to_vec())
        }
    }

    fn compose(&self, challenge: &str, invitation: &Invitation, variant: Variant) -> Dictionary {
        let address = (self.mdm)();
        let anchor = payload(
            "com.apple.security.root",
            "anchor",
            "Certificate authority of the server",
            [
                ("PayloadCertificateFileName", "provost.cer".into()),
                ("PayloadContent", Value::Data(self.anchor.clone())),
            ],
        );
        let mut identity = payload(
            "com.apple.security.scep",
            "identity",
            "Identity of the device",
            [("PayloadContent", Value::Dictionary(self.scep(invitation)))],
        );
        let mdm = payload(
            "com.apple.mdm",
            "mdm",
            "Device management",
            [
                ("IdentityCertificateUUID", uuid_of(&identity)),
                ("Topic", address.topic.as_str().into()),
                ("ServerURL", address.server_url.as_str().into()),
                ("CheckInURL", address.check_in_url.as_str().into()),
                ("CheckOutWhenRemoved", true.into()),
                ("SignMessage", variant.sign_message.into()),
                ("AccessRights", ALL_RIGHTS.into()),
                (
                    "ServerCapabilities",
                    Value::Array(vec![
                        "com.apple.mdm.per-user-connections".into(),
                        "com.apple.mdm.bootstraptoken".into(),
                        "com.apple.mdm.token".into(),
                    ]),
                ),
            ],
        );
        // Only now: UUIDs do not depend on it.
        if let Some(Value::Dictionary(content)) = identity.get_mut("PayloadContent") {
            content.insert("Challenge".to_owned(), challenge.into());
        }
        // What a device holds an enrolment by, and what may never change in place.
        let place = [
            IDENTIFIER,
            &address.server_url,
            &address.check_in_url,
            address.topic.as_str(),
        ];
        let uuid = Uuid::new_v5(&Uuid::NAMESPACE_URL, place.join("\n").as_bytes());
        dictionary([
            ("PayloadType", "Configuration".into()),
            ("PayloadVersion", 1_u64.into()),
            ("PayloadIdentifier", IDENTIFIER.into()),
            ("PayloadUUID", written(uuid)),
            ("PayloadDisplayName", "Provost enrolment".into()),
            (
                "PayloadDescription",
                "Lets your organisation manage this device.".into(),
            ),
            ("PayloadScope", "System".into()),
            ("PayloadRemovalDisallowed", false.into()),
            (
                "PayloadContent",
                Value::Array([anchor, identity, mdm].map(Value::Dictionary).into()),
            ),
        ])
    }

    /// How the identity is asked for, but for the challenge.
    fn scep(&self, invitation: &Invitation) -> Dictionary {
        let name = scep::server::name_of(invitation);
        let attribute = Value::Array(vec!["CN".into(), name.into()]);
        dictionary([
            ("URL", self.scep_url.as_str().into()),
            ("Name", "Provost".into()),
            ("Subject", Value::Array(vec![Value::Array(vec![attribute])])),
            ("Key Type", "RSA".into()),
            ("Keysize", 2048_u64.into()),
            ("Key Usage", SIGN_AND_ENCRYPT.into()),
            ("Retries", 3_u64.into()),
            ("RetryDelay", 10_u64.into()),
        ])
    }
}

/// A payload, whose UUID is derived from everything in it.
fn payload<const N: usize>(
    kind: &str,
    name: &str,
    display_name: &str,
    settings: [(&str, Value); N],
) -> Dictionary {
    let mut payload = dictionary([
        ("PayloadType", kind.into()),
        ("PayloadVersion", 1_u64.into()),
        ("PayloadIdentifier", format!("{IDENTIFIER}.{name}").into()),
        ("PayloadDisplayName", display_name.into()),
    ]);
    payload.extend(settings.map(|(key, value)| (key.to_owned(), value)));
    let content = to_xml(&Value::Dictionary(payload.clone()));
    let uuid = Uuid::new_v5(&Uuid::NAMESPACE_OID, content.as_bytes());
    payload.insert("PayloadUUID".to_owned(), written(uuid));
    payload
}

fn uuid_of(payload: &Dictionary) -> Value {
    payload.get("PayloadUUID").cloned().unwrap_or_else(|| "".into())
}

fn written(uuid: Uuid) -> Value {
    uuid.to_string().to_uppercase().into()
}

fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Dictionary {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests;
