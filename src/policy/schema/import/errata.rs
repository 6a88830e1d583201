//! Errata: corrections of Apple's schema, each with its reason, in a small YAML file.
//!
//! ```yaml
//! errata:
//!   - reason: Apple's list of changes says that OS 27 removes it.
//!     command: DeviceInformation
//!     key: [Queries, QueriesItem, OSUpdateSettings]
//!     everywhere: { removed: "27" }
//! ```
//!
//! An erratum names one type (`profile`, `declaration`, `credential` or `command`) and, unless it is about the type itself, one key by its path.
//! `on` and `everywhere` lay conditions over those that are there; `type`, `required`, `values`, `range` and `format` replace. A key that
//! is not there is added where `type` says what it is, a type where `apply` or `open` does. What does not apply to a table is told, not
//! refused: a later schema may have put it right.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::policy::schema::conditions::{Conditions, Since, System};
use crate::policy::schema::facts::{Apply, Format, Key, Keys, Kind, Range, Scalar, TypeFacts};
use crate::policy::schema::table::Schema;

/// Those that ship.
const SHIPPED: &str = include_str!("../errata.yaml");

/// The most errata in one file.
const MAXIMUM_ERRATA: usize = 4_096;

/// Corrections, in order.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errata {
    errata: Vec<Erratum>,
}

/// One correction.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Erratum {
    /// Why, and by which source.
    reason: String,
    profile: Option<String>,
    declaration: Option<String>,
    credential: Option<String>,
    command: Option<String>,
    /// The key by its path from the top.
    #[serde(default)]
    key: Vec<String>,
    /// Conditions by system.
    #[serde(default)]
    on: BTreeMap<System, Conditions>,
    /// Conditions on every system that has it.
    everywhere: Option<Conditions>,
    #[serde(rename = "type")]
    kind: Option<Kind>,
    required: Option<bool>,
    values: Option<Vec<Scalar>>,
    range: Option<Range>,
    format: Option<Format>,
    apply: Option<Apply>,
    open: Option<bool>,
}

