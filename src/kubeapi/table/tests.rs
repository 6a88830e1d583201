//! Stories about what `kubectl get` shows.

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;
use serde_json::{Value, json};

use super::{Columns, IncludeObject, JsonPath, ListPosition, TableOptions, human_duration, table};

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn options(include: IncludeObject) -> TableOptions<'static> {
    TableOptions {
        version: "v1",
        include,
        no_headers: false,
        now: now(),
    }
}

fn cells(columns: &Columns, object: &Value) -> Value {
    let shown = table(
        columns,
        [object],
        ListPosition::default(),
        options(IncludeObject::None),
    );
    shown["rows"][0]["cells"].clone()
}

fn column(name: &str, type_: &str, path: &str) -> CustomResourceColumnDefinition {
    CustomResourceColumnDefinition {
        name: name.to_owned(),
        type_: type_.to_owned(),
        json_path: path.to_owned(),
        ..CustomResourceColumnDefinition::default()
    }
}

#[test]
fn a_custom_resource_is_shown_by_its_columns() {
    let columns = Columns::custom(&[
        column("OS", "string", ".status.os.version"),
        column(
            "Ready",
            "string",
            r#".status.conditions[?(@.type=="Ready")].status"#,
        ),
        column("Failing", "integer", ".status.counts.fail"),
        column("Score", "number", ".status.score"),
        column("Personal", "boolean", ".spec.personal"),
        column("Groups", "string", ".spec.groups"),
        column("Seen", "date", ".status.lastSeen"),
        column("Team", "string", r".metadata.labels.example\.com/team"),
        column("Missing", "string", ".status.nothing"),
    ]);
    let device = json!({
        "metadata": {"name": "d", "labels": {"example.com/team": "a"}},
        "spec": {"personal": false, "groups": ["x", "y"]},
        "status": {"os": {"version": "26.1"}, "counts": {"fail": 3}, "score": 1, "lastSeen": "2026-11-24T11:55:00Z",
            "conditions": [{"type": "Stalled", "status": "False"}, {"type": "Ready", "status": "True"}]},
    });
    assert_eq!(
        cells(&columns, &device),
        json!([
            "d",
            "26.1",
            "True",
            3,
            1.0,
            false,
            "[\"x\",\"y\"]",
            "5m",
            "a",
            null
        ])
    );
}

