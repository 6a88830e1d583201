//! Content against Apple's schema: each payload and declaration by itself, then on the devices that its object says it is for.
//!
//! What is wrong whoever receives it (names, types, values) is found once, with the least and the greatest values of parameters too. What
//! depends on the receiver is judged on every class of devices that the ranges tell apart: what no device of a platform can take is an
//! error, what only some cannot is a warning. A range that names no version, or no kind of enrolment, says "wherever it works", and is
//! not judged by it. What a rule lacks may come from another one, so a baseline's missing keys are warnings, once its rules are merged.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Findings;
use crate::api::baseline::{BaselineRule, Parameter, ParameterType};
use crate::api::common::{DeclarationBody, EnrollmentMode, Platform, PlatformRange, ProfilePayload};
use crate::api::{BaselineSpec, ProfileSpec};
use crate::policy::compile::{self, select};
use crate::policy::parameter;
use crate::policy::platform::{DeviceClass, Lacks, OsVersion, declaration_type, supports_declarations};
use crate::policy::profile::{as_sent, served_type};
use crate::policy::schema::{Code, Extent, Finding, Schema, Severity, Target};

const MODES: [EnrollmentMode; 3] = [
    EnrollmentMode::Supervised,
    EnrollmentMode::Device,
    EnrollmentMode::User,
];

/// The most of a parameter's allowed values that are tried.
const TRIED: usize = 16;

/// Values of all parameters.
pub(super) type Values = BTreeMap<String, Value>;

/// A payload or a declaration.
#[derive(Clone, Copy)]
pub(super) enum Content<'c> {
    Declaration(&'c DeclarationBody),
    Payload(&'c ProfilePayload),
}

impl<'c> Content<'c> {
    const fn of(self) -> &'c Value {
        match self {
            Self::Declaration(body) => &body.payload,
            Self::Payload(payload) => &payload.content,
        }
    }

    /// Its findings, with the values of parameters put in. What is no dictionary, or names no parameter, is found elsewhere.
    fn findings(
        self,
        schema: &Schema,
        target: Option<&Target>,
        values: &Values,
        extent: Extent,
    ) -> Vec<Finding> {
        match parameter::substitute(self.of(), values) {
            Ok(Value::Object(content)) => self.judge(schema, target, &content, extent),
            _ => Vec::new(),
        }
    }

    fn judge(
        self,
        schema: &Schema,
        target: Option<&Target>,
        content: &Map<String, Value>,
        extent: Extent,
    ) -> Vec<Finding> {
        match self {
            Self::Declaration(body) => schema.check_declared(target, &body.type_, content, extent),
            Self::Payload(payload) => {
                let type_ = served_type(&payload.payload_type);
                schema.check_payload(target, type_, &as_sent(type_, content), extent)
            }
        }
    }

    /// The field of an object that a path in the content stands for.
    fn field(self, field: &str, path: &str) -> String {
        match (self, path) {
            (Self::Declaration(_), "") => format!("{field}.type"),
            (Self::Payload(_), "") => format!("{field}.payloadType"),
            (Self::Declaration(_), path) => format!("{field}.payload.{path}"),
            (Self::Payload(_), path) => format!("{field}.content.{path}"),
        }
    }
}

/// Judges content whoever receives it.
pub(super) fn check_content(
    schema: &Schema,
    field: &str,
    content: Content<'_>,
    tried: &[Values],
    extent: Extent,
    findings: &mut Findings,
) {
    let mut known = BTreeSet::new();
    for (place, values) in tried.iter().enumerate() {
        for mut finding in content.findings(schema, None, values, extent) {
            if known.insert((finding.path.clone(), finding.code)) {
                if place > 0 {
                    finding.message += " (with a value that a parameter may have)";
                }
                findings.note_of_schema(finding.severity, content.field(field, &finding.path), &finding);
            }
        }
    }
}

/// Judges what a rule enforces, whoever receives it.
pub(super) fn check_enforced(
    schema: &Schema,
    field: &str,
    rule: &BaselineRule,
    tried: &[Values],
    findings: &mut Findings,
) {
    for (n, enforcement) in rule.enforce.iter().enumerate() {
        let (field, content) = match (&enforcement.profile, &enforcement.declaration) {
            (Some(payload), None) => (format!("{field}.enforce[{n}].profile"), Content::Payload(payload)),
            (None, Some(body)) => (
                format!("{field}.enforce[{n}].declaration"),
                Content::Declaration(body),
            ),
            _ => continue,
        };
        check_content(schema, &field, content, tried, Extent::Part, findings);
    }
}

