//! Content: the keys of payloads and declarations, as JSON, in canonical text and as property list.
//!
//! JSON has no data and no dates. In content, `{"$data": "base64"}` stands for data and `{"$date": "2026-01-31T00:00:00Z"}` for a
//! date; in a declaration, which is JSON, they become the text inside. Whole numbers, fractions and booleans stay what they
//! are written as. What a property list cannot hold (null, control characters) is left out.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

/// The key of data.
const DATA: &str = "$data";
/// The key of a date.
const DATE: &str = "$date";
/// How deep content may nest.
pub const MAX_DEPTH: usize = 32;

/// Something in content that is no key or value of Apple's: data or a date.
#[derive(Debug, Clone, PartialEq)]
pub enum Special<'a> {
    /// Base64 of data.
    Data(&'a str),
    /// An RFC 3339 date.
    Date(&'a str),
}

impl<'a> Special<'a> {
    /// What a dictionary stands for, if it is not just a dictionary.
    #[must_use]
    pub fn of(map: &'a Map<String, Value>) -> Option<Self> {
        let mut entries = map.iter();
        match (entries.next()?, entries.next()) {
            ((key, Value::String(text)), None) if key == DATA => Some(Self::Data(text)),
            ((key, Value::String(text)), None) if key == DATE => Some(Self::Date(text)),
            _ => None,
        }
    }
}

/// What is wrong with content, and where; none: it can become a property list as it is.
#[must_use]
pub fn problems(content: &Value) -> Vec<(String, &'static str)> {
    let mut problems = Vec::new();
    let mut open = vec![(String::new(), content, 0)];
    while let Some((path, value, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            problems.push((path, "nests too deep"));
            continue;
        }
        match value {
            Value::Null => problems.push((path, "is null, which a device cannot be told; leave the key out")),
            Value::String(text) if text.chars().any(is_control) => {
                problems.push((path, "holds control characters, which a property list cannot"));
            }
            Value::Array(list) => {
                open.extend(
                    list.iter()
                        .enumerate()
                        .map(|(n, item)| (format!("{path}[{n}]"), item, depth + 1)),
                );
            }
            Value::Object(map) => match Special::of(map) {
                Some(Special::Data(text)) if BASE64.decode(text).is_err() => {
                    problems.push((path, "is not base64"));
                }
                Some(Special::Date(text)) if plist::Date::from_xml_format(text).is_err() => {
                    problems.push((path, "is not a date such as 2026-01-31T00:00:00Z"));
                }
                Some(_) => {}
                None => open.extend(map.iter().map(|(key, item)| {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    (path, item, depth + 1)
                })),
            },
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    problems.sort();
    problems
}

const fn is_control(c: char) -> bool {
    c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r')
}

/// JSON text with sorted keys and no blanks: equal content is equal text.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Array(list) => {
            text.push('[');
            for (n, item) in list.iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(map) => {
            text.push('{');
            for (n, (key, item)) in sorted(map).into_iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                write_canonical(&Value::String(key.clone()), text);
                text.push(':');
                write_canonical(item, text);
            }
            text.push('}');
        }
        // Writing to a String cannot fail.
        scalar => drop(write!(text, "{scalar}")),
    }
}

fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries
}

/// Content as a declaration holds it: data and dates as texts, no nulls.
#[must_use]
pub fn for_declaration(value: &Value) -> Value {
    match value {
        Value::Array(list) => list
            .iter()
            .filter(|item| !item.is_null())
            .map(for_declaration)
            .collect(),
        Value::Object(map) => match Special::of(map) {
            Some(Special::Data(text) | Special::Date(text)) => Value::String(text.to_owned()),
            None => Value::Object(
                map.iter()
                    .filter(|(_, item)| !item.is_null())
                    .map(|(key, item)| (key.clone(), for_declaration(item)))
                    .collect(),
            ),
        },
        scalar => scalar.clone(),
    }
}