#[test]
fn without_columns_the_age_is_shown() {
    let columns = Columns::custom(&[]);
    let object = json!({"metadata": {"name": "a", "creationTimestamp": "2026-11-24T11:59:18Z"}, "spec": {}});
    let mut shown = table(
        &columns,
        [&object],
        ListPosition {
            resource_version: "7",
            continue_token: "t",
            remaining: Some(3),
        },
        options(IncludeObject::Metadata),
    );
    for definition in shown["columnDefinitions"].as_array_mut().unwrap() {
        assert!(!definition["description"].as_str().unwrap().is_empty());
        definition["description"] = json!("[text]");
    }
    insta::assert_json_snapshot!(shown, @r#"
    {
      "apiVersion": "meta.k8s.io/v1",
      "columnDefinitions": [
        {
          "description": "[text]",
          "format": "name",
          "name": "Name",
          "priority": 0,
          "type": "string"
        },
        {
          "description": "[text]",
          "format": "",
          "name": "Age",
          "priority": 0,
          "type": "date"
        }
      ],
      "kind": "Table",
      "metadata": {
        "continue": "t",
        "remainingItemCount": 3,
        "resourceVersion": "7"
      },
      "rows": [
        {
          "cells": [
            "a",
            "42s"
          ],
          "object": {
            "apiVersion": "meta.k8s.io/v1",
            "kind": "PartialObjectMetadata",
            "metadata": {
              "creationTimestamp": "2026-11-24T11:59:18Z",
              "name": "a"
            }
          }
        }
      ]
    }
    "#);
}

#[test]
fn a_row_holds_as_much_of_the_object_as_was_asked() {
    let columns = Columns::custom(&[]);
    let object = json!({"metadata": {"name": "a"}, "spec": {"x": 1}});
    let row = |include| {
        table(&columns, [&object], ListPosition::default(), options(include))["rows"][0]["object"].clone()
    };
    assert_eq!(row(IncludeObject::None), Value::Null);
    assert_eq!(row(IncludeObject::Object), object);
    assert_eq!(IncludeObject::parse(""), Ok(IncludeObject::Metadata));
    assert_eq!(
        IncludeObject::parse("All").unwrap_err(),
        "Unable to convert to Table as requested: includeObject: Invalid value: \"All\": must be 'Metadata', \
         'Object', 'None', or empty"
    );
    let later = TableOptions {
        no_headers: true,
        ..options(IncludeObject::None)
    };
    assert!(table(&columns, [&object], ListPosition::default(), later)["columnDefinitions"].is_null());
}

#[test]
fn built_in_kinds_are_shown_as_kubernetes_shows_them() {
    let created = "2026-11-22T10:00:00Z";
    let cases = [
        (
            "",
            "Namespace",
            json!({"metadata": {"name": "n", "creationTimestamp": created}, "status": {"phase": "Active"}}),
            json!(["n", "Active", "2d2h"]),
        ),
        (
            "",
            "Secret",
            json!({"metadata": {"name": "s", "creationTimestamp": created}, "type": "Opaque", "data": {"a": "", "b": ""}}),
            json!(["s", "Opaque", 2, "2d2h"]),
        ),
        (
            "",
            "ConfigMap",
            json!({"metadata": {"name": "c"}, "data": {"a": ""}, "binaryData": {"b": ""}}),
            json!(["c", 2, "<unknown>"]),
        ),
        (
            "coordination.k8s.io",
            "Lease",
            json!({"metadata": {"name": "l", "creationTimestamp": created}, "spec": {"holderIdentity": "me"}}),
            json!(["l", "me", "2d2h"]),
        ),
        (
            "rbac.authorization.k8s.io",
            "Role",
            json!({"metadata": {"name": "r", "creationTimestamp": created}}),
            json!(["r", created]),
        ),
        (
            "rbac.authorization.k8s.io",
            "RoleBinding",
            json!({"metadata": {"name": "b", "creationTimestamp": created}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [
                {"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "namespace": "n", "name": "s"}, {"kind": "User", "name": "v"}]}),
            json!(["b", "Role/r", "2d2h", "u, v", "", "n/s"]),
        ),
        (
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            json!({"metadata": {"name": "devices.provost.dev", "creationTimestamp": created}, "spec": {"scope": "Namespaced", "group": "provost.dev",
                "names": {"kind": "Device", "shortNames": ["dev", "devs"]},
                "versions": [{"name": "v1", "served": true, "storage": true}, {"name": "v0", "served": false}]},
                "status": {"conditions": [{"type": "Established", "status": "True"}]}}),
            json!([
                "devices.provost.dev",
                "Namespaced",
                "v1(storage)",
                created,
                "provost.dev",
                "Device",
                "dev,devs",
                true
            ]),
        ),
    ];
    for (group, kind, object, expected) in cases {
        assert_eq!(cells(&Columns::builtin(group, kind), &object), expected, "{kind}");
    }
}

#[test]
fn events_of_both_groups_are_shown_alike() {
    let core = json!({"metadata": {"name": "e"}, "type": "Normal", "reason": "Synced", "message": " done\n", "count": 4,
        "involvedObject": {"kind": "GitSource", "name": "main", "fieldPath": "spec"}, "source": {"component": "provost", "host": "h"},
        "firstTimestamp": "2026-11-24T11:00:00Z", "lastTimestamp": "2026-11-24T11:58:00Z"});
    assert_eq!(
        cells(&Columns::builtin("", "Event"), &core),
        json!([
            "2m",
            "Normal",
            "Synced",
            "gitsource/main",
            "spec",
            "provost, h",
            "done",
            "60m",
            4,
            "e"
        ])
    );
    let newer = json!({"metadata": {"name": "e"}, "type": "Warning", "reason": "Failed", "note": "no",
        "regarding": {"kind": "GitSource", "name": "main"}, "reportingController": "provost", "reportingInstance": "p-1",
        "eventTime": "2026-11-24T11:00:00.000000Z", "series": {"count": 9, "lastObservedTime": "2026-11-24T11:59:50.000000Z"}});
    assert_eq!(
        cells(&Columns::builtin("events.k8s.io", "Event"), &newer),
        json!([
            "10s",
            "Warning",
            "Failed",
            "gitsource/main",
            "",
            "provost, p-1",
            "no",
            "60m",
            9,
            "e"
        ])
    );
}

#[test]
fn ages_have_the_precision_that_kubectl_gives() {
    let (m, h, d, y) = (60, 3600, 86_400, 31_536_000);
    let cases = [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (2 * m, "2m"),
        (2 * m + 5, "2m5s"),
        (10 * m + 5, "10m"),
        (179 * m, "179m"),
        (3 * h, "3h"),
        (3 * h + 12 * m, "3h12m"),
        (8 * h + 12 * m, "8h"),
        (47 * h, "47h"),
        (2 * d, "2d"),
        (2 * d + 3 * h, "2d3h"),
        (8 * d + 3 * h, "8d"),
        (700 * d, "700d"),
        (2 * y, "2y"),
        (2 * y + 3 * d, "2y3d"),
        (9 * y, "9y"),
    ];
    for (seconds, expected) in cases {
        let then = Timestamp::from_second(now().as_second() - seconds).unwrap();
        assert_eq!(human_duration(then, now()), expected, "{seconds}");
    }
}

#[test]
fn paths_lead_to_the_first_match() {
    let object = json!({"a": [{"k": "x", "n": 1}, {"k": "y", "n": 2, "b.c": true}], "m": {"z": 1}});
    let cases = [
        (".a[0].k", json!("x")),
        (".a[-1].k", json!("y")),
        ("$.a[*].n", json!(1)),
        (".a[?(@.n>1)].k", json!("y")),
        (".a[?(@.k != 'x')].n", json!(2)),
        (".a[?(@['b.c'])].k", json!("y")),
        (".a[1]['b.c']", json!(true)),
        (".m.*", json!(1)),
    ];
    for (path, expected) in cases {
        assert_eq!(
            JsonPath::parse(path).unwrap().first(&object),
            Some(&expected),
            "{path}"
        );
    }
    for path in [".a[9].k", ".missing", ".a[-9]", ".m[0]"] {
        assert_eq!(JsonPath::parse(path).unwrap().first(&object), None, "{path}");
    }
    for path in ["", "a", ".a[", ".a[?(x)]", "..a", ".a[1:2]", &".a".repeat(100)] {
        assert!(JsonPath::parse(path).is_err(), "{path}");
    }
}
