//! A whole tree: its rules with users' changes applied, its baselines, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::baseline::{BaselineFile, Branch};
use super::layout::{Layout, arrange, by_stem};
use super::note::{Note, of_tree};
use super::odv;
use super::raw::{Raw, RuleFile, file_finding};
use super::rule;
use crate::api::common::Platform;
use crate::gitops::fetch::SourceFile;
use crate::gitops::{Finding, Position};
use crate::policy::OsVersion;
use crate::suggest::did_you_mean;

/// The format of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Format {
    /// A branch for each system.
    #[serde(rename = "1.x")]
    One,
    /// One library for all systems.
    #[serde(rename = "2.0")]
    Two,
}

/// A system that mSCP has baselines for. `iOS` is that of iPhones and iPads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// iPhones and iPads.
    Ios,
    /// Macs.
    Macos,
    /// Apple Vision.
    Visionos,
}

impl System {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ios, Self::Macos, Self::Visionos];

    /// As mSCP writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ios => "iOS",
            Self::Macos => "macOS",
            Self::Visionos => "visionOS",
        }
    }

    /// In lower case, as file names have it.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::Ios => "ios",
            Self::Macos => "macos",
            Self::Visionos => "visionos",
        }
    }

    /// The system of a name, in whatever case.
    #[must_use]
    pub fn read(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|system| system.short() == name.to_lowercase())
    }

    /// The platforms of Provost's that run it.
    #[must_use]
    pub const fn platforms(self) -> &'static [Platform] {
        match self {
            Self::Ios => &[Platform::IOS, Platform::IPadOS],
            Self::Macos => &[Platform::MacOS],
            Self::Visionos => &[Platform::VisionOS],
        }
    }

    /// As references name a release: `macos-26`.
    pub(super) fn edition(self, version: &str) -> String {
        let major = version.split('.').next().unwrap_or(version);
        format!("{}-{major}", self.short())
    }
}

/// A tree that has been read.
#[derive(Debug)]
pub struct Tree {
    /// The format of its rules.
    pub format: Format,
    pub(super) rules: BTreeMap<String, Raw>,
    baselines: Vec<BaselineFile>,
    notes: Vec<Note>,
}

impl Tree {
    /// Reads a tree. What is wrong in it is among its [`notes`](Self::notes).
    ///
    /// # Errors
    /// When there is no tree among the files, or more than one.
    pub fn read(files: &[SourceFile]) -> Result<Self, Finding> {
        let layout = arrange(files)?;
        let mut notes = Vec::new();
        let mut rules = read_rules(&layout, &mut notes);
        let format = if rules.values().any(|raw| rule::format_of(raw) == Format::Two) {
            Format::Two
        } else {
            Format::One
        };
        for raw in rules.values_mut() {
            let (errors, warnings) = rule::check_shape(raw);
            notes.extend(errors.into_iter().map(Note::error));
            notes.extend(warnings.into_iter().map(Note::warning));
            notes.extend(odv::check(raw));
        }
        let branch = layout.version.map_or(Ok(None), Branch::read);
        let branch = branch.unwrap_or_else(|finding| {
            notes.push(Note::error(finding));
            None
        });
        let mut baselines = read_baselines(&layout, branch.as_ref(), &mut notes);
        baselines.sort_by(|a, b| a.id.cmp(&b.id));
        for baseline in &baselines {
            notes.extend(
                check_baseline(baseline, &rules, &layout.sections)
                    .into_iter()
                    .map(Note::error),
            );
        }
        if baselines.is_empty() {
            notes.push(Note::error(of_tree(
                "the tree has no baseline: a folder `baselines` beside `rules` with YAML files in it",
            )));
        }
        if format == Format::One {
            notes.extend(without_system(&rules));
        }
        notes.sort();
        notes.dedup();
        Ok(Self {
            format,
            rules,
            baselines,
            notes,
        })
    }

    /// How many rules it has.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// Its baselines, by id.
    #[must_use]
    pub fn baselines(&self) -> &[BaselineFile] {
        &self.baselines
    }

    /// What is to be said of its files; what only shows when a baseline is [resolved](BaselineFile::resolve) is said there.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The baseline of a name, which is its id (`cis_lvl1_macos_26.0`) or its keyword (`cis_lvl1`), for a system and version where they
    /// are asked for. Of several versions before the one asked for, of the same year, it is the last.
    ///
    /// # Errors
    /// In words: when there is none, or more than one.
    pub fn find(
        &self,
        name: &str,
        system: Option<System>,
        version: Option<&str>,
    ) -> Result<&BaselineFile, String> {
        let named: Vec<&BaselineFile> = self
            .baselines
            .iter()
            .filter(|baseline| {
                baseline.id.eq_ignore_ascii_case(name) || baseline.name.eq_ignore_ascii_case(name)
            })
            .collect();
        if named.is_empty() {
            let known = self
                .baselines
                .iter()
                .flat_map(|baseline| [baseline.id.as_str(), baseline.name.as_str()]);
            let guess = did_you_mean(name, known);
            return Err(format!(
                "there is no baseline `{name}`{guess}; `provost mscp list` shows those that there are"
            ));
        }
        let ids = |baselines: &[&BaselineFile]| -> String {
            let ids: Vec<&str> = baselines.iter().map(|baseline| baseline.id.as_str()).collect();
            ids.join(", ")
        };
        let asked = version.map(OsVersion::read);
        let fitting: Vec<&BaselineFile> = named
            .iter()
            .copied()
            .filter(|baseline| system.is_none_or(|system| baseline.system == system))
            .filter(|baseline| {
                let own = OsVersion::read(&baseline.version);
                asked.is_none_or(|asked| own <= asked && own.0.first() == asked.0.first())
            })
            .collect();
        let newest = fitting
            .iter()
            .map(|baseline| OsVersion::read(&baseline.version))
            .max();
        let newest: Vec<&BaselineFile> = fitting
            .into_iter()
            .filter(|baseline| asked.is_none() || Some(OsVersion::read(&baseline.version)) == newest)
            .collect();
        match newest.as_slice() {
            [one] => Ok(one),
            [] => {
                let system = system.map_or("that system", System::name);
                let version = version.unwrap_or("any version");
                Err(format!(
                    "baseline `{name}` is not there for {system} {version}; there is: {}",
                    ids(&named)
                ))
            }
            several => Err(format!(
                "more than one baseline is called `{name}`: {}; say which by its full id, or with --platform and --os",
                ids(several)
            )),
        }
    }
}

