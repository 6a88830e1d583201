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
    UserAuthenticate {
        /// Whether it answers the challenge of before.
        answered: bool,
    },
    /// A Mac hands over its bootstrap token.
    SetBootstrapToken {
        /// The token. None: the Mac takes it back, by an absent or empty one.
        token: Option<Secret<Vec<u8>>>,
    },
    /// A Mac asks for its bootstrap token.
    GetBootstrapToken,
    /// A device asks for a token of another service.
    GetToken(TokenRequest),
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

/// The push address of an enrolment. That a Mac's user is not at the console (`NotOnConsole`) changes nothing about it.
#[derive(Debug)]
pub struct TokenUpdate {
    /// The push topic of the MDM profile.
    pub topic: PushTopic,
    /// The push token.
    pub token: Secret<Vec<u8>>,
    /// What a push has to say.
    pub magic: Secret<String>,
    /// What clears the passcode. None: the message says nothing about it, and what is known stays.
    pub unlock_token: Option<Secret<Vec<u8>>>,
    /// Whether it waits in Setup Assistant. None: the message says nothing about it, and what is known stays.
    pub awaiting_configuration: Option<bool>,
}

/// A token of another service that a device asks for. Texts are clipped to 128 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Apple's `TokenServiceType`.
    pub service: String,
    /// `SecurityToken` of the `TokenParameters`: for the pairing of a watch.
    pub security_token: Option<String>,
    /// `PhoneUDID`, likewise.
    pub phone_udid: Option<String>,
    /// `WatchUDID`, likewise.
    pub watch_udid: Option<String>,
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
pub const TEXT_LIMIT: usize = 128;

/// The largest push token that is kept, in bytes. Today's have 32.
pub const PUSH_TOKEN_LIMIT: usize = 1024;

/// The longest push magic that is kept, in bytes. Today's are UUIDs.
pub const PUSH_MAGIC_LIMIT: usize = 256;

/// The largest bootstrap or unlock token that is kept, in bytes. Today's have a few thousand at most.
pub const ESCROW_LIMIT: usize = 64 * 1024;

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
            "UserAuthenticate" => Message::UserAuthenticate {
                answered: text(message, "DigestResponse").is_some(),
            },
            "SetBootstrapToken" => Message::SetBootstrapToken {
                token: bootstrap_token(message)?,
            },
            "GetBootstrapToken" => Message::GetBootstrapToken,
            "GetToken" => Message::GetToken(token_request(message)?),
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
            unlock_token: unlock_token(message),
            awaiting_configuration: message.get("AwaitingConfiguration").and_then(Value::as_boolean),
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

/// An absent or empty token is the order to delete what is kept, so anything else that is no token must not be taken for one.
fn bootstrap_token(message: &Dictionary) -> Result<Option<Secret<Vec<u8>>>, Error> {
    let key = "BootstrapToken";
    match message.get(key) {
        None => Ok(None),
        Some(Value::Data(token)) if token.is_empty() => Ok(None),
        Some(Value::Data(token)) if token.len() <= ESCROW_LIMIT => Ok(Some(Secret::new(token.clone()))),
        Some(_) => Err(Error::Missing {
            message: "SetBootstrapToken",
            key,
        }),
    }
}

/// An unlock token that cannot be kept is no reason to do without the push address that it comes with.
fn unlock_token(message: &Dictionary) -> Option<Secret<Vec<u8>>> {
    let token = message.get("UnlockToken").and_then(Value::as_data)?;
    if token.len() > ESCROW_LIMIT {
        tracing::warn!(bytes = token.len(), "an unlock token is too large to be kept");
        return None;
    }
    (!token.is_empty()).then(|| Secret::new(token.to_vec()))
}

fn token_request(message: &Dictionary) -> Result<TokenRequest, Error> {
    let service = text(message, "TokenServiceType").ok_or(Error::Missing {
        message: "GetToken",
        key: "TokenServiceType",
    })?;
    let parameters = message.get("TokenParameters").and_then(Value::as_dictionary);
    let parameter = |key| {
        parameters
            .and_then(|parameters| text(parameters, key))
            .map(clipped)
    };
    Ok(TokenRequest {
        service: clipped(service),
        security_token: parameter("SecurityToken"),
        phone_udid: parameter("PhoneUDID"),
        watch_udid: parameter("WatchUDID"),
    })
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
mod tests;
