use super::*;
use proptest::prelude::*;
use serde_json::json;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn status(facts: &mut Facts, report: &Value) -> bool {
    facts.status_report(report, at(1)).unwrap()
}

fn declared(identifier: &str, active: bool) -> Value {
    json!({ "identifier": identifier, "server-token": "t", "active": active, "valid": "valid" })
}

#[test]
fn a_report_replaces_what_its_source_said_and_tells_whether_it_is_news() {
    let mut facts = Facts::default();
    assert!(facts.security_info(
        &json!({ "FDE_Enabled": true, "SystemIntegrityProtectionEnabled": true }),
        at(1)
    ));
    assert!(!facts.security_info(
        &json!({ "FDE_Enabled": true, "SystemIntegrityProtectionEnabled": true }),
        at(2)
    ));
    assert_eq!(facts.reports[&Source::SecurityInfo].observed_at, at(2));
    assert!(facts.security_info(&json!({ "FDE_Enabled": true }), at(3)));
    assert_eq!(
        facts.reports[&Source::SecurityInfo].value,
        json!({ "FDE_Enabled": true })
    );
    assert!(facts.device_information(&json!({ "OSVersion": "26.1" }), at(3)));
}

#[test]
fn secrets_are_not_kept() {
    let mut facts = Facts::default();
    facts.security_info(
        &json!({ "FDE_Enabled": true, "FDE_PersonalRecoveryKeyCMS": "AAAA", "Deep": { "UnlockToken": "x" } }),
        at(1),
    );
    status(
        &mut facts,
        &json!({ "StatusItems": { "mdm": { "push-token": "x", "app": "y" } } }),
    );
    let text = serde_json::to_string(&facts).unwrap();
    assert!(
        !text.contains("AAAA") && !text.contains("Unlock") && !text.contains("push-token"),
        "{text}"
    );
    assert!(text.contains("\"app\":\"y\""));
}

#[test]
fn profiles_are_known_only_after_a_list_and_a_missing_one_is_news() {
    let mut facts = Facts::default();
    assert!(
        facts.profile_list(BTreeMap::new(), at(1)),
        "an empty list is not the same as no list"
    );
    let one = BTreeMap::from([("a".to_owned(), "U1".to_owned())]);
    assert!(facts.profile_list(one.clone(), at(2)));
    assert!(!facts.profile_list(one, at(3)));
    assert!(facts.profile_list(BTreeMap::new(), at(4)));
}

#[test]
fn of_too_many_profiles_our_own_are_kept() {
    let mut facts = Facts::default();
    let mut profiles: BTreeMap<String, String> =
        (0..2000).map(|n| (format!("a{n}"), "u".to_owned())).collect();
    profiles.insert("dev.provost.profile.fleet.x".to_owned(), "u".to_owned());
    facts.profile_list(profiles, at(1));
    let kept = facts.profiles.unwrap();
    assert_eq!(kept.len(), MAX_PROFILES);
    assert!(kept.contains_key("dev.provost.profile.fleet.x"));
}

