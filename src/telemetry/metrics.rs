//! Counters and gauges of the control plane, and the registry that every part registers with.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A controller and how its work ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reconciliation {
    /// The kind.
    pub kind: &'static str,
    /// `success`, or the category of the error.
    pub result: &'static str,
}

/// The control plane's metrics. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    /// Classes compiled: grows with the number of different desired states, never with the number of devices.
    pub policy_compiles: Counter,
    /// Devices pointed at another manifest.
    pub pointer_writes: Counter,
    /// Transactions that wrote pointers.
    pub pointer_transactions: Counter,
    /// Devices whose verdicts were computed.
    pub evaluations: Counter,
    /// Changes of a verdict.
    pub transitions: Counter,
    /// Statuses written to the Kubernetes API.
    pub status_writes: Counter,
    /// Devices told again what to hold after they had left it.
    pub corrections: Counter,
    /// Devices known to the planner.
    pub devices: Gauge,
    /// Classes in use.
    pub classes: Gauge,
    /// Reconciliations by kind and result.
    pub reconciliations: Family<Reconciliation, Counter>,
}

impl Metrics {
    /// Metrics, registered.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self::default();
        metrics.register(|registry| {
            registry.register(
                "provost_policy_compiles",
                "Classes of devices compiled",
                metrics.policy_compiles.clone(),
            );
            registry.register(
                "provost_pointer_writes",
                "Devices pointed at another manifest",
                metrics.pointer_writes.clone(),
            );
            registry.register(
                "provost_pointer_transactions",
                "Transactions that pointed devices at manifests",
                metrics.pointer_transactions.clone(),
            );
            registry.register(
                "provost_evaluations",
                "Devices whose verdicts were computed",
                metrics.evaluations.clone(),
            );
            registry.register(
                "provost_transitions",
                "Changes of a verdict",
                metrics.transitions.clone(),
            );
            registry.register(
                "provost_status_writes",
                "Statuses written to the Kubernetes API",
                metrics.status_writes.clone(),
            );
            registry.register(
                "provost_corrections",
                "Devices told again what to hold",
                metrics.corrections.clone(),
            );
            registry.register(
                "provost_devices",
                "Devices known to the planner",
                metrics.devices.clone(),
            );
            registry.register(
                "provost_classes",
                "Classes of devices in use",
                metrics.classes.clone(),
            );
            registry.register(
                "provost_reconciliations",
                "Reconciliations by kind and result",
                metrics.reconciliations.clone(),
            );
        });
        metrics
    }

    /// Lets another part register its own metrics.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Everything in the OpenMetrics text format.
    ///
    /// # Errors
    /// When a metric cannot be written as text, which would be a defect.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode(
            &mut page,
            &self.registry.lock().unwrap_or_else(PoisonError::into_inner),
        )?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_what_was_counted() {
        let metrics = Metrics::new();
        metrics.policy_compiles.inc_by(3);
        metrics
            .reconciliations
            .get_or_create(&Reconciliation {
                kind: "GitSource",
                result: "success",
            })
            .inc();
        let page = metrics.encode().unwrap();
        assert!(page.contains("provost_policy_compiles_total 3"), "{page}");
        assert!(
            page.contains(r#"provost_reconciliations_total{kind="GitSource",result="success"} 1"#),
            "{page}"
        );
        assert!(page.ends_with("# EOF\n"));
    }
}
