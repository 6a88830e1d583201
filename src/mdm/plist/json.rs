//! Property-list values as JSON, the form in which facts are kept and in which CEL sees them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plist::Value;
use serde_json::{Map, Number, Value as Json};

/// `value` as JSON: data as base64, dates as RFC 3339, keyed-archiver ids as `{"CF$UID": n}`. What JSON cannot say (a real that is not
/// finite, a year without four digits) is null.
///
/// Its recursion is as deep as the value, which [`super::read`] bounds.
#[must_use]
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Array(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Dictionary(entries) => Json::Object(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), to_json(value)))
                .collect(),
        ),
        Value::Boolean(flag) => Json::Bool(*flag),
        Value::Data(bytes) => Json::String(STANDARD.encode(bytes)),
        Value::Date(date) => super::written(*date).map_or(Json::Null, Json::String),
        Value::Real(real) => Number::from_f64(*real).map_or(Json::Null, Json::Number),
        Value::Integer(integer) => integer
            .as_signed()
            .map(Number::from)
            .or_else(|| integer.as_unsigned().map(Number::from))
            .map_or(Json::Null, Json::Number),
        Value::String(text) => Json::String(text.clone()),
        Value::Uid(uid) => Json::Object(Map::from_iter([(super::UID_KEY.to_owned(), uid.get().into())])),
        // The crate may learn of further kinds; none of them is in a message of this protocol.
        _ => Json::Null,
    }
}
