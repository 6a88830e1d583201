use serde_json::json;

use super::*;
use crate::api::assignment::DeviceCounts;
use crate::api::common::VerdictCounts;
use crate::api::{Baseline, DeviceGroup};
use crate::controllers::fleet::fixtures::*;
use crate::controllers::fleet::policies::PolicyKind as _;

fn policies() -> Policies {
    let mut policies = Policies::default();
    Baseline::put(&mut policies, "cis".into(), baseline("cis", 8, 1), false);
    DeviceGroup::put(&mut policies, "lab".into(), team("lab"), false);
    policies
}

fn tally(devices: DeviceCounts, pass: i64) -> Tally {
    Tally {
        devices,
        verdicts: VerdictCounts {
            pass,
            ..VerdictCounts::default()
        },
        ..Tally::default()
    }
}

fn conditions(assignment: &Assignment, tally: Tally) -> Vec<String> {
    let status = build(assignment, &policies(), None, tally, at(0));
    let shown = |condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        format!("{} {} {}", condition.type_, condition.status, condition.reason)
    };
    status.conditions.iter().map(shown).collect()
}

#[test]
fn conditions_tell_how_an_assignment_stands() {
    let all = enforced("all", "lab", "cis");
    let counts = |total, compliant, failing, unknown| DeviceCounts {
        total,
        compliant,
        failing,
        unknown,
        synced: 0,
    };
    let table = [
        (counts(0, 0, 0, 0), 0, "Compliant Unknown NoRules"),
        (counts(2, 2, 0, 0), 4, "Compliant True AllRulesPass"),
        (counts(2, 2, 0, 0), 0, "Compliant Unknown NoRules"),
        (counts(3, 1, 1, 1), 4, "Compliant False RulesFail"),
        (counts(3, 2, 0, 1), 4, "Compliant Unknown EvidenceMissing"),
    ];
    for (devices, pass, compliant) in table {
        assert_eq!(
            conditions(&all, tally(devices, pass)),
            ["Ready True Succeeded", compliant]
        );
    }
}

#[test]
fn what_only_a_change_can_mend_stalls_and_what_may_still_come_does_not() {
    let missing = enforced("all", "nobody", "cis");
    assert_eq!(
        conditions(&missing, Tally::default())[0],
        "Ready False DependencyNotReady"
    );
    assert!(
        !conditions(&missing, Tally::default())
            .iter()
            .any(|condition| condition.starts_with("Stalled"))
    );
    let spec = json!({ "groups": [{ "name": "lab" }], "baselines": [{ "name": "cis", "parameters": { "nothing": 1 } }] });
    let wrong = assignment("all", &spec, 1);
    let told = conditions(&wrong, Tally::default());
    assert_eq!(
        (&*told[0], &*told[2]),
        ("Ready False InvalidSpec", "Stalled True InvalidSpec")
    );
}

#[test]
fn contradictions_are_told_while_there_are_any() {
    let all = enforced("all", "lab", "cis");
    let conflicted = Tally {
        conflicts: ["a contradicts b".to_owned()].into(),
        ..Tally::default()
    };
    assert!(conditions(&all, conflicted).contains(&"Conflicted True Conflict".to_owned()));
}

#[test]
fn moved_is_counted_not_added_up() {
    let mut all = enforced("all", "lab", "cis");
    let in_force = InForce {
        revision: "main@sha1:1".into(),
        since: at(5),
    };
    let counted = |all: &Assignment, in_force: &InForce, moved| {
        build(
            all,
            &policies(),
            Some(in_force),
            Tally {
                moved,
                ..Tally::default()
            },
            at(9),
        )
    };
    // Whatever is known of the status when it is built, the end is the same.
    for moved in [3, 3, 5, 4] {
        all.status = Some(counted(&all, &in_force, moved));
    }
    let history = all.status.clone().unwrap().history;
    assert_eq!(
        history,
        [AssignmentRecord {
            revision: "main@sha1:1".into(),
            since: Time(at(5)),
            moved: 5
        }]
    );
    let newer = InForce {
        revision: "main@sha1:2".into(),
        since: at(6),
    };
    let history = counted(&all, &newer, 1).history;
    assert_eq!(
        history.iter().map(|record| record.moved).collect::<Vec<_>>(),
        [1, 5]
    );
}

#[test]
fn history_is_short() {
    let mut all = enforced("all", "lab", "cis");
    for n in 0..30 {
        let in_force = InForce {
            revision: format!("main@sha1:{n}").into(),
            since: at(n),
        };
        all.status = Some(build(&all, &policies(), Some(&in_force), Tally::default(), at(n)));
    }
    let history = all.status.unwrap().history;
    assert_eq!((history.len(), &*history[0].revision), (NAMES, "main@sha1:29"));
}

#[test]
fn time_alone_changes_nothing() {
    let mut all = enforced("all", "lab", "cis");
    let in_force = InForce {
        revision: "main@sha1:1".into(),
        since: at(5),
    };
    all.status = Some(build(&all, &policies(), Some(&in_force), Tally::default(), at(6)));
    assert_eq!(
        all.status,
        Some(build(
            &all,
            &policies(),
            Some(&in_force),
            Tally::default(),
            at(700)
        ))
    );
}

#[test]
fn after_a_start_what_was_moved_before_is_found_in_the_pointers() {
    let policies = policies();
    let mut all = enforced("all", "lab", "cis");
    let since = |all: &Assignment, last_move| InForce::of(&policies, all, None, last_move, at(50)).since;
    assert_eq!(since(&all, None), at(50));
    assert_eq!(
        since(&all, Some(at(40))),
        at(40),
        "pointed at it, and stopped before the status was written"
    );
    let record = |revision: &str| AssignmentRecord {
        revision: revision.to_owned(),
        since: Time(at(30)),
        moved: 2,
    };
    let status = |revision| AssignmentStatus {
        history: vec![record(revision)],
        ..AssignmentStatus::default()
    };
    all.status = Some(status("generation:0"));
    assert_eq!(since(&all, Some(at(40))), at(40));
    assert_eq!(
        since(&all, Some(at(20))),
        at(50),
        "those were for the revision before"
    );
    all.status = Some(status("generation:1"));
    assert_eq!(since(&all, Some(at(40))), at(30), "it was in force already");
}
