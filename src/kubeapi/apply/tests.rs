//! Stories about ownership: who owns what after which request, and who is told of a conflict.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ApplyError, ApplyRequest, ResetFields, TrackRequest, TypeInfo, apply, track};
use crate::api::schema::CompiledSchema;

const VERSION: &str = "provost.dev/v1alpha1";

fn schema() -> CompiledSchema {
    let props = json!({"type": "object", "properties": {
        "metadata": {"type": "object"},
        "spec": {"type": "object", "properties": {
            "mode": {"type": "string"}, "size": {"type": "integer"},
            "rules": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
                "items": {"type": "object", "required": ["id"],
                    "properties": {"id": {"type": "string"}, "severity": {"type": "string"}, "note": {"type": "string"}}}},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "order": {"type": "array", "items": {"type": "string"}},
            "parameters": {"type": "object", "additionalProperties": {"type": "string"}},
            "reference": {"type": "object", "x-kubernetes-map-type": "atomic",
                "properties": {"name": {"type": "string"}, "kind": {"type": "string"}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
        "status": {"type": "object", "properties": {
            "observedGeneration": {"type": "integer"},
            "conditions": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
                "items": {"type": "object", "required": ["type"],
                    "properties": {"type": {"type": "string"}, "status": {"type": "string"}}}}}}}});
    CompiledSchema::compile(&serde_json::from_value(props).unwrap()).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A server that holds one object.
struct Story {
    schema: CompiledSchema,
    object: Option<Value>,
    clock: i64,
}

impl Story {
    fn new() -> Self {
        Self {
            schema: schema(),
            object: None,
            clock: 0,
        }
    }

    fn request(&mut self, manager: &str, mut config: Value, force: bool) -> Result<Value, ApplyError> {
        self.clock += 1;
        config["apiVersion"] = json!(VERSION);
        config["kind"] = json!("Baseline");
        let applied = apply(&ApplyRequest {
            live: self.object.as_ref(),
            config: &config,
            types: TypeInfo::custom(&self.schema),
            manager,
            api_version: VERSION,
            subresource: "",
            reset: ResetFields::Status,
            force,
            now: at(self.clock),
        })?;
        self.object = Some(applied.clone());
        Ok(applied)
    }

    fn apply(&mut self, manager: &str, config: Value) -> Value {
        self.request(manager, config, false).expect("no conflict")
    }

    fn update(&mut self, manager: &str, change: impl FnOnce(&mut Value)) -> Value {
        self.update_at(manager, "", ResetFields::Status, change)
    }

    fn update_at(
        &mut self,
        manager: &str,
        subresource: &str,
        reset: ResetFields,
        change: impl FnOnce(&mut Value),
    ) -> Value {
        self.clock += 1;
        let mut after = self
            .object
            .clone()
            .unwrap_or_else(|| json!({"apiVersion": VERSION, "kind": "Baseline"}));
        change(&mut after);
        let tracked = track(&TrackRequest {
            always: None,
            before: self.object.as_ref(),
            after: &after,
            types: TypeInfo::custom(&self.schema),
            manager,
            api_version: VERSION,
            subresource,
            reset,
            now: Some(at(self.clock)),
        });
        self.object = Some(tracked.clone());
        tracked
    }
}

fn entry<'a>(object: &'a Value, manager: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .expect("managed fields");
    entries
        .iter()
        .find(|entry| entry["manager"] == manager)
        .unwrap_or(&Value::Null)
}

#[test]
fn creating_an_object_owns_all_of_it_but_what_names_it() {
    let mut story = Story::new();
    let created = story.update("kubectl-create", |object| {
        object["metadata"] = json!({"name": "a", "namespace": "n", "labels": {"x": "y"}, "uid": "1"});
        object["spec"] = json!({"mode": "Audit", "tags": ["t"], "rules": [{"id": "r", "severity": "low"}]});
    });
    assert_eq!(
        created["metadata"]["managedFields"],
        json!([{
            "apiVersion": VERSION, "fieldsType": "FieldsV1", "manager": "kubectl-create", "operation": "Update",
            "time": "2027-01-15T08:00:01Z",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:x": {}}},
                "f:spec": {".": {}, "f:mode": {}, "f:tags": {".": {}, "v:\"t\"": {}},
                    "f:rules": {".": {}, "k:{\"id\":\"r\"}": {".": {}, "f:id": {}, "f:severity": {}}}},
            },
        }])
    );
}

#[test]
fn applying_owns_the_leaves_that_were_applied() {
    let mut story = Story::new();
    let applied = story.apply(
        "gitops",
        json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"size": 1, "reference": {"name": "n"},
            "order": ["a"], "rules": [{"id": "r"}], "free": {"a": {"b": 1}}}}),
    );
    assert_eq!(
        entry(&applied, "gitops")["fieldsV1"],
        json!({
            "f:metadata": {"f:labels": {"f:x": {}}},
            "f:spec": {"f:size": {}, "f:reference": {}, "f:order": {}, "f:rules": {"k:{\"id\":\"r\"}": {".": {}, "f:id": {}}},
                "f:free": {"f:a": {".": {}, "f:b": {}}}},
        })
    );
    assert_eq!(entry(&applied, "gitops")["operation"], "Apply");
}

