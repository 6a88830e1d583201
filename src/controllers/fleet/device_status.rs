//! The status of a Device: what auditors read. Pure.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use crate::api::common::VerdictCounts;
use crate::api::condition::{ConditionType, Reason, Statement, Status, merge};
use crate::api::device::{DeviceStatus, EscrowedSecret, FailingRule, TransitionRecord, WaivedRule};
use crate::compliance::Waived;
use crate::ids::Digest;
use crate::store::EnrollmentState;

use super::device::{Device, Object};
use super::waiting::Waiting;

/// The most bytes of JSON that a status may take: a Device with its metadata stays under 8 KiB.
const LARGEST: usize = 7 * 1024;
/// How many rules that are waived a status names.
const WAIVED: usize = 20;
/// How many assignments a status names.
const ASSIGNMENTS: usize = 20;
/// The longest message of a condition of a Device, in characters.
const MESSAGE: usize = 240;

/// What judging a device gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// Verdicts, counted by rule.
    pub counts: VerdictCounts,
    /// The worst failing rules, at most twenty.
    pub failing: Vec<FailingRule>,
    /// The rules that a waiver covers.
    pub waived: Vec<Waived>,
    /// What the device says it could not apply.
    pub problems: Vec<String>,
    /// Whether the newest facts prove what the device should hold.
    pub holds: bool,
    /// Why the device is not where it should be, where it is not and has said nothing about it.
    pub waiting: Option<Waiting>,
}

/// Everything that a status is built from, but for its times and its history.
pub struct Sight<'a> {
    /// The device.
    pub device: &'a Device,
    /// How it stands.
    pub judged: &'a Judged,
    /// Its object.
    pub object: Option<&'a Object>,
    /// The reconcile request last acted upon.
    pub handled: Option<&'a str>,
}

/// Builds the status from the old one.
#[must_use]
pub fn build(
    old: &DeviceStatus,
    sight: &Sight<'_>,
    history: Vec<TransitionRecord>,
    now: Timestamp,
) -> DeviceStatus {
    let Sight {
        device,
        judged,
        object,
        handled,
    } = sight;
    let enrollment = &device.enrollment;
    let generation = object.map(|object| object.generation);
    let statements = statements(device, judged);
    bounded(DeviceStatus {
        observed_generation: generation.unwrap_or_else(crate::api::unobserved),
        conditions: merge(&old.conditions, &statements, generation, now),
        enrollment_id: Some(enrollment.id.to_string()),
        enrollment_mode: Some(enrollment.mode),
        enrolled_at: Some(Time(whole_second(enrollment.enrolled_at))),
        serial_number: enrollment.serial_number.as_ref().map(ToString::to_string),
        model: enrollment.model.clone(),
        platform: Some(enrollment.platform),
        os_version: Some(enrollment.os_version.clone()),
        declarative_management: enrollment.declarative,
        escrowed: [
            (enrollment.bootstrap_token, EscrowedSecret::BootstrapToken),
            (enrollment.unlock_token, EscrowedSecret::UnlockToken),
        ]
        .into_iter()
        .filter_map(|(kept, secret)| kept.then_some(secret))
        .collect(),
        manifest: enrollment.manifest.as_ref().map(Digest::short),
        applied_manifest: enrollment.applied_manifest.as_ref().map(Digest::short),
        revision: device
            .plan
            .as_ref()
            .and_then(|plan| plan.revision.as_deref().map(str::to_owned)),
        assignments: device
            .assignments
            .iter()
            .take(ASSIGNMENTS)
            .map(ToString::to_string)
            .collect(),
        verdicts: judged.counts,
        failing_rules: judged.failing.clone(),
        waived_rules: judged.waived.iter().take(WAIVED).map(waived_rule).collect(),
        history: history
            .into_iter()
            .map(|record| TransitionRecord {
                time: Time(whole_second(record.time.0)),
                ..record
            })
            .collect(),
        last_handled_reconcile_at: handled.map(str::to_owned),
    })
}

/// The status of an object under whose name no device has enrolled. What it says of a device that had is kept, as it was last.
#[must_use]
pub fn without_enrollment(old: &DeviceStatus, generation: Option<i64>, now: Timestamp) -> DeviceStatus {
    let message = "no device has enrolled in this fleet under this name";
    let statements = [
        Statement::new(ConditionType::Ready, false, Reason::NotEnrolled, message),
        Statement::new(ConditionType::Enrolled, false, Reason::NotEnrolled, message),
    ];
    DeviceStatus {
        observed_generation: generation.unwrap_or_else(crate::api::unobserved),
        conditions: merge(&old.conditions, &statements, generation, now),
        ..old.clone()
    }
}

/// A digest of everything in the status that is not a time: equal digests need no write.
#[must_use]
pub fn digest(sight: &Sight<'_>) -> u64 {
    let status = build(&DeviceStatus::default(), sight, Vec::new(), Timestamp::UNIX_EPOCH);
    let mut hasher = DefaultHasher::new();
    // The status is plain data; its JSON is the same whenever its fields are.
    serde_json::to_string(&status)
        .unwrap_or_default()
        .hash(&mut hasher);
    hasher.finish()
}

