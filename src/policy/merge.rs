//! The merge law: what several parts say about one payload or declaration becomes one content, or a reported conflict.
//!
//! Dictionaries merge deeply. Lists become their union, in order, without duplicates. Equal scalars agree; types count, `1` is not
//! `1.0` or `true`. Unequal scalars, or different kinds of value, contradict each other:
//!
//! 1. Of parts that belong together (the rules of one baseline for one assignment) none is right: nothing is served, whatever could be made of them.
//! 2. Between those that do not, what the device would combine by itself ([`Stage::Device`]) is combined as the device would, whatever their precedence.
//! 3. Else the highest precedence wins.
//! 4. Among those of that precedence the stricter value wins where it is written down which that is ([`Stage::Equals`]).
//! 5. Else it is a conflict, and then *neither* value is served, nor that of a lower precedence.
//!
//! The result does not depend on the order of the parts, except for the order of items in lists. Where nothing is contradicted it does not depend
//! on grouping either: parts may be merged in steps. What is contradicted has to be merged at once, or a third part would bring a value back.

mod combine;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::content::{Special, canonical};

pub use combine::{Combination, Stage, combined, of_declaration, of_payload};

/// What one rule or profile says.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its precedence: the assignment's.
    pub precedence: i32,
    /// Who says it: an index of the caller's.
    pub source: usize,
    /// What it says.
    pub content: &'a Map<String, Value>,
}

/// A setting for which parts of equal precedence want different values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The key, as `key` or `key.key`.
    pub setting: String,
    /// The sources, those that agree together; groups and sources in order.
    pub sides: Vec<Vec<usize>>,
}

/// What the parts say together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Merged {
    /// The content, without what is contradicted.
    pub content: Map<String, Value>,
    /// What is contradicted, by setting.
    pub clashes: Vec<Clash>,
    /// Settings of which the value is made of different ones, and whether it is at least as strict as each of them.
    pub combined: BTreeMap<String, bool>,
}

/// How different values of a setting become one, by its path from the top of the content. None: not at all.
pub type Law<'l> = dyn Fn(&[&str]) -> Option<Combination<'l>> + 'l;

