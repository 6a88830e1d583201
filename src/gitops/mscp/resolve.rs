//! A baseline with everything put in: each rule as it is for the system and version, with its value.

use serde_json::{Map, Value};

use super::assemble::PREFERENCES;
use super::baseline::BaselineFile;
use super::config_file::Fragment;
use super::note::Note;
use super::odv;
use super::raw::Raw;
use super::rule::{self, CheckView, DeclarationView, PayloadView, Text};
use super::tree::Tree;
use crate::api::baseline::ControlRef;
use crate::api::common::Severity;
use crate::gitops::Finding;
use crate::policy::content::problems;

/// A baseline, ready to be exported or made into one of Provost's.
#[derive(Debug)]
pub struct Resolved<'t> {
    /// The file that it is from.
    pub baseline: &'t BaselineFile,
    /// Its rules, in order. Those that cannot be read are missing, and named in the notes.
    pub rules: Vec<ResolvedRule<'t>>,
    /// The rules that it leaves out on purpose.
    pub excluded: Vec<&'t str>,
    /// What is to be said of it.
    pub notes: Vec<Note>,
}

/// A rule of a baseline.
#[derive(Debug)]
pub struct ResolvedRule<'t> {
    /// Its id.
    pub id: &'t str,
    /// The section that it stands in.
    pub section: &'t str,
    /// The demand in one line.
    pub title: String,
    /// Why it matters.
    pub discussion: String,
    /// mSCP's tags, some of which say that nothing can be done: `inherent`, `permanent`, `n_a`.
    pub tags: Vec<&'t str>,
    /// How bad it is when it fails.
    pub severity: Severity,
    /// iOS and visionOS: whether it needs supervision, by mSCP's account.
    pub supervised: Option<bool>,
    /// The controls that it supports.
    pub controls: Vec<ControlRef>,
    /// Keys of profile payloads.
    pub payloads: Vec<Payload>,
    /// A key of a declaration, or a piece of a configuration file.
    pub declared: Option<Declared>,
    /// Shell that checks a device, as text, and what it prints where all is well.
    pub check: Option<(String, String)>,
    /// Shell that mends what fails, as text.
    pub fix: Option<String>,
    pub(super) raw: &'t Raw,
}

/// Keys of a profile payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// Apple's payload type.
    pub type_: String,
    /// The keys.
    pub content: Map<String, Value>,
    /// Where they stand in the rule.
    pub field: String,
}

/// What a rule says for declarations.
#[derive(Debug, Clone, PartialEq)]
pub enum Declared {
    /// A key of a declaration.
    Key {
        /// Apple's declaration type.
        type_: String,
        /// The key with its value.
        content: Map<String, Value>,
    },
    /// A piece of a configuration file.
    File(Fragment),
}

impl ResolvedRule<'_> {
    /// A mistake in a field of the rule, at its place.
    #[must_use]
    pub fn finding(&self, field: &str, message: impl Into<String>) -> Finding {
        self.raw.finding(field, message)
    }

    /// The files that the rule is made of, the bundled one first, each with the id of its blob in git.
    #[must_use]
    pub fn origins(&self) -> Vec<(String, String)> {
        self.raw.origins()
    }

    /// Whether mSCP says that the rule is not enforced by any setting, and why. None: it may be.
    #[must_use]
    pub fn not_technical(&self) -> Option<&'static str> {
        let reasons = [
            (
                "inherent",
                "the system meets it by itself and cannot be configured otherwise",
            ),
            (
                "permanent",
                "the system cannot meet it; it calls for a third party or a documented risk",
            ),
            ("n_a", "it does not apply to the system"),
            ("supplemental", "it is guidance, not a setting"),
            ("manual", "a person has to see to it"),
            ("none", "it has no setting and no check"),
        ];
        reasons
            .into_iter()
            .find(|(tag, _)| self.tags.contains(tag))
            .map(|(_, reason)| reason)
    }
}

impl BaselineFile {
    /// Puts everything in.
    #[must_use]
    pub fn resolve<'t>(&'t self, tree: &'t Tree) -> Resolved<'t> {
        let mut resolved = Resolved {
            baseline: self,
            rules: Vec::new(),
            excluded: Vec::new(),
            notes: Vec::new(),
        };
        for section in &self.sections {
            if section.is_excluded() {
                resolved
                    .excluded
                    .extend(section.rules.iter().map(|(rule, _)| rule.as_str()));
                continue;
            }
            for (id, _) in &section.rules {
                // One that is not there is among the notes of the tree.
                let Some(raw) = tree.rules.get(id) else { continue };
                match resolve_rule(self, raw, &section.name) {
                    Ok((rule, warnings)) => {
                        resolved.rules.push(rule);
                        resolved.notes.extend(warnings.into_iter().map(Note::warning));
                    }
                    Err(findings) => resolved.notes.extend(findings.into_iter().map(Note::error)),
                }
            }
        }
        resolved.notes.sort();
        resolved.notes.dedup();
        resolved
    }
}

/// Puts a value into the places that are marked, and keeps what it has not got.
struct Filler<'t> {
    raw: &'t Raw,
    odv: Option<&'t Value>,
    findings: Vec<Finding>,
}