#[test]
fn a_field_that_another_owns_is_a_conflict_until_forced() {
    let mut story = Story::new();
    story.apply(
        "gitops",
        json!({"metadata": {"name": "a"}, "spec": {"mode": "Audit", "size": 1}}),
    );
    story.update("kubectl-edit", |object| object["spec"]["mode"] = json!("Enforce"));

    let error = story
        .request(
            "gitops",
            json!({"metadata": {"name": "a"}, "spec": {"mode": "Audit", "size": 1}}),
            false,
        )
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using provost.dev/v1alpha1: .spec.mode"
    );
    let ApplyError::Conflict(causes) = error else {
        panic!("a conflict")
    };
    assert_eq!(
        (causes[0].field.as_str(), causes[0].message.as_str()),
        (
            ".spec.mode",
            "conflict with \"kubectl-edit\" using provost.dev/v1alpha1"
        )
    );

    let forced = story
        .request(
            "gitops",
            json!({"metadata": {"name": "a"}, "spec": {"mode": "Audit", "size": 1}}),
            true,
        )
        .unwrap();
    assert_eq!(forced["spec"]["mode"], "Audit");
    assert!(entry(&forced, "kubectl-edit").is_null());

    let error = story
        .request(
            "other",
            json!({"metadata": {"name": "a"}, "spec": {"mode": "X", "size": 9}}),
            false,
        )
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"gitops\":\n- .spec.mode\n- .spec.size"
    );
}

#[test]
fn the_same_value_is_shared_and_goes_with_its_last_owner() {
    let mut story = Story::new();
    story.apply("one", json!({"metadata": {"name": "a"}, "spec": {"size": 1, "parameters": {"p": "1", "q": "2"}, "tags": ["x", "y"]}}));
    story.apply(
        "two",
        json!({"metadata": {"name": "a"}, "spec": {"size": 1, "parameters": {"q": "2"}}}),
    );
    let after = story.apply("one", json!({"metadata": {"name": "a"}, "spec": {"tags": ["y"]}}));
    assert_eq!(
        after["spec"],
        json!({"size": 1, "parameters": {"q": "2"}, "tags": ["y"]})
    );
    let after = story.apply("two", json!({"metadata": {"name": "a"}}));
    assert_eq!(after["spec"], json!({"tags": ["y"]}));
    assert!(entry(&after, "two").is_null());
}

#[test]
fn what_an_updater_added_stays_when_the_applier_leaves() {
    let mut story = Story::new();
    story.apply(
        "gitops",
        json!({"metadata": {"name": "a"}, "spec": {"parameters": {"p": "1"}}}),
    );
    story.update("controller", |object| {
        object["spec"]["parameters"]["q"] = json!("2");
    });
    let after = story.apply("gitops", json!({"metadata": {"name": "a"}}));
    assert_eq!(after["spec"], json!({"parameters": {"q": "2"}}));
}

#[test]
fn lists_with_keys_merge_item_by_item() {
    let mut story = Story::new();
    story.apply(
        "one",
        json!({"metadata": {"name": "a"}, "spec": {"rules": [{"id": "a", "severity": "low"}, {"id": "b"}]}}),
    );
    let after = story.apply(
        "two",
        json!({"metadata": {"name": "a"}, "spec": {"rules": [{"id": "c"}, {"id": "a", "note": "n"}]}}),
    );
    assert_eq!(
        after["spec"]["rules"],
        json!([{"id": "c"}, {"id": "a", "severity": "low", "note": "n"}, {"id": "b"}])
    );
    let after = story.apply(
        "one",
        json!({"metadata": {"name": "a"}, "spec": {"rules": [{"id": "b"}]}}),
    );
    assert_eq!(
        after["spec"]["rules"],
        json!([{"id": "c"}, {"id": "a", "note": "n"}, {"id": "b"}])
    );
    let twice = story.request(
        "one",
        json!({"metadata": {"name": "a"}, "spec": {"rules": [{"id": "b"}, {"id": "b"}]}}),
        false,
    );
    assert!(
        matches!(twice, Err(ApplyError::Malformed(text)) if text == ".spec.rules: duplicate entries for key [id=\"b\"]")
    );
}