/// Merges parts of which none belong together, by the law above without any combination.
#[must_use]
pub fn merge(parts: &[Part<'_>]) -> Merged {
    let each: Vec<(usize, Part<'_>)> = parts.iter().copied().enumerate().collect();
    merge_by(&each, &|_| None)
}

/// Merges parts by the law above. Each comes with its group: those of one group belong together and have one precedence.
#[must_use]
pub fn merge_by(parts: &[(usize, Part<'_>)], law: &Law<'_>) -> Merged {
    let mut says: Vec<Say<'_>> = Vec::with_capacity(parts.len());
    let wholes: Vec<Value> = parts
        .iter()
        .map(|(_, part)| Value::Object(part.content.clone()))
        .collect();
    for ((group, part), value) in parts.iter().zip(&wholes) {
        says.push(Say {
            precedence: part.precedence,
            group: *group,
            source: part.source,
            value,
        });
    }
    // Stable: within one precedence the order of the caller decides the order of list items.
    says.sort_by_key(|say| std::cmp::Reverse(say.precedence));
    let mut merging = Merging {
        law,
        merged: Merged::default(),
    };
    if let Some(Value::Object(map)) = merging.at(&mut Vec::new(), &says) {
        merging.merged.content = map;
    }
    merging.merged.clashes.sort_by(|a, b| a.setting.cmp(&b.setting));
    merging.merged
}

#[derive(Debug, Clone, Copy)]
struct Say<'a> {
    precedence: i32,
    group: usize,
    source: usize,
    value: &'a Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dictionary,
    List,
    Scalar,
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Object(map) if Special::of(map).is_none() => Kind::Dictionary,
        Value::Array(_) => Kind::List,
        _ => Kind::Scalar,
    }
}

/// A merge under way.
struct Merging<'r, 'l> {
    law: &'r Law<'l>,
    merged: Merged,
}

impl Merging<'_, '_> {
    /// What is said at one place, by falling precedence. None: nothing is to be served here.
    fn at<'a>(&mut self, path: &mut Vec<&'a str>, says: &[Say<'a>]) -> Option<Value> {
        let highest = says.first()?;
        let top = || says.iter().take_while(|say| say.precedence == highest.precedence);
        let wanted = kind(highest.value);
        if !top().all(|say| kind(say.value) == wanted) {
            return self.clash(path, top());
        }
        let alike: Vec<Say<'a>> = says
            .iter()
            .filter(|say| kind(say.value) == wanted)
            .copied()
            .collect();
        match wanted {
            Kind::Scalar => self.scalar(path, &alike),
            Kind::List => Some(self.list(path, &alike)),
            Kind::Dictionary => self.dictionary(path, &alike),
        }
    }

    fn clash<'s, 'a: 's>(&mut self, path: &[&str], says: impl Iterator<Item = &'s Say<'a>>) -> Option<Value> {
        self.merged.clashes.push(Clash {
            setting: path.join("."),
            sides: sides(says),
        });
        None
    }

    fn scalar(&mut self, path: &[&str], says: &[Say<'_>]) -> Option<Value> {
        let highest = says.first()?;
        let top: Vec<Say<'_>> = says
            .iter()
            .take_while(|say| say.precedence == highest.precedence)
            .copied()
            .collect();
        let agreed = top.iter().all(|say| say.value == highest.value);
        let combination = (self.law)(path);
        if let Some(combination) = combination.filter(|combination| combination.stage == Stage::Device)
            && let Some(value) = self.combine(path, combination, says)
        {
            return Some(value);
        }
        if agreed {
            return Some(highest.value.clone());
        }
        if let Some(combination) = combination.filter(|combination| combination.stage == Stage::Equals)
            && let Some(value) = self.combine(path, combination, &top)
        {
            return Some(value);
        }
        self.clash(path, top.iter())
    }

    /// One value of several. None: those that belong together contradict each other, or the values cannot be combined.
    fn combine(&mut self, path: &[&str], combination: Combination<'_>, says: &[Say<'_>]) -> Option<Value> {
        let mut groups: BTreeMap<usize, &Value> = BTreeMap::new();
        for say in says {
            if *groups.entry(say.group).or_insert(say.value) != say.value {
                return None;
            }
        }
        let values: Vec<&Value> = groups.into_values().collect();
        let value = combined(&combination, &values)?;
        if values.iter().any(|said| **said != value) {
            self.merged.combined.insert(path.join("."), combination.stricter);
        }
        Some(value)
    }

    fn list(&mut self, path: &[&str], says: &[Say<'_>]) -> Value {
        let combination = (self.law)(path);
        let shared = combination.filter(Combination::is_intersection);
        let mut groups: BTreeMap<usize, Vec<&Value>> = BTreeMap::new();
        let mut union: Vec<Value> = Vec::new();
        for say in says {
            for item in say.value.as_array().into_iter().flatten() {
                groups.entry(say.group).or_default().push(item);
                if !union.contains(item) {
                    union.push(item.clone());
                }
            }
            groups.entry(say.group).or_default();
        }
        if let Some(combination) = shared {
            let before = union.len();
            union.retain(|item| groups.values().all(|items| items.contains(&item)));
            if union.len() < before {
                self.merged.combined.insert(path.join("."), combination.stricter);
            }
        }
        Value::Array(union)
    }

    fn dictionary<'a>(&mut self, path: &mut Vec<&'a str>, says: &[Say<'a>]) -> Option<Value> {
        let dictionaries: Vec<(Say<'a>, &'a Map<String, Value>)> = says
            .iter()
            .filter_map(|say| Some((*say, say.value.as_object()?)))
            .collect();
        let mut keys: Vec<&'a str> = dictionaries
            .iter()
            .flat_map(|(_, map)| map.keys().map(String::as_str))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let mut merged = Map::new();
        for key in keys.iter().copied() {
            let below: Vec<Say<'a>> = dictionaries
                .iter()
                .filter_map(|(say, map)| map.get(key).map(|value| Say { value, ..*say }))
                .collect();
            path.push(key);
            if let Some(value) = self.at(path, &below) {
                merged.insert(key.to_owned(), value);
            }
            path.pop();
        }
        // A dictionary that only conflicts have emptied is not what anybody asked for.
        (!merged.is_empty() || keys.is_empty()).then_some(Value::Object(merged))
    }
}

/// The sources, those that say the same together.
fn sides<'s, 'a: 's>(says: impl Iterator<Item = &'s Say<'a>>) -> Vec<Vec<usize>> {
    let mut sides: Vec<(String, Vec<usize>)> = Vec::new();
    for say in says {
        let text = match kind(say.value) {
            Kind::Scalar => canonical(say.value),
            // Lists agree with lists, and dictionaries with dictionaries, whatever is in them.
            Kind::List => "[".to_owned(),
            Kind::Dictionary => "{".to_owned(),
        };
        match sides.iter_mut().find(|(known, _)| *known == text) {
            Some((_, sources)) => sources.push(say.source),
            None => sides.push((text, vec![say.source])),
        }
    }
    let mut sides: Vec<Vec<usize>> = sides
        .into_iter()
        .map(|(_, mut sources)| {
            sources.sort_unstable();
            sources.dedup();
            sources
        })
        .collect();
    sides.sort_unstable();
    sides
}

/// The first setting of `demanded` that `served` does not meet; none: `served` holds all of it.
#[must_use]
pub fn unmet(demanded: &Map<String, Value>, served: &Map<String, Value>) -> Option<String> {
    all_unmet(demanded, served).into_iter().next()
}

/// The settings of `demanded` that `served` does not meet, sorted.
#[must_use]
pub fn all_unmet(demanded: &Map<String, Value>, served: &Map<String, Value>) -> Vec<String> {
    let mut open: Vec<(String, &Value, Option<&Value>)> = demanded
        .iter()
        .map(|(key, value)| (key.clone(), value, served.get(key)))
        .collect();
    let mut missing = Vec::new();
    while let Some((path, demanded, served)) = open.pop() {
        match (kind(demanded), demanded, served) {
            (Kind::Dictionary, Value::Object(demanded), Some(Value::Object(served))) => open.extend(
                demanded
                    .iter()
                    .map(|(key, value)| (format!("{path}.{key}"), value, served.get(key))),
            ),
            (Kind::List, Value::Array(demanded), Some(Value::Array(served)))
                if demanded.iter().all(|item| served.contains(item)) => {}
            (Kind::Scalar, demanded, Some(served)) if demanded == served => {}
            _ => missing.push(path),
        }
    }
    missing.sort_unstable();
    missing
}