/// The values to try: the defaults, and then those at the ends of what parameters may be.
pub(super) fn tried(parameters: &[Parameter], defaults: &Values) -> Vec<Values> {
    let with = |choose: &dyn Fn(&Parameter) -> Option<Value>| {
        let mut values = defaults.clone();
        for parameter in parameters {
            if let Some(value) = choose(parameter) {
                values.insert(parameter.name.clone(), value);
            }
        }
        values
    };
    let mut tried = vec![
        defaults.clone(),
        with(&|parameter| parameter.minimum.map(Value::from)),
        with(&|parameter| parameter.maximum.map(Value::from)),
    ];
    let most = parameters.iter().map(|parameter| parameter.allowed.len()).max();
    for place in 0..most.unwrap_or_default().min(TRIED) {
        tried.push(with(&|parameter| {
            let allowed = parameter.allowed.get(place)?.clone();
            Some(match parameter.type_ {
                ParameterType::StringList => Value::Array(vec![allowed]),
                _ => allowed,
            })
        }));
    }
    tried.dedup();
    tried
}

/// Judges the content of a rule on the devices that it is for.
pub(super) fn check_rule(
    schema: &Schema,
    field: &str,
    spec: &BaselineSpec,
    rule: &BaselineRule,
    values: &Values,
    findings: &mut Findings,
) {
    let mut ranges = vec![spec.platforms.as_slice(), rule.platforms.as_slice()];
    ranges.extend(
        rule.enforce
            .iter()
            .map(|enforcement| enforcement.platforms.as_slice()),
    );
    let since = |platform| {
        let declared = rule.enforce.iter().filter_map(|e| e.declaration.as_ref());
        declared
            .filter_map(|body| declaration_type(&body.type_))
            .filter_map(|type_| type_.since(platform))
            .collect()
    };
    let classes = classes(schema, &ranges, &since);
    for (n, enforcement) in rule.enforce.iter().enumerate() {
        let (field, content) = match (&enforcement.profile, &enforcement.declaration) {
            (Some(payload), None) => (format!("{field}.enforce[{n}].profile"), Content::Payload(payload)),
            (None, Some(body)) => (
                format!("{field}.enforce[{n}].declaration"),
                Content::Declaration(body),
            ),
            _ => continue,
        };
        let chosen: Vec<&Class> = classes
            .iter()
            .filter(|class| {
                class.is_in(&spec.platforms)
                    && class.is_in(&rule.platforms)
                    && select(&class.devices, rule)
                        .is_ok_and(|(_, chosen)| std::ptr::eq(chosen, content.of()))
            })
            .collect();
        check_classes(schema, &field, content, &chosen, values, findings);
        // What no device ever takes is of no use to anybody, and its type says why.
        if let Content::Declaration(body) = content
            && chosen.is_empty()
        {
            let ranges = [&spec.platforms, &rule.platforms, &enforcement.platforms];
            // Where there is something else to send, it is only idle.
            let severity = if rule.enforce.len() > 1 {
                Severity::Warning
            } else {
                Severity::Error
            };
            tell_untaken(severity, &field, body, &classes, ranges, findings);
        }
    }
}

/// A declaration that none of the devices that it is for can take.
fn tell_untaken(
    severity: Severity,
    field: &str,
    body: &DeclarationBody,
    classes: &[Class],
    ranges: [&Vec<PlatformRange>; 3],
    findings: &mut Findings,
) {
    let Some(type_) = declaration_type(&body.type_) else {
        return;
    };
    let own: Vec<&Class> = classes
        .iter()
        .filter(|class| class.devices.declarative && ranges.iter().all(|ranges| class.is_in(ranges)))
        .collect();
    let reasons: Vec<String> = own
        .iter()
        .filter_map(|class| type_.allows(&class.devices).err())
        .collect();
    if let Some(reason) = reasons.last().filter(|_| reasons.len() == own.len()) {
        findings.note(severity, format!("{field}.type"), reason.clone());
    }
}

/// Judges the content of a Profile on the devices that it is for.
pub(super) fn check_profile(
    schema: &Schema,
    field: &str,
    spec: &ProfileSpec,
    content: Content<'_>,
    findings: &mut Findings,
) {
    let since = |platform| match content {
        Content::Declaration(body) => declaration_type(&body.type_)
            .and_then(|type_| type_.since(platform))
            .into_iter()
            .collect(),
        Content::Payload(_) => Vec::new(),
    };
    let classes = classes(schema, &[&spec.platforms], &since);
    let chosen: Vec<&Class> = classes
        .iter()
        .filter(|class| class.is_in(&spec.platforms))
        .collect();
    check_classes(schema, field, content, &chosen, &Values::new(), findings);
}

/// What is found, by place and kind, platform by platform.
type Found = BTreeMap<(String, Code), BTreeMap<Platform, (usize, Finding)>>;

