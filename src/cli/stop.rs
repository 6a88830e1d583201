//! Being told to stop: Ctrl-C, and the SIGTERM of whoever runs a service.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears both signals from the moment it is made, so that none is missed.
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits until the program is told to stop.
    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
