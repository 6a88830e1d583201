//! Who a message comes from: a device or one of its users.
//!
//! The kind is a type, not a convention of strings, and ids are kept byte-exact. The certificate pin belongs to the device part and
//! covers all channels; which pin that is, this module does not know.

use plist::{Dictionary, Value};

use crate::ids::{EnrollmentId, IdError};

/// The `UserID` that every user of a Shared iPad has.
const SHARED_IPAD_USER: &str = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF";

/// Why a message has no sender.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither id is there.
    #[error("the message has neither a UDID nor an EnrollmentID")]
    Anonymous,
    /// The id cannot be one.
    #[error("the {key} of the message is no id")]
    Malformed {
        /// Which id.
        key: &'static str,
        /// What is wrong with it.
        #[source]
        source: IdError,
    },
    /// A user id that cannot be one, or a Shared iPad user without a name.
    #[error("the message is from a user but does not say whom")]
    User,
}

/// Which of a device's queues a message belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// The device itself.
    Device,
    /// A user of a Mac: `UserID`, or `EnrollmentUserID` in a User Enrollment.
    User(String),
    /// A user of a Shared iPad, by the Managed Apple Account (`UserShortName`).
    SharedIPadUser(String),
}

/// Who sent a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The enrolment of its own: that of the device, or that of the user.
    pub id: EnrollmentId,
    /// The device part, which the certificate is pinned to.
    pub enrollment: EnrollmentId,
    /// Whether the device part is an EnrollmentID: a personal device, which never shows its UDID.
    pub user_enrollment: bool,
    /// The device or one of its users.
    pub channel: Channel,
}

impl Sender {
    /// Reads the ids of a message. A UDID wins over an EnrollmentID.
    ///
    /// # Errors
    /// When there is no id, or what is there cannot be one.
    pub fn of(message: &Dictionary) -> Result<Self, Error> {
        let (key, user_key, user_enrollment) = if message.contains_key("UDID") {
            ("UDID", "UserID", false)
        } else {
            ("EnrollmentID", "EnrollmentUserID", true)
        };
        let id = text(message, key).ok_or(Error::Anonymous)?;
        let enrollment = EnrollmentId::parse(id).map_err(|source| Error::Malformed { key, source })?;
        let channel = channel(message, user_key, user_enrollment)?;
        let id = match &channel {
            Channel::Device => enrollment.clone(),
            Channel::User(user) | Channel::SharedIPadUser(user) => {
                EnrollmentId::of_user(&enrollment, user).map_err(|_| Error::User)?
            }
        };
        Ok(Self {
            id,
            enrollment,
            user_enrollment,
            channel,
        })
    }

    /// Whether this is the device itself.
    #[must_use]
    pub fn is_device(&self) -> bool {
        self.channel == Channel::Device
    }
}

fn channel(message: &Dictionary, user_key: &str, user_enrollment: bool) -> Result<Channel, Error> {
    let named = |name: Option<&str>| name.map(str::to_owned).ok_or(Error::User);
    match message.get(user_key) {
        None => Ok(Channel::Device),
        Some(Value::String(user)) if user == SHARED_IPAD_USER && !user_enrollment => {
            named(text(message, "UserShortName")).map(Channel::SharedIPadUser)
        }
        Some(user) => named(user.as_string()).map(Channel::User),
    }
}

/// A string of a message, if it is there and a string.
pub(super) fn text<'m>(message: &'m Dictionary, key: &str) -> Option<&'m str> {
    message.get(key).and_then(Value::as_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(entries: &[(&str, &str)]) -> Result<Sender, Error> {
        let message = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
            .collect();
        Sender::of(&message)
    }

    #[test]
    fn each_kind_of_sender_is_told_apart() {
        let check = |entries: &[(&str, &str)], id: &str, user_enrollment: bool, channel: Channel| {
            let sender = sender(entries).unwrap();
            assert_eq!((sender.id.as_str(), sender.enrollment.as_str()), (id, "A0-1"));
            assert_eq!(
                (sender.user_enrollment, sender.channel),
                (user_enrollment, channel)
            );
        };
        check(&[("UDID", "A0-1")], "A0-1", false, Channel::Device);
        let user = Channel::User("B0-1".into());
        let mac = [("UDID", "A0-1"), ("UserID", "B0-1"), ("UserShortName", "m")];
        check(&mac, "A0-1:B0-1", false, user.clone());
        let shared = [
            ("UDID", "A0-1"),
            ("UserID", SHARED_IPAD_USER),
            ("UserShortName", "m@example.com"),
        ];
        let account = Channel::SharedIPadUser("m@example.com".into());
        check(&shared, "A0-1:m@example.com", false, account);
        check(&[("EnrollmentID", "A0-1")], "A0-1", true, Channel::Device);
        let personal = [("EnrollmentID", "A0-1"), ("EnrollmentUserID", "B0-1")];
        check(&personal, "A0-1:B0-1", true, user);
        // The keys of the one kind say nothing in the other.
        let mixed = [("EnrollmentID", "A0-1"), ("UserID", "B0-1")];
        check(&mixed, "A0-1", true, Channel::Device);
    }

    #[test]
    fn a_udid_wins_over_an_enrollment_id() {
        let sender = sender(&[("UDID", "A0-1"), ("EnrollmentID", "E0-1")]).unwrap();
        assert_eq!(sender.enrollment.as_str(), "A0-1");
        assert!(!sender.user_enrollment);
    }

    #[test]
    fn what_names_nobody_is_refused() {
        assert!(matches!(sender(&[]), Err(Error::Anonymous)));
        assert!(matches!(sender(&[("UDID", "")]), Err(Error::Malformed { .. })));
        assert!(matches!(
            sender(&[("UDID", "A0-1:B0-1")]),
            Err(Error::Malformed { .. })
        ));
        assert!(matches!(
            sender(&[("UDID", "A0-1"), ("UserID", "")]),
            Err(Error::User)
        ));
        assert!(matches!(
            sender(&[("UDID", "A0-1"), ("UserID", SHARED_IPAD_USER)]),
            Err(Error::User)
        ));
        for user in ["a\nb", &"x".repeat(257)] {
            assert!(matches!(
                sender(&[("UDID", "A0-1"), ("UserID", user)]),
                Err(Error::User)
            ));
        }
    }
}
