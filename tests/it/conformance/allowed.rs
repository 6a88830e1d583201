//! The allowed differences: what is made equal before answers are compared.

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::exchange::Answer;

/// The list, as `allowed.yaml` has it.
pub(super) struct Allowed(Vec<Entry>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// A JSON pointer; `*` is any one part, `**` any number of parts.
    at: String,
    compare: Compare,
    /// With `listed`: where the name of an item is, a JSON pointer, and the names that are compared.
    #[serde(default)]
    by: String,
    #[serde(default)]
    listed: Vec<String>,
    /// With `text`: what is cut out, and after what digits do not count.
    #[serde(default)]
    without: Vec<String>,
    #[serde(default)]
    digits_after: Vec<String>,
    /// Only in documents of this kind.
    kind: Option<String>,
    /// For readers.
    #[serde(rename = "why")]
    _why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Compare {
    /// By the order of first appearance in the scenario.
    Order,
    /// As a time in whole seconds, or with microseconds: that it is one.
    Time,
    /// Only that it is there.
    Presence,
    /// Of an object by the order of first appearance in the scenario, of anything else that it is there.
    Revision,
    /// Errors of one answer, in details and message, as a set.
    Errors,
    /// Not at all.
    Nothing,
    /// Of a list or map only the items with listed names, in order of name.
    Listed,
    /// As text, without some of its parts.
    Text,
    /// As an age such as `12s`, or a time: that it is one.
    Age,
    /// Who owns what: appliers before updaters, each in order of name.
    Managers,
    /// An object that a message shows, as an object.
    Shown,
}

/// Values that have appeared in a scenario.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The kind of the document at hand.
    kind: Option<String>,
    revisions: Vec<String>,
    others: HashMap<String, Vec<String>>,
    /// Long values, which may stand inside messages, too.
    everywhere: Vec<(String, String)>,
}

fn place(list: &mut Vec<String>, value: &str) -> (usize, bool) {
    if let Some(index) = list.iter().position(|known| known == value) {
        return (index + 1, false);
    }
    list.push(value.to_owned());
    (list.len(), true)
}

/// What stands before an object that a message shows.
const SHOWN: &str = "patch: Invalid value: ";
/// The same in a cause.
const CAUSE: &str = "Invalid value: ";

/// Captured values from this length on are replaced inside other strings.
const LONG: usize = 8;