fn check_classes(
    schema: &Schema,
    field: &str,
    content: Content<'_>,
    classes: &[&Class],
    values: &Values,
    findings: &mut Findings,
) {
    let mut found = Found::new();
    let mut of: BTreeMap<Platform, usize> = BTreeMap::new();
    for class in classes {
        let platform = class.devices.platform;
        *of.entry(platform).or_default() += 1;
        let mut known = BTreeSet::new();
        for finding in content.findings(schema, Some(&class.target()), values, Extent::Part) {
            let by_receiver = matches!(
                finding.code,
                Code::Deprecated | Code::Enrollment | Code::NotEffective | Code::UnsupportedOs
            );
            let place = (finding.path.clone(), finding.code);
            if by_receiver && known.insert(place.clone()) {
                let entry = found.entry(place).or_default().entry(platform);
                entry.or_insert((0, finding)).0 += 1;
            }
        }
    }
    for ((path, code), by_platform) in found {
        let mut told = BTreeSet::new();
        for (platform, (count, finding)) in by_platform {
            let all = of.get(&platform) == Some(&count);
            let (severity, part) = match (code, all) {
                (Code::Deprecated, true) => (Severity::Warning, ""),
                // Where it is still good advice for some, it is none.
                (Code::Deprecated, false) => continue,
                (_, true) => (Severity::Error, ""),
                (_, false) => (
                    Severity::Warning,
                    ", and some of the devices that it is for do not meet that",
                ),
            };
            // An iPhone and an iPad have one system in the schema, and one finding.
            if told.insert(finding.message.clone()) {
                let text = Finding {
                    message: format!("{}{part}", finding.message),
                    ..finding
                };
                findings.note_of_schema(severity, content.field(field, &path), &text);
            }
        }
    }
}

/// Devices of one class, and what of it the ranges say.
struct Class {
    devices: DeviceClass,
    /// Whether a version is meant.
    by_version: bool,
    /// Whether a kind of enrolment is meant.
    by_mode: bool,
}

impl Class {
    fn is_in(&self, ranges: &[PlatformRange]) -> bool {
        self.devices.is_in_any(ranges)
    }

    fn target(&self) -> Target {
        Target {
            os_version: if self.by_version {
                self.devices.os_version
            } else {
                OsVersion::default()
            },
            mode: self.by_mode.then_some(self.devices.mode),
            ..Target::of(self.devices.platform)
        }
    }
}

/// One class for each that the ranges, given from the outside in, tell apart.
fn classes(
    schema: &Schema,
    ranges: &[&[PlatformRange]],
    since: &dyn Fn(Platform) -> Vec<OsVersion>,
) -> Vec<Class> {
    let platforms: BTreeSet<Platform> = ranges.iter().copied().flatten().map(|range| range.name).collect();
    let mut classes = Vec::new();
    for platform in platforms {
        let own = || {
            ranges
                .iter()
                .copied()
                .flatten()
                .filter(move |range| range.name == platform)
        };
        let mut versions: BTreeSet<OsVersion> = own()
            .filter_map(|range| range.minimum_version.as_deref())
            .map(OsVersion::read)
            .collect();
        let lower = !versions.is_empty();
        let ends = own().filter_map(|range| range.before_version.as_deref());
        let ends: BTreeSet<OsVersion> = ends.map(OsVersion::read).collect();
        versions.extend(ends.iter().copied());
        versions.extend(ends.iter().map(|end| just_before(*end)));
        versions.extend(since(platform).into_iter().filter(|_| lower));
        let by_version = !versions.is_empty();
        let newest = schema.newest(platform.into()).map(|version| version.0);
        versions.extend(newest);
        let by_mode = own().any(|range| !range.enrollment_modes.is_empty());
        let modes: &[EnrollmentMode] = if by_mode {
            &MODES
        } else {
            &[EnrollmentMode::Supervised]
        };
        for os_version in versions {
            for mode in modes {
                classes.push(Class {
                    devices: DeviceClass {
                        platform,
                        os_version,
                        mode: *mode,
                        declarative: supports_declarations(platform, os_version),
                        lacks: Lacks::default(),
                    },
                    by_version,
                    by_mode,
                });
            }
        }
    }
    classes
}

/// The greatest version before another.
fn just_before(OsVersion(parts): OsVersion) -> OsVersion {
    let mut before = [u32::MAX; 4];
    let last = parts.iter().rposition(|part| *part > 0).unwrap_or_default();
    for (place, (slot, part)) in before.iter_mut().zip(parts).enumerate() {
        if place < last {
            *slot = part;
        } else if place == last {
            *slot = part.saturating_sub(1);
        }
    }
    OsVersion(before)
}

/// What rules that are merged still lack: the keys that must be there.
pub(super) fn missing(
    schema: &Schema,
    target: &compile::Target,
    content: &Map<String, Value>,
    class: &DeviceClass,
) -> Vec<Finding> {
    let receiver = Target::from(class);
    let found = match target {
        compile::Target::Payload(type_) => {
            schema.check_payload(Some(&receiver), type_, &as_sent(type_, content), Extent::Whole)
        }
        compile::Target::Declaration(type_) | compile::Target::OwnDeclaration(_, type_, _) => {
            schema.check_declared(Some(&receiver), type_, content, Extent::Whole)
        }
    };
    found
        .into_iter()
        .filter(|finding| finding.code == Code::MissingKey)
        .collect()
}
