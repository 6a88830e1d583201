//! Whether the arguments of a command are what the table says: names, presence, types, values.
//!
//! Specification: the `payloadkeys` of Apple's schema. What the schema says in prose only is not checked here; the device does.

use std::collections::BTreeMap;
use std::fmt;

use plist::{Dictionary, Value};

use super::table::{self, DISCRIMINATOR, Key, Kind, Scalar};
use crate::suggest::did_you_mean;

/// The most mistakes of one command that are told.
const PROBLEMS: usize = 16;

/// The most values that a message lists.
const LISTED: usize = 12;

/// The longest text of an argument that a message shows, in characters.
const SHOWN: usize = 40;

/// A mistake in the arguments of a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ArgumentError {
    /// Where: `Settings[0].Item`.
    pub path: String,
    /// What.
    pub problem: Problem,
}

/// What is wrong with an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// There is no such key here.
    Unknown {
        /// `; did you mean …?`, or what there is.
        hint: String,
    },
    /// It must be there.
    Missing {
        /// What it has to be.
        expected: String,
    },
    /// Of another type.
    WrongType {
        /// What it has to be.
        expected: String,
        /// What it is.
        found: &'static str,
    },
    /// A value that it cannot have.
    NotAllowed {
        /// The value.
        found: String,
        /// What it may be.
        expected: String,
        /// `; did you mean …?`, or nothing.
        hint: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { hint } => write!(f, "there is no such key{hint}"),
            Self::Missing { expected } => write!(f, "is missing; give it {expected}"),
            Self::WrongType { expected, found } => write!(f, "is {found}; give it {expected}"),
            Self::NotAllowed {
                found,
                expected,
                hint,
            } => write!(f, "cannot be {found}; give it {expected}{hint}"),
        }
    }
}

/// Checks all arguments of a command.
pub(super) fn check(keys: &BTreeMap<String, Key>, arguments: &Dictionary) -> Vec<ArgumentError> {
    let mut check = Check { errors: Vec::new() };
    check.dictionary("", keys, arguments);
    check.errors
}

struct Check {
    errors: Vec<ArgumentError>,
}

impl Check {
    fn note(&mut self, path: &str, problem: Problem) {
        if self.errors.len() < PROBLEMS {
            self.errors.push(ArgumentError {
                path: path.to_owned(),
                problem,
            });
        }
    }

    fn dictionary(&mut self, path: &str, keys: &BTreeMap<String, Key>, entries: &Dictionary) {
        for (name, value) in entries {
            let path = below(path, name);
            match table::key(keys, name) {
                Some(key) => self.value(&path, key, value),
                None => self.note(
                    &path,
                    Problem::Unknown {
                        hint: hint(name, keys.keys().map(String::as_str)),
                    },
                ),
            }
        }
        for (name, key) in keys.iter().filter(|(_, key)| key.required) {
            if !table::is_wildcard(name) && !entries.contains_key(name) {
                self.note(
                    &below(path, name),
                    Problem::Missing {
                        expected: expected(key),
                    },
                );
            }
        }
    }

    fn value(&mut self, path: &str, key: &Key, value: &Value) {
        if !is_of(key.kind, value) {
            self.note(
                path,
                Problem::WrongType {
                    expected: expected(key),
                    found: found(value),
                },
            );
            return;
        }
        match value {
            Value::Dictionary(entries) if !key.keys.is_empty() => self.dictionary(path, &key.keys, entries),
            Value::Array(items) if !key.keys.is_empty() => {
                for (place, item) in items.iter().enumerate() {
                    self.item(&format!("{path}[{place}]"), key, item);
                }
            }
            _ => self.plain(path, key, value),
        }
    }

    fn item(&mut self, path: &str, array: &Key, item: &Value) {
        let discriminator = item
            .as_dictionary()
            .and_then(|entries| entries.get(DISCRIMINATOR))
            .and_then(Value::as_string);
        if let Some(kind) = array.item(discriminator) {
            self.value(path, kind, item);
            return;
        }
        let names = || array.kinds().map(|(name, _)| name);
        let path = below(path, DISCRIMINATOR);
        let expected = one_of(names().map(|name| format!("`{name}`")));
        self.note(
            &path,
            match discriminator {
                None => Problem::Missing { expected },
                Some(name) => Problem::NotAllowed {
                    found: shown(name),
                    expected,
                    hint: did_you_mean(name, names()),
                },
            },
        );
    }