/// Why errata cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ErrataError {
    /// Not of this format.
    #[error("the errata cannot be read")]
    Parse(#[source] serde_yaml::Error),
    /// One of them is not what it should be.
    #[error("erratum {number}: {problem}")]
    Erratum {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There are too many.
    #[error("there are more than {MAXIMUM_ERRATA} errata")]
    TooMany,
}

impl Errata {
    /// Those that ship with this program.
    ///
    /// # Errors
    /// None that a test does not find.
    pub fn shipped() -> Result<Self, ErrataError> {
        Self::read(SHIPPED)
    }

    /// Reads errata.
    ///
    /// # Errors
    /// When the text is not of their format.
    pub fn read(text: &str) -> Result<Self, ErrataError> {
        let errata: Self = serde_yaml::from_str(text).map_err(ErrataError::Parse)?;
        if errata.errata.len() > MAXIMUM_ERRATA {
            return Err(ErrataError::TooMany);
        }
        for (place, erratum) in errata.errata.iter().enumerate() {
            if let Some(problem) = erratum.problem() {
                return Err(ErrataError::Erratum {
                    number: place + 1,
                    problem,
                });
            }
        }
        Ok(errata)
    }

    /// Corrects a table. Gives what does not apply to it, for people.
    pub fn apply(&self, schema: &mut Schema) -> Vec<String> {
        let unapplied = self
            .errata
            .iter()
            .filter_map(|erratum| erratum.apply(schema).err())
            .collect();
        schema.finish();
        unapplied
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.errata.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.errata.is_empty()
    }
}

impl Erratum {
    fn problem(&self) -> Option<&'static str> {
        let types = [&self.profile, &self.declaration, &self.credential, &self.command];
        let of_key = self.kind.is_some()
            || self.required.is_some()
            || self.values.is_some()
            || self.range.is_some()
            || self.format.is_some();
        let of_type = self.apply.is_some() || self.open.is_some();
        if self.reason.trim().is_empty() {
            Some("give a reason")
        } else if types.into_iter().flatten().count() != 1 {
            Some("give exactly one of profile, declaration, credential and command")
        } else if self.key.is_empty() && of_key {
            Some("type, required, values, range and format are about a key; name it with `key`")
        } else if !self.key.is_empty() && of_type {
            Some("apply and open are about a type; leave `key` out")
        } else if !of_key && !of_type && self.on.is_empty() && self.everywhere.is_none() {
            Some("say what to correct: on, everywhere, type, required, values, range, format, apply or open")
        } else {
            None
        }
    }

    fn apply(&self, schema: &mut Schema) -> Result<(), String> {
        let (types, name) = match (&self.profile, &self.declaration, &self.credential, &self.command) {
            (Some(name), ..) => (&mut schema.profiles, name),
            (_, Some(name), ..) => (&mut schema.declarations, name),
            (_, _, Some(name), _) => (&mut schema.credentials, name),
            (.., Some(name)) => (&mut schema.commands, name),
            _ => return Ok(()),
        };
        if self.key.is_empty() && (self.apply.is_some() || self.open.is_some()) {
            types.entry(name.clone()).or_default();
        }
        let facts = types.get_mut(name).ok_or_else(|| format!("there is no {name}"))?;
        if self.key.is_empty() {
            facts.apply = self.apply.or(facts.apply);
            facts.open = self.open.unwrap_or(facts.open);
            let effective = facts.on.clone();
            self.lay_over(&mut facts.on, &effective);
            return Ok(());
        }
        let TypeFacts { on, keys, shapes, .. } = facts;
        let (key, effective) = find(keys, shapes, on.clone(), &self.key, self.kind)
            .ok_or_else(|| format!("{name} has no key {}", self.key.join(".")))?;
        key.kind = self.kind.unwrap_or(key.kind);
        key.required = self.required.unwrap_or(key.required);
        if let Some(values) = &self.values {
            key.values.clone_from(values);
        }
        key.range = self.range.or(key.range);
        key.format = self.format.clone().or_else(|| key.format.take());
        self.lay_over(&mut key.on, &effective);
        Ok(())
    }

    fn lay_over(&self, on: &mut BTreeMap<System, Conditions>, effective: &BTreeMap<System, Conditions>) {
        if let Some(everywhere) = &self.everywhere {
            for (system, below) in effective {
                if below.since != Some(Since::Never) {
                    let own = on.entry(*system).or_default();
                    *own = everywhere.over(own);
                }
            }
        }
        for (system, conditions) in &self.on {
            let own = on.entry(*system).or_default();
            *own = conditions.over(own);
        }
    }
}

/// The key at the end of a path, with the conditions that hold for it; it is added if `kind` says what it is.
fn find<'k>(
    keys: &'k mut Keys,
    shapes: &'k mut BTreeMap<String, Keys>,
    mut effective: BTreeMap<System, Conditions>,
    path: &[String],
    kind: Option<Kind>,
) -> Option<(&'k mut Key, BTreeMap<System, Conditions>)> {
    let (name, rest) = path.split_first()?;
    if rest.is_empty() && !keys.contains_key(name) {
        let kind = kind?;
        keys.insert(
            name.clone(),
            Key {
                kind,
                ..Key::default()
            },
        );
    }
    let key = keys.get_mut(name)?;
    for (system, on) in &key.on {
        let below = effective.get(system).copied().unwrap_or_default();
        effective.insert(*system, on.over(&below));
    }
    if rest.is_empty() {
        return Some((key, effective));
    }
    match key.like.clone() {
        // A shape is not looked for within itself: its keys have their conditions from there.
        Some(shape) => {
            let keys = shapes.get_mut(&shape)?;
            let (first, more) = rest.split_first()?;
            let key = keys.get_mut(first)?;
            more.is_empty().then_some((key, effective))
        }
        None => find(&mut key.keys, shapes, effective, rest, kind),
    }
}
