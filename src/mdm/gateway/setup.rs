//! The end of Setup Assistant: a device that says `AwaitingConfiguration` goes no further until it is told `DeviceConfigured`, and a user of a
//! Shared iPad not before `UserConfigured`.
//!
//! Whoever plans what a device must hold queues that first and this command behind it ([`configured`]). Whatever happens to the plan, nobody waits
//! for ever: after [`PATIENCE`] the device is let go as it is ([`release_overdue`]), for a person stands before it.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
use crate::ids::CommandUuid;
use crate::mdm::command::{NewCommand, Priority};
use crate::mdm::commands::{FIRST_CONTACT_DEADLINE, configured};
use crate::store::{Enrollment, Store, StoreError};

/// How long a person waits before a device at most, from its enrolment on.
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// How often those who wait too long are looked for.
const INTERVAL: Duration = Duration::from_secs(30);

/// Those who are let go in one turn, at most.
const TURN: usize = 1_000;

/// Lets go who has waited too long, whatever else is in the queue. Returns how many were found. Doing it again does nothing.
///
/// # Errors
/// When the store fails; nobody is forgotten by that.
pub async fn release_overdue(store: &dyn Store, now: Timestamp) -> Result<usize, StoreError> {
    let before = now.saturating_sub(PATIENCE).unwrap_or(Timestamp::MIN);
    let waiting = store.awaiting_configuration(before, TURN).await?;
    for enrollment in &waiting {
        tracing::warn!(device.id = %enrollment.id.device(), "a device has waited in Setup Assistant for too long and is let go");
    }
    let commands = waiting
        .iter()
        .filter_map(|enrollment| release(enrollment, now))
        .collect();
    store.enqueue(commands, now).await?;
    Ok(waiting.len())
}

/// In no chain and not one with the command of the plan, which may be stuck behind something. Its UUID follows from the enrolment: it is queued once.
fn release(enrollment: &Enrollment, now: Timestamp) -> Option<NewCommand> {
    let seed = format!("configured/{}/{}", enrollment.id, enrollment.enrolled_at);
    let uuid = Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes());
    let deadline = now.saturating_add(FIRST_CONTACT_DEADLINE).ok()?;
    let command = configured(&enrollment.id).queued(&enrollment.id, CommandUuid::from(uuid), None, deadline);
    Some(NewCommand {
        intent: None,
        // A person stands before it.
        priority: Priority::Urgent,
        ..command
    })
}

/// Looks for those who wait too long, until `shutdown`.
pub async fn run(store: Arc<dyn Store>, clock: Arc<dyn Clock>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        if let Err(error) = release_overdue(&*store, clock.now()).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "devices in Setup Assistant could not be looked for");
        }
    }
}
