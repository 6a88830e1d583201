//! How many certificates devices were given, and how many not. Every label has a fixed set of values.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// A request for a certificate and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct IdentityLabels {
    /// `first`, on a challenge, or `renewal`, on the certificate before.
    pub kind: &'static str,
    /// `issued`, also where the same message brings the same certificate again; `refused`; or `failed`, which is a fault of ours.
    pub result: &'static str,
}

/// Counts the requests of devices for certificates.
#[derive(Debug, Clone, Default)]
pub struct IdentityMetrics {
    requests: Family<IdentityLabels, Counter>,
}

impl IdentityMetrics {
    /// Puts the counters on show.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "identity_requests",
            "Requests of devices for certificates, by what they were for and what came of them",
            self.requests.clone(),
        );
    }

    /// Counts a request.
    pub fn count(&self, kind: &'static str, result: &'static str) {
        self.requests
            .get_or_create(&IdentityLabels { kind, result })
            .inc();
    }
}
