//! Stories about patches, and the law that a merge patch of a difference gives the other object back.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{PatchError, json_patch, merge_patch, strategic_merge_patch};

#[test]
fn a_finalizer_is_added_where_there_was_none() {
    let object = json!({"metadata": {"name": "a"}});
    let patch = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["provost.dev/cleanup"]},
    ]);
    let patched = json_patch(&object, &patch).unwrap();
    assert_eq!(patched["metadata"]["finalizers"], json!(["provost.dev/cleanup"]));
    let again = json_patch(&patched, &patch).unwrap_err();
    assert_eq!(
        again.to_string(),
        "testing value /metadata/finalizers failed: test failed"
    );
}

#[test]
fn a_json_patch_that_does_not_fit_is_explained() {
    let object = json!({"spec": {"a": 1}});
    let cases = [
        (
            json!([{"op": "remove", "path": "/spec/b"}]),
            "error in remove for path: '/spec/b': Unable to remove nonexistent key: b: missing value",
        ),
        (
            json!([{"op": "replace", "path": "/nothing/b", "value": 1}]),
            "replace operation does not apply: doc is missing path: /nothing/b: missing value",
        ),
        (
            json!([{"op": "add", "path": "/x/y", "value": 1}]),
            "add operation does not apply: doc is missing path: \"/x/y\": missing value",
        ),
        (
            json!([{"op": "test", "path": "/spec/a", "value": 2}]),
            "testing value /spec/a failed: test failed",
        ),
        (
            json!([{"op": "copy", "from": "/no", "path": "/spec/b"}]),
            "copy operation does not apply: doc is missing from path: /no: missing value",
        ),
    ];
    for (patch, expected) in cases {
        assert_eq!(
            json_patch(&object, &patch),
            Err(PatchError::NotApplicable(expected.to_owned()))
        );
    }
    assert!(matches!(
        json_patch(&object, &json!([{"op": "grow"}])),
        Err(PatchError::NotApplicable(_))
    ));
    assert!(matches!(
        json_patch(&object, &json!({})),
        Err(PatchError::Malformed(_))
    ));
}

#[test]
fn a_patch_can_neither_grow_nor_nest_an_object_without_end() {
    let long = "x".repeat(100_000);
    let double = json!({"op": "copy", "from": "/a", "path": "/a/b"});
    let bomb = Value::Array(std::iter::repeat_n(double, 50).collect());
    let error = json_patch(&json!({"a": {"text": long}}), &bomb).unwrap_err();
    assert!(
        error.to_string().starts_with("Unable to complete the copy"),
        "{error}"
    );

    let steps: Vec<Value> = (1..500)
        .map(|n| json!({"op": "add", "path": "/a".repeat(n), "value": {}}))
        .collect();
    let error = json_patch(&json!({}), &Value::Array(steps)).unwrap_err();
    assert!(error.to_string().contains("nested more than"), "{error}");

    let many = Value::Array(vec![json!({"op": "test", "path": "/x", "value": null}); 10_001]);
    assert!(matches!(
        json_patch(&json!({}), &many),
        Err(PatchError::TooLarge(_))
    ));
}

#[test]
fn a_strategic_patch_merges_lists_by_their_keys() {
    let object = json!({
        "metadata": {"finalizers": ["a"], "ownerReferences": [{"uid": "1", "name": "x"}, {"uid": "2", "name": "y"}],
            "labels": {"keep": "1", "drop": "2"}},
        "data": {"k": "v"},
        "rules": [{"verbs": ["get"]}],
    });
    let patch = json!({
        "metadata": {
            "finalizers": ["b", "a"], "$setElementOrder/finalizers": ["b", "a"],
            "ownerReferences": [{"uid": "2", "name": "z"}, {"uid": "1", "$patch": "delete"}, {"uid": "3", "name": "n"}],
            "labels": {"drop": null},
        },
        "data": {"$patch": "replace", "only": "this"},
        "rules": [{"verbs": ["list"]}],
    });
    assert_eq!(
        strategic_merge_patch(&object, &patch).unwrap(),
        json!({
            "metadata": {"finalizers": ["b", "a"], "ownerReferences": [{"uid": "2", "name": "z"}, {"uid": "3", "name": "n"}],
                "labels": {"keep": "1"}},
            "data": {"only": "this"},
            "rules": [{"verbs": ["list"]}],
        })
    );
}

#[test]
fn directives_of_a_strategic_patch_are_understood_or_refused() {
    let object = json!({"metadata": {"finalizers": ["a", "b"]}, "data": {"a": "1", "b": "2"}});
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]},
        "data": {"$retainKeys": ["b", "c"], "c": "3"}});
    assert_eq!(
        strategic_merge_patch(&object, &patch).unwrap(),
        json!({"metadata": {"finalizers": ["b"]}, "data": {"b": "2", "c": "3"}})
    );
    let unknown = json!({"data": {"$patch": "explode"}});
    assert!(strategic_merge_patch(&object, &unknown).is_err());
    let keyless = json!({"metadata": {"ownerReferences": [{"name": "x"}]}});
    assert!(
        strategic_merge_patch(&object, &keyless)
            .unwrap_err()
            .to_string()
            .contains("merge key: uid")
    );
}

/// The merge patch that turns `from` into `to`.
fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let mut patch = Map::new();
    for name in from.keys().filter(|name| !to.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in to {
        match from.get(name) {
            Some(old) if old == value => {}
            Some(old) => drop(patch.insert(name.clone(), difference(old, value))),
            None => drop(patch.insert(name.clone(), value.clone())),
        }
    }
    Value::Object(patch)
}

fn object_without_nulls() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c]".prop_map(Value::from)
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map("[a-c]", inner, 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-c]", value, 0..4)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

proptest! {
    #[test]
    fn the_merge_patch_of_a_difference_gives_the_other_object(from in object_without_nulls(), to in object_without_nulls()) {
        prop_assert_eq!(merge_patch(&from, &difference(&from, &to)).unwrap(), to);
    }

    #[test]
    fn a_strategic_patch_with_the_object_itself_changes_nothing(object in object_without_nulls()) {
        prop_assert_eq!(strategic_merge_patch(&object, &object).unwrap(), object);
    }
}
