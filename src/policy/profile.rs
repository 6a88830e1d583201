//! Configuration profiles (Apple: TopLevel, CommonPayloadKeys), as XML property lists, the same to the byte for the same content.
//!
//! Identifiers are stable over revisions; UUIDs are derived from content, so that "installed with this UUID" proves exactly this
//! content. The UUID of a payload that carries an identity or a connection stays the same, because the system replaces such a
//! payload in place only then.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::content::{canonical, to_plist};
use super::manifest::ProfileDocument;
use crate::ids::{Digest, PROFILE_PREFIX};

/// The name space of UUIDs derived from content.
const UUID_NAMESPACE: Uuid = Uuid::from_u128(0x6d0f_8a5e_9b1c_4c55_9d1e_2f4a_7c36_b0d1);

/// Payloads that carry an identity or a connection: prefixes of their types.
const CONNECTIONS: [&str; 10] = [
    "com.apple.security.scep",
    "com.apple.security.acme",
    "com.apple.security.pkcs12",
    "com.apple.wifi.managed",
    "com.apple.vpn.managed",
    "com.apple.mail.managed",
    "com.apple.eas.account",
    "com.apple.ews.account",
    "com.apple.cellular",
    "com.apple.relay.managed",
];

/// Managed preferences, by domain.
const PREFERENCES: &str = "com.apple.ManagedClient.preferences";

/// The keys that Provost derives, and that content may not hold.
pub const DERIVED_KEYS: [&str; 10] = [
    "PayloadDescription",
    "PayloadDisplayName",
    "PayloadEnabled",
    "PayloadIdentifier",
    "PayloadOrganization",
    "PayloadRemovalDisallowed",
    "PayloadScope",
    "PayloadType",
    "PayloadUUID",
    "PayloadVersion",
];

/// Why a profile could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The property list could not be written.
    #[error("the profile {identifier} could not be written as a property list")]
    Write {
        /// The profile.
        identifier: String,
        /// What the writer says.
        #[source]
        source: plist::Error,
    },
}

/// A payload to put into a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// Apple's payload type.
    pub payload_type: String,
    /// Its keys.
    pub content: Map<String, Value>,
}

/// The type that devices know: Apple's schema tells the parts of `com.apple.MCX` apart by a name in brackets.
#[must_use]
pub fn served_type(payload_type: &str) -> &str {
    payload_type
        .split_once('(')
        .map_or(payload_type, |(name, _)| name)
}

/// The identifier of the profile of what rules say about a payload type.
#[must_use]
pub fn type_identifier(namespace: &str, payload_type: &str) -> String {
    format!("{PROFILE_PREFIX}{namespace}.{payload_type}")
}

/// The identifier of the profile of a Profile object.
#[must_use]
pub fn object_identifier(namespace: &str, name: &str) -> String {
    format!("{PROFILE_PREFIX}{namespace}.object.{name}")
}

/// Builds a profile.
///
/// # Errors
/// When it cannot be written.
pub fn build(identifier: &str, title: &str, payloads: &[Payload]) -> Result<ProfileDocument, ProfileError> {
    let mut inner = Vec::with_capacity(payloads.len());
    for (n, payload) in payloads.iter().enumerate() {
        let before = payloads
            .iter()
            .take(n)
            .filter(|other| other.payload_type == payload.payload_type)
            .count();
        let mut payload_identifier = format!("{identifier}.{}", payload.payload_type);
        if before > 0 {
            payload_identifier = format!("{payload_identifier}.{}", before + 1);
        }
        let mut content = as_sent(&payload.payload_type, &payload.content).into_owned();
        content.insert(
            "PayloadUUID".to_owned(),
            json!(payload_uuid(&payload_identifier, payload)),
        );
        content.insert("PayloadIdentifier".to_owned(), json!(payload_identifier));
        content.insert("PayloadType".to_owned(), json!(payload.payload_type));
        content.insert("PayloadVersion".to_owned(), json!(1));
        inner.push(Value::Object(content));
    }
    let mut profile = json!({
        "PayloadContent": inner,
        "PayloadDisplayName": title,
        "PayloadIdentifier": identifier,
        "PayloadOrganization": "Provost",
        "PayloadRemovalDisallowed": true,
        "PayloadScope": "System",
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
    });
    let uuid = derived_uuid(&canonical(&profile));
    if let Value::Object(keys) = &mut profile {
        keys.insert("PayloadUUID".to_owned(), json!(uuid));
    }
    let body = write(identifier, &profile)?;
    Ok(ProfileDocument {
        identifier: identifier.into(),
        uuid: uuid.into(),
        digest: Digest::of(body.as_bytes()),
        body: body.into(),
    })
}

