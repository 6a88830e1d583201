use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::BaselineSpec;
use crate::api::assignment::AssignmentMode;
use crate::api::common::{EnrollmentMode, ParameterValues, Platform};
use crate::compliance::Checks;
use crate::compliance::waiver::Waiver;
use crate::policy::platform::Lacks;
use crate::policy::schema::Schema;
use crate::policy::{AssignmentInput, BaselineInput, DeviceClass, OsVersion, Resolved};

const FIREWALL: &str = "com.apple.security.firewall";
const FILEVAULT: &str = "com.apple.MCX.FileVault2";
const PASSCODE: &str = "com.apple.configuration.passcode.settings";

fn mac() -> DeviceClass {
    DeviceClass {
        platform: Platform::MacOS,
        os_version: OsVersion::read("26.0"),
        mode: EnrollmentMode::Supervised,
        declarative: true,
        lacks: Lacks::default(),
    }
}

fn spec(rules: &Value) -> Arc<BaselineSpec> {
    let spec = json!({ "title": "b", "version": "1", "rules": rules, "platforms": [{ "name": "macOS", "minimumVersion": "14" }],
        "parameters": [{ "name": "oldest", "type": "String", "default": "15" }] });
    Arc::new(serde_json::from_value(spec).unwrap())
}

fn assignment(mode: AssignmentMode, spec: Arc<BaselineSpec>) -> AssignmentInput {
    AssignmentInput {
        name: "macs".into(),
        revision: None,
        mode,
        precedence: 0,
        baselines: vec![BaselineInput {
            name: "b".into(),
            baseline: Resolved::alone(spec),
            parameters: ParameterValues::new(),
            excluded: Vec::new(),
            revision: None,
        }],
        profiles: Vec::new(),
    }
}

fn enforced(rules: &Value) -> Arc<[AssignmentInput]> {
    Arc::from([assignment(AssignmentMode::Enforce, spec(rules))])
}

fn by_profile(id: &str, type_: &str, content: &Value) -> Value {
    json!({ "id": id, "title": id, "enforce": [{ "profile": { "payloadType": type_, "content": content } }] })
}

fn checked(id: &str, cel: &str) -> Value {
    json!({ "id": id, "title": id, "check": { "cel": cel } })
}

fn effects(before: &Value, after: &Value, devices: Vec<KnownDevice>) -> Effects {
    let cohort = Cohort {
        class: mac(),
        before: enforced(before),
        after: enforced(after),
        devices,
    };
    compare("fleet", &[cohort], &Checks::default())
}

fn told(effects: &Effects) -> Vec<String> {
    let settings = effects.settings.iter();
    settings
        .map(|setting| {
            let value =
                |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
            let (before, after) = (value(&setting.before), value(&setting.after));
            format!("{} {} {before} {after}", setting.change, setting.path.join("."))
        })
        .collect()
}

fn flips(effects: &Effects) -> Vec<String> {
    let verdicts = effects.verdicts.iter();
    verdicts
        .map(|flip| {
            format!(
                "{}: {} to {} on {}",
                flip.rule, flip.from, flip.to, flip.touched.devices
            )
        })
        .collect()
}

fn device(name: &str, os_version: &str, failing: &[&str]) -> KnownDevice {
    KnownDevice {
        name: name.into(),
        os_version: os_version.to_owned(),
        failing: failing.iter().map(|rule| (*rule).into()).collect(),
        shortfalls_are_whole: true,
        ..KnownDevice::default()
    }
}

#[test]
fn a_setting_that_is_no_longer_made_is_removed_and_the_rest_stays() {
    let both = json!([
        by_profile("on", FIREWALL, &json!({ "EnableFirewall": true })),
        by_profile(
            "stealth",
            FIREWALL,
            &json!({ "EnableStealthMode": true, "AllowSigned": true })
        ),
    ]);
    let one = json!([
        by_profile("on", FIREWALL, &json!({ "EnableFirewall": true })),
        by_profile("signed", FIREWALL, &json!({ "AllowSigned": false })),
    ]);
    let effects = effects(&both, &one, vec![device("a", "26.0", &[])]);
    assert_eq!(
        told(&effects),
        [
            "removed EnableStealthMode true -",
            "changed AllowSigned true false"
        ]
    );
    assert_eq!(effects.settings[0].by_before, ["b/stealth".into()]);
    assert_eq!(
        flips(&effects),
        [
            "b/signed: not demanded to unknown until reported on 1",
            "b/stealth: pass to not demanded on 1"
        ]
    );
    // The firewall's profile is another one: the rule that asks the same is proven anew.
    assert_eq!((effects.renewed.rules, effects.renewed.touched.devices), (1, 1));
    assert_eq!(effects.classes.len(), 1);
}

