//! The control plane on a cluster: a client of the real Kubernetes API, and the controllers while this replica leads.
//!
//! Devices are served from the store before, while and after all of this; nothing here is in their way. The definitions are never written, only
//! checked: whoever administers the cluster installs them.

mod client;
mod definitions;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::clock::Entropy;
use crate::controllers::error::backoff;
use crate::controllers::leader::{Candidate, Term};
use crate::telemetry::Chain;
use crate::telemetry::cluster::ClusterMetrics;

use super::admin_http::Readiness;
use super::control::Controllers;
use super::settings::ClusterSettings;

/// The longest pause between two looks for the definitions while the API does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A cluster, as far as it is known before it was reached.
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) url: String,
    metrics: ClusterMetrics,
    pub(super) namespace: String,
    identity: String,
    settings: ClusterSettings,
}

impl Cluster {
    /// Finds the cluster's address and credentials; it is not called yet.
    pub(super) async fn find(
        settings: &ClusterSettings,
        entropy: &dyn Entropy,
        metrics: ClusterMetrics,
    ) -> anyhow::Result<Self> {
        let found = client::find(settings, &metrics).await?;
        let pod = settings.pod_name.clone().unwrap_or_else(host_name);
        Ok(Self {
            client: found.client,
            url: found.url,
            metrics,
            namespace: settings.namespace.clone().unwrap_or(found.namespace),
            identity: format!("{pod}_{}", entropy.uuid()),
            settings: settings.clone(),
        })
    }

    /// Waits until the definitions are found right, then stands for leader until `shutdown`.
    ///
    /// # Errors
    /// When the API answers and the definitions are not there.
    pub(super) async fn run(
        self,
        controllers: Controllers,
        readiness: Readiness,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            found = self.wait_for_definitions() => found?,
        }
        readiness.set(true);
        let candidate = Candidate::new(
            self.client.clone(),
            &self.namespace,
            self.identity,
            self.settings.lease,
            controllers.clock.clone(),
            controllers.entropy.clone(),
            self.metrics,
        );
        let client = self.client;
        let work = move |term: Term| controllers.run(&term.fence(&client), term.stop().clone());
        candidate.run(Arc::new(work), shutdown).await;
        Ok(())
    }

    /// Looks at the definitions until the API has told about all.
    async fn wait_for_definitions(&self) -> anyhow::Result<()> {
        let mut failures = 0;
        loop {
            match definitions::check(&self.client).await {
                Ok(found) => {
                    if let Some(message) = found.unfit() {
                        bail!(message);
                    }
                    if let Some(message) = found.different() {
                        tracing::warn!("{message}");
                    }
                    return Ok(());
                }
                Err(error) => {
                    let pause = backoff(failures, u8::MAX).min(LONGEST_PAUSE);
                    failures += 1;
                    tracing::warn!(
                        kubernetes.url = self.url,
                        error = %Chain(&error),
                        retry_seconds = pause.as_secs_f32(),
                        "the Kubernetes API did not tell about Provost's definitions; devices are served meanwhile"
                    );
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

/// The name of the computer; in a pod, that of the pod.
fn host_name() -> String {
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|file| std::fs::read_to_string(Path::new(file)).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "provost".to_owned())
}
