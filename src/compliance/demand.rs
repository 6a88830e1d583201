//! Demands: one rule of one assignment, as one class of devices must meet it, and what would prove that.

use std::sync::Arc;

use serde_json::Value;

use crate::api::baseline::ControlRef;
use crate::api::common::Severity;
use crate::expression::Program;

/// One rule of one assignment for one class of devices. Made once for a class and shared by its devices.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// The assignment that demands it.
    pub assignment: Arc<str>,
    /// The baseline.
    pub baseline: Arc<str>,
    /// The rule's id.
    pub rule: Arc<str>,
    /// How bad it is when it fails.
    pub severity: Severity,
    /// The controls it supports.
    pub controls: Arc<[ControlRef]>,
    /// The git revision in force.
    pub revision: Option<Arc<str>>,
    /// What would prove it.
    pub evidence: Evidence,
    /// Whether content is served for it: whether telling the device to apply that again can help.
    pub enforced: bool,
    /// The file of an imported rule, as `path@blob`.
    pub origin: Option<Arc<str>>,
    /// The baseline that the rule is written in, where the demanded one inherits it.
    pub inherited_from: Option<Arc<str>>,
    key: Arc<str>,
}

impl Demand {
    /// A demand that is only checked.
    #[must_use]
    pub fn new(
        assignment: Arc<str>,
        baseline: Arc<str>,
        rule: &str,
        severity: Severity,
        controls: Arc<[ControlRef]>,
        revision: Option<Arc<str>>,
        evidence: Evidence,
    ) -> Self {
        Self {
            key: format!("{baseline}/{rule}").into(),
            rule: rule.into(),
            assignment,
            baseline,
            severity,
            controls,
            revision,
            evidence,
            enforced: false,
            origin: None,
            inherited_from: None,
        }
    }

    /// The demand, with whether content is served for it.
    #[must_use]
    pub const fn enforced(mut self, enforced: bool) -> Self {
        self.enforced = enforced;
        self
    }

    /// The demand, with the file of the rule, where it is imported.
    #[must_use]
    pub fn from_file(mut self, origin: Option<Arc<str>>) -> Self {
        self.origin = origin;
        self
    }

    /// The demand, with the baseline that the rule is written in, where the demanded one inherits it.
    #[must_use]
    pub fn inherited(mut self, from: Option<Arc<str>>) -> Self {
        self.inherited_from = from;
        self
    }

    /// `baseline/rule`: what verdicts are recorded under. Several assignments may demand the same.
    #[must_use]
    pub const fn key(&self) -> &Arc<str> {
        &self.key
    }
}

/// What would prove that a demand is met. A rule's check decides where it has one.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    /// The rule is not for this class of devices, or the assignment leaves it out.
    NotApplicable {
        /// Why.
        reason: Arc<str>,
    },
    /// An expression over facts.
    Cel {
        /// The rule's check.
        program: Arc<Program>,
        /// `params`: the values of the baseline's parameters, by name.
        parameters: Arc<Value>,
    },
    /// Exactly this revision of a declaration is active and valid.
    InstalledDeclaration {
        /// Its identifier.
        identifier: Arc<str>,
        /// Its token.
        server_token: Arc<str>,
    },
    /// Exactly this revision of a profile is installed.
    InstalledProfile {
        /// `PayloadIdentifier`.
        identifier: Arc<str>,
        /// `PayloadUUID`.
        uuid: Arc<str>,
        /// For devices with declarative management, the identifier and token of the declaration that brings it.
        via_declaration: Option<(Arc<str>, Arc<str>)>,
    },
    /// Rules contradict each other, and neither's value is served.
    Conflict {
        /// The setting.
        setting: Arc<str>,
        /// What this one contradicts.
        with: Arc<str>,
    },
    /// Nothing could.
    None {
        /// Why.
        reason: Arc<str>,
    },
}
