//! What is told of a body whose values have the wrong types, in the words of Go's decoder: people search for them.
//!
//! Pure. Covers where people go wrong: the metadata, the data of Secrets and ConfigMaps, the times of Leases. Whatever else
//! does not fit is named in the words of the decoder at hand.

use serde_json::{Map, Value};

use crate::api::schema::go_quote;
use crate::kubeapi::registry::{BuiltIn, Resource};

/// The first thing in `object` that its types refuse.
pub(in crate::kubeapi) fn problem(resource: &Resource, object: &Value) -> Option<String> {
    let data = resource.built_in.and_then(|_| not_text(resource, object));
    let lease = || match resource.built_in {
        Some(BuiltIn::Lease) => {
            let fields = object.get("spec")?.as_object()?;
            ["acquireTime", "renewTime"]
                .into_iter()
                .find_map(|field| not_time(fields.get(field)?, MICRO_TIME))
        }
        _ => None,
    };
    data.or_else(lease).or_else(|| {
        // The decoder of a built-in kind names the whole path.
        let path = if resource.built_in.is_some() {
            "ObjectMeta.metadata"
        } else {
            "ObjectMeta"
        };
        in_metadata(object.get("metadata")?.as_object()?, path)
    })
}

/// A value's type, as Go's decoder calls it.
pub(in crate::kubeapi) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn cannot(value: &Value, field: &str, wanted: &str) -> String {
    format!(
        "json: cannot unmarshal {} into Go struct field {field} of type {wanted}",
        json_type(value)
    )
}

/// The first of `values` that is no text.
fn first_other<'a>(mut values: impl Iterator<Item = &'a Value>) -> Option<&'a Value> {
    values.find(|value| !value.is_string() && !value.is_null())
}

/// Data that is no text.
fn not_text(resource: &Resource, object: &Value) -> Option<String> {
    ["data", "stringData", "binaryData"]
        .into_iter()
        .find_map(|field| {
            let found = first_other(object.get(field)?.as_object()?.values())?;
            let wanted = match (resource.built_in, field) {
                (Some(BuiltIn::Secret), "data") | (_, "binaryData") => "[]uint8",
                _ => "string",
            };
            Some(cannot(found, &format!("{}.{field}", resource.kind), wanted))
        })
}

fn in_metadata(metadata: &Map<String, Value>, path: &str) -> Option<String> {
    metadata.iter().find_map(|(name, value)| {
        let field = format!("{path}.{name}");
        match (name.as_str(), value) {
            (_, Value::Null) => None,
            ("labels" | "annotations", Value::Object(fields)) => {
                first_other(fields.values()).map(|found| cannot(found, &field, "string"))
            }
            ("finalizers", Value::Array(items)) => {
                first_other(items.iter()).map(|found| cannot(found, &field, "string"))
            }
            ("labels" | "annotations", _) => Some(cannot(value, &field, "map[string]string")),
            ("finalizers", _) => Some(cannot(value, &field, "[]string")),
            ("creationTimestamp" | "deletionTimestamp", Value::String(_)) => not_time(value, TIME),
            (_, Value::String(_)) => None,
            ("uid", _) => Some(cannot(value, &field, "types.UID")),
            ("name" | "generateName" | "namespace" | "resourceVersion" | "selfLink", _) => {
                Some(cannot(value, &field, "string"))
            }
            _ => None,
        }
    })
}

/// What may stand in a time.
#[derive(Clone, Copy)]
enum Part {
    /// So many digits, named by Go's example.
    Digits(&'static str),
    /// Just this.
    Literal(&'static str),
    /// A fraction and the zone, which are left to the decoder.
    Zone,
}

/// A time's layout in Go's terms, and its parts.
type Layout = (&'static str, &'static [Part]);

use Part::{Digits, Literal, Zone};

const TIME: Layout = (
    "2006-01-02T15:04:05Z07:00",
    &[
        Digits("2006"),
        Literal("-"),
        Digits("01"),
        Literal("-"),
        Digits("02"),
        Literal("T"),
        Digits("15"),
        Literal(":"),
        Digits("04"),
        Literal(":"),
        Digits("05"),
        Zone,
    ],
);
const MICRO_TIME: Layout = ("2006-01-02T15:04:05.000000Z07:00", TIME.1);

/// Why a text is no time, where it goes wrong before its end.
fn not_time(value: &Value, (layout, parts): Layout) -> Option<String> {
    let text = value.as_str()?;
    let mut rest = text;
    for part in parts {
        let (wanted, after) = match *part {
            Literal(literal) => (literal, rest.strip_prefix(literal)),
            Digits(example) => {
                let (digits, after) = rest.split_at_checked(example.len()).unwrap_or((rest, ""));
                let all = digits.len() == example.len() && digits.bytes().all(|byte| byte.is_ascii_digit());
                (example, all.then_some(after))
            }
            Zone => return None,
        };
        let Some(after) = after else {
            return Some(format!(
                "parsing time {} as {}: cannot parse {} as {}",
                go_quote(text),
                go_quote(layout),
                go_quote(rest),
                go_quote(wanted)
            ));
        };
        rest = after;
    }
    None
}

/// An error of serde's, where Go has other words for it.
pub(in crate::kubeapi) fn in_go_words(why: &str) -> String {
    match why.split_once(", offset ") {
        Some((start, offset)) if start.starts_with("Invalid symbol") => {
            format!(
                "illegal base64 data at input byte {}",
                offset.trim_end_matches('.')
            )
        }
        _ => why.to_owned(),
    }
}

/// What the converter of a strategic merge says where the decoder says something else: it goes from map to object.
pub(in crate::kubeapi) fn in_converter_words(object: &Value, why: String) -> String {
    let number = |value: &Value| if value.is_i64() { "int64" } else { "float64" };
    ["data", "stringData", "binaryData"]
        .into_iter()
        .find_map(|field| {
            let found = match object.get(field)? {
                Value::Object(_) | Value::Null => return None,
                Value::Bool(_) => "bool",
                value @ Value::Number(_) => number(value),
                Value::String(_) => "string",
                Value::Array(_) => "slice",
            };
            Some(format!("cannot restore map from {found}"))
        })
        .unwrap_or(why)
}

/// A value as Go prints one inside a map: `map[data:map[a:1] list:[x y]]`.
pub(in crate::kubeapi) fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(printed).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name}:{}", printed(value)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_is_refused_where_it_goes_wrong() {
        let problem = |text: &str| not_time(&json!(text), TIME).unwrap_or_default();
        assert!(problem("yesterday").ends_with(r#"cannot parse "yesterday" as "2006""#));
        assert!(problem("2026-11-24 12:00").ends_with(r#"cannot parse " 12:00" as "T""#));
        assert_eq!(problem("2026-11-24T12:00:00Z"), "");
        assert!(problem("202").ends_with(r#"cannot parse "202" as "2006""#));
        assert!(problem("äää").contains("cannot parse"));
    }

    #[test]
    fn a_patch_is_printed_as_go_prints_a_map() {
        let patch = json!({ "data": { "b": null, "a": [1, "x", true] } });
        assert_eq!(printed(&patch), "map[data:map[a:[1 x true] b:<nil>]]");
    }
}
