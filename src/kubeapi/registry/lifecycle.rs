//! The life of a definition after it is written: its names are accepted or refused, it is established, it goes.
//!
//! Pure: says what the status becomes. On a cluster controllers of the API server do this a moment later; here the server
//! does it before it answers, as the same field manager and in writes of its own, so that whoever looks sees the same.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::resource::Resource;
use crate::api::schema::go_quote;
use crate::kubeapi::object;

const NAMES_ACCEPTED: &str = "NamesAccepted";
const ESTABLISHED: &str = "Established";
const TERMINATING: &str = "Terminating";

/// Gives a definition that is about to be stored the status that it starts with, and has every version listed under which
/// objects may be stored.
pub(crate) fn begin(definition: &mut Value) {
    let versions = object::at(definition, "spec.versions").and_then(Value::as_array);
    let storage = versions
        .into_iter()
        .flatten()
        .find(|version| version.get("storage") == Some(&Value::Bool(true)))
        .and_then(|version| version.get("name").cloned());
    let Some(fields) = definition.as_object_mut() else {
        return;
    };
    let status = fields.entry("status").or_insert_with(
        || json!({ "conditions": null, "acceptedNames": { "plural": "", "kind": "" }, "storedVersions": null }),
    );
    let mut stored = status
        .get("storedVersions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if let Some(name) = storage.filter(|name| !stored.contains(name)) {
        stored.push(name);
        object::put(status, "storedVersions", Value::Array(stored));
    }
}

/// Whether a stored definition has the condition `Established`.
#[must_use]
pub(crate) fn is_established(definition: &Value) -> bool {
    has(definition, ESTABLISHED, "True")
}

/// Whether the objects of a definition are being deleted already.
#[must_use]
pub(crate) fn is_being_emptied(definition: &Value) -> bool {
    condition(definition, TERMINATING)
        .is_some_and(|condition| condition.get("reason") == Some(&json!("InstanceDeletionInProgress")))
}

/// Names that are taken in one group.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    resources: HashSet<String>,
    kinds: HashSet<String>,
}

impl Taken {
    /// What others than `definition` have: the built-in resources, and what other definitions were granted.
    #[must_use]
    pub(crate) fn by_others<'a>(
        definition: &Value,
        definitions: &[Value],
        served: impl Iterator<Item = &'a Arc<Resource>>,
    ) -> Self {
        let group = object::at(definition, "spec.group");
        let mut taken = Self::default();
        for resource in served.filter(|resource| resource.built_in.is_some()) {
            if group.and_then(Value::as_str) == Some(&resource.group) {
                taken
                    .resources
                    .extend([resource.plural.clone(), resource.singular.clone()]);
                taken.resources.extend(resource.short_names.iter().cloned());
                taken
                    .kinds
                    .extend([resource.kind.clone(), resource.list_kind.clone()]);
            }
        }
        let own = object::text(definition, "name");
        for other in definitions {
            if object::at(other, "spec.group") == group && object::text(other, "name") != own {
                let text =
                    |field: &str| object::text_at(other, &format!("status.acceptedNames.{field}")).to_owned();
                taken.resources.extend([text("plural"), text("singular")]);
                taken.resources.extend(object::strings(object::at(
                    other,
                    "status.acceptedNames.shortNames",
                )));
                taken.kinds.extend([text("kind"), text("listKind")]);
            }
        }
        taken
    }
}

/// Whether a definition has all the names that it wants and is established: nothing is left to do for it.
#[must_use]
pub(crate) fn is_settled(definition: &Value) -> bool {
    object::at(definition, "spec.names") == object::at(definition, "status.acceptedNames")
        && is_established(definition)
}

/// Accepts the names that are free and establishes a definition that has all of its own; true when that changes its status.
pub(crate) fn settle(definition: &mut Value, taken: &Taken, now: &Value) -> bool {
    let before = definition.get("status").cloned();
    let wanted = object::at(definition, "spec.names").cloned().unwrap_or_default();
    let accepted = object::at(definition, "status.acceptedNames")
        .cloned()
        .unwrap_or_default();
    if wanted != accepted {
        let (names, clash) = accept(&wanted, accepted, taken);
        if let Some(status) = definition.get_mut("status") {
            object::put(status, "acceptedNames", names);
        }
        let (status, reason, message) = match &clash {
            None => ("True", "NoConflicts", "no conflicts found"),
            Some((reason, message)) => ("False", *reason, message.as_str()),
        };
        set_condition(definition, NAMES_ACCEPTED, status, reason, message, now);
    }
    if !is_established(definition) {
        let (status, reason, message) = if has(definition, NAMES_ACCEPTED, "True") {
            (
                "True",
                "InitialNamesAccepted",
                "the initial names have been accepted",
            )
        } else {
            ("False", "NotAccepted", "not all names are accepted")
        };
        set_condition(definition, ESTABLISHED, status, reason, message, now);
    }
    definition.get("status") != before.as_ref()
}

