//! The embedded API on a socket, in this process, without controllers: what a request gets is the API's own answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use kube::Client;
use provost::clock::{SystemClock, SystemEntropy};
use provost::kubeapi::{KubeApi, Options, kubeconfig, serve, storage};
use provost::pki::KeyFile;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;

use super::client;

/// A served embedded API.
pub(crate) struct EmbeddedApi {
    pub(crate) api: KubeApi,
    _shutdown: DropGuard,
    /// Goes last: the database is in it.
    dir: TempDir,
}

impl EmbeddedApi {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sealer = KeyFile::open(&dir.path().join("seal.key"), SystemEntropy).unwrap();
        let api = KubeApi::open(Options {
            path: dir.path().join("kubernetes.db"),
            sealer: Arc::new(sealer),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            limits: storage::Limits::default(),
        })
        .await
        .unwrap();
        let shutdown = CancellationToken::new();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let keys = dir.path().join("keys");
        let served = serve::serve(&api, address, &keys, shutdown.clone())
            .await
            .unwrap();
        kubeconfig::write(&dir.path().join("kubeconfig"), &served.access).unwrap();
        Self {
            api,
            _shutdown: shutdown.drop_guard(),
            dir,
        }
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// A client as administrator.
    pub(crate) async fn client(&self) -> Client {
        client(&self.kubeconfig()).await
    }

    /// A folder for the story's own use.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for EmbeddedApi {
    fn drop(&mut self) {
        self.api.stop();
    }
}
