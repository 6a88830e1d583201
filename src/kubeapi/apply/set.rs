//! Sets of field paths: the `fieldsV1` of a manager.
//!
//! The tree mirrors the JSON form: a step is `f:name`, `k:{"type":"Ready"}` (item of a list with keys), `v:"x"` (item of
//! a set) or `i:0`; a path is in the set when its last step is marked as owned (`.`, or an empty object).

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// One step of a path, in its JSON form. Two steps are the same step when their texts are equal, so keys and values are
/// written in one canonical way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step(String);

impl Step {
    pub(super) fn field(name: &str) -> Self {
        Self(format!("f:{name}"))
    }

    /// An item of a list with keys, given as the object of its keys.
    pub(super) fn keys(keys: &Value) -> Self {
        Self(format!("k:{keys}"))
    }

    /// An item of a set.
    pub(super) fn value(value: &Value) -> Self {
        Self(format!("v:{value}"))
    }

    fn parse(text: &str) -> Option<Self> {
        let canonical = |json: &str| {
            serde_json::from_str::<Value>(json)
                .ok()
                .map(|value| value.to_string())
        };
        let step = match text.split_at_checked(2)? {
            ("f:", _) => text.to_owned(),
            ("k:", json) => format!("k:{}", canonical(json)?),
            ("v:", json) => format!("v:{}", canonical(json)?),
            ("i:", index) => format!("i:{}", index.parse::<u32>().ok()?),
            _ => return None,
        };
        Some(Self(step))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(2) {
            Some(("f:", name)) => write!(f, ".{name}"),
            Some(("v:", value)) => write!(f, "[={value}]"),
            Some(("k:", keys)) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let pairs: Vec<String> = keys
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                write!(f, "[{}]", pairs.join(","))
            }
            Some((_, rest)) => write!(f, "[{rest}]"),
            None => Ok(()),
        }
    }
}

/// A set of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    owned: bool,
    children: BTreeMap<Step, Self>,
}

impl FieldSet {
    /// Reads the JSON form; nothing if it is malformed.
    pub(super) fn parse(fields: &Value) -> Option<Self> {
        let mut set = Self::default();
        for (text, below) in fields.as_object()? {
            if text == "." {
                set.owned = true;
                continue;
            }
            let step = Step::parse(text)?;
            let mut child = Self::parse(below)?;
            child.owned |= child.children.is_empty();
            set.children.insert(step, child);
        }
        Some(set)
    }

    /// Writes the JSON form.
    pub(super) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        if self.owned && !self.children.is_empty() {
            fields.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (step, child) in &self.children {
            fields.insert(step.0.clone(), child.to_json());
        }
        Value::Object(fields)
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.owned && self.children.values().all(Self::is_empty)
    }

    /// Forgets steps that were entered but lead to no path.
    pub(super) fn trim(&mut self) {
        self.children.retain(|_, child| {
            child.trim();
            child.owned || !child.children.is_empty()
        });
    }

    /// Puts the path that ends here into the set.
    pub(super) fn own(&mut self) {
        self.owned = true;
    }

    pub(super) fn is_owned(&self) -> bool {
        self.owned
    }

    /// The set below a step, made if it is not there; whoever enters [trims](Self::trim) afterwards.
    pub(super) fn enter(&mut self, step: Step) -> &mut Self {
        self.children.entry(step).or_default()
    }

    pub(super) fn child(&self, step: &Step) -> Option<&Self> {
        self.children.get(step)
    }

    pub(super) fn children(&self) -> impl Iterator<Item = (&Step, &Self)> {
        self.children.iter()
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.add(other);
        union
    }

    fn add(&mut self, other: &Self) {
        self.owned |= other.owned;
        for (step, theirs) in &other.children {
            self.children.entry(step.clone()).or_default().add(theirs);
        }
    }

    /// The paths of this set that are not in `other`.
    pub(super) fn difference(&self, other: &Self) -> Self {
        let children = self
            .children
            .iter()
            .map(|(step, ours)| match other.children.get(step) {
                Some(theirs) => (step.clone(), ours.difference(theirs)),
                None => (step.clone(), ours.clone()),
            });
        Self {
            owned: self.owned && !other.owned,
            children: Self::without_empty(children),
        }
    }

    /// The paths that are in both sets.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let children = self
            .children
            .iter()
            .filter_map(|(step, ours)| Some((step.clone(), ours.intersection(other.children.get(step)?))));
        Self {
            owned: self.owned && other.owned,
            children: Self::without_empty(children),
        }
    }

    fn without_empty(children: impl Iterator<Item = (Step, Self)>) -> BTreeMap<Step, Self> {
        children.filter(|(_, child)| !child.is_empty()).collect()
    }

    /// Takes out a field of the object with everything below it.
    pub(super) fn remove_field(&mut self, name: &str) {
        self.children.remove(&Step::field(name));
    }

    /// Takes out one path, leaving what is below it.
    pub(super) fn disown(&mut self, path: &[&str]) {
        match path {
            [] => self.owned = false,
            [first, rest @ ..] => {
                let step = Step::field(first);
                if let Some(child) = self.children.get_mut(&step) {
                    child.disown(rest);
                    if child.is_empty() {
                        self.children.remove(&step);
                    }
                }
            }
        }
    }

    /// Every path, as text such as `.spec.rules[id="a"].severity`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        if self.owned {
            paths.push(prefix.to_owned());
        }
        for (step, child) in &self.children {
            child.collect_paths(&format!("{prefix}{step}"), paths);
        }
    }
}
