//! Which documents of a repository are policy, and what their envelope must look like.

use serde_json::{Map, Value};

use super::super::finding::{Finding, Position};
use super::position::PositionIndex;
use super::yaml::YamlDocument;
use crate::api::names::{API_VERSION, GROUP};

/// The kinds of Provost that git may not hold, and why.
const REFUSED: [(&str, &str); 3] = [
    (
        "GitSource",
        "a source may not bring sources; create it with kubectl",
    ),
    ("Device", "its enrolment makes it; change it with kubectl"),
    (
        "PushCertificate",
        "the server makes it, of the push certificates that it holds",
    ),
];
/// The fields of `metadata` that git may set.
const METADATA: [&str; 4] = ["annotations", "labels", "name", "namespace"];
/// The longest name of an object, as Kubernetes has it.
const MAXIMUM_NAME: usize = 253;

/// One policy object as git holds it.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file, from the root of the repository.
    pub file: String,
    /// Its kind, such as `Baseline`.
    pub kind: String,
    /// Its `metadata.name`.
    pub name: String,
    /// All of it, as written.
    pub value: Value,
    /// Where its fields are in the file.
    pub positions: PositionIndex,
}

impl Document {
    /// A mistake in one field of this document, at the field or its nearest ancestor.
    #[must_use]
    pub fn finding(&self, field: &str, message: impl Into<String>) -> Finding {
        finding(&self.file, &self.positions, field, message)
    }

    /// Where the document begins.
    #[must_use]
    pub const fn start(&self) -> Position {
        self.positions.start()
    }
}

/// What a document turned out to be.
pub(super) enum Reading {
    /// Policy.
    Policy(Document),
    /// Policy with mistakes, or something that git may not hold.
    Wrong(Vec<Finding>),
    /// None of Provost's business.
    Other,
}

/// Sorts a document out. What is inside `spec` is judged later, against the kind's schema.
pub(super) fn read(file: &str, document: YamlDocument, namespace: Option<&str>) -> Reading {
    let YamlDocument { value, positions } = document;
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let wrong =
        |field: &str, message: String| Reading::Wrong(vec![finding(file, &positions, field, message)]);
    match (api_version, kind) {
        ("v1", "Secret") => {
            return wrong(
                "kind",
                "a Secret is never read from git; create it with kubectl and keep it out of git".into(),
            );
        }
        ("v1", "List") if value.to_string().contains(&format!("\"apiVersion\":\"{GROUP}/")) => {
            return wrong(
                "kind",
                "a List is not read: write its objects as documents, separated by ---".into(),
            );
        }
        _ => {}
    }
    if api_version != GROUP
        && !api_version
            .strip_prefix(GROUP)
            .is_some_and(|rest| rest.starts_with('/'))
    {
        return Reading::Other;
    }
    if api_version != API_VERSION {
        return wrong("apiVersion", format!("the version served is {API_VERSION}"));
    }
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == kind) {
        return wrong("kind", format!("a {kind} is never read from git: {reason}"));
    }
    let mut findings = Vec::new();
    let mut report = |field: &str, message: String| findings.push(finding(file, &positions, field, message));
    if kind.is_empty() {
        report("kind", "required: name the kind as text, such as Baseline".into());
    }
    if value.get("status").is_some() {
        report("status", "Provost writes the status; remove it here".into());
    }
    let name = if let Some(Value::Object(metadata)) = value.get("metadata") {
        check_metadata(metadata, namespace, &mut report);
        metadata
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    } else {
        report(
            "metadata",
            "required: a mapping that holds at least the name".into(),
        );
        String::new()
    };
    if !findings.is_empty() {
        return Reading::Wrong(findings);
    }
    let kind = kind.to_owned();
    Reading::Policy(Document {
        file: file.to_owned(),
        kind,
        name,
        value,
        positions,
    })
}

fn check_metadata(
    metadata: &Map<String, Value>,
    namespace: Option<&str>,
    report: &mut impl FnMut(&str, String),
) {
    match metadata.get("name") {
        Some(Value::String(name)) if is_dns_subdomain(name) => {}
        Some(Value::String(_)) => report(
            "metadata.name",
            format!(
                "a name has lower-case letters, digits, '-' and '.', at most {MAXIMUM_NAME} of them, and starts \
                     and ends with a letter or digit"
            ),
        ),
        Some(_) => report(
            "metadata.name",
            "the name is not text; put quotes around it".into(),
        ),
        None => report("metadata.name", "required: the name of the object".into()),
    }
    match metadata.get("namespace") {
        None => {}
        Some(Value::String(given)) if namespace.is_none_or(|namespace| given == namespace) => {}
        Some(_) => {
            let own = namespace.map_or_else(String::new, |namespace| format!("write {namespace} or "));
            report(
                "metadata.namespace",
                format!("objects of this source live in its own namespace; {own}leave it out"),
            );
        }
    }
    for field in ["labels", "annotations"] {
        match metadata.get(field) {
            None => {}
            Some(Value::Object(entries)) => {
                for (key, _) in entries.iter().filter(|(_, value)| !value.is_string()) {
                    report(
                        &format!("metadata.{field}[{key}]"),
                        "the value is not text; put quotes around it".into(),
                    );
                }
            }
            Some(_) => report(
                &format!("metadata.{field}"),
                "must be a mapping of text to text".into(),
            ),
        }
    }
    for field in metadata
        .keys()
        .filter(|field| !METADATA.contains(&field.as_str()))
    {
        report(
            &format!("metadata.{field}"),
            format!("git may set {} only; remove it", METADATA.join(", ")),
        );
    }
}

fn is_dns_subdomain(name: &str) -> bool {
    let edge =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    name.len() <= MAXIMUM_NAME
        && name.split('.').all(|label| {
            let bytes = label.as_bytes();
            edge(bytes.first())
                && edge(bytes.last())
                && bytes
                    .iter()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
        })
}

fn finding(file: &str, positions: &PositionIndex, field: &str, message: impl Into<String>) -> Finding {
    Finding {
        file: file.to_owned(),
        position: positions.locate(field),
        field: field.to_owned(),
        message: message.into(),
    }
}