#[test]
fn incremental_reports_add_up_and_a_full_one_replaces() {
    let mut facts = Facts::default();
    let first = json!({ "StatusItems": {
        "device": { "operating-system": { "version": "26.0", "family": "macOS" } },
        "management": { "declarations": { "configurations": [declared("a", true), declared("b", true)], "activations": [] } }
    } });
    assert!(status(&mut facts, &first));
    assert!(!status(&mut facts, &first));
    assert!(status(
        &mut facts,
        &json!({ "StatusItems": { "device": { "operating-system": { "version": "26.1" } } } })
    ));
    assert_eq!(
        facts.reports[&Source::StatusReport].value,
        json!({ "device": { "operating-system": { "version": "26.1", "family": "macOS" } }, "management": {} })
    );
    assert_eq!(
        facts.declarations.len(),
        2,
        "what a partial report does not name stays"
    );

    assert!(status(
        &mut facts,
        &json!({ "FullReport": true, "StatusItems": {
        "management": { "declarations": { "configurations": [declared("a", true)] } } } })
    ));
    assert_eq!(facts.declarations.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(
        facts.reports[&Source::StatusReport].value,
        json!({ "management": {} })
    );
}

#[test]
fn a_declaration_that_turns_inactive_or_is_removed_is_news() {
    let mut facts = Facts::default();
    let report = |entry: Value| json!({ "StatusItems": { "management": { "declarations": { "configurations": [entry] } } } });
    status(&mut facts, &report(declared("a", true)));
    assert!(status(&mut facts, &report(declared("a", false))));
    assert!(!facts.declarations["a"].active);
    assert!(status(
        &mut facts,
        &report(json!({ "identifier": "a", "_removed": true }))
    ));
    assert!(facts.declarations.is_empty());
    // An entry that cannot be read ends what was known, so that an old state does not stand for a new one.
    status(&mut facts, &report(declared("a", true)));
    assert!(status(
        &mut facts,
        &report(json!({ "identifier": "a", "active": "yes" }))
    ));
    assert!(facts.declarations.is_empty());
}

#[test]
fn reasons_are_read_in_either_case() {
    let mut facts = Facts::default();
    status(
        &mut facts,
        &json!({ "StatusItems": { "management": { "declarations": { "configurations": [
        { "identifier": "a", "server-token": "t", "active": false, "valid": "invalid",
          "reasons": [{ "code": "Error.X", "description": "no" }, { "Code": "Info.Y" }] },
        { "identifier": "b", "server-token": "t", "active": false, "valid": "odd", "Reasons": [{ "Code": "Error.Z", "Description": "d" }] }
    ] } } } }),
    );
    assert_eq!(facts.declarations["a"].reasons, ["Error.X: no", "Info.Y"]);
    assert_eq!(facts.declarations["b"].reasons, ["Error.Z: d"]);
    assert_eq!(facts.declarations["b"].valid, "unknown");
}

#[test]
fn keyed_lists_merge_other_lists_replace_and_errors_end_what_was_known() {
    let mut facts = Facts::default();
    status(
        &mut facts,
        &json!({ "StatusItems": {
        "app": { "list": [{ "identifier": "x", "v": 1, "w": 1 }, { "identifier": "y", "v": 1 }] },
        "plain": [1, 2], "passcode": { "is-present": true } } }),
    );
    status(
        &mut facts,
        &json!({ "StatusItems": {
        "app": { "list": [{ "identifier": "x", "v": 2 }, { "identifier": "y", "_removed": true }, { "identifier": "z", "v": 1 }] },
        "plain": [3] }, "Errors": [{ "StatusItem": "passcode.is-present", "Reasons": [{ "Code": "Error" }] }] }),
    );
    assert_eq!(
        facts.reports[&Source::StatusReport].value,
        json!({ "app": { "list": [{ "identifier": "x", "v": 2 }, { "identifier": "z", "v": 1 }] }, "plain": [3], "passcode": {} })
    );
}

#[test]
fn what_is_no_status_report_is_refused_and_changes_nothing() {
    let mut facts = Facts::default();
    assert_eq!(
        facts.status_report(&json!([]), at(1)),
        Err(StatusError::NotADictionary)
    );
    assert_eq!(
        facts.status_report(&json!({ "StatusItems": [] }), at(1)),
        Err(StatusError::ItemsNotADictionary)
    );
    assert_eq!(facts, Facts::default());
}

#[test]
fn a_report_beyond_the_limits_loses_whole_lists_and_no_small_value() {
    let mut facts = Facts::default();
    let apps: Vec<Value> = (0..5000)
        .map(|n| json!({ "BundleID": format!("com.example.app{n}") }))
        .collect();
    facts.security_info(
        &json!({ "AApps": apps, "FDE_Enabled": true, "Long": "x".repeat(MAX_REPORT) }),
        at(1),
    );
    assert_eq!(
        facts.reports[&Source::SecurityInfo].value,
        json!({ "FDE_Enabled": true })
    );
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!({ "d": deep });
    }
    facts.security_info(&json!({ "Deep": deep, "FDE_Enabled": true }), at(1));
    assert_eq!(
        facts.reports[&Source::SecurityInfo].value["FDE_Enabled"],
        json!(true)
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z_]{0,6}".prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let key = prop_oneof![
            "[a-c]",
            Just("identifier".to_owned()),
            Just("_removed".to_owned()),
            Just("management".to_owned()),
            Just("declarations".to_owned()),
            Just("configurations".to_owned())
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_report_is_taken_without_harm_and_taking_it_twice_is_no_news(items in any_json(), full: bool) {
        let mut facts = Facts::default();
        let report = json!({ "StatusItems": items, "FullReport": full });
        if facts.status_report(&report, at(1)).is_ok() {
            prop_assert_eq!(facts.status_report(&report, at(2)), Ok(false));
            let size = serde_json::to_string(&facts.reports[&Source::StatusReport].value).unwrap().len();
            prop_assert!(size <= 2 * MAX_REPORT);
        }
    }
}
