//! The status of a Device: what auditors read. Pure.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::common::VerdictCounts;
use crate::api::condition::{ConditionType, Reason, Statement, Status, merge};
use crate::api::device::{DeviceStatus, FailingRule, TransitionRecord};
use crate::ids::Digest;
use crate::store::EnrollmentState;

use super::device::Device;

/// What judging a device gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// Verdicts, counted by rule.
    pub counts: VerdictCounts,
    /// The worst failing rules, at most twenty.
    pub failing: Vec<FailingRule>,
    /// What the device says it could not apply.
    pub problems: Vec<String>,
}

/// Builds the status from the old one.
#[must_use]
pub fn build(
    old: &DeviceStatus,
    device: &Device,
    judged: &Judged,
    history: Vec<TransitionRecord>,
    now: Timestamp,
) -> DeviceStatus {
    let enrollment = &device.enrollment;
    let generation = device.object.as_ref().map(|object| object.generation);
    let statements = statements(device, judged);
    DeviceStatus {
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
        manifest: enrollment.manifest.as_ref().map(Digest::short),
        applied_manifest: enrollment.applied_manifest.as_ref().map(Digest::short),
        revision: device
            .plan
            .as_ref()
            .and_then(|plan| plan.revision.as_deref().map(str::to_owned)),
        assignments: device
            .assignments
            .iter()
            .take(20)
            .map(ToString::to_string)
            .collect(),
        verdicts: judged.counts,
        failing_rules: judged.failing.clone(),
        history,
        last_handled_reconcile_at: device.handled.as_deref().map(str::to_owned),
    }
}

/// A digest of everything in the status that is not a time: equal digests need no write.
#[must_use]
pub fn digest(device: &Device, judged: &Judged) -> u64 {
    let blank = DeviceStatus::default();
    let status = build(&blank, device, judged, Vec::new(), Timestamp::UNIX_EPOCH);
    let mut hasher = DefaultHasher::new();
    // The status is plain data; its JSON is the same whenever its fields are.
    serde_json::to_string(&status)
        .unwrap_or_default()
        .hash(&mut hasher);
    hasher.finish()
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
    if device.synced() {
        return Statement::new(
            kind,
            true,
            Reason::InSync,
            "the device reports exactly what it should hold",
        );
    }
    if judged.problems.is_empty() {
        let message = "the device has not yet reported what it should hold";
        return Statement::new(kind, false, Reason::AwaitingReport, message);
    }
    Statement::new(
        kind,
        false,
        Reason::DeviceReportedError,
        judged.problems.join("; "),
    )
}

fn compliant(judged: &Judged) -> Statement {
    let counts = judged.counts;
    let kind = ConditionType::Compliant;
    if counts.fail > 0 {
        let worst = judged
            .failing
            .first()
            .map_or_else(String::new, |rule| format!("; first {}", rule.rule));
        return Statement::new(
            kind,
            false,
            Reason::RulesFail,
            format!("{} rules fail{worst}", counts.fail),
        );
    }
    if counts.unknown > 0 {
        let message = format!("evidence is missing for {} rules", counts.unknown);
        return Statement::new(kind, Status::Unknown, Reason::EvidenceMissing, message);
    }
    if counts.pass == 0 {
        return Statement::new(kind, Status::Unknown, Reason::NoRules, "no rule applies to it");
    }
    Statement::new(
        kind,
        true,
        Reason::AllRulesPass,
        format!("{} rules pass", counts.pass),
    )
}

/// Kubernetes keeps whole seconds.
pub fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
