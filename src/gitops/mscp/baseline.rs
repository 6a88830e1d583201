//! A baseline file: which rules, in which sections, for which system and version, with which column of values.

use std::collections::BTreeSet;

use serde_json::Value;

use super::layout::stem;
use super::raw::file_finding;
use super::tree::System;
use crate::gitops::fetch::SourceFile;
use crate::gitops::read::{PositionIndex, read_single};
use crate::gitops::{Finding, Position};

/// The section of rules that are left out.
const EXCLUDED: &str = "excluded";

/// A baseline.
#[derive(Debug)]
pub struct BaselineFile {
    /// Its full id, such as `cis_lvl1_macos_26.0`.
    pub id: String,
    /// Its keyword, such as `cis_lvl1`.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// The system that it is for.
    pub system: System,
    /// The version of that system, such as `26.0`.
    pub version: String,
    /// The column of values: `parent_values`.
    pub column: String,
    /// The file, from the root of the repository.
    pub file: String,
    /// The id of its blob in git.
    pub blob: String,
    pub(super) sections: Vec<Section>,
    pub(super) positions: PositionIndex,
}

/// A section of a baseline.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) field: String,
    /// The rules, each with its place.
    pub(super) rules: Vec<(String, String)>,
}

impl Section {
    /// As its file is called: without blanks, in lower case.
    fn key(&self) -> String {
        self.name
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect::<String>()
            .to_lowercase()
    }

    pub(super) fn is_excluded(&self) -> bool {
        self.key() == EXCLUDED
    }

    pub(super) fn is_known(&self, sections: &BTreeSet<String>) -> bool {
        self.is_excluded() || sections.contains(&self.key())
    }
}

/// 1.x: the system and version that the whole branch is for.
#[derive(Debug)]
pub(super) struct Branch {
    system: System,
    version: String,
}

impl Branch {
    /// Reads `VERSION.yaml`. None: it does not say.
    pub(super) fn read(file: &SourceFile) -> Result<Option<Self>, Finding> {
        let Some((value, positions)) = read_single(file)? else {
            return Ok(None);
        };
        let system = value
            .get("platform")
            .and_then(Value::as_str)
            .and_then(System::read);
        let version = text_or_number(&value, &positions, "os");
        Ok(system
            .zip(version)
            .map(|(system, version)| Self { system, version }))
    }

    /// The same from a baseline's title, `macOS 26.0: Security Configuration - …`.
    fn of_title(title: &str) -> Option<Self> {
        let mut words = title.split([' ', ':']);
        let system = System::read(words.next()?)?;
        let version = words.next()?.to_owned();
        version
            .starts_with(|c: char| c.is_ascii_digit())
            .then_some(Self { system, version })
    }
}

fn text_or_number(value: &Value, positions: &PositionIndex, field: &str) -> Option<String> {
    let found = field.split('.').try_fold(value, |value, key| value.get(key))?;
    match found {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(
            positions
                .number(field)
                .map_or_else(|| number.to_string(), str::to_owned),
        ),
        _ => None,
    }
}

impl BaselineFile {
    /// Reads a baseline.
    ///
    /// # Errors
    /// Every mistake in its shape.
    pub(super) fn read(file: &SourceFile, branch: Option<&Branch>) -> Result<Self, Vec<Finding>> {
        let (value, positions) = match read_single(file) {
            Ok(Some(read)) => read,
            Ok(None) => {
                return Err(vec![file_finding(
                    file,
                    Position::START,
                    "",
                    "the file is empty; a baseline was expected",
                )]);
            }
            Err(finding) => return Err(vec![finding]),
        };
        let mut findings = Vec::new();
        let mut wrong = |field: &str, message: &str| {
            findings.push(file_finding(file, positions.locate(field), field, message));
        };
        let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::trim);
        let title = text("title").unwrap_or_default().to_owned();
        if title.is_empty() {
            wrong("title", "the baseline needs a title, a text");
        }
        let column = text_or_number(&value, &positions, "parent_values").unwrap_or_default();
        if column.is_empty() {
            wrong(
                "parent_values",
                "the baseline needs parent_values, the column of values, such as recommended",
            );
        }
        let stem = stem(&file.path);
        let is_one = value.get("platform").is_none() || value.get("authors").is_some_and(Value::is_string);
        let target = if is_one {
            let found = branch
                .map(|branch| (branch.system, branch.version.clone()))
                .or_else(|| Branch::of_title(&title).map(|branch| (branch.system, branch.version)));
            if found.is_none() {
                wrong(
                    "",
                    "neither the baseline nor VERSION.yaml says for which system and version it is",
                );
            }
            found
        } else {
            let system = value
                .get("platform")
                .and_then(|platform| platform.get("os"))
                .and_then(Value::as_str)
                .and_then(System::read);
            let version = text_or_number(&value, &positions, "platform.version");
            if system.is_none() {
                wrong("platform.os", "must be macOS, iOS or visionOS");
            }
            if version.is_none() {
                wrong("platform.version", "must be a version, such as 26.0");
            }
            system.zip(version)
        };
        if target.as_ref().is_some_and(|(_, version)| !is_version(version)) {
            let field = if is_one { "" } else { "platform.version" };
            wrong(field, "the version must be one to three numbers, such as 26.0");
        }
        let sections = sections(&value, &mut wrong);
        let Some((system, version)) = target.filter(|_| findings.is_empty()) else {
            return Err(findings);
        };
        let suffix = format!("_{}_{version}", system.short());
        let name = stem.strip_suffix(&suffix).unwrap_or(stem).to_owned();
        Ok(Self {
            id: if is_one && !stem.ends_with(&suffix) {
                format!("{stem}{suffix}")
            } else {
                stem.to_owned()
            },
            name,
            title,
            description: text("description").unwrap_or_default().to_owned(),
            system,
            version,
            column,
            file: file.path.clone(),
            blob: file.blob(),
            sections,
            positions,
        })
    }

    /// How many rules it names, without those it leaves out.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.included().map(|section| section.rules.len()).sum()
    }

    pub(super) fn included(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|section| !section.is_excluded())
    }

    /// A mistake in this file.
    pub(super) fn finding(&self, field: &str, message: impl Into<String>) -> Finding {
        Finding {
            file: self.file.clone(),
            position: self.positions.locate(field),
            field: field.to_owned(),
            message: message.into(),
        }
    }
}

fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let number =
        |part: &&str| !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() <= 3 && parts.iter().all(number)
}

fn sections(value: &Value, wrong: &mut impl FnMut(&str, &str)) -> Vec<Section> {
    let mut sections = Vec::new();
    let Some(list) = value.get("profile").and_then(Value::as_array) else {
        wrong(
            "profile",
            "the baseline needs profile, a list of sections with their rules",
        );
        return sections;
    };
    for (n, entry) in list.iter().enumerate() {
        let field = format!("profile[{n}]");
        let Some(name) = entry.get("section").and_then(Value::as_str) else {
            wrong(&field, "the section has no name: `section`, a text");
            continue;
        };
        let mut rules = Vec::new();
        match entry.get("rules") {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => {
                for (m, rule) in list.iter().enumerate() {
                    let field = format!("{field}.rules[{m}]");
                    match rule {
                        Value::String(rule) => rules.push((rule.clone(), field)),
                        _ => wrong(&field, "must be the id of a rule, a text"),
                    }
                }
            }
            Some(_) => wrong(&format!("{field}.rules"), "must be a list of rule ids"),
        }
        sections.push(Section {
            name: name.to_owned(),
            field,
            rules,
        });
    }
    sections
}
