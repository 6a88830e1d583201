//! Bodies become values: JSON, YAML or Protobuf, by the media type.
//!
//! Pure. Whatever the format, what comes out nests no deeper than any object may, and stands in some proportion to what went in.

use saphyr_parser::{Event, Parser};
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
