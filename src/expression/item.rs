//! Values during an evaluation: borrowed from the data wherever possible.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use serde_json::{Map, Value};

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Item<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    Text(Cow<'a, str>),
    /// A list of the data.
    Array(&'a [Value]),
    /// A list that the expression makes.
    List(Rc<Vec<Self>>),
    /// A dictionary of the data.
    Object(&'a Map<String, Value>),
}

impl<'a> Item<'a> {
    pub(super) fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => n
                .as_i64()
                .map(Self::Int)
                .or_else(|| n.as_u64().map(Self::UInt))
                .unwrap_or_else(|| Self::Double(n.as_f64().unwrap_or(f64::NAN))),
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(list) => Self::Array(list),
            Value::Object(map) => Self::Object(map),
        }
    }

    /// The kind, for messages.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::UInt(_) => "a whole number",
            Self::Double(_) => "a number",
            Self::Text(_) => "a text",
            Self::Array(_) | Self::List(_) => "a list",
            Self::Object(_) => "a dictionary",
        }
    }

    /// The elements of a list, or the keys of a dictionary.
    pub(super) fn elements(&self) -> Option<Vec<Self>> {
        match self {
            Self::Array(list) => Some(list.iter().map(Self::of).collect()),
            Self::List(list) => Some(list.as_ref().clone()),
            Self::Object(map) => Some(map.keys().map(|key| Self::Text(Cow::Borrowed(key))).collect()),
            _ => None,
        }
    }

    /// About how much work it is to look at all of it, in steps.
    pub(super) fn weight(&self) -> u32 {
        let weight = match self {
            Self::Text(text) => text.len() / 64,
            Self::Array(list) => list.len(),
            Self::List(list) => list.len(),
            Self::Object(map) => map.len(),
            _ => 0,
        };
        u32::try_from(weight).unwrap_or(u32::MAX)
    }

    /// Equality as CEL has it: numbers by value, whatever their type; other types only with their own.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Array(_) | Self::List(_), Self::Array(_) | Self::List(_)) => {
                match (self.elements(), other.elements()) {
                    (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.equals(b)),
                    _ => false,
                }
            }
            _ => self.compare_numbers(other) == Some(Ordering::Equal),
        }
    }

    /// The order of two numbers or two texts. None: they have none.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            _ => self.compare_numbers(other),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a whole number beyond 2^53 is compared with a fraction to the nearest fraction"
    )]
    fn compare_numbers(&self, other: &Self) -> Option<Ordering> {
        let whole = |item: &Self| match item {
            Self::Int(n) => Some(i128::from(*n)),
            Self::UInt(n) => Some(i128::from(*n)),
            _ => None,
        };
        let double = |item: &Self| match item {
            Self::Double(n) => Some(*n),
            _ => whole(item).map(|n| n as f64),
        };
        match (whole(self), whole(other)) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => double(self)?.partial_cmp(&double(other)?),
        }
    }
}

/// Compares two versions number by number; a part that is missing is 0, and what is not a number ends the version.
#[must_use]
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    /// More parts than any version has.
    const PARTS: usize = 8;
    let parts = |text: &str| -> Vec<u64> {
        let mut parts: Vec<u64> = text
            .trim()
            .split('.')
            .take(PARTS)
            .map_while(|part| {
                let digits = part
                    .find(|c: char| !c.is_ascii_digit())
                    .map_or(part, |end| part.split_at(end).0);
                digits.parse().ok()
            })
            .collect();
        parts.resize(PARTS, 0);
        parts
    };
    parts(a).cmp(&parts(b))
}
