//! Apple's schema as facts: which payload types, declaration types and commands there are, what their keys take, and which devices have them.
//!
//! Nothing of it is compiled into names: the facts stand in one [table](Schema), `apple.json`, which [`import`](mod@import) makes from Apple's
//! published YAML and which a person can replace without a new program. [`Schema::check_profile_payload`] and [`Schema::check_declaration`]
//! judge content for a [`Target`]; each [`Finding`] says where, what and what to do.
//!
//! Specification: github.com/apple/device-management. What that says in prose only is not checked here.

mod check;
mod conditions;
mod content;
mod datum;
mod facts;
mod finding;
pub mod import;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod words;

pub use conditions::{
    AccessRights, Conditions, Enrollments, Mode, Scopes, SharedIPad, Since, System, Version,
};
pub use content::Extent;
pub use datum::{Datum, Notation, View};
pub use facts::{
    Apply, Combine, DISCRIMINATOR, Format, Key, Keys, Kind, Range, Scalar, TypeFacts, Variant, is_wildcard,
    item, items, key,
};
pub use finding::{Code, Finding, Severity};
pub use table::{MAXIMUM_TABLE, Schema, TableError, Types};
pub use target::{Target, Unmet};
