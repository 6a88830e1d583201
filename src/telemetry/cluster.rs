//! Gauges of a program that runs on a cluster: whether it leads, and whether the Kubernetes API answers.

use prometheus_client::metrics::gauge::Gauge;

use super::Metrics;

/// The gauges. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct ClusterMetrics {
    /// 1 while this replica runs the controllers.
    pub leader: Gauge,
    /// How often the lease has gone from one holder to another.
    pub transitions: Gauge,
    /// 1 while the Kubernetes API answers.
    pub reachable: Gauge,
}

impl ClusterMetrics {
    /// Gauges on the metrics page.
    #[must_use]
    pub fn registered(metrics: &Metrics) -> Self {
        let gauges = Self::default();
        metrics.register(|registry| {
            registry.register(
                "provost_leader",
                "Whether this replica runs the controllers",
                gauges.leader.clone(),
            );
            registry.register(
                "provost_leader_transitions",
                "How often the lease has gone from one holder to another",
                gauges.transitions.clone(),
            );
            registry.register(
                "provost_kubernetes_api_reachable",
                "Whether the Kubernetes API answers",
                gauges.reachable.clone(),
            );
        });
        gauges
    }
}
