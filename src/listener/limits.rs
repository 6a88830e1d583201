//! How much a client may ask of a listener.

use std::time::Duration;

use super::descriptors::descriptor_limit;

/// What a client may take of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most connections that are open at a time, those that are still shaking hands included. The next client waits until one is closed.
    pub connections: usize,
    /// How long a client may take for the handshake, and then for its first request.
    pub handshake: Duration,
    /// How long a connection may be without a request, or without a sign of life over HTTP/2, before it is closed.
    pub idle: Duration,
    /// The most requests of one HTTP/2 connection at a time.
    pub streams: u32,
    /// How long requests may take to finish once the server stops.
    pub grace: Duration,
}

impl Limits {
    /// How many connections there is room for: no more than three quarters of the files that the process may open, for the stores, git and
    /// the Kubernetes API need some as well.
    pub(super) fn room(&self) -> usize {
        self.room_within(descriptor_limit())
    }

    fn room_within(&self, descriptors: u64) -> usize {
        let share = usize::try_from(descriptors / 4 * 3).unwrap_or(usize::MAX);
        self.connections.min(share).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_everything_else() {
        let limits = Limits {
            connections: 100_000,
            handshake: Duration::ZERO,
            idle: Duration::ZERO,
            streams: 1,
            grace: Duration::ZERO,
        };
        assert_eq!(limits.room_within(1_048_576), 100_000);
        assert_eq!(limits.room_within(u64::MAX), 100_000);
        assert_eq!(limits.room_within(1_024), 768);
        assert_eq!(limits.room_within(0), 1);
    }
}
