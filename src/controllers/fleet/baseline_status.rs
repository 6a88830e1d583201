//! The status of a Baseline. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};

use crate::api::condition::{ConditionType, Reason, Statement, merge};
use crate::api::{Baseline, BaselineStatus};
use crate::policy::schema::Schema;
use crate::policy::{Findings, Resolved, SpecError, check_resolved};

use super::policies::revision;

/// Builds the status from the object and those that it extends: `family` has them, each with what it inherits.
#[must_use]
pub fn build(
    baseline: &Baseline,
    family: &BTreeMap<String, Arc<Resolved>>,
    now: Timestamp,
) -> BaselineStatus {
    let old = baseline.status.clone().unwrap_or_default();
    let generation = baseline.meta().generation;
    let resolved = match family.get(&baseline.name_any()) {
        Some(resolved) => Arc::clone(resolved),
        None => Resolved::alone(Arc::new(baseline.spec.clone())),
    };
    let rules = &resolved.spec.rules;
    let enforced = rules.iter().filter(|rule| !rule.enforce.is_empty()).count();
    let controls: BTreeSet<_> = rules.iter().flat_map(|rule| &rule.controls).collect();
    let good = || {
        let inherited = match resolved.inherited.len() {
            0 => String::new(),
            inherited => format!(" ({inherited} inherited)"),
        };
        format!("{} rules{inherited}, {} controls", rules.len(), controls.len())
    };
    let statements = unready(baseline, &resolved, family).map_or_else(
        || spec_statements(&check_resolved(&resolved, Schema::in_force()), good),
        |message| {
            let ready = ConditionType::Ready;
            vec![Statement::new(ready, false, Reason::DependencyNotReady, message)]
        },
    );
    BaselineStatus {
        observed_generation: generation.unwrap_or_else(crate::api::unobserved),
        conditions: merge(&old.conditions, &statements, generation, now),
        rules: count(rules.len()),
        inherited_rules: count(resolved.inherited.len()),
        excluded_rules: count(resolved.left_out.len()),
        enforced_rules: count(enforced),
        controls: count(controls.len()),
        revision: revision(baseline).map(|revision| revision.to_string()),
    }
}

/// What a baseline waits for: those that it extends are not there, or are not in order themselves. Without them it is in force as far as it can be.
fn unready(
    baseline: &Baseline,
    resolved: &Resolved,
    family: &BTreeMap<String, Arc<Resolved>>,
) -> Option<String> {
    let extended = baseline
        .spec
        .extends
        .iter()
        .map(|extension| extension.name.as_str());
    let (mut missing, mut wrong) = (Vec::new(), Vec::new());
    for (n, name) in extended.enumerate() {
        if resolved.missing.contains(&n) {
            missing.push(name);
        } else if family.get(name).is_some_and(|base| base.incomplete) && resolved.problems.is_empty() {
            wrong.push(name);
        }
    }
    let told = [(missing, "not there"), (wrong, "not in order")];
    let told: Vec<String> = told
        .into_iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, what)| {
            format!(
                "what it extends is {what}: Baseline {}",
                names.join(", Baseline ")
            )
        })
        .collect();
    (!told.is_empty()).then(|| format!("in force without what it cannot inherit: {}", told.join("; ")))
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

#[cfg(test)]
mod tests;
