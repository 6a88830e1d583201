//! Asking the server for the evidence about a rule: what a Device's status has no room for.
//!
//! Where it listens stands in a ConfigMap that the server publishes. It is asked with the credentials of the kubeconfig, and only over TLS with
//! the certificate that stands there (or was given). Where it cannot be asked, the reason is a note, not an error.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::config::{
    Cluster, Config, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use kube::{Api, Client};

use super::session::Session;
use crate::app::evidence::{AUTHORITY_KEY, CONFIG_MAP, DeviceRecord, NAMESPACE, RuleRecord, URL_KEY};
use crate::compliance::badness;
use crate::telemetry::cause;

/// How long connecting may take: without it, there still is the status.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The name of everything in the kubeconfig that is made up for the call.
const NAME: &str = "evidence";

/// Where the server tells the evidence.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Evidence")]
pub(super) struct EvidenceArgs {
    /// Where the server tells the evidence, such as the end of a port-forward: https://localhost:8444. Without it: where the server says.
    #[arg(id = "evidence-url", long = "evidence-url", value_name = "URL")]
    url: Option<String>,
    /// The certificate that vouches for it, PEM. Without it: the one that the server has published.
    #[arg(id = "evidence-ca", long = "evidence-ca", value_name = "FILE")]
    authority: Option<PathBuf>,
    /// The namespace that the server runs in.
    #[arg(
        id = "evidence-namespace",
        long = "evidence-namespace",
        value_name = "NS",
        default_value = NAMESPACE,
        env = "PROVOST_EVIDENCE_NAMESPACE",
        hide_env_values = true
    )]
    namespace: String,
}

/// The record of a rule, of the assignment with the worst verdict.
///
/// # Errors
/// Why the server could not be asked and what to do, for people.
pub(super) async fn ask(
    session: &Session,
    args: &EvidenceArgs,
    device: &str,
    key: &str,
) -> Result<Option<RuleRecord>, String> {
    if session.config.auth_info.impersonate.is_some() {
        return Err("the evidence listener is not asked on behalf of another user".to_owned());
    }
    let (url, authority) = find(session, args).await?;
    let client = client(session, &url, &authority).await?;
    let path = format!(
        "/v1/namespaces/{}/devices/{device}/rules/{key}",
        session.namespace
    );
    let request = http::Request::get(path)
        .body(Vec::new())
        .map_err(|error| format!("the question cannot be put: {error}"))?;
    let answer = tokio::time::timeout(PATIENCE, client.request::<DeviceRecord>(request));
    match answer.await {
        Ok(Ok(record)) => Ok(record.rules.into_iter().max_by_key(|rule| badness(rule.verdict))),
        Ok(Err(kube::Error::Api(status))) => Err(refused(&url, &status)),
        Ok(Err(error)) => Err(unreachable(&url, &cause(&error), args)),
        Err(late) => Err(unreachable(&url, &late.to_string(), args)),
    }
}

fn refused(url: &str, status: &kube::core::Status) -> String {
    match status.code {
        401 => format!("{url} does not know your credentials"),
        403 => format!(
            "{}; ask for the role provost-view, or for the verb get on devices/evidence",
            status.message
        ),
        code => format!("{url} answered {code}: {}", status.message),
    }
}

fn unreachable(url: &str, cause: &str, args: &EvidenceArgs) -> String {
    let port = url
        .parse::<http::Uri>()
        .ok()
        .and_then(|url| url.port_u16())
        .unwrap_or(443);
    let namespace = &args.namespace;
    format!(
        "{url} cannot be asked: {cause}; on a cluster open a way to it: kubectl port-forward -n {namespace} svc/provost-evidence {port}:{port}, and give --evidence-url https://localhost:{port}"
    )
}

/// The address and the certificate that vouches for it, PEM.
async fn find(session: &Session, args: &EvidenceArgs) -> Result<(String, String), String> {
    let given = match &args.authority {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?,
        ),
        None => None,
    };
    if let (Some(url), Some(authority)) = (&args.url, &given) {
        return Ok((url.clone(), authority.clone()));
    }
    let namespace = &args.namespace;
    let maps: Api<ConfigMap> = session.api_in(namespace);
    let map = match maps.get_opt(CONFIG_MAP).await {
        Ok(Some(map)) => map,
        Ok(None) => {
            return Err(format!(
                "no server tells more in namespace {namespace}; start it with --evidence-listen ADDR, or say where it runs with --evidence-namespace"
            ));
        }
        Err(kube::Error::Api(status)) => {
            return Err(format!(
                "{}; give --evidence-url and --evidence-ca instead",
                status.message
            ));
        }
        Err(error) => return Err(format!("the Kubernetes API cannot be asked: {}", cause(&error))),
    };
    let mut data = map.data.unwrap_or_default();
    let mut value = |key: &str| {
        data.remove(key)
            .ok_or_else(|| format!("the ConfigMap {namespace}/{CONFIG_MAP} has no {key}"))
    };
    let url = match &args.url {
        Some(url) => url.clone(),
        None => value(URL_KEY)?,
    };
    let authority = match given {
        Some(authority) => authority,
        None => value(AUTHORITY_KEY)?,
    };
    Ok((url, authority))
}

/// A client with the user's own credentials, for this address and certificate alone.
async fn client(session: &Session, url: &str, authority: &str) -> Result<Client, String> {
    if !url.starts_with("https://") {
        return Err(format!("{url}: credentials are only sent to https:// addresses"));
    }
    let mut credentials = session.config.auth_info.clone();
    // A password is the API's alone.
    credentials.username = None;
    credentials.password = None;
    let file = Kubeconfig {
        clusters: vec![NamedCluster {
            name: NAME.to_owned(),
            cluster: Some(Cluster {
                server: Some(url.to_owned()),
                certificate_authority_data: Some(STANDARD.encode(authority)),
                ..Cluster::default()
            }),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: NAME.to_owned(),
            auth_info: Some(credentials),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: NAME.to_owned(),
            context: Some(Context {
                cluster: NAME.to_owned(),
                user: Some(NAME.to_owned()),
                ..Context::default()
            }),
            ..NamedContext::default()
        }],
        current_context: Some(NAME.to_owned()),
        ..Kubeconfig::default()
    };
    let wrong = |error: &dyn std::fmt::Display| format!("{url} cannot be asked: {error}");
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(|error| wrong(&error))?;
    config.connect_timeout = Some(CONNECT_PATIENCE);
    config.read_timeout = Some(PATIENCE);
    Client::try_from(config).map_err(|error| wrong(&error))
}
