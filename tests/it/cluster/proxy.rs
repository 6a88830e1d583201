//! A proxy in front of an API server that takes its time, and ends watches before they begin.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use serde_json::json;

use crate::control_plane::ControlPlane;

/// A running proxy. It goes with its runtime.
pub(super) struct Proxy {
    /// For whoever is to come through it.
    pub(super) kubeconfig: PathBuf,
    gone: Arc<Gone>,
}

impl Proxy {
    /// Starts one that answers after `delay`, and answers the first watch of groups and the first of assignments with 410 (Gone).
    pub(super) async fn start(plane: &ControlPlane, delay: Duration) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = plane.path("proxy.kubeconfig");
        let server = format!("http://{}", listener.local_addr().unwrap());
        let file = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{ "name": "proxy", "cluster": { "server": server } }],
            "users": [{ "name": "proxy", "user": {} }],
            "contexts": [{ "name": "proxy", "context": { "cluster": "proxy", "user": "proxy" } }],
        });
        std::fs::write(&kubeconfig, file.to_string()).unwrap();
        let gone = Arc::new(Gone::default());
        let front = Front {
            client: plane.client().await,
            delay,
            gone: gone.clone(),
        };
        let router = Router::new().fallback(pass).with_state(front);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { kubeconfig, gone }
    }

    /// How many watches of groups and of assignments have been asked for.
    pub(super) fn watches(&self) -> [usize; 2] {
        [&self.gone.groups, &self.gone.assignments].map(|count| count.load(Ordering::Acquire))
    }
}

#[derive(Default)]
struct Gone {
    groups: AtomicUsize,
    assignments: AtomicUsize,
}

#[derive(Clone)]
struct Front {
    client: Client,
    delay: Duration,
    gone: Arc<Gone>,
}

async fn pass(State(front): State<Front>, request: Request) -> Response<Body> {
    tokio::time::sleep(front.delay).await;
    let path = request.uri().path();
    if request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch=true"))
    {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "reason": "Expired", "message": "too old resource version", "code": 410,
        });
        let first = |count: &AtomicUsize| count.fetch_add(1, Ordering::AcqRel) == 0;
        // In the two ways that API servers have: as an event, and instead of a watch.
        if path.ends_with("/devicegroups") && first(&front.gone.groups) {
            return Response::new(Body::from(format!(
                "{}\n",
                json!({ "type": "ERROR", "object": status })
            )));
        }
        if path.ends_with("/assignments") && first(&front.gone.assignments) {
            let mut answer = Response::new(Body::from(status.to_string()));
            *answer.status_mut() = StatusCode::GONE;
            return answer;
        }
    }
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().unwrap().as_str().to_owned();
    head.uri = path.parse().unwrap();
    head.headers.remove("host");
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    let request = http::Request::from_parts(head, kube::client::Body::from(body));
    match front.client.send(request).await {
        Ok(answer) => answer.map(Body::new),
        Err(error) => {
            let mut answer = Response::new(Body::from(error.to_string()));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        }
    }
}
