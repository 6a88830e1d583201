//! The answer, as data. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::Value;

use super::finding::{Finding, by_status, told};
use super::origin::Commit;
use crate::api::Device;
use crate::api::assignment::AssignmentMode;
use crate::api::baseline::{BaselineRule, BaselineSpec};
use crate::api::common::{Severity, Verdict};
use crate::api::device::{DeviceStatus, TransitionRecord};
use crate::app::evidence::RuleRecord;
use crate::cli::plugin::rule::Demanded;
use crate::cli::plugin::words;
use crate::compliance;
use crate::policy::parameter::{resolve, substitute};
use crate::policy::platform::{DeviceClass, Lacks, OsVersion};

/// Why a rule stands as it does on a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli::plugin) struct Explanation {
    pub(super) namespace: String,
    pub(super) device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) serial_number: Option<String>,
    /// `macOS 15.2`.
    pub(super) system: String,
    /// `baseline/rule`.
    pub(super) rule: String,
    pub(super) title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) rationale: String,
    pub(super) severity: Severity,
    /// Such as `soc2 CC6.1`.
    pub(super) controls: Vec<String>,
    pub(super) baseline: BaselineTitle,
    /// Where the rule comes from, if the baseline inherits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inherited: Option<Heritage>,
    /// Which baseline excludes it and why, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) excluded: Option<Exclusion>,
    #[serde(flatten)]
    pub(super) finding: Finding,
    /// What the rule puts on this device.
    pub(super) enforces: Vec<String>,
    /// How it is told whether it holds.
    pub(super) check: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) remediation: String,
    /// The files that an imported rule is made of, as `path@blob`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) files: Vec<String>,
    pub(super) assignments: Vec<Asked>,
    pub(super) commits: Vec<Commit>,
    /// The changes of this rule that the device's status remembers, newest first.
    pub(super) history: Vec<TransitionRecord>,
    /// What a person can do.
    pub(super) next: Vec<String>,
}

/// The baseline, as people call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::cli::plugin) struct BaselineTitle {
    pub(super) title: String,
    pub(super) version: String,
}

/// Where an inherited rule comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli::plugin) struct Heritage {
    pub(super) from: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) changed_by: Vec<String>,
}

/// Why a baseline leaves a rule of another one out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::cli::plugin) struct Exclusion {
    pub(super) by: String,
    pub(super) reason: String,
}

/// An assignment that asks for the rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli::plugin) struct Asked {
    pub(super) name: String,
    pub(super) mode: AssignmentMode,
    /// The revision that it is in force at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<String>,
    /// The values it sets for parameters of the baseline that the rule uses.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) parameters: BTreeMap<String, Value>,
    /// Why it leaves the rule out, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) left_out: Option<String>,
}

impl Explanation {
    /// Whether the baseline, or every assignment that names it, leaves the rule out.
    pub(super) fn is_left_out(&self) -> bool {
        self.excluded.is_some() || all_leave_out(&self.assignments)
    }
}

pub(super) fn all_leave_out(assignments: &[Asked]) -> bool {
    !assignments.is_empty() && assignments.iter().all(|asked| asked.left_out.is_some())
}

