//! The client: where the cluster is found, and what keeps a call from hanging.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures::FutureExt as _;
use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::app::settings::ClusterSettings;
use crate::telemetry::cause;
use crate::telemetry::cluster::ClusterMetrics;

/// How long connecting may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a call may take with its answer and every retry below it. A watch has this time to begin.
const CALL_PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection may be silent: longer than a server lets a watch last (290 s are asked for).
const SILENCE: Duration = Duration::from_mins(5);

/// A client and what it was made from.
pub(super) struct Found {
    pub(super) client: Client,
    pub(super) url: String,
    pub(super) namespace: String,
}

/// Reads the configuration; nothing is called yet.
pub(super) async fn find(settings: &ClusterSettings, metrics: &ClusterMetrics) -> anyhow::Result<Found> {
    let mut config = configuration(settings).await?;
    config.connect_timeout = Some(CONNECT_PATIENCE);
    config.write_timeout = Some(CALL_PATIENCE);
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    let agent = HeaderValue::from_static(concat!("provost/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, agent));
    let (url, namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
    let client = Client::try_from(config).context("the credentials for the cluster cannot be used")?;
    Ok(Found {
        client: patient(client, metrics.clone()),
        url: url.trim_end_matches('/').to_owned(),
        namespace,
    })
}

/// What was named on the command line or in `KUBECONFIG`; in a pod its service account; then `~/.kube/config`.
async fn configuration(settings: &ClusterSettings) -> anyhow::Result<Config> {
    let options = KubeConfigOptions {
        context: settings.context.clone(),
        ..KubeConfigOptions::default()
    };
    if let Some(path) = &settings.kubeconfig {
        let file = Kubeconfig::read_from(path).map_err(|error| {
            anyhow!(
                "the kubeconfig {} cannot be read: {}",
                path.display(),
                cause(&error)
            )
        })?;
        return Config::from_custom_kubeconfig(file, &options)
            .await
            .with_context(|| format!("the kubeconfig {} cannot be used", path.display()));
    }
    if let Some(file) =
        Kubeconfig::from_env().map_err(|error| anyhow!("KUBECONFIG cannot be read: {}", cause(&error)))?
    {
        return Config::from_custom_kubeconfig(file, &options)
            .await
            .context("KUBECONFIG cannot be used");
    }
    if settings.context.is_none()
        && let Ok(config) = Config::incluster()
    {
        return Ok(config);
    }
    Config::from_kubeconfig(&options).await.map_err(|error| {
        anyhow!(
            "no cluster: this is no pod with a service account, and ~/.kube/config cannot be used ({}); give --kubeconfig FILE, or run `provost up`, which needs no cluster",
            cause(&error)
        )
    })
}

/// A client whose calls end: with an answer, with an error of the API, or with one that says that it did not answer. Watches go on for as long as
/// they like once they have begun.
fn patient(client: Client, metrics: ClusterMetrics) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, metrics) = (client.clone(), metrics.clone());
        // A future of one size, so that the callers' stay small.
        async move { call(client, request, &metrics).await }.boxed()
    });
    Client::new(service, namespace)
}

async fn call(
    client: Client,
    request: Request<Body>,
    metrics: &ClusterMetrics,
) -> kube::Result<Response<Body>> {
    let watches = is_watch(request.uri().query());
    let answer = async {
        let response = client.send(request).await?;
        match (watches, response.status()) {
            (true, StatusCode::GONE) => Ok(as_event(&whole(response).await?)),
            (true, _) => Ok(response),
            (false, _) => Ok(whole(response).await?.map(Body::from)),
        }
    };
    let answer = tokio::time::timeout(CALL_PATIENCE, answer).await;
    let answer = answer.unwrap_or_else(|_| {
        let seconds = CALL_PATIENCE.as_secs();
        Err(kube::Error::Service(
            format!("the Kubernetes API has not answered for {seconds} seconds").into(),
        ))
    });
    note(metrics, answer.is_ok());
    answer
}

/// The whole of an answer, so that one that stops in the middle runs out of time, too.
async fn whole(response: Response<Body>) -> kube::Result<Response<bytes::Bytes>> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}

/// Whether a request asks for a watch.
fn is_watch(query: Option<&str>) -> bool {
    query
        .unwrap_or_default()
        .split('&')
        .any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch"))
}

/// A watch that cannot begin because its revision is gone, as one that begins and says so: only from an event does a watcher learn
/// that it has to list again; a refused request it repeats for ever.
fn as_event(refusal: &Response<bytes::Bytes>) -> Response<Body> {
    let status = serde_json::from_slice(refusal.body()).unwrap_or_else(|_| {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "reason": "Expired", "message": "the revision is gone", "code": 410,
        })
    });
    let event: Value = json!({ "type": "ERROR", "object": status });
    let mut response = Response::new(Body::from(format!("{event}\n").into_bytes()));
    *response.status_mut() = StatusCode::OK;
    response
}

/// Notes whether the API answers, and says so when that has changed.
fn note(metrics: &ClusterMetrics, answers: bool) {
    let before = metrics.reachable.set(i64::from(answers));
    match (before, answers) {
        (0, true) => tracing::info!("the Kubernetes API answers"),
        (1, false) => tracing::warn!("the Kubernetes API does not answer; devices are served meanwhile"),
        _ => {}
    }
}
