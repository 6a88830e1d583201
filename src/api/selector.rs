//! Label selectors, compiled.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{ParseExpressionError, Selector, SelectorExt as _};

/// A label selector, ready to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMatcher(Selector);

/// Why a label selector cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the selector needs an operator of In, NotIn, Exists and DoesNotExist, and values for In and NotIn")]
pub struct SelectorError(#[source] ParseExpressionError);

impl LabelMatcher {
    /// Compiles a selector.
    ///
    /// # Errors
    /// When an operator is not known, or lacks its values.
    pub fn new(selector: &LabelSelector) -> Result<Self, SelectorError> {
        selector.clone().try_into().map(Self).map_err(SelectorError)
    }

    /// Whether labels match. An empty selector matches all.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.matches(labels)
    }
}
