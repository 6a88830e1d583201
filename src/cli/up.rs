//! `provost up`: everything in one process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{PushCredentials, PushSettings, Server, Settings};
use crate::clock::{SystemClock, SystemEntropy};
use crate::controllers::duration;
use crate::secret::Secret;

/// Options of `provost up`.
#[derive(Debug, clap::Args)]
pub(super) struct UpArgs {
    /// Where everything is kept: databases, keys, clones of git repositories, the kubeconfig.
    #[arg(
        long,
        value_name = "DIR",
        env = "PROVOST_DATA_DIR",
        hide_env_values = true,
        default_value = "provost-data"
    )]
    data_dir: PathBuf,
    /// Where devices come (TLS). Port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    mdm_listen: SocketAddr,
    /// Where kubectl comes (TLS; a client certificate or a token of a service account).
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6443")]
    api_listen: SocketAddr,
    /// Where probes and Prometheus come (plain HTTP, nothing secret).
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9443")]
    admin_listen: SocketAddr,
    /// How devices reach --mdm-listen, such as `https://mdm.example.com`. It is part of every enrolment: choose it once.
    /// Without it, devices on this computer only.
    #[arg(long, value_name = "URL", env = "PROVOST_PUBLIC_URL", hide_env_values = true)]
    public_url: Option<String>,
    /// The MDM push certificate from Apple, PEM. Without it devices are not woken: they come by themselves.
    #[arg(long, value_name = "FILE", requires = "apns_key")]
    apns_cert: Option<PathBuf>,
    /// The key of the push certificate, PKCS#8 PEM.
    #[arg(long, value_name = "FILE", requires = "apns_cert")]
    apns_key: Option<PathBuf>,
    /// Another address of the push service than Apple's, such as an egress proxy: https://host:port.
    #[arg(long, value_name = "URL", requires = "apns_ca")]
    apns_url: Option<String>,
    /// The certificates that may vouch for --apns-url, PEM.
    #[arg(long, value_name = "FILE", requires = "apns_url")]
    apns_ca: Option<PathBuf>,
    /// How often each device is asked for evidence, such as 15m or 1h.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    evidence_interval: String,
}

pub(super) async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    // Before anything is started, so that no signal is missed.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let settings = settings(args)?;
    let push = matches!(settings.push, PushSettings::None);
    let server = Server::start(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).await?;
    println!("{}", server.ready_line());
    advise(&server, push);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = server.ended() => {
            server.stop().await;
            return Err(ended.context("a part of the server ended by itself"));
        }
    }
    tracing::info!("stopping");
    server.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn advise(server: &Server, without_push: bool) {
    eprintln!("kubectl:   export KUBECONFIG={}", server.kubeconfig().display());
    eprintln!(
        "invite:    provost enroll invite --data-dir {} --namespace default",
        server.data_dir().display()
    );
    if without_push {
        eprintln!(
            "push:      no push certificate. Devices enrol, poll and report, but are not woken: a change reaches them when they next come by themselves."
        );
        eprintln!(
            "           To wake them, get an MDM push certificate from Apple (identity.apple.com/pushcert) and restart with --apns-cert FILE --apns-key FILE."
        );
    }
}

fn settings(args: UpArgs) -> anyhow::Result<Settings> {
    let certificate = match (&args.apns_cert, &args.apns_key) {
        (Some(certificate), Some(key)) => Some(PushCredentials {
            certificate_pem: read(certificate)?,
            key_pem: Secret::new(read(key)?),
        }),
        _ => None,
    };
    let push = match (args.apns_url, args.apns_ca, certificate) {
        (Some(url), Some(ca), certificate) => PushSettings::Custom {
            url,
            ca_pem: read(&ca)?,
            certificate,
        },
        (_, _, Some(certificate)) => PushSettings::Apple { certificate },
        _ => PushSettings::None,
    };
    Ok(Settings {
        data_dir: args.data_dir,
        mdm_listen: args.mdm_listen,
        api_listen: args.api_listen,
        admin_listen: args.admin_listen,
        public_url: args.public_url,
        push,
        evidence_interval: duration::parse(&args.evidence_interval)
            .filter(|interval| !interval.is_zero())
            .with_context(|| {
                format!(
                    "--evidence-interval {}: write a duration such as 15m or 1h",
                    args.evidence_interval
                )
            })?,
    })
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}
