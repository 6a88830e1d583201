//! Removal of fields that a schema does not know.

use serde_json::{Map, Value};

use super::node::{Additional, Embedded, Node, Unknown};
use super::path::Path;

/// The fields of `ObjectMeta`; a name followed by a list has fields of its own.
const METADATA: [(&str, &[&str]); 15] = [
    ("annotations", &[]),
    ("creationTimestamp", &[]),
    ("deletionGracePeriodSeconds", &[]),
    ("deletionTimestamp", &[]),
    ("finalizers", &[]),
    ("generateName", &[]),
    ("generation", &[]),
    ("labels", &[]),
    (
        "managedFields",
        &[
            "apiVersion",
            "fieldsType",
            "fieldsV1",
            "manager",
            "operation",
            "subresource",
            "time",
        ],
    ),
    ("name", &[]),
    ("namespace", &[]),
    (
        "ownerReferences",
        &[
            "apiVersion",
            "blockOwnerDeletion",
            "controller",
            "kind",
            "name",
            "uid",
        ],
    ),
    ("resourceVersion", &[]),
    ("selfLink", &[]),
    ("uid", &[]),
];

/// Prunes a whole resource and returns the sorted paths of what was removed.
pub(super) fn prune_resource(object: &mut Value, root: &Node) -> Vec<String> {
    let mut removed = Vec::new();
    prune(object, Some(root), true, &Path::ROOT, &mut removed);
    removed.sort();
    removed
}

/// Prunes a value that is no resource of its own, such as a default.
pub(super) fn prune_value(value: &mut Value, node: &Node) -> Vec<String> {
    let mut removed = Vec::new();
    prune(value, Some(node), false, &Path::ROOT, &mut removed);
    removed
}

fn prune(
    value: &mut Value,
    node: Option<&Node>,
    is_resource: bool,
    at: &Path<'_>,
    removed: &mut Vec<String>,
) {
    let is_resource = is_resource || node.is_some_and(|node| node.resource == Embedded::Yes);
    match value {
        Value::Object(fields) => prune_fields(fields, node, is_resource, at, removed),
        Value::Array(items) => {
            // Items of a list of unknown type are kept as items, but nothing inside them is known; under
            // preserve-unknown-fields, a list without a schema is left alone.
            if node.is_some_and(|node| node.preserve == Unknown::Preserved && node.items.is_none()) {
                return;
            }
            let node = node.and_then(|node| node.items.as_deref());
            for (index, item) in items.iter_mut().enumerate() {
                prune(item, node, false, &at.index(index), removed);
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

fn prune_fields(
    fields: &mut Map<String, Value>,
    node: Option<&Node>,
    is_resource: bool,
    at: &Path<'_>,
    removed: &mut Vec<String>,
) {
    fields.retain(|name, field| {
        let at = at.field(name);
        match name.as_str() {
            "apiVersion" | "kind" if is_resource => return true,
            "metadata" if is_resource => {
                prune_metadata(field, &at, removed);
                return true;
            }
            _ => {}
        }
        let Some(node) = node else {
            removed.push(at.to_string());
            return false;
        };
        if let Some(property) = node.properties.get(name) {
            prune(field, Some(property), false, &at, removed);
            return true;
        }
        match &node.additional {
            Additional::Schema(additional) => prune(field, Some(additional), false, &at, removed),
            Additional::Any | Additional::Forbidden if node.preserve == Unknown::Pruned => {
                prune(field, None, false, &at, removed);
            }
            Additional::Unspecified if node.preserve == Unknown::Pruned => {
                removed.push(at.to_string());
                return false;
            }
            Additional::Any | Additional::Forbidden | Additional::Unspecified => {}
        }
        true
    });
}

fn prune_metadata(metadata: &mut Value, at: &Path<'_>, removed: &mut Vec<String>) {
    let Value::Object(fields) = metadata else { return };
    fields.retain(|name, field| {
        let at = at.field(name);
        let Some((_, nested)) = METADATA.iter().find(|(known, _)| known == name) else {
            removed.push(at.to_string());
            return false;
        };
        if !nested.is_empty()
            && let Value::Array(items) = field
        {
            for (index, item) in items.iter_mut().enumerate() {
                let at = at.index(index);
                let Value::Object(fields) = item else { continue };
                fields.retain(|name, _| {
                    let known = nested.contains(&name.as_str());
                    if !known {
                        removed.push(at.field(name).to_string());
                    }
                    known
                });
            }
        }
        true
    });
}
