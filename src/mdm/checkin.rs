//! Check-in messages: what a device says about its enrolment.
//!
//! Unknown keys are ignored and missing ones tolerated, unless nobody could tell who speaks. What a key's absence means is decided by whoever
//! uses the message: absent is not the same as false or empty.

use plist::{Dictionary, Value};

use super::sender::{self, Sender, text};
use super::system::platform_of;
use crate::api::common::{EnrollmentMode, Platform};
use crate::ids::{IdError, PushTopic, SerialNumber};
use crate::policy::OsVersion;
use crate::policy::platform::supports_declarations;
use crate::secret::Secret;

/// Why a check-in message cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody can tell who speaks.
    #[error("the check-in message has no usable sender")]
    Sender(#[from] sender::Error),
    /// A key without which the message means nothing.
    #[error("the {message} message has no usable {key}")]
    Missing {
        /// Which message.
        message: &'static str,
        /// Which key.
        key: &'static str,
    },
    /// An identifier that cannot be one.
    #[error("the {message} message has a malformed {key}")]
    Malformed {
        /// Which message.
        message: &'static str,
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        #[source]
        source: IdError,
    },
}

/// A check-in message and who sent it.
#[derive(Debug)]
pub struct CheckIn {
    /// Who.
    pub sender: Sender,
    /// What.
    pub message: Message,
}

/// What a check-in message says (`MessageType`).
#[derive(Debug, strum::IntoStaticStr)]
pub enum Message {
    /// A new enrolment begins.
    Authenticate(Authenticate),
    /// The enrolment is complete, or the push address has changed.
    TokenUpdate(TokenUpdate),
    /// The MDM profile has been removed.
    CheckOut,
    /// A network user of a Mac asks to be managed.
    UserAuthenticate,
    /// A Mac hands over its bootstrap token; true: or takes it back, by an absent or empty one.
    SetBootstrapToken {
        /// Whether a stored token is to be deleted.
        delete: bool,
    },
    /// A Mac asks for its bootstrap token.
    GetBootstrapToken,
    /// A device asks for a token of another service.
    GetToken,
    /// A step of declarative management.
    DeclarativeManagement(DeclarativeManagement),
    /// None of the above.
    Unknown(String),
}

/// A new enrolment begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Authenticate {
    /// The push topic of the MDM profile.
    pub topic: PushTopic,
    /// The operating system, by the model.
    pub platform: Platform,
    /// How it is managed, as far as the message tells.
    pub mode: EnrollmentMode,
    /// Hardware.
    pub serial_number: Option<SerialNumber>,
    /// The model identifier, such as `Mac16,10`.
    pub model: Option<String>,
    /// The operating system's version; empty when the device does not say.
    pub os_version: String,
    /// Its build.
    pub build_version: Option<String>,
    /// Whether declarations can manage this system.
    pub declarative: bool,
}

/// The push address of an enrolment.
#[derive(Debug)]
pub struct TokenUpdate {
    /// The push topic of the MDM profile.
    pub topic: PushTopic,
    /// The push token.
    pub token: Secret<Vec<u8>>,
    /// What a push has to say.
    pub magic: Secret<String>,
}

/// A step of declarative management.
#[derive(Debug)]
pub struct DeclarativeManagement {
    /// What is asked for, as the device wrote it.
    pub endpoint: String,
    /// What the device has to say: JSON.
    pub data: Option<Vec<u8>>,
}

/// The longest text of a device that is kept, in bytes: version, build, model.
const TEXT_LIMIT: usize = 128;

/// The largest push token that is kept, in bytes. Today's have 32.
const PUSH_TOKEN_LIMIT: usize = 1024;

/// The longest push magic that is kept, in bytes. Today's are UUIDs.
const PUSH_MAGIC_LIMIT: usize = 256;

