//! The status of a Baseline. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::Resource as _;

use crate::api::condition::{ConditionType, Reason, Statement, merge};
use crate::api::{Baseline, BaselineStatus};
use crate::policy::schema::Schema;
use crate::policy::{Findings, SpecError, check_baseline};

use super::policies::revision;

/// Builds the status from the object.
#[must_use]
pub fn build(baseline: &Baseline, now: Timestamp) -> BaselineStatus {
    let old = baseline.status.clone().unwrap_or_default();
    let generation = baseline.meta().generation;
    let rules = &baseline.spec.rules;
    let enforced = rules.iter().filter(|rule| !rule.enforce.is_empty()).count();
    let controls: BTreeSet<_> = rules.iter().flat_map(|rule| &rule.controls).collect();
    let good = || format!("{} rules, {} controls", rules.len(), controls.len());
    BaselineStatus {
        observed_generation: generation.unwrap_or_else(crate::api::unobserved),
        conditions: merge(
            &old.conditions,
            &spec_statements(&check_baseline(&baseline.spec, Schema::in_force()), good),
            generation,
            now,
        ),
        rules: count(rules.len()),
        enforced_rules: count(enforced),
        controls: count(controls.len()),
        revision: revision(baseline).map(|revision| revision.to_string()),
    }
}

/// How many warnings a condition names.
const WARNINGS: usize = 3;

/// What the mistakes of a spec (or their absence) say about an object.
#[must_use]
pub fn spec_statements(findings: &Findings, good: impl FnOnce() -> String) -> Vec<Statement> {
    if findings.errors.is_empty() {
        return vec![Statement::new(
            ConditionType::Ready,
            true,
            Reason::Succeeded,
            good() + &warned(&findings.warnings, WARNINGS),
        )];
    }
    let text = joined(&findings.errors);
    vec![
        Statement::new(ConditionType::Ready, false, Reason::InvalidSpec, text.clone()),
        Statement::new(ConditionType::Stalled, true, Reason::InvalidSpec, text),
    ]
}

/// Mistakes, for people.
#[must_use]
pub fn joined(mistakes: &[SpecError]) -> String {
    mistakes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// `; 2 warnings: …`, the first `most` of them in words, or nothing: to end a message with.
#[must_use]
pub fn warned(warnings: &[impl ToString], most: usize) -> String {
    let words = match warnings.len() {
        0 => return String::new(),
        1 => "; 1 warning: ".to_owned(),
        count => format!("; {count} warnings: "),
    };
    let first: Vec<String> = warnings.iter().take(most).map(ToString::to_string).collect();
    let more = if warnings.len() > most { "; …" } else { "" };
    words + &first.join("; ") + more
}

/// A count as the API carries it.
#[must_use]
pub fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