/// Cuts the lists of a status, the longest first and its least important end, until it fits: the counts count all, and the store has the rest.
fn bounded(mut status: DeviceStatus) -> DeviceStatus {
    let mut excess = weight(&status).saturating_sub(LARGEST);
    while excess > 0 {
        let lists = [
            weight(&status.history),
            weight(&status.failing_rules),
            weight(&status.waived_rules),
            weight(&status.assignments),
        ];
        let [history, failing, waived, assignments] = lists;
        let cut = if history >= failing.max(waived).max(assignments) {
            status.history.pop().map(|last| weight(&last))
        } else if failing >= waived.max(assignments) {
            status.failing_rules.pop().map(|last| weight(&last))
        } else if waived >= assignments {
            status.waived_rules.pop().map(|last| weight(&last))
        } else {
            status.assignments.pop().map(|last| weight(&last))
        };
        // Nothing left to cut: the rest is bounded by the limits of what devices may say.
        let Some(cut) = cut else { break };
        excess = excess.saturating_sub(cut);
    }
    status
}

fn waived_rule(waived: &Waived) -> WaivedRule {
    WaivedRule {
        baseline: waived.baseline.to_string(),
        rule: waived.rule.to_string(),
        waiver: waived.waiver.to_string(),
        expires_at: Time(whole_second(waived.expires_at)),
    }
}

fn weight<T: Serialize>(value: &T) -> usize {
    serde_json::to_string(value).map_or(0, |text| text.len())
}

fn statements(device: &Device, judged: &Judged) -> Vec<Statement> {
    let enrolled = enrolled(device);
    let synced = synced(device, judged);
    let compliant = compliant(judged);
    let ready = if enrolled.status == Status::True && synced.status == Status::True {
        Statement::new(
            ConditionType::Ready,
            true,
            Reason::Succeeded,
            "enrolled, and holds what it should",
        )
    } else {
        let why = if enrolled.status == Status::True {
            &synced
        } else {
            &enrolled
        };
        Statement::new(ConditionType::Ready, why.status, why.reason, why.message.clone())
    };
    vec![ready, enrolled, synced, compliant]
}

fn enrolled(device: &Device) -> Statement {
    let (status, reason, message) = match device.enrollment.state {
        EnrollmentState::Authenticated => (
            Status::False,
            Reason::AwaitingTokenUpdate,
            "the enrolment has begun; the device has not finished it",
        ),
        EnrollmentState::Enrolled => (Status::True, Reason::Enrolled, "the device is enrolled"),
        EnrollmentState::Removing => (
            Status::True,
            Reason::AwaitingRemoval,
            "the device will be told to remove its enrolment at the next contact",
        ),
        EnrollmentState::Ended => (
            Status::False,
            Reason::NotEnrolled,
            "the enrolment has ended; the device must be invited again",
        ),
    };
    Statement::new(ConditionType::Enrolled, status, reason, message)
}

fn synced(device: &Device, judged: &Judged) -> Statement {
    let kind = ConditionType::Synced;
    if device.enrollment.manifest.is_none() {
        return Statement::new(
            kind,
            Status::Unknown,
            Reason::Progressing,
            "no policy has been worked out for it yet",
        );
    }
    if device.has_applied() && judged.holds {
        return Statement::new(
            kind,
            true,
            Reason::InSync,
            "the device reports exactly what it should hold",
        );
    }
    if !judged.problems.is_empty() {
        return Statement::new(
            kind,
            false,
            Reason::DeviceReportedError,
            shortened(&judged.problems.join("; ")),
        );
    }
    match &judged.waiting {
        Some(Waiting { reason, message }) => Statement::new(kind, false, *reason, shortened(message)),
        None => Statement::new(
            kind,
            false,
            Reason::AwaitingReport,
            "the device does not report all that it should hold",
        ),
    }
}

fn compliant(judged: &Judged) -> Statement {
    let counts = judged.counts;
    let kind = ConditionType::Compliant;
    if counts.fail > 0 {
        let worst = judged
            .failing
            .first()
            .map_or_else(String::new, |rule| format!("; first {}", rule.rule));
        let message = format!("{} rules fail{worst}", counts.fail);
        return Statement::new(kind, false, Reason::RulesFail, shortened(&message));
    }
    if counts.unknown > 0 {
        let message = format!("evidence is missing for {} rules", counts.unknown);
        return Statement::new(kind, Status::Unknown, Reason::EvidenceMissing, message);
    }
    if counts.pass + counts.waived == 0 {
        return Statement::new(kind, Status::Unknown, Reason::NoRules, "no rule applies to it");
    }
    let exceptions = match counts.waived {
        0 => String::new(),
        waived => format!(", {waived} are waived"),
    };
    let message = format!("{} rules pass{exceptions}", counts.pass);
    Statement::new(kind, true, Reason::AllRulesPass, message)
}

/// A message that leaves room for the others.
fn shortened(message: &str) -> String {
    match message.char_indices().nth(MESSAGE) {
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
        None => message.to_owned(),
    }
}

/// Kubernetes keeps whole seconds.
#[must_use]
pub fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests;
