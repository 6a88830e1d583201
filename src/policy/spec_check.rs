//! What a resource's schema cannot say: mistakes that are found when an object is written, not when a device meets it.

mod apple;
mod contradictions;
mod inherited;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::api::assignment::AssignmentSpec;
use crate::api::baseline::{BaselineRule, Check, Enforcement, Parameter, ParameterType};
use crate::api::common::{DeclarationBody, PlatformRange, ProfilePayload};
use crate::api::selector::LabelSelector;
use crate::api::{BaselineSpec, DeviceGroupSpec, ProfileSpec, WaiverSpec};
use crate::compliance::{check, frameworks};
use crate::suggest::did_you_mean;

use super::content;
use super::group::{Group, GroupError};
use super::inheritance::Resolved;
use super::parameter;
use super::platform::OsVersion;
use super::profile::DERIVED_KEYS;
use super::schema::{self, Code, Extent, Schema, Severity};
use apple::{Content, Values};

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// Where, such as `spec.rules[3].check.cel`.
    pub field: String,
    /// What is wrong, and what to do.
    pub message: String,
    /// Its kind, if Apple's schema says it.
    pub code: Option<Code>,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// What is found in an object that holds content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// The mistakes: with one of them it cannot be used as it is.
    pub errors: Vec<SpecError>,
    /// What should be looked at.
    pub warnings: Vec<SpecError>,
}

impl Findings {
    /// Mistakes alone.
    #[must_use]
    pub const fn of(errors: Vec<SpecError>) -> Self {
        Self {
            errors,
            warnings: Vec::new(),
        }
    }

    fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.note(Severity::Error, field.into(), message.into());
    }

    fn note(&mut self, severity: Severity, field: String, message: String) {
        self.keep(severity, field, message, None);
    }

    /// What Apple's schema says of content.
    fn note_of_schema(&mut self, severity: Severity, field: String, found: &schema::Finding) {
        self.keep(severity, field, found.text(), Some(found.code));
    }

    fn keep(&mut self, severity: Severity, field: String, message: String, code: Option<Code>) {
        let list = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        list.push(SpecError { field, message, code });
    }
}

/// What is wrong with a Baseline that stands for itself, by itself and by Apple's schema.
#[must_use]
pub fn check_baseline(spec: &BaselineSpec, schema: &Schema) -> Findings {
    check_resolved(&Resolved::alone(Arc::new(spec.clone())), schema)
}

/// What is wrong with a Baseline beside those that it extends, by itself and by Apple's schema. What is wrong in those is theirs to tell.
#[must_use]
pub fn check_resolved(baseline: &Resolved, schema: &Schema) -> Findings {
    let (own, spec) = (&baseline.own, &baseline.spec);
    let mut findings = Findings::of(baseline.problems.clone());
    check_parameters(&own.parameters, &mut findings);
    check_ranges("spec.platforms", &own.platforms, &mut findings);
    // What rules and parameters there are cannot be told, and what is said of them would be noise.
    if baseline.incomplete {
        return findings;
    }
    let values: Values = spec
        .parameters
        .iter()
        .map(|declared| (declared.name.clone(), declared.default.clone()))
        .collect();
    let tried = apple::tried(&spec.parameters, &values);
    let mut ids = BTreeSet::new();
    for (n, rule) in own.rules.iter().enumerate() {
        let field = format!("spec.rules[{n}]");
        if !ids.insert(&rule.id) {
            findings.add(
                format!("{field}.id"),
                format!("there is another rule `{}`", rule.id),
            );
        }
        check_rule(&field, spec, rule, &values, &mut findings);
        apple::check_enforced(schema, &field, rule, &tried, &mut findings);
        apple::check_rule(schema, &field, spec, rule, &values, &mut findings);
    }
    inherited::check(baseline, schema, &values, &tried, &mut findings);
    // What is said of rules that cannot be read would be noise.
    if findings.errors.is_empty() {
        let together = contradictions::find(schema, spec, &values);
        for remark in together.contradictions {
            findings.add(baseline.place(remark.rule), remark.message);
        }
        for remark in together.incomplete {
            let field = baseline.place(remark.rule);
            findings.note(Severity::Warning, field, remark.message);
        }
    }
    findings
}

fn check_parameters(parameters: &[Parameter], findings: &mut Findings) {
    let mut names = BTreeSet::new();
    for (n, declared) in parameters.iter().enumerate() {
        let field = format!("spec.parameters[{n}]");
        if !names.insert(&declared.name) {
            findings.add(
                format!("{field}.name"),
                format!("there is another parameter `{}`", declared.name),
            );
        }
        let bounded = declared.minimum.is_some() || declared.maximum.is_some();
        if bounded && declared.type_ != ParameterType::Integer {
            findings.add(&field, "minimum and maximum are for an Integer only");
        } else if let (Some(minimum), Some(maximum)) = (declared.minimum, declared.maximum)
            && minimum > maximum
        {
            findings.add(format!("{field}.minimum"), "minimum is larger than maximum");
        }
        let anything = Parameter {
            allowed: Vec::new(),
            ..declared.clone()
        };
        for (n, allowed) in declared.allowed.iter().enumerate() {
            let member = match declared.type_ {
                ParameterType::StringList => Value::Array(vec![allowed.clone()]),
                _ => allowed.clone(),
            };
            if let Err(error) = parameter::check(&anything, &member) {
                findings.add(format!("{field}.allowed[{n}]"), error.to_string());
            }
        }
        if let Err(error) = parameter::check(declared, &declared.default) {
            findings.add(format!("{field}.default"), error.to_string());
        }
    }
}

