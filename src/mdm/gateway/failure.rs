//! Why a device does not get what it asked for. What status each of these becomes is decided in one place: [`crate::mdm::http`].

use super::token_service::TokenServiceError;
use crate::mdm::{checkin, ddm, peer, plist, sender};
use crate::store::{Refusal, StoreError};

/// Why a message was refused or could not be handled.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum Failure {
    /// The client is not known by its certificate.
    #[error("the client is nobody known")]
    Peer(#[from] peer::Error),
    /// The certificate is ours, but no enrolment is pinned to it.
    #[error("no enrolment is pinned to the client's certificate")]
    Stranger,
    /// The certificate is pinned to another enrolment than the message speaks of.
    #[error("the message speaks of another device than the client's certificate")]
    AnotherDevice,
    /// The enrolment has deliberately been ended.
    #[error("the enrolment has ended")]
    Ended,
    /// Authenticate without the right to enrol.
    #[error("the device may not enrol")]
    Refused(#[source] Refusal),
    /// TokenUpdate without Authenticate.
    #[error("the device has not authenticated")]
    NotAuthenticated,
    /// The device has more users than are kept of one, or has ended in the meantime.
    #[error("no channel can be begun for this user")]
    NoUserChannel,
    /// The body is no property list.
    #[error("the body cannot be read")]
    Plist(#[from] plist::Error),
    /// The check-in message makes no sense.
    #[error("the check-in message cannot be used")]
    CheckIn(#[from] checkin::Error),
    /// The report tells nobody's.
    #[error("the report has no usable sender")]
    Sender(#[from] sender::Error),
    /// The endpoint of declarative management is none.
    #[error("the message asks for no endpoint of declarative management")]
    Endpoint(#[from] ddm::EndpointError),
    /// The status report is none.
    #[error("the status report cannot be read")]
    Status(#[from] ddm::StatusError),
    /// A message that belongs to users came from the device itself.
    #[error("only users may send {message}")]
    DeviceChannel {
        /// Which message.
        message: &'static str,
    },
    /// A message that belongs to the device came from a user.
    #[error("only the device itself may send {message}")]
    UserChannel {
        /// Which message.
        message: &'static str,
    },
    /// A message type that is not known.
    #[error("the message type {name:?} is not known")]
    UnknownMessage {
        /// Its name, clipped.
        name: String,
    },
    /// A service that is not offered, and that the MDM profile does not announce.
    #[error("{message} is not offered here")]
    NotOffered {
        /// Which message.
        message: &'static str,
    },
    /// A service that is offered failed.
    #[error("no token could be had")]
    TokenService(#[from] TokenServiceError),
    /// Users of this device are not managed.
    #[error("the user channel is declined")]
    UserDeclined,
    /// There is no such thing, or it is not for this device: nobody can tell which.
    #[error("there is nothing of that name for this device")]
    NotFound,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The enrolment points at a manifest that the store does not have.
    #[error("the manifest of the enrolment is missing")]
    ManifestMissing,
    /// Reading the body was cut short by the end of the process.
    #[error("the server is stopping")]
    Stopping,
}
