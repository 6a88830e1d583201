//! How objects stand: reading statuses, and showing them when a story gives up.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use provost::api::common::{Verdict, VerdictCounts};
use provost::api::device::{DeviceStatus, TransitionRecord};
use provost::api::{Assignment, AssignmentStatus, Device};

/// The condition of a type.
pub(crate) fn condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition holds.
pub(crate) fn is_true(conditions: &[Condition], type_: &str) -> bool {
    condition(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// Conditions as `Type=Status/Reason`.
pub(crate) fn conditions(conditions: &[Condition]) -> Vec<String> {
    let shown = conditions
        .iter()
        .map(|found| format!("{}={}/{}", found.type_, found.status, found.reason));
    shown.collect()
}

/// A device's status.
pub(crate) fn status(device: &Device) -> DeviceStatus {
    device.status.clone().unwrap_or_default()
}

/// The status of an Assignment.
pub(crate) fn sums(assignment: &Assignment) -> AssignmentStatus {
    assignment.status.clone().unwrap_or_default()
}

/// The revision of an Assignment.
pub(crate) fn revision(assignment: &Assignment) -> Option<&str> {
    assignment.status.as_ref()?.revision.as_deref()
}

/// Whether a device is enrolled, holds what it should and passes, under policies that are no older than `revision`.
pub(crate) fn settled(device: &Device, newest: &str) -> bool {
    let status = status(device);
    ["Ready", "Enrolled", "Synced", "Compliant"]
        .iter()
        .all(|type_| is_true(&status.conditions, type_))
        && status.revision.as_deref() == Some(newest)
        && status.manifest.is_some()
        && status.manifest == status.applied_manifest
}

/// Whether the sums of an Assignment say that all devices comply.
pub(crate) fn all_compliant(assignment: &Assignment) -> bool {
    let devices = sums(assignment).devices;
    devices.total == devices.compliant && devices.total == devices.synced
}

/// What must be the same however a fleet came to where it is.
#[derive(Debug, PartialEq)]
pub(crate) struct End {
    manifest: Option<String>,
    applied: Option<String>,
    verdicts: VerdictCounts,
    conditions: Vec<String>,
    assignments: Vec<String>,
    serial: Option<String>,
}

/// The end of every device, by name.
pub(crate) fn ends(devices: &BTreeMap<String, Device>) -> BTreeMap<String, End> {
    let end = |device| {
        let status: DeviceStatus = status(device);
        End {
            manifest: status.manifest,
            applied: status.applied_manifest,
            verdicts: status.verdicts,
            conditions: conditions(&status.conditions),
            assignments: status.assignments,
            serial: status.serial_number,
        }
    };
    devices
        .iter()
        .map(|(name, device)| (name.clone(), end(device)))
        .collect()
}

/// The records of one rule, oldest first.
pub(crate) fn history_of(device: &Device, rule: &str) -> Vec<TransitionRecord> {
    let history = status(device).history;
    history
        .into_iter()
        .rev()
        .filter(|record| record.rule.as_deref() == Some(rule))
        .collect()
}

/// Expects every record of a rule to begin where the one before ended: nothing is told twice, nothing is left out.
pub(crate) fn expect_unbroken_history(device: &Device) {
    let history = status(device).history;
    let mut last: BTreeMap<&str, Option<Verdict>> = BTreeMap::new();
    for record in history.iter().rev() {
        let Some(rule) = record.rule.as_deref() else {
            continue;
        };
        let before = last.insert(rule, record.to);
        // The oldest record of a rule may lie before those that are shown.
        assert!(
            before.is_none_or(|before| before == record.from),
            "{rule} in {history:#?}"
        );
        assert_ne!(record.from, record.to, "{rule} in {history:#?}");
    }
}

/// How many devices a description shows.
const DESCRIBED: usize = 30;

/// A fleet in a few lines.
pub(crate) fn describe(
    devices: &BTreeMap<String, Device>,
    assignments: &BTreeMap<String, Assignment>,
) -> String {
    let mut text = String::new();
    for (name, device) in devices.iter().take(DESCRIBED) {
        let status = status(device);
        let failing: Vec<_> = status
            .failing_rules
            .iter()
            .map(|rule| format!("{}: {}", rule.rule, rule.reason))
            .collect();
        let _ = writeln!(
            text,
            "{name} {:?} {:?} ddm={} holds {:?} of {:?} at {:?}\n    {:?}\n    {:?} {failing:?}",
            status.platform,
            status.os_version,
            status.declarative_management,
            status.applied_manifest,
            status.manifest,
            status.revision,
            conditions(&status.conditions),
            status.verdicts,
        );
    }
    let _ = writeln!(text, "{} devices in all", devices.len());
    for (name, assignment) in assignments {
        let sums = sums(assignment);
        let _ = writeln!(
            text,
            "{name} at {:?}: {:?} {:?}",
            sums.revision,
            sums.devices,
            conditions(&sums.conditions)
        );
    }
    text
}
