//! What the schema says of one type: its keys, and who understands it.
//!
//! Several shapes follow the schema's own:
//! - [`Key::keys`] of a dictionary are its entries; one whose name begins with `ANY` stands for every name.
//! - [`Key::keys`] of an array say what an item may be; where there are several, the item's `Item` tells which.
//! - [`Key::keys`] of a string are its values, each with conditions of its own.
//! - A key that holds what it is itself part of, as a folder of bookmarks does, has no keys but [`Key::like`], the name of one of the
//!   [`TypeFacts::shapes`]. [`TypeFacts::within`] reads either.
//! - [`Key::on`] and [`TypeFacts::on`] hold conditions by system. Those of a key lie over those of what it is part of, attribute by
//!   attribute; see [`Conditions::over`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::conditions::{Conditions, System};

/// What an array's dictionaries are told apart by, where they may be of several kinds.
pub const DISCRIMINATOR: &str = "Item";

/// The schema's name for a key of any name.
const WILDCARD: &str = "ANY";

/// Another wildcard, which does not look like one.
const CATEGORY: &str = "Category Name";

/// Keys by name.
pub type Keys = BTreeMap<String, Key>;

/// One payload type, declaration type, kind of credential or command.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TypeFacts {
    /// How several declarations of it act together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply: Option<Apply>,
    /// Which systems understand it, and under which conditions. Absent: not at all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub on: BTreeMap<System, Conditions>,
    /// Nothing is known of its keys: each is taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// Its keys, beside those that every such type has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: Keys,
    /// Of a command: the keys of its answer, beside those that every report has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub response: Keys,
    /// Keys that hold themselves, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shapes: BTreeMap<String, Keys>,
    /// Other facts that hold for some values of a key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
}

/// What holds instead of a type's facts where one of its keys has one of some values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Variant {
    /// The key.
    pub key: String,
    /// The values.
    pub values: Vec<Scalar>,
    /// The facts.
    pub facts: TypeFacts,
}

/// One key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Key {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Whether it must be there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// The values that it may have, in the schema's order. Empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Scalar>,
    /// The least and the greatest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// How many of it an array holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition: Option<Range>,
    /// What a text must match as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// What a device takes where the key is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Scalar>,
    /// How a device combines the values of several declarations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combine: Option<Combine>,
    /// The types of asset that a reference may lead to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<String>,
    /// The media types of the data that such an asset may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    /// What differs, system by system, from the conditions of what it is part of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub on: BTreeMap<System, Conditions>,
    /// See the module.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: Keys,
    /// See the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
}

/// The type of a key.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "lowercase")]
pub enum Kind {
    /// Anything.
    #[default]
    Any,
    /// A list.
    Array,
    /// True or false.
    Boolean,
    /// Bytes.
    Data,
    /// A moment.
    Date,
    /// Names and values.
    Dictionary,
    /// A whole number.
    Integer,
    /// A number.
    Real,
    /// Text.
    String,
}

/// How several declarations of one type act together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::EnumString)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "lowercase")]
pub enum Apply {
    /// The device combines their settings.
    Combined,
    /// Each acts for itself.
    Multiple,
    /// Only one may be active.
    Single,
}

/// How a device combines what several declarations say of one key: Apple's `combinetype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::EnumString, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Combine {
    /// All lists, one after the other.
    ArrayAppend,
    /// True if all are.
    BooleanAnd,
    /// True if any is.
    BooleanOr,
    /// The one that stands first among [`Key::values`].
    EnumFirst,
    /// The one that stands last among [`Key::values`].
    EnumLast,
    /// The one that the device meets first, which is any.
    First,
    /// The greatest.
    NumberMax,
    /// The smallest.
    NumberMin,
    /// What all lists hold.
    SetIntersection,
    /// What any list holds.
    SetUnion,
}

/// Bounds, both included. None: no bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range(pub Option<f64>, pub Option<f64>);

