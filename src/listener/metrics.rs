//! How many connections are open, and how many may be. The label has as many values as there are listeners.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    listener: &'static str,
}

/// Gauges of all listeners. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct ConnectionMetrics {
    open: Family<Labels, Gauge>,
    most: Family<Labels, Gauge>,
}

impl ConnectionMetrics {
    /// Puts the gauges on show, as `connections` and `connections_limit`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "connections",
            "Connections that are open, by listener",
            self.open.clone(),
        );
        registry.register(
            "connections_limit",
            "Connections that may be open, by listener",
            self.most.clone(),
        );
    }

    /// The gauge of a listener's open connections, of which there may be `most`.
    pub(super) fn of(&self, listener: &'static str, most: usize) -> Gauge {
        let labels = Labels { listener };
        self.most
            .get_or_create(&labels)
            .set(i64::try_from(most).unwrap_or(i64::MAX));
        self.open.get_or_create_owned(&labels)
    }
}
