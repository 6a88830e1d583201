//! The status of a Waiver. Pure: once it has ended it says so, and before that it names the end and no span of time.

use jiff::Timestamp;
use kube::Resource as _;

use crate::api::WaiverStatus;
use crate::api::condition::{ConditionType, Reason, Statement, merge};
use crate::controllers::events::News;
use crate::ids::EnrollmentId;

use super::baseline_status::count;
use super::device_status::whole_second;
use super::policies::Policies;
use super::sums::Covered;
use super::waivers::KnownWaiver;

/// Builds the status from the old one and what the waiver covers.
#[must_use]
pub(super) fn build(
    waiver: &KnownWaiver,
    policies: &Policies,
    covered: &Covered,
    now: Timestamp,
) -> WaiverStatus {
    let object = &waiver.object;
    let old = object.status.clone().unwrap_or_default();
    let generation = object.meta().generation;
    WaiverStatus {
        observed_generation: generation.unwrap_or_else(crate::api::unobserved),
        conditions: merge(
            &old.conditions,
            &statements(waiver, policies, covered, now),
            generation,
            now,
        ),
        devices: count(covered.devices.count),
        waived: count(covered.waived),
        sample: covered
            .devices
            .sample
            .iter()
            .map(EnrollmentId::device_name)
            .collect(),
    }
}

fn statements(
    waiver: &KnownWaiver,
    policies: &Policies,
    covered: &Covered,
    now: Timestamp,
) -> Vec<Statement> {
    let ready =
        |holds: bool, reason, message: &str| Statement::new(ConditionType::Ready, holds, reason, message);
    let ends = whole_second(waiver.terms.expires_at);
    if !waiver.terms.is_in_force(now) {
        let message = format!(
            "it ended at {ends}, and its rules stand as the evidence says; remove it, or set spec.expiresAt anew"
        );
        let also = |kind| Statement::new(kind, true, Reason::Expired, message.clone());
        return vec![
            ready(false, Reason::Expired, &message),
            also(ConditionType::Expired),
            also(ConditionType::Stalled),
        ];
    }
    if let Err(why) = &waiver.selector {
        return vec![
            ready(false, Reason::InvalidSpec, why),
            Statement::new(ConditionType::Stalled, true, Reason::InvalidSpec, why.clone()),
        ];
    }
    let unknown = policies.unknown_rules(&waiver.object);
    if !unknown.is_empty() {
        let message = format!("no baseline here has what it names: {}", unknown.join(", "));
        return vec![ready(false, Reason::DependencyNotReady, &message)];
    }
    let devices = covered.devices.count;
    vec![ready(
        true,
        Reason::Succeeded,
        &format!("in force until {ends}, for {devices} devices"),
    )]
}

/// What there is to tell when `new` is written: that the waiver has ended.
#[must_use]
pub(super) fn news(old: Option<&WaiverStatus>, new: &WaiverStatus) -> Option<News> {
    let expired = |status: &WaiverStatus| {
        let name: &str = ConditionType::Expired.into();
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == name)
            .map(|found| found.message.clone())
    };
    let note = expired(new)?;
    old.and_then(expired).is_none().then(|| News {
        is_good: false,
        reason: Reason::Expired.into(),
        action: "Waive",
        note,
    })
}