#[test]
fn a_rule_that_only_audits_no_longer_enforces() {
    let rules = json!([by_profile("on", FIREWALL, &json!({ "EnableFirewall": true }))]);
    let cohort = Cohort {
        class: mac(),
        before: enforced(&rules),
        after: Arc::from([assignment(AssignmentMode::Audit, spec(&rules))]),
        devices: Vec::new(),
    };
    let effects = compare("fleet", &[cohort], &Checks::default());
    assert_eq!(told(&effects), ["removed EnableFirewall true -"]);
    assert_eq!(flips(&effects), ["b/on: not known here to unknown on 0"]);
}

#[test]
fn verdicts_that_a_device_s_system_decides_are_foretold() {
    let rule = |version: &str| {
        let cel = format!("versionCompare(DeviceInformation.OSVersion, '{version}') >= 0");
        json!([checked("system", &cel)])
    };
    let fleet = vec![
        device("old", "14.8", &["b/system"]),
        device("between", "15.7", &[]),
        device("new", "26.1", &[]),
        KnownDevice {
            shortfalls_are_whole: false,
            ..device("silent", "", &[])
        },
    ];
    let effects = effects(&rule("15"), &rule("26"), fleet);
    assert_eq!(told(&effects), [""; 0]);
    assert_eq!(
        flips(&effects),
        [
            "b/system: pass to fail on 1",
            "b/system: not known here to decided by its facts on 1"
        ]
    );
}

/// A waiver of `b/x`, by its name.
fn waiver(name: &str) -> Vec<Arc<Waiver>> {
    vec![Arc::new(Waiver {
        name: name.into(),
        rules: ["x".into()].into(),
        baseline: None,
        reason: "r".into(),
        approved_by: "a".into(),
        expires_at: jiff::Timestamp::MAX,
    })]
}

#[test]
fn a_waiver_that_comes_waives_what_does_not_hold_and_one_that_goes_brings_it_back() {
    let rule = json!([checked("x", "has(SecurityInfo.FDE_Enabled)")]);
    let covered = |device: KnownDevice, before: &[&str], after: &[&str]| {
        let both = |names: &[&str]| names.iter().flat_map(|name| waiver(name)).collect();
        let waivers = Waivers {
            before: both(before),
            after: both(after),
        };
        KnownDevice { waivers, ..device }
    };
    let waived = |name: &str| KnownDevice {
        waived: ["b/x".into()].into(),
        ..device(name, "26.0", &[])
    };
    let comes = vec![
        covered(device("fails", "26.0", &["b/x"]), &[], &["lab"]),
        covered(device("passes", "26.0", &[]), &[], &["lab"]),
        covered(waived("is waived by another"), &[], &["lab"]),
    ];
    assert_eq!(flips(&effects(&rule, &rule, comes)), ["b/x: fail to waived on 1"]);
    let goes = vec![
        covered(waived("was waived by this one"), &["lab"], &[]),
        covered(waived("is waived still"), &["lab"], &["lab", "yard"]),
        covered(device("has failed all the same", "26.0", &["b/x"]), &["lab"], &[]),
        covered(device("passes", "26.0", &[]), &["lab"], &[]),
    ];
    assert_eq!(
        flips(&effects(&rule, &rule, goes)),
        ["b/x: waived to fail on 1", "b/x: waived to fail or unknown on 1"]
    );
    // What is asked otherwise stays waived until a device has passed.
    let asked = json!([by_profile("x", FIREWALL, &json!({ "EnableFirewall": true }))]);
    let stays = vec![covered(waived("waived"), &["lab"], &["lab"])];
    assert_eq!(flips(&effects(&rule, &asked, stays)), [""; 0]);
}