impl CheckIn {
    /// Reads a check-in message.
    ///
    /// # Errors
    /// When it does not tell who speaks, or lacks what its type lives on.
    pub fn read(message: &Dictionary) -> Result<Self, Error> {
        let sender = Sender::of(message)?;
        let kind = text(message, "MessageType").ok_or(Error::Missing {
            message: "check-in",
            key: "MessageType",
        })?;
        let message = match kind {
            "Authenticate" => Message::Authenticate(Authenticate::read(message, &sender)?),
            "TokenUpdate" => Message::TokenUpdate(TokenUpdate::read(message)?),
            "CheckOut" => Message::CheckOut,
            "UserAuthenticate" => Message::UserAuthenticate,
            "SetBootstrapToken" => Message::SetBootstrapToken {
                delete: message
                    .get("BootstrapToken")
                    .and_then(Value::as_data)
                    .is_none_or(<[u8]>::is_empty),
            },
            "GetBootstrapToken" => Message::GetBootstrapToken,
            "GetToken" => Message::GetToken,
            "DeclarativeManagement" => Message::DeclarativeManagement(DeclarativeManagement::read(message)?),
            other => Message::Unknown(clipped(other)),
        };
        Ok(Self { sender, message })
    }
}

impl Authenticate {
    fn read(message: &Dictionary, sender: &Sender) -> Result<Self, Error> {
        let model = ["ProductName", "Model"]
            .iter()
            .find_map(|key| text(message, key).filter(|text| !text.is_empty()));
        // Macs always say what they are; where names are missing it is one of the mobile systems.
        let platform = model.and_then(platform_of).unwrap_or(Platform::IOS);
        let os_version = text(message, "OSVersion").map(clipped).unwrap_or_default();
        let serial_number = match text(message, "SerialNumber") {
            // A personal device never shows its serial number; one that did would be no reason to keep it.
            Some(serial) if !sender.user_enrollment && !serial.is_empty() => {
                Some(SerialNumber::parse(serial).map_err(|source| Error::Malformed {
                    message: "Authenticate",
                    key: "SerialNumber",
                    source,
                })?)
            }
            _ => None,
        };
        Ok(Self {
            topic: topic(message, "Authenticate")?,
            platform,
            mode: if sender.user_enrollment {
                EnrollmentMode::User
            } else {
                EnrollmentMode::Device
            },
            serial_number,
            model: model.map(clipped),
            declarative: supports_declarations(platform, OsVersion::read(&os_version)),
            os_version,
            build_version: text(message, "BuildVersion").map(clipped),
        })
    }
}

impl TokenUpdate {
    fn read(message: &Dictionary) -> Result<Self, Error> {
        let missing = |key| Error::Missing {
            message: "TokenUpdate",
            key,
        };
        let token = message
            .get("Token")
            .and_then(Value::as_data)
            .filter(|token| !token.is_empty() && token.len() <= PUSH_TOKEN_LIMIT)
            .ok_or_else(|| missing("Token"))?;
        let magic = text(message, "PushMagic")
            .filter(|magic| !magic.is_empty() && magic.len() <= PUSH_MAGIC_LIMIT)
            .ok_or_else(|| missing("PushMagic"))?;
        Ok(Self {
            topic: topic(message, "TokenUpdate")?,
            token: Secret::new(token.to_vec()),
            magic: Secret::new(magic.to_owned()),
        })
    }
}

impl DeclarativeManagement {
    fn read(message: &Dictionary) -> Result<Self, Error> {
        let endpoint = text(message, "Endpoint").ok_or(Error::Missing {
            message: "DeclarativeManagement",
            key: "Endpoint",
        })?;
        Ok(Self {
            endpoint: endpoint.to_owned(),
            data: message
                .get("Data")
                .and_then(Value::as_data)
                .filter(|data| !data.is_empty())
                .map(<[u8]>::to_vec),
        })
    }
}

fn topic(message: &Dictionary, of: &'static str) -> Result<PushTopic, Error> {
    let key = "Topic";
    let topic = text(message, key).ok_or(Error::Missing { message: of, key })?;
    PushTopic::parse(topic).map_err(|source| Error::Malformed {
        message: of,
        key,
        source,
    })
}

