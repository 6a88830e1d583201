//! The admin listeners: health and metrics over TCP for probes and Prometheus, orders over a socket file for commands on the same computer.
//!
//! Nothing on the TCP listener changes anything or tells about a device. The socket file lies in the data directory, which only its
//! owner can enter; that is the proof of who calls.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::sync::watch;

use crate::clock::{Clock, Entropy};
use crate::enrollment::{Invite, InviteRequest, invitation, invite};
use crate::ids::{EnrollmentId, Namespace, SerialNumber};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::telemetry::cluster::ClusterMetrics;

/// Whether the program is ready to serve. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<watch::Sender<bool>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Readiness {
    /// Devices are served and, once, everything else was found as it should be.
    pub fn set(&self, ready: bool) {
        self.0.send_replace(ready);
    }

    /// Waits until the program is ready.
    pub async fn wait(&self) {
        // The sender lives as long as this does.
        let _ = self.0.subscribe().wait_for(|ready| *ready).await;
    }

    fn ready(&self) -> bool {
        *self.0.borrow()
    }
}

/// What the probes look at.
#[derive(Clone)]
struct Health {
    readiness: Readiness,
    cluster: Option<ClusterMetrics>,
}

/// `/healthz`, `/readyz` and `/metrics`. `cluster` is there where the Kubernetes API is that of a cluster.
pub fn health_router(readiness: Readiness, cluster: Option<ClusterMetrics>, metrics: Metrics) -> Router {
    let health = Health { readiness, cluster };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(health))
        .route("/metrics", get(page).with_state(metrics))
}

/// How `/readyz` is asked.
#[derive(Debug, Deserialize)]
struct Verbosity {
    verbose: Option<String>,
}

/// Ready is who serves devices. That another replica leads, or that the API does not answer for a while, makes nobody unready: devices would
/// lose their server for it. `?verbose` tells of both.
async fn readyz(State(health): State<Health>, Query(verbosity): Query<Verbosity>) -> Response {
    let ready = health.readiness.ready();
    let mut text = String::new();
    if verbosity.verbose.is_some() {
        let mut line = |well: bool, words: &str| {
            let _ = writeln!(text, "[{}]{words}", if well { '+' } else { '-' });
        };
        line(ready, "ready");
        if let Some(cluster) = &health.cluster {
            line(cluster.reachable.get() == 1, "kubernetes api reachable");
            line(cluster.leader.get() == 1, "leader");
        }
    }
    if ready {
        text.push_str("ok\n");
        text.into_response()
    } else {
        text.push_str("starting or stopping\n");
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    }
}

async fn page(State(metrics): State<Metrics>) -> Response {
    match metrics.encode() {
        Ok(page) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], page).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// What the orders work with.
#[derive(Clone)]
pub struct Orders {
    /// The device plane.
    pub store: Arc<dyn Store>,
    /// The API, to look up namespaces.
    pub client: kube::Client,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Where devices reach the server.
    pub public_url: String,
}

/// The largest order: a batch of ten thousand invitations fits.
const ORDER_LIMIT: usize = 4 << 20;

/// An order for invitations: so many of the same kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InviteOrder {
    /// The fleet.
    pub namespace: Namespace,
    /// The only hardware that may come.
    #[serde(default)]
    pub serial_number: Option<SerialNumber>,
    /// The only enrolment that may come.
    #[serde(default)]
    pub udid: Option<EnrollmentId>,
    /// Labels of the Device object.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// For how many seconds they are good.
    pub valid_seconds: u64,
    /// How many.
    pub count: u32,
}

/// Invitations made side by side.
const BATCH: usize = 64;
/// Invitations of one order.
const MAXIMUM_COUNT: u32 = 10_000;

/// An answer that is no success: what was wrong, for people.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    /// What was wrong.
    pub error: String,
}

/// The orders: `POST /v1/invitations`.
pub fn orders_router(orders: Orders) -> Router {
    Router::new()
        .route("/v1/invitations", post(make_invitations))
        .layer(DefaultBodyLimit::max(ORDER_LIMIT))
        .with_state(orders)
}

async fn make_invitations(
    State(orders): State<Orders>,
    Json(order): Json<InviteOrder>,
) -> Result<Json<Vec<Invite>>, (StatusCode, Json<Refused>)> {
    make(&orders, order).await.map(Json).map_err(|refusal| {
        let status = if refusal.callers {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        (status, Json(Refused { error: refusal.error }))
    })
}

/// Why no invitation was made.
#[derive(Debug)]
pub struct Refusal {
    /// What was wrong, for people.
    pub error: String,
    /// Whether the caller can mend it.
    callers: bool,
}

/// Makes invitations.
///
/// # Errors
/// What is wrong with the order, or with the store.
pub async fn make(orders: &Orders, order: InviteOrder) -> Result<Vec<Invite>, Refusal> {
    let refuse = |error: String| Refusal { error, callers: true };
    let failed = |error: String| Refusal {
        error,
        callers: false,
    };
    if !(1..=MAXIMUM_COUNT).contains(&order.count) {
        return Err(refuse(format!("the count must be from 1 to {MAXIMUM_COUNT}")));
    }
    let namespace = order.namespace.to_string();
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(orders.client.clone());
    match namespaces.get_opt(&namespace).await {
        Ok(Some(_)) => {}
        Ok(None) => {
            let advice = format!("make it with: kubectl create namespace {namespace}");
            return Err(refuse(format!(
                "the namespace {namespace} does not exist; {advice}"
            )));
        }
        Err(error) => return Err(failed(format!("the Kubernetes API did not answer: {error}"))),
    }
    let life = i64::try_from(order.valid_seconds).unwrap_or(i64::MAX);
    let request = InviteRequest {
        namespace: order.namespace,
        serial_number: order.serial_number,
        udid: order.udid,
        labels: order.labels,
        life: SignedDuration::from_secs(life),
        public_url: orders.public_url.clone(),
    };
    let (store, clock, entropy) = (
        orders.store.as_ref(),
        orders.clock.as_ref(),
        orders.entropy.as_ref(),
    );
    // Side by side, so that the store commits many at a time.
    stream::iter(0..order.count)
        .map(|_| invite(store, clock, entropy, request.clone()))
        .buffered(BATCH)
        .try_collect()
        .await
        .map_err(|error| match error {
            invitation::Error::Store(_) => failed(error.to_string()),
            _ => refuse(error.to_string()),
        })
}

/// Binds the socket file, for its owner alone. A file left behind by a process that was killed is replaced: the data directory's lock
/// has shown that nobody listens on it.
///
/// # Errors
/// When it cannot be bound.
pub fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
