//! The table: every type, by its kind and Apple's name; as a file, as it ships, and as it is in force.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{LazyLock, OnceLock};

use serde::{Deserialize, Serialize};

use super::conditions::{Since, System, Version};
use super::facts::{Key, TypeFacts};

/// The table that ships.
const EMBEDDED: &str = include_str!("apple.json");

/// The version of the file's format.
const FORMAT: u32 = 1;

/// The largest table that is read, in bytes.
pub const MAXIMUM_TABLE: usize = 16 << 20;

static SHIPPED: LazyLock<Schema> = LazyLock::new(|| {
    // A test reads the very same text.
    Schema::read(EMBEDDED).unwrap_or_else(|error| {
        tracing::error!(%error, "the table of Apple's schema cannot be read; nothing can be checked against it");
        Schema::default()
    })
});

static IN_FORCE: OnceLock<Schema> = OnceLock::new();

/// Types by Apple's name.
pub type Types = BTreeMap<String, TypeFacts>;

/// What Apple's schema says, reduced to what can be checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Schema {
    format: u32,
    /// What it was made from, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The keys that every payload has.
    pub common: TypeFacts,
    /// Payload types of profiles.
    pub profiles: Types,
    /// Declaration types.
    pub declarations: Types,
    /// Kinds of credential that assets point to.
    pub credentials: Types,
    /// Commands.
    pub commands: Types,
    /// The newest version of each system that declarations speak of.
    #[serde(skip)]
    pub(super) newest: BTreeMap<System, Version>,
}

/// Why a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It is not a table.
    #[error("the file is no table of Apple's schema; make one with `provost schema import`")]
    Parse(#[source] serde_json::Error),
    /// It is of another format.
    #[error(
        "the table has format {found}, and this program reads {FORMAT}; make it again with `provost schema import`"
    )]
    Format {
        /// Its format.
        found: u32,
    },
    /// It is too large.
    #[error("the table has {bytes} bytes, more than the {MAXIMUM_TABLE} that are read")]
    Size {
        /// Its size.
        bytes: usize,
    },
    /// A key is like a shape that is not there.
    #[error("the table is damaged: {type_} has no shape `{shape}`")]
    Shape {
        /// Where.
        type_: String,
        /// Which.
        shape: String,
    },
}

impl Schema {
    /// A table of these types.
    #[must_use]
    pub fn new(source: String) -> Self {
        Self {
            format: FORMAT,
            source,
            ..Self::default()
        }
    }

    /// The table that ships with this program, read once.
    #[must_use]
    pub fn embedded() -> &'static Self {
        &SHIPPED
    }

    /// The table that this process goes by: the one that was [put in force](Self::put_in_force), or else the one that ships.
    #[must_use]
    pub fn in_force() -> &'static Self {
        IN_FORCE.get().unwrap_or_else(|| Self::embedded())
    }

    /// Lets this process go by `self`, once, before anything is checked.
    ///
    /// # Errors
    /// The table again, when there is one in force already.
    pub fn put_in_force(self) -> Result<(), Box<Self>> {
        IN_FORCE.set(self).map_err(Box::new)
    }

    /// Reads a table.
    ///
    /// # Errors
    /// When the text is no table of this format.
    pub fn read(text: &str) -> Result<Self, TableError> {
        if text.len() > MAXIMUM_TABLE {
            return Err(TableError::Size { bytes: text.len() });
        }
        let mut schema: Self = serde_json::from_str(text).map_err(TableError::Parse)?;
        if schema.format != FORMAT {
            return Err(TableError::Format { found: schema.format });
        }
        for (name, facts) in schema.types() {
            if let Some(shape) = missing_shape(facts) {
                return Err(TableError::Shape {
                    type_: name.to_owned(),
                    shape,
                });
            }
        }
        schema.finish();
        Ok(schema)
    }

    /// The table as a file: one line for each type.
    #[must_use]
    pub fn write(&self) -> String {
        // What is written is plain data, which always has a JSON form.
        fn json(value: &impl Serialize) -> String {
            serde_json::to_string(value).unwrap_or_default()
        }
        let Self {
            format,
            source,
            common,
            profiles,
            declarations,
            credentials,
            commands,
            newest: _,
        } = self;
        let mut text = format!(
            "{{\n\"format\":{format},\n\"source\":{},\n\"common\":{}",
            json(source),
            json(common)
        );
        for (name, types) in [
            ("profiles", profiles),
            ("declarations", declarations),
            ("credentials", credentials),
            ("commands", commands),
        ] {
            let lines: Vec<String> = types
                .iter()
                .map(|(name, facts)| format!("{}:{}", json(name), json(facts)))
                .collect();
            // Writing to a String cannot fail.
            let _ = write!(text, ",\n\"{name}\":{{\n{}\n}}", lines.join(",\n"));
        }
        text.push_str("\n}\n");
        text
    }

    /// Every type with its name.
    pub fn types(&self) -> impl Iterator<Item = (&str, &TypeFacts)> {
        let common = std::iter::once(("the keys of every payload", &self.common));
        let named = [
            &self.profiles,
            &self.declarations,
            &self.credentials,
            &self.commands,
        ];
        common.chain(
            named
                .into_iter()
                .flatten()
                .map(|(name, facts)| (name.as_str(), facts)),
        )
    }

    /// The newest version of a system that declarations speak of: what is newer may have keys that are not here.
    #[must_use]
    pub fn newest(&self, system: System) -> Option<Version> {
        self.newest.get(&system).copied()
    }

    /// Finds out what follows from the types.
    pub(super) fn finish(&mut self) {
        let mut newest = BTreeMap::new();
        for facts in self.declarations.values() {
            let mut open: Vec<&Key> = facts.keys.values().collect();
            let mut all: Vec<_> = facts.on.iter().collect();
            while let Some(key) = open.pop() {
                all.extend(&key.on);
                open.extend(key.keys.values());
            }
            for (system, on) in all {
                let since = match on.since {
                    Some(Since::Version(version)) => Some(version),
                    _ => None,
                };
                for version in [since, on.deprecated, on.removed].into_iter().flatten() {
                    let known = newest.entry(*system).or_insert(version);
                    *known = version.max(*known);
                }
            }
        }
        self.newest = newest;
    }
}

/// A shape that some key is like and that the type does not have.
fn missing_shape(facts: &TypeFacts) -> Option<String> {
    let mut open: Vec<&Key> = facts.keys.values().chain(facts.response.values()).collect();
    open.extend(facts.shapes.values().flat_map(BTreeMap::values));
    while let Some(key) = open.pop() {
        if let Some(shape) = key
            .like
            .as_ref()
            .filter(|shape| !facts.shapes.contains_key(*shape))
        {
            return Some(shape.clone());
        }
        open.extend(key.keys.values());
    }
    facts
        .variants
        .iter()
        .find_map(|variant| missing_shape(&variant.facts))
}
