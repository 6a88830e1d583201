//! What Apple's schema says of each command, as data: its keys, its answer, and who understands it.
//!
//! The facts stand in `commands.json`, which is generated and replaceable; nothing of them is compiled into names. Several shapes follow the
//! schema's own:
//! - [`Key::keys`] of a dictionary are its entries; one whose name begins with `ANY` stands for every name.
//! - [`Key::keys`] of an array say what an item may be; where there are several, the item's `Item` tells which.
//! - [`Key::keys`] of a string are its values, each with conditions of its own.
//! - [`Key::on`] and [`CommandFacts::on`] hold conditions by system. Those of a key lie over those of what it is part of, attribute by
//!   attribute; see [`Conditions::over`].
//!
//! Specification: github.com/apple/device-management, `mdm/commands`.

mod conditions;
#[cfg(test)]
mod generate;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

pub use conditions::{AccessRights, Conditions, Mode, SharedIPad, Since, System, Version};

/// The facts, as they ship.
const COMMANDS: &str = include_str!("commands.json");

/// What an array's dictionaries are told apart by, where they may be of several kinds.
pub(super) const DISCRIMINATOR: &str = "Item";

/// The schema's name for a key of any name.
const WILDCARD: &str = "ANY";

static TABLE: LazyLock<BTreeMap<String, CommandFacts>> = LazyLock::new(|| {
    // A test reads the very same text.
    serde_json::from_str(COMMANDS).unwrap_or_else(|error| {
        tracing::error!(%error, "the table of commands cannot be read; no command can be built");
        BTreeMap::new()
    })
});

/// One command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandFacts {
    /// Which systems understand it, and under which conditions. Absent: not at all.
    pub on: BTreeMap<System, Conditions>,
    /// The keys of the request, beside `RequestType`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub request: BTreeMap<String, Key>,
    /// The keys of the answer, beside those that every report has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub response: BTreeMap<String, Key>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Whether it must be there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// The values that it may have. Empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Scalar>,
    /// The least and the greatest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(f64, f64)>,
    /// What a device takes where the key is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Scalar>,
    /// What differs, system by system, from the conditions of what it is part of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub on: BTreeMap<System, Conditions>,
    /// See the module.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, Self>,
}

/// The type of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "lowercase")]
pub enum Kind {
    /// Anything.
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

/// All commands, by `RequestType`.
#[must_use]
pub fn commands() -> &'static BTreeMap<String, CommandFacts> {
    &TABLE
}

/// One command, with its name as the table holds it.
#[must_use]
pub fn command(request_type: &str) -> Option<(&'static str, &'static CommandFacts)> {
    let (name, facts) = commands().get_key_value(request_type)?;
    Some((name, facts))
}

/// The key of `name` among `keys`, be it by a key that stands for every name.
#[must_use]
pub fn key<'k>(keys: &'k BTreeMap<String, Key>, name: &str) -> Option<&'k Key> {
    keys.get(name).or_else(|| {
        let mut wildcards = keys.iter().filter(|(name, _)| is_wildcard(name));
        wildcards.next().map(|(_, key)| key)
    })
}

/// Whether a key of this name stands for every name.
#[must_use]
pub fn is_wildcard(name: &str) -> bool {
    name.starts_with(WILDCARD)
}

impl Key {
    /// What an item of this array has to be, given what its `Item` says. None: no kind of that name.
    #[must_use]
    pub fn item(&self, discriminator: Option<&str>) -> Option<&Self> {
        let mut kinds = self.keys.values();
        match (kinds.next(), kinds.next()) {
            (Some(only), None) => Some(only),
            _ => self
                .kinds()
                .find(|(name, _)| Some(*name) == discriminator)
                .map(|(_, key)| key),
        }
    }

    /// The kinds of items, by what their `Item` says, where there are several.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.keys.values().flat_map(|kind| {
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
}