/// Puts the answer together.
/// `record` is what the server tells of the rule, where it could be asked; without it, the device's status has to do.
pub(in crate::cli::plugin) fn explain(
    device: &Device,
    demanded: &Demanded<'_>,
    commits: Vec<Commit>,
    record: Option<&RuleRecord>,
) -> Explanation {
    let status = device.status.clone().unwrap_or_default();
    let (baseline, rule) = (&demanded.baseline.spec, demanded.rule);
    let key = demanded.key();
    let history: Vec<TransitionRecord> = status
        .history
        .iter()
        .filter(|record| record.rule.as_deref() == Some(&key))
        .cloned()
        .collect();
    let assignments = asked(demanded);
    let history = match record {
        Some(record) => record.transitions.iter().map(compliance::record).collect(),
        None => history,
    };
    let finding = match record {
        Some(record) => told(record),
        None => by_status(&status, demanded, &assignments, &history),
    };
    let mut explanation = Explanation {
        namespace: device.namespace().unwrap_or_default(),
        device: device.name_any(),
        serial_number: status.serial_number.clone(),
        system: system(&status),
        rule: key,
        title: rule.title.clone(),
        rationale: rule.rationale.clone(),
        severity: rule.severity,
        controls: rule
            .controls
            .iter()
            .map(|control| format!("{} {}", control.framework, control.id))
            .collect(),
        baseline: BaselineTitle {
            title: baseline.title.clone(),
            version: baseline.version.clone(),
        },
        inherited: demanded.inherited.map(|inherited| Heritage {
            from: inherited.from.to_string(),
            changed_by: inherited.changed_by.iter().map(ToString::to_string).collect(),
        }),
        excluded: demanded.left_out.map(|left_out| Exclusion {
            by: left_out.by.to_string(),
            reason: left_out.reason.to_string(),
        }),
        finding,
        enforces: enforces(&status, demanded),
        check: check(rule),
        remediation: rule.remediation.clone(),
        files: rule
            .origins
            .iter()
            .map(|origin| format!("{}@{}", origin.path, origin.blob))
            .collect(),
        assignments,
        commits,
        history,
        next: Vec::new(),
    };
    explanation.next = next(&explanation, &status);
    explanation
}

fn system(status: &DeviceStatus) -> String {
    let platform = status
        .platform
        .map(|platform| platform.to_string())
        .unwrap_or_default();
    let version = status.os_version.as_deref().unwrap_or_default();
    format!("{platform} {version}").trim().to_owned()
}

pub(super) fn class(status: &DeviceStatus) -> Option<DeviceClass> {
    Some(DeviceClass {
        platform: status.platform?,
        os_version: OsVersion::read(status.os_version.as_deref()?),
        mode: status.enrollment_mode?,
        declarative: status.declarative_management,
        lacks: Lacks::default(),
    })
}

fn asked(demanded: &Demanded<'_>) -> Vec<Asked> {
    let text = serde_json::to_string(demanded.rule).unwrap_or_default();
    let used = |name: &str| text.contains(&format!("$({name})")) || text.contains(&format!("params.{name}"));
    demanded
        .assignments
        .iter()
        .map(|(assignment, named)| Asked {
            name: assignment.name_any(),
            mode: assignment.spec.mode,
            revision: assignment
                .status
                .as_ref()
                .and_then(|status| status.revision.clone()),
            parameters: values(&demanded.baseline.spec, &named.parameters)
                .into_iter()
                .filter(|(name, _)| used(name))
                .collect(),
            left_out: named
                .exclude_rules
                .iter()
                .find(|excluded| excluded.rule == demanded.rule.id)
                .map(|excluded| excluded.reason.clone()),
        })
        .collect()
}

fn values(baseline: &BaselineSpec, assigned: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    resolve(&baseline.parameters, assigned).0
}

/// What the rule puts on this device, with the values of the first assignment.
fn enforces(status: &DeviceStatus, demanded: &Demanded<'_>) -> Vec<String> {
    let class = class(status);
    let fits = |ranges: &[_]| class.is_none_or(|class| class.is_in_any(ranges));
    if !fits(&demanded.baseline.spec.platforms) || !fits(&demanded.rule.platforms) {
        return Vec::new();
    }
    let entry = demanded.rule.enforce.iter().find(|entry| {
        fits(&entry.platforms) && (entry.declaration.is_none() || status.declarative_management)
    });
    let Some(entry) = entry else {
        return Vec::new();
    };
    let assigned = demanded
        .assignments
        .first()
        .map(|(_, named)| named.parameters.clone());
    let values = values(&demanded.baseline.spec, &assigned.unwrap_or_default());
    let (kind, content) = match (&entry.profile, &entry.declaration) {
        (Some(profile), _) => (format!("profile {}", profile.payload_type), &profile.content),
        (None, Some(declaration)) => (format!("declaration {}", declaration.type_), &declaration.payload),
        (None, None) => return Vec::new(),
    };
    let content = substitute(content, &values).unwrap_or_else(|_| content.clone());
    let settings: Vec<String> = content
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{kind}: {key} = {value}"))
        .collect();
    if settings.is_empty() { vec![kind] } else { settings }
}

