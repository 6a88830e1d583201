//! What devices fetch on their way in: their enrolment profile, and their identity by SCEP.
//!
//! | path | |
//! |---|---|
//! | `GET /enroll/profile/{challenge}` | the profile; `?signed=false` leaves it unsigned, `?signMessage=true` has the device sign its messages |
//! | `GET`, `POST` `/scep?operation=…` | SCEP |
//!
//! A refusal of SCEP is a message of SCEP with status 200. Challenges are never logged.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::CHALLENGE_LIMIT;
use crate::body::Room;
use crate::clock::Clock;
use crate::enrollment::invitation::PROFILE_PATH;
use crate::enrollment::limiter::Limiter;
use crate::enrollment::profile::{self, ProfileIssuer, Variant};
use crate::enrollment::scep::server::Error as ScepError;
use crate::enrollment::scep::{self, MESSAGE_LIMIT, ScepServer};
use crate::mdm::http::{Kind, status_of_body};
use crate::store::StoreError;

/// What serves devices on their way in.
#[derive(Clone)]
pub struct WaysIn {
    /// SCEP.
    pub scep: Arc<ScepServer>,
    /// Profiles.
    pub profiles: Arc<ProfileIssuer>,
    /// How often one source may come to nothing.
    pub limiter: Arc<Limiter>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Served {
    ways: WaysIn,
    bodies: Room,
}

/// The endpoints, without the limits that all of the network side has: see [`crate::mdm::http::guarded`].
pub fn router(ways: WaysIn) -> Router {
    Router::new()
        .route(&format!("{PROFILE_PATH}/{{challenge}}"), get(enrollment_profile))
        .route(scep::PATH, get(scep_by_get).post(scep_by_post))
        .with_state(Served {
            ways,
            bodies: Room::new(MESSAGE_LIMIT),
        })
}

/// How the profile is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    #[serde(default = "yes")]
    signed: bool,
    #[serde(default)]
    sign_message: bool,
}

const fn yes() -> bool {
    true
}

async fn enrollment_profile(
    State(served): State<Served>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path(challenge): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let response = if served.may_try(client) && challenge.len() <= CHALLENGE_LIMIT {
        let variant = Variant {
            signed: wanted.signed,
            sign_message: wanted.sign_message,
        };
        match served.ways.profiles.profile(&challenge, variant).await {
            Ok(profile) => {
                served.ways.limiter.forgive(client.ip());
                let headers = [
                    (CONTENT_TYPE, "application/x-apple-aspen-config"),
                    (
                        CONTENT_DISPOSITION,
                        "attachment; filename=\"enroll.mobileconfig\"",
                    ),
                    (CACHE_CONTROL, "no-store"),
                ];
                (headers, profile).into_response()
            }
            Err(error) => refuse_profile(&error),
        }
    } else {
        too_many()
    };
    (Extension(Kind("EnrollmentProfile")), response).into_response()
}

fn refuse_profile(error: &profile::Error) -> Response {
    let cause = error as &dyn std::error::Error;
    match error {
        profile::Error::Refused(_) => {
            tracing::warn!(error = cause, "an enrolment profile was refused");
            (
                StatusCode::NOT_FOUND,
                "This invitation is unknown, used or expired. Ask for another.\n",
            )
                .into_response()
        }
        profile::Error::Store(store) => {
            tracing::error!(error = cause, "an enrolment profile could not be served");
            status_of_store(store).into_response()
        }
        profile::Error::Sign(_) => {
            tracing::error!(error = cause, "an enrolment profile could not be served");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What is asked of SCEP.
#[derive(Debug, Deserialize)]
struct Operation {
    #[serde(default)]
    operation: String,
    #[serde(default)]
    message: String,
}

async fn scep_by_get(
    State(served): State<Served>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Query(asked): Query<Operation>,
) -> Response {
    let response = match asked.operation.as_str() {
        "GetCACaps" => typed(
            "text/plain",
            scep::capabilities(served.ways.scep.dialect()).into(),
        ),
        "GetCACert" => match served.ways.scep.authority().await {
            Ok(authority) => typed(
                "application/x-x509-ca-cert",
                authority.authority.certificate().to_vec(),
            ),
            Err(error) => unanswered(&error),
        },
        "PKIOperation" => {
            // A plus sign that was not escaped has become a space on its way.
            let message = asked.message.replace(' ', "+").replace(['\r', '\n'], "");
            match STANDARD.decode(message) {
                Ok(message) if message.len() <= MESSAGE_LIMIT => served.answer(client, &message).await,
                Ok(_) => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
                Err(_) => (StatusCode::BAD_REQUEST, "the message is not in base64\n").into_response(),
            }
        }
        _ => unknown(),
    };
    (Extension(Kind("Scep")), response).into_response()
}

async fn scep_by_post(
    State(served): State<Served>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Query(asked): Query<Operation>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let response = if asked.operation == "PKIOperation" {
        match served.bodies.read(&headers, body, MESSAGE_LIMIT).await {
            Ok(body) => served.answer(client, &body.bytes).await,
            Err(error) => (status_of_body(error), format!("{error}\n")).into_response(),
        }
    } else {
        unknown()
    };
    (Extension(Kind("Scep")), response).into_response()
}

impl Served {
    fn may_try(&self, client: SocketAddr) -> bool {
        self.ways.limiter.allow(client.ip(), self.ways.clock.now())
    }

    async fn answer(&self, client: SocketAddr, message: &[u8]) -> Response {
        if !self.may_try(client) {
            return too_many();
        }
        match self.ways.scep.answer(message).await {
            Ok(answer) => {
                if answer.issued {
                    self.ways.limiter.forgive(client.ip());
                }
                typed("application/x-pki-message", answer.message)
            }
            Err(error) => unanswered(&error),
        }
    }
}

fn typed(kind: &'static str, body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, kind)], body).into_response()
}

fn unknown() -> Response {
    (
        StatusCode::BAD_REQUEST,
        "the operation is one of GetCACaps, GetCACert and PKIOperation\n",
    )
        .into_response()
}

fn too_many() -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "10")]).into_response()
}

const fn status_of_store(error: &StoreError) -> StatusCode {
    match error {
        StoreError::Database { .. } | StoreError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn unanswered(error: &ScepError) -> Response {
    let cause = error as &dyn std::error::Error;
    let status = match error {
        ScepError::Message(_) => {
            tracing::warn!(error = cause, "a message of SCEP could not be answered");
            return (StatusCode::BAD_REQUEST, "this is no message of SCEP\n").into_response();
        }
        ScepError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        ScepError::Store(store) => status_of_store(store),
        ScepError::Authority(_) | ScepError::Answer(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    tracing::error!(error = cause, "SCEP could not be served");
    status.into_response()
}
