//! Names and identifiers, checked once at the edge and then carried as types.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What the `PayloadIdentifier` of every profile that Provost makes begins with: how its own are told from others on a device.
pub const PROFILE_PREFIX: &str = "dev.provost.profile.";

/// Why a text is not the identifier it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("{kind} is empty")]
    Empty {
        /// What was expected.
        kind: &'static str,
    },
    /// Longer than any real one.
    #[error("{kind} has {length} bytes, more than the {maximum} allowed")]
    TooLong {
        /// What was expected.
        kind: &'static str,
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        maximum: usize,
    },
    /// A character that does not belong.
    #[error("{kind} may not hold the character {character:?}")]
    Character {
        /// What was expected.
        kind: &'static str,
        /// The first wrong character.
        character: char,
    },
}

fn check(kind: &'static str, text: &str, maximum: usize, allowed: fn(char) -> bool) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { kind });
    }
    if text.len() > maximum {
        return Err(IdError::TooLong {
            kind,
            length: text.len(),
            maximum,
        });
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(character) => Err(IdError::Character { kind, character }),
        None => Ok(()),
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $maximum:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and takes it over byte for byte.
            ///
            /// # Errors
            /// When it is empty, too long or holds a character that such an identifier never has.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check($kind, text, $maximum, $allowed)?;
                Ok(Self(text.into()))
            }

            /// The text as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }
    };
}

const fn printable(c: char) -> bool {
    c.is_ascii_graphic()
}

const fn hardware(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_'
}

identifier!(
    /// Who is enrolled: a device, by its UDID or the EnrollmentID of a User Enrollment, or one of its users. Kept byte-exact.
    ///
    /// A user's is written `DEVICE:USER`. Only [`EnrollmentId::of_user`] and [`EnrollmentId::parse_with_user`] make one: wherever an id is read by
    /// `parse` it is a device's. The user's part may be a person's account name: log [`EnrollmentId::device`], never the whole.
    EnrollmentId, "enrolment id", 128, hardware
);
identifier!(
    /// The UUID by which a device reports on a command.
    CommandUuid, "CommandUUID", 128, printable
);
identifier!(
    /// A hardware serial number.
    SerialNumber, "serial number", 64, |c| c.is_ascii_alphanumeric()
);
identifier!(
    /// A push topic, `com.apple.mgmt.…`.
    PushTopic, "push topic", 256, printable
);
identifier!(
    /// The name of a Kubernetes namespace: a fleet.
    Namespace, "namespace", 63, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
);

impl From<uuid::Uuid> for CommandUuid {
    fn from(uuid: uuid::Uuid) -> Self {
        Self(uuid.to_string().into())
    }
}

/// What stands between the device and the user in an [`EnrollmentId`]; the device part cannot hold it.
const USER_SEPARATOR: char = ':';

/// The longest name of a user in an id, in bytes: a user's UUID, or an account name.
const USER_LIMIT: usize = 256;

impl EnrollmentId {
    /// The id of one of a device's users.
    ///
    /// # Errors
    /// When the user's part is empty, too long or holds control characters.
    pub fn of_user(device: &Self, user: &str) -> Result<Self, IdError> {
        check("user id", user, USER_LIMIT, |c| !c.is_control())?;
        Ok(Self(
            format!("{}{USER_SEPARATOR}{user}", device.device_part()).into(),
        ))
    }

    /// Reads the id of a device, or of a user as it is written.
    ///
    /// # Errors
    /// When either part cannot be one.
    pub fn parse_with_user(text: &str) -> Result<Self, IdError> {
        match text.split_once(USER_SEPARATOR) {
            None => Self::parse(text),
            Some((device, user)) => Self::of_user(&Self::parse(device)?, user),
        }
    }

    /// The device: itself, unless this is a user.
    #[must_use]
    pub fn device(&self) -> Self {
        if self.is_user() {
            Self(self.device_part().into())
        } else {
            self.clone()
        }
    }

    /// Whether this is one of a device's users.
    #[must_use]
    pub fn is_user(&self) -> bool {
        self.user().is_some()
    }

    /// The user's part.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.as_str().split_once(USER_SEPARATOR).map(|(_, user)| user)
    }

    fn device_part(&self) -> &str {
        self.as_str()
            .split_once(USER_SEPARATOR)
            .map_or(self.as_str(), |(device, _)| device)
    }

    /// The name of the Device object of this enrolment: the device's id in lower case, with `_` as `-`, which
    /// makes it a DNS subdomain as Kubernetes wants. Users have no object of their own.
    #[must_use]
    pub fn device_name(&self) -> String {
        self.device_part().to_ascii_lowercase().replace('_', "-")
    }
}

/// A SHA-256 digest: of a certificate, a declaration set, a body.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Reads 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The first 16 hexadecimal digits: enough to tell two apart in a log or a column.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().chars().take(16).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text)
            .ok_or_else(|| serde::de::Error::custom("a SHA-256 digest has 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enrolment_id_keeps_its_bytes_and_gives_a_kubernetes_name() {
        let id = EnrollmentId::parse("A0000000-0000-4000-8000-000000000001").unwrap();
        assert_eq!(id.as_str(), "A0000000-0000-4000-8000-000000000001");
        assert_eq!(id.device_name(), "a0000000-0000-4000-8000-000000000001");
    }

    #[test]
    fn what_cannot_be_an_id_is_refused_with_the_reason() {
        assert_eq!(
            EnrollmentId::parse("").unwrap_err().to_string(),
            "enrolment id is empty"
        );
        assert_eq!(
            EnrollmentId::parse("A0:user").unwrap_err().to_string(),
            "enrolment id may not hold the character ':'"
        );
        assert!(SerialNumber::parse(&"X".repeat(65)).is_err());
    }

    #[test]
    fn a_user_is_told_from_its_device_and_never_taken_for_one() {
        let device = EnrollmentId::parse("A0-1").unwrap();
        let user = EnrollmentId::of_user(&device, "m:x@example.com").unwrap();
        assert_eq!(user.as_str(), "A0-1:m:x@example.com");
        assert_eq!(EnrollmentId::parse_with_user(user.as_str()).unwrap(), user);
        assert_eq!(
            (user.device(), user.user()),
            (device.clone(), Some("m:x@example.com"))
        );
        assert_eq!((device.device(), device.user()), (device.clone(), None));
        assert_eq!(user.device_name(), "a0-1");
        // Another user of the same device, not a user of a user.
        assert_eq!(EnrollmentId::of_user(&user, "b").unwrap().as_str(), "A0-1:b");
        for user in ["", "a\nb", &"x".repeat(257)] {
            assert!(EnrollmentId::of_user(&device, user).is_err(), "{user:?}");
            assert!(EnrollmentId::parse_with_user(&format!("A0-1:{user}")).is_err());
        }
        assert!(EnrollmentId::parse_with_user(":b").is_err());
    }

    #[test]
    fn a_digest_reads_back_what_it_prints() {
        let digest = Digest::of(b"x");
        assert_eq!(Digest::from_hex(&digest.to_string()), Some(digest));
    }
}