#[test]
fn what_a_device_keeps_to_itself_is_not_guessed() {
    // `has` gives an answer where nothing is known.
    let rule = |cel: &str| json!([checked("x", cel)]);
    let effects = effects(
        &rule("has(SecurityInfo.FDE_Enabled)"),
        &rule("!has(SecurityInfo.FDE_Enabled)"),
        vec![device("a", "26.0", &["b/x"])],
    );
    assert_eq!(flips(&effects), ["b/x: fail to decided by its facts on 1"]);
}

#[test]
fn a_new_contradiction_is_told_and_takes_the_setting_away() {
    let before = json!([by_profile("one", FIREWALL, &json!({ "EnableFirewall": true }))]);
    let after = json!([
        by_profile("one", FIREWALL, &json!({ "EnableFirewall": true })),
        by_profile("two", FIREWALL, &json!({ "EnableFirewall": false })),
    ]);
    let effects = effects(&before, &after, vec![device("a", "26.0", &[])]);
    assert_eq!(told(&effects), ["removed EnableFirewall true -"]);
    assert_eq!(effects.conflicts.len(), 1);
    assert_eq!(effects.conflicts[0].change, Change::Added);
    assert_eq!(
        flips(&effects),
        [
            "b/one: pass to unknown on 1",
            "b/two: not demanded to unknown on 1"
        ]
    );
}

#[test]
fn what_cannot_be_undone_is_said_when_it_happens() {
    let none = json!([by_profile("x", FIREWALL, &json!({ "EnableFirewall": true }))]);
    let mut rules = none.as_array().unwrap().clone();
    rules.push(by_profile(
        "disk",
        FILEVAULT,
        &json!({ "Enable": "On", "Defer": true }),
    ));
    rules.push(json!({ "id": "code", "title": "code", "enforce": [
        { "declaration": { "type": PASSCODE, "payload": { "MinimumLength": 8, "MaximumFailedAttempts": 5 } } }
    ] }));
    let rules = Value::Array(rules);
    let lasting = |effects: &Effects| -> Vec<String> {
        let settings = effects.settings.iter();
        let lasting = settings.filter(|setting| !setting.lasting.is_empty());
        lasting.map(|setting| setting.path.join(".")).collect()
    };
    assert_eq!(
        lasting(&effects(&none, &rules, Vec::new())),
        ["Enable", "MaximumFailedAttempts", "MinimumLength"].map(String::from)
    );
    assert_eq!(lasting(&effects(&rules, &none, Vec::new())), [""; 0]);
}

#[test]
fn the_table_of_what_lasts_names_types_and_keys_of_apple_s() {
    let schema = Schema::embedded();
    let types = || schema.profiles.iter().chain(&schema.declarations);
    for lasting in LASTING {
        for type_ in lasting.types {
            let found =
                types().any(|(name, _)| name == type_ || type_.ends_with('.') && name.starts_with(type_));
            assert!(found, "Apple has no type {type_}");
        }
        for key in lasting.keys.iter().filter(|key| **key != "Set-Once") {
            let of_types = types().filter(|(name, _)| lasting.types.contains(&name.as_str()));
            let mut open: Vec<_> = of_types.map(|(_, facts)| &facts.keys).collect();
            let mut found = false;
            while let Some(keys) = open.pop() {
                found |= keys.contains_key(*key);
                open.extend(keys.values().map(|key| &key.keys).filter(|keys| !keys.is_empty()));
            }
            assert!(found, "Apple has no key {key} in {:?}", lasting.types);
        }
    }
}

#[test]
fn classes_begin_where_something_begins() {
    let assignment = assignment(
        AssignmentMode::Enforce,
        spec(&json!([
            { "id": "a", "title": "a", "platforms": [{ "name": "macOS", "beforeVersion": "26" }],
              "enforce": [{ "profile": { "payloadType": FIREWALL, "content": { "EnableFirewall": true } } }] }
        ])),
    );
    let classes = classes_concerned([&assignment]);
    assert!(classes.iter().all(|class| class.platform == Platform::MacOS));
    let of = |version: &str| {
        let version = OsVersion::read(version);
        classes
            .iter()
            .filter(move |class| class.os_version == version)
            .count()
    };
    assert_eq!((of("13.0"), of("14.0"), of("26.0")), (0, 3, 3));
}

