//! How the program is set: plain data, whatever it was read from.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::controllers::git_source::apple_schema::SchemaSource;
use crate::controllers::leader::Timing;
use crate::enrollment::Dialect;
use crate::mdm::proxy::Proxies;
use crate::secret::Secret;

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where devices come.
    pub mdm_listen: SocketAddr,
    /// The Kubernetes API to work with.
    pub kubernetes: Kubernetes,
    /// Where probes and Prometheus come.
    pub admin_listen: SocketAddr,
    /// How devices reach `mdm_listen`, such as `https://mdm.example.com`. None: `https://localhost` and the port.
    pub public_url: Option<String>,
    /// Where devices come whose TLS ends at a proxy. None: nowhere.
    pub proxies: Option<ProxySettings>,
    /// The certificates of former device authorities, PEM: devices keep what those have issued.
    pub former_device_authorities: String,
    /// Whether messages may be signed by way of SHA-1.
    pub sha1_signatures: bool,
    /// The GitSource that may bring Apple's schema. None: no GitSource may.
    pub apple_schema_source: Option<SchemaSource>,
    /// How devices are woken.
    pub push: PushSettings,
    /// Whether network and mobile users of Macs are managed.
    pub accept_network_users: bool,
    /// Which algorithms devices may use to ask for their identity.
    pub scep: Dialect,
    /// How often each device is asked for evidence.
    pub evidence_interval: Duration,
    /// Where people are told the evidence about each rule. None: nowhere.
    pub evidence: Option<EvidenceSettings>,
    /// Where scripts bring raw commands. None: nowhere.
    pub enqueue: Option<EnqueueSettings>,
}

/// Where scripts bring raw commands.
#[derive(Debug, Clone)]
pub struct EnqueueSettings {
    /// Where they come, over plain HTTP.
    pub listen: SocketAddr,
    /// The key that they show, as it stands in its file.
    pub key: Secret<String>,
}

/// Where devices come whose TLS ends at a proxy.
#[derive(Debug, Clone)]
pub struct ProxySettings {
    /// Where the proxies come, over plain HTTP.
    pub listen: SocketAddr,
    /// Who they are, and where they say whose certificate they have seen.
    pub proxies: Proxies,
}

/// How people are told the evidence about each rule.
#[derive(Debug, Clone)]
pub struct EvidenceSettings {
    /// Where they come.
    pub listen: SocketAddr,
    /// How they reach it, such as `https://provost.example.com:8444`. None: `https://localhost` and the port.
    pub url: Option<String>,
    /// The namespace in which the address is published.
    pub namespace: String,
}

/// The Kubernetes API to work with.
#[derive(Debug, Clone)]
pub enum Kubernetes {
    /// One in this process, with its database in the data directory.
    Embedded {
        /// Where kubectl comes.
        listen: SocketAddr,
    },
    /// That of a cluster.
    Cluster(ClusterSettings),
}

/// How to find a cluster, and one's place in it.
#[derive(Debug, Clone, Default)]
pub struct ClusterSettings {
    /// The kubeconfig to use. None: `KUBECONFIG`, then the service account of a pod, then `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig. None: its current one.
    pub context: Option<String>,
    /// The namespace of the lease. None: that of the pod, or of the context.
    pub namespace: Option<String>,
    /// The name of the pod, for the lease. None: that of the computer.
    pub pod_name: Option<String>,
    /// How long things take in the election of a leader.
    pub lease: Timing,
}

/// How devices are woken. Push certificates are also looked for in the folder `push` of the data directory.
#[derive(Debug, Clone, Default)]
pub struct PushSettings {
    /// The push service.
    pub service: PushService,
    /// Files with push certificates. The first is for new enrolments; each of the others for devices that were enrolled with its topic.
    pub certificates: Vec<PushFiles>,
}

/// A push service.
#[derive(Debug, Clone, Default)]
pub enum PushService {
    /// Apple's.
    #[default]
    Apple,
    /// One at another address.
    Custom {
        /// `https://host:port`.
        url: String,
        /// The certificates that may vouch for it, PEM.
        ca_pem: String,
    },
}

/// Where a push certificate and its key are. They are read again while the server runs, so that a renewed one is taken.
#[derive(Debug, Clone)]
pub struct PushFiles {
    /// The certificate and its chain, PEM.
    pub certificate: PathBuf,
    /// The key, PKCS#8 PEM.
    pub key: PathBuf,
}

impl Settings {
    /// Everything on free ports of the loopback interface.
    #[must_use]
    pub fn embedded(data_dir: PathBuf) -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            data_dir,
            mdm_listen: loopback,
            apple_schema_source: None,
            kubernetes: Kubernetes::Embedded { listen: loopback },
            admin_listen: loopback,
            public_url: None,
            proxies: None,
            former_device_authorities: String::new(),
            sha1_signatures: false,
            push: PushSettings::default(),
            accept_network_users: false,
            scep: Dialect::Strict,
            evidence_interval: Duration::from_hours(1),
            evidence: None,
            enqueue: None,
        }
    }
}
