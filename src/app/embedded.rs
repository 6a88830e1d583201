//! The embedded Kubernetes API: opened, filled with the definitions, and served for kubectl.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use kube::Client;

use crate::clock::{Clock, Entropy};
use crate::kubeapi::{self, KubeApi, kubeconfig};
use crate::listener::ConnectionMetrics;
use crate::pki::Sealer;

use super::data_dir::DataDir;
use super::install;
use super::listen::Tasks;

/// A Kubernetes API in this process.
pub(super) struct Embedded {
    pub(super) api: KubeApi,
    /// As administrator, without a socket between.
    pub(super) client: Client,
    /// Where kubectl comes.
    pub(super) url: String,
    /// What vouches for it and for those who come with a client certificate, PEM.
    pub(super) authority: String,
}

/// Serves the API on `listen`, and writes the administrator's kubeconfig.
pub(super) async fn serve(
    data_dir: &DataDir,
    listen: SocketAddr,
    sealer: Arc<dyn Sealer>,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
    connections: ConnectionMetrics,
    tasks: &Tasks,
) -> anyhow::Result<Embedded> {
    let api = KubeApi::open(kubeapi::Options {
        path: data_dir.kubernetes(),
        sealer,
        clock: clock.clone(),
        entropy: entropy.clone(),
        limits: kubeapi::storage::Limits::default(),
    })
    .await?;
    let client = api.client("default");
    install::definitions(&client).await?;
    install::cluster_roles(&client).await?;
    let keys = data_dir.keys().join("kubernetes");
    let served = kubeapi::serve::serve(&api, listen, &keys, connections, tasks.shutdown())
        .await
        .context("--api-listen")?;
    kubeconfig::write(&data_dir.kubeconfig(), &served.access)?;
    tasks.serving("the Kubernetes API", served.server);
    Ok(Embedded {
        api,
        client,
        url: served.access.server,
        authority: served.access.authority,
    })
}
