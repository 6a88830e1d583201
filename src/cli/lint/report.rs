//! What was found, as every format tells it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::controllers::git_source::revision::Examined;
use crate::gitops::Remark;
use crate::gitops::fetch::SourceFile;
use crate::policy::schema::Severity;

/// The most errors that are told, and warnings: code scanning shows no more of a run.
pub(super) const MAXIMUM_TOLD: usize = 5_000;

/// Everything that there is to tell.
pub(super) struct Report {
    /// The findings, ordered by file and place.
    pub(super) findings: Vec<Told>,
    /// How many files were read.
    pub(super) files: usize,
    /// How many objects they hold, of those that can be read.
    pub(super) objects: usize,
    /// Documents of others.
    pub(super) other_documents: usize,
    /// Files that are not YAML and not Provost's.
    pub(super) unread_files: usize,
    /// How many mistakes.
    pub(super) errors: usize,
    /// How many things to be looked at.
    pub(super) warnings: usize,
    /// Whether there are more.
    pub(super) left_out: bool,
}

/// One finding.
pub(super) struct Told {
    pub(super) remark: Remark,
    /// The kind of finding: stable, for tools.
    pub(super) rule: String,
    /// Its line, with a mark under the place.
    pub(super) snippet: Option<String>,
}

impl Report {
    pub(super) fn new(files: &[SourceFile], examined: Examined) -> Self {
        let Examined {
            documents,
            remarks,
            left_out,
        } = examined;
        let count = |severity| {
            remarks
                .iter()
                .filter(|remark| remark.severity == severity)
                .count()
        };
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let texts: BTreeMap<&str, &str> = files
            .iter()
            .filter_map(|file| Some((file.path.as_str(), std::str::from_utf8(&file.content).ok()?)))
            .collect();
        let findings = remarks.into_iter().map(|remark| Told {
            snippet: texts
                .get(remark.finding.file.as_str())
                .and_then(|text| remark.finding.snippet(text)),
            rule: remark.kind.to_string(),
            remark,
        });
        Self {
            findings: findings.collect(),
            files: files.len(),
            objects: documents.objects.len(),
            other_documents: documents.other_documents,
            unread_files: documents.unread_files,
            errors,
            warnings,
            left_out,
        }
    }

    /// The kinds of findings that there are, each once.
    pub(super) fn rules(&self) -> Vec<(&str, &'static str)> {
        let rules: BTreeSet<(&str, &'static str)> = self
            .findings
            .iter()
            .map(|told| (told.rule.as_str(), told.remark.kind.about()))
            .collect();
        rules.into_iter().collect()
    }

    /// One JSON document.
    pub(super) fn json(&self) -> Result<String> {
        let findings = self.findings.iter().map(|told| Finding {
            severity: told.remark.severity.into(),
            rule: &told.rule,
            file: &told.remark.finding.file,
            line: told.remark.finding.position.line,
            column: told.remark.finding.position.column,
            field: &told.remark.finding.field,
            message: &told.remark.finding.message,
        });
        let document = Document {
            summary: Summary {
                files: self.files,
                objects: self.objects,
                other_documents: self.other_documents,
                unread_files: self.unread_files,
                errors: self.errors,
                warnings: self.warnings,
            },
            findings: findings.collect(),
        };
        let text = serde_json::to_string_pretty(&document).context("JSON cannot be written")?;
        Ok(text + "\n")
    }
}

/// What `-o json` prints.
#[derive(Serialize)]
struct Document<'d> {
    summary: Summary,
    findings: Vec<Finding<'d>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    files: usize,
    objects: usize,
    other_documents: usize,
    unread_files: usize,
    errors: usize,
    warnings: usize,
}

#[derive(Serialize)]
struct Finding<'f> {
    severity: &'static str,
    rule: &'f str,
    file: &'f str,
    line: usize,
    column: usize,
    field: &'f str,
    message: &'f str,
}

/// `1 error`, `2 errors`.
pub(super) fn many(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