#[test]
fn two_controllers_own_their_conditions_through_the_status_endpoint() {
    let mut story = Story::new();
    story.apply("gitops", json!({"metadata": {"name": "a"}, "spec": {"size": 1}}));
    for (manager, condition) in [("one", "Ready"), ("two", "Compiled")] {
        story.clock += 1;
        let config = json!({"apiVersion": VERSION, "kind": "Baseline", "metadata": {"name": "a"},
            "status": {"conditions": [{"type": condition, "status": "True"}]}});
        let applied = apply(&ApplyRequest {
            live: story.object.as_ref(),
            config: &config,
            types: TypeInfo::custom(&story.schema),
            manager,
            api_version: VERSION,
            subresource: "status",
            reset: ResetFields::AllButStatus,
            force: false,
            now: at(story.clock),
        });
        story.object = Some(applied.unwrap());
    }
    let object = story.object.clone().unwrap();
    assert_eq!(
        object["status"]["conditions"],
        json!([{"type": "Ready", "status": "True"}, {"type": "Compiled", "status": "True"}])
    );
    assert_eq!(entry(&object, "two")["subresource"], "status");
    assert_eq!(
        entry(&object, "gitops")["fieldsV1"],
        json!({"f:spec": {"f:size": {}}})
    );
}

#[test]
fn a_status_sent_to_the_main_endpoint_is_nobodys() {
    let mut story = Story::new();
    let applied = story.apply(
        "gitops",
        json!({"metadata": {"name": "a"}, "spec": {"size": 1}, "status": {"observedGeneration": 1}}),
    );
    assert_eq!(
        entry(&applied, "gitops")["fieldsV1"],
        json!({"f:spec": {"f:size": {}}})
    );
}

#[test]
fn a_write_that_changes_nothing_leaves_the_record_alone() {
    let mut story = Story::new();
    let config = json!({"metadata": {"name": "a"}, "spec": {"size": 1, "tags": ["t"]}});
    let first = story.apply("gitops", config.clone());
    assert_eq!(story.apply("gitops", config), first);
    let edited = story.update("edit", |object| object["spec"]["mode"] = json!("Audit"));
    assert_eq!(story.update("edit", |_| {}), edited);
    assert_eq!(story.update("somebody", |_| {}), edited);
}

#[test]
fn removing_a_field_takes_it_from_its_owners_without_a_new_time() {
    let mut story = Story::new();
    story.update("create", |object| {
        object["metadata"] = json!({"name": "a"});
        object["spec"] = json!({"mode": "Audit", "size": 1});
    });
    let after = story.update("edit", |object| {
        drop(object["spec"].as_object_mut().unwrap().remove("size"));
    });
    assert!(entry(&after, "edit").is_null());
    assert_eq!(
        entry(&after, "create")["fieldsV1"],
        json!({"f:spec": {".": {}, "f:mode": {}}})
    );
    assert_eq!(entry(&after, "create")["time"], "2027-01-15T08:00:01Z");
}

#[test]
fn an_object_without_a_record_gets_one_when_first_applied() {
    let mut story = Story::new();
    story.object = Some(
        json!({"apiVersion": VERSION, "kind": "Baseline", "metadata": {"name": "a", "uid": "1"}, "spec": {"mode": "Audit"}}),
    );
    let untracked = story.update("edit", |object| object["spec"]["size"] = json!(2));
    assert!(untracked["metadata"].get("managedFields").is_none());
    let error = story
        .request(
            "gitops",
            json!({"metadata": {"name": "a"}, "spec": {"mode": "Enforce"}}),
            false,
        )
        .unwrap_err();
    assert!(error.to_string().contains("\"before-first-apply\""), "{error}");
    let applied = story.apply(
        "gitops",
        json!({"metadata": {"name": "a"}, "spec": {"mode": "Audit"}}),
    );
    assert_eq!(
        entry(&applied, "before-first-apply")["fieldsV1"],
        json!({"f:spec": {".": {}, "f:mode": {}, "f:size": {}}})
    );
}

#[test]
fn the_record_can_be_given_or_emptied_by_the_request() {
    let mut story = Story::new();
    story.update("create", |object| object["spec"] = json!({"size": 1}));
    let emptied = story.update("edit", |object| object["metadata"]["managedFields"] = json!([{}]));
    assert!(emptied["metadata"].get("managedFields").is_none());
}

