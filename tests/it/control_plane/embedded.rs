//! The embedded API on a socket, in this process, without controllers: what a request gets is the API's own answer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use kube::Client;
use provost::clock::{SystemClock, SystemEntropy};
use provost::kubeapi::{KubeApi, Options, kubeconfig, serve, storage};
use provost::listener::ConnectionMetrics;
use provost::pki::KeyFile;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::client;

/// A served embedded API.
pub(crate) struct EmbeddedApi {
    pub(crate) api: KubeApi,
    limits: storage::Limits,
    served: Option<Served>,
    port: u16,
    /// Goes last: the database is in it.
    dir: TempDir,
}

/// What listens.
struct Served {
    server: JoinHandle<io::Result<()>>,
    shutdown: DropGuard,
}

impl EmbeddedApi {
    pub(crate) async fn start() -> Self {
        Self::start_with(storage::Limits::default()).await
    }

    /// With limits of its own, such as a short memory of changes.
    pub(crate) async fn start_with(limits: storage::Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut embedded = Self {
            api: open(&dir, limits).await,
            limits,
            served: None,
            port: 0,
            dir,
        };
        embedded.serve().await;
        embedded
    }

    /// Stops listening. Calls inside this process ([`Self::inside`]) go on.
    pub(crate) async fn silence(&mut self) {
        let served = self.served.take().expect("it listens");
        drop(served.shutdown);
        served.server.await.unwrap().unwrap();
    }

    /// Listens, on the same port as before.
    pub(crate) async fn serve(&mut self) {
        let shutdown = CancellationToken::new();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let keys = self.dir.path().join("keys");
        let connections = ConnectionMetrics::default();
        let serving = serve::serve(&self.api, address, &keys, connections, shutdown.clone())
            .await
            .unwrap();
        kubeconfig::write(&self.kubeconfig(), &serving.access).unwrap();
        self.port = serving.address.port();
        self.served = Some(Served {
            server: serving.server,
            shutdown: shutdown.drop_guard(),
        });
    }

    /// Closes it and opens it again on its database and port, as a restart of the program does. Certificates are made anew: clients
    /// that have read the old kubeconfig keep theirs.
    pub(crate) async fn restart(&mut self) {
        self.api.stop();
        self.silence().await;
        self.api = open(&self.dir, self.limits).await;
        self.serve().await;
    }

    /// A client inside this process.
    pub(crate) fn inside(&self) -> Client {
        self.api.client("default")
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

async fn open(dir: &TempDir, limits: storage::Limits) -> KubeApi {
    let sealer = KeyFile::open(&dir.path().join("seal.key"), SystemEntropy).unwrap();
    KubeApi::open(Options {
        path: dir.path().join("kubernetes.db"),
        sealer: Arc::new(sealer),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        limits,
    })
    .await
    .unwrap()
}
