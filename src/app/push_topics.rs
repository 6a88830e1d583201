//! Which push topics devices have, for who installs push certificates: `GET /v1/push-topics` on the socket file, or straight on the store.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::admin_http::Refused;
use super::moving::Desk;
use super::push::is_stand_in;
use crate::ids::PushTopic;
use crate::store::StoreError;
use crate::telemetry::Chain;

/// Where it is asked for.
pub const PUSH_TOPICS_PATH: &str = "/v1/push-topics";

/// Topics, and how many devices are enrolled with each. Those that enrolled without a push certificate are not counted: nothing can ever wake
/// them, and so no certificate can lose them.
///
/// # Errors
/// When the store fails.
pub async fn in_use(desk: &Desk) -> Result<BTreeMap<PushTopic, u32>, StoreError> {
    let mut topics = desk.store.push_topics().await?;
    topics.retain(|topic, _| !is_stand_in(topic));
    Ok(topics)
}

/// The order, for the socket file.
pub(super) fn router(desk: Desk) -> Router {
    Router::new()
        .route(PUSH_TOPICS_PATH, get(topics))
        .with_state(desk)
}

async fn topics(State(desk): State<Desk>) -> Response {
    match in_use(&desk).await {
        Ok(topics) => Json(topics).into_response(),
        Err(error) => {
            let error = Chain(&error).to_string();
            (StatusCode::INTERNAL_SERVER_ERROR, Json(Refused { error })).into_response()
        }
    }
}