#[test]
fn rules_are_compared_by_what_they_say_and_by_the_parameters_they_use() {
    let one = |rules: &Value| BTreeMap::from([(Arc::<str>::from("b"), spec(rules))]);
    let before = one(&json!([
        checked("a", "params.oldest == '1'"),
        checked("b", "true"),
        checked("c", "true")
    ]));
    let mut after = one(&json!([
        checked("a", "params.oldest == '1'"),
        checked("b", "false"),
        checked("d", "true")
    ]));
    let changed = after.get_mut("b").unwrap();
    Arc::make_mut(changed).parameters[0].default = json!("26");
    let found = rules(&before, &after);
    let found: Vec<_> = found
        .iter()
        .map(|rule| format!("{} {} {}", rule.rule, rule.change, rule.fields.join(" ")))
        .collect();
    assert_eq!(
        found,
        [
            "a changed parameters.oldest",
            "b changed check",
            "c removed ",
            "d added "
        ]
    );
}

/// Some rules of a few payloads, declarations and checks.
fn some_rules() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        Just(json!(["x"])),
        Just(json!(["y", "x"]))
    ];
    let key = prop_oneof![Just("EnableFirewall"), Just("AllowSigned"), Just("Applications")];
    let rule = (key, value, 0..3_u8).prop_map(|(key, value, kind)| match kind {
        0 => by_profile("", FIREWALL, &json!({ key: value })),
        1 => json!({ "enforce": [{ "declaration": { "type": PASSCODE, "payload": { key: value } } }] }),
        _ => json!({ "check": { "cel": format!("SecurityInfo.{key} == true") } }),
    });
    prop::collection::vec(rule, 0..6).prop_map(|rules| {
        let rules = rules.into_iter().enumerate().map(|(n, mut rule)| {
            rule["id"] = json!(format!("r{n}"));
            rule["title"] = json!("rule");
            rule
        });
        rules.collect()
    })
}

proptest! {
    #[test]
    fn a_policy_does_not_differ_from_itself(rules in some_rules()) {
        let found = effects(&rules, &rules, vec![device("a", "26.0", &[])]);
        prop_assert_eq!(found, Effects::default());
    }

    #[test]
    fn backwards_everything_is_the_other_way_round(before in some_rules(), after in some_rules()) {
        let (forth, back) = (effects(&before, &after, Vec::new()), effects(&after, &before, Vec::new()));
        let sorted = |effects: &Effects, reverse: bool| {
            let mut settings: Vec<_> = effects.settings.iter().map(|setting| {
                let mut setting = setting.clone();
                setting.lasting.clear();
                if reverse {
                    std::mem::swap(&mut setting.before, &mut setting.after);
                    std::mem::swap(&mut setting.by_before, &mut setting.by_after);
                    setting.change = setting.change.reversed();
                }
                format!("{setting:?}")
            }).collect();
            settings.sort();
            settings
        };
        prop_assert_eq!(sorted(&forth, false), sorted(&back, true));
        let conflicts = |effects: &Effects, reverse: bool| {
            let mut conflicts: Vec<_> = effects.conflicts.iter().map(|conflict| {
                let change = if reverse { conflict.change.reversed() } else { conflict.change };
                (change, conflict.message.clone())
            }).collect();
            conflicts.sort();
            conflicts
        };
        prop_assert_eq!(conflicts(&forth, false), conflicts(&back, true));
        let asked = |effects: &Effects| -> Vec<Arc<str>> {
            effects.verdicts.iter().map(|flip| Arc::clone(&flip.rule)).collect()
        };
        // What is known of a verdict differs by the direction; that something is asked otherwise does not, save for what stays unknown.
        prop_assert_eq!(forth.classes.len(), back.classes.len());
        let only: Vec<_> = asked(&forth).into_iter().filter(|rule| !asked(&back).contains(rule)).collect();
        prop_assert!(only.is_empty(), "{only:?}");
    }
}
