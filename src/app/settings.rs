//! How the program is set: plain data, whatever it was read from.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where devices come.
    pub mdm_listen: SocketAddr,
    /// Where kubectl comes.
    pub api_listen: SocketAddr,
    /// Where probes and Prometheus come.
    pub admin_listen: SocketAddr,
    /// How devices reach `mdm_listen`, such as `https://mdm.example.com`. None: `https://localhost` and the port.
    pub public_url: Option<String>,
    /// How devices are woken.
    pub push: PushSettings,
    /// How often each device is asked for evidence.
    pub evidence_interval: Duration,
}

/// How devices are woken.
#[derive(Debug, Clone)]
pub enum PushSettings {
    /// They are not: they come by themselves.
    None,
    /// By Apple's push service.
    Apple {
        /// The push certificate.
        certificate: PushCredentials,
    },
    /// By a push service at another address.
    Custom {
        /// `https://host:port`.
        url: String,
        /// The certificates that may vouch for it, PEM.
        ca_pem: String,
        /// The push certificate.
        certificate: Option<PushCredentials>,
    },
}

/// A push certificate with its key.
#[derive(Debug, Clone)]
pub struct PushCredentials {
    /// The certificate and its chain, PEM.
    pub certificate_pem: String,
    /// The key, PKCS#8 PEM.
    pub key_pem: Secret<String>,
}

impl Settings {
    /// Everything on free ports of the loopback interface.
    #[must_use]
    pub fn embedded(data_dir: PathBuf) -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            data_dir,
            mdm_listen: loopback,
            api_listen: loopback,
            admin_listen: loopback,
            public_url: None,
            push: PushSettings::None,
            evidence_interval: Duration::from_hours(1),
        }
    }
}
