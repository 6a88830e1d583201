//! `metadata.managedFields`: who owns which fields, since when.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::set::FieldSet;
use crate::api::schema::go_quote;

/// How many managers may own fields by update before the oldest are joined.
const MAX_UPDATE_MANAGERS: usize = 10;

/// The name under which the oldest updates are joined.
const ANCIENT: &str = "ancient-changes";

/// How a manager came to own its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// What tells one entry from another. An applier is one entry in whatever version it applies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ManagerId {
    pub(super) operation: Operation,
    pub(super) manager: String,
    /// The version, for updates only.
    api_version: String,
    pub(super) subresource: String,
}

impl ManagerId {
    pub(super) fn new(operation: Operation, manager: &str, api_version: &str, subresource: &str) -> Self {
        let manager = if manager.is_empty() { "unknown" } else { manager };
        let api_version = match operation {
            Operation::Apply => String::new(),
            Operation::Update => api_version.to_owned(),
        };
        Self {
            operation,
            manager: manager.to_owned(),
            api_version,
            subresource: subresource.to_owned(),
        }
    }

    /// The manager in the words of a conflict.
    pub(super) fn describe(&self) -> String {
        let mut text = go_quote(&self.manager);
        if !self.subresource.is_empty() {
            text = format!("{text} with subresource {}", go_quote(&self.subresource));
        }
        if self.operation == Operation::Update {
            text = format!("{text} using {}", self.api_version);
        }
        text
    }
}

/// What one manager owns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) fields: FieldSet,
    pub(super) api_version: String,
    /// As it stands in the object: an entry that does not change keeps its time to the letter.
    pub(super) time: Option<Value>,
}

/// All entries of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Managers {
    pub(super) entries: BTreeMap<ManagerId, Entry>,
}

impl Managers {
    /// Reads the entries of an object; nothing if any of them is malformed.
    pub(super) fn of(object: &Value) -> Option<Self> {
        let mut entries = BTreeMap::new();
        for entry in object
            .pointer("/metadata/managedFields")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
            let operation = match text("operation") {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            let api_version = text("apiVersion");
            if api_version.is_empty() || text("fieldsType") != "FieldsV1" {
                return None;
            }
            let fields = match entry.get("fieldsV1") {
                Some(fields) => FieldSet::parse(fields)?,
                None => FieldSet::default(),
            };
            let id = ManagerId::new(operation, text("manager"), api_version, text("subresource"));
            let time = entry.get("time").cloned();
            entries.insert(
                id,
                Entry {
                    fields,
                    api_version: api_version.to_owned(),
                    time,
                },
            );
        }
        Some(Self { entries })
    }

    /// Writes the entries into an object: appliers first, then by time and name.
    pub(super) fn write(&self, object: &mut Value) {
        let Some(object) = object.as_object_mut() else {
            return;
        };
        let metadata = object
            .entry("metadata")
            .or_insert_with(|| Value::Object(Map::new()));
        let Some(metadata) = metadata.as_object_mut() else {
            return;
        };
        if self.entries.is_empty() {
            metadata.remove("managedFields");
            return;
        }
        let mut entries: Vec<(&ManagerId, &Entry)> = self.entries.iter().collect();
        entries.sort_by_key(|(id, entry)| {
            (
                id.operation,
                seconds(entry),
                &id.manager,
                &entry.api_version,
                &id.subresource,
            )
        });
        let entries = entries.into_iter().map(|(id, entry)| {
            let mut written = json!({
                "apiVersion": entry.api_version, "fieldsType": "FieldsV1", "fieldsV1": entry.fields.to_json(),
                "manager": id.manager, "operation": id.operation.as_str(),
            });
            if let Some(fields) = written.as_object_mut() {
                if !id.subresource.is_empty() {
                    fields.insert("subresource".to_owned(), json!(id.subresource));
                }
                if let Some(time) = &entry.time {
                    fields.insert("time".to_owned(), time.clone());
                }
            }
            written
        });
        metadata.insert("managedFields".to_owned(), Value::Array(entries.collect()));
    }

    /// Everything that anyone owns.
    pub(super) fn all_fields(&self) -> FieldSet {
        self.entries
            .values()
            .fold(FieldSet::default(), |all, entry| all.union(&entry.fields))
    }

    /// Takes fields from everyone but `except`; who owns nothing then is forgotten.
    pub(super) fn disown(&mut self, fields: &FieldSet, except: Option<&ManagerId>) {
        for (_, entry) in self.entries.iter_mut().filter(|(id, _)| Some(*id) != except) {
            entry.fields = entry.fields.difference(fields);
        }
        self.entries.retain(|_, entry| !entry.fields.is_empty());
    }

    /// Joins the oldest updates when there are too many of them.
    pub(super) fn cap_updates(&mut self) {
        let mut updates: Vec<(i64, ManagerId)> = self
            .entries
            .iter()
            .filter(|(id, _)| id.operation == Operation::Update)
            .map(|(id, entry)| (seconds(entry), id.clone()))
            .collect();
        updates.sort();
        let mut count = updates.len();
        let mut first_of_version: BTreeMap<String, ManagerId> = BTreeMap::new();
        for (_, id) in updates {
            if count <= MAX_UPDATE_MANAGERS {
                return;
            }
            let Some(version) = self.entries.get(&id).map(|entry| entry.api_version.clone()) else {
                continue;
            };
            let Some(first) = first_of_version.get(&version).cloned() else {
                first_of_version.insert(version, id);
                continue;
            };
            let bucket = ManagerId::new(Operation::Update, ANCIENT, &version, "");
            if !self.entries.contains_key(&bucket)
                && let Some(oldest) = self.entries.remove(&first)
            {
                self.entries.insert(bucket.clone(), oldest);
            }
            if let Some(joined) = self.entries.remove(&id)
                && let Some(bucket) = self.entries.get_mut(&bucket)
            {
                bucket.fields = bucket.fields.union(&joined.fields);
                bucket.time = joined.time;
                count -= 1;
            }
        }
    }
}

/// The time of an entry in whole seconds, as Kubernetes writes and compares them.
fn seconds(entry: &Entry) -> i64 {
    let time = entry
        .time
        .as_ref()
        .and_then(Value::as_str)
        .and_then(|text| text.parse::<Timestamp>().ok());
    time.map_or(0, Timestamp::as_second)
}

/// A time as Kubernetes writes it: UTC, whole seconds.
pub(super) fn time(now: Timestamp) -> Value {
    Value::from(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
