//! The device endpoint over HTTP: which request goes where, what each answer looks like, and the limits that hold for all of them.
//!
//! | path | |
//! |---|---|
//! | `PUT`, `POST` `/mdm` | reports on commands; check-in messages too, when their Content-Type or content says so |
//! | `PUT`, `POST` `/mdm/checkin` | check-in messages |
//! | `GET` `/mdm/profiles/{digest}` | profiles that declarations refer to; with a pass for devices that only sign ([`super::profile_pass`]) |
//!
//! A device acts on the status it gets: 401 and one kind of 403 make it leave. So every status is chosen by hand, in [`status_of`], and a fault of
//! ours is a 5xx, whatever it is. Who the client is, the connection tells, or the message by its signature ([`super::signature`]); whether it is
//! anybody is the gateway's to say.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Extension, Path, RawQuery, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use bytes::Bytes;
use futures::FutureExt as _;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::gateway::{Failure, Gateway, PARSE_ASIDE, Reply};
use super::metrics::{GatewayMetrics, KindLabels, RequestLabels};
use super::peer::{Peer, Peers};
use super::plist::BODY_LIMIT;
use super::profile_pass::{ProfilePass, Proof};
use super::signature::Claim;
use crate::body::{self, Room};
use crate::clock::Entropy;
use crate::ids::Digest;
use crate::pki::ca::Identity;
use crate::store::StoreError;

/// The Content-Type that makes a message a check-in message.
const CHECK_IN_TYPE: &str = "application/x-apple-aspen-mdm-checkin";

/// How long a client that is turned away for load should wait, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("30");

/// The header that carries the id of a request, which is in every log line about it.
pub const REQUEST_ID: &str = "x-request-id";

/// What the endpoint takes on at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests being answered; more are turned away with 503.
    pub concurrent: usize,
    /// Bytes of large bodies (above 64 KiB) being read and parsed; more wait. This bounds the memory that bodies take. One that does not
    /// say its length counts as the largest that is allowed.
    pub large_bodies: usize,
    /// The longest that one request may take, its body included.
    pub request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent: 1024,
            large_bodies: 12 * 1024 * 1024,
            request: Duration::from_mins(1),
        }
    }
}

/// What kind of request was answered, for counting: handlers put it on their responses.
#[derive(Debug, Clone, Copy)]
pub struct Kind(pub &'static str);

struct Devices {
    gateway: Arc<Gateway>,
    peers: Arc<Peers>,
    bodies: Room,
}

/// The device endpoint, without the limits: see [`guarded`]. Those who sign are judged by `peers`.
pub fn router(gateway: Arc<Gateway>, peers: Arc<Peers>, limits: Limits) -> Router {
    // Shared as a whole: the router clones its state for each request, several times.
    let devices = Arc::new(Devices {
        gateway,
        peers,
        bodies: Room::new(limits.large_bodies),
    });
    let messages = put(message).post(message);
    Router::new()
        .route("/mdm", messages.clone())
        .route("/mdm/checkin", messages)
        .route("/mdm/profiles/{digest}", get(profile))
        .with_state(devices)
}

async fn message(State(devices): State<Arc<Devices>>, request: Request) -> Response {
    // Taken apart and not extracted: that would copy the headers, and there may be a certificate in them.
    let (
        Parts {
            headers, extensions, ..
        },
        body,
    ) = request.into_parts();
    let anonymous = || Arc::new(Peer::new(Identity::Absent));
    let peer = extensions.get::<Arc<Peer>>().cloned().unwrap_or_else(anonymous);
    let malformed = |failure: &Failure| {
        // Told apart: who comes with a certificate that ran out has missed its renewal.
        let kind = match failure {
            Failure::Peer(super::peer::Error::Expired { .. }) => Kind("Expired"),
            _ => Kind("Malformed"),
        };
        (Extension(kind), refuse(failure)).into_response()
    };
    let shown = !peer.is_absent();
    let (peer, claim) = match devices.gateway.admit(&peer, &headers, &devices.peers) {
        Ok(admitted) => admitted,
        Err(failure) => return malformed(&failure),
    };
    let proof = if shown {
        Proof::Connection
    } else {
        Proof::Signature
    };
    let declared_check_in = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(CHECK_IN_TYPE.as_bytes()));
    // It takes its room until it is parsed and done with.
    let body = match devices.bodies.read(&headers, body, BODY_LIMIT).await {
        Ok(body) => body,
        Err(error) => return (status_of_body(error), Extension(Kind("Malformed"))).into_response(),
    };
    if let Some(claim) = claim
        && let Err(failure) = prove(claim, body.bytes.clone()).await
    {
        return malformed(&failure);
    }
    let answer = devices
        .gateway
        .message(&peer, proof, body.bytes.clone(), declared_check_in)
        .await;
    let response = match answer.result {
        Ok(Reply::Nothing) => StatusCode::OK.into_response(),
        Ok(Reply::PropertyList(xml)) => body_of("application/xml", &xml),
        Ok(Reply::Json(json)) => body_of("application/json", &json),
        Err(failure) => refuse(&failure),
    };
    (Extension(Kind(answer.kind)), response).into_response()
}

/// Whether a message is signed by who claims to. Large ones are looked at aside, so that other devices need not wait for it.
async fn prove(claim: Claim, body: Bytes) -> Result<(), Failure> {
    if body.len() <= PARSE_ASIDE {
        return Ok(claim.prove(&body)?);
    }
    match tokio::task::spawn_blocking(move || claim.prove(&body)).await {
        Ok(proven) => Ok(proven?),
        Err(_) => Err(Failure::Stopping),
    }
}

