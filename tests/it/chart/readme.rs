//! The chart's README: its table of values is made from the comments in values.yaml.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::{file, folder};

const HEADING: &str = "## Values\n";

/// A documented value: its path, its default and what it means.
struct Documented {
    path: String,
    default: String,
    meaning: String,
}

/// Reads values.yaml: the comment right above a key documents it.
fn documented(text: &str) -> Vec<Documented> {
    let values: Value = serde_yaml::from_str(text).unwrap();
    let mut found = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut path: Vec<(usize, &str)> = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(words) = content.strip_prefix('#') {
            comment.push(words.trim());
            continue;
        }
        let meaning = std::mem::take(&mut comment).join(" ");
        let Some((key, _)) = content.split_once(':').filter(|_| !content.starts_with('-')) else {
            continue;
        };
        path.retain(|(outer, _)| *outer < indent);
        path.push((indent, key));
        if meaning.is_empty() {
            continue;
        }
        let keys: Vec<&str> = path.iter().map(|(_, key)| *key).collect();
        found.push(Documented {
            default: values
                .pointer(&format!("/{}", keys.join("/")))
                .unwrap()
                .to_string(),
            path: keys.join("."),
            meaning,
        });
    }
    found
}

fn table(values: &[Documented]) -> String {
    let mut table = String::from("\n| value | default | meaning |\n|---|---|---|\n");
    for value in values {
        let meaning = value.meaning.replace('|', "\\|");
        writeln!(table, "| `{}` | `{}` | {meaning} |", value.path, value.default).unwrap();
    }
    table
}

#[test]
fn readme_tells_about_every_value() {
    let values = documented(&file("values.yaml"));
    let readme = file("README.md");
    let (before, _) = readme.split_once(HEADING).unwrap();
    let expected = format!("{before}{HEADING}{}", table(&values));
    if std::env::var_os("PROVOST_TEST_WRITE").is_some() {
        std::fs::write(folder().join("README.md"), &expected).unwrap();
    } else {
        assert_eq!(readme, expected, "the table is stale: run `make chart-docs`");
    }
}

#[test]
fn readme_leaves_no_value_out_and_the_schema_knows_the_same() {
    fn leaves(value: &Value, path: &str, known: &BTreeSet<String>, missing: &mut Vec<String>) {
        if known.contains(path) {
            return;
        }
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (key, value) in fields {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    leaves(value, &path, known, missing);
                }
            }
            _ => missing.push(path.to_owned()),
        }
    }
    fn properties(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
        let Some(fields) = schema["properties"].as_object() else {
            found.insert(path.to_owned());
            return;
        };
        assert_eq!(schema["additionalProperties"], false, "{path} takes anything");
        for (key, schema) in fields {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            properties(schema, &path, found);
        }
    }
    let text = file("values.yaml");
    let known: BTreeSet<String> = documented(&text).into_iter().map(|value| value.path).collect();
    let mut missing = Vec::new();
    leaves(&serde_yaml::from_str(&text).unwrap(), "", &known, &mut missing);
    assert!(missing.is_empty(), "values.yaml says nothing about {missing:?}");

    let schema: Value = serde_json::from_str(&file("values.schema.json")).unwrap();
    let mut allowed = BTreeSet::new();
    properties(&schema, "", &mut allowed);
    // Helm's own value, and looks that have one number less.
    for own in ["global", "probes.startup", "probes.liveness", "probes.readiness"] {
        assert!(allowed.remove(own), "{own}");
    }
    let known: BTreeSet<String> = known
        .into_iter()
        .filter(|path| !path.starts_with("probes."))
        .collect();
    assert_eq!(
        known, allowed,
        "values.yaml (left) and values.schema.json (right)"
    );
}
