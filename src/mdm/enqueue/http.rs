//! The API over HTTP, and the key that opens it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::answer::{Answer, Outcome};
use super::desk::Desk;
use crate::body::{self, Room};
use crate::mdm::commands::RAW_COMMAND_LIMIT;
use crate::pki::constant_time;
use crate::secret::Secret;

/// Who scripts say that they are.
const USER: &str = "nanomdm";
/// The shortest key, in bytes.
const SHORTEST_KEY: usize = 16;
/// The most ids of one request. An address holds fewer than two thousand UUIDs.
const IDS_LIMIT: usize = 10_000;
/// Requests being carried out at once; others wait.
const CONCURRENT: usize = 4;
/// How long a request may take, waiting included.
const PATIENCE: Duration = Duration::from_mins(2);

/// Why a key is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It could be guessed.
    #[error(
        "the key has {0} characters; it needs at least {SHORTEST_KEY} (such as from: openssl rand -hex 24)"
    )]
    TooShort(usize),
}

/// The key of the API.
#[derive(Debug, Clone)]
pub struct Key(Secret<String>);

impl Key {
    /// Takes a key, as it stands in a file: blanks and line ends around it do not count.
    ///
    /// # Errors
    /// When it is too short to be one.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let key = text.trim();
        if key.len() < SHORTEST_KEY {
            return Err(KeyError::TooShort(key.len()));
        }
        Ok(Self(Secret::new(key.to_owned())))
    }

    /// Whether a request comes from who holds the key. It takes as long whatever is wrong.
    fn opens_for(&self, headers: &HeaderMap) -> bool {
        let credentials = headers.get(header::AUTHORIZATION).and_then(credentials);
        let Some(credentials) = credentials else {
            return false;
        };
        let expected = Zeroizing::new(format!("{USER}:{}", self.0.reveal()));
        constant_time::equal(expected.as_bytes(), &credentials)
    }
}

/// `USER:PASSWORD` of HTTP Basic (RFC 7617).
fn credentials(authorization: &HeaderValue) -> Option<Zeroizing<Vec<u8>>> {
    let text = authorization.to_str().ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    STANDARD.decode(encoded.trim()).ok().map(Zeroizing::new)
}

#[derive(Clone)]
struct Served {
    desk: Desk,
    key: Key,
    /// For bodies.
    room: Room,
    turns: Arc<Semaphore>,
}

/// The API: `/v1/enqueue/{ids}` and `/v1/push/{ids}`, and `/version`. Nothing without the key.
pub fn router(desk: Desk, key: Key) -> Router {
    let served = Served {
        desk,
        key,
        room: Room::new(CONCURRENT * RAW_COMMAND_LIMIT),
        turns: Arc::new(Semaphore::new(CONCURRENT)),
    };
    Router::new()
        .route("/v1/enqueue/{ids}", put(enqueue).post(enqueue))
        .route("/v1/push/{ids}", put(push).get(push))
        .route("/version", get(version))
        .layer(middleware::from_fn_with_state(served.clone(), guard))
        .with_state(served)
}

/// Lets nobody in without the key, and nobody stay for too long.
async fn guard(State(served): State<Served>, request: Request, next: Next) -> Response {
    if !served.key.opens_for(request.headers()) {
        if request.headers().contains_key(header::AUTHORIZATION) {
            tracing::warn!("a request with a wrong key was refused by the enqueue API");
        }
        let challenge = HeaderValue::from_static("Basic realm=\"enqueue\"");
        let refused = refusal(
            StatusCode::UNAUTHORIZED,
            "the user is `nanomdm`, the password the key",
        );
        return ([(header::WWW_AUTHENTICATE, challenge)], refused).into_response();
    }
    let answered = async {
        // It is never closed.
        let _turn = served.turns.acquire().await;
        next.run(request).await
    };
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(response) => response,
        Err(_) => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "it took too long; send it again, with the same CommandUUID",
        ),
    }
}

fn refusal(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

/// `?nopush=1`, by whatever value.
#[derive(Debug, Deserialize)]
struct Wishes {
    nopush: Option<String>,
}

async fn enqueue(
    State(served): State<Served>,
    Path(ids): Path<String>,
    Query(wishes): Query<Wishes>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let ids: Vec<&str> = ids.split(',').collect();
    if ids.len() > IDS_LIMIT {
        return too_many(ids.len());
    }
    let command = match served.room.read(&headers, body, RAW_COMMAND_LIMIT).await {
        Ok(command) => command,
        Err(error @ body::Error::TooLarge { .. }) => {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string());
        }
        Err(error @ body::Error::BrokenOff) => return refusal(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let no_push = wishes
        .nopush
        .is_some_and(|value| !matches!(&*value, "0" | "false"));
    response(served.desk.enqueue(&ids, &command.bytes, no_push).await)
}

async fn push(State(served): State<Served>, Path(ids): Path<String>) -> Response {
    let ids: Vec<&str> = ids.split(',').collect();
    if ids.len() > IDS_LIMIT {
        return too_many(ids.len());
    }
    response(served.desk.push(&ids).await)
}

async fn version() -> Response {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") })).into_response()
}

fn too_many(count: usize) -> Response {
    let error = format!("there are {count} ids, more than the {IDS_LIMIT} allowed");
    refusal(StatusCode::BAD_REQUEST, &error)
}

fn response(answer: Answer) -> Response {
    let status = match answer.outcome {
        Outcome::All => StatusCode::OK,
        Outcome::Some => StatusCode::MULTI_STATUS,
        Outcome::Nothing => StatusCode::INTERNAL_SERVER_ERROR,
        Outcome::BadRequest => StatusCode::BAD_REQUEST,
        Outcome::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
    };
    (status, Json(answer)).into_response()
}
