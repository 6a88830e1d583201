//! The ways in, over HTTP. [`device_router`] is what devices follow; here is
//! `POST /enroll/identity`: a certificate request for an identity certificate.
//!
//! The request is DER or PEM (`application/pkcs10`), the challenge comes as `Authorization: Bearer …`. The answer is JSON: the certificate and
//! where to enrol with it, or `{"error": …}`. No client certificate is asked for, and clients of this path are no enrolled devices yet, so a 401
//! (for a missing challenge only) does no harm here.

mod device;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, State};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};

pub use device::{WaysIn, router as device_router};

use super::identity::{EnrollmentIdentity, Error, IdentityIssuer};
use super::invitation::IDENTITY_PATH;
use super::limiter::Limiter;
use crate::body::Room;
use crate::clock::Clock;
use crate::mdm::http::{Kind, status_of_body};
use crate::pki::csr::{self, REQUEST_LIMIT};
use crate::store::StoreError;

/// The longest challenge that is looked up, in bytes.
const CHALLENGE_LIMIT: usize = 256;

#[derive(Clone)]
struct Enrollment {
    issuer: Arc<IdentityIssuer>,
    limiter: Arc<Limiter>,
    clock: Arc<dyn Clock>,
    /// No body here is large; the shared reader asks all the same.
    bodies: Room,
}

/// The endpoint, without the limits that all of the network side has: see [`crate::mdm::http::guarded`].
pub fn router(issuer: Arc<IdentityIssuer>, limiter: Arc<Limiter>, clock: Arc<dyn Clock>) -> Router {
    Router::new()
        .route(IDENTITY_PATH, post(identity))
        .with_state(Enrollment {
            issuer,
            limiter,
            clock,
            bodies: Room::new(REQUEST_LIMIT),
        })
}

async fn identity(
    State(enrollment): State<Enrollment>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let response = if enrollment.limiter.allow(client.ip(), enrollment.clock.now()) {
        match issue(&enrollment, &headers, body).await {
            Ok(identity) => {
                // An office enrols from one address; only attempts that came to nothing count against it.
                enrollment.limiter.forgive(client.ip());
                Json(identity).into_response()
            }
            Err(refusal) => refusal,
        }
    } else {
        let mut refusal = refuse(
            StatusCode::TOO_MANY_REQUESTS,
            "too many attempts; try again later",
        );
        refusal
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("10"));
        refusal
    };
    (Extension(Kind("Identity")), response).into_response()
}

async fn issue(
    enrollment: &Enrollment,
    headers: &HeaderMap,
    body: Body,
) -> Result<EnrollmentIdentity, Response> {
    let Some(authorization) = headers.get(AUTHORIZATION) else {
        let mut refusal = refuse(
            StatusCode::UNAUTHORIZED,
            "the challenge is missing: send it as Authorization: Bearer <challenge>",
        );
        refusal
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return Err(refusal);
    };
    let challenge = authorization
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, challenge)| challenge.trim())
        .filter(|challenge| !challenge.is_empty() && challenge.len() <= CHALLENGE_LIMIT)
        .ok_or_else(|| refuse(StatusCode::FORBIDDEN, NOT_ALLOWED))?;
    let body = enrollment
        .bodies
        .read(headers, body, REQUEST_LIMIT)
        .await
        .map_err(|error| {
            refuse(
                status_of_body(error),
                &format!("the certificate request: {error}"),
            )
        })?;
    enrollment
        .issuer
        .issue(challenge, &body.bytes)
        .await
        .map_err(|error| answer_to(&error))
}

/// What is said of every challenge that does not give the right, whatever the reason.
const NOT_ALLOWED: &str = "the challenge is not valid for this device";

fn answer_to(error: &Error) -> Response {
    let status = status_of(error);
    let cause = error as &dyn std::error::Error;
    if status.is_server_error() {
        tracing::error!(error = cause, "an identity could not be issued");
    } else {
        tracing::warn!(error = cause, "an identity was refused");
    }
    match error {
        Error::Refused(_) => refuse(status, NOT_ALLOWED),
        Error::Request(_) | Error::NoCommonName | Error::CommonName(_) => refuse(status, &error.to_string()),
        Error::Sign(_) | Error::Store(_) => refuse(status, "the server failed; try again later"),
    }
}

/// The status of each error.
#[must_use]
pub const fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::Request(csr::Error::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Request(_) | Error::NoCommonName | Error::CommonName(_) => StatusCode::BAD_REQUEST,
        Error::Refused(_) => StatusCode::FORBIDDEN,
        Error::Store(StoreError::Database { .. } | StoreError::Closed) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Sign(_) | Error::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn refuse(status: StatusCode, words: &str) -> Response {
    (status, Json(serde_json::json!({"error": words}))).into_response()
}
