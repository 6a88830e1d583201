use super::*;
use crate::ids::Digest;
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
        &json!({ "StatusItems": { "mdm": { "push-token": "x", "push-magic": "x", "is-shared-ipad": false },
                                  "later": { "push-token": "x" } } }),
    );
    let text = serde_json::to_string(&facts).unwrap();
    assert!(
        !text.contains("AAAA") && !text.contains("Unlock") && !text.contains("push-token"),
        "{text}"
    );
    assert!(text.contains("\"is-shared-ipad\":false"));
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
        json!({ "device": { "operating-system": { "version": "26.1", "family": "macOS" } } })
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
    assert_eq!(facts.reports[&Source::StatusReport].value, json!({}));
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
        json!({ "app": { "list": [{ "identifier": "x", "v": 2 }, { "identifier": "z", "v": 1 }] }, "plain": [3] })
    );
    assert_eq!(facts.item_errors["passcode.is-present"], "Error");
    // It is told again: the error is over.
    status(
        &mut facts,
        &json!({ "StatusItems": { "passcode": { "is-present": true } } }),
    );
    assert!(facts.item_errors.is_empty());
}

#[test]
fn every_item_of_the_table_is_read_and_kept_in_its_shape() {
    let entry = json!({ "identifier": "a" });
    for item in items::all() {
        let values = [
            json!(true),
            json!(7),
            json!(1.5),
            json!("text"),
            json!({ "k": 1 }),
            json!([entry]),
            json!([1]),
        ];
        let kept: Vec<&Value> = values
            .iter()
            .filter(|value| {
                let mut tree = Map::new();
                items::put(&mut tree, item.name, (*value).clone());
                let mut facts = Facts::default();
                status(&mut facts, &json!({ "StatusItems": tree }));
                let told = facts.items.get(item.name) == Some(&at(1));
                let value = items::find(
                    facts.reports[&Source::StatusReport].value.as_object().unwrap(),
                    item.name,
                );
                assert!(told || value.is_none(), "{}", item.name);
                value.is_some()
            })
            .collect();
        let apart = item.kind == items::Kind::Apart;
        assert_eq!(kept.is_empty(), apart, "{}", item.name);
    }
    // Spot checks of shapes: a text is no truth, and a list of numbers no list of apps.
    let mut facts = Facts::default();
    status(
        &mut facts,
        &json!({ "StatusItems": { "passcode": { "is-present": true, "is-compliant": "yes" }, "mdm": { "app": [1] } } }),
    );
    assert_eq!(
        facts.reports[&Source::StatusReport].value,
        json!({ "passcode": { "is-present": true } })
    );
    // What was known before is over when it is told in a way that cannot be read.
    assert!(status(
        &mut facts,
        &json!({ "StatusItems": { "passcode": { "is-present": "maybe" } } })
    ));
    assert_eq!(facts.reports[&Source::StatusReport].value, json!({}));
}

#[test]
fn each_item_remembers_when_it_was_last_confirmed() {
    let mut facts = Facts::default();
    let report = json!({ "StatusItems": { "passcode": { "is-present": true, "is-compliant": true } } });
    facts.status_report(&report, at(1)).unwrap();
    let later = json!({ "StatusItems": { "passcode": { "is-compliant": true } } });
    assert_eq!(
        facts.status_report(&later, at(2)),
        Ok(false),
        "time alone is no news"
    );
    assert_eq!(facts.items["passcode.is-present"], at(1));
    assert_eq!(facts.items["passcode.is-compliant"], at(2));
    let full = json!({ "StatusItems": { "passcode": { "is-present": true } }, "FullReport": true });
    assert_eq!(facts.status_report(&full, at(3)), Ok(true));
    assert_eq!(facts.items.len(), 1, "what a full report does not name is gone");
}

#[test]
fn a_certificate_is_kept_by_its_fingerprint() {
    let mut facts = Facts::default();
    status(
        &mut facts,
        &json!({ "StatusItems": { "security": { "certificate": { "list": [
            { "identifier": "c", "subject-summary": "Root", "is-identity": false, "data": "AAEC" }] } } } }),
    );
    let list = &facts.reports[&Source::StatusReport].value["security"]["certificate"]["list"];
    assert_eq!(
        list,
        &json!([{ "identifier": "c", "subject-summary": "Root", "is-identity": false,
                  "sha256": Digest::of(&[0, 1, 2]).to_string() }])
    );
    let listed = json!([{ "CommonName": "Root", "IsIdentity": false, "Data": "AAEC", "More": 1 }]);
    facts.answer(Source::CertificateList, &listed, at(1));
    assert_eq!(
        facts.reports[&Source::CertificateList].value,
        json!([{ "CommonName": "Root", "IsIdentity": false, "sha256": Digest::of(&[0, 1, 2]).to_string() }])
    );
}

