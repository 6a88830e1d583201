use serde_json::json;

use super::*;
use crate::api::common::{Severity, Verdict};
use crate::controllers::fleet::fixtures::*;

fn sight<'a>(device: &'a Device, judged: &'a Judged) -> Sight<'a> {
    Sight {
        device,
        judged,
        object: None,
        handled: None,
    }
}

/// A condition as `status reason`.
fn condition(status: &DeviceStatus, kind: &str) -> String {
    let found = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)
        .unwrap();
    format!("{} {}", found.status, found.reason)
}

fn built(device: &Device, judged: &Judged) -> DeviceStatus {
    build(
        &DeviceStatus::default(),
        &sight(device, judged),
        Vec::new(),
        at(0),
    )
}

/// A device that holds what it should.
fn holding() -> (Device, Judged) {
    let mut device = device("A");
    device.enrollment.manifest = Some(Digest::of(b"m"));
    device.enrollment.applied_manifest = device.enrollment.manifest;
    let counts = VerdictCounts {
        pass: 3,
        ..VerdictCounts::default()
    };
    (
        device,
        Judged {
            counts,
            holds: true,
            ..Judged::default()
        },
    )
}

#[test]
fn conditions_tell_how_a_device_stands() {
    let table = [
        (
            EnrollmentState::Authenticated,
            "False AwaitingTokenUpdate",
            "False AwaitingTokenUpdate",
        ),
        (EnrollmentState::Enrolled, "True Enrolled", "True Succeeded"),
        (
            EnrollmentState::Removing,
            "True AwaitingRemoval",
            "True Succeeded",
        ),
        (EnrollmentState::Ended, "False NotEnrolled", "False NotEnrolled"),
    ];
    for (state, enrolled, ready) in table {
        let (mut device, judged) = holding();
        device.enrollment.state = state;
        let built = built(&device, &judged);
        assert_eq!(
            (condition(&built, "Enrolled"), condition(&built, "Ready")),
            (enrolled.into(), ready.into())
        );
    }
}

#[test]
fn synced_needs_the_proof_and_that_nothing_says_otherwise() {
    let synced = |applied: Option<&[u8]>, holds: bool, problem: bool| {
        let (mut device, mut judged) = holding();
        device.enrollment.applied_manifest = applied.map(Digest::of);
        judged.holds = holds;
        judged.problems = if problem {
            vec!["d: Error.X".to_owned()]
        } else {
            Vec::new()
        };
        condition(&built(&device, &judged), "Synced")
    };
    assert_eq!(synced(Some(b"m"), true, false), "True InSync");
    assert_eq!(synced(Some(b"m"), false, false), "False AwaitingReport");
    assert_eq!(synced(Some(b"m"), false, true), "False DeviceReportedError");
    assert_eq!(synced(Some(b"old"), true, false), "False AwaitingReport");
    assert_eq!(synced(None, false, true), "False DeviceReportedError");
    let unplanned = device("A");
    assert_eq!(
        condition(&built(&unplanned, &Judged::default()), "Synced"),
        "Unknown Progressing"
    );
}

#[test]
fn compliant_is_what_the_rules_say() {
    let compliant = |pass, fail, unknown, waived| {
        let (device, mut judged) = holding();
        judged.counts = VerdictCounts {
            pass,
            fail,
            waived,
            unknown,
            not_applicable: 1,
        };
        condition(&built(&device, &judged), "Compliant")
    };
    assert_eq!(compliant(2, 0, 0, 0), "True AllRulesPass");
    assert_eq!(compliant(2, 1, 1, 1), "False RulesFail");
    assert_eq!(compliant(2, 0, 1, 1), "Unknown EvidenceMissing");
    assert_eq!(compliant(0, 0, 0, 2), "True AllRulesPass");
    assert_eq!(compliant(0, 0, 0, 0), "Unknown NoRules");
}

#[test]
fn time_alone_changes_nothing() {
    let (device, judged) = holding();
    let first = build(
        &DeviceStatus::default(),
        &sight(&device, &judged),
        Vec::new(),
        at(0),
    );
    let later = build(&first, &sight(&device, &judged), Vec::new(), at(500));
    assert_eq!(later, first);
    let before = digest(&sight(&device, &judged));
    let (mut device, judged) = holding();
    device.evidence_due = at(7_000);
    device.asked = [(crate::compliance::Source::SecurityInfo, at(7))].into();
    device.corrected_at = Some(at(1));
    assert_eq!(digest(&sight(&device, &judged)), before);
    device.enrollment.os_version = "26.2".to_owned();
    assert_ne!(digest(&sight(&device, &judged)), before);
}