async fn profile(
    State(devices): State<Arc<Devices>>,
    peer: Option<Extension<Arc<Peer>>>,
    Path(digest): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let pass = query.as_deref().and_then(ProfilePass::read);
    let found = match (peer, Digest::from_hex(&digest)) {
        (Some(Extension(peer)), Some(digest)) => devices.gateway.profile(&peer, pass.as_ref(), digest).await,
        _ => Err(Failure::NotFound),
    };
    let response = match found {
        Ok(profile) => body_of("application/x-apple-aspen-config", &profile),
        Err(failure) => refuse(&failure),
    };
    (Extension(Kind("Profile")), response).into_response()
}

fn body_of(kind: &'static str, body: &Arc<str>) -> Response {
    // An `Arc<str>` is shared by many devices; the copy lives as long as the answer is on its way.
    ([(CONTENT_TYPE, kind)], Bytes::copy_from_slice(body.as_bytes())).into_response()
}

/// The status of a body that is not read.
#[must_use]
pub const fn status_of_body(error: body::Error) -> StatusCode {
    match error {
        body::Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        body::Error::BrokenOff => StatusCode::BAD_REQUEST,
    }
}

/// The status of each failure. **Never 401**, which ends an enrolment; 403 is for enrolments that have deliberately been ended.
#[must_use]
pub const fn status_of(failure: &Failure) -> StatusCode {
    match failure {
        Failure::Plist(super::plist::Error::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        Failure::Peer(_)
        | Failure::Stranger
        | Failure::AnotherDevice
        | Failure::Refused(_)
        | Failure::NotAuthenticated
        | Failure::NoUserChannel
        | Failure::Plist(_)
        | Failure::CheckIn(_)
        | Failure::Sender(_)
        | Failure::Endpoint(_)
        | Failure::Status(_)
        | Failure::DeviceChannel { .. }
        | Failure::UserChannel { .. }
        | Failure::UnknownMessage { .. }
        | Failure::NotOffered { .. } => StatusCode::BAD_REQUEST,
        Failure::Ended => StatusCode::FORBIDDEN,
        Failure::NotFound => StatusCode::NOT_FOUND,
        Failure::UserDeclined => StatusCode::GONE,
        Failure::Store(StoreError::Database { .. } | StoreError::Closed)
        | Failure::ManifestMissing
        | Failure::TokenService(_)
        | Failure::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The answer to a failure: its status, and what the device may know. Everything else goes to the log.
fn refuse(failure: &Failure) -> Response {
    let status = status_of(failure);
    let error = failure as &dyn std::error::Error;
    if status.is_server_error() {
        tracing::error!(error, "a device could not be served");
    } else {
        tracing::info!(error, status = status.as_u16(), "a device was refused");
    }
    match status {
        StatusCode::FORBIDDEN => {
            let unenroll = serde_json::json!({
                "code": "com.apple.unrecognized.device",
                "description": "the enrolment has ended",
                "message": "This device is no longer managed here.",
            });
            (status, Json(unenroll)).into_response()
        }
        StatusCode::SERVICE_UNAVAILABLE => busy(),
        status if status.is_server_error() => status.into_response(),
        status => (status, format!("{failure}\n")).into_response(),
    }
}

fn busy() -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(RETRY_AFTER, RETRY_AFTER_SECONDS)],
    )
        .into_response()
}

struct Guard {
    slots: Semaphore,
    limits: Limits,
    metrics: GatewayMetrics,
    entropy: Arc<dyn Entropy>,
}

/// Puts the limits around what faces the network: so many requests at a time, so long for each, a panic is a 500, and every request has an id
/// that is in the answer (`x-request-id`) and in every line of the log about it.
pub fn guarded(router: Router, limits: Limits, metrics: GatewayMetrics, entropy: Arc<dyn Entropy>) -> Router {
    let guard = Arc::new(Guard {
        slots: Semaphore::new(limits.concurrent),
        limits,
        metrics,
        entropy,
    });
    router.layer(middleware::from_fn_with_state(guard, guard_request))
}

/// The answer to a request that has met a defect of ours.
fn panicked(panic: &(dyn Any + Send), metrics: &GatewayMetrics) -> Response {
    metrics.panics.inc();
    let words = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = words, "a defect met a request");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Counts a request as under way until it is answered, or until its client hangs up.
struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn new(metrics: &'a GatewayMetrics) -> Self {
        metrics.in_flight.inc();
        Self(&metrics.in_flight)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn guard_request(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let id = guard.entropy.uuid().to_string();
    let span = tracing::info_span!(
        "device request",
        request.id = %id,
        http.method = %request.method(),
        device.id = tracing::field::Empty,
        command.kind = tracing::field::Empty,
    );
    let started = Instant::now();
    let mut response = match guard.slots.try_acquire() {
        Ok(_slot) => {
            let _counted = InFlight::new(&guard.metrics);
            // Caught here and not by a layer of its own, which would wrap every answer once more. Nothing is used after a panic that it may have left half done.
            let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
            let answer =
                answer.map(|answer| answer.unwrap_or_else(|panic| panicked(&*panic, &guard.metrics)));
            let answer = tokio::time::timeout(guard.limits.request, answer);
            let answer = answer.instrument(span.clone()).await;
            answer.unwrap_or_else(|_| busy())
        }
        Err(_) => busy(),
    };
    let kind = response.extensions().get::<Kind>().map_or("Other", |kind| kind.0);
    let status = response.status().as_u16();
    guard
        .metrics
        .requests
        .get_or_create(&RequestLabels { kind, status })
        .inc();
    guard
        .metrics
        .seconds
        .get_or_create(&KindLabels { kind })
        .observe(started.elapsed().as_secs_f64());
    span.in_scope(|| tracing::debug!(kind, status, "answered"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
