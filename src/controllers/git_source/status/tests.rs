use serde_json::json;

use super::*;
use crate::api::common::NameRef;
use crate::api::git_source::{Verification, VerificationMode};
use crate::gitops::Position;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn source() -> GitSource {
    let object = json!({
        "apiVersion": names::API_VERSION, "kind": "GitSource", "spec": { "url": "https://git.example.com/policy.git" },
        "metadata": { "name": "policy", "namespace": "fleet", "generation": 2,
                      "annotations": { names::RECONCILE_ANNOTATION: "later" } },
    });
    serde_json::from_value(object).unwrap()
}

fn about(revision: &str) -> About {
    About {
        revision: revision.to_owned(),
        author: "Ada <ada@example.com>".to_owned(),
        message: "Tighten".to_owned(),
        committed_at: at(0),
        signer: None,
    }
}

fn applied(revision: &str, summary: &str) -> Ended {
    let inventory = vec![InventoryEntry {
        kind: "Baseline".into(),
        name: "cis".into(),
        digest: "d".into(),
    }];
    Ended::Applied {
        about: about(revision),
        inventory,
        other: 1,
        summary: summary.to_owned(),
    }
}

fn refused(revision: &str) -> Ended {
    let finding = Finding {
        file: "a.yaml".to_owned(),
        position: Position { line: 3, column: 5 },
        field: "spec.title".to_owned(),
        message: "is missing".to_owned(),
    };
    Ended::Refused {
        about: about(revision),
        findings: vec![finding; FINDINGS + 2],
    }
}

/// The source after passes that ended so, one a minute.
fn after(passes: &[Ended]) -> GitSource {
    let mut source = source();
    for (minute, ended) in passes.iter().enumerate() {
        let now = at(60 * i64::try_from(minute).unwrap());
        source.status = Some(build(&source, &Asked::from(&source), ended, now));
    }
    source
}

fn status(passes: &[Ended]) -> GitSourceStatus {
    after(passes).status.unwrap()
}

fn conditions(status: &GitSourceStatus) -> Vec<String> {
    status
        .conditions
        .iter()
        .map(|c| format!("{} {} {}", c.type_, c.status, c.reason))
        .collect()
}

#[test]
fn conditions_tell_how_a_pass_ended() {
    let failed = |kind| Ended::NotFetched {
        kind,
        message: "no".to_owned(),
    };
    let waiting = || Ended::Waiting {
        about: about("main@sha1:1"),
        reason: "too much".to_owned(),
    };
    let table: [(Ended, &[&str]); 8] = [
        (applied("main@sha1:1", "1 applied"), &["Ready True Succeeded"]),
        (Ended::Suspended, &["Ready Unknown Suspended"]),
        (
            Ended::NotReady(Missing {
                reason: Reason::SecretNotGranted,
                message: "grant it".to_owned(),
            }),
            &[
                "Ready False SecretNotGranted",
                "Reconciling True ProgressingWithRetry",
            ],
        ),
        (
            failed(FetchErrorKind::Timeout),
            &[
                "Ready False GitOperationFailed",
                "Reconciling True ProgressingWithRetry",
            ],
        ),
        (
            failed(FetchErrorKind::Authentication),
            &["Ready False AuthenticationFailed"],
        ),
        (
            failed(FetchErrorKind::NotFound),
            &["Ready False GitOperationFailed"],
        ),
        (
            refused("main@sha1:1"),
            &["Ready False InvalidRevision", "Stalled True InvalidRevision"],
        ),
        (
            waiting(),
            &[
                "Ready False PruneNeedsApproval",
                "Stalled True PruneNeedsApproval",
            ],
        ),
    ];
    for (ended, expected) in table {
        assert_eq!(conditions(&status(&[ended])), expected);
    }
}

#[test]
fn a_pass_that_changes_nothing_changes_no_status() {
    for ended in [
        applied("main@sha1:1", "1 applied"),
        refused("main@sha1:1"),
        Ended::Suspended,
    ] {
        let once = status(std::slice::from_ref(&ended));
        assert_eq!(status(&[ended.clone(), ended]), once);
    }
    // What came into force stays told as it was, though the next pass finds nothing to do.
    let again = status(&[
        applied("main@sha1:1", "1 applied"),
        applied("main@sha1:1", "1 unchanged"),
    ]);
    assert_eq!(again.conditions[0].message, "main@sha1:1 is in force: 1 applied");
    assert_eq!(again.history.len(), 1);
}