#[test]
fn the_largest_device_stays_under_8_kib() {
    let long = |length: usize| "x".repeat(length);
    // The longest of everything that can stand in a status.
    let mut device = Device::new(
        crate::store::Enrollment {
            model: Some(long(128)),
            os_version: long(64),
            ..enrollment(&long(62), "lab")
        },
        at(0),
    );
    device.enrollment.manifest = Some(Digest::of(b"m"));
    device.assignments = (0..32).map(|n| format!("{n:02}{}", long(251)).into()).collect();
    let failing = |n| FailingRule {
        baseline: long(253),
        rule: format!("{n:03}{}", long(125)),
        severity: Severity::Medium,
        reason: "é".repeat(160),
        inherited_from: Some(long(253)),
        origin: Some(long(160)),
    };
    let record = |second| TransitionRecord {
        time: Time(at(second)),
        rule: Some(long(253 + 1 + 128)),
        from: Some(Verdict::NotApplicable),
        to: Some(Verdict::NotApplicable),
        revision: Some(format!("{}@sha1:{}", long(255), long(40))),
        evidence: "DeviceInformation".to_owned(),
        reason: "é".repeat(160),
    };
    let waived = |_| Waived {
        baseline: long(253).into(),
        rule: long(128).into(),
        waiver: long(253).into(),
        expires_at: at(1),
    };
    let judged = Judged {
        counts: VerdictCounts {
            pass: i64::MAX,
            fail: i64::MAX,
            waived: i64::MAX,
            unknown: i64::MAX,
            not_applicable: i64::MAX,
        },
        failing: (0..20).map(failing).collect(),
        waived: (0..64).map(waived).collect(),
        problems: vec![long(4_000)],
        holds: false,
        waiting: None,
    };
    let object = Object {
        uid: "u".into(),
        labels: std::sync::Arc::default(),
        generation: i64::MAX,
        deleted_at: None,
        finalizer: true,
        reconcile: None,
    };
    let handled = long(crate::controllers::fleet::device::LONGEST_REQUEST);
    let sight = Sight {
        device: &device,
        judged: &judged,
        object: Some(&object),
        handled: Some(&handled),
    };
    let history: Vec<TransitionRecord> = (0..20).rev().map(record).collect();
    let status = build(&DeviceStatus::default(), &sight, history.clone(), at(0));
    assert!(weight(&status) <= LARGEST, "{}", weight(&status));
    // The newest and the worst are what stays.
    assert!(!status.history.is_empty() && !status.failing_rules.is_empty() && !status.assignments.is_empty());
    assert_eq!(status.history[0], history[0]);
    assert_eq!(status.failing_rules[0], judged.failing[0]);
    let mut whole = crate::api::Device::new(&device.id().device_name(), crate::api::DeviceSpec::default());
    whole.metadata.labels = Some((*device.invited).clone());
    whole.metadata.uid = Some(long(36));
    whole.metadata.namespace = Some(long(63));
    whole.status = Some(status);
    assert!(weight(&whole) < 8 * 1024, "{}", weight(&whole));
}

#[test]
fn an_ordinary_device_loses_nothing() {
    let (device, mut judged) = holding();
    let failing = |n| FailingRule {
        baseline: "macos-security".to_owned(),
        rule: format!("os_rule_number_{n}"),
        severity: Severity::Medium,
        reason: "SecurityInfo.FDE_Enabled is false".to_owned(),
        inherited_from: None,
        origin: None,
    };
    judged.failing = (0..20).map(failing).collect();
    let status = build(
        &DeviceStatus::default(),
        &sight(&device, &judged),
        Vec::new(),
        at(0),
    );
    assert_eq!(status.failing_rules.len(), 20);
}

#[test]
fn an_object_without_an_enrolment_keeps_what_it_says_of_the_past() {
    let (device, judged) = holding();
    let old = built(&device, &judged);
    let stray = without_enrollment(&old, Some(3), at(9));
    assert_eq!(condition(&stray, "Enrolled"), "False NotEnrolled");
    assert_eq!(condition(&stray, "Ready"), "False NotEnrolled");
    assert_eq!(
        (stray.observed_generation, &stray.serial_number),
        (3, &old.serial_number)
    );
    assert_eq!(without_enrollment(&stray, Some(3), at(99)), stray);
}

#[test]
fn what_is_in_safe_keeping_is_named_and_nothing_else_of_it_is_shown() {
    let (mut device, judged) = holding();
    for (bootstrap, unlock, shown) in [
        (false, false, json!(null)),
        (true, false, json!(["BootstrapToken"])),
        (false, true, json!(["UnlockToken"])),
        (true, true, json!(["BootstrapToken", "UnlockToken"])),
    ] {
        (device.enrollment.bootstrap_token, device.enrollment.unlock_token) = (bootstrap, unlock);
        let status = serde_json::to_value(built(&device, &judged)).unwrap();
        assert_eq!(status["escrowed"], shown);
    }
}
