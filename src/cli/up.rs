//! `provost up`: everything in one process.

use std::net::SocketAddr;
use std::process::ExitCode;

use crate::app::{Kubernetes, Server};

use super::print;
use super::server::{self, ServerArgs};

/// Options of `provost up`.
#[derive(Debug, clap::Args)]
pub(super) struct UpArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Where kubectl comes (TLS; a client certificate or a token of a service account).
    #[arg(
        long,
        value_name = "ADDR",
        env = "PROVOST_API_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:6443"
    )]
    api_listen: SocketAddr,
}

pub(super) async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let kubernetes = Kubernetes::Embedded {
        listen: args.api_listen,
    };
    server::run(args.server.settings(kubernetes)?, advise).await
}

fn advise(server: &Server) {
    if let Some(kubeconfig) = server.kubeconfig() {
        print::note(&format!("kubectl:   export KUBECONFIG={}", kubeconfig.display()));
    }
    server::advise_invitation(server);
}
