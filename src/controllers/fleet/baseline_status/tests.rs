use serde_json::{Value, json};

use super::*;
use crate::api::names;
use crate::controllers::fleet::fixtures::{at, rules};
use crate::policy::inheritance::resolve;

fn baseline(name: &str, spec: &Value) -> Baseline {
    let object = json!({ "apiVersion": names::API_VERSION, "kind": "Baseline", "metadata": { "name": name, "generation": 1 }, "spec": spec });
    serde_json::from_value(object).unwrap()
}

fn heir(of: &str, more: &Value) -> Value {
    let mut extension = json!({ "name": of });
    extension
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({ "title": "t", "version": "1", "extends": [extension] })
}

/// The status of the last, and its Ready condition as `status reason: message`.
fn status(members: &[(&str, Value)]) -> (BaselineStatus, String) {
    let specs: BTreeMap<String, Arc<crate::api::BaselineSpec>> = members
        .iter()
        .map(|(name, spec)| ((*name).to_owned(), Arc::new(baseline(name, spec).spec)))
        .collect();
    let family = resolve(specs.keys().map(String::as_str), &specs);
    let (name, spec) = members.last().unwrap();
    let status = build(&baseline(name, spec), &family, at(0));
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
        .unwrap();
    let text = format!("{} {}: {}", ready.status, ready.reason, ready.message);
    (status, text)
}

#[test]
fn what_is_inherited_counts_and_is_told() {
    let exclude = json!({ "exclude": [{ "rule": "filevault", "reason": "r" }] });
    let (status, ready) = status(&[("cis", rules(8)), ("corp", heir("cis", &exclude))]);
    assert_eq!(ready, "True Succeeded: 1 rules (1 inherited), 1 controls");
    let counts = (
        status.rules,
        status.inherited_rules,
        status.excluded_rules,
        status.enforced_rules,
    );
    assert_eq!(counts, (1, 1, 1, 1));
}

#[test]
fn what_is_not_there_is_waited_for_and_a_circle_is_a_mistake() {
    let none = json!({});
    let (status_of, ready) = status(&[("corp", heir("gone", &none))]);
    assert_eq!(
        ready,
        "False DependencyNotReady: in force without what it cannot inherit: what it extends is not there: Baseline gone"
    );
    assert!(
        status_of
            .conditions
            .iter()
            .all(|condition| condition.type_ != "Stalled")
    );
    let (_, ready) = status(&[("corp", heir("gone", &none)), ("leaf", heir("corp", &none))]);
    assert_eq!(
        ready,
        "False DependencyNotReady: in force without what it cannot inherit: what it extends is not in order: Baseline corp"
    );
    let (_, ready) = status(&[("corp", heir("corp", &none))]);
    assert_eq!(
        ready,
        "False InvalidSpec: spec.extends[0].name: inheritance goes in a circle: corp → corp"
    );
}
