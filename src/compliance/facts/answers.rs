//! Answers of commands, as they are kept: with what checks can use, in an order of their own, whole or not at all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::{MAX_DEPTH, MAX_REPORT, Source, bounded, fitting};
use crate::ids::Digest;

/// The keys kept of an app.
const APP: [&str; 4] = ["Identifier", "Name", "ShortVersion", "Version"];
/// The keys kept of a user.
const USER: [&str; 4] = ["HasSecureToken", "IsLoggedIn", "MobileAccount", "UserName"];
/// The keys kept of a certificate, besides its fingerprint.
const CERTIFICATE: [&str; 2] = ["CommonName", "IsIdentity"];

/// What is kept of an answer. Null: it does not fit, or is no such answer.
pub(super) fn normalised(source: Source, answer: &Value) -> Value {
    match source {
        Source::InstalledApplicationList => list(answer, |app| reduced(app, &APP)),
        Source::UserList => list(answer, |user| reduced(user, &USER)),
        Source::CertificateList => list(answer, certificate),
        // Every other answer is a dictionary, of which as much is kept as fits.
        _ => bounded(answer),
    }
}

/// A list, whole or not at all: "all of them are fine" must not hold for half of them.
fn list(answer: &Value, reduce: impl Fn(&Map<String, Value>) -> Map<String, Value>) -> Value {
    let Some(entries) = answer.as_array() else {
        return Value::Null;
    };
    let mut entries: Vec<Map<String, Value>> =
        entries.iter().filter_map(Value::as_object).map(reduce).collect();
    // The order is the device's mood, and no news.
    entries.sort_by_cached_key(|entry| serde_json::to_string(entry).unwrap_or_default());
    let entries = entries.into_iter().map(Value::Object).collect();
    fitting(&Value::Array(entries), &mut MAX_REPORT.clone(), MAX_DEPTH).unwrap_or_default()
}

fn reduced(entry: &Map<String, Value>, keys: &[&str]) -> Map<String, Value> {
    let kept = keys
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), entry.get(*key)?.clone())));
    kept.collect()
}

fn certificate(entry: &Map<String, Value>) -> Map<String, Value> {
    let mut kept = reduced(entry, &CERTIFICATE);
    if let Some(der) = entry
        .get("Data")
        .and_then(Value::as_str)
        .and_then(|data| BASE64.decode(data).ok())
    {
        kept.insert("sha256".to_owned(), Digest::of(&der).to_string().into());
    }
    kept
}
