//! Property lists as the schema sees them, so that it can judge the arguments of a command.

use plist::{Dictionary, Value};

use super::table::Kind;
use crate::policy::schema::{Datum, Notation, View};

impl Datum for Value {
    fn view(&self) -> View<'_, Self> {
        match self {
            Self::Array(items) => View::Array(items.iter().collect()),
            Self::Boolean(flag) => View::Boolean(*flag),
            Self::Data(_) => View::Data,
            Self::Date(_) => View::Date,
            Self::Dictionary(entries) => View::Dictionary(self::entries(entries)),
            Self::Integer(whole) => match (whole.as_signed(), whole.as_unsigned()) {
                (Some(whole), _) => View::Integer(whole.into()),
                (None, Some(whole)) => View::Integer(whole.into()),
                (None, None) => View::Other,
            },
            Self::Real(real) => View::Real(*real),
            Self::String(text) => View::Text(text),
            _ => View::Other,
        }
    }
}

/// The entries of a dictionary, as they are judged.
pub(super) fn entries(dictionary: &Dictionary) -> Vec<(&str, &Value)> {
    dictionary
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}

/// Whether a value is of a type. A whole number is a number too.
pub(super) fn is_of(kind: Kind, value: &Value) -> bool {
    value.view().is_of(kind, Notation::PropertyList)
}
