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
use crate::policy::inheritance::resolve;
use crate::policy::schema::{Schema, Severity};
use crate::policy::{
    Findings, Resolved, SpecError, check_baseline, check_group, check_profile, check_resolved, check_waiver,
    side_by_side,
};

/// Baselines by name, as they are written.
pub(super) type Baselines = BTreeMap<String, Arc<BaselineSpec>>;

/// Whether files may hold baselines that extend others, which need not be among them. Never false where one does.
pub(super) fn may_extend(files: &[SourceFile]) -> bool {
    let word = EXTENDS.as_bytes();
    let holds = |content: &[u8]| content.windows(word.len()).any(|part| part == word);
    files.iter().any(|file| holds(&file.content))
}

/// The field by which a baseline names those that it extends.
const EXTENDS: &str = "extends";

/// Reads and validates the files of a revision without knowing the fleet: what baselines extend and is not among the files is a warning.
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
    read_beside(files, format, namespace, schemas, apple, None)
}

/// Reads and validates the files of a revision. `elsewhere` are the baselines of the fleet that come from other sources or hands, where they are known:
/// baselines of the revision may extend them.
///
/// # Errors
/// Every mistake, with its place, at most [`MAXIMUM_FINDINGS`].
pub(super) fn read_beside(
    files: &[SourceFile],
    format: SourceFormat,
    namespace: &str,
    schemas: &SchemaSet,
    apple: &Schema,
    elsewhere: Option<&Baselines>,
) -> Result<Documents, Vec<Finding>> {
    let judge = Judge {
        schemas,
        apple,
        elsewhere,
    };
    let examined = judge.examine(files, format, Some(namespace), Remarks::up_to(MAXIMUM_FINDINGS));
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

/// Reads and judges files, and goes on after a mistake. Without a namespace, objects may name any. `remarks` says how much is told. What baselines extend
/// and is not among the files is a warning.
#[must_use]
pub fn examine(
    files: &[SourceFile],
    format: SourceFormat,
    namespace: Option<&str>,
    schemas: &SchemaSet,
    apple: &Schema,
    remarks: Remarks,
) -> Examined {
    let judge = Judge {
        schemas,
        apple,
        elsewhere: None,
    };
    judge.examine(files, format, namespace, remarks)
}

/// By what files are judged.
struct Judge<'j> {
    schemas: &'j SchemaSet,
    apple: &'j Schema,
    /// See [`read_beside`].
    elsewhere: Option<&'j Baselines>,
}

impl Judge<'_> {
    fn examine(
        &self,
        files: &[SourceFile],
        format: SourceFormat,
        namespace: Option<&str>,
        mut remarks: Remarks,
    ) -> Examined {
        let documents = match format {
            SourceFormat::Native => {
                let (documents, wrong) = read_what_can_be(files, namespace);
                remarks.add(Severity::Error, Kind::File, wrong);
                documents
            }
            SourceFormat::Mscp => read_mscp(files, self.apple, &mut remarks),
            // It holds no object.
            SourceFormat::AppleSchema => Documents::default(),
        };
        let own: Baselines = documents
            .objects
            .iter()
            .filter(|document| document.kind == "Baseline")
            .filter_map(|document| Some((document.name.clone(), Arc::new(spec(document).ok()?))))
            .collect();
        let mut family = self.elsewhere.cloned().unwrap_or_default();
        let names: Vec<String> = own.keys().cloned().collect();
        family.extend(own);
        // What is wrong with baselines from elsewhere is told there.
        let baselines = resolve(names.iter().map(String::as_str), &family);
        for some in documents.objects.chunks(JUDGED_TOGETHER) {
            if remarks.is_full() {
                break;
            }
            let judged = side_by_side(some, |document| self.judge(document, format, &baselines));
            for (severity, kind, finding) in judged.into_iter().flatten() {
                remarks.add(severity, kind, [finding]);
            }
        }
        let (remarks, left_out) = remarks.into_parts();
        Examined {
            documents,
            remarks,
            left_out,
        }
    }

    /// What is to be said of one object.
    fn judge(
        &self,
        document: &Document,
        format: SourceFormat,
        baselines: &Resolutions,
    ) -> Vec<(Severity, Kind, Finding)> {
        let unlike_its_kind = self.schemas.check_document(document);
        if !unlike_its_kind.is_empty() {
            let told = unlike_its_kind.into_iter();
            return told
                .map(|finding| (Severity::Error, Kind::Object, finding))
                .collect();
        }
        // What is made of a tree has been judged in the making, rule by rule, and what contradicted itself is left out of it.
        if format != SourceFormat::Native {
            return Vec::new();
        }
        // What the schema cannot say, once the shape is right.
        let mut found = check(document, baselines, self.apple);
        if self.elsewhere.is_none() {
            allow_elsewhere(document, baselines, &mut found);
        }
        let errors = found.errors.into_iter().map(|error| (Severity::Error, error));
        let warnings = found.warnings.into_iter().map(|error| (Severity::Warning, error));
        errors
            .chain(warnings)
            .map(|(severity, error)| {
                let kind = error.code.map_or(Kind::Policy, Kind::Apple);
                (severity, kind, document.finding(&error.field, error.message))
            })
            .collect()
    }
}