impl Allowed {
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        Self(serde_yaml::from_str(&text).unwrap())
    }

    /// An answer as it is compared.
    pub(super) fn apply(&self, names: &mut Names, answer: &Answer, unordered: &[String]) -> Value {
        let mut plain = json!({ "code": answer.code, "headers": answer.headers, "body": answer.body });
        names.kind = answer.body["kind"].as_str().map(ToOwned::to_owned);
        if let Some(body) = plain.get_mut("body") {
            if self.0.iter().any(|entry| entry.compare == Compare::Shown) {
                self.read_shown(names, body);
            }
            self.walk(names, body, &mut Vec::new());
        }
        for (name, value) in &answer.captured {
            if value.len() >= LONG && !names.everywhere.iter().any(|(known, _)| known == value) {
                names.everywhere.push((value.clone(), format!("${{{name}}}")));
            }
        }
        replace(&mut plain, &names.everywhere);
        if self.0.iter().any(|entry| entry.compare == Compare::Errors) {
            order_errors(&mut plain);
        }
        for pointer in unordered {
            if let Some(Value::Array(items)) = plain.pointer_mut(&format!("/body{pointer}")) {
                items.sort_by_key(ToString::to_string);
            }
        }
        plain
    }

    /// Treats the objects that the messages of a Status show as those of bodies.
    fn read_shown(&self, names: &mut Names, body: &mut Value) {
        for (pointer, start) in [("/message", SHOWN), ("/details/causes/0/message", CAUSE)] {
            if let Some(Value::String(text)) = body.pointer_mut(pointer)
                && let Some((before, shown)) = text.split_once(start)
            {
                let mut parts = serde_json::Deserializer::from_str(shown).into_iter::<String>();
                let object = parts.next().and_then(Result::ok);
                let object = object.and_then(|object| serde_json::from_str::<Value>(&object).ok());
                if let Some(mut object @ Value::Object(_)) = object {
                    self.walk(names, &mut object, &mut Vec::new());
                    let rest = &shown[parts.byte_offset()..];
                    *text = format!("{before}{start}{object}{rest}");
                }
            }
        }
    }

    fn rule(&self, names: &Names, at: &[String]) -> Option<&Entry> {
        let mut rules = self.0.iter();
        rules.find(|rule| matches(&rule.at, at) && (rule.kind.is_none() || rule.kind == names.kind))
    }

    fn walk(&self, names: &mut Names, value: &mut Value, at: &mut Vec<String>) {
        let is_object = value.pointer("/metadata/uid").is_some();
        match value {
            Value::Object(fields) => {
                let keys: Vec<String> = fields.keys().cloned().collect();
                for key in keys {
                    at.push(key.clone());
                    let rule = self.rule(names, at);
                    match rule {
                        Some(Entry {
                            compare: Compare::Nothing,
                            ..
                        }) => {
                            fields.remove(&key);
                        }
                        Some(
                            entry @ Entry {
                                compare: Compare::Listed,
                                ..
                            },
                        ) => {
                            let field = fields.get_mut(&key).unwrap();
                            keep_listed(entry, field);
                            self.walk(names, field, at);
                        }
                        Some(Entry {
                            compare: Compare::Managers,
                            ..
                        }) => {
                            let field = fields.get_mut(&key).unwrap();
                            self.walk(names, field, at);
                            order_managers(field);
                        }
                        Some(entry) if !fields[&key].is_array() => {
                            let has_uid = fields.contains_key("uid");
                            let field = fields.get_mut(&key).unwrap();
                            treat(names, entry, field, has_uid || is_object);
                        }
                        _ => self.walk(names, fields.get_mut(&key).unwrap(), at),
                    }
                    at.pop();
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    at.push(index.to_string());
                    match self.rule(names, at) {
                        Some(entry) => treat(names, entry, item, false),
                        None => self.walk(names, item, at),
                    }
                    at.pop();
                }
            }
            _ => {}
        }
    }
}

/// Keeps the items that both servers have.
fn keep_listed(entry: &Entry, value: &mut Value) {
    let listed = |name: Option<&str>| entry.listed.iter().any(|listed| Some(listed.as_str()) == name);
    match value {
        Value::Array(items) => {
            let name = |item: &Value| {
                item.pointer(&entry.by)
                    .and_then(Value::as_str)
                    .map(ToOwned::to_owned)
            };
            // The core group has no name.
            items.retain(|item| name(item).is_none_or(|name| listed(Some(&name))));
            items.sort_by_key(name);
        }
        Value::Object(fields) => fields.retain(|name, _| listed(Some(name))),
        _ => {}
    }
}

fn is_age(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(['s', 'm'])
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, 's' | 'm'))
}

fn cut(entry: &Entry, text: &str) -> String {
    let mut text = text.to_owned();
    for part in &entry.without {
        text = text.replace(part, "");
    }
    for before in &entry.digits_after {
        if let Some((start, rest)) = text.split_once(before.as_str()) {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            text = format!("{start}{before}<number>{rest}");
        }
    }
    text
}

