use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::compliance::check;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn cel(source: &str) -> Evidence {
    Evidence::Cel {
        program: Arc::new(check::compile(source).unwrap()),
        parameters: Arc::new(json!({ "delay": 5 })),
    }
}

fn says(evidence: &Evidence, facts: &Facts) -> (Verdict, String) {
    let judgement = judge_evidence(evidence, facts);
    (judgement.verdict, judgement.reason)
}

fn with_declaration(token: &str, active: bool, valid: &str, reasons: &[&str]) -> Facts {
    let reasons: Vec<_> = reasons.iter().map(|code| json!({ "code": code })).collect();
    let mut facts = Facts::default();
    facts
        .status_report(
            &json!({ "StatusItems": { "management": { "declarations": { "configurations": [
                { "identifier": "d", "server-token": token, "active": active, "valid": valid, "reasons": reasons }
            ] } } } }),
            at(5),
        )
        .unwrap();
    facts
}

#[test]
fn a_check_decides_by_what_was_reported_and_says_what_it_saw() {
    let mut facts = Facts::default();
    let filevault = cel("SecurityInfo.FDE_Enabled == true");
    assert_eq!(
        says(&filevault, &facts),
        (Verdict::Unknown, "SecurityInfo was not reported".to_owned())
    );
    facts.security_info(&json!({ "FDE_Enabled": false, "Lock": 4 }), at(1));
    assert_eq!(
        says(&filevault, &facts),
        (Verdict::Fail, "SecurityInfo.FDE_Enabled is false".to_owned())
    );
    facts.security_info(&json!({ "FDE_Enabled": true, "Lock": 4 }), at(2));
    assert_eq!(
        says(&filevault, &facts),
        (Verdict::Pass, "SecurityInfo.FDE_Enabled is true".to_owned())
    );
    assert_eq!(
        says(&cel("SecurityInfo.Lock <= params.delay"), &facts).0,
        Verdict::Pass
    );
    assert_eq!(
        says(&cel("SecurityInfo.FirewallSettings.StealthMode"), &facts),
        (
            Verdict::Unknown,
            "SecurityInfo.FirewallSettings was not reported".to_owned()
        )
    );
    assert_eq!(
        says(&cel("SecurityInfo.Lock"), &facts),
        (
            Verdict::Unknown,
            "the expression gives a whole number, not true or false".to_owned()
        )
    );
    let missing = judge_evidence(&cel("SecurityInfo.FDE_Enabled && StatusItems.x"), &facts);
    assert_eq!(
        (missing.verdict, missing.source),
        (Verdict::Unknown, "StatusReport")
    );
}

#[test]
fn only_the_exact_revision_active_and_valid_proves_a_declaration() {
    let evidence = Evidence::InstalledDeclaration {
        identifier: "d".into(),
        server_token: "t2".into(),
    };
    let verdict = |facts: &Facts| judge_evidence(&evidence, facts).verdict;
    assert_eq!(
        says(&evidence, &Facts::default()),
        (
            Verdict::Unknown,
            "the device has sent no status report".to_owned()
        )
    );
    assert_eq!(
        verdict(&with_declaration("t1", true, "valid", &[])),
        Verdict::Unknown
    );
    assert_eq!(
        verdict(&with_declaration("t2", true, "valid", &[])),
        Verdict::Pass
    );
    assert_eq!(
        verdict(&with_declaration(
            "t2",
            true,
            "valid",
            &["Info.UnsupportedSettings"]
        )),
        Verdict::Unknown
    );
    assert_eq!(
        verdict(&with_declaration("t2", true, "unknown", &[])),
        Verdict::Unknown
    );
    assert_eq!(
        says(
            &evidence,
            &with_declaration("t2", false, "valid", &["Info.Predicate"])
        ),
        (
            Verdict::Fail,
            "the declaration d is not active: Info.Predicate".to_owned()
        )
    );
    assert_eq!(
        verdict(&with_declaration("t2", false, "invalid", &["Error.X"])),
        Verdict::Fail
    );
}

#[test]
fn a_profile_is_proven_by_its_uuid_or_by_the_declaration_that_brings_it() {
    let by_command = Evidence::InstalledProfile {
        identifier: "p".into(),
        uuid: "ABCD".into(),
        via_declaration: None,
    };
    let by_declaration = Evidence::InstalledProfile {
        identifier: "p".into(),
        uuid: "ABCD".into(),
        via_declaration: Some(("d".into(), "t2".into())),
    };
    let mut facts = Facts::default();
    assert_eq!(judge_evidence(&by_command, &facts).verdict, Verdict::Unknown);
    let list = |uuid: Option<&str>| -> BTreeMap<String, String> {
        uuid.map(|uuid| ("p".to_owned(), uuid.to_owned()))
            .into_iter()
            .collect()
    };
    facts.profile_list(list(None), at(1));
    assert_eq!(judge_evidence(&by_command, &facts).verdict, Verdict::Fail);
    assert_eq!(
        judge_evidence(&by_declaration, &facts).verdict,
        Verdict::Unknown,
        "it may be on its way"
    );
    facts.profile_list(list(Some("old")), at(2));
    assert_eq!(judge_evidence(&by_command, &facts).verdict, Verdict::Unknown);
    facts.profile_list(list(Some("abcd")), at(3));
    assert_eq!(judge_evidence(&by_command, &facts).verdict, Verdict::Pass);
    assert_eq!(judge_evidence(&by_declaration, &facts).verdict, Verdict::Pass);

    let mut facts = with_declaration("t2", true, "valid", &[]);
    let judgement = judge_evidence(&by_declaration, &facts);
    assert_eq!(
        (judgement.verdict, judgement.source),
        (Verdict::Pass, "StatusReport")
    );
    facts.profile_list(list(None), at(1));
    assert_eq!(
        judge_evidence(&by_declaration, &facts).verdict,
        Verdict::Pass,
        "the list is older than the report"
    );
    facts.profile_list(list(None), at(9));
    let judgement = judge_evidence(&by_declaration, &facts);
    assert_eq!(
        (judgement.verdict, judgement.source),
        (Verdict::Fail, "ProfileList")
    );
}

#[test]
fn what_nothing_can_prove_is_unknown_with_the_reason() {
    let facts = Facts::default();
    let none = Evidence::None {
        reason: "nothing is installed".into(),
    };
    let judgement = judge_evidence(&none, &facts);
    assert_eq!(
        (judgement.verdict, judgement.source),
        (Verdict::Unknown, "Policy")
    );
    assert_eq!(judgement.reason, "nothing is installed");
    let conflict = Evidence::Conflict {
        setting: "s".into(),
        with: "b/r".into(),
    };
    assert_eq!(
        says(&conflict, &facts).1,
        "conflict: s contradicts b/r; neither value is served"
    );
}
