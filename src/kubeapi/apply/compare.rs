//! Which fields an object holds, and which differ between two versions of it.

use serde_json::{Map, Value};

use super::set::{FieldSet, Step};
use super::types::Shape;

/// Every field of `value` that someone who applied it owns: leaves, items of lists with keys, keys of maps.
pub(super) fn field_set(value: &Value, shape: Shape<'_>) -> FieldSet {
    let mut set = FieldSet::default();
    collect(value, shape, &mut set);
    set.trim();
    set
}

fn collect(value: &Value, shape: Shape<'_>, set: &mut FieldSet) {
    match value {
        Value::Object(fields) if !shape.is_atomic_map() => {
            for (name, field) in fields {
                let below = set.enter(Step::field(name));
                collect(field, shape.field(name), below);
                let empty = field.as_object().is_some_and(Map::is_empty);
                if field.is_null() || empty || !shape.names(name) {
                    below.own();
                }
            }
        }
        // Kubernetes lets nobody own an empty list with keys, so that applying it twice differs from applying it once.
        Value::Array(items) if !shape.is_atomic_list() && !items.is_empty() => {
            for item in items {
                let Some(step) = shape.step(item) else { continue };
                let below = set.enter(step);
                collect(item, shape.item(), below);
                below.own();
            }
        }
        Value::Array(_)
        | Value::Bool(_)
        | Value::Null
        | Value::Number(_)
        | Value::Object(_)
        | Value::String(_) => {
            set.own();
        }
    }
}

/// The difference between two versions of an object.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) added: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) removed: FieldSet,
}

impl Comparison {
    /// Leaves out fields of the object with everything below them.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        for set in [&mut self.added, &mut self.modified, &mut self.removed] {
            for name in names {
                set.remove_field(name);
            }
        }
    }

    /// What the new version has that the old one had not, or had otherwise.
    pub(super) fn changed(&self) -> FieldSet {
        self.added.union(&self.modified)
    }
}

/// Compares two versions of an object.
pub(super) fn compare(old: &Value, new: &Value, shape: Shape<'_>) -> Comparison {
    let mut comparison = Comparison::default();
    let Comparison {
        added,
        modified,
        removed,
    } = &mut comparison;
    compare_values(
        Some(old),
        Some(new),
        shape,
        &mut Sides {
            added,
            modified,
            removed,
        },
    );
    for set in [added, modified, removed] {
        set.trim();
    }
    comparison
}

/// The three sets at one path.
struct Sides<'a> {
    added: &'a mut FieldSet,
    modified: &'a mut FieldSet,
    removed: &'a mut FieldSet,
}

impl Sides<'_> {
    fn enter(&mut self, step: &Step) -> Sides<'_> {
        Sides {
            added: self.added.enter(step.clone()),
            modified: self.modified.enter(step.clone()),
            removed: self.removed.enter(step.clone()),
        }
    }

    fn own(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, Some(_)) => self.added.own(),
            (Some(_), None) => self.removed.own(),
            (Some(old), Some(new)) if old != new => self.modified.own(),
            _ => {}
        }
    }
}

fn compare_values(old: Option<&Value>, new: Option<&Value>, shape: Shape<'_>, sides: &mut Sides<'_>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Some(Value::Object(_)) | None, Some(Value::Object(_)) | None) if !shape.is_atomic_map() => {
            let (old_fields, new_fields) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
            let mut names: Vec<&String> = old_fields
                .into_iter()
                .chain(new_fields)
                .flat_map(Map::keys)
                .collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let old = old_fields.and_then(|fields| fields.get(name));
                let new = new_fields.and_then(|fields| fields.get(name));
                if old != new {
                    compare_values(old, new, shape.field(name), &mut sides.enter(&Step::field(name)));
                }
            }
            if old.is_none() || new.is_none() {
                sides.own(old, new);
            }
        }
        (Some(Value::Array(_)) | None, Some(Value::Array(_)) | None) if !shape.is_atomic_list() => {
            compare_lists(old, new, shape, sides);
            if old.is_none() || new.is_none() {
                sides.own(old, new);
            }
        }
        // A null list is there, and empty: what comes into it or goes is its items.
        (Some(Value::Null), Some(Value::Array(items))) | (Some(Value::Array(items)), Some(Value::Null))
            if !shape.is_atomic_list() && !items.is_empty() =>
        {
            compare_lists(old, new, shape, sides);
        }
        _ => sides.own(old, new),
    }
}

fn compare_lists(old: Option<&Value>, new: Option<&Value>, shape: Shape<'_>, sides: &mut Sides<'_>) {
    let (old_items, new_items) = (index(old, shape), index(new, shape));
    let mut steps: Vec<&Step> = old_items.keys().chain(new_items.keys()).collect();
    steps.sort_unstable();
    steps.dedup();
    let nothing = Vec::new();
    for step in steps {
        let (old, new) = (
            old_items.get(step).unwrap_or(&nothing),
            new_items.get(step).unwrap_or(&nothing),
        );
        if old == new {
            continue;
        }
        let mut sides = sides.enter(step);
        match (old.as_slice(), new.as_slice()) {
            ([] | [_], [] | [_]) => {
                compare_values(
                    old.first().copied(),
                    new.first().copied(),
                    shape.item(),
                    &mut sides,
                );
            }
            // Duplicates cannot be told apart, so they count as one value.
            ([_, _, ..], [_, _, ..]) => sides.modified.own(),
            ([_, _, ..], rest) => {
                if let Some(new) = rest.first() {
                    compare_values(None, Some(new), shape.item(), &mut sides);
                }
                sides.removed.own();
            }
            (rest, _) => {
                if let Some(old) = rest.first() {
                    compare_values(Some(old), None, shape.item(), &mut sides);
                }
                sides.added.own();
            }
        }
    }
}

/// The items of a list by the step that leads to them.
fn index<'a>(list: Option<&'a Value>, shape: Shape<'_>) -> std::collections::BTreeMap<Step, Vec<&'a Value>> {
    let mut items: std::collections::BTreeMap<Step, Vec<&Value>> = std::collections::BTreeMap::new();
    for item in list.and_then(Value::as_array).into_iter().flatten() {
        if let Some(step) = shape.step(item) {
            items.entry(step).or_default().push(item);
        }
    }
    items
}
