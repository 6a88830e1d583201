//! Configuration profiles, as a device reads them.

use plist::{Dictionary, Value};

/// A profile that can be installed.
#[derive(Debug, PartialEq)]
pub(super) struct Profile {
    pub(super) identifier: String,
    pub(super) uuid: String,
    pub(super) version: i64,
    pub(super) display_name: Option<String>,
    pub(super) removal_disallowed: bool,
    pub(super) payloads: Vec<Payload>,
}

/// One payload of a profile.
#[derive(Debug, PartialEq)]
pub(super) struct Payload {
    pub(super) kind: String,
    pub(super) identifier: String,
    pub(super) uuid: String,
    pub(super) content: Dictionary,
}

/// Why a profile is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProfileError {
    #[error("the profile is not a property list")]
    Read(#[from] plist::Error),
    #[error("the profile lacks {0}, or it is not of the right type")]
    Lacks(&'static str),
    #[error("the profile is of type {0}, not Configuration")]
    Kind(String),
}

impl Profile {
    /// Reads an unsigned profile, XML or binary.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ProfileError> {
        let profile: Dictionary = plist::from_bytes(bytes)?;
        let kind = text(&profile, "PayloadType")?;
        if kind != "Configuration" {
            return Err(ProfileError::Kind(kind));
        }
        let payloads = profile
            .get("PayloadContent")
            .and_then(Value::as_array)
            .ok_or(ProfileError::Lacks("PayloadContent"))?
            .iter()
            .map(|payload| {
                read_payload(
                    payload
                        .as_dictionary()
                        .ok_or(ProfileError::Lacks("PayloadContent"))?,
                )
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            identifier: text(&profile, "PayloadIdentifier")?,
            uuid: text(&profile, "PayloadUUID")?,
            version: profile
                .get("PayloadVersion")
                .and_then(Value::as_signed_integer)
                .unwrap_or(1),
            display_name: text(&profile, "PayloadDisplayName").ok(),
            removal_disallowed: profile
                .get("PayloadRemovalDisallowed")
                .and_then(Value::as_boolean)
                .unwrap_or(false),
            payloads,
        })
    }
}

fn read_payload(payload: &Dictionary) -> Result<Payload, ProfileError> {
    Ok(Payload {
        kind: text(payload, "PayloadType")?,
        identifier: text(payload, "PayloadIdentifier")?,
        uuid: text(payload, "PayloadUUID")?,
        content: payload.clone(),
    })
}

fn text(dictionary: &Dictionary, key: &'static str) -> Result<String, ProfileError> {
    let value = dictionary
        .get(key)
        .and_then(Value::as_string)
        .filter(|value| !value.is_empty());
    value.map(str::to_owned).ok_or(ProfileError::Lacks(key))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A profile with one payload; `content` is the payload's own keys, as XML.
    pub(in crate::simulator) fn profile_xml(
        identifier: &str,
        uuid: &str,
        kind: &str,
        content: &str,
    ) -> Vec<u8> {
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict>
            <key>PayloadType</key><string>Configuration</string><key>PayloadVersion</key><integer>1</integer>
            <key>PayloadIdentifier</key><string>{identifier}</string><key>PayloadUUID</key><string>{uuid}</string>
            <key>PayloadContent</key><array><dict>
              <key>PayloadType</key><string>{kind}</string><key>PayloadVersion</key><integer>1</integer>
              <key>PayloadIdentifier</key><string>{identifier}.payload</string>
              <key>PayloadUUID</key><string>{uuid}-P</string>{content}
            </dict></array></dict></plist>"#
        )
        .into_bytes()
    }

    #[test]
    fn a_profile_is_read_with_its_payloads() {
        let xml = profile_xml(
            "a.b",
            "U",
            "com.apple.screensaver",
            "<key>askForPassword</key><true/>",
        );
        let profile = Profile::parse(&xml).unwrap();
        assert_eq!((profile.identifier.as_str(), profile.uuid.as_str()), ("a.b", "U"));
        assert_eq!(profile.payloads[0].kind, "com.apple.screensaver");
        assert_eq!(
            profile.payloads[0].content.get("askForPassword"),
            Some(&Value::Boolean(true))
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(matches!(Profile::parse(b"nothing"), Err(ProfileError::Read(_))));
        let without = String::from_utf8(profile_xml("a", "U", "t", ""))
            .unwrap()
            .replace("PayloadUUID", "x");
        assert!(
            Profile::parse(without.as_bytes())
                .unwrap_err()
                .to_string()
                .contains("PayloadUUID")
        );
        let wrong = String::from_utf8(profile_xml("a", "U", "t", ""))
            .unwrap()
            .replace("Configuration", "App");
        assert!(matches!(
            Profile::parse(wrong.as_bytes()),
            Err(ProfileError::Kind(_))
        ));
    }
}