#[test]
fn a_refused_revision_leaves_the_last_good_one_in_force() {
    let told = status(&[applied("main@sha1:1", "1 applied"), refused("main@sha1:2")]);
    assert_eq!(told.artifact.unwrap().revision, "main@sha1:1");
    assert_eq!(told.inventory.len(), 1);
    assert_eq!(told.last_attempted_revision.as_deref(), Some("main@sha1:2"));
    let ready = &told.conditions[0].message;
    assert!(ready.starts_with("main@sha1:2 is refused: a.yaml:3:5"), "{ready}");
    assert!(ready.ends_with("and 2 more"), "{ready}");
    let results: Vec<_> = told
        .history
        .iter()
        .map(|record| (record.revision.as_str(), record.result))
        .collect();
    assert_eq!(
        results,
        [
            ("main@sha1:2", RevisionResult::Refused),
            ("main@sha1:1", RevisionResult::Applied)
        ]
    );
}

#[test]
fn going_back_to_what_is_in_force_is_told_and_keeps_its_time() {
    let first = status(&[applied("main@sha1:1", "1 applied")]);
    let back = status(&[
        applied("main@sha1:1", "1 applied"),
        refused("main@sha1:2"),
        applied("main@sha1:1", "1 unchanged"),
    ]);
    assert_eq!(back.artifact, first.artifact);
    assert_eq!(back.history.len(), 3);
    assert_eq!(back.history[0].revision, "main@sha1:1");
}

#[test]
fn history_names_the_last_ten() {
    let passes: Vec<Ended> = (0..15)
        .map(|n| applied(&format!("main@sha1:{n}"), "1 applied"))
        .collect();
    let told = status(&passes);
    assert_eq!(
        (told.history.len(), told.history[0].revision.as_str()),
        (10, "main@sha1:14")
    );
}

#[test]
fn a_suspended_source_is_as_healthy_as_what_is_in_force() {
    let told = status(&[applied("main@sha1:1", "1 applied"), Ended::Suspended]);
    assert_eq!(conditions(&told), ["Ready True Suspended"]);
    assert!(told.conditions[0].message.contains("main@sha1:1 stays in force"));
}

#[test]
fn who_may_allow_it_is_told_how() {
    let waiting = Ended::Waiting {
        about: about("main@sha1:1"),
        reason: "it removes 3 of 5".to_owned(),
    };
    let told = status(&[waiting]);
    let advice = "it removes 3 of 5; to allow it: kubectl annotate gitsource -n fleet policy \
                  provost.dev/allow-prune=main@sha1:1 --overwrite";
    assert_eq!(told.conditions[0].message, advice);
}

#[test]
fn only_what_was_looked_at_is_told_as_handled() {
    let source = source();
    // The annotation and the spec changed while the pass was under way.
    let asked = Asked {
        generation: Some(1),
        reconcile: Some("earlier".to_owned()),
        allow_prune: None,
    };
    let told = build(&source, &asked, &Ended::Suspended, at(0));
    assert_eq!(told.observed_generation, 1);
    assert_eq!(told.last_handled_reconcile_at.as_deref(), Some("earlier"));
    assert_eq!(told.conditions[0].observed_generation, Some(1));
}

#[test]
fn what_keeps_a_source_from_going_is_told_with_a_way_out() {
    let told = status(&[
        applied("main@sha1:1", "1 applied"),
        Ended::NotRemoved("Baseline cis cannot be removed".into()),
    ]);
    assert_eq!(conditions(&told), ["Ready False ApplyFailed"]);
    assert!(
        told.conditions[0].message.contains("spec.prune: false"),
        "{}",
        told.conditions[0].message
    );
}

