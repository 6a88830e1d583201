//! One command for many devices.
//!
//! The body is made once and stored once. The devices are taken in chunks, each a transaction of its own, so that the writer is not kept from
//! others for longer than one of them takes. Who falls over in the middle begins again with the same UUID: nobody gets the command twice.

use std::sync::Arc;

use jiff::Timestamp;

use super::{NotQueued, Store, StoreError};
use crate::ids::{CommandUuid, EnrollmentId};
use crate::mdm::command::{Intent, NewCommand, Priority};

/// Devices in one transaction.
pub const CHUNK: usize = 1_000;

/// A command without a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// Its UUID, the same for all; see [`NewCommand::uuid`].
    pub uuid: CommandUuid,
    /// Apple's `RequestType`.
    pub request_type: Arc<str>,
    /// The whole command, with that UUID.
    pub body: Arc<str>,
    /// See [`NewCommand::intent`].
    pub intent: Option<Intent>,
    /// See [`NewCommand::chain`].
    pub chain: Option<Arc<str>>,
    /// See [`NewCommand::priority`].
    pub priority: Priority,
    /// See [`NewCommand::deadline`].
    pub deadline: Timestamp,
}

impl Broadcast {
    fn to(&self, enrollment: &EnrollmentId) -> NewCommand {
        NewCommand {
            enrollment: enrollment.clone(),
            uuid: self.uuid.clone(),
            request_type: Arc::clone(&self.request_type),
            body: Arc::clone(&self.body),
            intent: self.intent.clone(),
            chain: self.chain.clone(),
            priority: self.priority,
            deadline: self.deadline,
        }
    }
}

impl From<NewCommand> for Broadcast {
    /// The command of one device, for any other.
    fn from(command: NewCommand) -> Self {
        Self {
            uuid: command.uuid,
            request_type: command.request_type,
            body: command.body,
            intent: command.intent,
            chain: command.chain,
            priority: command.priority,
            deadline: command.deadline,
        }
    }
}

/// Queues one command for all of `receivers`, and returns those that it was not queued for.
///
/// # Errors
/// When the store fails. What was queued until then stays queued; do it again with the same UUID.
pub async fn broadcast(
    store: &dyn Store,
    command: &Broadcast,
    receivers: &[EnrollmentId],
    now: Timestamp,
) -> Result<Vec<NotQueued>, StoreError> {
    let mut not_queued = Vec::new();
    for chunk in receivers.chunks(CHUNK) {
        let commands = chunk.iter().map(|receiver| command.to(receiver)).collect();
        not_queued.extend(store.enqueue(commands, now).await?);
    }
    Ok(not_queued)
}
