//! The listener of the raw-command API: plain HTTP, for scripts on the same computer or behind a proxy that speaks TLS.

use std::time::Duration;

use anyhow::Context as _;

use super::listen::{self, Tasks};
use super::settings::EnqueueSettings;
use crate::listener::{ConnectionMetrics, Limits, Listener};
use crate::mdm::enqueue::{Desk, Key, router};

/// Scripts are few.
const LIMITS: Limits = Limits {
    connections: 100,
    handshake: Duration::from_secs(10),
    idle: Duration::from_secs(30),
    streams: 8,
    grace: Duration::from_secs(5),
};

/// Starts to listen.
///
/// # Errors
/// When the key is none, or the address cannot be listened on.
pub(super) fn start(
    settings: &EnqueueSettings,
    desk: Desk,
    connections: ConnectionMetrics,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    let key = Key::new(settings.key.reveal()).context("--enqueue-api-key-file")?;
    let socket = listen::bind(settings.listen).context("--enqueue-api-listen")?;
    let listener = Listener::new("enqueue", LIMITS, connections);
    let serving = listener.http(router(desk, key), socket, tasks.shutdown())?;
    tracing::info!(address = %serving.address, "raw commands are taken");
    tasks.serving("the enqueue API", serving.task);
    Ok(())
}
