//! Payloads and declarations, each judged as what it is.

use serde_json::{Map, Value};

use super::check::{self, Rules, advice, check, deprecated, judge};
use super::datum::{Datum, Notation};
use super::facts::TypeFacts;
use super::finding::{Code, Finding, Severity};
use super::table::{Schema, Types};
use super::target::{Target, Unmet};
use super::words;
use crate::policy::platform::OsVersion;
use crate::suggest::did_you_mean;

/// Whether content stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// It is a part: what it lacks may come from elsewhere.
    Part,
    /// It is all there is.
    Whole,
}

impl Schema {
    /// Judges a payload of a profile, without its `Payload…` keys. Paths begin in the content; a finding with an empty path is about the type.
    ///
    /// Unknown types and keys are warnings: on a Mac every preference domain is a payload type, and new systems bring new keys.
    #[must_use]
    pub fn check_profile_payload(
        &self,
        target: &Target,
        payload_type: &str,
        content: &Map<String, Value>,
    ) -> Vec<Finding> {
        self.check_payload(Some(target), payload_type, content, Extent::Whole)
    }

    /// The same of a part of a payload, or for receivers that are not known.
    #[must_use]
    pub fn check_payload(
        &self,
        target: Option<&Target>,
        payload_type: &str,
        content: &Map<String, Value>,
        extent: Extent,
    ) -> Vec<Finding> {
        let Some(facts) = self.profiles.get(payload_type) else {
            return vec![unknown_type(
                Severity::Warning,
                "payload type",
                payload_type,
                &self.profiles,
            )];
        };
        let facts = variant(facts, content);
        let rules = Rules {
            notation: Notation::PropertyList,
            unknown: Severity::Warning,
            whole: extent == Extent::Whole,
            target,
        };
        let common = |name: &str| self.common.keys.contains_key(name) && !facts.keys.contains_key(name);
        let entries: Vec<(&str, &Value)> = entries(content)
            .into_iter()
            .filter(|(name, _)| !common(name))
            .collect();
        judged(facts, payload_type, &entries, rules)
    }

    /// Judges a declaration by its `Payload`. Paths begin in the payload; a finding with an empty path is about the type.
    ///
    /// Unknown types and keys are errors, for a device refuses them, unless the target is newer than this table.
    #[must_use]
    pub fn check_declaration(
        &self,
        target: &Target,
        declaration_type: &str,
        payload: &Map<String, Value>,
    ) -> Vec<Finding> {
        self.check_declared(Some(target), declaration_type, payload, Extent::Whole)
    }

    /// The same of a part of a declaration, or for receivers that are not known.
    #[must_use]
    pub fn check_declared(
        &self,
        target: Option<&Target>,
        declaration_type: &str,
        payload: &Map<String, Value>,
        extent: Extent,
    ) -> Vec<Finding> {
        let unknown = if target.is_some_and(|target| self.is_newer(target)) {
            Severity::Warning
        } else {
            Severity::Error
        };
        let Some(facts) = self.declarations.get(declaration_type) else {
            return vec![unknown_type(
                unknown,
                "declaration type",
                declaration_type,
                &self.declarations,
            )];
        };
        let rules = Rules {
            notation: Notation::Json,
            unknown,
            whole: extent == Extent::Whole,
            target,
        };
        judged(facts, declaration_type, &entries(payload), rules)
    }

    /// Judges the arguments of a command: its keys beside `RequestType`. None: there is no such command.
    #[must_use]
    pub fn check_command<'v, D: Datum + 'v>(
        &self,
        request_type: &str,
        arguments: &[(&'v str, &'v D)],
    ) -> Option<Vec<Finding>> {
        let facts = self.commands.get(request_type)?;
        let rules = Rules {
            notation: Notation::PropertyList,
            unknown: Severity::Error,
            whole: true,
            target: None,
        };
        Some(check(facts, arguments, rules))
    }

    /// Whether a target may have what this table does not know of.
    fn is_newer(&self, target: &Target) -> bool {
        target.os_version != OsVersion::default()
            && self
                .newest(target.system())
                .is_none_or(|newest| target.os_version > newest.0)
    }
}

fn entries(content: &Map<String, Value>) -> Vec<(&str, &Value)> {
    content
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}

/// The facts that hold for this content.
fn variant<'t>(facts: &'t TypeFacts, content: &Map<String, Value>) -> &'t TypeFacts {
    let has = |variant: &&super::facts::Variant| {
        content.get(&variant.key).is_some_and(|given| {
            variant
                .values
                .iter()
                .any(|value| check::equals(value, &given.view()))
        })
    };
    facts
        .variants
        .iter()
        .find(has)
        .map_or(facts, |variant| &variant.facts)
}

/// The type itself, then what is in it.
fn judged(facts: &TypeFacts, name: &str, entries: &[(&str, &Value)], rules: Rules<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(target) = rules.target {
        let on = facts.on(target.system());
        // A type of which Apple does not say where it is may be anywhere.
        let unmet = (!facts.on.is_empty()).then(|| target.unmet(on)).flatten();
        if let Some(unmet) = unmet {
            let (severity, code) = match unmet {
                // A device that is not supervised refuses the whole payload, where it would only pass over a key.
                Unmet::Unsupervised => (Severity::Error, Code::Enrollment),
                other => judge(&other),
            };
            findings.push(Finding {
                path: String::new(),
                severity,
                code,
                message: format!("{name} {}", unmet.demand()),
                help: advice(&unmet),
            });
            if code == Code::UnsupportedOs {
                return findings;
            }
        } else if let Some(mut finding) = on.and_then(|on| deprecated("", target, &on)) {
            finding.message = format!("{name} {}", finding.message);
            findings.push(finding);
        }
    }
    findings.extend(check(facts, entries, rules));
    findings
}

fn unknown_type(severity: Severity, what: &str, name: &str, known: &Types) -> Finding {
    let near = did_you_mean(name, known.keys().map(String::as_str));
    Finding {
        path: String::new(),
        severity,
        code: Code::UnknownType,
        message: format!("there is no {what} `{}`", words::clip(name)),
        help: near.trim_start_matches("; ").to_owned(),
    }
}
