//! Bodies become values: JSON, YAML or Protobuf, by the media type.
//!
//! Pure. Whatever the format, what comes out nests no deeper than any object may, and stands in some proportion to what went in.

use std::fmt::Write as _;

use saphyr_parser::{Event, Parser};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{object, protobuf};

/// The media types that are read, as a refusal lists them.
pub(super) const MEDIA_TYPES: &str =
    "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// Why a body is not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The media type is none that is read.
    #[error("the body must be one of {MEDIA_TYPES}")]
    MediaType,
    /// It is not what its media type says, or more than an object may be.
    #[error("the object provided is unrecognized or malformed: {0}")]
    Malformed(String),
}

/// Reads a body. `media_type` is in lower case, without parameters; empty means JSON.
///
/// # Errors
/// A body that is malformed, nests too deeply, or has another media type.
pub fn decode(media_type: &str, body: &[u8]) -> Result<Value, BodyError> {
    let value = match media_type {
        ""
        | "application/json"
        | "application/json-patch+json"
        | "application/merge-patch+json"
        | "application/strategic-merge-patch+json"
        | "application/apply-patch+json" => {
            serde_json::from_slice(body).map_err(|error| BodyError::Malformed(error.to_string()))?
        }
        "application/vnd.kubernetes.protobuf" => {
            protobuf::decode(body).map_err(|error| BodyError::Malformed(error.to_string()))?
        }
        "application/yaml" | "application/apply-patch+yaml" => {
            read_yaml(body).map_err(BodyError::Malformed)?
        }
        _ => return Err(BodyError::MediaType),
    };
    if object::within_depth(&value, object::MAX_DEPTH) {
        return Ok(value);
    }
    let limit = object::MAX_DEPTH;
    Err(BodyError::Malformed(format!(
        "nested more than {limit} levels deep"
    )))
}

/// JSON is YAML too, and most clients send it: the faster parser goes first.
fn read_yaml(body: &[u8]) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    refuse_aliases(text)?;
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}

/// Aliases let a small body grow a thousandfold, and no client needs them: they are refused before anything is built.
fn refuse_aliases(text: &str) -> Result<(), String> {
    let mut depth = 0_usize;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        match event {
            Event::Alias(_) => return Err(format!("aliases are not accepted (line {})", span.start.line())),
            Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
            Event::MappingEnd | Event::SequenceEnd => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > object::MAX_DEPTH {
            return Err(format!("nested more than {} levels deep", object::MAX_DEPTH));
        }
    }
    Ok(())
}

/// The most repeated fields that are named.
const MAX_REPEATED: usize = 20;

/// The fields that a JSON document has more than once, such as `spec.parts[0].name`. What is no JSON has none.
#[must_use]
pub fn repeated_fields(body: &[u8]) -> Vec<String> {
    let (mut path, mut found) = (String::new(), Vec::new());
    let seed = Repeated {
        path: &mut path,
        found: &mut found,
    };
    // serde's own limit bounds the recursion.
    let mut json = serde_json::Deserializer::from_slice(body);
    match seed.deserialize(&mut json) {
        Ok(()) => found,
        Err(_) => Vec::new(),
    }
}

/// Walks one value and notes repeated fields below it.
struct Repeated<'a> {
    /// One text for all levels: a long name costs no more for what is below it.
    path: &'a mut String,
    found: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Repeated<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Repeated<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let length = self.path.len();
        let mut index = 0_usize;
        loop {
            // Writing to a String cannot fail.
            let _ = write!(self.path, "[{index}]");
            let (path, found) = (&mut *self.path, &mut *self.found);
            let item = items.next_element_seed(Repeated { path, found })?;
            self.path.truncate(length);
            if item.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let length = self.path.len();
        let mut seen = std::collections::HashSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            if !self.path.is_empty() {
                self.path.push('.');
            }
            self.path.push_str(&name);
            if seen.insert(name) {
                let (path, found) = (&mut *self.path, &mut *self.found);
                fields.next_value_seed(Repeated { path, found })?;
            } else {
                fields.next_value::<IgnoredAny>()?;
                if self.found.len() < MAX_REPEATED && !self.found.contains(self.path) {
                    self.found.push(self.path.clone());
                }
            }
            self.path.truncate(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_given_twice_is_named_by_its_path() {
        let body = br#"{"a": {"b": 1, "b": 2}, "c": [{"d": 1}, {"d": 1, "d": 2, "d": 3}], "a": 5}"#;
        assert_eq!(repeated_fields(body), ["a.b", "c[1].d", "a"]);
        assert!(repeated_fields(br#"{"a": 1, "a""#).is_empty());
        assert!(repeated_fields("[".repeat(100_000).as_bytes()).is_empty());
    }
}