fn read_rules(layout: &Layout<'_>, notes: &mut Vec<Note>) -> BTreeMap<String, Raw> {
    let mut rules: BTreeMap<String, Raw> = BTreeMap::new();
    let mut read = |files: &[&SourceFile]| -> Vec<RuleFile> {
        let (good, wrong): (Vec<_>, Vec<_>) = files
            .iter()
            .map(|file| RuleFile::read(file))
            .partition(Result::is_ok);
        notes.extend(wrong.into_iter().filter_map(Result::err).map(Note::error));
        good.into_iter().filter_map(Result::ok).collect()
    };
    let (bundled, custom) = (read(&layout.rules), read(&layout.custom_rules));
    for file in bundled {
        if file.id != file.stem() {
            notes.push(Note::error(misnamed(&file)));
        } else if let Some(first) = rules.get(&file.id) {
            let other = first.finding("id", "").file;
            notes.push(Note::error(file.finding(
                "id",
                format!("rule {} is already in {other}; keep one of the two", file.id),
            )));
        } else {
            rules.insert(file.id.clone(), Raw::from(file));
        }
    }
    let mut changed = BTreeSet::new();
    for file in custom {
        let id = file.id.clone();
        if !changed.insert(id.clone()) {
            notes.push(Note::error(file.finding(
                "id",
                format!("another file changes rule {id} already; keep one of the two"),
            )));
            continue;
        }
        match rules.get_mut(&id) {
            Some(rule) => rule.change(file),
            None if file.id == file.stem() => {
                rules.insert(id, Raw::from(file));
            }
            None => notes.push(Note::error(misnamed(&file))),
        }
    }
    rules
}

fn misnamed(file: &RuleFile) -> Finding {
    file.finding(
        "id",
        format!(
            "the file of rule {} must be called {}.yaml, or its id be {}",
            file.id,
            file.id,
            file.stem()
        ),
    )
}

fn read_baselines(layout: &Layout<'_>, branch: Option<&Branch>, notes: &mut Vec<Note>) -> Vec<BaselineFile> {
    let (mut files, twice) = by_stem(&layout.baselines);
    let (custom, custom_twice) = by_stem(&layout.custom_baselines);
    for (first, second) in twice.into_iter().chain(custom_twice) {
        let message = format!(
            "a baseline of this name is already in {}; rename one of the two",
            first.path
        );
        notes.push(Note::error(file_finding(second, Position::START, "", message)));
    }
    // A baseline of the users' takes the place of a bundled one of its name.
    files.extend(custom);
    let mut baselines = Vec::new();
    for file in files.values() {
        match BaselineFile::read(file, branch) {
            Ok(baseline) => baselines.push(baseline),
            Err(findings) => notes.extend(findings.into_iter().map(Note::error)),
        }
    }
    baselines
}

/// Rules and sections that are not there, and rules that are named twice.
fn check_baseline(
    baseline: &BaselineFile,
    rules: &BTreeMap<String, Raw>,
    sections: &BTreeSet<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for section in &baseline.sections {
        if !section.is_known(sections) {
            let guess = did_you_mean(&section.name, sections.iter().map(String::as_str));
            findings.push(baseline.finding(
                &format!("{}.section", section.field),
                format!(
                    "there is no section `{}`{guess}; a section is a file in `sections`, or Excluded",
                    section.name
                ),
            ));
        }
        for (rule, field) in &section.rules {
            if !rules.contains_key(rule) {
                let guess = did_you_mean(rule, rules.keys().map(String::as_str));
                findings.push(baseline.finding(field, format!("there is no rule `{rule}`{guess}")));
            }
            if let Some(before) = seen.insert(rule, &section.name) {
                let message = format!("rule `{rule}` is already in section {before}; name it once");
                findings.push(baseline.finding(field, message));
            }
        }
    }
    findings
}

/// Rules of 1.x that name no system.
fn without_system(rules: &BTreeMap<String, Raw>) -> Vec<Note> {
    let names = |raw: &Raw| {
        System::ALL
            .into_iter()
            .any(|system| raw.fields.contains_key(system.name()))
    };
    let silent = rules
        .values()
        .filter(|raw| rule::format_of(raw) == Format::One && !names(raw));
    silent
        .map(|raw| {
            let misplaced = System::ALL.into_iter().find(|system| {
                raw.fields
                    .get("references")
                    .and_then(Value::as_object)
                    .is_some_and(|references| references.contains_key(system.name()))
            });
            let (field, why) = match misplaced {
                Some(system) => (
                    format!("references.{}", system.name()),
                    "the system stands among the references",
                ),
                None => (String::new(), "the rule names no system"),
            };
            Note::warning(raw.finding(&field, format!("{why}; it is taken to be for that of the branch")))
        })
        .collect()
}