/// Content as a property list, with sorted keys. None: there is nothing that a property list could hold.
#[must_use]
pub fn to_plist(value: &Value) -> Option<plist::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(b) => plist::Value::Boolean(*b),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(n), _, _) => plist::Value::Integer(n.into()),
            (None, Some(n), _) => plist::Value::Integer(n.into()),
            (None, None, Some(n)) => plist::Value::Real(n),
            (None, None, None) => return None,
        },
        Value::String(text) => plist::Value::String(text.replace(is_control, "")),
        Value::Array(list) => plist::Value::Array(list.iter().filter_map(to_plist).collect()),
        Value::Object(map) => match Special::of(map) {
            Some(Special::Data(text)) => plist::Value::Data(BASE64.decode(text).ok()?),
            Some(Special::Date(text)) => plist::Value::Date(plist::Date::from_xml_format(text).ok()?),
            None => {
                let mut dictionary = plist::Dictionary::new();
                for (key, item) in sorted(map) {
                    if let Some(item) = to_plist(item) {
                        dictionary.insert(key.replace(is_control, ""), item);
                    }
                }
                plist::Value::Dictionary(dictionary)
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn canonical_text_does_not_depend_on_the_order_of_keys() {
        let a: Value = serde_json::from_str(r#"{"b":[1,1.0,true,null],"a":{"y":"é\"","x":1}}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"a":{"x":1,"y":"é\""},"b":[1,1.0,true,null]}"#).unwrap();
        assert_eq!(canonical(&a), canonical(&b));
        assert_eq!(canonical(&a), r#"{"a":{"x":1,"y":"é\""},"b":[1,1.0,true,null]}"#);
        assert_ne!(canonical(&json!(1)), canonical(&json!(1.0)));
    }

    #[test]
    fn types_survive_the_way_into_a_property_list() {
        let content = json!({ "i": 5, "r": 5.0, "b": true, "s": "x\u{1}y", "big": u64::MAX, "none": null,
            "data": { "$data": "AQID" }, "date": { "$date": "2026-01-31T00:00:00Z" }, "list": [1, null, "a"] });
        let plist = to_plist(&content).unwrap();
        let map = plist.as_dictionary().unwrap();
        assert_eq!(map.get("i").unwrap().as_signed_integer(), Some(5));
        assert_eq!(map.get("r").unwrap().as_real(), Some(5.0));
        assert_eq!(map.get("b").unwrap().as_boolean(), Some(true));
        assert_eq!(map.get("s").unwrap().as_string(), Some("xy"));
        assert_eq!(map.get("big").unwrap().as_unsigned_integer(), Some(u64::MAX));
        assert_eq!(map.get("data").unwrap().as_data(), Some(&[1, 2, 3][..]));
        assert!(map.get("date").unwrap().as_date().is_some());
        assert_eq!(map.get("list").unwrap().as_array().unwrap().len(), 2);
        assert!(!map.contains_key("none"));
        assert_eq!(
            for_declaration(
                &json!({ "d": { "$data": "AQID" }, "n": null, "l": [{ "$date": "2026-01-31T00:00:00Z" }] })
            ),
            json!({ "d": "AQID", "l": ["2026-01-31T00:00:00Z"] })
        );
    }

    #[test]
    fn what_no_device_could_be_told_is_named_with_its_place() {
        assert_eq!(
            problems(&json!({ "a": [1, { "b": "c" }], "d": { "$data": "AQID" } })),
            []
        );
        assert_eq!(
            problems(
                &json!({ "a": [1, null], "b": { "c": "\u{7}" }, "d": { "$data": "?" }, "e": { "$date": "today" } })
            ),
            [
                (
                    "a[1]".to_owned(),
                    "is null, which a device cannot be told; leave the key out"
                ),
                (
                    "b.c".to_owned(),
                    "holds control characters, which a property list cannot"
                ),
                ("d".to_owned(), "is not base64"),
                ("e".to_owned(), "is not a date such as 2026-01-31T00:00:00Z"),
            ]
        );
        let mut deep = json!(1);
        for _ in 0..40 {
            deep = json!([deep]);
        }
        assert_eq!(problems(&deep)[0].1, "nests too deep");
    }
}
