//! Values that can be checked, whatever holds them: content as JSON, and property lists elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::facts::Kind;
use crate::policy::content::Special;

/// A value as the schema sees it.
#[derive(Debug)]
pub enum View<'v, D> {
    /// A list.
    Array(Vec<&'v D>),
    /// True or false.
    Boolean(bool),
    /// Bytes.
    Data,
    /// A moment.
    Date,
    /// Names and values.
    Dictionary(Vec<(&'v str, &'v D)>),
    /// A whole number.
    Integer(i128),
    /// Nothing that the schema has a type for.
    Other,
    /// A number.
    Real(f64),
    /// Text.
    Text(&'v str),
}

/// Something that holds values.
pub trait Datum: Sized {
    /// The value here.
    fn view(&self) -> View<'_, Self>;
}

/// Content of profiles and declarations, with `$data` and `$date`.
impl Datum for Value {
    fn view(&self) -> View<'_, Self> {
        match self {
            Self::Null => View::Other,
            Self::Bool(flag) => View::Boolean(*flag),
            Self::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(whole), ..) => View::Integer(whole.into()),
                (_, Some(whole), _) => View::Integer(whole.into()),
                (.., Some(real)) => View::Real(real),
                _ => View::Other,
            },
            Self::String(text) => View::Text(text),
            Self::Array(items) => View::Array(items.iter().collect()),
            Self::Object(map) => match Special::of(map) {
                Some(Special::Data(_)) => View::Data,
                Some(Special::Date(_)) => View::Date,
                None => View::Dictionary(map.iter().map(|(name, value)| (name.as_str(), value)).collect()),
            },
        }
    }
}

/// How values are written where they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// As JSON, where data is base64 and a date is text.
    Json,
    /// As a property list.
    PropertyList,
}

impl<D> View<'_, D> {
    /// Whether it is of a type. A whole number is a number too.
    #[must_use]
    pub fn is_of(&self, kind: Kind, notation: Notation) -> bool {
        match (kind, self) {
            (Kind::Any, _)
            | (Kind::Array, Self::Array(_))
            | (Kind::Boolean, Self::Boolean(_))
            | (Kind::Data, Self::Data)
            | (Kind::Date, Self::Date)
            | (Kind::Dictionary, Self::Dictionary(_))
            | (Kind::Integer, Self::Integer(_))
            | (Kind::Real, Self::Real(_) | Self::Integer(_))
            | (Kind::String, Self::Text(_)) => true,
            (Kind::Data, Self::Text(text)) => notation == Notation::Json && BASE64.decode(text).is_ok(),
            (Kind::Date, Self::Text(text)) => {
                notation == Notation::Json && text.parse::<jiff::Timestamp>().is_ok()
            }
            // They become text on the way into a declaration.
            (Kind::String, Self::Data | Self::Date) => notation == Notation::Json,
            _ => false,
        }
    }

    /// Its own type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Array(_) => Kind::Array,
            Self::Boolean(_) => Kind::Boolean,
            Self::Data => Kind::Data,
            Self::Date => Kind::Date,
            Self::Dictionary(_) => Kind::Dictionary,
            Self::Integer(_) => Kind::Integer,
            Self::Other => Kind::Any,
            Self::Real(_) => Kind::Real,
            Self::Text(_) => Kind::String,
        }
    }

    /// As a number.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "bounds are far below where a whole number is no exact float"
    )]
    pub const fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(whole) => Some(*whole as f64),
            Self::Real(real) => Some(*real),
            _ => None,
        }
    }
}