fn check_ranges(field: &str, ranges: &[PlatformRange], findings: &mut Findings) {
    for (n, range) in ranges.iter().enumerate() {
        if let (Some(minimum), Some(before)) = (&range.minimum_version, &range.before_version)
            && OsVersion::read(minimum) >= OsVersion::read(before)
        {
            findings.add(
                format!("{field}[{n}]"),
                format!("no version is both {minimum} or later and before {before}"),
            );
        }
    }
}

fn check_rule(
    field: &str,
    spec: &BaselineSpec,
    rule: &BaselineRule,
    values: &Values,
    findings: &mut Findings,
) {
    check_ranges(&format!("{field}.platforms"), &rule.platforms, findings);
    check_narrower(
        &format!("{field}.platforms"),
        &rule.platforms,
        &spec.platforms,
        "baseline",
        findings,
    );
    let outer = if rule.platforms.is_empty() {
        &spec.platforms
    } else {
        &rule.platforms
    };
    check_enforce(field, &rule.enforce, outer, values, findings);
    if rule.enforce.is_empty() && rule.check.is_none() && rule.unproven.is_none() {
        findings.add(field, "a rule needs enforce, check or both, or unproven");
    }
    if let Some(check) = &rule.check {
        check_cel(field, check, values, findings);
    }
    for (n, control) in rule.controls.iter().enumerate() {
        if let Some(slip) = frameworks::slip(control) {
            let field = format!("{field}.controls[{n}].id");
            findings.note(Severity::Warning, field, slip);
        }
    }
}

fn check_enforce(
    field: &str,
    enforce: &[Enforcement],
    outer: &[PlatformRange],
    values: &Values,
    findings: &mut Findings,
) {
    for (n, enforcement) in enforce.iter().enumerate() {
        let field = format!("{field}.enforce[{n}]");
        check_ranges(&format!("{field}.platforms"), &enforcement.platforms, findings);
        check_narrower(
            &format!("{field}.platforms"),
            &enforcement.platforms,
            outer,
            "rule",
            findings,
        );
        match (&enforcement.profile, &enforcement.declaration) {
            (Some(profile), None) => check_payload(&format!("{field}.profile"), profile, values, findings),
            (None, Some(declaration)) => {
                check_declaration(&format!("{field}.declaration"), declaration, values, findings);
            }
            _ => findings.add(&field, "give exactly one of profile and declaration"),
        }
    }
}

fn check_cel(field: &str, check: &Check, values: &Values, findings: &mut Findings) {
    let field = format!("{field}.check.cel");
    let program = match check::compile(&check.cel) {
        Ok(program) => program,
        Err(error) => return findings.add(&field, error.to_string()),
    };
    let parameters = program
        .paths()
        .iter()
        .filter(|path| path.root == check::PARAMETERS);
    for path in parameters {
        if let Some(name) = path.keys.first().filter(|name| !values.contains_key(*name)) {
            let hint = did_you_mean(name, values.keys().map(String::as_str));
            findings.add(&field, format!("there is no parameter `{name}`{hint}"));
        }
    }
}

/// A range that names a platform which what surrounds it does not concern would never be used.
fn check_narrower(
    field: &str,
    inner: &[PlatformRange],
    outer: &[PlatformRange],
    surrounding: &str,
    findings: &mut Findings,
) {
    for (n, range) in inner.iter().enumerate() {
        if !outer.is_empty() && !outer.iter().any(|outer| outer.name == range.name) {
            findings.add(
                format!("{field}[{n}]"),
                format!("the {surrounding} is not for {}", range.name),
            );
        }
    }
}

fn check_payload(field: &str, payload: &ProfilePayload, values: &Values, findings: &mut Findings) {
    let field = format!("{field}.content");
    for key in DERIVED_KEYS {
        if payload.content.get(key).is_some() {
            findings.add(format!("{field}.{key}"), "Provost derives this key; leave it out");
        }
    }
    check_content(&field, &payload.content, values, findings);
}

fn check_declaration(field: &str, declaration: &DeclarationBody, values: &Values, findings: &mut Findings) {
    check_content(
        &format!("{field}.payload"),
        &declaration.payload,
        values,
        findings,
    );
}

fn check_content(field: &str, content: &Value, values: &Values, findings: &mut Findings) {
    if !content.is_object() {
        findings.add(field, "must be a dictionary");
    }
    for (path, problem) in content::problems(content) {
        findings.add(format!("{field}.{path}"), problem);
    }
    if let Err(error) = parameter::substitute(content, values) {
        findings.add(field, error.to_string());
    }
}

