#![expect(
    clippy::needless_pass_by_value,
    reason = "tests read better with the data in its place"
)]

use serde_json::json;

use super::*;

fn baseline(spec: Value) -> BaselineSpec {
    let mut whole = json!({ "title": "t", "version": "1", "platforms": [{ "name": "macOS" }], "rules": [] });
    whole
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn found(spec: Value) -> Vec<String> {
    check_baseline(&baseline(spec))
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn rule(more: Value) -> Value {
    let mut rule = json!({ "id": "r", "title": "t" });
    rule.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    rule
}

fn firewall(id: &str, content: Value) -> Value {
    json!({ "id": id, "title": "t", "enforce": [{ "profile": { "payloadType": "com.apple.security.firewall", "content": content } }] })
}

#[test]
fn a_good_baseline_has_no_mistakes() {
    let spec = json!({
        "parameters": [{ "name": "delay", "type": "Integer", "default": 5, "minimum": 1, "maximum": 9, "allowed": [5, 6] },
            { "name": "apps", "type": "StringList", "default": ["a"], "allowed": ["a", "b"] }],
        "rules": [
            rule(json!({ "check": { "cel": "SecurityInfo.FDE_Enabled && params.delay > 1" } })),
            firewall("f", json!({ "EnableFirewall": true, "Delay": "$(delay)", "Blob": { "$data": "AQID" } })),
            firewall("g", json!({ "EnableFirewall": true })),
        ]
    });
    assert_eq!(found(spec), Vec::<String>::new());
}

#[test]
fn parameters_must_make_sense() {
    assert_eq!(
        found(json!({ "parameters": [
            { "name": "a", "type": "Integer", "default": "5" },
            { "name": "a", "type": "Boolean", "default": true, "minimum": 1 },
            { "name": "b", "type": "Integer", "default": 5, "minimum": 9, "maximum": 1 },
            { "name": "c", "type": "String", "default": "z", "allowed": ["x", 1] },
        ] })),
        [
            "spec.parameters[0].default: parameter `a` is \"5\", but must be a whole number",
            "spec.parameters[1].name: there is another parameter `a`",
            "spec.parameters[1]: minimum and maximum are for an Integer only",
            "spec.parameters[2].minimum: minimum is larger than maximum",
            "spec.parameters[2].default: parameter `b` is 5, but must be at least 9",
            "spec.parameters[3].allowed[1]: parameter `c` is 1, but must be a text of at most 4096 bytes",
            "spec.parameters[3].default: parameter `c` is \"z\", but must be one of \"x\", 1",
        ]
    );
}

#[test]
fn rules_are_checked_with_their_place() {
    assert_eq!(
        found(
            json!({ "parameters": [{ "name": "delay", "type": "Integer", "default": 5 }], "rules": [
            rule(json!({ "check": { "cel": "SecurityInfo.X == params.dely" } })),
            rule(json!({ "check": { "cel": "SecurtyInfo.X" }, "platforms": [{ "name": "iOS" }, { "name": "macOS", "minimumVersion": "15.10", "beforeVersion": "15.2" }] })),
        ] })
        ),
        [
            "spec.rules[0].check.cel: there is no parameter `dely`; did you mean `delay`?",
            "spec.rules[1].id: there is another rule `r`",
            "spec.rules[1].platforms[1]: no version is both 15.10 or later and before 15.2",
            "spec.rules[1].platforms[0]: the baseline is not for iOS",
            "spec.rules[1].check.cel: `SecurtyInfo` is not known here; known are SecurityInfo, DeviceInformation, StatusItems, CertificateList, InstalledApplicationList, ManagedApplicationList, Restrictions, UserList, params; did you mean `SecurityInfo`?",
        ]
    );
}

#[test]
fn content_is_checked_with_its_place() {
    assert_eq!(
        found(json!({ "rules": [
            firewall("f", json!({ "PayloadUUID": "x", "A": [null], "B": "$(nope)" })),
            { "id": "d", "title": "t", "enforce": [{ "declaration": { "type": "com.apple.configuration.passcode.setting", "payload": {} } }] },
        ] })),
        [
            "spec.rules[0].enforce[0].profile.content.PayloadUUID: Provost derives this key; leave it out",
            "spec.rules[0].enforce[0].profile.content.A[0]: is null, which a device cannot be told; leave the key out",
            "spec.rules[0].enforce[0].profile.content: there is no parameter `nope`",
            "spec.rules[1].enforce[0].declaration.type: there is no declaration type `com.apple.configuration.passcode.setting`; did you mean `com.apple.configuration.passcode.settings`?",
        ]
    );
}

#[test]
fn rules_that_contradict_each_other_on_some_device_are_both_named() {
    assert_eq!(
        found(
            json!({ "rules": [firewall("on", json!({ "EnableFirewall": true })), firewall("off", json!({ "EnableFirewall": false }))] })
        ),
        [
            "spec.rules[1]: rules `on` and `off` want different values for com.apple.security.firewall: EnableFirewall (on macOS)"
        ]
    );
    let ranged = |id: &str, on: bool, range: Value| {
        let mut rule = firewall(id, json!({ "EnableFirewall": on }));
        rule["platforms"] = json!([range]);
        rule
    };
    let below = ranged("on", true, json!({ "name": "macOS", "beforeVersion": "15" }));
    let above = ranged("off", false, json!({ "name": "macOS", "minimumVersion": "15" }));
    assert_eq!(
        found(json!({ "rules": [below.clone(), above] })),
        Vec::<String>::new()
    );
    let overlapping = ranged("off", false, json!({ "name": "macOS", "minimumVersion": "14.5" }));
    let mistakes = found(json!({ "rules": [below, overlapping] }));
    assert_eq!(mistakes.len(), 1);
    assert!(
        mistakes[0].ends_with("EnableFirewall (on macOS 14.5)"),
        "{mistakes:?}"
    );
}

#[test]
fn a_profile_is_checked_too_and_has_no_parameters() {
    let spec: ProfileSpec = serde_json::from_value(json!({ "title": "t",
        "payloads": [{ "payloadType": "com.apple.dock", "content": { "a": "$(x)", "PayloadVersion": 1 } }],
        "declarations": [{ "type": "com.apple.configuration.legcy", "payload": {} }] }))
    .unwrap();
    let mistakes: Vec<String> = check_profile(&spec).iter().map(ToString::to_string).collect();
    assert_eq!(
        mistakes,
        [
            "spec.payloads[0].content.PayloadVersion: Provost derives this key; leave it out",
            "spec.payloads[0].content: there is no parameter `x`",
            "spec.declarations[0].type: there is no declaration type `com.apple.configuration.legcy`; did you mean `com.apple.configuration.legacy`?",
        ]
    );
}

#[test]
fn a_group_is_checked_where_its_mistake_is() {
    let spec: DeviceGroupSpec =
        serde_json::from_value(json!({ "expression": "device.platfrom == 'macOS'" })).unwrap();
    assert_eq!(
        check_group(&spec)[0].to_string(),
        "spec.expression: `device` has no `platfrom`; did you mean `platform`?"
    );
    assert_eq!(
        check_group(&serde_json::from_value(json!({ "selector": {} })).unwrap()),
        []
    );
}

#[test]
fn an_assignment_is_checked_against_its_baselines() {
    let cis = baseline(
        json!({ "parameters": [{ "name": "delay", "type": "Integer", "default": 5, "maximum": 9 }],
        "rules": [firewall("firewall", json!({ "EnableFirewall": true }))] }),
    );
    let baselines = BTreeMap::from([("cis".to_owned(), Arc::new(cis))]);
    let spec: AssignmentSpec = serde_json::from_value(json!({ "groups": [{ "name": "g" }], "baselines": [
        { "name": "cis", "parameters": { "delay": 10, "dela": 1 }, "excludeRules": [{ "rule": "firewal", "reason": "x" }] },
        { "name": "cis" }, { "name": "sic" } ] })).unwrap();
    let mistakes: Vec<String> = check_assignment_against(&spec, &baselines)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        mistakes,
        [
            "spec.baselines[0].parameters.delay: parameter `delay` is 10, but must be at most 9",
            "spec.baselines[0].parameters.dela: there is no parameter `dela`; did you mean `delay`?",
            "spec.baselines[0].excludeRules[0].rule: baseline `cis` has no rule `firewal`; did you mean `firewall`?",
            "spec.baselines[1].name: baseline `cis` is named twice",
            "spec.baselines[2].name: there is no Baseline `sic`",
        ]
    );
}