/// How many objects are judged before it is asked whether there is room for more findings.
const JUDGED_TOGETHER: usize = 64;

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

/// What is not in the revision may be in the fleet: that is to be looked at, and no mistake.
fn allow_elsewhere(document: &Document, baselines: &Resolutions, findings: &mut Findings) {
    let Some(baseline) = baselines
        .get(&document.name)
        .filter(|_| document.kind == "Baseline")
    else {
        return;
    };
    for missing in &baseline.missing {
        let field = format!("spec.extends[{missing}].name");
        if findings.errors.iter().any(|error| error.field == field) {
            findings.errors.retain(|error| error.field != field);
            findings.warnings.push(SpecError {
                field,
                message: "the baseline is not among these files; what is inherited from it is not checked"
                    .to_owned(),
                code: None,
            });
        }
    }
}

type Resolutions = BTreeMap<String, Arc<Resolved>>;

fn check(document: &Document, baselines: &Resolutions, apple: &Schema) -> Findings {
    match document.kind.as_str() {
        "Baseline" => match baselines.get(&document.name) {
            Some(baseline) => check_resolved(baseline, apple),
            // It cannot be read: the reason is found in reading it once more.
            None => check_spec(document, |spec| check_baseline(spec, apple)),
        },
        "Profile" => check_spec(document, |spec| check_profile(spec, apple)),
        "DeviceGroup" => check_spec(document, |spec| Findings::of(check_group(spec))),
        // A baseline that is not in this revision may come from elsewhere: the Assignment's status tells if it does not.
        "Assignment" => check_spec(document, |spec| {
            Findings::of(checked_where_known(spec, baselines))
        }),
        "Waiver" => check_spec(document, |spec| check_waiver(spec, baselines)),
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

    const HEIR: &str = "apiVersion: provost.dev/v1alpha1
kind: Baseline
metadata:
  name: corp
spec:
  title: Ours
  version: '1'
  extends:
    - name: essentials
      exclude:
        - rule: firewal
          reason: r
";

    fn heir(text: &str, elsewhere: Option<&Baselines>) -> Result<Documents, Vec<Finding>> {
        let mut files = files("");
        files[0].content = text.as_bytes().to_vec();
        assert!(may_extend(&files));
        let schemas = SchemaSet::new(&crds::all()).unwrap();
        let native = SourceFormat::Native;
        read_beside(&files, native, "fleet", &schemas, Schema::embedded(), elsewhere)
    }

    #[test]
    fn a_baseline_may_extend_one_of_another_source_and_is_checked_against_it() {
        let rule = serde_json::json!({ "id": "firewall", "title": "t", "check": { "cel": "SecurityInfo.FDE_Enabled" } });
        let spec = serde_json::json!({ "title": "t", "version": "1", "rules": [rule] });
        let elsewhere: Baselines = [(
            "essentials".to_owned(),
            Arc::new(serde_json::from_value(spec).unwrap()),
        )]
        .into();
        let findings = heir(HEIR, Some(&elsewhere)).unwrap_err();
        insta::assert_snapshot!(told(&findings), @"policy/disks.yaml:11:11: spec.extends[0].exclude[0].rule: baseline `essentials` has no rule `firewal`; did you mean `firewall`?");
        let findings = heir(HEIR, Some(&Baselines::new())).unwrap_err();
        insta::assert_snapshot!(told(&findings), @"policy/disks.yaml:9:7: spec.extends[0].name: there is no Baseline `essentials`");
        let documents = heir(HEIR, None).unwrap();
        insta::assert_snapshot!(told(&documents.warnings), @"policy/disks.yaml:9:7: spec.extends[0].name: the baseline is not among these files; what is inherited from it is not checked");
    }

    #[test]
    fn an_exclusion_without_a_reason_and_a_circle_are_refused_at_their_lines() {
        let findings = heir(&HEIR.replace("          reason: r\n", ""), None).unwrap_err();
        insta::assert_snapshot!(told(&findings), @"policy/disks.yaml:11:11: spec.extends[0].exclude[0].reason: Required value");
        let findings = heir(&HEIR.replace("name: essentials", "name: corp"), None).unwrap_err();
        insta::assert_snapshot!(told(&findings), @"policy/disks.yaml:9:7: spec.extends[0].name: inheritance goes in a circle: corp → corp");
    }

    #[test]
    fn the_examples_of_the_guide_are_taken_without_a_word() {
        let guide = include_str!("../../../docs/baselines.md");
        let examples: Vec<&str> = guide
            .split("```yaml\n")
            .skip(1)
            .filter_map(|rest| rest.split_once("```").map(|(example, _)| example))
            .collect();
        let mut files = files("");
        files[0].content = examples.join("---\n").into_bytes();
        let schemas = SchemaSet::new(&crds::all()).unwrap();
        let native = SourceFormat::Native;
        let documents = read(&files, native, "fleet", &schemas, Schema::embedded());
        let documents = documents.map_err(|findings| told(&findings)).unwrap();
        assert_eq!(documents.objects.len(), 2);
        assert_eq!(told(&documents.warnings), "");
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
