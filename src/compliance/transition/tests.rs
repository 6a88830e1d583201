use super::*;
use crate::api::common::Severity;
use crate::compliance::Evidence;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn demand(assignment: &str, rule: &str, severity: Severity) -> Demand {
    Demand::new(
        assignment.into(),
        "cis".into(),
        rule,
        severity,
        Vec::new().into(),
        Some("main@sha1:1".into()),
        Evidence::None { reason: "".into() },
    )
}

fn judgement(verdict: Verdict) -> Judgement {
    Judgement {
        verdict,
        reason: format!("it is {verdict}"),
        source: "SecurityInfo",
    }
}

fn judged(rules: &[(&str, Verdict)]) -> (Vec<Demand>, Vec<Judgement>) {
    rules
        .iter()
        .map(|(rule, verdict)| (demand("a", rule, Severity::Medium), judgement(*verdict)))
        .unzip()
}

fn many(n: usize, verdict: Verdict) -> Vec<(String, Verdict)> {
    (0..n).map(|n| (format!("r{n:02}"), verdict)).collect()
}

#[test]
fn a_change_is_told_once_with_revision_and_evidence() {
    let (demands, judgements) = judged(&[
        ("one", Verdict::Pass),
        ("two", Verdict::Fail),
        ("three", Verdict::NotApplicable),
    ]);
    let (first, changes) = transitions(&Verdicts::new(), &demands, &judgements, None, at(1));
    assert_eq!(
        changes.len(),
        2,
        "that a rule never was for this device is no change"
    );
    assert_eq!(first.len(), 3);
    assert_eq!(changes[1].to, Some(Verdict::Fail));
    assert_eq!(changes[1].rule.as_deref(), Some("cis/two"));
    assert_eq!(changes[1].revision.as_deref(), Some("main@sha1:1"));
    assert_eq!(&*changes[1].evidence, "SecurityInfo");
    let (same, none) = transitions(&first, &demands, &judgements, None, at(2));
    assert_eq!((same, none), (first.clone(), Vec::new()));

    let (demands, judgements) = judged(&[("two", Verdict::Pass)]);
    let (_, changes) = transitions(&first, &demands, &judgements, Some(&"main@sha1:2".into()), at(3));
    let told: Vec<_> = changes
        .iter()
        .map(|c| (c.rule.as_deref().unwrap(), c.from, c.to))
        .collect();
    assert_eq!(
        told,
        [
            ("cis/two", Some(Verdict::Fail), Some(Verdict::Pass)),
            ("cis/one", Some(Verdict::Pass), None)
        ]
    );
    assert_eq!(changes[1].revision.as_deref(), Some("main@sha1:2"));
}

#[test]
fn of_several_assignments_the_worst_verdict_is_the_devices() {
    let demands = [
        demand("a", "r", Severity::Low),
        demand("b", "r", Severity::Low),
        demand("c", "r", Severity::Low),
    ];
    let judgements = [
        judgement(Verdict::Pass),
        judgement(Verdict::Fail),
        judgement(Verdict::Unknown),
    ];
    let (verdicts, changes) = transitions(&Verdicts::new(), &demands, &judgements, None, at(1));
    assert_eq!(verdicts.into_values().collect::<Vec<_>>(), [Verdict::Fail]);
    assert_eq!(changes.len(), 1);
    assert_eq!(failing_rules(&demands, &judgements).len(), 1);
}

#[test]
fn failing_rules_are_named_worst_first_and_at_most_twenty() {
    let mut demands = vec![
        demand("a", "zz", Severity::Low),
        demand("a", "b", Severity::High),
        demand("a", "a", Severity::High),
    ];
    demands.extend((0..30).map(|n| demand("a", &format!("m{n:02}"), Severity::Medium)));
    let judgements = vec![judgement(Verdict::Fail); demands.len()];
    let failing = failing_rules(&demands, &judgements);
    assert_eq!(failing.len(), MAX_NAMED);
    let first: Vec<&str> = failing.iter().take(3).map(|rule| rule.rule.as_str()).collect();
    assert_eq!(first, ["a", "b", "m00"]);
}

#[test]
fn counts_add_up() {
    let counts = count([
        Verdict::Pass,
        Verdict::Pass,
        Verdict::Fail,
        Verdict::NotApplicable,
    ]);
    assert_eq!(
        (counts.pass, counts.fail, counts.unknown, counts.not_applicable),
        (2, 1, 0, 1)
    );
}

#[test]
fn many_changes_of_one_kind_are_one_record_and_few_are_told_each() {
    let mut rules = many(22, Verdict::Pass);
    rules.extend((22..25).map(|n| (format!("r{n}"), Verdict::Unknown)));
    let named: Vec<(&str, Verdict)> = rules
        .iter()
        .map(|(rule, verdict)| (rule.as_str(), *verdict))
        .collect();
    let (demands, judgements) = judged(&named);
    let (verdicts, changes) = transitions(&Verdicts::new(), &demands, &judgements, None, at(1));
    let history = push_history(&[], &changes);
    assert_eq!(history.len(), 1);
    assert_eq!(
        history[0].reason,
        "25 rules: 22 Pass, 3 Unknown (first evaluation)"
    );
    assert_eq!(history[0].revision.as_deref(), Some("main@sha1:1"));

    let (demands, judgements) = judged(&[("r00", Verdict::Fail), ("r01", Verdict::Pass)]);
    let (_, changes) = transitions(&verdicts, &demands, &judgements, None, at(2));
    let history = push_history(&history, &changes);
    assert_eq!(history.len(), 3);
    let told: Vec<_> = history.iter().map(|r| (r.rule.as_deref(), r.to)).collect();
    assert_eq!(told[0], (Some("cis/r00"), Some(Verdict::Fail)));
    assert_eq!(
        history[1].reason,
        "23 rules are no longer demanded of this device"
    );
    assert_eq!(history[2].time.0, at(1));
}

#[test]
fn history_keeps_the_newest_twenty() {
    let mut history = Vec::new();
    for second in 0..30 {
        let (demands, judgements) = judged(&[(
            "r",
            if second % 2 == 0 {
                Verdict::Pass
            } else {
                Verdict::Fail
            },
        )]);
        let before = Verdicts::from([(
            "cis/r".into(),
            if second % 2 == 0 {
                Verdict::Fail
            } else {
                Verdict::Pass
            },
        )]);
        let (_, changes) = transitions(&before, &demands, &judgements, None, at(second));
        history = push_history(&history, &changes);
    }
    assert_eq!(history.len(), MAX_NAMED);
    assert_eq!(history[0].time.0, at(29));
    let long = Transition {
        time: at(1),
        rule: None,
        from: None,
        to: None,
        revision: None,
        evidence: "CheckIn".into(),
        reason: "é".repeat(500),
    };
    assert!(push_history(&[], &[long])[0].reason.chars().count() <= 160);
}
