//! The answer, as data. Pure.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::find::Held;
use crate::api::BaselineSpec;
use crate::api::baseline::{BaselineRule, ControlRef, DeviceCheck, Parameter, RuleOrigin, UnprovenReason};
use crate::api::common::{Platform, PlatformRange, Severity};
use crate::compliance::check;
use crate::policy::check_baseline;
use crate::policy::platform::describe;
use crate::policy::profile::served_type;
use crate::policy::schema::{Code, Schema, Since, TypeFacts};

/// One way in which baselines hold a rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    pub(super) rule: String,
    pub(super) title: String,
    pub(super) severity: Severity,
    pub(super) rationale: String,
    /// The baselines that hold it like this.
    pub(super) baselines: Vec<Holder>,
    pub(super) controls: Vec<ControlRef>,
    /// The devices it is for.
    pub(super) devices: String,
    /// What is put on devices: the first that is for a device and that it can take.
    pub(super) enforce: Vec<Placed>,
    /// The values that an assignment may set, of those that it uses.
    pub(super) parameters: Vec<Parameter>,
    pub(super) proof: Proof,
    /// A check for a program on the device, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device_check: Option<DeviceCheck>,
    /// What a person can do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) remediation: String,
    pub(super) caveats: Vec<String>,
    /// The files of the library that it is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) origins: Vec<RuleOrigin>,
}

/// A baseline that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Holder {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) version: String,
}

/// Content, and how it gets to which devices.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Placed {
    pub(super) by: By,
    #[serde(rename = "type")]
    pub(super) type_: String,
    /// The devices that this content is for.
    pub(super) devices: String,
    /// Since when each of the systems has the type.
    pub(super) since: String,
    pub(super) content: Value,
}

/// How content gets to devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum By {
    /// As a declaration.
    Declaration,
    /// As a profile: by declaration where the device is managed by those, else by the `InstallProfile` command.
    Profile,
}

/// How a rule is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "by")]
pub(super) enum Proof {
    /// By what the device reports.
    Check {
        /// The expression.
        cel: String,
        /// What it is asked for.
        asks: Vec<String>,
    },
    /// By the device holding the content.
    Installed,
    /// By nothing that it reports.
    Nothing {
        /// The kind of reason.
        reason: String,
        /// The reason.
        message: String,
    },
}

impl Told {
    /// A rule in all its baselines; what is the same in several is told once. `of_file` gives what is known about a library's file.
    pub(super) fn all(found: &[&Held], schema: &Schema, of_file: impl Fn(&str) -> Vec<String>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for held in found {
            let told = Self::new(held, schema, &of_file);
            let same = all.iter_mut().find(|other| {
                Self {
                    baselines: other.baselines.clone(),
                    ..told.clone()
                } == **other
            });
            match same {
                Some(other) => other.baselines.extend(told.baselines),
                None => all.push(told),
            }
        }
        all
    }

    fn new(held: &Held, schema: &Schema, of_file: &impl Fn(&str) -> Vec<String>) -> Self {
        let Held { baseline, of, rule } = held;
        let ranges = first_of([&rule.platforms, &of.platforms]);
        let enforce = rule.enforce.iter().filter_map(|enforcement| {
            let ranges = first_of([&enforcement.platforms, &rule.platforms, &of.platforms]);
            let (by, type_, facts, content) = match (&enforcement.declaration, &enforcement.profile) {
                (Some(body), _) => {
                    let facts = schema.declarations.get(&body.type_);
                    (By::Declaration, &body.type_, facts, &body.payload)
                }
                (None, Some(payload)) => {
                    let facts = schema.profiles.get(served_type(&payload.payload_type));
                    (By::Profile, &payload.payload_type, facts, &payload.content)
                }
                (None, None) => return None,
            };
            Some(Placed {
                by,
                type_: type_.clone(),
                devices: devices(ranges),
                since: facts.map_or_else(String::new, |facts| since(facts, ranges)),
                content: content.clone(),
            })
        });
        let mut caveats = by_schema(of, rule, schema);
        for origin in &rule.origins {
            caveats.extend(of_file(&origin.path));
        }
        Self {
            rule: rule.id.clone(),
            title: rule.title.clone(),
            severity: rule.severity,
            rationale: rule.rationale.clone(),
            baselines: vec![Holder {
                name: baseline.clone(),
                title: of.title.clone(),
                version: of.version.clone(),
            }],
            controls: rule.controls.clone(),
            devices: devices(ranges),
            enforce: enforce.collect(),
            parameters: used(of, rule),
            proof: proof(rule),
            device_check: rule.device_check.clone(),
            remediation: rule.remediation.clone(),
            caveats,
            origins: rule.origins.clone(),
        }
    }
}

