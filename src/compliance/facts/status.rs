//! Status reports of declarative management (Apple: StatusReport).
//!
//! Reports are incremental: dictionaries merge; lists whose items have an `identifier` merge by it, and `_removed` takes an item
//! away; other values replace. `FullReport` replaces everything. An item that the device names under `Errors` is no longer known.
//! A declaration that an incremental report does not name stays as it was: only `_removed` or a full report takes it away.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{DeclarationState, Facts, MAX_IDENTIFIER, Source, bounded};

/// The most declarations whose state is kept.
const MAX_DECLARATIONS: usize = 1024;
/// The most reasons kept of one declaration.
const MAX_REASONS: usize = 8;
/// The longest reason kept, in characters.
const MAX_REASON: usize = 240;
/// The sections of `management.declarations`.
const SECTIONS: [&str; 4] = ["activations", "assets", "configurations", "management"];

/// Why a report is not a status report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// Not a dictionary.
    #[error("a status report is a dictionary")]
    NotADictionary,
    /// `StatusItems` is there and is something else.
    #[error("StatusItems of a status report is a dictionary")]
    ItemsNotADictionary,
}

pub(super) fn take(facts: &mut Facts, report: &Value, observed_at: Timestamp) -> Result<bool, StatusError> {
    let report = report.as_object().ok_or(StatusError::NotADictionary)?;
    let items = match report.get("StatusItems") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(items)) => items.clone(),
        Some(_) => return Err(StatusError::ItemsNotADictionary),
    };
    let full = report
        .get("FullReport")
        .and_then(Value::as_bool)
        .unwrap_or_default();

    let mut declarations = if full {
        BTreeMap::new()
    } else {
        facts.declarations.clone()
    };
    let mut tree = match facts.reports.get(&Source::StatusReport) {
        Some(known) if !full => known.value.clone(),
        _ => Value::Object(Map::new()),
    };
    for error in report
        .get("Errors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if let Some(item) = error.get("StatusItem").and_then(Value::as_str) {
            forget(&mut tree, item);
        }
    }
    let mut items = Value::Object(items);
    if let Some(reported) = items.get_mut("management").and_then(Value::as_object_mut) {
        // Kept apart, by identifier: not twice.
        if let Some(reported) = reported.remove("declarations") {
            take_declarations(&mut declarations, &reported);
        }
    }
    merge(&mut tree, items);
    let tree = bounded(&tree);

    let changed = facts.declarations != declarations;
    facts.declarations = declarations;
    Ok(facts.replace(Source::StatusReport, tree, observed_at) || changed)
}

/// Takes an item such as `passcode.is-present` out of the tree.
fn forget(tree: &mut Value, item: &str) {
    let Some((parents, last)) = item.rsplit_once('.').map_or(Some(("", item)), Some) else {
        return;
    };
    let parent = parents
        .split('.')
        .filter(|part| !part.is_empty())
        .try_fold(tree, |value, part| value.get_mut(part));
    if let Some(parent) = parent.and_then(Value::as_object_mut) {
        parent.remove(last);
    }
}

fn is_removed(value: &Value) -> bool {
    value.get("_removed").and_then(Value::as_bool).unwrap_or_default()
}

fn identifier(value: &Value) -> Option<&str> {
    value.get("identifier").and_then(Value::as_str)
}

/// Merges a report into what is known. Recursion is as deep as the tree, which the JSON reader bounds.
fn merge(known: &mut Value, reported: Value) {
    match (known, reported) {
        (Value::Object(known), Value::Object(reported)) => {
            for (key, value) in reported {
                if value.is_null() || is_removed(&value) {
                    known.remove(&key);
                } else {
                    merge(known.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(known), Value::Array(reported))
            if known
                .iter()
                .chain(&reported)
                .all(|item| identifier(item).is_some()) =>
        {
            for item in reported {
                let at = known.iter().position(|old| identifier(old) == identifier(&item));
                match (at.and_then(|at| known.get_mut(at)), is_removed(&item)) {
                    (Some(old), false) => *old = item,
                    (None, false) => known.push(item),
                    (_, true) => {
                        if let Some(at) = at {
                            known.remove(at);
                        }
                    }
                }
            }
        }
        (known, Value::Array(reported)) => {
            *known = Value::Array(reported.into_iter().filter(|item| !is_removed(item)).collect());
        }
        (known, Value::Object(reported)) => {
            *known = Value::Object(Map::new());
            merge(known, Value::Object(reported));
        }
        (known, reported) => *known = reported,
    }
}

fn take_declarations(known: &mut BTreeMap<String, DeclarationState>, reported: &Value) {
    let mut named = Vec::new();
    for section in SECTIONS {
        for entry in reported
            .get(section)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let Some(identifier) = identifier(entry).filter(|id| id.len() <= MAX_IDENTIFIER) else {
                continue;
            };
            match declaration_state(entry).filter(|_| !is_removed(entry)) {
                Some(state) => {
                    known.insert(identifier.to_owned(), state);
                    named.push(identifier);
                }
                // What cannot be read says nothing, but the state before it is over.
                None => {
                    known.remove(identifier);
                }
            }
        }
    }
    // Beyond the limit, what this report speaks of is worth more than what it does not.
    if known.len() > MAX_DECLARATIONS {
        named.truncate(MAX_DECLARATIONS);
        named.sort_unstable();
        known.retain(|identifier, _| named.binary_search(&identifier.as_str()).is_ok());
    }
}

fn declaration_state(entry: &Value) -> Option<DeclarationState> {
    let server_token = entry.get("server-token").and_then(Value::as_str)?;
    let known = |valid: &&str| ["valid", "invalid"].contains(valid);
    let valid = entry
        .get("valid")
        .and_then(Value::as_str)
        .filter(known)
        .unwrap_or("unknown");
    Some(DeclarationState {
        server_token: server_token.chars().take(MAX_IDENTIFIER).collect(),
        active: entry.get("active").and_then(Value::as_bool)?,
        valid: valid.to_owned(),
        reasons: either(entry, "reasons", "Reasons")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(reason)
            .take(MAX_REASONS)
            .collect(),
    })
}

/// A key that Apple writes in lower case here and with a capital there.
fn either<'a>(value: &'a Value, lower: &str, capital: &str) -> Option<&'a Value> {
    value.get(lower).or_else(|| value.get(capital))
}

fn reason(value: &Value) -> Option<String> {
    let code = either(value, "code", "Code").and_then(Value::as_str)?;
    let text = match either(value, "description", "Description").and_then(Value::as_str) {
        Some(description) => format!("{code}: {description}"),
        None => code.to_owned(),
    };
    Some(text.chars().take(MAX_REASON).collect())
}
