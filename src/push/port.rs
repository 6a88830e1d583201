//! The port: what the rest of the program may ask of a push service, and how it can fail.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

/// One wake-up for one device.
#[derive(Clone, PartialEq, Eq)]
pub struct PushRequest {
    /// The device's push token, as the bytes of `TokenUpdate`'s `Token`.
    pub token: Vec<u8>,
    /// `TokenUpdate`'s `PushMagic`, by which the device knows that the push is for its management.
    pub push_magic: String,
    /// The topic of the push certificate, `com.apple.mgmt.…`.
    pub topic: String,
    /// Until when the service keeps the push for a device that is offline.
    pub expiration: Timestamp,
}

impl fmt::Debug for PushRequest {
    /// Shows the topic only: token and magic together let anybody with the push certificate wake the device.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushRequest")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// A push service.
pub trait Pusher: Send + Sync + 'static {
    /// Hands one wake-up to the service. `Ok` means that the service took it, not that the device got it.
    ///
    /// # Errors
    /// [`PushError`], whose variant says what to do next.
    fn push(&self, request: PushRequest) -> BoxFuture<'_, Result<(), PushError>>;
}

/// Why a push was not taken; each variant asks for something else.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The token is dead: stop until the device sends a new one.
    #[error("the device's push token is no longer valid ({reason})")]
    Unregistered {
        /// The service's word for it.
        reason: String,
        /// When the service last found it so. One that the device has registered since is another matter.
        since: Option<Timestamp>,
    },
    /// The token is none of this service, or of another topic: stop, and have somebody look. Nobody says that the device has given it up.
    #[error("the push service does not know the device's push token for its topic ({reason})")]
    AddressRefused {
        /// The service's word for it: `BadDeviceToken` or `DeviceTokenNotForTopic`.
        reason: String,
    },
    /// Too many pushes to this device: wait before the next one to it.
    #[error("the push service says that this device was pushed to too often")]
    TooManyRequests {
        /// How long the service asked to wait, if it did.
        after: Option<Duration>,
    },
    /// The service itself is in trouble: wait before pushing to any device.
    #[error("the push service is unavailable (HTTP {status})")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// How long the service asked to wait, if it did.
        after: Option<Duration>,
    },
    /// The service refused this push for a reason that a retry does not cure, such as a wrong topic.
    #[error("the push service refused the push: {reason} (HTTP {status})")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The service's word for it.
        reason: String,
    },
    /// The service could not be reached or the connection broke: wait before pushing to any device.
    #[error("could not talk to the push service")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no push certificate for the topic; its devices come by polling alone.
    #[error("no push certificate for the device's topic is installed, so it is reached only when it polls")]
    Unconfigured,
}

impl PushError {
    /// A short word for metrics: one of a fixed set.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Unregistered { .. } => "unregistered",
            Self::AddressRefused { .. } => "address_refused",
            Self::TooManyRequests { .. } => "too_many_requests",
            Self::Unavailable { .. } => "unavailable",
            Self::Rejected { .. } => "rejected",
            Self::Transport(_) => "transport",
            Self::Unconfigured => "unconfigured",
        }
    }
}