    fn plain(&mut self, path: &str, key: &Key, value: &Value) {
        let text = value.as_string().unwrap_or_default();
        let listed = key.values.is_empty() || key.values.iter().any(|allowed| equals(allowed, value));
        let named = key.keys.is_empty() || table::key(&key.keys, text).is_some();
        let within = key.range.is_none_or(|(least, greatest)| {
            number(value).is_some_and(|number| (least..=greatest).contains(&number))
        });
        if listed && named && within {
            return;
        }
        let near = key.keys.keys().map(String::as_str);
        let values = key.values.iter().filter_map(|value| match value {
            Scalar::Text(text) => Some(text.as_str()),
            _ => None,
        });
        self.note(
            path,
            Problem::NotAllowed {
                found: match value {
                    Value::String(text) => shown(text),
                    other => {
                        number(other).map_or_else(|| found(other).to_owned(), |number| number.to_string())
                    }
                },
                expected: expected(key),
                hint: did_you_mean(text, near.chain(values)),
            },
        );
    }
}

fn below(path: &str, name: &str) -> String {
    let name = clip(name);
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

fn clip(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

fn shown(text: &str) -> String {
    format!("`{}`", clip(text))
}

fn hint<'k>(name: &str, names: impl Iterator<Item = &'k str> + Clone) -> String {
    let near = did_you_mean(name, names.clone());
    if !near.is_empty() {
        return near;
    }
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        "; leave it out".to_owned()
    } else {
        format!("; there is {}", listed(names.into_iter(), "and"))
    }
}

/// What a key has to be, in words.
fn expected(key: &Key) -> String {
    if !key.values.is_empty() {
        return one_of(key.values.iter().map(ToString::to_string));
    }
    if key.kind == Kind::String && !key.keys.is_empty() {
        return one_of(key.keys.keys().map(|name| format!("`{name}`")));
    }
    let kind = words(key.kind);
    key.range.map_or_else(
        || kind.to_owned(),
        |(least, greatest)| format!("{kind} from {least} to {greatest}"),
    )
}

fn one_of(values: impl Iterator<Item = String>) -> String {
    format!("one of {}", listed(values, "or"))
}

fn listed(values: impl Iterator<Item = String>, last: &str) -> String {
    let values: Vec<String> = values.collect();
    match values.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., end] if values.len() <= LISTED => format!("{} {last} {end}", first.join(", ")),
        _ => {
            let more = values.len() - LISTED;
            let first: Vec<String> = values.into_iter().take(LISTED).collect();
            format!("{} and {more} more", first.join(", "))
        }
    }
}

const fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Any => "a value",
        Kind::Array => "an array",
        Kind::Boolean => "true or false",
        Kind::Data => "data",
        Kind::Date => "a date",
        Kind::Dictionary => "a dictionary",
        Kind::Integer => "an integer",
        Kind::Real => "a number",
        Kind::String => "a string",
    }
}

fn found(value: &Value) -> &'static str {
    words(match value {
        Value::Array(_) => Kind::Array,
        Value::Boolean(_) => Kind::Boolean,
        Value::Data(_) => Kind::Data,
        Value::Date(_) => Kind::Date,
        Value::Dictionary(_) => Kind::Dictionary,
        Value::Integer(_) => Kind::Integer,
        Value::Real(_) => Kind::Real,
        Value::String(_) => Kind::String,
        _ => Kind::Any,
    })
}

/// Whether a value is of a type. A whole number is a number too.
pub(super) const fn is_of(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Any => true,
        Kind::Array => matches!(value, Value::Array(_)),
        Kind::Boolean => matches!(value, Value::Boolean(_)),
        Kind::Data => matches!(value, Value::Data(_)),
        Kind::Date => matches!(value, Value::Date(_)),
        Kind::Dictionary => matches!(value, Value::Dictionary(_)),
        Kind::Integer => matches!(value, Value::Integer(_)),
        Kind::Real => matches!(value, Value::Real(_) | Value::Integer(_)),
        Kind::String => matches!(value, Value::String(_)),
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_real().or_else(|| {
        let whole = i32::try_from(value.as_signed_integer()?).ok()?;
        Some(f64::from(whole))
    })
}

fn equals(allowed: &Scalar, value: &Value) -> bool {
    match allowed {
        Scalar::Boolean(flag) => value.as_boolean() == Some(*flag),
        Scalar::Integer(integer) => value.as_signed_integer() == Some(*integer),
        Scalar::Real(real) => number(value).is_some_and(|number| number.total_cmp(real).is_eq()),
        Scalar::Text(text) => value.as_string() == Some(text),
    }
}
