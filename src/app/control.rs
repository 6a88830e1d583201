//! The controllers, ready to be run: once in an embedded server, once a term on a cluster.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Entropy};
use crate::controllers::{Context, fleet, git_source, push_certificate};
use crate::gitops::fetch::Fetcher;
use crate::gitops::validate::SchemaSet;
use crate::store::Store;
use crate::telemetry::Metrics;

/// What controllers are made of, but for the client.
#[derive(Clone)]
pub(super) struct Controllers {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) metrics: Metrics,
    pub(super) planner: fleet::Settings,
    pub(super) schemas: Arc<SchemaSet>,
    pub(super) apple_schema: git_source::apple_schema::Settings,
    pub(super) push_certificates: push_certificate::Settings,
    /// One for all terms.
    pub(super) fetcher: Arc<Fetcher>,
    /// Where clones of repositories are kept.
    pub(super) clones: PathBuf,
}

impl Controllers {
    /// Every controller over `client`, each until `shutdown`.
    pub(super) fn each(
        &self,
        client: &Client,
        shutdown: &CancellationToken,
    ) -> [(&'static str, BoxFuture<'static, ()>); 3] {
        let context = Context::new(
            client.clone(),
            self.store.clone(),
            self.clock.clone(),
            self.entropy.clone(),
            self.metrics.clone(),
        );
        let planner = fleet::run(context.clone(), self.planner.clone(), shutdown.clone());
        let sources = git_source::run(
            context.clone(),
            self.schemas.clone(),
            self.apple_schema.clone(),
            self.fetcher.clone(),
            self.clones.clone(),
            shutdown.clone(),
        );
        let push_certificates =
            push_certificate::run(context, self.push_certificates.clone(), shutdown.clone());
        [
            ("the PushCertificate controller", push_certificates.boxed()),
            ("the planner", planner.boxed()),
            ("the GitSource controller", sources.boxed()),
        ]
    }

    /// All controllers over `client` in one future, which ends when they have, or when one of them ends by itself. Dropped, it breaks them off.
    pub(super) fn run(&self, client: &Client, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        let controllers = self.each(client, &shutdown);
        async move {
            let mut running = JoinSet::new();
            for (name, controller) in controllers {
                running.spawn(controller.map(move |()| name));
            }
            while let Some(ended) = running.join_next().await {
                if shutdown.is_cancelled() {
                    continue;
                }
                match ended {
                    Ok(name) => tracing::error!(controller = name, "a controller ended by itself"),
                    Err(error) => tracing::error!(%error, "a controller failed"),
                }
                return;
            }
        }
        .boxed()
    }
}