fn treat(names: &mut Names, entry: &Entry, value: &mut Value, of_object: bool) {
    let Value::String(text) = value else { return };
    let replaced = match entry.compare {
        Compare::Order => {
            let kind = entry.at.rsplit('/').next().unwrap_or_default().to_owned();
            let (index, new) = place(names.others.entry(kind.clone()).or_default(), text);
            let name = format!("<{kind} {index}>");
            if new && text.len() >= LONG {
                names.everywhere.push((text.clone(), name.clone()));
            }
            name
        }
        Compare::Revision if of_object => format!("<revision {}>", place(&mut names.revisions, text).0),
        Compare::Revision | Compare::Presence => {
            let there = if text.is_empty() { "empty" } else { "there" };
            format!("<{there}>")
        }
        Compare::Time => match text.parse::<Timestamp>() {
            Ok(_) if text.ends_with('Z') => format!("<time of {} characters>", text.len()),
            _ => return,
        },
        Compare::Text => cut(entry, text),
        Compare::Age if is_age(text) || text.parse::<Timestamp>().is_ok() => "<age>".to_owned(),
        Compare::Age
        | Compare::Errors
        | Compare::Listed
        | Compare::Managers
        | Compare::Nothing
        | Compare::Shown => {
            return;
        }
    };
    *text = replaced;
}

/// Puts managers in order of name, those of one operation among themselves.
fn order_managers(managers: &mut Value) {
    let operation = |manager: &Value| manager["operation"].clone();
    for alike in managers
        .as_array_mut()
        .into_iter()
        .flat_map(|list| list.chunk_by_mut(|a, b| operation(a) == operation(b)))
    {
        alike.sort_by_key(|manager| [&manager["manager"], &manager["subresource"]].map(ToString::to_string));
    }
}

/// Sorts the causes of a Status, and has its message refer to them where it repeats all of them.
fn order_errors(plain: &mut Value) {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let body = &mut plain["body"];
    let Some(Value::Array(causes)) = body.pointer_mut("/details/causes") else {
        return;
    };
    let told: Vec<_> = causes
        .iter()
        .map(|cause| format!("{}: {}", text(cause, "field"), text(cause, "message")))
        .collect();
    causes.sort_by_key(ToString::to_string);
    let message = text(body, "message").replace(&format!("[{}]", told.join(", ")), "<all causes>");
    body["message"] = Value::String(message);
}

fn replace(value: &mut Value, everywhere: &[(String, String)]) {
    match value {
        Value::String(text) => {
            for (from, to) in everywhere {
                if text.contains(from.as_str()) {
                    *text = text.replace(from.as_str(), to);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, everywhere)),
        Value::Object(fields) => {
            for (mut name, mut field) in std::mem::take(fields) {
                for (from, to) in everywhere {
                    name = name.replace(from.as_str(), to);
                }
                replace(&mut field, everywhere);
                fields.insert(name, field);
            }
        }
        _ => {}
    }
}

/// Whether a pattern means the place.
fn matches(pattern: &str, at: &[String]) -> bool {
    fn parts_match(pattern: &[&str], at: &[String]) -> bool {
        match (pattern, at) {
            ([], []) => true,
            (["**", rest @ ..], _) => (0..=at.len()).any(|skipped| parts_match(rest, &at[skipped..])),
            ([first, rest @ ..], [part, others @ ..]) => {
                (*first == "*" || first == part) && parts_match(rest, others)
            }
            _ => false,
        }
    }
    let pattern: Vec<&str> = pattern.trim_start_matches('/').split('/').collect();
    parts_match(&pattern, at)
}

#[test]
fn revisions_compare_by_their_order_and_uids_inside_messages() {
    let allowed = Allowed::read(&super::folder().join("allowed.yaml"));
    let answer = |revision: &str, uid: &str| Answer {
        sent: String::new(),
        code: 200,
        headers: std::collections::BTreeMap::new(),
        body: json!({
            "metadata": { "uid": uid, "resourceVersion": revision, "creationTimestamp": "2026-01-01T00:00:00Z" },
            "message": format!("there is {uid}"),
        }),
        captured: std::collections::BTreeMap::new(),
    };
    let (mut ours, mut theirs) = (Names::default(), Names::default());
    let (one, other) = ("0a5d2c1e-0001", "0a5d2c1e-0002");
    for (our, their, same) in [("5", "812", true), ("5", "812", true), ("6", "812", false)] {
        let our = allowed.apply(&mut ours, &answer(our, one), &[]);
        let their = allowed.apply(&mut theirs, &answer(their, other), &[]);
        assert_eq!(our == their, same, "{our} {their}");
    }
}
