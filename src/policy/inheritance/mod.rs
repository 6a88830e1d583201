//! Inheritance: a baseline that extends others, with all of its rules in one place.
//!
//! A baseline has the rules and parameters of those that it extends, but for those that it excludes with a reason and for what it overrides, and its
//! own. [`resolve`] works that out for a family of baselines: whatever order they come in, each is resolved once, after those that it extends, and where
//! each rule comes from stays known. What cannot be resolved (a baseline that is not there, a circle, two rules of one id) is told with its place and
//! left out; the rest works. Compile, statuses and the linter see resolved baselines only.

mod inherit;
mod order;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::spec_check::SpecError;
use crate::api::BaselineSpec;
use crate::api::baseline::BaselineRule;

pub use order::{Family, resolve};

/// How many baselines deep inheritance may be, the baseline itself included.
pub const MAXIMUM_DEPTH: usize = 8;
/// The most rules that a baseline may have with those that it inherits.
pub const MAXIMUM_RULES: usize = 2048;
/// The most parameters that a baseline may have with those that it inherits.
pub const MAXIMUM_PARAMETERS: usize = 512;

/// A baseline with all that it inherits.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The baseline as it is written.
    pub own: Arc<BaselineSpec>,
    /// The same with the rules and parameters that it inherits, which come first; it extends nothing any more.
    pub spec: Arc<BaselineSpec>,
    /// Where inherited rules come from, by id.
    pub inherited: BTreeMap<String, Inherited>,
    /// Rules that were excluded on the way, unless another extended baseline brings them.
    pub left_out: Vec<LeftOut>,
    /// What is wrong in `extends`, or with the rest because of it.
    pub problems: Vec<SpecError>,
    /// The entries of `spec.extends` of which the baseline is not there. Each is a problem, too.
    pub missing: Vec<usize>,
    /// Whether a baseline that is extended could not be used at all, so that rules and parameters are missing.
    pub incomplete: bool,
    /// How many baselines deep it is.
    depth: usize,
}

/// Where an inherited rule comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inherited {
    /// The baseline that it is written in.
    pub from: Arc<str>,
    /// The baselines that changed it on the way, the nearest to where it is written first.
    pub changed_by: Vec<Arc<str>>,
    /// The entry of `spec.extends` that brings it.
    pub extension: usize,
}

/// A rule that was excluded.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// The rule, as it would have been.
    pub rule: BaselineRule,
    /// The baseline that it is written in.
    pub from: Arc<str>,
    /// The baseline that excludes it.
    pub by: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
}

impl Resolved {
    /// A baseline that extends nothing. What it says it extends is not there.
    #[must_use]
    pub fn alone(spec: Arc<BaselineSpec>) -> Arc<Self> {
        let only = BTreeMap::from([(String::new(), Arc::clone(&spec))]);
        let found = resolve([""], &only).remove("");
        found.unwrap_or_else(|| Arc::new(Self::as_written(spec)))
    }

    /// A baseline without anything inherited.
    fn as_written(own: Arc<BaselineSpec>) -> Self {
        Self {
            spec: Arc::clone(&own),
            own,
            inherited: BTreeMap::new(),
            left_out: Vec::new(),
            problems: Vec::new(),
            missing: Vec::new(),
            incomplete: false,
            depth: 1,
        }
    }

    /// The field of the baseline as it is written that stands for a rule of the resolved one, by its index.
    #[must_use]
    pub fn place(&self, rule: usize) -> String {
        let found = self.spec.rules.get(rule);
        let inherited = found.and_then(|rule| self.inherited.get(&rule.id));
        inherited.map_or_else(
            || format!("spec.rules[{}]", rule.saturating_sub(self.inherited.len())),
            |inherited| format!("spec.extends[{}]", inherited.extension),
        )
    }
}
