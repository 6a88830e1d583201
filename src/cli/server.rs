//! What `provost up` and `provost serve` have in common: their options, and running until they are told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use http::HeaderName;

use super::place::Place;
use super::print;
use super::schema::AppleSchemaArgs;
use super::stop::Stop;
use crate::app::evidence::NAMESPACE;
use crate::app::{
    EnqueueSettings, EvidenceSettings, Kubernetes, ProxySettings, PushFiles, PushService, PushSettings,
    Server, Settings,
};
use crate::clock::{SystemClock, SystemEntropy};
use crate::controllers::duration;
use crate::enrollment::Dialect;
use crate::ids::Namespace;
use crate::mdm::proxy::{Network, Proxies};
use crate::secret::Secret;

/// Options of every server.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    schema: AppleSchemaArgs,
    /// Where devices come (TLS). Port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDR",
        env = "PROVOST_MDM_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:8443"
    )]
    mdm_listen: SocketAddr,
    /// Where proxies come in which the devices' TLS ends (plain HTTP). They say in a header whose client certificate they have seen, and have to
    /// strip that header from what they are sent. Requests that do not come from --mdm-proxy-trust are refused.
    #[arg(
        long,
        value_name = "ADDR",
        env = "PROVOST_MDM_PROXY_LISTEN",
        hide_env_values = true,
        requires = "mdm_proxy_trust"
    )]
    mdm_proxy_listen: Option<SocketAddr>,
    /// The header that holds the client certificate: as `:base64 of DER:` (RFC 9440), or as PEM with percent escapes, such as nginx writes as
    /// `$ssl_client_escaped_cert`.
    #[arg(
        long,
        value_name = "NAME",
        env = "PROVOST_MDM_PROXY_HEADER",
        hide_env_values = true,
        default_value = "Client-Cert"
    )]
    mdm_proxy_header: HeaderName,
    /// The networks that the proxies come from, such as 10.0.0.0/8,192.0.2.7.
    #[arg(
        long,
        value_name = "CIDR",
        env = "PROVOST_MDM_PROXY_TRUST",
        hide_env_values = true,
        value_delimiter = ',',
        requires = "mdm_proxy_listen"
    )]
    mdm_proxy_trust: Vec<Network>,
    /// The certificates of a former device authority, PEM, as often as there are some: devices that were enrolled by another server keep the identity
    /// that it has issued. What it issues enrols nobody here.
    #[arg(
        long,
        value_name = "FILE",
        env = "PROVOST_DEVICE_CA",
        hide_env_values = true,
        value_delimiter = ','
    )]
    device_ca: Vec<PathBuf>,
    /// Accept messages that are signed by way of SHA-1, for devices that know nothing better.
    #[arg(long, env = "PROVOST_MDM_ALLOW_SHA1", hide_env_values = true)]
    mdm_allow_sha1: bool,
    /// Where probes and Prometheus come (plain HTTP, nothing secret).
    #[arg(
        long,
        value_name = "ADDR",
        env = "PROVOST_ADMIN_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:9443"
    )]
    admin_listen: SocketAddr,
    /// How devices reach --mdm-listen, such as `https://mdm.example.com`. It is part of every enrolment: choose it once.
    /// Without it, devices on this computer only.
    #[arg(long, value_name = "URL", env = "PROVOST_PUBLIC_URL", hide_env_values = true)]
    public_url: Option<String>,
    /// The MDM push certificate from Apple, PEM; given more than once, the first is for new enrolments and the others are for devices that were
    /// enrolled with their topics. A renewed one is taken within a minute. Those that `provost push certificate` has installed in the data
    /// directory need no option. Without any, devices are not woken: they come by themselves.
    #[arg(
        long,
        value_name = "FILE",
        env = "PROVOST_APNS_CERT",
        hide_env_values = true,
        value_delimiter = ',',
        requires = "apns_key"
    )]
    apns_cert: Vec<PathBuf>,
    /// The key of the push certificate, PKCS#8 PEM; as often as --apns-cert.
    #[arg(
        long,
        value_name = "FILE",
        env = "PROVOST_APNS_KEY",
        hide_env_values = true,
        value_delimiter = ',',
        requires = "apns_cert"
    )]
    apns_key: Vec<PathBuf>,
    /// Another address of the push service than Apple's, such as an egress proxy: https://host:port.
    #[arg(
        long,
        value_name = "URL",
        env = "PROVOST_APNS_URL",
        hide_env_values = true,
        requires = "apns_ca"
    )]
    apns_url: Option<String>,
    /// The certificates that may vouch for --apns-url, PEM.
    #[arg(
        long,
        value_name = "FILE",
        env = "PROVOST_APNS_CA",
        hide_env_values = true,
        requires = "apns_url"
    )]
    apns_ca: Option<PathBuf>,
    /// Manage the network and mobile users of Macs too, without asking them for a password: whoever may sign in to the Mac is
    /// managed. Without it they are declined; users of the Mac itself always are managed.
    #[arg(long, env = "PROVOST_ACCEPT_NETWORK_USERS", hide_env_values = true)]
    accept_network_users: bool,
    /// Accept SHA-1 and single DES in SCEP, for clients that know nothing better. Apple's devices do not need it.
    #[arg(long, env = "PROVOST_SCEP_LEGACY", hide_env_values = true)]
    scep_legacy: bool,
    /// How often each device is asked for evidence, such as 15m or 1h.
    #[arg(
        long,
        value_name = "DURATION",
        env = "PROVOST_EVIDENCE_INTERVAL",
        hide_env_values = true,
        default_value = "1h"
    )]
    evidence_interval: String,
    /// Where people are told the evidence about each rule, as `kubectl provost why` asks for it (TLS; by the credentials and rights
    /// that they have for the Kubernetes API). Without it they are told nowhere but in the status of devices.
    #[arg(
        long,
        value_name = "ADDR",
        env = "PROVOST_EVIDENCE_LISTEN",
        hide_env_values = true
    )]
    evidence_listen: Option<SocketAddr>,
    /// How people reach --evidence-listen, such as `https://provost.example.com:8444`. Without it: by a port-forward.
    #[arg(
        long,
        value_name = "URL",
        env = "PROVOST_EVIDENCE_URL",
        hide_env_values = true,
        requires = "evidence_listen"
    )]
    evidence_url: Option<String>,
    /// The namespace of the ConfigMap that says where evidence is told.
    #[arg(
        long,
        value_name = "NAME",
        env = "PROVOST_EVIDENCE_NAMESPACE",
        hide_env_values = true,
        default_value = NAMESPACE,
        value_parser = Namespace::parse
    )]
    evidence_namespace: Namespace,
    /// Where scripts bring raw commands (plain HTTP; `PUT /v1/enqueue/ID,ID…`, as NanoMDM takes them; user `nanomdm` and the key). Whoever holds the key
    /// may send every command to every device: let nobody reach it from outside. Without it: nowhere.
    #[arg(
        long,
        value_name = "ADDR",
        env = "PROVOST_ENQUEUE_API_LISTEN",
        hide_env_values = true,
        requires = "enqueue_api_key_file"
    )]
    enqueue_api_listen: Option<SocketAddr>,
    /// The file that holds the key of --enqueue-api-listen, at least 16 characters.
    #[arg(
        long,
        value_name = "FILE",
        env = "PROVOST_ENQUEUE_API_KEY_FILE",
        hide_env_values = true,
        requires = "enqueue_api_listen"
    )]
    enqueue_api_key_file: Option<PathBuf>,
}

