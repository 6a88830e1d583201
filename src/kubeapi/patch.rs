//! The three ways to patch an object: JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes' strategic merge.
//!
//! Texts of errors follow the API server. A patch either applies whole or leaves the object as it was. The size and depth
//! of the result are bounded whatever the patch says.

use json_patch::{PatchOperation, jsonptr::Pointer};
use serde_json::{Map, Value};

use super::unmarshal::json_type;

/// How many operations one JSON patch may hold.
const MAX_OPERATIONS: usize = 10_000;

/// How many bytes the `copy` operations of one JSON patch may add.
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// How deep an operation may nest the object: as deep as a body that is sent whole.
const MAX_DEPTH: usize = 120;

/// Why a patch was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The patch is not a patch: 400 `BadRequest`.
    #[error("{0}")]
    Malformed(String),
    /// The patch does not fit the object: 422 `Invalid`.
    #[error("{0}")]
    NotApplicable(String),
    /// The patch is larger than a server accepts: 413 `RequestEntityTooLarge`.
    #[error("{0}")]
    TooLarge(String),
}

/// Applies a JSON patch, given as the list of its operations. `test` with the value null succeeds where the path does
/// not exist, as it does on the API server.
///
/// # Errors
/// [`PatchError`]; the object is then unchanged.
pub fn json_patch(object: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations = patch
        .as_array()
        .ok_or_else(|| not_a("[]handlers.jsonPatchOp", patch))?;
    if operations.len() > MAX_OPERATIONS {
        let (limit, found) = (MAX_OPERATIONS, operations.len());
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {limit}, got {found}"
        )));
    }
    let mut patched = object.clone();
    let mut copied = 0;
    for (index, operation) in operations.iter().enumerate() {
        let operation: PatchOperation = serde_json::from_value(operation.clone())
            .map_err(|error| refused(format!("operation {index} of the JSON patch: {error}")))?;
        apply_operation(&mut patched, &operation, &mut copied)?;
    }
    Ok(patched)
}

fn apply_operation(
    object: &mut Value,
    operation: &PatchOperation,
    copied: &mut usize,
) -> Result<(), PatchError> {
    let path = operation.path();
    let added = match operation {
        PatchOperation::Test(test) => return check_test(object, path, &test.value),
        PatchOperation::Remove(_) => None,
        PatchOperation::Add(add) => Some(&add.value),
        PatchOperation::Replace(replace) => Some(&replace.value),
        PatchOperation::Copy(copy) => Some(source(object, "copy", &copy.from)?),
        PatchOperation::Move(moved) => Some(source(object, "move", &moved.from)?),
    };
    if let Some(added) = added {
        if path.count().saturating_add(depth(added)) > MAX_DEPTH {
            return Err(refused(format!(
                "the patched object would be nested more than {MAX_DEPTH} levels deep"
            )));
        }
        if matches!(operation, PatchOperation::Copy(_)) {
            *copied = copied.saturating_add(added.to_string().len());
            if *copied > MAX_COPIED {
                return Err(refused(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the \
                     limit {MAX_COPIED}"
                )));
            }
        }
    }
    explain(object, operation)?;
    // The API server sets a field that is not there, too.
    if let PatchOperation::Replace(replace) = operation
        && path.resolve(object).is_err()
    {
        let added = PatchOperation::Add(json_patch::AddOperation {
            path: replace.path.clone(),
            value: replace.value.clone(),
        });
        return json_patch::patch_unsafe(object, &[added]).map_err(|error| refused(error.to_string()));
    }
    json_patch::patch_unsafe(object, std::slice::from_ref(operation))
        .map_err(|error| refused(error.to_string()))
}

