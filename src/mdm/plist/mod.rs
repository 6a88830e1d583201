//! The property-list codec: what may come in from a device, and how what goes out is written.
//!
//! Property lists come from the network, and the parser underneath expands and recurses as the input tells it to. So every body is
//! measured first ([`guard`]) and parsed only when the parser can neither run out of stack nor out of memory on it. Both formats that Apple's
//! clients send are read: XML and binary. Only XML is written.
//!
//! This module knows nothing of MDM messages.

mod guard;
mod json;
#[cfg(test)]
mod tests;

use std::io::Cursor;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use plist::{Dictionary, Value};

pub use guard::{DEPTH_LIMIT, EXPANDED_LIMIT, NODE_LIMIT};
pub use json::to_json;

/// The largest body that is read, in bytes: a full status report or application list of a crowded Mac is a few MiB.
pub const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// How ids of keyed archives are written where there is no type for them.
const UID_KEY: &str = "CF$UID";

/// Why a body is no property list that can be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More bytes than [`BODY_LIMIT`].
    #[error("the property list has {bytes} bytes, more than the {BODY_LIMIT} allowed")]
    TooLarge {
        /// Bytes given.
        bytes: usize,
    },
    /// Nested deeper than [`DEPTH_LIMIT`].
    #[error("the property list is nested deeper than {DEPTH_LIMIT} levels")]
    TooDeep,
    /// A small body that stands for a large one, by way of shared references or sheer number of elements.
    #[error(
        "the property list would take more memory than is allowed ({EXPANDED_LIMIT} bytes, {NODE_LIMIT} elements)"
    )]
    Expands,
    /// A binary property list that holds itself.
    #[error("the property list holds itself")]
    Cycle,
    /// A binary property list whose tables point outside of it.
    #[error("the binary property list is damaged: {what}")]
    Damaged {
        /// Which part is damaged.
        what: &'static str,
    },
    /// Not well-formed.
    #[error("the body is not a property list")]
    Parse {
        /// The parser's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another type at the top than a dictionary.
    #[error("the property list is not a dictionary")]
    NoDictionary,
}

/// Reads a property list, XML or binary.
///
/// # Errors
/// When the body is larger, deeper or more expansive than the limits of this module allow, or is no property list.
pub fn read(body: &[u8]) -> Result<Value, Error> {
    if body.len() > BODY_LIMIT {
        return Err(Error::TooLarge { bytes: body.len() });
    }
    let parsed = if body.starts_with(guard::BINARY_MAGIC) {
        guard::measure_binary(body)?;
        Value::from_reader(Cursor::new(body))
    } else {
        guard::scan_xml(body)?;
        Value::from_reader_xml(body)
    };
    parsed.map_err(|source| Error::Parse {
        source: Box::new(source),
    })
}

/// Reads a property list that is a dictionary, as every message of the protocol is.
///
/// # Errors
/// As [`read`], and when the top is no dictionary.
pub fn read_dictionary(body: &[u8]) -> Result<Dictionary, Error> {
    read(body)?.into_dictionary().ok_or(Error::NoDictionary)
}

/// Writes a property list as XML: equal values give equal bytes. Characters that XML cannot hold are left out, and dates are cut to whole
/// seconds, which is Apple's format; one without such a form becomes an empty string.
#[must_use]
pub fn to_xml(value: &Value) -> Arc<str> {
    let mut bytes = Vec::new();
    // Writing into memory cannot fail, and every kind of value that `clean` lets through can be written.
    match clean(value).to_writer_xml(&mut bytes) {
        Ok(()) => String::from_utf8_lossy(&bytes).into(),
        Err(error) => {
            tracing::error!(%error, "a property list could not be written");
            Arc::from("")
        }
    }
}

/// `value` without what XML cannot hold.
fn clean(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(clean).collect()),
        Value::Dictionary(entries) => Value::Dictionary(
            entries
                .iter()
                .map(|(key, value)| (clean_text(key), clean(value)))
                .collect(),
        ),
        Value::String(text) => Value::String(clean_text(text)),
        Value::Date(date) => {
            let whole = written(*date).and_then(|text| plist::Date::from_xml_format(&text).ok());
            whole.map_or_else(|| Value::String(String::new()), Value::Date)
        }
        Value::Uid(uid) => {
            let entry = (UID_KEY.to_owned(), Value::from(uid.get()));
            Value::Dictionary(Dictionary::from_iter([entry]))
        }
        other => other.clone(),
    }
}

fn clean_text(text: &str) -> String {
    text.chars().filter(|c| allowed_in_xml(*c)).collect()
}

/// The `Char` production of XML 1.0.
const fn allowed_in_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

/// A date in Apple's format: whole seconds, UTC. None: its year cannot be written with four digits, which the writer would not survive.
fn written(date: plist::Date) -> Option<String> {
    let time = Timestamp::try_from(SystemTime::from(date)).ok()?;
    let seconds = time.as_nanosecond().div_euclid(1_000_000_000);
    let time = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    let text = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    (text.len() == "2026-01-01T00:00:00Z".len() && !text.starts_with('-')).then_some(text)
}
