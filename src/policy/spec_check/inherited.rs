//! What a baseline makes of the rules that it inherits: its overrides, and its own parameters in the place of inherited ones.

use std::collections::BTreeSet;

use super::apple::Values;
use super::{Findings, apple, check_cel, check_enforce};
use crate::api::baseline::BaselineRule;
use crate::policy::inheritance::Resolved;
use crate::policy::schema::Schema;

pub(super) fn check(
    baseline: &Resolved,
    schema: &Schema,
    values: &Values,
    tried: &[Values],
    findings: &mut Findings,
) {
    check_overrides(baseline, schema, values, tried, findings);
    check_parameters(baseline, schema, tried, findings);
}

fn check_overrides(
    baseline: &Resolved,
    schema: &Schema,
    values: &Values,
    tried: &[Values],
    findings: &mut Findings,
) {
    let changes = baseline
        .own
        .extends
        .iter()
        .enumerate()
        .flat_map(|(e, extension)| {
            let numbered = extension.overrides.iter().enumerate();
            numbered.map(move |(n, change)| (format!("spec.extends[{e}].override[{n}]"), change))
        });
    for (field, change) in changes {
        let found = baseline.spec.rules.iter().find(|rule| rule.id == change.rule);
        let Some(rule) = found.filter(|rule| baseline.inherited.contains_key(&rule.id)) else {
            continue;
        };
        if change.severity.is_none() && change.enforce.is_none() && change.check.is_none() {
            findings.add(&field, "an override changes severity, enforce or check");
        }
        if change.enforce.is_some() {
            check_enforce(&field, &rule.enforce, &rule.platforms, values, findings);
            apple::check_enforced(schema, &field, rule, tried, findings);
            apple::check_rule(schema, &field, &baseline.spec, rule, values, findings);
        }
        if let Some(check) = &change.check {
            check_cel(&field, check, values, findings);
        }
        if rule.enforce.is_empty() && rule.check.is_none() && rule.unproven.is_none() {
            let message = format!(
                "rule `{}` enforces nothing then and has no check; give one, or exclude it",
                rule.id
            );
            findings.add(format!("{field}.enforce"), message);
        }
    }
}

/// Inherited rules that get other values than they were judged with: those that a parameter of the baseline's own may have.
fn check_parameters(baseline: &Resolved, schema: &Schema, tried: &[Values], findings: &mut Findings) {
    let unchanged = |rule: &&BaselineRule| {
        let of_this = |extension: usize| {
            let found = baseline.own.extends.get(extension);
            found.is_some_and(|extension| extension.overrides.iter().any(|change| change.rule == rule.id))
        };
        let source = baseline.inherited.get(&rule.id);
        source.is_some_and(|source| !of_this(source.extension))
    };
    let mut told = BTreeSet::new();
    for rule in baseline.spec.rules.iter().filter(unchanged) {
        let used = serde_json::to_string(&rule.enforce).unwrap_or_default();
        for (n, own) in baseline.own.parameters.iter().enumerate() {
            if !used.contains(&format!("$({})", own.name)) {
                continue;
            }
            let mut found = Findings::default();
            apple::check_enforced(schema, &rule.id, rule, tried, &mut found);
            for error in found.errors {
                let message = format!("of an inherited rule, {error}");
                if told.insert(message.clone()) {
                    findings.add(format!("spec.parameters[{n}]"), message);
                }
            }
        }
    }
}
