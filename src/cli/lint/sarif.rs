//! SARIF 2.1.0, the format of static analysis results that code scanning and editors read.
//!
//! Specification: OASIS "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::report::{Report, Told};

/// Where the format is written down, as its documents name it.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// One log with one run.
pub(super) fn write(report: &Report) -> Result<String> {
    let rules = report.rules();
    let results: Vec<Value> = report.findings.iter().map(|told| result(told, &rules)).collect();
    let descriptors: Vec<Value> = rules
        .iter()
        .map(|(id, about)| json!({ "id": id, "shortDescription": { "text": about } }))
        .collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "provost",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": descriptors,
                },
            },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    let text = serde_json::to_string_pretty(&log).context("JSON cannot be written")?;
    Ok(text + "\n")
}

fn result(told: &Told, rules: &[(&str, &'static str)]) -> Value {
    let found = &told.remark.finding;
    let message = if found.field.is_empty() {
        found.message.clone()
    } else {
        format!("{}: {}", found.field, found.message)
    };
    json!({
        "ruleId": told.rule,
        "ruleIndex": rules.iter().position(|(id, _)| *id == told.rule),
        "level": told.remark.severity.to_string(),
        "message": { "text": message },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(&found.file) },
                "region": {
                    "startLine": found.position.line,
                    "startColumn": found.position.column,
                },
            },
        }],
    })
}

/// A path as a reference of a URI: from the folder that the program ran in, or a `file` URI.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    if path.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            byte => {
                uri.push('%');
                uri.extend(format!("{byte:02X}").chars());
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn a_path_is_a_reference_or_a_file() {
        assert_eq!(uri("policy/mac os/é#1.yaml"), "policy/mac%20os/%C3%A9%231.yaml");
        assert_eq!(uri("/tmp/a.yaml"), "file:///tmp/a.yaml");
        // A colon in the first part would make a scheme of it.
        assert_eq!(uri("a:b.yaml"), "a%3Ab.yaml");
    }
}
