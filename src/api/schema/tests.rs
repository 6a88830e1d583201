//! Stories about schemas: what an object becomes, and what people are told when it is refused.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{CompiledSchema, FieldErrorKind, MAX_SCHEMA_DEPTH, SchemaError};

fn props(schema: Value) -> JSONSchemaProps {
    serde_json::from_value(schema).expect("a schema")
}

fn compile(schema: Value) -> CompiledSchema {
    CompiledSchema::compile(&props(schema)).expect("a structural schema")
}

/// The schema of a resource whose spec has these properties.
#[expect(
    clippy::needless_pass_by_value,
    reason = "literals read better without a borrow"
)]
fn with_spec(spec: Value) -> CompiledSchema {
    compile(json!({"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}))
}

fn messages(schema: &CompiledSchema, new: &Value) -> Vec<String> {
    schema
        .validate(new, None)
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// What is said about `spec: {x: value}` where `x` has this schema.
#[expect(
    clippy::needless_pass_by_value,
    reason = "literals read better without a borrow"
)]
fn about(field: Value, value: Value) -> Vec<String> {
    messages(&with_spec(json!({"x": field})), &json!({"spec": {"x": value}}))
}

fn refusal(schema: Value) -> Vec<String> {
    match CompiledSchema::compile(&props(schema)) {
        Err(SchemaError::Invalid(errors)) => errors.iter().map(ToString::to_string).collect(),
        Err(other) => vec![other.to_string()],
        Ok(_) => Vec::new(),
    }
}

#[test]
fn a_wrong_type_is_named_as_kubernetes_names_it() {
    assert_eq!(
        about(json!({"type": "integer"}), json!("three")),
        [r#"spec.x: Invalid value: "string": spec.x in body must be of type integer: "string""#]
    );
    assert_eq!(
        about(json!({"type": "integer", "format": "int32"}), json!(true)),
        [r#"spec.x: Invalid value: "": spec.x in body must be of type int32: """#]
    );
    assert_eq!(
        about(json!({"x-kubernetes-int-or-string": true}), json!(true)),
        [r#"spec.x: Invalid value: "boolean": spec.x in body must be of type integer,string: "boolean""#]
    );
    assert_eq!(
        about(json!({"type": "string"}), Value::Null),
        [r#"spec.x: Invalid value: "null": spec.x in body must be of type string: "null""#]
    );
    assert!(about(json!({"type": "string", "nullable": true}), Value::Null).is_empty());
    assert!(about(json!({"type": "integer"}), json!(3.0)).is_empty());
    assert_eq!(
        about(json!({"type": "integer"}), json!(3.5)),
        [
            r#"spec.x: Invalid value: "number": spec.x in body must be of type integer: "number""#,
            r#"<nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.x"#
        ]
    );
}

#[test]
fn bounds_are_explained() {
    let cases = [
        (
            json!({"type": "integer", "minimum": 1}),
            json!(0),
            "Invalid value: 0: spec.x in body should be greater than or equal to 1",
        ),
        (
            json!({"type": "number", "maximum": 2.5, "exclusiveMaximum": true}),
            json!(2.5),
            "Invalid value: 2.5: spec.x in body should be less than 2.5",
        ),
        (
            json!({"type": "integer", "multipleOf": 5}),
            json!(12),
            "Invalid value: 12: spec.x in body should be a multiple of 5",
        ),
        (
            json!({"type": "string", "maxLength": 3}),
            json!("long"),
            "Too long: may not be more than 3 bytes",
        ),
        (
            json!({"type": "string", "minLength": 1}),
            json!(""),
            r#"Invalid value: "": spec.x in body should be at least 1 chars long"#,
        ),
        (
            json!({"type": "string", "pattern": "^[a-z]+$"}),
            json!("A"),
            r#"Invalid value: "A": spec.x in body should match '^[a-z]+$'"#,
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("x"),
            r#"Unsupported value: "x": supported values: "a", "b""#,
        ),
        (
            json!({"type": "integer", "enum": [1, 2]}),
            json!(3),
            r#"Unsupported value: 3: supported values: "1", "2""#,
        ),
        (
            json!({"type": "array", "maxItems": 3, "items": {"type": "integer"}}),
            json!([1, 2, 3, 4, 5]),
            "Too many: 5: must have at most 3 items",
        ),
        (
            json!({"type": "array", "minItems": 1, "items": {"type": "integer"}}),
            json!([]),
            "Invalid value: 0: spec.x in body should have at least 1 items",
        ),
        (
            json!({"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}}),
            json!({}),
            "Invalid value: 0: spec.x in body should have at least 1 properties",
        ),
        (
            json!({"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}}),
            json!({"a": "", "b": ""}),
            "Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("soon"),
            r#"Invalid value: "soon": spec.x in body must be of type date-time: "soon""#,
        ),
    ];
    for (schema, value, expected) in cases {
        assert_eq!(about(schema, value), [format!("spec.x: {expected}")]);
    }
    assert_eq!(
        about(
            json!({"type": "integer", "format": "int32"}),
            json!(3_000_000_000_i64)
        ),
        [r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.x"#]
    );
}

#[test]
fn required_fields_and_paths_into_lists_are_named() {
    let schema = with_spec(json!({"rules": {"type": "array", "items": {
        "type": "object", "required": ["id"],
        "properties": {"id": {"type": "string"}, "severity": {"type": "string", "enum": ["low", "high"]}}}}}));
    let errors = schema.validate(
        &json!({"spec": {"rules": [{"id": "a"}, {"severity": "huge"}]}}),
        None,
    );
    let found: Vec<_> = errors
        .iter()
        .map(|error| (error.field.as_str(), error.kind, error.message.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (
                "spec.rules[1].severity",
                FieldErrorKind::NotSupported,
                r#"Unsupported value: "huge": supported values: "low", "high""#
            ),
            ("spec.rules[1].id", FieldErrorKind::Required, "Required value"),
        ]
    );
    assert_eq!(errors[1].kind.as_str(), "FieldValueRequired");
}

#[test]
fn a_required_field_at_the_root_has_no_dot_before_it() {
    let schema =
        compile(json!({"type": "object", "required": ["spec"], "properties": {"spec": {"type": "object"}}}));
    assert_eq!(messages(&schema, &json!({})), ["spec: Required value"]);
}

#[test]
fn combinations_of_schemas_report_the_closest_branch() {
    let one_of = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    assert_eq!(
        about(one_of.clone(), json!({})),
        [
            r#"<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found none valid"#,
            "spec.x.a: Required value",
        ]
    );
    assert_eq!(
        about(one_of, json!({"a": "", "b": ""})),
        [
            r#"<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
        ]
    );
    let not = json!({"type": "string", "not": {"enum": ["root"]}});
    assert_eq!(
        about(not.clone(), json!("root")),
        [r#"<nil>: Invalid value: "": "spec.x" must not validate the schema (not)"#]
    );
    assert!(about(not, json!("user")).is_empty());
    let any_of = json!({"type": "string", "anyOf": [{"pattern": "^a"}, {"maxLength": 2}]});
    assert!(about(any_of.clone(), json!("bb")).is_empty());
    assert_eq!(about(any_of, json!("bbb")).len(), 2);
}

#[test]
fn lists_of_type_set_and_map_hold_no_duplicates() {
    let set = json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}});
    assert_eq!(
        about(set, json!(["a", "b", "a", "a"])),
        [r#"spec.x[2]: Duplicate value: "a""#]
    );
    let map = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
        "items": {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}});
    assert_eq!(
        about(map.clone(), json!([{"type": "Ready"}, {"type": "Ready"}])),
        [r#"spec.x[1]: Duplicate value: {"type":"Ready"}"#]
    );
    // An object that was already broken may be updated, so that it can be repaired step by step.
    let schema = with_spec(json!({"x": map, "y": {"type": "string"}}));
    let old = json!({"spec": {"x": [{"type": "A"}, {"type": "A"}], "y": "1"}});
    let new = json!({"spec": {"x": [{"type": "A"}, {"type": "A"}], "y": "2"}});
    assert!(schema.validate(&new, Some(&old)).is_empty());
}

#[test]
fn errors_in_unchanged_parts_do_not_block_an_update() {
    let schema =
        with_spec(json!({"x": {"type": "string", "maxLength": 2}, "y": {"type": "string", "maxLength": 2}}));
    let old = json!({"spec": {"x": "toolong", "y": "a"}});
    let new = json!({"spec": {"x": "toolong", "y": "b"}});
    assert!(schema.validate(&new, Some(&old)).is_empty());
    let worse = json!({"spec": {"x": "toolong", "y": "bbb"}});
    assert_eq!(schema.validate(&worse, Some(&old)).len(), 1);
}

#[test]
fn defaults_fill_nested_objects_lists_and_nulls() {
    let schema = with_spec(json!({
        "mode": {"type": "string", "default": "Audit"},
        "rollout": {"type": "object", "default": {}, "properties": {"percent": {"type": "integer", "default": 10}}},
        "stages": {"type": "array", "items": {"type": "object", "properties": {"soak": {"type": "string", "default": "1h"}}}},
        "note": {"type": "string"},
        "ticket": {"type": "string", "nullable": true},
    }));
    let mut object =
        json!({"spec": {"mode": null, "stages": [{}, {"soak": "2h"}], "note": null, "ticket": null}});
    schema.default(&mut object);
    assert_eq!(
        object,
        json!({"spec": {"mode": "Audit", "rollout": {"percent": 10}, "stages": [{"soak": "1h"}, {"soak": "2h"}],
            "ticket": null}})
    );
    // kstatus needs a status that says "nothing observed yet" on a fresh object.
    let status = compile(
        json!({"type": "object", "properties": {"status": {"type": "object",
        "default": {"observedGeneration": -1}, "properties": {"observedGeneration": {"type": "integer"}}}}}),
    );
    let mut fresh = json!({});
    status.default(&mut fresh);
    assert_eq!(fresh, json!({"status": {"observedGeneration": -1}}));
}

#[test]
fn unknown_fields_are_removed_and_named() {
    let schema = compile(json!({"type": "object", "properties": {
    "metadata": {"type": "object"},
    "spec": {"type": "object", "properties": {
        "rules": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string"}}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "template": {"type": "object", "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true},
    }}}}));
    let mut object = json!({
        "apiVersion": "v1", "kind": "K",
        "metadata": {"name": "n", "label": {}, "ownerReferences": [{"uid": "1", "extra": 1}]},
        "spec": {"rules": [{"id": "a", "idd": "b"}], "labels": {"any": "x"}, "free": {"any": {"thing": 1}},
            "template": {"apiVersion": "v1", "kind": "Secret", "metadata": {"nmae": "x"}, "data": {}}, "typo": 1},
        "stauts": {},
    });
    assert_eq!(
        schema.prune(&mut object),
        [
            "metadata.label",
            "metadata.ownerReferences[0].extra",
            "spec.rules[0].idd",
            "spec.template.metadata.nmae",
            "spec.typo",
            "stauts"
        ]
    );
    assert_eq!(object["spec"]["rules"], json!([{"id": "a"}]));
    assert_eq!(object["spec"]["free"], json!({"any": {"thing": 1}}));
    assert_eq!(object["kind"], "K");
}

#[test]
fn rules_say_what_is_wrong() {
    let schema = with_spec(json!({
        "min": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= 0", "message": "must not be negative"}]},
        "range": {"type": "object", "properties": {"low": {"type": "integer"}, "high": {"type": "integer"}},
            "x-kubernetes-validations": [
                {"rule": "!has(self.low) || !has(self.high) || self.low <= self.high", "fieldPath": ".low",
                 "messageExpression": "'low is ' + string(self.low) + ', above ' + string(self.high)",
                 "reason": "FieldValueForbidden"}]},
        "names": {"type": "array", "items": {"type": "string"},
            "x-kubernetes-validations": [{"rule": "self.all(n, n.startsWith('x-'))"}]},
    }));
    let object = json!({"spec": {"min": -1, "range": {"low": 5, "high": 2}, "names": ["y"]}});
    assert_eq!(
        messages(&schema, &object),
        [
            "spec.min: Invalid value: -1: must not be negative",
            "spec.names: Invalid value: failed rule: self.all(n, n.startsWith('x-'))",
            "spec.range.low: Forbidden: low is 5, above 2",
        ]
    );
    assert!(
        messages(
            &schema,
            &json!({"spec": {"min": 1, "range": {"low": 1}, "names": ["x-1"]}})
        )
        .is_empty()
    );
}

#[test]
fn rules_wait_for_simpler_errors_to_be_corrected() {
    let schema =
        with_spec(json!({"x": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0"}]}}));
    assert_eq!(
        messages(&schema, &json!({"spec": {"x": "a"}})),
        [
            r#"spec.x: Invalid value: "string": spec.x in body must be of type integer: "string""#,
            "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
             correct the existing errors to complete validation",
        ]
    );
}

#[test]
fn transition_rules_see_the_old_value_of_the_same_item() {
    let schema = with_spec(json!({
        "fixed": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable"}]},
        "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"],
                "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
                "x-kubernetes-validations": [{"rule": "self.size >= oldSelf.size", "message": "must not shrink"}]}},
        "once": {"type": "string", "x-kubernetes-validations": [
            {"rule": "oldSelf.hasValue() || self == 'new'", "optionalOldSelf": true, "message": "starts as new"}]},
    }));
    let old = json!({"spec": {"fixed": "a", "items": [{"name": "x", "size": 1}, {"name": "y", "size": 9}]}});
    assert!(schema.validate(&old, None).is_empty());
    let reordered =
        json!({"spec": {"fixed": "a", "items": [{"name": "y", "size": 9}, {"name": "x", "size": 1}]}});
    assert!(schema.validate(&reordered, Some(&old)).is_empty());
    let shrunk = json!({"spec": {"fixed": "b", "items": [{"name": "y", "size": 8}], "once": "old"}});
    let errors: Vec<String> = schema
        .validate(&shrunk, Some(&old))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        errors,
        [
            r#"spec.fixed: Invalid value: "b": is immutable"#,
            "spec.items[0]: Invalid value: must not shrink",
            r#"spec.once: Invalid value: "old": starts as new"#,
        ]
    );
}

#[test]
fn rules_see_escaped_names_times_and_the_name_of_the_object() {
    let schema = compile(json!({"type": "object",
        "properties": {"metadata": {"type": "object"}, "spec": {"type": "object", "properties": {
            "namespace": {"type": "string"}, "a-b": {"type": "integer"}, "snake_case": {"type": "integer"},
            "until": {"type": "string", "format": "date-time"}, "ttl": {"type": "string", "format": "duration"},
            "ratio": {"type": "number"}, "free": {"type": "object", "additionalProperties": {"type": "string"}}}}},
        "x-kubernetes-validations": [
            {"rule": "self.spec.__namespace__ == 'n' && self.spec.a__dash__b == 1 && self.spec.snake_case == 2"},
            {"rule": "self.spec.until > timestamp('2026-01-01T00:00:00Z')"},
            {"rule": "self.spec.ttl < duration('2h')"},
            {"rule": "self.spec.ratio > 0.5"},
            {"rule": "self.spec.free['a-b'] == 'x'"},
            {"rule": "self.metadata.name == 'me' && self.kind == 'K'"}]}));
    let object = json!({"kind": "K", "metadata": {"name": "me"}, "spec": {"namespace": "n", "a-b": 1, "snake_case": 2,
        "until": "2026-06-01T00:00:00Z", "ttl": "90m", "ratio": 1, "free": {"a-b": "x"}}});
    assert_eq!(messages(&schema, &object), Vec::<String>::new());
}

#[test]
fn a_rule_that_fails_to_evaluate_is_an_error_of_the_field() {
    let schema = with_spec(
        json!({"x": {"type": "object", "properties": {"a": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.a > 1"}]}}),
    );
    assert_eq!(
        messages(&schema, &json!({"spec": {"x": {}}})),
        [r#"spec.x: Invalid value: "object": no such key: a evaluating rule: self.a > 1"#]
    );
}

#[test]
fn nested_loops_over_long_lists_run_out_of_budget() {
    let schema = with_spec(json!({"x": {"type": "array", "items": {"type": "integer"},
        "x-kubernetes-validations": [{"rule": "self.all(a, self.all(b, a != b || a == b))"}]}}));
    let long: Vec<u32> = (0..20_000).collect();
    let errors = messages(&schema, &json!({"spec": {"x": long}}));
    assert_eq!(
        errors,
        [
            r#"spec.x: Invalid value: "array": validation failed due to running out of cost budget, no further validation rules will be run"#
        ]
    );
}

#[test]
fn schemas_that_are_not_structural_are_refused() {
    assert_eq!(
        refusal(json!({"type": "object", "properties": {"spec": {"properties": {}}}})),
        ["properties[spec].type: Required value: must not be empty for specified object fields"]
    );
    assert_eq!(
        refusal(
            json!({"type": "object", "properties": {"x": {"type": "object", "anyOf": [{"type": "string"}]}}})
        ),
        ["properties[x].anyOf[0].type: Forbidden: must be empty to be structural"]
    );
    assert_eq!(
        refusal(json!({"type": "object", "properties": {"x": {"type": "array"}}})),
        ["properties[x].items: Required value: must be specified"]
    );
    assert_eq!(
        refusal(json!({"type": "object", "properties": {"x": {"type": "string", "pattern": "("}}})).len(),
        1
    );
    assert_eq!(
        refusal(json!({"type": "object", "properties": {"x": {"type": "integer", "default": "a"}}})),
        [r#"properties[x].default: Invalid value: "string":  in body must be of type integer: "string""#]
    );
    assert!(
        refusal(
            json!({"type": "object", "properties": {"x": {"x-kubernetes-int-or-string": true,
        "anyOf": [{"type": "integer"}, {"type": "string"}]}}})
        )
        .is_empty()
    );
    let rule = refusal(json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.spec >"}]}));
    assert!(
        rule[0].starts_with(
            "x-kubernetes-validations[0].rule: Invalid value: {\"Rule\":\"self.spec \\u003e\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: compilation failed"
        ),
        "{rule:?}"
    );
    let prefixed = CompiledSchema::compile_at(
        "spec.versions[0].schema.openAPIV3Schema",
        &props(json!({"type": "string"})),
    );
    assert!(
        prefixed
            .unwrap_err()
            .to_string()
            .contains("spec.versions[0].schema.openAPIV3Schema.type: Invalid value: \"string\"")
    );
}

#[test]
fn a_schema_nested_too_deep_is_refused_without_recursing() {
    let mut deep = json!({"type": "string"});
    for _ in 0..100 {
        deep = json!({"type": "array", "items": deep});
    }
    let schema: JSONSchemaProps =
        serde_json::from_value(json!({"type": "object", "properties": {"x": deep}})).unwrap();
    let error = CompiledSchema::compile(&schema).unwrap_err();
    assert!(matches!(
        error,
        SchemaError::TooDeep {
            limit: MAX_SCHEMA_DEPTH
        }
    ));
}

#[test]
fn texts_are_quoted_as_go_quotes_them() {
    assert_eq!(
        super::go_quote("a\"b\\\n\u{1}\u{7f}é\u{85}"),
        r#""a\"b\\\n\x01\x7fé\u0085""#
    );
    assert_eq!(super::go_float(1e21), "1e+21");
    assert_eq!(super::go_float(0.00001), "1e-05");
    assert_eq!(super::go_float(100_000.0), "100000");
}

#[test]
fn formats_are_checked_as_kubernetes_checks_them() {
    let cases = [
        ("date", "2026-02-29", false),
        ("date", "2024-02-29", true),
        ("date-time", "2026-01-01T10:00:00.123+02:00", true),
        ("date-time", "2026-01-01 10:00:00Z", false),
        ("byte", "aGk=", true),
        ("byte", "a", false),
        ("duration", "1h30m", true),
        ("duration", "22 ns", true),
        ("duration", "soon", false),
        ("ipv4", "10.0.0.1", true),
        ("ipv4", "10.0.0.256", false),
        ("ipv6", "::1", true),
        ("cidr", "10.0.0.0/33", false),
        ("uuid", "6F9619FF-8B86-D011-B42D-00CF4FC964FF", true),
        ("uuid4", "6F9619FF-8B86-D011-B42D-00CF4FC964FF", false),
        ("mac", "01:23:45:67:89:ab", true),
        ("hostname", "a-.b", false),
        ("email", "a@b.example", true),
        ("uri", "https://a.example/x", true),
        ("uri", "not a uri", false),
        ("k8s-short-name", "Abc", false),
        ("something-new", "anything", true),
    ];
    for (format, text, accepted) in cases {
        let errors = about(json!({"type": "string", "format": format}), json!(text));
        assert_eq!(errors.is_empty(), accepted, "{format} {text}: {errors:?}");
    }
}

/// A schema that has every feature which prune and default act on.
fn rich_schema() -> CompiledSchema {
    with_spec(json!({
        "a": {"type": "string", "default": "x"},
        "b": {"type": "object", "default": {"c": 1}, "properties": {"c": {"type": "integer"}, "d": {"type": "integer", "default": 2}}},
        "c": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string", "default": "y"}}}},
        "d": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "boolean", "default": true}}}},
    }))
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-e]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-e]|spec|metadata", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn pruning_and_defaulting_reach_a_fixed_point(mut object in any_json()) {
        let schema = rich_schema();
        schema.prune(&mut object);
        schema.default(&mut object);
        let once = object.clone();
        prop_assert_eq!(schema.prune(&mut object), Vec::<String>::new());
        schema.default(&mut object);
        prop_assert_eq!(object, once);
    }

    #[test]
    fn no_object_makes_validation_panic(new in any_json(), old in any_json()) {
        let schema = rich_schema();
        let _ = schema.validate(&new, Some(&old));
        let _ = schema.validate(&new, None);
    }
}