/// Refuses what cannot be applied, in the words of the API server.
fn explain(object: &Value, operation: &PatchOperation) -> Result<(), PatchError> {
    let path = operation.path();
    let parent_exists = path
        .parent()
        .is_none_or(|parent| parent.resolve(object).is_ok_and(is_container));
    let exists = path.resolve(object).is_ok();
    match operation {
        PatchOperation::Add(_) if !parent_exists => Err(refused(format!(
            "add operation does not apply: doc is missing path: \"{path}\": missing value"
        ))),
        PatchOperation::Remove(_) if !parent_exists => Err(refused(format!(
            "remove operation does not apply: doc is missing path: \"{path}\": missing value"
        ))),
        PatchOperation::Remove(_) if !exists => {
            let key = path
                .last()
                .map(|token| token.decoded().into_owned())
                .unwrap_or_default();
            Err(refused(format!(
                "error in remove for path: '{path}': Unable to remove nonexistent key: {key}: missing value"
            )))
        }
        PatchOperation::Replace(_) if !parent_exists => Err(refused(format!(
            "replace operation does not apply: doc is missing path: {path}: missing value"
        ))),
        PatchOperation::Copy(_) if !parent_exists => Err(refused(format!(
            "copy operation does not apply: doc is missing destination path: {path}: missing value"
        ))),
        PatchOperation::Move(_) if !parent_exists => Err(refused(format!(
            "move operation does not apply: doc is missing destination path: {path}: missing value"
        ))),
        _ => Ok(()),
    }
}

fn check_test(object: &Value, path: &Pointer, expected: &Value) -> Result<(), PatchError> {
    let parent_exists = path
        .parent()
        .is_none_or(|parent| parent.resolve(object).is_ok_and(is_container));
    match path.resolve(object) {
        Ok(found) if found == expected => Ok(()),
        Err(_) if expected.is_null() => Ok(()),
        Err(_) if !parent_exists => Err(refused(format!(
            "test operation does not apply: is missing path: {path}: missing value"
        ))),
        Ok(_) | Err(_) => Err(refused(format!("testing value {path} failed: test failed"))),
    }
}

fn source<'a>(object: &'a Value, operation: &str, from: &Pointer) -> Result<&'a Value, PatchError> {
    from.resolve(object).map_err(|_| {
        refused(format!(
            "{operation} operation does not apply: doc is missing from path: {from}: missing value"
        ))
    })
}

/// A patch of another type than a patch has.
fn not_a(wanted: &str, found: &Value) -> PatchError {
    let found = json_type(found);
    PatchError::Malformed(format!(
        "error decoding patch: json: cannot unmarshal {found} into Go value of type {wanted}"
    ))
}

fn refused(text: String) -> PatchError {
    PatchError::NotApplicable(text)
}