fn check(rule: &BaselineRule) -> String {
    match &rule.check {
        Some(check) => check.cel.clone(),
        None => match &rule.unproven {
            Some(unproven) => format!("nothing: {}", unproven.message),
            None => "what it enforces is proven to be installed".to_owned(),
        },
    }
}

/// What a person can do.
fn next(explanation: &Explanation, status: &DeviceStatus) -> Vec<String> {
    let ask = format!(
        "ask the device for evidence now: kubectl provost reconcile device/{} -n {}",
        explanation.device, explanation.namespace
    );
    let mut next = Vec::new();
    let asking: Vec<&Asked> = explanation
        .assignments
        .iter()
        .filter(|asked| asked.left_out.is_none())
        .collect();
    match explanation.finding.verdict {
        _ if let Some(excluded) = &explanation.excluded => next.push(format!(
            "to demand it again, remove it from spec.extends[].exclude of Baseline {}",
            excluded.by
        )),
        Some(Verdict::Pass) => next.push("nothing: the rule holds".to_owned()),
        Some(Verdict::Waived) => next.push(waived(&explanation.rule, status)),
        Some(Verdict::NotApplicable) => next.push("nothing: the rule is not for this device".to_owned()),
        Some(Verdict::Fail) => {
            let enforced = asking.iter().any(|asked| asked.mode == AssignmentMode::Enforce);
            if words::status(&status.conditions, "Enrolled") != "True" {
                next.push(
                    "invite the device again: its enrolment has ended or has not been finished".to_owned(),
                );
            } else if !explanation.enforces.is_empty() && !enforced {
                next.push(in_git(
                    explanation,
                    "have Provost set it: these assignments only audit; change spec.mode to Enforce",
                ));
            } else if !explanation.enforces.is_empty()
                && words::status(&status.conditions, "Synced") != "True"
            {
                let why = words::condition(&status.conditions, "Synced")
                    .map_or("", |synced| synced.message.as_str());
                next.push(format!("wait until the device holds what it should: {why}"));
            }
            if !explanation.remediation.is_empty() {
                next.push(explanation.remediation.clone());
            }
            next.push(ask);
            if explanation.remediation.is_empty() {
                next.push(in_git(
                    explanation,
                    "or leave the rule out for these devices, with the reason: spec.baselines[].excludeRules",
                ));
            }
        }
        None if explanation.is_left_out() => next.push(in_git(
            explanation,
            "to demand it again, remove it from spec.baselines[].excludeRules",
        )),
        Some(Verdict::Unknown) | None => next.push(ask),
    }
    next
}

/// Until when a rule is waived, and by what.
fn waived(rule: &str, status: &DeviceStatus) -> String {
    let mut known = status.waived_rules.iter();
    match known.find(|known| format!("{}/{}", known.baseline, known.rule) == rule) {
        Some(known) => format!(
            "nothing until {}, when the Waiver {} ends",
            words::moment(known.expires_at.0),
            known.waiver
        ),
        None => "nothing until the Waiver ends".to_owned(),
    }
}

/// An advice to change the assignments, with the file where they are.
fn in_git(explanation: &Explanation, advice: &str) -> String {
    let files: Vec<&str> = explanation
        .commits
        .iter()
        .filter(|commit| commit.object.starts_with("Assignment "))
        .filter_map(|commit| commit.file.as_deref())
        .collect();
    if files.is_empty() {
        return advice.to_owned();
    }
    format!("{advice} in {}", files.join(", "))
}
