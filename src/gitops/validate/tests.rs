//! Mistakes that people make, and where they are told to look.

use serde_json::json;

use super::super::fetch::SourceFile;
use super::super::read::read_documents;
use super::*;

fn schemas() -> SchemaSet {
    let definition = |kind: &str, spec: Value| {
        serde_json::from_value(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x"},
            "spec": {
                "group": "provost.dev", "scope": "Namespaced", "names": {"kind": kind, "plural": "xs"},
                "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "properties": {"spec": spec}, "required": ["spec"]
                }}}]
            }
        }))
        .unwrap()
    };
    let rule = json!({
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": "string", "maxLength": 8},
            "severity": {"type": "string", "enum": ["low", "medium", "high"]},
            "platforms": {"type": "array", "items": {"type": "string"}},
            "parameters": {"type": "object", "additionalProperties": {
                "type": "object", "properties": {"default": {"type": "integer"}}
            }}
        }
    });
    let baseline = json!({
        "type": "object",
        "required": ["title"],
        "properties": {
            "title": {"type": "string"},
            "version": {"type": "string"},
            "minimum": {"type": "integer"},
            "maximum": {"type": "integer"},
            "rules": {"type": "array", "items": rule}
        },
        "x-kubernetes-validations": [{
            "rule": "!has(self.minimum) || !has(self.maximum) || self.minimum <= self.maximum",
            "message": "minimum must not be larger than maximum"
        }]
    });
    SchemaSet::new(&[
        definition("Baseline", baseline),
        definition("DeviceGroup", json!({"type": "object"})),
    ])
    .unwrap()
}

fn check(kind: &str, spec: &str) -> String {
    let text = format!("apiVersion: provost.dev/v1alpha1\nkind: {kind}\nmetadata:\n  name: x\n{spec}");
    let file = SourceFile {
        path: "policy/x.yaml".into(),
        content: text.into_bytes(),
    };
    let documents = read_documents(&[file], "fleet").unwrap();
    schemas()
        .check(&documents)
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_correct_object_has_no_findings() {
    let spec = "spec:\n  title: T\n  rules:\n  - id: a\n    severity: high\n    parameters:\n      a.b: {default: 3}\n";
    assert_eq!(check("Baseline", spec), "");
}

#[test]
fn unknown_fields_are_mistakes_and_the_right_name_is_suggested() {
    let spec = "spec:\n  titel: T\n  title: T\n  Version: \"1\"\n  rules:\n  - id: a\n    severty: high\n    parameters:\n      p:\n        defualt: 3\n    zzz: 1\n";
    insta::assert_snapshot!(check("Baseline", spec), @r#"
    policy/x.yaml:6:3: spec.titel: unknown field
    policy/x.yaml:8:3: spec.Version: unknown field; did you mean `version`?
    policy/x.yaml:11:5: spec.rules[0].severty: unknown field; did you mean `severity`?
    policy/x.yaml:14:9: spec.rules[0].parameters.p.defualt: unknown field; did you mean `default`?
    policy/x.yaml:15:5: spec.rules[0].zzz: unknown field
    "#);
}

#[test]
fn wrong_values_are_told_at_their_place() {
    let spec = "spec:\n  title: 12\n  version: 14.10\n  rules:\n  - id: much-too-long\n    severity: hihg\n    platforms: [macOS, 5]\n  - severity: low\n";
    insta::assert_snapshot!(check("Baseline", spec), @r#"
    policy/x.yaml:6:3: spec.title: Invalid value: "integer": spec.title in body must be of type string: "integer"; put quotes around it
    policy/x.yaml:7:3: spec.version: Invalid value: "number": spec.version in body must be of type string: "number"; put quotes around it
    policy/x.yaml:9:5: spec.rules[0].id: Too long: may not be more than 8 bytes
    policy/x.yaml:10:5: spec.rules[0].severity: Unsupported value: "hihg": supported values: "low", "medium", "high"
    policy/x.yaml:11:24: spec.rules[0].platforms[1]: Invalid value: "integer": spec.rules[0].platforms[1] in body must be of type string: "integer"; put quotes around it
    policy/x.yaml:12:5: spec.rules[1].id: Required value
    "#);
}

#[test]
fn rules_across_fields_are_told_too() {
    insta::assert_snapshot!(check("Baseline", "spec:\n  title: T\n  minimum: 3\n  maximum: 2\n"), @"policy/x.yaml:5:1: spec: Invalid value: minimum must not be larger than maximum");
}

#[test]
fn a_missing_part_is_told_at_what_should_hold_it() {
    insta::assert_snapshot!(check("Baseline", "spec: {}\n"), @"policy/x.yaml:5:1: spec.title: Required value");
    insta::assert_snapshot!(check("Baseline", ""), @"policy/x.yaml:1:1: spec: Required value");
    insta::assert_snapshot!(check("Baseline", "spec:\n"), @"policy/x.yaml:5:1: spec: Required value");
}

#[test]
fn an_unknown_kind_is_told_with_the_nearest_one() {
    insta::assert_snapshot!(check("Basline", "spec: {}\n"), @"policy/x.yaml:2:1: kind: Provost has no kind Basline; did you mean `Baseline`?");
    insta::assert_snapshot!(check("Cat", "spec: {}\n"), @"policy/x.yaml:2:1: kind: Provost has no kind Cat");
}

#[test]
fn a_definition_without_the_version_that_is_read_is_refused() {
    let mut definition: CustomResourceDefinition = crate::api::crds::all().remove(0);
    definition.spec.versions.clear();
    assert!(matches!(
        SchemaSet::new(&[definition]),
        Err(SchemaSetError::FindSchema { .. })
    ));
}

#[test]
fn what_ships_with_this_program_is_valid() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("baselines"), root.join("examples")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml")
                // The object that points at a repository is applied by hand, not from it.
                && !path.ends_with("gitsource.yaml")
            {
                files.push(SourceFile {
                    path: path.strip_prefix(root).unwrap().display().to_string(),
                    content: std::fs::read(&path).unwrap(),
                });
            }
        }
    }
    assert!(!files.is_empty());
    let schemas = SchemaSet::new(&crate::api::crds::all()).unwrap();
    for file in files {
        let documents = read_documents(std::slice::from_ref(&file), "fleet");
        let findings = documents.map_or_else(|findings| findings, |documents| schemas.check(&documents));
        let text: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert!(text.is_empty(), "{}", text.join("\n"));
    }
}
