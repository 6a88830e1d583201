//! The adapter for a server without a push certificate.

use futures::future::BoxFuture;

use super::port::{PushError, PushRequest, Pusher};

/// Answers every push with [`PushError::Unconfigured`]; devices still work by polling.
#[derive(Debug, Default, Clone, Copy)]
pub struct Unconfigured;

impl Pusher for Unconfigured {
    fn push(&self, _request: PushRequest) -> BoxFuture<'_, Result<(), PushError>> {
        Box::pin(async { Err(PushError::Unconfigured) })
    }
}
