//! The order in which a family of baselines is resolved: each after those that it extends, and without circles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Resolved;
use super::inherit::{Base, inherit};
use crate::api::BaselineSpec;

/// Baselines that may extend each other: those of one fleet.
pub trait Family {
    /// The baseline of a name.
    fn spec(&self, name: &str) -> Option<Arc<BaselineSpec>>;
    /// The names of all, to suggest one from.
    fn names(&self) -> Vec<&str>;
}

impl Family for BTreeMap<String, Arc<BaselineSpec>> {
    fn spec(&self, name: &str) -> Option<Arc<BaselineSpec>> {
        self.get(name).cloned()
    }

    fn names(&self) -> Vec<&str> {
        self.keys().map(String::as_str).collect()
    }
}

/// Resolves the baselines of these names and all that they extend. A name that is not there has no result.
#[must_use]
pub fn resolve<'n>(
    names: impl IntoIterator<Item = &'n str>,
    family: &dyn Family,
) -> BTreeMap<String, Arc<Resolved>> {
    let specs = reached(names, family);
    let (ordered, circular) = order(&specs);
    let mut resolved: BTreeMap<String, Arc<Resolved>> = BTreeMap::new();
    for name in ordered.iter().chain(&circular) {
        let Some(spec) = specs.get(name.as_str()) else {
            continue;
        };
        let base = |wanted: &str| {
            if circular.contains(wanted) {
                return Base::Circular(circle(wanted, &specs, &circular));
            }
            match resolved.get(wanted) {
                Some(found) => Base::Found(Arc::clone(found)),
                None => Base::Missing(family.names()),
            }
        };
        let found = if spec.extends.is_empty() {
            Resolved::as_written(Arc::clone(spec))
        } else {
            inherit(name, spec, &base)
        };
        resolved.insert(name.clone(), Arc::new(found));
    }
    resolved
}

type Specs = BTreeMap<String, Arc<BaselineSpec>>;

/// The baselines of these names and all that they extend.
fn reached<'n>(names: impl IntoIterator<Item = &'n str>, family: &dyn Family) -> Specs {
    let mut specs = Specs::new();
    let mut open: Vec<String> = names.into_iter().map(str::to_owned).collect();
    while let Some(name) = open.pop() {
        if specs.contains_key(&name) {
            continue;
        }
        if let Some(spec) = family.spec(&name) {
            open.extend(spec.extends.iter().map(|extension| extension.name.clone()));
            specs.insert(name, spec);
        }
    }
    specs
}

/// The names of those that can be resolved, each after what it extends; and of those that extend themselves by whatever way, or something that does.
fn order(specs: &Specs) -> (Vec<String>, BTreeSet<String>) {
    let mut waiting: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut extended_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, spec) in specs {
        let bases: BTreeSet<&str> = spec
            .extends
            .iter()
            .map(|extension| extension.name.as_str())
            .filter(|base| specs.contains_key(*base))
            .collect();
        for base in &bases {
            extended_by.entry(base).or_default().push(name);
        }
        waiting.insert(name, bases);
    }
    let mut ready: Vec<&str> = waiting
        .iter()
        .filter(|(_, bases)| bases.is_empty())
        .map(|(name, _)| *name)
        .collect();
    let mut ordered = Vec::new();
    while let Some(name) = ready.pop() {
        waiting.remove(name);
        ordered.push(name.to_owned());
        for heir in extended_by.get(name).into_iter().flatten() {
            if let Some(bases) = waiting.get_mut(heir) {
                bases.remove(name);
                if bases.is_empty() {
                    ready.push(heir);
                }
            }
        }
    }
    (ordered, waiting.into_keys().map(str::to_owned).collect())
}

/// The circle that one of the circular baselines is on, or leads to: `a → b → a`.
fn circle(name: &str, specs: &Specs, circular: &BTreeSet<String>) -> String {
    let mut way: Vec<&str> = Vec::new();
    let mut next = Some(name);
    while let Some(name) = next {
        if let Some(begin) = way.iter().position(|known| *known == name) {
            way.drain(..begin);
            way.push(name);
            break;
        }
        way.push(name);
        // Each extends at least one other of them.
        next = specs.get(name).and_then(|spec| {
            let bases = spec.extends.iter().map(|extension| extension.name.as_str());
            bases.into_iter().find(|base| circular.contains(*base))
        });
    }
    way.join(" → ")
}