fn is_container(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Applies a merge patch: null removes a field, an object merges, everything else replaces.
///
/// # Errors
/// [`PatchError::Malformed`] when the patch is no object.
pub fn merge_patch(object: &Value, patch: &Value) -> Result<Value, PatchError> {
    if !patch.is_object() {
        return Err(not_a("map[string]interface {}", patch));
    }
    let mut patched = object.clone();
    json_patch::merge(&mut patched, patch);
    Ok(patched)
}

/// How a strategic merge treats a list of the built-in kinds.
enum ListMerge {
    /// Items are objects told apart by this field.
    ByKey(&'static str),
    /// Items are values, merged as a set.
    Values,
    /// The list is one value.
    Atomic,
}

fn list_merge(path: &[&str]) -> ListMerge {
    match path {
        ["metadata", "ownerReferences"] => ListMerge::ByKey("uid"),
        ["metadata", "finalizers"] => ListMerge::Values,
        ["status", "conditions"] => ListMerge::ByKey("type"),
        ["secrets"] => ListMerge::ByKey("name"),
        _ => ListMerge::Atomic,
    }
}

/// The directive that replaces or deletes what it stands in.
const PATCH: &str = "$patch";
/// The directive that lists the only keys to keep.
const RETAIN_KEYS: &str = "$retainKeys";
/// The prefix of a directive about the order of the list named after it.
const ELEMENT_ORDER: &str = "$setElementOrder/";
/// The prefix of a directive that removes values from the list named after it.
const DELETE_VALUES: &str = "$deleteFromPrimitiveList/";

/// Applies a strategic merge patch to an object of a built-in kind. Lists merge by key where the kinds of Kubernetes say
/// so (owner references, finalizers, conditions); the directives `$patch`, `$retainKeys`, `$deleteFromPrimitiveList` and
/// `$setElementOrder` are understood.
///
/// # Errors
/// [`PatchError`] when the patch or a directive in it is malformed.
pub fn strategic_merge_patch(object: &Value, patch: &Value) -> Result<Value, PatchError> {
    let (Value::Object(original), Value::Object(patch)) = (object, patch) else {
        return Err(PatchError::Malformed("invalid JSON document".to_owned()));
    };
    merge_fields(original, patch, &mut Vec::new()).map(Value::Object)
}

fn merge_fields<'a>(
    original: &Map<String, Value>,
    changes: &'a Map<String, Value>,
    path: &mut Vec<&'a str>,
) -> Result<Map<String, Value>, PatchError> {
    match changes.get(PATCH).map(Value::as_str) {
        None | Some(Some("merge")) => {}
        Some(Some("replace")) => return Ok(without_directives(changes)),
        Some(Some("delete")) => return Ok(Map::new()),
        Some(directive) => {
            let text = directive.unwrap_or("not a string");
            return Err(PatchError::Malformed(format!(
                "unknown patch type: {text} in map: {path:?}"
            )));
        }
    }
    let mut merged = original.clone();
    if let Some(retained) = changes.get(RETAIN_KEYS) {
        let Value::Array(retained) = retained else {
            return Err(PatchError::Malformed(
                "invalid patch format of retainKeys".to_owned(),
            ));
        };
        merged.retain(|name, _| retained.iter().any(|kept| kept.as_str() == Some(name)));
    }
    for (name, deleted) in directives(changes, DELETE_VALUES)? {
        if let Some(Value::Array(items)) = merged.get_mut(name) {
            items.retain(|item| !deleted.contains(item));
        }
    }
    for (name, change) in changes.iter().filter(|(name, _)| !name.starts_with('$')) {
        path.push(name);
        let result = merge_value(merged.get(name), change, path);
        path.pop();
        match result? {
            Some(value) => merged.insert(name.clone(), value),
            None => merged.remove(name),
        };
    }
    for (name, order) in directives(changes, ELEMENT_ORDER)? {
        path.push(name);
        if let Some(Value::Array(items)) = merged.get_mut(name) {
            put_in_order(items, order, &list_merge(path));
        }
        path.pop();
    }
    Ok(merged)
}

fn directives<'a>(
    patch: &'a Map<String, Value>,
    prefix: &str,
) -> Result<Vec<(&'a str, &'a Vec<Value>)>, PatchError> {
    patch
        .iter()
        .filter_map(|(name, value)| name.strip_prefix(prefix).map(|field| (field, value)))
        .map(|(field, value)| match value {
            Value::Array(values) => Ok((field, values)),
            _ => Err(PatchError::Malformed(format!(
                "the directive {prefix}{field} is not a list"
            ))),
        })
        .collect()
}

/// The new value of a field, or none where the patch removes it.
fn merge_value<'a>(
    original: Option<&Value>,
    change: &'a Value,
    path: &mut Vec<&'a str>,
) -> Result<Option<Value>, PatchError> {
    match (original, change) {
        (_, Value::Null) => Ok(None),
        (Some(Value::Object(original)), Value::Object(change)) => {
            merge_fields(original, change, path).map(Value::Object).map(Some)
        }
        (_, Value::Object(change)) => merge_fields(&Map::new(), change, path)
            .map(Value::Object)
            .map(Some),
        (Some(Value::Array(original)), Value::Array(change)) => merge_list(original, change, path).map(Some),
        (_, Value::Array(change)) => merge_list(&[], change, path).map(Some),
        (_, change) => Ok(Some(change.clone())),
    }
}

