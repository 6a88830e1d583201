//! Counters of the device endpoint. Every label has a fixed set of values.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// One kind of request with one kind of answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Apple's `MessageType` or `Status`, `DeclarativeManagement` with its endpoint, `Profile`, `Identity`, `Malformed`, `Expired`
    /// (of its certificate) or `Other`.
    pub kind: &'static str,
    /// The HTTP status.
    pub status: u16,
}

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// As in [`RequestLabels`].
    pub kind: &'static str,
}

/// What the device endpoint counts.
#[derive(Debug, Clone)]
pub struct GatewayMetrics {
    /// Requests answered.
    pub requests: Family<RequestLabels, Counter>,
    /// Seconds to answer one.
    pub seconds: Family<KindLabels, Histogram>,
    /// Requests being answered.
    pub in_flight: Gauge,
    /// Panics caught: defects.
    pub panics: Counter,
    /// Enrolments that no push certificate can wake, counted whenever they tell their topic.
    pub unreachable_topics: Counter,
}

impl Default for GatewayMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_5, 3.0, 9))),
            in_flight: Gauge::default(),
            panics: Counter::default(),
            unreachable_topics: Counter::default(),
        }
    }
}

impl GatewayMetrics {
    /// Puts the counters on show.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "device_requests",
            "Requests of devices by kind and HTTP status",
            self.requests.clone(),
        );
        registry.register(
            "device_request_seconds",
            "Time to answer a request of a device",
            self.seconds.clone(),
        );
        registry.register(
            "device_requests_in_flight",
            "Requests of devices being answered",
            self.in_flight.clone(),
        );
        registry.register(
            "device_request_panics",
            "Requests of devices that ran into a defect",
            self.panics.clone(),
        );
        registry.register(
            "device_unreachable_topics",
            "Authenticate and TokenUpdate messages with a push topic that no push certificate is for",
            self.unreachable_topics.clone(),
        );
    }
}