/// The names that a definition gets of those it wants, and what stands against the last that it does not.
fn accept(wanted: &Value, accepted: Value, taken: &Taken) -> (Value, Option<(&'static str, String)>) {
    let mut names = match accepted {
        Value::Object(names) => names,
        _ => Map::new(),
    };
    let mut clash = None;
    for (field, reason, set) in [
        ("plural", "PluralConflict", &taken.resources),
        ("singular", "SingularConflict", &taken.resources),
        ("shortNames", "ShortNamesConflict", &taken.resources),
        ("kind", "KindConflict", &taken.kinds),
        ("listKind", "ListKindConflict", &taken.kinds),
    ] {
        let Some(asked) = wanted.get(field) else {
            names.remove(field);
            continue;
        };
        let own = listed(names.get(field).unwrap_or(&Value::Null));
        let used: Vec<&str> = listed(asked)
            .into_iter()
            .filter(|name| !own.contains(name) && set.contains(*name))
            .collect();
        if used.is_empty() {
            names.insert(field.to_owned(), asked.clone());
        } else {
            let texts: Vec<String> = used
                .iter()
                .map(|name| format!("{} is already in use", go_quote(name)))
                .collect();
            let text = if let [one] = texts.as_slice() {
                one.clone()
            } else {
                format!("[{}]", texts.join(", "))
            };
            clash = Some((reason, text));
        }
    }
    match wanted.get("categories") {
        Some(categories) => names.insert("categories".to_owned(), categories.clone()),
        None => names.remove("categories"),
    };
    (Value::Object(names), clash)
}

/// The names of a field that holds one or several.
fn listed(names: &Value) -> Vec<&str> {
    match names {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

/// A definition that has just been deleted: it stays until its objects are gone.
pub(crate) fn terminate(definition: &mut Value, now: &Value) {
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_condition(
        definition,
        TERMINATING,
        "True",
        "InstanceDeletionPending",
        message,
        now,
    );
}

/// A definition whose objects are being deleted.
pub(crate) fn start_emptying(definition: &mut Value, now: &Value) {
    let message = "CustomResource deletion is in progress";
    set_condition(
        definition,
        TERMINATING,
        "True",
        "InstanceDeletionInProgress",
        message,
        now,
    );
}

fn condition<'a>(definition: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object::at(definition, "status.conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| condition.get("type").and_then(Value::as_str) == Some(kind))
}

fn has(definition: &Value, kind: &str, status: &str) -> bool {
    condition(definition, kind)
        .is_some_and(|condition| condition.get("status").and_then(Value::as_str) == Some(status))
}

/// Sets a condition; its time moves only with its status.
fn set_condition(definition: &mut Value, kind: &str, status: &str, reason: &str, message: &str, now: &Value) {
    let since = condition(definition, kind)
        .filter(|old| old.get("status").and_then(Value::as_str) == Some(status))
        .and_then(|old| old.get("lastTransitionTime"))
        .unwrap_or(now);
    let new = json!({
        "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
    });
    let mut conditions = object::at(definition, "status.conditions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    match conditions
        .iter_mut()
        .find(|old| old.get("type").and_then(Value::as_str) == Some(kind))
    {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
    if let Some(status) = definition.get_mut("status") {
        object::put(status, "conditions", Value::Array(conditions));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(plural: &str, kind: &str) -> Value {
        let mut definition = json!({
            "metadata": { "name": format!("{plural}.example.com") },
            "spec": {
                "group": "example.com",
                "names": { "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List") },
                "versions": [{ "name": "v1", "storage": true }],
            },
        });
        begin(&mut definition);
        definition
    }

    fn settled(mut definition: Value, others: &[Value], now: &str) -> Value {
        let taken = Taken::by_others(&definition, others, std::iter::empty());
        settle(&mut definition, &taken, &json!(now));
        definition
    }

    #[test]
    fn a_definition_gets_its_names_and_is_established_once() {
        let new = definition("widgets", "Widget");
        assert_eq!(
            new["status"],
            json!({ "conditions": null, "acceptedNames": { "plural": "", "kind": "" }, "storedVersions": ["v1"] })
        );
        assert!(!is_established(&new));
        let mut first = settled(new, &[], "then");
        assert!(is_established(&first));
        assert_eq!(first["status"]["acceptedNames"], first["spec"]["names"]);
        assert!(!settle(&mut first, &Taken::default(), &json!("now")));
    }

    #[test]
    fn a_name_that_is_taken_waits_until_it_is_free_and_the_others_are_granted() {
        let first = settled(definition("widgets", "Widget"), &[], "then");
        let rival = settled(
            definition("rivals", "Widget"),
            std::slice::from_ref(&first),
            "then",
        );
        assert!(!is_established(&rival));
        assert_eq!(
            rival["status"]["acceptedNames"],
            json!({ "plural": "rivals", "kind": "" })
        );
        let reason = condition(&rival, NAMES_ACCEPTED).unwrap();
        assert_eq!(reason["message"], "\"WidgetList\" is already in use");
        assert_eq!(reason["reason"], "ListKindConflict");
        let freed = settled(rival, &[], "later");
        assert!(is_established(&freed));
        assert_eq!(
            condition(&freed, ESTABLISHED).unwrap()["lastTransitionTime"],
            "later"
        );
    }

    #[test]
    fn a_new_name_that_is_taken_leaves_the_old_one_in_force() {
        let other = settled(definition("widgets", "Widget"), &[], "then");
        let mut renamed = settled(definition("rivals", "Rival"), &[], "then");
        renamed["spec"]["names"]["shortNames"] = json!(["r", "widgets", "widget"]);
        let renamed = settled(renamed, &[other], "later");
        assert!(is_established(&renamed), "objects are served on");
        assert_eq!(renamed["status"]["acceptedNames"].get("shortNames"), None);
        let reason = condition(&renamed, NAMES_ACCEPTED).unwrap();
        assert_eq!(
            reason["message"],
            "[\"widgets\" is already in use, \"widget\" is already in use]"
        );
    }
}
