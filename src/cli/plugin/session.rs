//! The connection to the Kubernetes API: with the user's kubeconfig and rights, and with errors that say what to do.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use kube::api::ListParams;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::arguments::ConnectionArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::telemetry::cause;

/// How many objects are asked for at a time.
pub(super) const PAGE: u32 = 500;
/// How long connecting may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long the API may be silent within an answer.
const SILENCE: Duration = Duration::from_secs(30);

/// A client, and where it looks.
#[derive(Clone)]
pub(in crate::cli) struct Session {
    pub(super) client: Client,
    /// The fleet that was named, or that of the context.
    pub(in crate::cli) namespace: String,
    /// Whether every fleet is meant.
    pub(super) everywhere: bool,
    pub(super) config: Config,
    url: String,
}

impl Session {
    /// Reads the kubeconfig; nothing is called yet.
    pub(in crate::cli) async fn open(args: &ConnectionArgs) -> anyhow::Result<Self> {
        let mut config = configuration(args).await?;
        config.connect_timeout = Some(CONNECT_PATIENCE);
        config.read_timeout = Some(SILENCE);
        config.write_timeout = Some(SILENCE);
        if let Some(user) = &args.as_user {
            config.auth_info.impersonate = Some(user.clone());
            config.auth_info.impersonate_groups = Some(args.as_group.clone());
        }
        let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let namespace = args
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let client =
            Client::try_from(config.clone()).context("the credentials of the kubeconfig cannot be used")?;
        Ok(Self {
            client,
            namespace,
            everywhere: args.all_namespaces,
            config,
            url,
        })
    }

    /// Now.
    #[expect(
        clippy::unused_self,
        reason = "what a subcommand takes from outside comes from its session"
    )]
    pub(super) fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    /// The objects of a kind in the fleet, or in all of them.
    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        if self.everywhere {
            Api::all(self.client.clone())
        } else {
            self.api_in(&self.namespace)
        }
    }

    /// The objects of a kind in one fleet.
    pub(super) fn api_in<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Where is looked, for messages.
    pub(super) fn place(&self) -> String {
        if self.everywhere {
            "in any namespace".to_owned()
        } else {
            format!("in namespace {}", self.namespace)
        }
    }

    /// What is said where a list is empty, and where else to look.
    pub(super) fn nothing(&self, what: &str) -> String {
        let elsewhere = if self.everywhere { "" } else { "; -A looks in all" };
        format!("no {what} {}{elsewhere}", self.place())
    }

    /// Every object that `keep` takes something from, page by page, so that the whole of a large fleet is never held.
    pub(in crate::cli) async fn list<K, T>(
        &self,
        parameters: &ListParams,
        mut keep: impl FnMut(K) -> Option<T>,
    ) -> anyhow::Result<Vec<T>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let api = self.api::<K>();
        let mut parameters = parameters.clone().limit(PAGE);
        let mut kept = Vec::new();
        loop {
            let page = match api.list(&parameters).await {
                Ok(page) => page,
                // The list is older than what the API remembers: once more, and whole.
                Err(kube::Error::Api(status))
                    if status.code == 410 && parameters.continue_token.is_some() =>
                {
                    parameters.continue_token = None;
                    parameters.limit = None;
                    kept.clear();
                    continue;
                }
                Err(error) => return Err(self.explain::<K>(error, "list")),
            };
            let rest = page.metadata.continue_.filter(|token| !token.is_empty());
            kept.extend(page.items.into_iter().filter_map(&mut keep));
            match rest {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok(kept),
            }
        }
    }

    /// What went wrong with a call about a kind, and what to do about it.
    pub(super) fn explain<K: Resource<DynamicType = ()>>(
        &self,
        error: kube::Error,
        verb: &str,
    ) -> anyhow::Error {
        let plural = K::plural(&());
        let status = match error {
            kube::Error::Api(status) => status,
            error => return self.unreachable(&error),
        };
        let place = if self.everywhere {
            "-A".to_owned()
        } else {
            format!("-n {}", self.namespace)
        };
        let resource = format!("{plural}.{}", K::group(&()));
        match status.code {
            401 => anyhow!(
                "the Kubernetes API at {} does not know you (401): {}\nrenew the credentials of your kubeconfig, or choose another with --context or --kubeconfig",
                self.url,
                status.message
            ),
            403 => anyhow!(
                "{}\nyou may not {verb} {plural} here; ask for the role provost-view to read, provost-edit to reconcile; see: kubectl auth can-i {verb} {resource} {place}",
                status.message
            ),
            // Without a name in its details it is the kind, not an object, that is missing.
            404 if status
                .details
                .as_ref()
                .is_none_or(|details| details.name.is_empty()) =>
            {
                anyhow!(
                    "the Kubernetes API at {} knows no {resource}\nis this the right context? Provost's definitions are installed with: provost crd | kubectl apply --server-side -f -",
                    self.url
                )
            }
            _ => anyhow!(
                "the Kubernetes API refused to {verb} {plural}: {}",
                status.message
            ),
        }
    }

    fn unreachable(&self, error: &kube::Error) -> anyhow::Error {
        anyhow!(
            "the Kubernetes API at {} cannot be asked: {}\ncheck the context (kubectl config current-context) and that the server runs (kubectl version; for the embedded API: provost up)",
            self.url,
            cause(error)
        )
    }
}

async fn configuration(args: &ConnectionArgs) -> anyhow::Result<Config> {
    let options = KubeConfigOptions {
        context: args.context.clone(),
        ..KubeConfigOptions::default()
    };
    let file = match &args.kubeconfig {
        Some(path) => Kubeconfig::read_from(path).map_err(|error| {
            anyhow!(
                "the kubeconfig {} cannot be read: {}",
                path.display(),
                cause(&error)
            )
        })?,
        None => match Kubeconfig::read() {
            Ok(file) => file,
            // In a pod there is none.
            Err(error) => {
                return Config::incluster().map_err(|_| {
                    anyhow!(
                        "there is no kubeconfig that can be read: {error}\ngive --kubeconfig FILE or set KUBECONFIG; `provost up` writes one: DIR/kubeconfig"
                    )
                });
            }
        },
    };
    Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|error| {
            anyhow!(
                "the kubeconfig cannot be used: {}\nsee: kubectl config get-contexts",
                cause(&error)
            )
        })
}
