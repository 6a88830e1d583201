//! Imports and exports over the socket file: `POST /v1/enrollments/import`, `GET /v1/enrollments/export`. Bodies are lines as in the files, and
//! never logged.

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::{Desk, Error};
use crate::app::admin_http::Refused;
use crate::enrollment::transfer::Record;
use crate::ids::{EnrollmentId, Namespace};
use crate::telemetry::Chain;

/// Where records are brought.
pub const IMPORT_PATH: &str = "/v1/enrollments/import";
/// Where they are fetched.
pub const EXPORT_PATH: &str = "/v1/enrollments/export";
/// The largest import of one request, in bytes.
pub const IMPORT_LIMIT: usize = 4 << 20;
/// Where an export goes on.
pub const NEXT: HeaderName = HeaderName::from_static("provost-next");

/// How an import is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportOrder {
    /// The fleet of records that name none.
    pub namespace: Namespace,
    /// Nothing is to be changed.
    #[serde(default)]
    pub look: bool,
}

/// How an export is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportOrder {
    /// After which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<EnrollmentId>,
    /// Whether tokens are wanted.
    #[serde(default)]
    pub with_tokens: bool,
}

/// Both, for the socket file.
pub fn router(desk: Desk) -> Router {
    Router::new()
        .route(IMPORT_PATH, post(import))
        .layer(DefaultBodyLimit::max(IMPORT_LIMIT))
        .route(EXPORT_PATH, get(export))
        .with_state(desk)
}

async fn import(State(desk): State<Desk>, Query(order): Query<ImportOrder>, body: String) -> Response {
    let records = body.lines().enumerate().map(|(place, line)| {
        Record::read(line).map_err(|mistake| format!("line {} of the request: {mistake}", place + 1))
    });
    let records: Vec<Record> = match records.collect() {
        Ok(records) => records,
        Err(error) => return (StatusCode::UNPROCESSABLE_ENTITY, Json(Refused { error })).into_response(),
    };
    let count = records.len();
    match desk.import(records, &order.namespace, order.look).await {
        Ok(outcomes) => {
            if !order.look {
                tracing::info!(records = count, "enrolments of another server were brought");
            }
            Json(outcomes).into_response()
        }
        Err(error) => failed(&error),
    }
}

async fn export(State(desk): State<Desk>, Query(order): Query<ExportOrder>) -> Response {
    if order.after.is_none() {
        tracing::info!(with_tokens = order.with_tokens, "enrolments are exported");
    }
    let page = match desk.export(order.after.as_ref(), order.with_tokens).await {
        Ok(page) => page,
        Err(error) => return failed(&error),
    };
    let mut response = page.lines.reveal().clone().into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/jsonl"),
    );
    let next = page.next.and_then(|id| HeaderValue::from_str(id.as_str()).ok());
    if let Some(next) = next {
        headers.insert(NEXT, next);
    }
    response
}

fn failed(error: &Error) -> Response {
    let error = Chain(error).to_string();
    (StatusCode::INTERNAL_SERVER_ERROR, Json(Refused { error })).into_response()
}
