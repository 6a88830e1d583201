//! Stories of revisions that follow each other.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::super::fetch::SourceFile;
use super::super::read::read_documents;
use super::*;
use crate::api::git_source::RevisionResult;

const POLICY: PrunePolicy<'_> = PrunePolicy {
    enabled: true,
    limit_percent: 25,
    allowed_revision: None,
};

/// A revision of profiles, each with a content.
fn revision(objects: &[(&str, &str)]) -> Documents {
    let document = |(name, content): &(&str, &str)| {
        format!(
            "---\napiVersion: provost.dev/v1alpha1\nkind: Profile\nmetadata: {{name: {name}}}\nspec: {{title: {content}}}\n"
        )
    };
    let text = objects.iter().map(document).collect::<Vec<_>>().concat();
    read_documents(
        &[SourceFile {
            path: "a.yaml".into(),
            content: text.into_bytes(),
        }],
        "fleet",
    )
    .unwrap()
}

fn proceed<'d>(
    in_force: &[InventoryEntry],
    documents: &'d Documents,
    policy: PrunePolicy<'_>,
) -> SyncPlan<'d> {
    match plan(in_force, documents, "main@sha1:new", policy) {
        Decision::Proceed(plan) => plan,
        Decision::Wait(reason) => panic!("waits: {reason}"),
    }
}

fn wait(in_force: &[InventoryEntry], documents: &Documents, policy: PrunePolicy<'_>) -> String {
    match plan(in_force, documents, "main@sha1:new", policy) {
        Decision::Proceed(plan) => panic!("proceeds: {plan}"),
        Decision::Wait(reason) => reason.to_string(),
    }
}

fn inventory(objects: &[(&str, &str)]) -> Vec<InventoryEntry> {
    proceed(&[], &revision(objects), POLICY).inventory
}

fn names<'a>(documents: &[&'a Document]) -> Vec<&'a str> {
    documents.iter().map(|document| document.name.as_str()).collect()
}

