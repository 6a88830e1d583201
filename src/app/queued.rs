//! What waits for a device, and withdrawing it, for people: `GET /v1/commands?device=…` and `DELETE /v1/commands?device=…[&uuid=…]` on the socket file,
//! or straight on the store. What is in a command is shown to nobody.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::admin_http::Refused;
use super::moving::Desk;
use crate::ids::{CommandUuid, EnrollmentId};
use crate::mdm::queue;
use crate::store::StoreError;
use crate::telemetry::Chain;

/// Where it is asked for.
pub const COMMANDS_PATH: &str = "/v1/commands";

/// What history says of a command that was withdrawn here.
const REASON: &str = "withdrawn by an administrator";

/// A command that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queued {
    /// Its UUID.
    pub uuid: CommandUuid,
    /// Apple's `RequestType`.
    pub request_type: String,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// Given up after this moment.
    pub deadline: Timestamp,
    /// How often the device was given it.
    pub attempts: u32,
    /// What it waits for.
    pub waiting: String,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody has this id.
    #[error("there is no enrolment {0}; write the id as status.enrollmentId of the Device has it")]
    Unknown(EnrollmentId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What waits for an enrolment, in the order of its queue.
///
/// # Errors
/// When there is no such enrolment, or the store fails.
pub async fn list(desk: &Desk, enrollment: &EnrollmentId) -> Result<Vec<Queued>, Error> {
    if desk.store.enrollment(enrollment).await?.is_none() {
        return Err(Error::Unknown(enrollment.clone()));
    }
    let pending = desk.store.pending(enrollment).await?;
    let waiting = queue::explain(&pending, desk.clock.now());
    let queued = pending.into_iter().zip(waiting).map(|(command, waiting)| Queued {
        uuid: command.uuid,
        request_type: command.request_type.to_string(),
        queued_at: command.queued_at,
        deadline: command.deadline,
        attempts: command.attempts,
        waiting: waiting.to_string(),
    });
    Ok(queued.collect())
}

/// Withdraws one command of an enrolment, or all. Gives those that were. One that the device has been given already may be carried out all the same.
///
/// # Errors
/// When there is no such enrolment, or the store fails.
pub async fn cancel(
    desk: &Desk,
    enrollment: &EnrollmentId,
    uuid: Option<&CommandUuid>,
) -> Result<Vec<Queued>, Error> {
    let mut queued = list(desk, enrollment).await?;
    queued.retain(|command| uuid.is_none_or(|uuid| *uuid == command.uuid));
    let (now, mut withdrawn) = (desk.clock.now(), Vec::with_capacity(queued.len()));
    for command in queued {
        if desk.store.cancel(enrollment, &command.uuid, REASON, now).await? {
            tracing::info!(
                device.id = %enrollment.device(),
                command.kind = command.request_type,
                command.uuid = command.uuid.as_str(),
                "a command was withdrawn"
            );
            withdrawn.push(command);
        }
    }
    Ok(withdrawn)
}

/// Whose commands, and which.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    device: String,
    uuid: Option<CommandUuid>,
}

/// Both, for the socket file.
pub(super) fn router(desk: Desk) -> Router {
    Router::new()
        .route(COMMANDS_PATH, get(listing).delete(cancelling))
        .with_state(desk)
}

async fn listing(State(desk): State<Desk>, Query(which): Query<Which>) -> Response {
    match EnrollmentId::parse_with_user(&which.device) {
        Ok(enrollment) => response(list(&desk, &enrollment).await),
        Err(error) => refused(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
    }
}

async fn cancelling(State(desk): State<Desk>, Query(which): Query<Which>) -> Response {
    match EnrollmentId::parse_with_user(&which.device) {
        Ok(enrollment) => response(cancel(&desk, &enrollment, which.uuid.as_ref()).await),
        Err(error) => refused(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
    }
}

fn response(result: Result<Vec<Queued>, Error>) -> Response {
    match result {
        Ok(commands) => Json(commands).into_response(),
        Err(error @ Error::Unknown(_)) => refused(StatusCode::NOT_FOUND, error.to_string()),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, Chain(&error).to_string()),
    }
}

fn refused(status: StatusCode, error: String) -> Response {
    (status, Json(Refused { error })).into_response()
}