impl Filler<'_> {
    fn missing(&mut self, field: &str) {
        self.findings.push(
            self.raw
                .finding(field, "`$ODV` stands here, but the rule has no odv"),
        );
    }

    fn text(&mut self, text: &str, field: &str) -> String {
        odv::put_text(text, self.odv).unwrap_or_else(|| {
            self.missing(field);
            String::new()
        })
    }

    fn map(&mut self, map: &Map<String, Value>, field: &str) -> Map<String, Value> {
        odv::put_map(map, self.odv).unwrap_or_else(|path| {
            self.missing(&format!("{field}{path}"));
            Map::new()
        })
    }

    fn value(&mut self, value: &Value, field: &str) -> Value {
        odv::put(value, self.odv).unwrap_or_else(|path| {
            self.missing(&format!("{field}{path}"));
            // A null would be a second mistake.
            Value::String(String::new())
        })
    }

    fn payload(&mut self, view: &PayloadView<'_>) -> Payload {
        let content = self.map(view.content, &view.field);
        self.refuse_problems(&content, &view.field);
        if view.type_ == PREFERENCES {
            for (domain, _) in content.iter().filter(|(_, keys)| !keys.is_object()) {
                self.findings.push(self.raw.finding(
                    &format!("{}.{domain}", view.field),
                    "must map the preferences of this domain to their values",
                ));
            }
        }
        Payload {
            type_: view.type_.to_owned(),
            content,
            field: view.field.clone(),
        }
    }

    /// What no device could be told.
    fn refuse_problems(&mut self, content: &Map<String, Value>, field: &str) {
        for (key, value) in content {
            for (path, problem) in problems(value) {
                let dot = if path.is_empty() || path.starts_with('[') {
                    ""
                } else {
                    "."
                };
                let field = format!("{field}.{key}{dot}{path}");
                self.findings.push(self.raw.finding(&field, problem));
            }
        }
    }

    fn declared(&mut self, view: &DeclarationView<'_>, warnings: &mut Vec<Finding>) -> Declared {
        match view {
            DeclarationView::Key { type_, key, value } => {
                let mut content = Map::new();
                content.insert((*key).to_owned(), self.value(value, "ddm_info.ddm_value"));
                self.refuse_problems(&content, "ddm_info.ddm_value");
                Declared::Key {
                    type_: (*type_).to_owned(),
                    content,
                }
            }
            DeclarationView::File {
                service,
                file,
                key,
                value,
            } => {
                let field = "ddm_info.configuration_value";
                let value = self.value(value, field);
                let (fragment, mended) = Fragment::new(service, file, key, &value);
                if !fragment.is_of_known_service() {
                    warnings.push(self.raw.finding(
                        "ddm_info.service",
                        format!("where {service} has its files is not known; {file} is taken to be in /etc"),
                    ));
                }
                if let Some(mended) = mended {
                    warnings.push(self.raw.finding(field, mended));
                }
                Declared::File(fragment)
            }
        }
    }

    fn check(&mut self, view: &CheckView<'_>) -> (String, String) {
        let command = self.text(view.command.text, &view.command.field);
        let expected = match view.expected {
            // One entry, whose key is the kind of the answer.
            Value::Object(map) => map.values().next().unwrap_or(&Value::Null),
            other => other,
        };
        let expected = match expected {
            Value::String(text) => self.text(text, &view.expected_field),
            other => other.to_string(),
        };
        (command, expected.trim().to_owned())
    }
}

fn resolve_rule<'t>(
    baseline: &'t BaselineFile,
    raw: &'t Raw,
    section: &'t str,
) -> Result<(ResolvedRule<'t>, Vec<Finding>), Vec<Finding>> {
    let view = rule::view(raw, baseline.system, &baseline.version, &baseline.name)?;
    let odv = odv::value(raw, &baseline.column).map_err(|finding| vec![finding])?;
    let mut filler = Filler {
        raw,
        odv,
        findings: Vec::new(),
    };
    let mut warnings = Vec::new();
    let field = |key: &str| raw.fields.get(key).and_then(Value::as_str).unwrap_or_default();
    let rule = ResolvedRule {
        id: &raw.id,
        section,
        title: filler.text(field("title").trim(), "title"),
        discussion: filler.text(field("discussion").trim(), "discussion"),
        tags: raw
            .fields
            .get("tags")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect(),
        severity: view.severity,
        supervised: view.supervised,
        controls: rule::controls(raw, baseline.system, &baseline.version),
        payloads: view
            .payloads
            .iter()
            .map(|payload| filler.payload(payload))
            .collect(),
        declared: view
            .declaration
            .as_ref()
            .map(|view| filler.declared(view, &mut warnings)),
        check: view.check.as_ref().map(|view| filler.check(view)),
        fix: view
            .fix
            .as_ref()
            .map(|Text { text, field }| filler.text(text, field)),
        raw,
    };
    if filler.findings.is_empty() {
        Ok((rule, warnings))
    } else {
        Err(filler.findings)
    }
}