const FIVE: &[(&str, &str)] = &[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")];

#[test]
fn only_what_differs_is_applied_and_what_left_git_is_removed() {
    let in_force = inventory(FIVE);
    let next = revision(&[("a", "1"), ("b", "2"), ("c", "1"), ("d", "1"), ("f", "1")]);
    let plan = proceed(&in_force, &next, POLICY);
    assert_eq!(names(&plan.apply), ["b", "f"]);
    assert_eq!(names(&plan.unchanged), ["a", "c", "d"]);
    assert_eq!(
        plan.prune
            .iter()
            .map(|entry| entry.name.as_str())
            .collect::<Vec<_>>(),
        ["e"]
    );
    assert_eq!(plan.to_string(), "2 applied, 1 removed, 3 unchanged");
    assert_eq!(
        (plan.inventory.len(), plan.inventory_while_applying.len()),
        (5, 6)
    );
    // Interrupted after recording: the next attempt still knows what to remove.
    let again = proceed(&plan.inventory_while_applying, &next, POLICY);
    assert_eq!(again.prune, plan.prune);
    assert!(proceed(&plan.inventory, &next, POLICY).prune.is_empty());
    // And does not take for unchanged what may be half changed, whatever it brings.
    assert_eq!(names(&again.apply), ["b", "f"]);
    let back = revision(FIVE);
    assert_eq!(
        names(&proceed(&plan.inventory_while_applying, &back, POLICY).apply),
        ["b"]
    );
}

#[test]
fn removing_more_than_the_limit_waits_for_a_person_to_allow_that_revision() {
    let in_force = inventory(FIVE);
    let next = revision(&FIVE[..3]);
    assert_eq!(
        wait(&in_force, &next, POLICY),
        "the revision would remove 2 of 5 objects, more than the 25 % of pruneLimitPercent"
    );
    let other = PrunePolicy {
        allowed_revision: Some("main@sha1:older"),
        ..POLICY
    };
    wait(&in_force, &next, other);
    let allowed = PrunePolicy {
        allowed_revision: Some("main@sha1:new"),
        ..POLICY
    };
    assert_eq!(proceed(&in_force, &next, allowed).prune.len(), 2);
    // Without pruning nothing is removed, so nothing needs to be allowed.
    assert!(
        proceed(
            &in_force,
            &next,
            PrunePolicy {
                enabled: false,
                ..POLICY
            }
        )
        .prune
        .is_empty()
    );
    assert_eq!(
        proceed(
            &in_force,
            &next,
            PrunePolicy {
                limit_percent: 40,
                ..POLICY
            }
        )
        .prune
        .len(),
        2
    );
    wait(
        &in_force,
        &revision(&FIVE[..4]),
        PrunePolicy {
            limit_percent: 0,
            ..POLICY
        },
    );
    wait(
        &in_force,
        &revision(&FIVE[..4]),
        PrunePolicy {
            limit_percent: -1,
            ..POLICY
        },
    );
}

#[test]
fn a_revision_without_objects_waits() {
    let nothing = Documents::default();
    assert!(wait(&inventory(FIVE), &nothing, POLICY).contains("while 5 are in force"));
    assert_eq!(
        wait(&[], &nothing, POLICY),
        "the revision holds no Provost object under the path"
    );
    wait(
        &inventory(FIVE),
        &nothing,
        PrunePolicy {
            enabled: false,
            limit_percent: 100,
            ..POLICY
        },
    );
    let allowed = PrunePolicy {
        allowed_revision: Some("main@sha1:new"),
        ..POLICY
    };
    assert_eq!(proceed(&inventory(FIVE), &nothing, allowed).prune.len(), 5);
}

#[test]
fn the_digest_is_of_the_values_and_not_of_the_writing() {
    let one: Value = serde_json::from_str(r#"{"b": [1, "x"], "a": {"d": null, "c": true}}"#).unwrap();
    let other: Value = serde_json::from_str(r#"{"a":{"c":true,"d":null},"b":[1,"x"]}"#).unwrap();
    assert_eq!(digest(&one), digest(&other));
    assert_eq!(
        digest(&one),
        Digest::of(br#"{"a":{"c":true,"d":null},"b":[1,"x"]}"#)
    );
    for different in [
        json!({"a": "1"}),
        json!({"a": 1}),
        json!({"a": [1]}),
        json!({"a\",\"b": 1}),
        json!({}),
    ] {
        assert_ne!(digest(&different), digest(&one));
    }
}

#[test]
fn history_keeps_one_record_a_revision_and_ten_in_all() {
    let at = |second| Time(Timestamp::from_second(second).unwrap());
    let entry = |revision: &str, result, second| RevisionRecord {
        revision: revision.to_owned(),
        author: "Author Name <author@example.com>".into(),
        message: "Tighten the rule".into(),
        committed_at: at(0),
        time: at(second),
        result,
        detail: format!("{result:?}"),
    };
    let mut history = Vec::new();
    assert!(record(&mut history, entry("a", RevisionResult::Waiting, 1)));
    assert!(
        !record(&mut history, entry("a", RevisionResult::Waiting, 2)),
        "only time has passed"
    );
    assert_eq!(history[0].time, at(1));
    assert!(record(&mut history, entry("a", RevisionResult::Applied, 3)));
    assert_eq!((history.len(), history[0].result), (1, RevisionResult::Applied));
    assert!(record(&mut history, entry("b", RevisionResult::Refused, 4)));
    assert!(
        record(&mut history, entry("a", RevisionResult::Applied, 5)),
        "back again is news"
    );
    assert_eq!(
        history
            .iter()
            .map(|record| record.revision.as_str())
            .collect::<Vec<_>>(),
        ["a", "b", "a"]
    );
    for n in 0..20 {
        record(&mut history, entry(&format!("r{n}"), RevisionResult::Applied, n));
    }
    assert_eq!(
        (history.len(), history[0].revision.as_str()),
        (MAXIMUM_HISTORY, "r19")
    );
}