/// Content as devices read it. Managed preferences may be written as domains with their keys, which merge key by key; devices want each domain
/// wrapped as forced.
pub(super) fn as_sent<'c>(
    payload_type: &str,
    content: &'c Map<String, Value>,
) -> Cow<'c, Map<String, Value>> {
    let is_plain = payload_type == PREFERENCES
        && !content.contains_key("PayloadContent")
        && content.values().all(Value::is_object);
    if !is_plain {
        return Cow::Borrowed(content);
    }
    let domains: Map<String, Value> = content
        .iter()
        .map(|(domain, keys)| {
            let forced = json!({ "Forced": [{ "mcx_preference_settings": keys }] });
            (domain.clone(), forced)
        })
        .collect();
    Cow::Owned(Map::from_iter([(
        "PayloadContent".to_owned(),
        Value::Object(domains),
    )]))
}

fn payload_uuid(identifier: &str, payload: &Payload) -> String {
    if CONNECTIONS
        .iter()
        .any(|prefix| payload.payload_type.starts_with(prefix))
    {
        return derived_uuid(identifier);
    }
    derived_uuid(&canonical(&json!([identifier, payload.content])))
}

fn derived_uuid(text: &str) -> String {
    Uuid::new_v5(&UUID_NAMESPACE, text.as_bytes())
        .to_string()
        .to_uppercase()
}

fn write(identifier: &str, profile: &Value) -> Result<String, ProfileError> {
    let mut bytes = Vec::new();
    to_plist(profile)
        .unwrap_or(plist::Value::Dictionary(plist::Dictionary::new()))
        .to_writer_xml(&mut bytes)
        .map_err(|source| ProfileError::Write {
            identifier: identifier.to_owned(),
            source,
        })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "tests read better with the data in its place"
    )]
    fn payload(payload_type: &str, content: Value) -> Payload {
        Payload {
            payload_type: payload_type.to_owned(),
            content: content.as_object().unwrap().clone(),
        }
    }

    fn built(payloads: &[Payload]) -> ProfileDocument {
        build("dev.provost.profile.fleet.x", "A title", payloads).unwrap()
    }

    #[test]
    fn a_profile_is_the_same_to_the_byte() {
        let firewall = payload(
            "com.apple.security.firewall",
            json!({ "EnableFirewall": true, "Ratio": 1.5, "Delay": 5, "Blob": { "$data": "AQID" }, "Apps": ["a", "b<&>"] }),
        );
        insta::assert_snapshot!(built(&[firewall]).body);
    }

    #[test]
    fn a_changed_value_changes_every_uuid_but_those_of_connections() {
        let uuids = |profile: &ProfileDocument| -> Vec<String> {
            let plist = plist::Value::from_reader_xml(profile.body.as_bytes()).unwrap();
            let inner = plist
                .as_dictionary()
                .unwrap()
                .get("PayloadContent")
                .unwrap()
                .as_array()
                .unwrap()
                .clone();
            inner
                .iter()
                .map(|payload| {
                    payload
                        .as_dictionary()
                        .unwrap()
                        .get("PayloadUUID")
                        .unwrap()
                        .as_string()
                        .unwrap()
                        .to_owned()
                })
                .collect()
        };
        let with = |n: i64| {
            built(&[
                payload("com.apple.screensaver", json!({ "idleTime": n })),
                payload("com.apple.wifi.managed", json!({ "SSID_STR": format!("net{n}") })),
                payload("com.apple.screensaver", json!({ "idleTime": n })),
            ])
        };
        let (one, two) = (with(1), with(2));
        assert_ne!(one.uuid, two.uuid);
        assert_ne!(one.digest, two.digest);
        let (a, b) = (uuids(&one), uuids(&two));
        assert_ne!(a[0], b[0]);
        assert_eq!(a[1], b[1]);
        assert_ne!(a[0], a[2], "two payloads of one type are two");
        assert_eq!(one, with(1));
    }

    #[test]
    fn managed_preferences_are_wrapped_as_forced_by_domain() {
        let wrapped =
            |content: Value| Value::Object(as_sent(PREFERENCES, content.as_object().unwrap()).into_owned());
        let plain = json!({ "com.apple.timed": { "On": true }, "com.apple.x": { "N": 1 } });
        let forced = json!({ "PayloadContent": {
            "com.apple.timed": { "Forced": [{ "mcx_preference_settings": { "On": true } }] },
            "com.apple.x": { "Forced": [{ "mcx_preference_settings": { "N": 1 } }] },
        } });
        assert_eq!(wrapped(plain), forced);
        assert_eq!(
            wrapped(forced.clone()),
            forced,
            "what is wrapped already stays as it is"
        );
    }

    #[test]
    fn the_parts_of_mcx_are_one_type_to_devices() {
        assert_eq!(served_type("com.apple.MCX(FileVault)"), "com.apple.MCX");
        assert_eq!(served_type("com.apple.dock"), "com.apple.dock");
    }
}
