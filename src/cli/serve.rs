//! `provost serve`: on a cluster, or against one.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::app::{ClusterSettings, Kubernetes};
use crate::controllers::leader::Timing;

use super::server::{self, ServerArgs, length};

/// Options of `provost serve`.
///
/// The definitions have to be there: `provost crd | kubectl apply --server-side -f -`. Everything else is kept in the data directory, on a volume that one
/// pod has at a time.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The kubeconfig of the cluster. Without it: the files that KUBECONFIG names, the service account of the pod, ~/.kube/config.
    #[arg(long, value_name = "FILE", env = "PROVOST_KUBECONFIG", hide_env_values = true)]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig, if not its current one.
    #[arg(long, value_name = "NAME", env = "PROVOST_CONTEXT", hide_env_values = true)]
    context: Option<String>,
    /// The namespace of the lease. Without it: that of the pod, or of the context.
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE", hide_env_values = true)]
    namespace: Option<String>,
    /// The name of the pod, to tell replicas apart. Without it: the name of the computer.
    #[arg(long, value_name = "NAME", env = "POD_NAME", hide_env_values = true)]
    pod_name: Option<String>,
    /// For how long a lease that is not renewed is respected; whole seconds.
    #[arg(
        long,
        value_name = "DURATION",
        env = "PROVOST_LEASE_DURATION",
        default_value = "15s",
        hide = true
    )]
    lease_duration: String,
    /// After how long without a renewal the leader stops.
    #[arg(
        long,
        value_name = "DURATION",
        env = "PROVOST_LEASE_RENEW_DEADLINE",
        default_value = "10s",
        hide = true
    )]
    lease_renew_deadline: String,
    /// The pause between two attempts to get or to renew the lease.
    #[arg(
        long,
        value_name = "DURATION",
        env = "PROVOST_LEASE_RETRY_PERIOD",
        default_value = "2s",
        hide = true
    )]
    lease_retry_period: String,
}

pub(super) async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let lease = Timing {
        lease: length("--lease-duration", &args.lease_duration)?,
        renew_deadline: length("--lease-renew-deadline", &args.lease_renew_deadline)?,
        retry: length("--lease-retry-period", &args.lease_retry_period)?,
    };
    let cluster = ClusterSettings {
        kubeconfig: args.kubeconfig,
        context: args.context,
        namespace: args.namespace,
        pod_name: args.pod_name,
        lease: lease.check().map_err(anyhow::Error::msg)?,
    };
    let settings = args.server.settings(Kubernetes::Cluster(cluster))?;
    server::run(settings, server::advise_invitation).await
}