impl ServerArgs {
    /// The settings of a server with these options.
    pub(super) fn settings(self, kubernetes: Kubernetes) -> anyhow::Result<Settings> {
        self.schema.put_in_force()?;
        anyhow::ensure!(
            self.apns_cert.len() == self.apns_key.len(),
            "--apns-cert and --apns-key: give as many keys as certificates, in the same order"
        );
        let files = self.apns_cert.into_iter().zip(self.apns_key);
        let push = PushSettings {
            service: match (self.apns_url, self.apns_ca) {
                (Some(url), Some(ca)) => PushService::Custom {
                    url,
                    ca_pem: read(&ca)?,
                },
                _ => PushService::Apple,
            },
            certificates: files
                .map(|(certificate, key)| PushFiles { certificate, key })
                .collect(),
        };
        let enqueue = match (self.enqueue_api_listen, &self.enqueue_api_key_file) {
            (Some(listen), Some(key)) => Some(EnqueueSettings {
                listen,
                key: Secret::new(read(key).context("--enqueue-api-key-file")?),
            }),
            _ => None,
        };
        let former = self.device_ca.iter().map(|path| certificates(path));
        Ok(Settings {
            former_device_authorities: former.collect::<Result<Vec<_>, _>>()?.join("\n"),
            sha1_signatures: self.mdm_allow_sha1,
            proxies: self.mdm_proxy_listen.map(|listen| ProxySettings {
                listen,
                proxies: Proxies {
                    header: self.mdm_proxy_header,
                    trusted: self.mdm_proxy_trust,
                },
            }),
            data_dir: self.place.data_dir,
            mdm_listen: self.mdm_listen,
            kubernetes,
            admin_listen: self.admin_listen,
            public_url: self.public_url,
            push,
            accept_network_users: self.accept_network_users,
            scep: if self.scep_legacy {
                Dialect::Legacy
            } else {
                Dialect::Strict
            },
            evidence_interval: length("--evidence-interval", &self.evidence_interval)?,
            evidence: self.evidence_listen.map(|listen| EvidenceSettings {
                listen,
                url: self.evidence_url,
                namespace: self.evidence_namespace.into(),
            }),
            enqueue,
        })
    }
}

