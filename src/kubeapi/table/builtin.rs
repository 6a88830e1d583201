//! The columns of Kubernetes' own kinds.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::columns::{Column, age, text};
use crate::kubeapi::openapi::description;

const EVENT: &str = "io.k8s.api.core.v1.Event";

/// The columns of a kind; an unknown one shows its name and when it was created.
pub(super) fn columns(group: &str, kind: &str) -> Vec<Column> {
    match (group, kind) {
        ("", "Namespace") => vec![
            Column::name(),
            Column::described(
                "Status",
                "string",
                "The status of the namespace".to_owned(),
                |object, _| text(object, "/status/phase"),
            ),
            Column::age(),
        ],
        ("", "Secret") => vec![
            Column::name(),
            Column::of(
                "Type",
                "string",
                "io.k8s.api.core.v1.Secret",
                "type",
                |object, _| text(object, "/type"),
            ),
            Column::of(
                "Data",
                "string",
                "io.k8s.api.core.v1.Secret",
                "data",
                |object, _| json!(size(object, "data")),
            ),
            Column::age(),
        ],
        ("", "ConfigMap") => vec![
            Column::name(),
            Column::of(
                "Data",
                "string",
                "io.k8s.api.core.v1.ConfigMap",
                "data",
                |object, _| json!(size(object, "data") + size(object, "binaryData")),
            ),
            Column::age(),
        ],
        ("", "ServiceAccount") => vec![Column::name(), Column::age()],
        ("coordination.k8s.io", "Lease") => vec![
            Column::name(),
            Column::of(
                "Holder",
                "string",
                "io.k8s.api.coordination.v1.LeaseSpec",
                "holderIdentity",
                |object, _| text(object, "/spec/holderIdentity"),
            ),
            Column::age(),
        ],
        ("" | "events.k8s.io", "Event") => event(),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(kind),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(),
        _ => vec![Column::name(), Column::created_at()],
    }
}

fn event() -> Vec<Column> {
    let reference = "io.k8s.api.core.v1.ObjectReference";
    let mut name = Column::name().wide();
    "name".clone_into(&mut name.format);
    vec![
        Column::of("Last Seen", "string", EVENT, "lastTimestamp", last_seen),
        Column::of("Type", "string", EVENT, "type", |object, _| text(object, "/type")),
        Column::of("Reason", "string", EVENT, "reason", |object, _| {
            text(object, "/reason")
        }),
        Column::of("Object", "string", EVENT, "involvedObject", |object, _| {
            let involved =
                |field| either(object, "involvedObject", "regarding").and_then(|object| object.get(field));
            let kind = involved("kind")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_lowercase();
            match involved("name")
                .and_then(Value::as_str)
                .filter(|name| !name.is_empty())
            {
                Some(name) => json!(format!("{kind}/{name}")),
                None => json!(kind),
            }
        }),
        Column::of("Subobject", "string", reference, "fieldPath", |object, _| {
            let involved = either(object, "involvedObject", "regarding");
            json!(
                involved
                    .and_then(|involved| involved.get("fieldPath")?.as_str())
                    .unwrap_or_default()
            )
        })
        .wide(),
        Column::of("Source", "string", EVENT, "source", source).wide(),
        Column::of("Message", "string", EVENT, "message", |object, _| {
            json!(
                either(object, "message", "note")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .trim()
            )
        }),
        Column::of("First Seen", "string", EVENT, "firstTimestamp", first_seen).wide(),
        Column::of("Count", "string", EVENT, "count", |object, _| {
            let series = object.pointer("/series/count").and_then(Value::as_i64);
            let count = || {
                either(object, "count", "deprecatedCount")
                    .and_then(Value::as_i64)
                    .filter(|count| *count > 0)
            };
            json!(series.or_else(count).unwrap_or(1))
        })
        .wide(),
        name,
    ]
}

/// A field under its name in the core group or in `events.k8s.io`.
fn either<'a>(event: &'a Value, core: &str, events: &str) -> Option<&'a Value> {
    [core, events]
        .into_iter()
        .filter_map(|name| event.get(name))
        .find(|value| !value.is_null())
}

fn first_seen(event: &Value, now: Timestamp) -> Value {
    age(
        either(event, "firstTimestamp", "deprecatedFirstTimestamp").or_else(|| event.get("eventTime")),
        now,
    )
}

fn last_seen(event: &Value, now: Timestamp) -> Value {
    if let Some(time) = event.pointer("/series/lastObservedTime") {
        return age(Some(time), now);
    }
    match either(event, "lastTimestamp", "deprecatedLastTimestamp") {
        Some(time) => age(Some(time), now),
        None => first_seen(event, now),
    }
}

