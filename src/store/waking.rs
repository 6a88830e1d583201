//! What wakes devices: their push addresses, and what the push service says of them.

use jiff::Timestamp;

use crate::ids::PushTopic;
use crate::secret::Secret;

/// How to wake a device.
#[derive(Debug, Clone)]
pub struct PushAddress {
    /// The topic of its MDM profile.
    pub topic: PushTopic,
    /// Its push token.
    pub token: Secret<Vec<u8>>,
    /// What to say to it.
    pub magic: Secret<String>,
}

/// All that has to be known to wake an enrolment.
#[derive(Debug, Clone)]
pub struct Wakeable {
    /// Where it is.
    pub address: PushAddress,
    /// Why the push service does not take that, where it does not.
    pub refused: Option<PushRefusal>,
    /// When it was last heard of.
    pub last_seen: Option<Timestamp>,
}

/// Why the push service does not take the push address of an enrolment, in Apple's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString, strum::Display)]
pub enum PushRefusal {
    /// The token is none of the service's.
    BadDeviceToken,
    /// The token is of another topic.
    DeviceTokenNotForTopic,
}
