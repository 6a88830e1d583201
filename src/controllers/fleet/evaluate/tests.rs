use super::*;
use crate::api::common::Severity;
use crate::compliance::{Evidence, Needs};
use crate::controllers::fleet::fixtures::*;
use crate::ids::Digest;
use crate::policy::Manifest;

/// A device that has applied its manifest, with a rule that is enforced and one that is only checked.
fn holding() -> Device {
    let demand = |rule| {
        let evidence = Evidence::None { reason: "".into() };
        Demand::new(
            "a".into(),
            "cis".into(),
            rule,
            Severity::High,
            Vec::new().into(),
            None,
            evidence,
        )
    };
    let manifest = Manifest::new(Vec::new(), Vec::new());
    let mut device = device("A");
    device.enrollment.manifest = Some(manifest.id);
    device.enrollment.applied_manifest = Some(manifest.id);
    device.holds = Some(true);
    device.plan = Some(Arc::new(Plan {
        manifest,
        demands: vec![demand("enforced").enforced(true), demand("checked")],
        needs: Needs::default(),
        conflicts: Vec::new(),
        profile_proofs: Vec::new(),
        revision: None,
    }));
    device
}

fn left(device: &Device, holds: bool, now: [Verdict; 2]) -> bool {
    let judgements: Vec<Judgement> = now
        .iter()
        .map(|verdict| Judgement {
            verdict: *verdict,
            reason: String::new(),
            source: "Policy",
        })
        .collect();
    let passed = [
        ("cis/enforced".into(), Verdict::Pass),
        ("cis/checked".into(), Verdict::Pass),
    ];
    has_left(device, holds, &judgements, &Verdicts::from(passed))
}

const PASSING: [Verdict; 2] = [Verdict::Pass, Verdict::Pass];

#[test]
fn a_rule_that_content_is_served_for_and_that_passed_is_missed() {
    let device = holding();
    assert!(!left(&device, true, PASSING));
    assert!(left(&device, true, [Verdict::Fail, Verdict::Pass]));
    assert!(
        left(&device, true, [Verdict::Unknown, Verdict::Pass]),
        "the proof has disappeared"
    );
    assert!(!left(&device, true, [Verdict::NotApplicable, Verdict::Pass]));
    assert!(
        !left(&device, true, [Verdict::Pass, Verdict::Fail]),
        "nobody can correct what is only checked"
    );
}

#[test]
fn a_proof_that_is_gone_is_missed_once() {
    let mut device = holding();
    assert!(left(&device, false, PASSING), "a profile without any rule, say");
    device.holds = Some(false);
    assert!(!left(&device, false, PASSING), "it was told");
    device.holds = None;
    assert!(left(&device, false, PASSING), "nobody knows whether it was");
}

#[test]
fn a_device_on_its_way_has_left_nothing() {
    let mut device = holding();
    device.enrollment.manifest = Some(Digest::of(b"newer"));
    assert!(!left(&device, false, [Verdict::Fail, Verdict::Fail]));
    let mut device = holding();
    device.enrollment.state = crate::store::EnrollmentState::Removing;
    assert!(!left(&device, false, [Verdict::Fail, Verdict::Fail]));
}

#[test]
fn history_tells_what_happened_at_once_together() {
    let change = |second, rule: &str, to| Transition {
        time: at(second),
        rule: Some(rule.into()),
        from: None,
        to: Some(to),
        revision: None,
        evidence: "SecurityInfo".into(),
        reason: String::new(),
    };
    let enrolled = Transition {
        rule: None,
        to: None,
        reason: "it enrolled".to_owned(),
        ..change(0, "", Verdict::Pass)
    };
    let first = (0..30).map(|n| change(1, &format!("cis/r{n}"), Verdict::Pass));
    let newest_first: Vec<Transition> = [change(2, "cis/r1", Verdict::Fail)]
        .into_iter()
        .chain(first)
        .chain([enrolled])
        .collect();
    let told = history(&newest_first);
    assert_eq!(
        told.iter().map(|record| record.time.0).collect::<Vec<_>>(),
        [at(2), at(1), at(0)]
    );
    // In one moment: the enrolment comes before what was found of it.
    let at_once: Vec<Transition> = newest_first
        .into_iter()
        .skip(1)
        .map(|change| Transition {
            time: at(0),
            ..change
        })
        .collect();
    let told = history(&at_once);
    assert_eq!((told.len(), told[1].reason.as_str()), (2, "it enrolled"));
}
