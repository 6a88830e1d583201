//! Invitations: the right to enrol one device, once.
//!
//! The challenge is 32 random bytes, shown once to whoever invites. Only its SHA-256 is kept, so a copy of the database enrols nobody.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Entropy};
use crate::ids::{Digest, EnrollmentId, Namespace, SerialNumber};
use crate::store::{Invitation, Store, StoreError};

/// Where identities are issued, below the public address of the server.
pub const IDENTITY_PATH: &str = "/enroll/identity";

/// Where enrolment profiles are served, each under its challenge, below the public address of the server.
pub const PROFILE_PATH: &str = "/enroll/profile";

/// The longest that an invitation may be open.
pub const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The most labels of an invitation.
const LABEL_LIMIT: usize = 32;

/// Why nobody was invited.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A label that Kubernetes would not take.
    #[error("{text:?} is not a {part} of a label: {rule}")]
    Label {
        /// What was given.
        text: String,
        /// Key, prefix or value.
        part: &'static str,
        /// What is allowed.
        rule: &'static str,
    },
    /// Too many of them.
    #[error("at most {LABEL_LIMIT} labels are allowed, not {count}")]
    Labels {
        /// Labels given.
        count: usize,
    },
    /// Open for too long, or not at all.
    #[error("an invitation is open for at least a second and at most 90 days")]
    Life,
    /// The store failed.
    #[error("the invitation could not be kept")]
    Store(#[from] StoreError),
}

/// Whom to invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteRequest {
    /// The fleet.
    pub namespace: Namespace,
    /// The only hardware that may come. None: any.
    pub serial_number: Option<SerialNumber>,
    /// The only enrolment that may come. None: any.
    pub udid: Option<EnrollmentId>,
    /// Labels of the Device object.
    pub labels: BTreeMap<String, String>,
    /// How long the invitation is open.
    pub life: SignedDuration,
    /// The public address of the server, such as `https://mdm.example.com`.
    pub public_url: String,
}

/// An invitation, for whoever hands it on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invite {
    /// Where the identity is issued.
    pub url: String,
    /// Where a device fetches its enrolment profile. It holds the challenge, so it is as secret.
    pub profile: String,
    /// The secret that it is issued for. It cannot be shown again.
    pub challenge: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Invites a device.
///
/// # Errors
/// When a label is none, the life is not allowed, or the store fails.
pub async fn invite(
    store: &dyn Store,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    request: InviteRequest,
) -> Result<Invite, Error> {
    check_labels(&request.labels)?;
    if request.life < SignedDuration::from_secs(1) || request.life > LONGEST_LIFE {
        return Err(Error::Life);
    }
    let expires_at = clock
        .now()
        .saturating_add(request.life)
        .map_err(|_| Error::Life)?;
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    // In digits that every string type of ASN.1 and every URL can hold: devices put it into certificate requests.
    let challenge = hex::encode(bytes);
    let invitation = Invitation {
        challenge: digest_of(&challenge),
        namespace: request.namespace,
        labels: request.labels,
        serial_number: request.serial_number,
        udid: request.udid,
        expires_at,
    };
    store.invite(invitation).await?;
    let public_url = request.public_url.trim_end_matches('/');
    Ok(Invite {
        url: format!("{public_url}{IDENTITY_PATH}"),
        profile: format!("{public_url}{PROFILE_PATH}/{challenge}"),
        challenge,
        expires_at,
    })
}

/// What is kept of a challenge.
#[must_use]
pub fn digest_of(challenge: &str) -> Digest {
    Digest::of(challenge.as_bytes())
}

/// Whether Kubernetes would take these labels.
pub(super) fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Error> {
    if labels.len() > LABEL_LIMIT {
        return Err(Error::Labels { count: labels.len() });
    }
    for (key, value) in labels {
        let (prefix, name) = match key.split_once('/') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, key.as_str()),
        };
        if let Some(prefix) = prefix
            && !is_subdomain(prefix)
        {
            return Err(Error::Label {
                text: prefix.to_owned(),
                part: "prefix",
                rule: "a DNS name in lower case",
            });
        }
        let rule = "at most 63 letters, digits, '-', '_' and '.', with a letter or digit at either end";
        if !is_name(name) {
            return Err(Error::Label {
                text: name.to_owned(),
                part: "key",
                rule,
            });
        }
        if !value.is_empty() && !is_name(value) {
            return Err(Error::Label {
                text: value.clone(),
                part: "value",
                rule,
            });
        }
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            is_name(label)
                && label
                    .bytes()
                    .all(|byte| !byte.is_ascii_uppercase() && byte != b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, value: &str) -> Result<(), Error> {
        check_labels(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn labels_are_those_of_kubernetes() {
        for (key, value) in [
            ("team", "design"),
            ("example.com/team", "Design_1.a"),
            ("a", ""),
            (&"k".repeat(63), &"v".repeat(63)),
        ] {
            assert!(check(key, value).is_ok(), "{key}={value}");
        }
        for (key, value, part) in [
            ("", "v", "key"),
            ("-a", "v", "key"),
            ("a/b/c", "v", "key"),
            ("Example.com/a", "v", "prefix"),
            ("/a", "v", "prefix"),
            ("a", "two words", "value"),
            ("a", ".", "value"),
            (&"k".repeat(64), "v", "key"),
        ] {
            assert!(
                matches!(check(key, value), Err(Error::Label { part: found, .. }) if found == part),
                "{key}={value}"
            );
        }
    }
}
