//! The Kubernetes API that a server works with: its own, or that of a cluster.

use std::sync::Arc;

use kube::Client;
use tokio::sync::watch;

use crate::clock::{Clock, Entropy};
use crate::controllers::push_certificate;
use crate::kubeapi::KubeApi;
use crate::listener::ConnectionMetrics;
use crate::pki::Sealer;
use crate::push::HeldCertificate;
use crate::telemetry::cluster::ClusterMetrics;

use super::admin_http::Readiness;
use super::cluster::Cluster;
use super::control::Controllers;
use super::data_dir::DataDir;
use super::embedded::{self, Embedded};
use super::evidence::NAMESPACE;
use super::listen::Tasks;
use super::settings::Kubernetes;

/// A Kubernetes API.
pub(super) enum Plane {
    /// In this process; it is served.
    Embedded(Embedded),
    /// Elsewhere; it has not been called yet.
    Cluster(Box<Cluster>),
}

/// What both sorts are opened with.
pub(super) struct Ground<'a> {
    pub(super) data_dir: &'a DataDir,
    pub(super) sealer: Arc<dyn Sealer>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) entropy: &'a Arc<dyn Entropy>,
    /// The gauges of a cluster.
    pub(super) gauges: Option<ClusterMetrics>,
    pub(super) connections: ConnectionMetrics,
    pub(super) tasks: &'a Tasks,
}

impl Plane {
    /// Opens the embedded API, or finds out where the cluster is.
    pub(super) async fn open(settings: &Kubernetes, ground: Ground<'_>) -> anyhow::Result<Self> {
        match settings {
            Kubernetes::Embedded { listen } => {
                let (clock, entropy) = (ground.clock, ground.entropy);
                embedded::serve(
                    ground.data_dir,
                    *listen,
                    ground.sealer,
                    clock,
                    entropy,
                    ground.connections,
                    ground.tasks,
                )
                .await
                .map(Self::Embedded)
            }
            Kubernetes::Cluster(settings) => {
                let gauges = ground.gauges.unwrap_or_default();
                let cluster = Cluster::find(settings, ground.entropy.as_ref(), gauges).await?;
                Ok(Self::Cluster(Box::new(cluster)))
            }
        }
    }

    pub(super) fn client(&self) -> Client {
        match self {
            Self::Embedded(embedded) => embedded.client.clone(),
            Self::Cluster(cluster) => cluster.client.clone(),
        }
    }

    /// The authority of client certificates, PEM, where it is known: that of the embedded API.
    pub(super) fn client_authority(&self) -> Option<String> {
        match self {
            Self::Embedded(embedded) => Some(embedded.authority.clone()),
            Self::Cluster(_) => None,
        }
    }

    /// Where it is told how the push certificates stand: in the server's own namespace.
    pub(super) fn tells_of(&self, held: watch::Receiver<Vec<HeldCertificate>>) -> push_certificate::Settings {
        let (namespace, make_namespace) = match self {
            Self::Embedded(_) => (NAMESPACE.to_owned(), true),
            Self::Cluster(cluster) => (cluster.namespace.clone(), false),
        };
        push_certificate::Settings {
            namespace,
            make_namespace,
            held,
        }
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Embedded(embedded) => embedded.url.clone(),
            Self::Cluster(cluster) => cluster.url.clone(),
        }
    }

    /// Starts the controllers: at once on the embedded API, when it is this replica's turn on a cluster. Gives the API that has to be stopped.
    pub(super) fn govern(
        self,
        controllers: Controllers,
        readiness: &Readiness,
        tasks: &Tasks,
    ) -> Option<KubeApi> {
        match self {
            Self::Embedded(embedded) => {
                for (name, controller) in controllers.each(&embedded.client, &tasks.shutdown()) {
                    tasks.run(name, controller);
                }
                readiness.set(true);
                Some(embedded.api)
            }
            Self::Cluster(cluster) => {
                let control = cluster.run(controllers, readiness.clone(), tasks.shutdown());
                tasks.serving("the control plane", tokio::spawn(control));
                None
            }
        }
    }
}
