//! What was written: which objects and rules came, went or were changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::Change;
use crate::api::BaselineSpec;
use crate::api::baseline::BaselineRule;
use crate::api::common::Severity;

/// An object that came, went or was changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ObjectChange {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub change: Change,
}

/// A rule that came, went or was changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleChange {
    /// The baseline.
    pub baseline: String,
    /// The rule's id.
    pub rule: String,
    /// The demand in one line.
    pub title: String,
    /// How much harm it does when it fails.
    pub severity: Severity,
    /// What became of it.
    pub change: Change,
    /// The fields of it that are different, where it was changed; `parameters.NAME` for those of the baseline that it uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// Objects by kind and name.
pub type Objects = BTreeMap<(String, String), Value>;

/// Which objects came, went or were changed.
#[must_use]
pub fn objects(before: &Objects, after: &Objects) -> Vec<ObjectChange> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let change = change(before.get(name), after.get(name))?;
            let (kind, name) = name.clone();
            Some(ObjectChange { kind, name, change })
        })
        .collect()
}

fn change<T: PartialEq>(before: Option<&T>, after: Option<&T>) -> Option<Change> {
    match (before, after) {
        (None, Some(_)) => Some(Change::Added),
        (Some(_), None) => Some(Change::Removed),
        (Some(before), Some(after)) if before != after => Some(Change::Changed),
        _ => None,
    }
}

/// Baselines by name.
pub type Baselines = BTreeMap<Arc<str>, Arc<BaselineSpec>>;

/// Which rules came, went or were changed, by baseline and id.
#[must_use]
pub fn rules(before: &Baselines, after: &Baselines) -> Vec<RuleChange> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let (before, after) = (before.get(name), after.get(name));
        let (old, new) = (by_id(before), by_id(after));
        let ids: BTreeSet<_> = old.keys().chain(new.keys()).copied().collect();
        for id in ids {
            let (old, new) = (old.get(id).copied(), new.get(id).copied());
            let fields = match (old, new) {
                (Some(old), Some(new)) => {
                    let mut fields = different(old, new);
                    fields.extend(different_parameters(new, before, after));
                    fields
                }
                _ => Vec::new(),
            };
            let change = match (old, new) {
                (Some(_), Some(_)) if !fields.is_empty() => Change::Changed,
                (Some(_), Some(_)) | (None, None) => continue,
                (None, Some(_)) => Change::Added,
                (Some(_), None) => Change::Removed,
            };
            let Some(told) = new.or(old) else { continue };
            changes.push(RuleChange {
                baseline: name.to_string(),
                rule: id.to_owned(),
                title: told.title.clone(),
                severity: told.severity,
                change,
                fields,
            });
        }
    }
    changes
}

fn by_id(baseline: Option<&Arc<BaselineSpec>>) -> BTreeMap<&str, &BaselineRule> {
    baseline
        .into_iter()
        .flat_map(|baseline| &baseline.rules)
        .map(|rule| (rule.id.as_str(), rule))
        .collect()
}

/// The fields in which two rules differ.
fn different(before: &BaselineRule, after: &BaselineRule) -> Vec<String> {
    let fields = |rule| serde_json::to_value(rule).unwrap_or_default();
    let (before, after) = (fields(before), fields(after));
    let names: BTreeSet<&String> = [&before, &after]
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(|map| map.keys())
        .collect();
    names
        .into_iter()
        .filter(|name| before.get(name.as_str()) != after.get(name.as_str()))
        .cloned()
        .collect()
}

/// The parameters that a rule uses and that are declared differently.
fn different_parameters(
    rule: &BaselineRule,
    before: Option<&Arc<BaselineSpec>>,
    after: Option<&Arc<BaselineSpec>>,
) -> Vec<String> {
    let (Some(before), Some(after)) = (before, after) else {
        return Vec::new();
    };
    if before.parameters == after.parameters {
        return Vec::new();
    }
    let text = serde_json::to_string(rule).unwrap_or_default();
    let uses = |name: &str| {
        text.contains(&format!("$({name})"))
            || text
                .split(&format!("params.{name}"))
                .skip(1)
                .any(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    };
    let declared = |baseline: &BaselineSpec, name: &str| {
        let found = baseline
            .parameters
            .iter()
            .find(|parameter| parameter.name == name);
        found.cloned()
    };
    after
        .parameters
        .iter()
        .chain(&before.parameters)
        .map(|parameter| parameter.name.as_str())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|name| declared(before, name) != declared(after, name) && uses(name))
        .map(|name| format!("parameters.{name}"))
        .collect()
}
