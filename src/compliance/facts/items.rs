//! Apple's status items: what shape each has, and what becomes of it.
//!
//! Three kinds. **Facts** are what rules decide by: they are kept first, whatever else a device reports. **Details** are lists of
//! things (apps, accounts, certificates, background tasks): checks may read them too, but they are kept only as far as there is room
//! after the facts, each one whole or not at all. **Apart** goes elsewhere: declarations have a place of their own, capabilities decide what a
//! device is sent, push addresses are nobody's to read. Items that are not in the table are details.
//!
//! Specification: Apple, "Status reports", `StatusItem*`; the names of 27.0 included, whose shapes are not published yet.

mod table;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use table::ITEMS;

use super::MAX_IDENTIFIER;
use crate::ids::Digest;

/// The longest text that an item may be, in bytes.
const MAX_TEXT: usize = 1024;

/// What the value of an item has to be. One that is something else was not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Boolean,
    Integer,
    Real,
    Text,
    Dictionary,
    /// A list of dictionaries with an `identifier`: reports name the entries that changed, and mark those that went by `_removed`.
    Keyed,
    /// A list that is always told whole.
    List,
    /// Not published.
    Any,
}

/// What becomes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Fact,
    Detail,
    Apart,
}

/// A status item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// Apple's name: the path in the tree, with dots.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    shape: Shape,
}

/// A value that an item may have.
pub(super) enum Reading {
    /// The whole of it.
    Whole(Value),
    /// Entries that changed, and `_removed` ones.
    Entries(Vec<Value>),
}

impl Item {
    /// Reads a reported value. None: it is not what this item can be.
    pub(super) fn read(&self, value: Value) -> Option<Reading> {
        let fits = match (self.shape, &value) {
            (Shape::Keyed, Value::Array(list)) => list.iter().all(|entry| identifier(entry).is_some()),
            (Shape::Text, Value::String(text)) => text.len() <= MAX_TEXT,
            (Shape::Integer, Value::Number(number)) => !number.is_f64(),
            (Shape::Boolean, Value::Bool(_))
            | (Shape::Real, Value::Number(_))
            | (Shape::Dictionary, Value::Object(_))
            | (Shape::List, Value::Array(_))
            | (Shape::Any, _) => true,
            _ => false,
        };
        if !fits {
            return None;
        }
        match value {
            Value::Array(list) if self.shape == Shape::Keyed => {
                Some(Reading::Entries(list.into_iter().map(slim).collect()))
            }
            Value::Array(list) if self.shape == Shape::Any && !list.is_empty() => {
                if list.iter().all(|entry| identifier(entry).is_some()) {
                    Some(Reading::Entries(list))
                } else {
                    Some(Reading::Whole(Value::Array(list)))
                }
            }
            value => Some(Reading::Whole(value)),
        }
    }
}

/// Every item of the table, those to be kept first before the others.
pub(super) fn all() -> impl Iterator<Item = Item> {
    [Kind::Fact, Kind::Detail, Kind::Apart]
        .into_iter()
        .flat_map(|kind| ITEMS.iter().filter(move |row| row.1 == kind))
        .map(|&(name, kind, shape)| Item { name, kind, shape })
}

/// Whether an item is in the table.
#[must_use]
pub fn is_known_item(name: &str) -> bool {
    ITEMS.iter().any(|row| row.0 == name)
}

/// The identifier of an entry of a keyed list.
pub(super) fn identifier(entry: &Value) -> Option<&str> {
    let identifier = entry.get("identifier")?.as_str()?;
    (identifier.len() <= MAX_IDENTIFIER).then_some(identifier)
}

/// An entry with the fingerprint of a certificate (`sha256`, in hexadecimal) in place of its `data`.
fn slim(mut entry: Value) -> Value {
    if let Some(entry) = entry.as_object_mut()
        && let Some(Value::String(data)) = entry.remove("data")
        && let Ok(der) = BASE64.decode(data)
    {
        entry.insert("sha256".to_owned(), Digest::of(&der).to_string().into());
    }
    entry
}

/// Takes the value at a dotted path out of a tree, and the dictionaries that are empty without it.
pub(super) fn take_out(tree: &mut Map<String, Value>, path: &str) -> Option<Value> {
    let Some((head, tail)) = path.split_once('.') else {
        return tree.remove(path);
    };
    let branch = tree.get_mut(head)?.as_object_mut()?;
    let value = take_out(branch, tail);
    if branch.is_empty() {
        tree.remove(head);
    }
    value
}

/// The value at a dotted path.
pub(super) fn find<'a>(tree: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => tree.get(path),
        Some((head, tail)) => find(tree.get(head)?.as_object()?, tail),
    }
}

/// Puts a value at a dotted path.
pub(super) fn put(tree: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            tree.insert(path.to_owned(), value);
        }
        Some((head, tail)) => {
            let branch = tree.entry(head).or_insert(Value::Null);
            if !branch.is_object() {
                *branch = Value::Object(Map::new());
            }
            if let Value::Object(branch) = branch {
                put(branch, tail, value);
            }
        }
    }
}
