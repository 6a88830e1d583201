//! Addresses, and the tasks behind them.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admin_http;
use crate::listener::{ConnectionMetrics, Limits, Listener};

/// How long tasks may take to stop before they are left behind.
const GRACE: Duration = Duration::from_secs(15);

/// Probes and Prometheus come often, each for one short answer.
const ADMIN_LIMITS: Limits = Limits {
    connections: 500,
    handshake: Duration::from_secs(10),
    idle: Duration::from_secs(30),
    streams: 8,
    grace: Duration::from_secs(2),
};

/// Everything that runs until the server stops.
pub(super) struct Tasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
    failed: mpsc::Sender<anyhow::Error>,
    failures: Mutex<mpsc::Receiver<anyhow::Error>>,
}

impl Default for Tasks {
    fn default() -> Self {
        let (failed, failures) = mpsc::channel(16);
        Self {
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            failed,
            failures: Mutex::new(failures),
        }
    }
}

impl Tasks {
    /// A token that tells tasks to stop.
    pub(super) fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Runs a task. That it ends before it is told to is a failure of the server.
    pub(super) fn run(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let task = async {
            task.await;
            io::Result::Ok(())
        };
        self.serving(name, tokio::spawn(task));
    }

    /// Watches over a task that runs already.
    pub(super) fn serving<E>(&self, name: &'static str, task: JoinHandle<Result<(), E>>)
    where
        E: Into<anyhow::Error> + Send + 'static,
    {
        let (shutdown, failed) = (self.shutdown.clone(), self.failed.clone());
        self.tracker.spawn(async move {
            let error = match task.await {
                Ok(Ok(())) if shutdown.is_cancelled() => return,
                Ok(Ok(())) => anyhow::anyhow!("it ended by itself"),
                Ok(Err(error)) => error.into(),
                Err(error) => error.into(),
            };
            // Nobody listens any more once the server stops.
            let _ = failed.send(error.context(name)).await;
        });
    }

    /// Serves probes and metrics on an address. Gives the address with the port that was chosen.
    pub(super) fn admin(
        &self,
        address: SocketAddr,
        router: Router,
        connections: ConnectionMetrics,
    ) -> anyhow::Result<SocketAddr> {
        let listener = Listener::new("admin", ADMIN_LIMITS, connections);
        let serving = listener.http(router, bind(address)?, self.shutdown())?;
        self.serving("the admin endpoint", serving.task);
        Ok(serving.address)
    }

    /// Serves plain HTTP on a socket file.
    pub(super) fn unix(&self, path: &Path, router: Router) -> anyhow::Result<()> {
        let listener = admin_http::bind_socket(path)
            .with_context(|| format!("the socket {} cannot be made", path.display()))?;
        let serve = axum::serve(listener, router).with_graceful_shutdown(self.shutdown().cancelled_owned());
        self.serving("the admin socket", tokio::spawn(serve.into_future()));
        Ok(())
    }

    /// Waits until a task ends that should not.
    pub(super) async fn ended(&self) -> anyhow::Error {
        let failure = self.failures.lock().await.recv().await;
        failure.unwrap_or_else(|| anyhow::anyhow!("the server has no task left"))
    }

    /// Stops every task, and waits for them.
    pub(super) async fn stop(&self) {
        self.shutdown.cancel();
        self.tracker.close();
        if tokio::time::timeout(GRACE, self.tracker.wait()).await.is_err() {
            tracing::warn!("tasks did not stop in time and are left behind");
        }
    }
}

/// Takes an address.
pub(super) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| {
        format!("{address} cannot be listened on; choose another address, or port 0 for a free one")
    })
}

/// Checks a public URL and takes a slash off its end.
pub(super) fn public_url(text: &str) -> anyhow::Result<String> {
    let text = text.trim_end_matches('/');
    let uri: http::Uri = text.parse().with_context(|| format!("{text} is not a URL"))?;
    ensure!(
        uri.scheme_str() == Some("https"),
        "{text}: devices only talk to https:// addresses"
    );
    ensure!(
        uri.host().is_some_and(|host| !host.is_empty()),
        "{text} names no host"
    );
    ensure!(
        uri.path().is_empty() || uri.path() == "/",
        "{text}: give scheme, host and port only"
    );
    ensure!(uri.query().is_none(), "{text}: give scheme, host and port only");
    Ok(text.to_owned())
}

/// The host of a URL that was checked.
pub(super) fn host(url: &str) -> String {
    url.parse::<http::Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_owned))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_scheme_a_host_and_a_port() {
        assert_eq!(
            public_url("https://mdm.example.com:8443/").unwrap(),
            "https://mdm.example.com:8443"
        );
        assert_eq!(host("https://mdm.example.com:8443"), "mdm.example.com");
        for wrong in [
            "http://mdm.example.com",
            "mdm.example.com",
            "https://mdm.example.com/x",
            "https://",
            "https://a/?q",
        ] {
            assert!(public_url(wrong).is_err(), "{wrong}");
        }
    }
}
