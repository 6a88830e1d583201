//! Status reports of declarative management (Apple: StatusReport).
//!
//! Reports are incremental: an item that is named has a new value, and keyed lists name only the entries that changed, with `_removed`
//! for those that went. `FullReport` replaces everything. An item that the device names under `Errors` is no longer known, and the reason is
//! kept. A declaration that an incremental report does not name stays as it was: only `_removed` or a full report takes it away.
//!
//! A list that did not fit is lost until the next full report: what is added to it later would look like the whole.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::items::{self, Item, Kind, Reading, identifier};
use super::{DeclarationState, Facts, MAX_DEPTH, MAX_IDENTIFIER, MAX_REPORT, SECRETS, Source, fitting};

/// The most declarations whose state is kept.
const MAX_DECLARATIONS: usize = 1024;
/// The most reasons kept of one declaration.
const MAX_REASONS: usize = 8;
/// The longest reason kept, in characters.
const MAX_REASON: usize = 240;
/// The most items whose errors are kept.
const MAX_ERRORS: usize = 64;
/// What stands for the items that nobody knows, where they are lost.
const UNKNOWN: &str = "*";
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
    let mut reported = match report.get("StatusItems") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(items)) => items.clone(),
        Some(_) => return Err(StatusError::ItemsNotADictionary),
    };
    let full = report
        .get("FullReport")
        .and_then(Value::as_bool)
        .unwrap_or_default();

    let mut next = if full {
        Facts::default()
    } else {
        Facts {
            declarations: facts.declarations.clone(),
            items: facts.items.clone(),
            lost_items: facts.lost_items.clone(),
            item_errors: facts.item_errors.clone(),
            ..Facts::default()
        }
    };
    let mut tree = match facts.reports.get(&Source::StatusReport).map(|known| &known.value) {
        Some(Value::Object(known)) if !full => known.clone(),
        _ => Map::new(),
    };
    for error in listed(report, "Errors") {
        take_error(&mut next, &mut tree, error);
    }
    for item in items::all() {
        if let Some(value) = items::take_out(&mut reported, item.name) {
            take_item(&mut next, &mut tree, &item, value, observed_at);
        }
    }
    if !next.lost_items.contains(UNKNOWN) {
        merge(&mut tree, reported);
    }
    let tree = bounded(tree, &mut next);

    let changed = facts.declarations != next.declarations
        || facts.item_errors != next.item_errors
        || facts.lost_items != next.lost_items;
    facts.declarations = next.declarations;
    facts.items = next.items;
    facts.lost_items = next.lost_items;
    facts.item_errors = next.item_errors;
    Ok(facts.replace(Source::StatusReport, Value::Object(tree), observed_at) || changed)
}

/// An item that the device could not tell.
fn take_error(facts: &mut Facts, tree: &mut Map<String, Value>, error: &Value) {
    let Some(item) = either(error, "statusItem", "StatusItem").and_then(Value::as_str) else {
        return;
    };
    forget(facts, tree, item);
    if item.len() > MAX_IDENTIFIER || facts.item_errors.len() >= MAX_ERRORS {
        return;
    }
    let reasons: Vec<String> = reasons(error).take(MAX_REASONS).collect();
    facts
        .item_errors
        .insert(item.to_owned(), clipped(&reasons.join("; ")));
}

fn forget(facts: &mut Facts, tree: &mut Map<String, Value>, item: &str) {
    items::take_out(tree, item);
    facts.items.remove(item);
}

fn take_item(
    facts: &mut Facts,
    tree: &mut Map<String, Value>,
    item: &Item,
    value: Value,
    observed_at: Timestamp,
) {
    facts.item_errors.remove(item.name);
    if value.is_null() || is_removed(&value) {
        return forget(facts, tree, item.name);
    }
    match item.kind {
        Kind::Apart if item.name == "management.declarations" => {
            take_declarations(&mut facts.declarations, &value);
        }
        Kind::Apart => return,
        Kind::Fact | Kind::Detail => match item.read(value) {
            // What cannot be read says nothing, but the value before it is over.
            None => return forget(facts, tree, item.name),
            Some(Reading::Whole(value)) => items::put(tree, item.name, value),
            Some(Reading::Entries(_)) if facts.lost_items.contains(item.name) => return,
            Some(Reading::Entries(entries)) => {
                let known = match items::take_out(tree, item.name) {
                    Some(Value::Array(known)) => known,
                    _ => Vec::new(),
                };
                items::put(tree, item.name, Value::Array(with_entries(known, entries)));
            }
        },
    }
    facts.items.insert(item.name.to_owned(), observed_at);
}