/// The first ranges that say something.
fn first_of<const N: usize>(ranges: [&Vec<PlatformRange>; N]) -> &[PlatformRange] {
    let mut said = ranges.into_iter().filter(|ranges| !ranges.is_empty());
    said.next().map_or(&[], Vec::as_slice)
}

fn devices(ranges: &[PlatformRange]) -> String {
    if ranges.is_empty() {
        "all devices".to_owned()
    } else {
        describe(ranges)
    }
}

/// `macOS 13.0, iPadOS: never`.
fn since(facts: &TypeFacts, ranges: &[PlatformRange]) -> String {
    let mut platforms: BTreeSet<Platform> = ranges.iter().map(|range| range.name).collect();
    if platforms.is_empty() {
        platforms.extend([Platform::MacOS, Platform::IOS, Platform::IPadOS]);
    }
    let texts = platforms.into_iter().map(|platform| {
        let since = facts.on(platform.into()).and_then(|conditions| conditions.since);
        match since {
            Some(Since::Version(version)) => format!("{platform} {}", version.0),
            Some(Since::Never) | None => format!("{platform}: never"),
        }
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// The parameters that a rule uses, in its content or its check.
fn used(of: &BaselineSpec, rule: &BaselineRule) -> Vec<Parameter> {
    let content: String = rule
        .enforce
        .iter()
        .map(
            |enforcement| match (&enforcement.declaration, &enforcement.profile) {
                (Some(body), _) => body.payload.to_string(),
                (None, Some(payload)) => payload.content.to_string(),
                (None, None) => String::new(),
            },
        )
        .collect();
    let mut read = BTreeSet::new();
    if let Some(check) = &rule.check
        && let Ok(program) = check::compile(&check.cel)
    {
        for path in program
            .paths()
            .iter()
            .filter(|path| path.root == check::PARAMETERS)
        {
            read.extend(path.keys.first().cloned());
        }
    }
    of.parameters
        .iter()
        .filter(|parameter| {
            content.contains(&format!("$({})", parameter.name)) || read.contains(&parameter.name)
        })
        .cloned()
        .collect()
}

fn proof(rule: &BaselineRule) -> Proof {
    if let Some(check) = &rule.check {
        let mut asks = BTreeSet::new();
        if let Ok(program) = check::compile(&check.cel) {
            let asked = program
                .paths()
                .iter()
                .filter(|path| path.root != check::PARAMETERS);
            asks.extend(asked.map(ToString::to_string));
        }
        return Proof::Check {
            cel: check.cel.clone(),
            asks: asks.into_iter().collect(),
        };
    }
    match &rule.unproven {
        Some(unproven) => Proof::Nothing {
            reason: unproven.reason.to_string(),
            message: unproven.message.clone(),
        },
        None if rule.enforce.is_empty() => Proof::Nothing {
            reason: UnprovenReason::NotTechnical.to_string(),
            message: "it has no content and no check".to_owned(),
        },
        None => Proof::Installed,
    }
}

/// What Apple's schema has to say about the rule by itself. What other rules may add is left to them.
fn by_schema(of: &BaselineSpec, rule: &BaselineRule, schema: &Schema) -> Vec<String> {
    let alone = BaselineSpec {
        rules: vec![rule.clone()],
        ..of.clone()
    };
    let findings = check_baseline(&alone, schema);
    let mut caveats: Vec<String> = Vec::new();
    for found in findings.errors.into_iter().chain(findings.warnings) {
        if found.code.is_none_or(|code| code == Code::MissingKey) {
            continue;
        }
        let field = found.field.strip_prefix("spec.rules[0].").unwrap_or(&found.field);
        let text = format!("{field}: {}", found.message);
        if !caveats.contains(&text) {
            caveats.push(text);
        }
    }
    caveats
}
