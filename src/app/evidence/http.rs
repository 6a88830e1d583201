//! Requests and answers, and the limits that hold for all of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Extension, Path, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::Semaphore;

use super::access::Access;
use super::caller::Callers;
use super::record::Records;
use super::refusal::Refusal;
use crate::clock::Clock;
use crate::enrollment::{Limiter, Rate};
use crate::ids::{EnrollmentId, Namespace};
use crate::listener::ClientCertificates;

/// Requests being answered at once; more are turned away. Each compiles a plan.
const CONCURRENT: usize = 8;
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often one address may ask.
const RATE: Rate = Rate {
    burst: 60.0,
    per_second: 5.0,
    sources: 10_000,
};
/// Who acts for another is not asked here, and has to be told so: the answer would be by their own rights.
const IMPERSONATION: &str = "impersonate-";

/// Where people ask.
pub(super) struct Desk {
    callers: Callers,
    access: Access,
    records: Records,
    clock: Arc<dyn Clock>,
    limiter: Limiter,
    room: Semaphore,
}

impl Desk {
    pub(super) fn new(callers: Callers, access: Access, records: Records, clock: Arc<dyn Clock>) -> Self {
        Self {
            callers,
            access,
            records,
            clock,
            limiter: Limiter::new(RATE),
            room: Semaphore::new(CONCURRENT),
        }
    }

    async fn answer(
        &self,
        client: SocketAddr,
        certificates: &ClientCertificates,
        mut headers: HeaderMap,
        question: Question<'_>,
    ) -> Result<Response, Refusal> {
        if !self.limiter.allow(client.ip(), self.clock.now()) {
            return Err(Refusal::TooMany);
        }
        let _room = self.room.try_acquire().map_err(|_| Refusal::TooMany)?;
        let answer = async {
            let impersonates = |name: &HeaderName| name.as_str().starts_with(IMPERSONATION);
            if headers.keys().any(impersonates) {
                return Err(Refusal::BadRequest("users cannot be impersonated here"));
            }
            let user = self.callers.identify(&mut headers, certificates).await?;
            let Question {
                namespace,
                name,
                rule,
            } = question;
            self.access.allow(user, namespace, name).await?;
            // What could not be the name of a Device is not asked for: in a path it might mean something else.
            if Namespace::parse(namespace).is_err() || EnrollmentId::parse(name).is_err() {
                return Err(Refusal::NotFound(format!(
                    "devices.provost.dev {name:?} not found"
                )));
            }
            let record = self.records.tell(namespace, name, rule).await?;
            let mut response = Json(record).into_response();
            let unkept = HeaderValue::from_static("no-store");
            response.headers_mut().insert(CACHE_CONTROL, unkept);
            Ok(response)
        };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap_or_else(|late| {
                Err(Refusal::Unavailable {
                    what: "the Kubernetes API",
                    source: Box::new(late),
                })
            })
    }
}

/// What is asked.
struct Question<'a> {
    namespace: &'a str,
    name: &'a str,
    rule: Option<&'a str>,
}

/// The paths.
pub(super) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/v1/namespaces/{namespace}/devices/{name}/rules", get(rules))
        .route(
            "/v1/namespaces/{namespace}/devices/{name}/rules/{*rule}",
            get(rule),
        )
        .fallback(async || Refusal::NotFound("the server could not find the requested resource".to_owned()))
        .with_state(desk)
}

async fn rules(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Extension(certificates): Extension<ClientCertificates>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let question = Question {
        namespace: &namespace,
        name: &name,
        rule: None,
    };
    desk.answer(client, &certificates, headers, question).await
}

async fn rule(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Extension(certificates): Extension<ClientCertificates>,
    Path((namespace, name, rule)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let question = Question {
        namespace: &namespace,
        name: &name,
        rule: Some(&rule),
    };
    desk.answer(client, &certificates, headers, question).await
}