/// A keyed list, with the entries that changed and without those that went.
fn with_entries(mut known: Vec<Value>, entries: Vec<Value>) -> Vec<Value> {
    let mut places: BTreeMap<String, usize> = known
        .iter()
        .enumerate()
        .filter_map(|(place, entry)| Some((identifier(entry)?.to_owned(), place)))
        .collect();
    for entry in entries {
        let Some(key) = identifier(&entry) else { continue };
        if let Some(slot) = places.get(key).and_then(|place| known.get_mut(*place)) {
            *slot = entry;
        } else {
            places.insert(key.to_owned(), known.len());
            known.push(entry);
        }
    }
    known.retain(|entry| !is_removed(entry));
    known
}

/// Merges items that nobody knows. Recursion is as deep as the tree, which the JSON reader bounds.
fn merge(known: &mut Map<String, Value>, reported: Map<String, Value>) {
    for (key, value) in reported {
        if value.is_null() || is_removed(&value) || SECRETS.contains(&key.as_str()) {
            known.remove(&key);
            continue;
        }
        match (known.get_mut(&key), value) {
            (Some(Value::Object(known)), Value::Object(reported)) => merge(known, reported),
            (_, Value::Array(list)) if list.iter().all(|entry| identifier(entry).is_some()) => {
                let before = match known.remove(&key) {
                    Some(Value::Array(before)) if before.iter().all(|entry| identifier(entry).is_some()) => {
                        before
                    }
                    _ => Vec::new(),
                };
                known.insert(key, Value::Array(with_entries(before, list)));
            }
            (_, Value::Object(reported)) => {
                let mut fresh = Map::new();
                merge(&mut fresh, reported);
                known.insert(key, Value::Object(fresh));
            }
            (_, value) => {
                known.insert(key, value);
            }
        }
    }
}

/// As much of a tree as fits: facts first, then details, each of them whole or not at all; then all of what nobody knows, or none.
fn bounded(mut tree: Map<String, Value>, facts: &mut Facts) -> Map<String, Value> {
    let mut room = MAX_REPORT;
    let mut kept = Map::new();
    for item in items::all() {
        let Some(value) = items::take_out(&mut tree, item.name) else {
            continue;
        };
        if fits(&value, item.name, &mut room) {
            items::put(&mut kept, item.name, value);
        } else {
            facts.items.remove(item.name);
            facts.lost_items.insert(item.name.to_owned());
        }
    }
    let unknown = Value::Object(tree);
    if !fits(&unknown, UNKNOWN, &mut room) {
        facts.lost_items.insert(UNKNOWN.to_owned());
    } else if let Value::Object(unknown) = unknown {
        merge(&mut kept, unknown);
    }
    kept
}

/// Whether the whole of a value fits; takes the room it uses.
fn fits(value: &Value, name: &str, room: &mut usize) -> bool {
    let mut left = room.saturating_sub(name.len() + 8);
    let fits = fitting(value, &mut left, MAX_DEPTH).is_some_and(|fitting| fitting == *value);
    if fits {
        *room = left;
    }
    fits
}

fn is_removed(value: &Value) -> bool {
    value.get("_removed").and_then(Value::as_bool).unwrap_or_default()
}

fn listed<'a>(map: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    map.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn take_declarations(known: &mut BTreeMap<String, DeclarationState>, reported: &Value) {
    let mut named = Vec::new();
    let sections = reported.as_object();
    for entry in sections
        .into_iter()
        .flat_map(|sections| SECTIONS.iter().flat_map(|section| listed(sections, section)))
    {
        let Some(identifier) = identifier(entry) else {
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
        reasons: reasons(entry).take(MAX_REASONS).collect(),
    })
}

/// A key that Apple writes in lower case here and with a capital there.
fn either<'a>(value: &'a Value, lower: &str, capital: &str) -> Option<&'a Value> {
    value.get(lower).or_else(|| value.get(capital))
}

/// The reasons of a declaration's state or of an error, as `code: description`.
fn reasons(value: &Value) -> impl Iterator<Item = String> {
    either(value, "reasons", "Reasons")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|reason| {
            let code = either(reason, "code", "Code").and_then(Value::as_str)?;
            Some(
                match either(reason, "description", "Description").and_then(Value::as_str) {
                    Some(description) => clipped(&format!("{code}: {description}")),
                    None => clipped(code),
                },
            )
        })
}

fn clipped(text: &str) -> String {
    text.chars().take(MAX_REASON).collect()
}