#[test]
fn a_long_list_never_crowds_out_a_fact_and_is_never_kept_in_part() {
    let mut facts = Facts::default();
    let apps = |range: std::ops::Range<u32>| -> Vec<Value> {
        let app = |n| json!({ "identifier": format!("com.example.app{n}"), "name": "x".repeat(100) });
        range.map(app).collect()
    };
    status(
        &mut facts,
        &json!({ "StatusItems": { "app": { "managed": { "list": apps(0..2_000) } }, "softwareupdate": { "install-state": "none" } } }),
    );
    let tree = |facts: &Facts| facts.reports[&Source::StatusReport].value.clone();
    assert_eq!(
        tree(&facts),
        json!({ "softwareupdate": { "install-state": "none" } })
    );
    // One more app would look like the only one.
    let more = json!({ "StatusItems": { "app": { "managed": { "list": apps(0..1) } } } });
    status(&mut facts, &more);
    assert_eq!(
        tree(&facts),
        json!({ "softwareupdate": { "install-state": "none" } })
    );
    let full = json!({ "StatusItems": { "app": { "managed": { "list": apps(0..2) } } }, "FullReport": true });
    status(&mut facts, &full);
    assert_eq!(tree(&facts)["app"]["managed"]["list"], json!(apps(0..2)));
}

#[test]
fn the_order_of_a_list_is_no_news_and_what_nobody_asked_for_is_not_kept() {
    let mut facts = Facts::default();
    let app = |identifier: &str| json!({ "Identifier": identifier, "Version": "1", "BundleSize": 7 });
    assert!(facts.answer(
        Source::InstalledApplicationList,
        &json!([app("b"), app("a")]),
        at(1)
    ));
    assert!(!facts.answer(
        Source::InstalledApplicationList,
        &json!([app("a"), app("b")]),
        at(2)
    ));
    assert_eq!(
        facts.reports[&Source::InstalledApplicationList].value,
        json!([{ "Identifier": "a", "Version": "1" }, { "Identifier": "b", "Version": "1" }])
    );
    let user = json!([{ "UserName": "a", "FullName": "Some Body", "HasSecureToken": true }]);
    facts.answer(Source::UserList, &user, at(1));
    assert_eq!(
        facts.reports[&Source::UserList].value,
        json!([{ "HasSecureToken": true, "UserName": "a" }])
    );
    let many: Vec<Value> = (0..5_000).map(|n| app(&format!("com.example.app{n}"))).collect();
    facts.answer(Source::InstalledApplicationList, &json!(many), at(3));
    assert_eq!(
        facts.reports[&Source::InstalledApplicationList].value,
        Value::Null
    );
    assert!(
        facts
            .variables()
            .roots()
            .all(|(name, _)| name != "InstalledApplicationList"),
        "what did not fit was not reported"
    );
}

#[test]
fn a_status_item_stands_in_for_the_answer_of_a_command_while_it_is_newer() {
    let mut facts = Facts::default();
    let seen = |facts: &Facts| {
        let variables = facts.variables();
        let (_, root) = variables.roots().find(|(name, _)| *name == "SecurityInfo")?;
        let value = root.get("FDE_Enabled")?.clone();
        Some((
            value,
            variables.source_of(Source::SecurityInfo, Some("FDE_Enabled")),
        ))
    };
    assert_eq!(seen(&facts), None);
    let item = |on: bool| json!({ "StatusItems": { "diskmanagement": { "filevault": { "enabled": on } } } });
    facts.status_report(&item(true), at(1)).unwrap();
    assert_eq!(seen(&facts), Some((json!(true), Source::StatusReport)));
    facts.security_info(&json!({ "FDE_Enabled": false, "X": 1 }), at(2));
    assert_eq!(seen(&facts), Some((json!(false), Source::SecurityInfo)));
    facts.status_report(&item(true), at(3)).unwrap();
    assert_eq!(seen(&facts), Some((json!(true), Source::StatusReport)));
    let both = facts.variables();
    let (_, root) = both.roots().find(|(name, _)| *name == "SecurityInfo").unwrap();
    assert_eq!(root["X"], json!(1), "the other keys stay");
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

/// An entry of a keyed list that a report tells: its key, and its value or that it went.
fn entries() -> impl Strategy<Value = Vec<(u8, Option<u8>)>> {
    prop::collection::vec((0..4_u8, prop::option::of(any::<u8>())), 0..6)
}

proptest! {
    #[test]
    fn what_changed_bit_by_bit_is_what_a_full_report_would_tell(reports in prop::collection::vec(entries(), 0..6)) {
        let mut facts = Facts::default();
        let mut wanted: BTreeMap<u8, u8> = BTreeMap::new();
        for report in reports {
            let mut list = Vec::new();
            for (key, value) in report {
                if let Some(value) = value {
                    wanted.insert(key, value);
                    list.push(json!({ "identifier": key.to_string(), "version": value }));
                } else {
                    wanted.remove(&key);
                    list.push(json!({ "identifier": key.to_string(), "_removed": true }));
                }
            }
            status(&mut facts, &json!({ "StatusItems": { "mdm": { "app": list } } }));
        }
        let told = facts.reports.get(&Source::StatusReport).and_then(|report| report.value.pointer("/mdm/app")?.as_array());
        let told: BTreeMap<u8, u8> = told.into_iter().flatten().map(|entry| {
            let key = entry["identifier"].as_str().unwrap().parse().unwrap();
            (key, u8::try_from(entry["version"].as_u64().unwrap()).unwrap())
        }).collect();
        prop_assert_eq!(told, wanted);
    }

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
