//! Reading and writing the parts of an object that every kind has.

use serde_json::{Map, Value};

/// How deep an object may nest; serde's own limit when reading is the same order.
pub(super) const MAX_DEPTH: usize = 100;
/// The largest object, in bytes of JSON, as etcd's default limit.
pub(super) const MAX_OBJECT: usize = 1_536 * 1024;

/// `metadata`, when it is an object.
#[must_use]
pub(super) fn metadata(object: &Value) -> Option<&Map<String, Value>> {
    object.get("metadata")?.as_object()
}

/// `metadata`, made when it is missing or not an object. `None` only when `object` itself is none.
pub(super) fn metadata_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let metadata = object
        .as_object_mut()?
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    metadata.as_object_mut()
}

/// A string of `metadata`; absent reads as empty.
#[must_use]
pub(super) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    metadata(object)
        .and_then(|metadata| metadata.get(field))
        .and_then(Value::as_str)
        .unwrap_or("")
}

/// Sets a field of `metadata`, or removes it with `None`.
pub(super) fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(metadata) = metadata_mut(object) else {
        return;
    };
    match value {
        Some(value) => metadata.insert(field.to_owned(), value),
        None => metadata.remove(field),
    };
}

/// Sets a field of an object; anything else stays as it is.
pub(super) fn put(object: &mut Value, field: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

/// `metadata.generation`.
#[must_use]
pub(super) fn generation(object: &Value) -> i64 {
    metadata(object)
        .and_then(|metadata| metadata.get("generation"))
        .and_then(Value::as_i64)
        .unwrap_or(0)
}

/// Whether deletion has begun.
#[must_use]
pub(super) fn is_terminating(object: &Value) -> bool {
    metadata(object).is_some_and(|metadata| metadata.get("deletionTimestamp").is_some_and(Value::is_string))
}

/// `metadata.finalizers`.
#[must_use]
pub(super) fn finalizers(object: &Value) -> Vec<String> {
    strings(metadata(object).and_then(|metadata| metadata.get("finalizers")))
}

/// Replaces `metadata.finalizers`.
pub(super) fn set_finalizers(object: &mut Value, finalizers: Vec<String>) {
    let value = (!finalizers.is_empty()).then(|| finalizers.into());
    set(object, "finalizers", value);
}

/// The uids in `metadata.ownerReferences`.
#[must_use]
pub(super) fn owner_uids(object: &Value) -> Vec<String> {
    let references = metadata(object).and_then(|metadata| metadata.get("ownerReferences")?.as_array());
    let uids = references
        .into_iter()
        .flatten()
        .filter_map(|reference| reference.get("uid")?.as_str());
    uids.map(ToOwned::to_owned).collect()
}

/// The strings of an array; anything else reads as none.
#[must_use]
pub(super) fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

/// The value under a path of field names separated by dots, without array steps.
#[must_use]
pub(super) fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .filter(|part| !part.is_empty())
        .try_fold(object, |value, part| value.get(part))
}

/// A text at a path of fields separated by dots, or empty.
#[must_use]
pub(super) fn text_at<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or("")
}

/// A time as `metav1.Time` prints it: UTC, whole seconds.
#[must_use]
pub(super) fn time(at: jiff::Timestamp) -> Value {
    Value::String(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Whether `value` nests at most `depth` levels. Recursion ends at `depth`.
#[must_use]
pub(super) fn within_depth(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| within_depth(item, depth - 1)),
        Value::Object(fields) => depth > 0 && fields.values().all(|field| within_depth(field, depth - 1)),
        _ => true,
    }
}