fn merge_list<'a>(
    original: &[Value],
    change: &'a [Value],
    path: &mut Vec<&'a str>,
) -> Result<Value, PatchError> {
    match list_merge(path) {
        ListMerge::Atomic => Ok(Value::Array(change.to_vec())),
        ListMerge::Values => {
            let mut merged = original.to_vec();
            for item in change {
                if !merged.contains(item) {
                    merged.push(item.clone());
                }
            }
            Ok(Value::Array(interleave(
                merged,
                change,
                original,
                |one, other| one == other,
            )))
        }
        ListMerge::ByKey(key) => merge_list_by_key(original, change, key, path).map(Value::Array),
    }
}

fn merge_list_by_key<'a>(
    original: &[Value],
    change: &'a [Value],
    key: &str,
    path: &mut Vec<&'a str>,
) -> Result<Vec<Value>, PatchError> {
    let replaces_all = change
        .iter()
        .any(|item| item.get(PATCH).and_then(Value::as_str) == Some("replace") && item.get(key).is_none());
    let mut merged = if replaces_all {
        Vec::new()
    } else {
        original.to_vec()
    };
    for item in change {
        let Value::Object(fields) = item else {
            return Err(PatchError::Malformed(
                "expected a map, but received another type in a list".to_owned(),
            ));
        };
        let Some(identity) = fields.get(key) else {
            if fields.get(PATCH).is_some() {
                continue;
            }
            return Err(PatchError::Malformed(format!(
                "map: {item} does not contain declared merge key: {key}"
            )));
        };
        let position = merged.iter().position(|old| old.get(key) == Some(identity));
        let directive = fields.get(PATCH).and_then(Value::as_str);
        match position.and_then(|position| merged.get_mut(position).map(|old| (position, old))) {
            Some((position, _)) if directive == Some("delete") => {
                merged.remove(position);
            }
            Some((_, old)) => {
                let empty = Map::new();
                let original = old.as_object().unwrap_or(&empty);
                *old = Value::Object(merge_fields(original, fields, path)?);
            }
            None if directive == Some("delete") => {}
            None => merged.push(Value::Object(merge_fields(&Map::new(), fields, path)?)),
        }
    }
    Ok(interleave(merged, change, original, |one, other| {
        one.get(key) == other.get(key)
    }))
}

/// Puts what a patch names into the patch's order, and what only the object has before the first of them that it preceded.
fn interleave(
    merged: Vec<Value>,
    change: &[Value],
    original: &[Value],
    same: impl Fn(&Value, &Value) -> bool,
) -> Vec<Value> {
    let place = |list: &[Value], item: &Value| list.iter().position(|other| same(other, item));
    let (mut named, unnamed): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(change, item).is_some());
    named.sort_by_key(|item| place(change, item));
    let mut ordered = Vec::with_capacity(named.len() + unnamed.len());
    let mut unnamed = unnamed.into_iter().peekable();
    for item in named {
        let before = place(original, &item);
        while let Some(other) = unnamed.next_if(|other| before.is_some() && place(original, other) < before) {
            ordered.push(other);
        }
        ordered.push(item);
    }
    ordered.extend(unnamed);
    ordered
}

/// Moves the items that `order` names into that order; the others keep their place behind them.
fn put_in_order(items: &mut [Value], order: &[Value], merge: &ListMerge) {
    let rank = |item: &Value| {
        let place = order.iter().position(|named| match merge {
            ListMerge::ByKey(key) => named.get(key) == item.get(key),
            ListMerge::Values | ListMerge::Atomic => named == item,
        });
        place.unwrap_or(usize::MAX)
    };
    items.sort_by_key(rank);
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    patch
        .iter()
        .filter(|(name, _)| !name.starts_with('$'))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
