//! What an enrolment profile tells: where the server is and how to get an identity.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plist::{Dictionary, Value};

use super::cms::Signed;
use crate::secret::Secret;

/// Why a profile enrols nobody.
#[derive(Debug, thiserror::Error)]
pub(in crate::simulator) enum ProfileError {
    #[error("the profile is no property list")]
    Read(#[from] plist::Error),
    #[error("the profile has no usable {0}")]
    Lacks(&'static str),
}

/// The profile.
#[derive(Debug)]
pub(super) struct EnrolmentProfile {
    pub(super) server_url: String,
    pub(super) check_in_url: String,
    pub(super) topic: String,
    /// Whether the device signs its messages.
    pub(super) sign_message: bool,
    /// The authorities to trust, PEM.
    pub(super) anchors: String,
    pub(super) scep: ScepSettings,
}

/// How the identity is asked for.
#[derive(Debug)]
pub(super) struct ScepSettings {
    pub(super) url: String,
    pub(super) challenge: Option<Secret<String>>,
    /// The common name to ask for.
    pub(super) common_name: Option<String>,
}

impl EnrolmentProfile {
    /// Reads a profile, within a signed message or plain.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ProfileError> {
        let plain = Signed::read(bytes).and_then(|signed| signed.content);
        let profile: Value = plist::from_bytes(plain.unwrap_or(bytes))?;
        let profile = profile.as_dictionary();
        let payloads = profile.and_then(|profile| profile.get("PayloadContent")?.as_array());
        let payloads: Vec<&Dictionary> = payloads
            .into_iter()
            .flatten()
            .filter_map(Value::as_dictionary)
            .collect();
        let of_type = |kind: &str| {
            let kind = kind.to_owned();
            payloads
                .iter()
                .copied()
                .filter(move |payload| text(payload, "PayloadType") == Some(&*kind))
        };
        let mdm = of_type("com.apple.mdm")
            .next()
            .ok_or(ProfileError::Lacks("MDM payload"))?;
        let needed = |key: &'static str| text(mdm, key).map(str::to_owned).ok_or(ProfileError::Lacks(key));
        let identity = needed("IdentityCertificateUUID")?;
        let scep = of_type("com.apple.security.scep")
            .find(|payload| text(payload, "PayloadUUID") == Some(&*identity))
            .and_then(|payload| payload.get("PayloadContent")?.as_dictionary())
            .ok_or(ProfileError::Lacks("SCEP payload for its identity"))?;
        let server_url = needed("ServerURL")?;
        Ok(Self {
            check_in_url: text(mdm, "CheckInURL").map_or_else(|| server_url.clone(), str::to_owned),
            server_url,
            topic: needed("Topic")?,
            sign_message: mdm.get("SignMessage").and_then(Value::as_boolean) == Some(true),
            anchors: of_type("com.apple.security.root")
                .filter_map(|payload| payload.get("PayloadContent")?.as_data())
                .map(pem)
                .collect(),
            scep: ScepSettings {
                url: text(scep, "URL")
                    .ok_or(ProfileError::Lacks("URL of SCEP"))?
                    .to_owned(),
                challenge: text(scep, "Challenge").map(|challenge| Secret::new(challenge.to_owned())),
                common_name: common_name(scep),
            },
        })
    }
}

/// `Subject` is a list of lists of pairs.
fn common_name(scep: &Dictionary) -> Option<String> {
    let names = scep
        .get("Subject")?
        .as_array()?
        .iter()
        .filter_map(Value::as_array)
        .flatten();
    names
        .filter_map(Value::as_array)
        .find_map(|pair| match pair.as_slice() {
            [Value::String(name), Value::String(value)] if name == "CN" => Some(value.clone()),
            _ => None,
        })
}

fn text<'a>(dictionary: &'a Dictionary, key: &str) -> Option<&'a str> {
    dictionary.get(key)?.as_string()
}

/// A certificate as PEM.
pub(super) fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}