/// What is wrong with a Profile, by itself and by Apple's schema.
#[must_use]
pub fn check_profile(spec: &ProfileSpec, schema: &Schema) -> Findings {
    let mut findings = Findings::default();
    check_ranges("spec.platforms", &spec.platforms, &mut findings);
    let none = Values::new();
    let against_schema = |field: &str, content: Content<'_>, findings: &mut Findings| {
        let tried = std::slice::from_ref(&none);
        apple::check_content(schema, field, content, tried, Extent::Whole, findings);
        apple::check_profile(schema, field, spec, content, findings);
    };
    for (n, payload) in spec.payloads.iter().enumerate() {
        let field = format!("spec.payloads[{n}]");
        check_payload(&field, payload, &none, &mut findings);
        against_schema(&field, Content::Payload(payload), &mut findings);
    }
    for (n, declaration) in spec.declarations.iter().enumerate() {
        let field = format!("spec.declarations[{n}]");
        check_declaration(&field, declaration, &none, &mut findings);
        against_schema(&field, Content::Declaration(declaration), &mut findings);
    }
    findings
}

/// The mistakes of a DeviceGroup.
#[must_use]
pub fn check_group(spec: &DeviceGroupSpec) -> Vec<SpecError> {
    let mut findings = Findings::default();
    match Group::compile(spec) {
        Ok(_) => {}
        Err(GroupError::Expression(error)) => findings.add("spec.expression", error.to_string()),
        Err(GroupError::NotBoolean(obstacle)) => findings.add("spec.expression", obstacle.to_string()),
        Err(error @ GroupError::Key { .. }) => findings.add("spec.expression", error.to_string()),
        Err(GroupError::Selector(error)) => findings.add("spec.selector", error.to_string()),
    }
    findings.errors
}

/// The mistakes of a Waiver. Rules that none of the baselines has which it means are to be looked at: a slip of the hand waives nothing. Where none of
/// those is here, nothing is known of their rules.
#[must_use]
pub fn check_waiver(spec: &WaiverSpec, baselines: &BTreeMap<String, Arc<Resolved>>) -> Findings {
    let mut findings = Findings::default();
    if let Some(Err(error)) = spec.selector.as_ref().map(LabelSelector::from_spec) {
        findings.add("spec.selector", error.to_string());
    }
    let is_meant = |name: &str| spec.baseline.as_deref().is_none_or(|wanted| wanted == name);
    let meant = baselines.iter().filter(|(name, _)| is_meant(name));
    let known: BTreeSet<&str> = meant
        .flat_map(|(_, baseline)| baseline.spec.rules.iter().map(|rule| rule.id.as_str()))
        .collect();
    let unknown = spec
        .rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| !known.contains(rule.as_str()));
    for (n, rule) in unknown.filter(|_| !known.is_empty()) {
        let hint = did_you_mean(rule, known.iter().copied());
        findings.warnings.push(SpecError {
            field: format!("spec.rules[{n}]"),
            message: format!("no baseline among these files has a rule `{rule}`{hint}"),
            code: None,
        });
    }
    findings
}

/// The mistakes of an Assignment in what it says about baselines, which are given by name.
#[must_use]
pub fn check_assignment_against(
    spec: &AssignmentSpec,
    baselines: &BTreeMap<String, Arc<Resolved>>,
) -> Vec<SpecError> {
    let mut findings = Findings::default();
    let mut seen = BTreeSet::new();
    for (n, assigned) in spec.baselines.iter().enumerate() {
        let field = format!("spec.baselines[{n}]");
        if !seen.insert(&assigned.name) {
            findings.add(
                format!("{field}.name"),
                format!("baseline `{}` is named twice", assigned.name),
            );
        }
        let Some(baseline) = baselines.get(&assigned.name) else {
            let hint = did_you_mean(&assigned.name, baselines.keys().map(String::as_str));
            findings.add(
                format!("{field}.name"),
                format!("there is no Baseline `{}`{hint}", assigned.name),
            );
            continue;
        };
        // A wrong default is the baseline's mistake and is reported there.
        let spec = &baseline.spec;
        let (_, errors) = parameter::resolve(&spec.parameters, &assigned.parameters);
        for error in errors {
            if let Some(name) = error
                .parameter()
                .filter(|name| assigned.parameters.contains_key(*name))
            {
                findings.add(format!("{field}.parameters.{name}"), error.to_string());
            }
        }
        for (r, exclusion) in assigned.exclude_rules.iter().enumerate() {
            // What the baseline leaves out itself may be left out once more: it can come back.
            let left_out = baseline.left_out.iter().map(|left_out| &left_out.rule);
            let known = spec.rules.iter().chain(left_out);
            if !known.into_iter().any(|rule| rule.id == exclusion.rule) {
                let hint = did_you_mean(&exclusion.rule, spec.rules.iter().map(|rule| rule.id.as_str()));
                findings.add(
                    format!("{field}.excludeRules[{r}].rule"),
                    format!(
                        "baseline `{}` has no rule `{}`{hint}",
                        assigned.name, exclusion.rule
                    ),
                );
            }
        }
    }
    findings.errors
}

#[cfg(test)]
mod tests;