/// The beginning of a device's text, at most [`TEXT_LIMIT`] bytes.
fn clipped(text: &str) -> String {
    let mut end = text.len().min(TEXT_LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mdm::plist::read_dictionary;
    use crate::mdm::sender::Channel;

    fn read(entries: &str) -> Result<CheckIn, Error> {
        let xml = format!("<plist version=\"1.0\"><dict>{entries}</dict></plist>");
        CheckIn::read(&read_dictionary(xml.as_bytes()).unwrap())
    }

    const MAC: &str = "<key>MessageType</key><string>Authenticate</string>\
        <key>Topic</key><string>com.apple.mgmt.External.00000000-0000-4000-8000-000000000001</string>\
        <key>UDID</key><string>A0000000-0000-4000-8000-000000000001</string>\
        <key>SerialNumber</key><string>TESTSERIAL01</string><key>DeviceName</key><string>m1</string>\
        <key>Model</key><string>Mac16,10</string><key>ModelName</key><string>Mac mini</string>\
        <key>ProductName</key><string>Mac16,10</string><key>OSVersion</key><string>15.4</string>\
        <key>BuildVersion</key><string>24E263</string><key>Challenge</key><data>AAEC</data>";

    #[test]
    fn authenticate_says_what_the_device_is() {
        let Message::Authenticate(mac) = read(MAC).unwrap().message else {
            panic!("not read as Authenticate");
        };
        assert_eq!(mac.platform, Platform::MacOS);
        assert_eq!(mac.mode, EnrollmentMode::Device);
        assert_eq!(mac.serial_number.unwrap().as_str(), "TESTSERIAL01");
        assert_eq!((mac.os_version.as_str(), mac.declarative), ("15.4", true));
    }

    #[test]
    fn a_personal_device_shows_no_hardware() {
        let CheckIn { sender, message } = read(
            "<key>MessageType</key><string>Authenticate</string><key>Topic</key><string>com.apple.mgmt.x</string>\
             <key>EnrollmentID</key><string>E0-1</string><key>SerialNumber</key><string>TESTSERIAL01</string>\
             <key>OSVersion</key><string>17.0</string>",
        )
        .unwrap();
        let Message::Authenticate(phone) = message else {
            panic!("not read as Authenticate");
        };
        assert!(sender.user_enrollment);
        assert_eq!(phone.mode, EnrollmentMode::User);
        assert_eq!(phone.serial_number, None);
        assert_eq!(phone.platform, Platform::IOS);
    }

    #[test]
    fn a_push_address_must_be_whole() {
        let with = |rest: &str| {
            read(&format!(
                "<key>MessageType</key><string>TokenUpdate</string><key>UDID</key><string>A0-1</string>\
                 <key>Topic</key><string>com.apple.mgmt.x</string>{rest}"
            ))
        };
        let whole = with("<key>Token</key><data>AAEC\n\tAw==</data><key>PushMagic</key><string>M-1</string>")
            .unwrap();
        let Message::TokenUpdate(update) = whole.message else {
            panic!("not read as TokenUpdate");
        };
        assert_eq!(update.token.reveal(), &[0, 1, 2, 3]);
        assert_eq!(update.magic.reveal(), "M-1");
        for part in [
            "<key>Token</key><data>AAEC</data>",
            "<key>PushMagic</key><string>M-1</string>",
            "<key>Token</key><data></data><key>PushMagic</key><string>M-1</string>",
        ] {
            assert!(matches!(with(part), Err(Error::Missing { .. })), "{part}");
        }
    }

    #[test]
    fn an_absent_or_empty_bootstrap_token_takes_it_back() {
        for (token, deletes) in [
            ("", true),
            ("<key>BootstrapToken</key><data></data>", true),
            ("<key>BootstrapToken</key><data>AAEC</data>", false),
        ] {
            let read = read(&format!(
                "<key>MessageType</key><string>SetBootstrapToken</string><key>UDID</key><string>A0-1</string>{token}"
            ));
            assert!(
                matches!(read.unwrap().message, Message::SetBootstrapToken { delete } if delete == deletes),
                "{token}"
            );
        }
    }

    #[test]
    fn a_user_channel_is_recognised() {
        let read = read(
            "<key>MessageType</key><string>UserAuthenticate</string><key>UDID</key><string>A0-1</string>\
             <key>UserID</key><string>B0-1</string>",
        )
        .unwrap();
        assert_eq!(read.sender.channel, Channel::User("B0-1".into()));
        assert!(matches!(read.message, Message::UserAuthenticate));
    }

    #[test]
    fn an_unknown_message_is_told_by_its_name() {
        let read = read("<key>MessageType</key><string>Sing</string><key>UDID</key><string>A0-1</string>");
        assert!(matches!(read.unwrap().message, Message::Unknown(name) if name == "Sing"));
    }
}