#[test]
fn what_stands_otherwise_than_before_is_told_and_what_fails_again_alike_is_not() {
    let unreachable = || Ended::NotFetched {
        kind: FetchErrorKind::Timeout,
        message: "no route".to_owned(),
    };
    // A commit comes into force, cannot be looked for, still cannot, can again, and the same commit is there.
    let passes = [
        (applied("main@sha1:1", "1 object"), true),
        (unreachable(), true),
        (unreachable(), false),
        (applied("main@sha1:1", "1 object"), true),
        (applied("main@sha1:1", "1 object"), false),
        (refused("main@sha1:2"), true),
        (refused("main@sha1:3"), true),
    ];
    let mut source = source();
    for (minute, (ended, told)) in passes.into_iter().enumerate() {
        let now = at(60 * i64::try_from(minute).unwrap());
        let old = source.status.clone().unwrap_or_default();
        let new = build(&source, &Asked::from(&source), &ended, now);
        assert_eq!(
            is_news(&old, &new, &ended),
            told,
            "pass {minute}: {:?}",
            ended.news(&source)
        );
        source.status = Some(new);
    }
    assert!(applied("main@sha1:1", "1 object").news(&source).is_good);
    assert!(!unreachable().news(&source).is_good);
}

#[test]
fn an_unsigned_commit_is_told_while_the_last_good_one_stays() {
    let signed = |revision: &str| {
        let Ended::Applied {
            about,
            inventory,
            other,
            summary,
        } = applied(revision, "1 applied")
        else {
            unreachable!()
        };
        let about = About {
            signer: Some("the commit by ada (ssh-ed25519 SHA256:x)".into()),
            ..about
        };
        Ended::Applied {
            about,
            inventory,
            other,
            summary,
        }
    };
    let unsigned = || Ended::Unverified {
        about: about("main@sha1:b"),
        refusal: Refusal::UnknownKey {
            what: "commit b".into(),
            key: "ssh-ed25519 SHA256:y".into(),
        },
    };
    let asking = |passes: &[Ended]| {
        let mut source = source();
        source.spec.verify = Some(Verification {
            mode: VerificationMode::Head,
            secret_ref: NameRef {
                name: "signers".into(),
            },
            authors: Vec::new(),
        });
        for (minute, ended) in passes.iter().enumerate() {
            let now = at(60 * i64::try_from(minute).unwrap());
            source.status = Some(build(&source, &Asked::from(&source), ended, now));
        }
        source.status.unwrap()
    };
    let good = asking(&[signed("main@sha1:a")]);
    assert_eq!(
        conditions(&good),
        ["Ready True Succeeded", "SourceVerified True Verified"]
    );
    assert_eq!(
        good.artifact.as_ref().unwrap().signer.as_deref(),
        Some("the commit by ada (ssh-ed25519 SHA256:x)")
    );
    let bad = asking(&[signed("main@sha1:a"), unsigned()]);
    assert_eq!(
        conditions(&bad),
        [
            "Ready False VerificationError",
            "SourceVerified False VerificationError",
            "Stalled True VerificationError"
        ]
    );
    assert_eq!(
        bad.conditions[1].message,
        "main@sha1:b is not taken: the commit b is signed by ssh-ed25519 SHA256:y, which is not among the keys of \
         spec.verify.secretRef; main@sha1:a stays in force"
    );
    assert_eq!((&bad.artifact, &bad.inventory), (&good.artifact, &good.inventory));
    assert_eq!(bad.history[0].result, RevisionResult::Refused);
    assert!(is_news(&good, &bad, &unsigned()));
    // The same once more is no news and no write.
    let again = asking(&[signed("main@sha1:a"), unsigned(), unsigned()]);
    assert!(!is_news(&bad, &again, &unsigned()));
    // A pass that finds nothing out leaves what is known.
    let away = Ended::NotFetched {
        kind: FetchErrorKind::Timeout,
        message: "away".into(),
    };
    let away = asking(&[signed("main@sha1:a"), unsigned(), away]);
    assert_eq!(away.conditions[1], bad.conditions[1]);
    // Whoever does not ask is told nothing.
    assert_eq!(
        conditions(&status(&[unsigned(), applied("main@sha1:b", "1 applied")])),
        ["Ready True Succeeded"]
    );
}
