//! Merging a configuration into an object, and taking fields out of one.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::ApplyError;
use super::set::{FieldSet, Step};
use super::types::Shape;

/// Puts what `config` says over `live`, by type: maps and lists with keys are merged, everything else is replaced.
///
/// # Errors
/// [`ApplyError::Malformed`] when an item of a list in `config` cannot be told from another.
pub(super) fn merge(live: &Value, config: &Value, shape: Shape<'_>) -> Result<Value, ApplyError> {
    merge_value(Some(live), config, shape, "")
}

fn merge_value(
    live: Option<&Value>,
    config: &Value,
    shape: Shape<'_>,
    at: &str,
) -> Result<Value, ApplyError> {
    match config {
        Value::Object(fields) if !shape.is_atomic_map() => {
            let mut merged = match live {
                Some(Value::Object(live)) => live.clone(),
                _ => Map::new(),
            };
            for (name, field) in fields {
                let value = merge_value(
                    merged.get(name),
                    field,
                    shape.field(name),
                    &format!("{at}.{name}"),
                )?;
                merged.insert(name.clone(), value);
            }
            Ok(Value::Object(merged))
        }
        Value::Array(items) if !shape.is_atomic_list() => {
            let live = live
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                .unwrap_or_default();
            merge_list(live, items, shape, at).map(Value::Array)
        }
        other => Ok(other.clone()),
    }
}

/// Merges two lists whose items can be told apart. Items that both have follow the order of `config`; those that only
/// `live` has keep their place among their neighbours.
fn merge_list(
    live: &[Value],
    config: &[Value],
    shape: Shape<'_>,
    at: &str,
) -> Result<Vec<Value>, ApplyError> {
    let config = Indexed::of_config(config, shape, at)?;
    let live = Indexed::of_live(live, shape);
    let mut shared = config
        .order
        .iter()
        .filter(|(step, _)| live.contains(step))
        .map(|(step, _)| step);
    let mut next_shared = shared.next();
    let mut merged: Vec<Value> = Vec::new();
    let mut done: std::collections::BTreeSet<&Step> = std::collections::BTreeSet::new();
    let (mut left, mut right) = (live.order.iter().peekable(), config.order.iter().peekable());
    loop {
        // First what stands only in the live list, or was merged already.
        if let Some((step, item)) = left.peek() {
            if !config.contains(step) {
                merged.push((*item).clone());
                left.next();
                continue;
            }
            let waits_for_another = right.peek().is_some_and(|(mine, _)| mine != step)
                && next_shared.is_some_and(|next| next != step);
            if done.contains(step) || waits_for_another {
                left.next();
                continue;
            }
        }
        // Then the next of the configuration, over its live counterpart.
        let Some((step, item)) = right.next() else {
            return Ok(merged);
        };
        if left.peek().is_some_and(|(theirs, _)| theirs == step) {
            left.next();
        }
        merged.push(merge_value(
            live.unique(step),
            item,
            shape.item(),
            &format!("{at}{step}"),
        )?);
        done.insert(step);
        if next_shared == Some(step) {
            next_shared = shared.next();
        }
    }
}

/// The items of a list in order and by step.
struct Indexed<'a> {
    order: Vec<(Step, &'a Value)>,
    by_step: BTreeMap<Step, Option<&'a Value>>,
}

impl<'a> Indexed<'a> {
    fn of_config(items: &'a [Value], shape: Shape<'_>, at: &str) -> Result<Self, ApplyError> {
        let mut indexed = Self {
            order: Vec::new(),
            by_step: BTreeMap::new(),
        };
        for (position, item) in items.iter().enumerate() {
            let Some(step) = shape.step(item) else {
                let keys = shape.keys();
                let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
                return Err(ApplyError::Malformed(format!(
                    "{at}: element {position}: associative list with keys has an element that omits all key fields [{}] \
                     (and doesn't have default values for any key fields)",
                    keys.join(" ")
                )));
            };
            if indexed.by_step.insert(step.clone(), Some(item)).is_some() {
                return Err(ApplyError::Malformed(format!(
                    "{at}: duplicate entries for key {step}"
                )));
            }
            indexed.order.push((step, item));
        }
        Ok(indexed)
    }

    /// Duplicates stay in the order, but have no item of their own to merge with.
    fn of_live(items: &'a [Value], shape: Shape<'_>) -> Self {
        let mut indexed = Self {
            order: Vec::new(),
            by_step: BTreeMap::new(),
        };
        for item in items {
            let Some(step) = shape.step(item) else { continue };
            indexed
                .by_step
                .entry(step.clone())
                .and_modify(|first| *first = None)
                .or_insert(Some(item));
            indexed.order.push((step, item));
        }
        indexed
    }

    fn contains(&self, step: &Step) -> bool {
        self.by_step.contains_key(step)
    }

    fn unique(&self, step: &Step) -> Option<&'a Value> {
        self.by_step.get(step).copied().flatten()
    }
}

/// Takes the fields of `set` out of `value`. A map or list that loses its last field stays, empty, unless it is in the set
/// itself.
pub(super) fn remove(value: &Value, set: &FieldSet, shape: Shape<'_>) -> Value {
    match value {
        Value::Object(fields) if !shape.is_atomic_map() => {
            let kept = fields.iter().filter_map(|(name, field)| {
                let field = match set.child(&Step::field(name)) {
                    Some(below) if below.is_owned() => return None,
                    Some(below) => remove(field, below, shape.field(name)),
                    None => field.clone(),
                };
                Some((name.clone(), field))
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) if !shape.is_atomic_list() => {
            let kept =
                items
                    .iter()
                    .filter_map(|item| match shape.step(item).and_then(|step| set.child(&step)) {
                        Some(below) if below.is_owned() => None,
                        Some(below) => Some(remove(item, below, shape.item())),
                        None => Some(item.clone()),
                    });
            Value::Array(kept.collect())
        }
        other => other.clone(),
    }
}

/// Adds the fields on the way to each path, as far as the type names them: who owns `spec.a.b` then also owns `spec` and
/// `spec.a`, so that they can be removed with their last field.
pub(super) fn with_named_parents(set: &FieldSet, value: &Value, shape: Shape<'_>) -> FieldSet {
    let mut result = set.clone();
    add_named_parents(&mut result, value, shape);
    result
}

fn add_named_parents(set: &mut FieldSet, value: &Value, shape: Shape<'_>) {
    match value {
        Value::Object(fields) if !shape.is_atomic_map() => {
            for (name, field) in fields {
                let step = Step::field(name);
                if set.child(&step).is_none() {
                    continue;
                }
                let below = set.enter(step);
                add_named_parents(below, field, shape.field(name));
                if shape.names(name) && below.children().next().is_some() {
                    below.own();
                }
            }
        }
        Value::Array(items) if !shape.is_atomic_list() => {
            for item in items {
                let Some(step) = shape.step(item).filter(|step| set.child(step).is_some()) else {
                    continue;
                };
                add_named_parents(set.enter(step), item, shape.item());
            }
        }
        _ => {}
    }
}
