//! A term: the time in which one replica leads, and the fence around its writes.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A write that came after the end of its term, and was not sent.
#[derive(Debug, thiserror::Error)]
#[error("the lease is no longer held: the write was not sent")]
pub struct TermIsOver;

/// The right to lead, until it is not renewed. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Term {
    until: Arc<Mutex<Instant>>,
    stop: CancellationToken,
    transitions: i32,
}

impl Term {
    /// A term that lasts until `until` if it is not renewed.
    #[must_use]
    pub fn new(until: Instant, transitions: i32) -> Self {
        Self {
            until: Arc::new(Mutex::new(until)),
            stop: CancellationToken::new(),
            transitions,
        }
    }

    /// Tells the work of this term to end.
    #[must_use]
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// How often the lease had changed hands when this term began: it tells terms apart.
    #[must_use]
    pub const fn transitions(&self) -> i32 {
        self.transitions
    }

    /// When it ends unless it is renewed.
    #[must_use]
    pub fn until(&self) -> Instant {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it last until `until`.
    pub(super) fn renew(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Ends it now: another leads, or may soon.
    pub(super) fn end(&self) {
        self.renew(Instant::now());
        self.stop.cancel();
    }

    /// A client that reads whenever it likes and writes only within the term. The clock is asked for each write, so that a process that was
    /// paused for longer than its term writes nothing when it wakes up, before anything has told it.
    #[must_use]
    pub fn fence(&self, client: &Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let (client, term) = (client.clone(), self.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, term) = (client.clone(), term.clone());
            async move {
                let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
                if !reads && Instant::now() >= term.until() {
                    return Err(kube::Error::Service(Box::new(TermIsOver)));
                }
                client.send(request).await
            }
        });
        Client::new(service, namespace)
    }
}
