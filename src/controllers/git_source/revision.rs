//! From a revision's files to objects that may be applied. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::api::BaselineSpec;
use crate::api::git_source::SourceFormat;
use crate::controllers::fleet::policies::checked_where_known;
use crate::gitops::Finding;
use crate::gitops::fetch::Revision;
use crate::gitops::mscp::{self, Note, Tree};
use crate::gitops::read::{Document, Documents, MAXIMUM_FINDINGS, read_documents};
use crate::gitops::validate::SchemaSet;
use crate::policy::schema::Schema;
use crate::policy::{Findings, SpecError, check_baseline, check_group, check_profile};

/// Reads and validates a revision: by the schemas of its kinds, and its content by Apple's.
///
/// # Errors
/// Every mistake, with its place.
pub(super) fn read(
    revision: &Revision,
    format: SourceFormat,
    namespace: &str,
    schemas: &SchemaSet,
    apple: &Schema,
) -> Result<Documents, Vec<Finding>> {
    let mut documents = match format {
        SourceFormat::Native => read_documents(&revision.files, namespace)?,
        SourceFormat::Mscp => read_mscp(revision, apple)?,
    };
    let findings = schemas.check(&documents);
    if !findings.is_empty() {
        return Err(findings);
    }
    // What the schema cannot say, once the shape is right.
    let baselines: BTreeMap<String, Arc<BaselineSpec>> = documents
        .objects
        .iter()
        .filter(|document| document.kind == "Baseline")
        .filter_map(|document| Some((document.name.clone(), Arc::new(spec(document).ok()?))))
        .collect();
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    // What is made of a tree has been judged in the making, rule by rule, and what contradicted itself is left out of it.
    let unjudged = documents
        .objects
        .iter()
        .filter(|_| format == SourceFormat::Native);
    for document in unjudged {
        let findings = check(document, &baselines, apple);
        errors.extend(placed(document, findings.errors));
        warnings.extend(placed(document, findings.warnings));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    documents.warnings.extend(warnings);
    documents.warnings.truncate(MAXIMUM_FINDINGS);
    Ok(documents)
}

/// The Baselines that a tree of mSCP's becomes, and what of it is not served.
fn read_mscp(revision: &Revision, apple: &Schema) -> Result<Documents, Vec<Finding>> {
    let tree = Tree::read(&revision.files).map_err(|finding| vec![finding])?;
    let findings = |notes: Vec<Note>, only_errors: bool| -> Vec<Finding> {
        notes
            .into_iter()
            .filter(|note| note.is_error() || !only_errors)
            .map(|note| note.finding)
            .take(MAXIMUM_FINDINGS)
            .collect()
    };
    let (objects, warnings) = mscp::documents(&tree, apple).map_err(|notes| findings(notes, true))?;
    Ok(Documents {
        objects,
        warnings: findings(warnings, false),
        ..Documents::default()
    })
}

fn check(document: &Document, baselines: &BTreeMap<String, Arc<BaselineSpec>>, apple: &Schema) -> Findings {
    match document.kind.as_str() {
        "Baseline" => check_spec(document, |spec| check_baseline(spec, apple)),
        "Profile" => check_spec(document, |spec| check_profile(spec, apple)),
        "DeviceGroup" => check_spec(document, |spec| Findings::of(check_group(spec))),
        // A baseline that is not in this revision may come from elsewhere: the Assignment's status tells if it does not.
        "Assignment" => check_spec(document, |spec| {
            Findings::of(checked_where_known(spec, baselines))
        }),
        _ => Findings::default(),
    }
}

fn check_spec<S: DeserializeOwned>(document: &Document, check: impl Fn(&S) -> Findings) -> Findings {
    match spec(document) {
        Ok(spec) => check(&spec),
        Err(error) => Findings::of(vec![SpecError {
            field: "spec".to_owned(),
            message: error.to_string(),
        }]),
    }
}

fn placed(document: &Document, found: Vec<SpecError>) -> impl Iterator<Item = Finding> {
    found
        .into_iter()
        .map(|found| document.finding(&found.field, found.message))
}

fn spec<S: DeserializeOwned>(document: &Document) -> serde_json::Result<S> {
    serde_json::from_value(document.value.get("spec").cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::api::crds;
    use crate::gitops::fetch::{Author, Skipped, SourceFile};
    use crate::gitops::verify::RawObjects;

    fn revision(payload: &str) -> Revision {
        let text = format!(
            "apiVersion: provost.dev/v1alpha1\nkind: Profile\nmetadata:\n  name: disks\nspec:\n  title: Disks\n  payloads:\n    - payloadType: com.apple.MCX.FileVault2\n      content:\n{payload}"
        );
        Revision {
            name: "main@sha1:1".into(),
            commit: "1".into(),
            parents: Vec::new(),
            author: Author {
                name: "a".into(),
                email: "a@example.com".into(),
            },
            committed_at: Timestamp::UNIX_EPOCH,
            message: String::new(),
            files: vec![SourceFile {
                path: "policy/disks.yaml".into(),
                content: text.into_bytes(),
            }],
            skipped: Skipped::default(),
            objects: RawObjects::default(),
        }
    }

    fn read_one(payload: &str) -> Result<Documents, Vec<Finding>> {
        let schemas = SchemaSet::new(&crds::all()).unwrap();
        let native = SourceFormat::Native;
        read(&revision(payload), native, "fleet", &schemas, Schema::embedded())
    }

    fn told(findings: &[Finding]) -> String {
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn content_that_apple_does_not_take_refuses_the_revision_at_its_line() {
        let findings = read_one("        Defer: true\n        Enable: true\n").unwrap_err();
        insta::assert_snapshot!(told(&findings), @"policy/disks.yaml:11:9: spec.payloads[0].content.Enable: is true or false; give it one of `On` or `Off`");
    }

    #[test]
    fn what_should_be_looked_at_comes_along_with_its_line() {
        let documents = read_one("        Enable: 'On'\n        UseRecoveryKy: true\n").unwrap();
        insta::assert_snapshot!(told(&documents.warnings), @"policy/disks.yaml:11:9: spec.payloads[0].content.UseRecoveryKy: there is no such key; did you mean `UseRecoveryKey`?");
    }

    #[test]
    fn what_ships_with_this_program_is_taken_without_a_word() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut open = vec![root.join("baselines"), root.join("examples/quickstart/fleet")];
        let mut files = Vec::new();
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.path().is_dir() {
                    open.push(entry.path());
                } else {
                    files.push(SourceFile {
                        path: entry.path().strip_prefix(root).unwrap().display().to_string(),
                        content: std::fs::read(entry.path()).unwrap(),
                    });
                }
            }
        }
        let shipped = Revision {
            files,
            ..revision("")
        };
        let schemas = SchemaSet::new(&crds::all()).unwrap();
        let native = SourceFormat::Native;
        let documents = read(&shipped, native, "fleet", &schemas, Schema::embedded());
        let documents = documents.map_err(|findings| told(&findings)).unwrap();
        assert!(documents.objects.len() > 2);
        assert_eq!(told(&documents.warnings), "");
    }
}