#[test]
fn kubectl_takes_over_from_its_own_client_side_apply() {
    let mut story = Story::new();
    let last = json!({"apiVersion": VERSION, "kind": "Baseline", "metadata": {"name": "a", "annotations": {}}, "spec": {"size": 1}});
    story.update("kubectl-client-side-apply", |object| {
        object["metadata"] = json!({"name": "a", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": last.to_string()}});
        object["spec"] = json!({"size": 1});
    });
    let applied = story.apply("kubectl", json!({"metadata": {"name": "a"}, "spec": {"size": 2}}));
    assert_eq!(applied["spec"]["size"], 2);
    let annotation = applied["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
        .as_str()
        .unwrap();
    assert!(annotation.ends_with("\"spec\":{\"size\":2}}\n"), "{annotation}");
}

#[test]
fn many_updaters_are_joined() {
    let mut story = Story::new();
    for n in 0..15 {
        story.update(&format!("m{n:02}"), |object| {
            object["spec"]["parameters"][format!("p{n}")] = json!("1");
        });
    }
    let object = story.object.unwrap();
    assert_eq!(object["metadata"]["managedFields"].as_array().unwrap().len(), 10);
    let ancient = &entry(&object, "ancient-changes")["fieldsV1"]["f:spec"]["f:parameters"];
    assert_eq!(ancient.as_object().unwrap().len(), 7, "{ancient}");
}

#[test]
fn wrong_requests_are_refused() {
    let mut story = Story::new();
    let error = story
        .request("x", json!({"metadata": {"managedFields": []}}), false)
        .unwrap_err();
    assert_eq!(
        error,
        ApplyError::BadRequest("metadata.managedFields must be nil".to_owned())
    );
    let config = json!({"apiVersion": "v2", "kind": "Baseline"});
    let error = apply(&ApplyRequest {
        live: None,
        config: &config,
        types: TypeInfo::builtin("", "ConfigMap"),
        manager: "x",
        api_version: "v1",
        subresource: "",
        reset: ResetFields::Nothing,
        force: false,
        now: at(0),
    });
    assert!(
        matches!(error, Err(ApplyError::BadRequest(text)) if text.starts_with("Incorrect version specified"))
    );
}

#[test]
fn built_in_kinds_merge_as_in_kubernetes() {
    let config = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
    let run = |live: Option<&Value>, manager, config: &Value| {
        apply(&ApplyRequest {
            live,
            config,
            types: TypeInfo::builtin("", "ConfigMap"),
            manager,
            api_version: "v1",
            subresource: "",
            reset: ResetFields::Nothing,
            force: false,
            now: at(0),
        })
        .unwrap()
    };
    let one = run(None, "one", &config(json!({"a": "1"})));
    let two = run(Some(&one), "two", &config(json!({"b": "2"})));
    assert_eq!(two["data"], json!({"a": "1", "b": "2"}));
    assert_eq!(entry(&two, "two")["fieldsV1"], json!({"f:data": {"f:b": {}}}));
    let left = run(Some(&two), "one", &config(json!({})));
    assert_eq!(left["data"], json!({"b": "2"}));
}

fn any_config() -> impl Strategy<Value = Value> {
    let rule = ("[a-d]", proptest::option::of("[a-c]")).prop_map(|(id, severity)| match severity {
        Some(severity) => json!({"id": id, "severity": severity}),
        None => json!({"id": id}),
    });
    let rules = prop::collection::vec(rule, 0..4).prop_map(|mut rules| {
        rules.sort_by_key(|rule| rule["id"].to_string());
        rules.dedup_by_key(|rule| rule["id"].to_string());
        rules
    });
    let tags = prop::sample::subsequence(vec!["s", "t", "u"], 0..3);
    let parameters = prop::collection::btree_map("[p-r]", "[0-2]", 0..3);
    (
        proptest::option::of(rules.prop_shuffle()),
        proptest::option::of(tags),
        proptest::option::of(parameters),
        proptest::option::of(0..3),
    )
        .prop_map(|(rules, tags, parameters, size)| {
            let mut spec = json!({});
            if let Some(size) = size {
                spec["size"] = json!(size);
            }
            if let Some(rules) = rules {
                spec["rules"] = json!(rules);
            }
            if let Some(tags) = tags {
                spec["tags"] = json!(tags);
            }
            if let Some(parameters) = parameters {
                spec["parameters"] = json!(parameters);
            }
            json!({"metadata": {"name": "a"}, "spec": spec})
        })
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(configs in prop::collection::vec((0..3, any_config()), 1..5)) {
        let mut story = Story::new();
        for (manager, config) in configs {
            let manager = format!("m{manager}");
            let once = story.request(&manager, config.clone(), true).unwrap();
            let twice = story.request(&manager, config, true).unwrap();
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn what_was_applied_is_there(configs in prop::collection::vec((0..3, any_config()), 1..5)) {
        let mut story = Story::new();
        for (manager, config) in configs {
            let applied = story.request(&format!("m{manager}"), config.clone(), true).unwrap();
            for (name, value) in config["spec"]["parameters"].as_object().into_iter().flatten() {
                prop_assert_eq!(&applied["spec"]["parameters"][name], value);
            }
            for rule in config["spec"]["rules"].as_array().into_iter().flatten() {
                let rules = applied["spec"]["rules"].as_array().unwrap();
                prop_assert_eq!(rules.iter().filter(|found| found["id"] == rule["id"]).count(), 1);
            }
        }
    }
}
