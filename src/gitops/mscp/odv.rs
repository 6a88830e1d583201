//! Values that an organisation defines: `odv`, and `$ODV` in its place.
//!
//! Looked up are `custom`, the baseline's column, `recommended`, in this order; none of them is an error, never a null. `$ODV` that stands
//! alone keeps the value's type, in a longer text it becomes the value's text.

use regex::RegexBuilder;
use serde_json::{Map, Value};

use super::note::Note;
use super::raw::Raw;
use crate::gitops::Finding;

/// What stands for the value.
const MARK: &str = "$ODV";
/// The largest program that a pattern from a repository may become, in bytes.
const MAXIMUM_PATTERN: usize = 256 << 10;

/// The value of a rule for a baseline with `column`. None: the rule has none.
///
/// # Errors
/// When the rule has values, but none for this baseline.
pub(super) fn value<'r>(raw: &'r Raw, column: &str) -> Result<Option<&'r Value>, Finding> {
    let Some(odv) = raw.fields.get("odv").and_then(Value::as_object) else {
        return Ok(None);
    };
    let found = ["custom", column, "recommended"]
        .into_iter()
        .find_map(|key| odv.get(key).filter(|value| !value.is_null()));
    found.map(Some).ok_or_else(|| {
        raw.finding(
            "odv",
            format!(
                "rule {} has no value for this baseline: neither `custom` nor `{column}` nor `recommended`",
                raw.id
            ),
        )
    })
}

/// Whether each value is what the rule's own hint allows: a mistake where users have changed it, else a note.
pub(super) fn check(raw: &Raw) -> Vec<Note> {
    let Some(odv) = raw.fields.get("odv").and_then(Value::as_object) else {
        return Vec::new();
    };
    let changed = raw.is_changed("odv");
    let mut notes = Vec::new();
    let bundled = raw.replaced.get("odv").and_then(|odv| odv.get("hint"));
    let hint = odv.get("hint").or(bundled).and_then(Value::as_object);
    let columns = odv.iter().filter(|(column, _)| *column != "hint");
    for (column, value) in columns {
        let field = format!("odv.{column}");
        if let Some(expected) = hint.and_then(|hint| unfit(hint, value)) {
            let finding = raw.finding(&field, format!("the value is {value}, but must be {expected}"));
            notes.push(if changed {
                Note::error(finding)
            } else {
                Note::warning(finding)
            });
        }
        if changed && !["custom", "recommended"].contains(&column.as_str()) {
            notes.push(Note::warning(raw.finding(
                &field,
                "mSCP itself reads only `custom` of a changed odv; write the value there",
            )));
        }
    }
    notes
}

/// What the value should be. None: it is that.
fn unfit(hint: &Map<String, Value>, value: &Value) -> Option<String> {
    let limit = |key: &str| hint.get("validation").and_then(|validation| validation.get(key));
    let number = |value: &Value| value.as_f64();
    match hint.get("datatype").and_then(Value::as_str) {
        Some("integer") if !(value.is_i64() || value.is_u64()) => return Some("a whole number".to_owned()),
        Some("number") if !value.is_number() => return Some("a number".to_owned()),
        Some("string" | "enum" | "regex") if !value.is_string() => return Some("text".to_owned()),
        _ => {}
    }
    if let (Some(minimum), Some(value)) = (limit("min").and_then(number), number(value))
        && value < minimum
    {
        return Some(format!("at least {minimum}"));
    }
    if let (Some(maximum), Some(value)) = (limit("max").and_then(number), number(value))
        && value > maximum
    {
        return Some(format!("at most {maximum}"));
    }
    if let Some(allowed) = limit("enumValues").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        return Some(format!("one of {}", allowed.join(", ")));
    }
    if let (Some(pattern), Some(text)) = (limit("regex").and_then(Value::as_str), value.as_str()) {
        // A pattern that this engine does not know decides nothing.
        let compiled = RegexBuilder::new(pattern).size_limit(MAXIMUM_PATTERN).build();
        if compiled.is_ok_and(|pattern| !pattern.is_match(text)) {
            return Some(format!("of the form {pattern}"));
        }
    }
    None
}

/// A value with the rule's value in the places that are marked.
///
/// # Errors
/// The path, below this value, of a mark for which there is nothing.
pub(super) fn put(content: &Value, odv: Option<&Value>) -> Result<Value, String> {
    match content {
        Value::String(text) if text.trim() == MARK => odv.cloned().ok_or_else(String::new),
        Value::String(text) => put_text(text, odv).map(Value::String).ok_or_else(String::new),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(n, item)| put(item, odv).map_err(|path| format!("[{n}]{path}")))
            .collect(),
        Value::Object(map) => put_map(map, odv).map(Value::Object),
        scalar => Ok(scalar.clone()),
    }
}

/// The same for a mapping.
///
/// # Errors
/// As [`put`].
pub(super) fn put_map(map: &Map<String, Value>, odv: Option<&Value>) -> Result<Map<String, Value>, String> {
    map.iter()
        .map(|(key, item)| {
            put(item, odv)
                .map(|item| (key.clone(), item))
                .map_err(|path| format!(".{key}{path}"))
        })
        .collect()
}

/// The same for a text, which stays one. None: there is a mark and no value.
pub(super) fn put_text(text: &str, odv: Option<&Value>) -> Option<String> {
    if !text.contains(MARK) {
        return Some(text.to_owned());
    }
    let value = match odv? {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some(text.replace(MARK, &value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mark_alone_keeps_the_type_and_in_a_text_becomes_text() {
        let value = json!(15);
        let put = |content: Value| put(&content, Some(&value)).unwrap();
        assert_eq!(put(json!("$ODV")), json!(15));
        assert_eq!(
            put(json!({ "a": ["*=$ODV", " $ODV "], "b": true })),
            json!({ "a": ["*=15", 15], "b": true })
        );
        assert_eq!(
            super::put(&json!({ "a": [1, "$ODV"] }), None),
            Err(".a[1]".to_owned())
        );
    }

    #[test]
    fn a_hint_says_what_a_value_must_be() {
        let hint = |value: Value| value.as_object().unwrap().clone();
        let number = hint(json!({ "datatype": "number", "validation": { "min": 1, "max": 9 } }));
        assert_eq!(unfit(&number, &json!(5)), None);
        assert_eq!(unfit(&number, &json!(0)).unwrap(), "at least 1");
        assert_eq!(unfit(&number, &json!(10)).unwrap(), "at most 9");
        assert_eq!(unfit(&number, &json!("5")).unwrap(), "a number");
        let choice = hint(json!({ "datatype": "enum", "validation": { "enumValues": ["a", "b"] } }));
        assert_eq!(unfit(&choice, &json!("b")), None);
        assert_eq!(unfit(&choice, &json!("c")).unwrap(), "one of \"a\", \"b\"");
        let pattern = hint(json!({ "datatype": "string", "validation": { "regex": "^[0-9]+d$" } }));
        assert_eq!(unfit(&pattern, &json!("60d")), None);
        assert!(unfit(&pattern, &json!("x")).is_some());
        let unknown = hint(json!({ "datatype": "string", "validation": { "regex": "(?=x)(" } }));
        assert_eq!(unfit(&unknown, &json!("x")), None);
    }
}