fn source(event: &Value, _: Timestamp) -> Value {
    let part = |of_source: &str, of_event: &str| {
        let source =
            either(event, "source", "deprecatedSource").and_then(|source| source.get(of_source)?.as_str());
        let reporting = || event.get(of_event).and_then(Value::as_str);
        source
            .filter(|text| !text.is_empty())
            .or_else(reporting)
            .unwrap_or_default()
    };
    let component = match part("component", "reportingComponent") {
        "" => part("component", "reportingController"),
        component => component,
    };
    match part("host", "reportingInstance") {
        "" => json!(component),
        instance => json!(format!("{component}, {instance}")),
    }
}

fn binding(kind: &str) -> Vec<Column> {
    let definition = format!("io.k8s.api.rbac.v1.{kind}");
    let of = if kind == "RoleBinding" {
        "roleBinding"
    } else {
        "clusterRoleBinding"
    };
    // The table's words are older than the field's, which say more.
    let role = description(&definition, "roleRef");
    let role = role.trim_end_matches(" This field is immutable.");
    let subjects = |name: &str, cell: fn(&Value, Timestamp) -> Value| {
        Column::described(name, "string", format!("{name} in the {of}"), cell).wide()
    };
    vec![
        Column::name(),
        Column::described("Role", "string", role.to_owned(), |object, _| {
            let part = |name| object.pointer(name).and_then(Value::as_str).unwrap_or_default();
            json!(format!("{}/{}", part("/roleRef/kind"), part("/roleRef/name")))
        }),
        Column::age(),
        subjects("Users", |object, _| subjects_of(object, "User")),
        subjects("Groups", |object, _| subjects_of(object, "Group")),
        subjects("ServiceAccounts", |object, _| {
            subjects_of(object, "ServiceAccount")
        }),
    ]
}

fn subjects_of(binding: &Value, kind: &str) -> Value {
    let subjects = binding
        .get("subjects")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let names: Vec<String> = subjects
        .iter()
        .filter(|subject| subject.get("kind").and_then(Value::as_str) == Some(kind))
        .map(|subject| {
            let part = |name| subject.get(name).and_then(Value::as_str).unwrap_or_default();
            match kind {
                "ServiceAccount" => format!("{}/{}", part("namespace"), part("name")),
                _ => part("name").to_owned(),
            }
        })
        .collect();
    json!(names.join(", "))
}

fn definition() -> Vec<Column> {
    let described = |name: &str, type_: &str, description: &str, cell: fn(&Value, Timestamp) -> Value| {
        Column::described(name, type_, description.to_owned(), cell)
    };
    vec![
        Column::name(),
        described("Scope", "string", "Cluster/Namespaced", |object, _| {
            text(object, "/spec/scope")
        }),
        described("Versions", "string", "Served versions", |object, _| {
            json!(served_versions(object))
        }),
        Column::created_at(),
        described("Group", "string", "API group", |object, _| {
            text(object, "/spec/group")
        })
        .wide(),
        described("Kind", "string", "CustomResource kind", |object, _| {
            text(object, "/spec/names/kind")
        })
        .wide(),
        described("ShortNames", "string", "Short names", |object, _| {
            let names = object.pointer("/spec/names/shortNames").and_then(Value::as_array);
            let names: Vec<&str> = names.into_iter().flatten().filter_map(Value::as_str).collect();
            json!(names.join(","))
        })
        .wide(),
        described("Established", "boolean", "Established status", |object, _| {
            let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
            let is = |condition: &Value, name: &str, value: &str| {
                condition.get(name).and_then(Value::as_str) == Some(value)
            };
            json!(
                conditions.into_iter().flatten().any(|condition| {
                    is(condition, "type", "Established") && is(condition, "status", "True")
                })
            )
        })
        .wide(),
    ]
}

fn served_versions(definition: &Value) -> String {
    let flag = |version: &Value, name: &str| version.get(name).and_then(Value::as_bool) == Some(true);
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    let mut served: Vec<String> = versions
        .into_iter()
        .flatten()
        .filter(|version| flag(version, "served"))
        .map(|version| {
            let name = version.get("name").and_then(Value::as_str).unwrap_or_default();
            if flag(version, "storage") {
                format!("{name}(storage)")
            } else {
                name.to_owned()
            }
        })
        .collect();
    served.sort();
    served.join(",")
}

fn size(object: &Value, field: &str) -> usize {
    object.get(field).and_then(Value::as_object).map_or(0, Map::len)
}
