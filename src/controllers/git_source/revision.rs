//! From a revision's files to objects that may be applied. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::api::BaselineSpec;
use crate::api::git_source::SourceFormat;
use crate::controllers::fleet::policies::checked_where_known;
use crate::gitops::fetch::SourceFile;
use crate::gitops::mscp::{self, Tree, Weight};
use crate::gitops::read::{Document, Documents, MAXIMUM_FINDINGS, mentions_policy, read_what_can_be};
use crate::gitops::validate::SchemaSet;
use crate::gitops::{Finding, Kind, Remark, Remarks};
use crate::policy::schema::{Schema, Severity};
use crate::policy::{Findings, SpecError, check_baseline, check_group, check_profile};

/// Reads and validates the files of a revision: by the schemas of its kinds, and its content by Apple's.
///
/// # Errors
/// Every mistake, with its place, at most [`MAXIMUM_FINDINGS`].
pub fn read(
    files: &[SourceFile],
    format: SourceFormat,
    namespace: &str,
    schemas: &SchemaSet,
    apple: &Schema,
) -> Result<Documents, Vec<Finding>> {
    let most = Remarks::up_to(MAXIMUM_FINDINGS);
    let examined = examine(files, format, Some(namespace), schemas, apple, most);
    let (errors, warnings): (Vec<Remark>, Vec<Remark>) = examined
        .remarks
        .into_iter()
        .partition(|remark| remark.severity == Severity::Error);
    let findings = |remarks: Vec<Remark>| remarks.into_iter().map(|remark| remark.finding).collect();
    if errors.is_empty() {
        Ok(Documents {
            warnings: findings(warnings),
            ..examined.documents
        })
    } else {
        Err(findings(errors))
    }
}

/// Files, and all that is to be said about them.
#[derive(Debug)]
pub struct Examined {
    /// What can be read, whether it is good or not. Its warnings stand among the remarks.
    pub documents: Documents,
    /// What was found, ordered by file and place.
    pub remarks: Vec<Remark>,
    /// Whether more was found than there was room for.
    pub left_out: bool,
}

/// Reads and judges files, and goes on after a mistake. Without a namespace, objects may name any. `remarks` says how much is told.
#[must_use]
pub fn examine(
    files: &[SourceFile],
    format: SourceFormat,
    namespace: Option<&str>,
    schemas: &SchemaSet,
    apple: &Schema,
    mut remarks: Remarks,
) -> Examined {
    let documents = match format {
        SourceFormat::Native => {
            let (documents, wrong) = read_what_can_be(files, namespace);
            remarks.add(Severity::Error, Kind::File, wrong);
            documents
        }
        SourceFormat::Mscp => read_mscp(files, apple, &mut remarks),
    };
    let baselines: BTreeMap<String, Arc<BaselineSpec>> = documents
        .objects
        .iter()
        .filter(|document| document.kind == "Baseline")
        .filter_map(|document| Some((document.name.clone(), Arc::new(spec(document).ok()?))))
        .collect();
    for document in &documents.objects {
        if remarks.is_full() {
            break;
        }
        let unlike_its_kind = schemas.check_document(document);
        if !unlike_its_kind.is_empty() {
            remarks.add(Severity::Error, Kind::Object, unlike_its_kind);
            continue;
        }
        // What is made of a tree has been judged in the making, rule by rule, and what contradicted itself is left out of it.
        if format == SourceFormat::Native {
            // What the schema cannot say, once the shape is right.
            let found = check(document, &baselines, apple);
            for (severity, found) in [
                (Severity::Error, found.errors),
                (Severity::Warning, found.warnings),
            ] {
                for error in found {
                    let kind = error.code.map_or(Kind::Policy, Kind::Apple);
                    let finding = document.finding(&error.field, error.message);
                    remarks.add(severity, kind, [finding]);
                }
            }
        }
    }
    let (remarks, left_out) = remarks.into_parts();
    Examined {
        documents,
        remarks,
        left_out,
    }
}

/// What files are, by what they hold: objects where the group of Provost is named, else a rule library if there is one.
#[must_use]
pub fn detect(files: &[SourceFile]) -> SourceFormat {
    let is_library = || Tree::read(files).is_ok_and(|tree| !tree.baselines().is_empty());
    if !files.iter().any(|file| mentions_policy(&file.content)) && is_library() {
        SourceFormat::Mscp
    } else {
        SourceFormat::Native
    }
}

/// The Baselines that a tree of mSCP's becomes.
fn read_mscp(files: &[SourceFile], apple: &Schema, remarks: &mut Remarks) -> Documents {
    let tree = match Tree::read(files) {
        Ok(tree) => tree,
        Err(finding) => {
            remarks.add(Severity::Error, Kind::Library, [finding]);
            return Documents::default();
        }
    };
    let (objects, notes) = match mscp::documents(&tree, apple) {
        Ok((objects, notes)) => (objects, notes),
        Err(notes) => (Vec::new(), notes),
    };
    for note in notes {
        let severity = match note.weight {
            Weight::Error => Severity::Error,
            Weight::Warning => Severity::Warning,
        };
        remarks.add(severity, Kind::Library, [note.finding]);
    }
    Documents {
        objects,
        ..Documents::default()
    }
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
            code: None,
        }]),
    }
}

fn spec<S: DeserializeOwned>(document: &Document) -> serde_json::Result<S> {
    serde_json::from_value(document.value.get("spec").cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::crds;

    fn files(payload: &str) -> Vec<SourceFile> {
        let text = format!(
            "apiVersion: provost.dev/v1alpha1\nkind: Profile\nmetadata:\n  name: disks\nspec:\n  title: Disks\n  payloads:\n    - payloadType: com.apple.MCX.FileVault2\n      content:\n{payload}"
        );
        vec![SourceFile {
            path: "policy/disks.yaml".into(),
            content: text.into_bytes(),
        }]
    }

    fn read_one(payload: &str) -> Result<Documents, Vec<Finding>> {
        let schemas = SchemaSet::new(&crds::all()).unwrap();
        let native = SourceFormat::Native;
        read(&files(payload), native, "fleet", &schemas, Schema::embedded())
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
        let schemas = SchemaSet::new(&crds::all()).unwrap();
        let native = SourceFormat::Native;
        let documents = read(&files, native, "fleet", &schemas, Schema::embedded());
        let documents = documents.map_err(|findings| told(&findings)).unwrap();
        assert!(documents.objects.len() > 2);
        assert_eq!(told(&documents.warnings), "");
    }
}
