//! Words for what a key takes and for what it was given.

use super::datum::View;
use super::facts::{Key, Keys, Kind};
use crate::suggest::did_you_mean;

/// The most values that a message lists.
const LISTED: usize = 12;

/// The longest text of a value that a message shows, in characters.
const SHOWN: usize = 40;

/// The longest name of a key or type that is told, in characters: a finding is found by its path.
const NAME: usize = 256;

/// A name, if it is too long only its beginning.
pub(super) fn clip(name: &str) -> String {
    first(name, NAME)
}

/// A text as a message shows it.
pub(super) fn shown(text: &str) -> String {
    format!("`{}`", first(text, SHOWN))
}

fn first(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most).chain(['…']).collect()
}

/// What to do about an unknown name.
pub(super) fn hint<'k>(name: &str, names: impl Iterator<Item = &'k str> + Clone) -> String {
    let near = did_you_mean(name, names.clone());
    if !near.is_empty() {
        return near.trim_start_matches("; ").to_owned();
    }
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        "leave it out".to_owned()
    } else {
        format!("there is {}", listed(names.into_iter(), "and"))
    }
}

/// What a key has to be.
pub(super) fn expected(key: &Key, within: &Keys) -> String {
    if !key.values.is_empty() {
        return one_of(key.values.iter().map(ToString::to_string));
    }
    if key.kind == Kind::String && !within.is_empty() {
        return one_of(within.keys().map(|name| format!("`{name}`")));
    }
    let kind = kind(key.kind);
    key.range
        .map_or_else(|| kind.to_owned(), |range| format!("{kind} {range}"))
}

pub(super) fn one_of(values: impl Iterator<Item = String>) -> String {
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

const fn kind(kind: Kind) -> &'static str {
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

/// What a value is.
pub(super) const fn found<D>(view: &View<'_, D>) -> &'static str {
    kind(view.kind())
}

/// A plain value.
pub(super) fn value<D>(view: &View<'_, D>) -> String {
    match view {
        View::Text(text) => shown(text),
        View::Boolean(flag) => flag.to_string(),
        View::Integer(whole) => whole.to_string(),
        View::Real(real) => real.to_string(),
        other => found(other).to_owned(),
    }
}