impl Range {
    /// Whether a number lies within.
    #[must_use]
    pub fn holds(self, number: f64) -> bool {
        self.0.is_none_or(|least| number >= least) && self.1.is_none_or(|greatest| number <= greatest)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Some(least), Some(greatest)) if least.total_cmp(&greatest).is_eq() => {
                write!(f, "exactly {least}")
            }
            (Some(least), Some(greatest)) => write!(f, "from {least} to {greatest}"),
            (Some(least), None) => write!(f, "of at least {least}"),
            (None, Some(greatest)) => write!(f, "of at most {greatest}"),
            (None, None) => f.write_str("of any size"),
        }
    }
}

/// A regular expression that a text must match as a whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Format {
    pattern: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Format {
    /// As the schema writes it.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether a text matches. Some patterns are anchored at one alternative only; here each is taken whole. A pattern that cannot be read
    /// takes every text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let whole = || Regex::new(&format!(r"\A(?:{})\z", self.pattern)).ok();
        self.compiled
            .get_or_init(whole)
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(text))
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl From<String> for Format {
    fn from(pattern: String) -> Self {
        Self {
            pattern,
            compiled: OnceLock::new(),
        }
    }
}

impl From<Format> for String {
    fn from(format: Format) -> Self {
        format.pattern
    }
}

/// A plain value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// Text.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(flag) => flag.fmt(f),
            Self::Integer(integer) => integer.fmt(f),
            Self::Real(real) => real.fmt(f),
            Self::Text(text) => write!(f, "`{text}`"),
        }
    }
}

impl TypeFacts {
    /// What a key holds: its own keys, or those of the shape that it is like.
    #[must_use]
    pub fn within<'t>(&'t self, key: &'t Key) -> &'t Keys {
        key.like
            .as_ref()
            .and_then(|shape| self.shapes.get(shape))
            .unwrap_or(&key.keys)
    }

    /// Its conditions on a system. None: the system does not have it.
    #[must_use]
    pub fn on(&self, system: System) -> Option<Conditions> {
        self.on.get(&system).copied()
    }

    /// The key at the end of a path from the top, such as `["Restrictions", "ExternalStorage"]`.
    #[must_use]
    pub fn key(&self, path: &[&str]) -> Option<&Key> {
        let (first, rest) = path.split_first()?;
        rest.iter()
            .try_fold(key(&self.keys, first)?, |at, name| key(self.within(at), name))
    }
}

/// The key of `name` among `keys`, be it by a key that stands for every name.
#[must_use]
pub fn key<'k>(keys: &'k Keys, name: &str) -> Option<&'k Key> {
    keys.get(name).or_else(|| {
        let mut wildcards = keys.iter().filter(|(name, _)| is_wildcard(name));
        wildcards.next().map(|(_, key)| key)
    })
}

/// Whether a key of this name stands for every name.
#[must_use]
pub fn is_wildcard(name: &str) -> bool {
    name.starts_with(WILDCARD) || name == CATEGORY
}

/// What an item of an array has to be, given what its `Item` says. None: no kind of that name.
#[must_use]
pub fn item<'k>(kinds: &'k Keys, discriminator: Option<&str>) -> Option<&'k Key> {
    let mut all = kinds.values();
    match (all.next(), all.next()) {
        (Some(only), None) => Some(only),
        _ => items(kinds)
            .find(|(name, _)| Some(*name) == discriminator)
            .map(|(_, key)| key),
    }
}

/// The kinds of items of an array, by what their `Item` says, where there are several.
pub fn items(kinds: &Keys) -> impl Iterator<Item = (&str, &Key)> {
    kinds.values().flat_map(|kind| {
        let values = kind
            .keys
            .get(DISCRIMINATOR)
            .map(|item| item.values.as_slice())
            .unwrap_or_default();
        values.iter().filter_map(move |value| match value {
            Scalar::Text(name) => Some((name.as_str(), kind)),
            _ => None,
        })
    })
}
