//! What every server of this program listens with: TLS or plain HTTP, a cap on open connections, and an end that lets requests finish.
//!
//! Whoever listens says who may come and what is answered; here it is only decided how long a client may take, how much of what it sends may wait,
//! and how many may be connected. One client more waits, unanswered, until another goes: nothing is kept for it but its place in the system's own
//! queue, which is short. Nobody is told apart by what they send, and no request is looked at.

mod descriptors;
mod limits;
mod metrics;
mod serve;
#[cfg(test)]
mod tests;

pub use descriptors::raise_descriptor_limit;
pub use limits::Limits;
pub use metrics::ConnectionMetrics;
pub use serve::{ClientCertificates, Listener, Serving, TlsConfig};