/// Reads a duration that is longer than nothing.
pub(super) fn length(option: &str, text: &str) -> anyhow::Result<std::time::Duration> {
    duration::parse(text)
        .filter(|length| !length.is_zero())
        .with_context(|| format!("{option} {text}: write a duration such as 15m or 1h"))
}

/// Runs a server until it is told to stop, or a part of it ends. Prints one line when it is ready, and then what `advise` says.
pub(super) async fn run(settings: Settings, advise: fn(&Server)) -> anyhow::Result<ExitCode> {
    // Before anything is started, so that no signal is missed.
    let mut stop = Stop::listen()?;
    let server = Server::start(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).await?;
    let mut told = false;
    loop {
        tokio::select! {
            () = server.ready(), if !told => {
                told = true;
                print::out(&format!("{}\n", server.ready_line()))?;
                advise(&server);
                if !server.wakes_devices() {
                    advise_push();
                }
            }
            () = stop.wait() => break,
            ended = server.ended() => {
                server.stop().await;
                return Err(ended);
            }
        }
    }
    tracing::info!("stopping");
    server.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn advise_push() {
    print::note(
        "push:      no push certificate. Devices enrol, poll and report, but are not woken: a change reaches them when they next come by themselves.",
    );
    print::note(
        "           To wake them, get an MDM push certificate from Apple: `provost push certificate request --help` says how. One made elsewhere is given by --apns-cert FILE --apns-key FILE.",
    );
}

/// Says how devices are invited.
pub(super) fn advise_invitation(server: &Server) {
    print::note(&format!(
        "invite:    provost enroll invite --data-dir {} --namespace default",
        server.data_dir().display()
    ));
}

/// Reads a file of certificates in PEM.
fn certificates(path: &Path) -> anyhow::Result<String> {
    let pem = read(path)?;
    anyhow::ensure!(
        pem.contains("-----BEGIN CERTIFICATE-----"),
        "--device-ca {}: there is no certificate in it; give PEM",
        path.display()
    );
    Ok(pem)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}
