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
    let findings = check_baseline(&baseline(spec), Schema::embedded());
    findings.errors.iter().map(ToString::to_string).collect()
}

fn warned(spec: Value) -> Vec<String> {
    let findings = check_baseline(&baseline(spec), Schema::embedded());
    assert_eq!(findings.errors, []);
    findings.warnings.iter().map(ToString::to_string).collect()
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
    let findings = check_profile(&spec, Schema::embedded());
    let mistakes: Vec<String> = findings.errors.iter().map(ToString::to_string).collect();
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
    let baselines = BTreeMap::from([("cis".to_owned(), Resolved::alone(Arc::new(cis)))]);
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

/// A rule on Macs with one payload, or on other devices by `more`.
fn enforcing(payload_type: &str, content: Value, more: Value) -> Value {
    let mut rule = json!({ "id": "r", "title": "t",
        "enforce": [{ "profile": { "payloadType": payload_type, "content": content } }] });
    rule.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    rule
}

fn declaring(declaration_type: &str, payload: Value, range: Value) -> Value {
    json!({ "id": "r", "title": "t", "platforms": [range],
        "enforce": [{ "declaration": { "type": declaration_type, "payload": payload } }] })
}

#[test]
fn a_value_of_a_wrong_type_is_refused_at_its_place() {
    let rule = enforcing("com.apple.MCX.FileVault2", json!({ "Enable": true }), json!({}));
    assert_eq!(
        found(json!({ "rules": [rule] })),
        ["spec.rules[0].enforce[0].profile.content.Enable: is true or false; give it one of `On` or `Off`"]
    );
}

#[test]
fn unknown_keys_warn_in_a_profile_and_refuse_a_declaration() {
    let rule = enforcing(
        "com.apple.security.firewall",
        json!({ "EnableFirewal": true }),
        json!({}),
    );
    assert_eq!(
        warned(json!({ "rules": [rule] })),
        [
            "spec.rules[0].enforce[0].profile.content.EnableFirewal: there is no such key; did you mean `EnableFirewall`?",
            "spec.rules[0]: what the rules set in com.apple.security.firewall lacks EnableFirewall: it is missing; give it true or false"
        ]
    );
    let rule = declaring(
        "com.apple.configuration.softwareupdate.settings",
        json!({ "AutomaticActions": { "InstallSecurityUpdates": "AlwaysOn" } }),
        json!({ "name": "macOS", "minimumVersion": "15" }),
    );
    assert_eq!(
        found(json!({ "rules": [rule] })),
        [
            "spec.rules[0].enforce[0].declaration.payload.AutomaticActions.InstallSecurityUpdates: there is no such key; did you mean `InstallSecurityUpdate`?"
        ]
    );
}

#[test]
fn what_no_device_of_the_rule_can_take_is_refused_and_what_some_cannot_is_told() {
    let before = |minimum: &str, end: &str| {
        enforcing(
            "com.apple.applicationaccess",
            json!({ "allowExternalIntelligenceIntegrations": false }),
            json!({ "platforms": [{ "name": "macOS", "minimumVersion": minimum, "beforeVersion": end }] }),
        )
    };
    let place = "spec.rules[0].enforce[0].profile.content.allowExternalIntelligenceIntegrations";
    assert_eq!(
        found(json!({ "rules": [before("14", "15.2")] })),
        [format!(
            "{place}: needs macOS 15.2 or later; limit it to macOS with minimumVersion: \"15.2\""
        )]
    );
    assert_eq!(
        warned(json!({ "rules": [before("15", "26")] })),
        [format!(
            "{place}: needs macOS 15.2 or later, and some of the devices that it is for do not meet that; limit it to macOS with minimumVersion: \"15.2\""
        )]
    );
    assert_eq!(
        warned(json!({ "rules": [before("15.2", "26")] })),
        Vec::<String>::new()
    );
}

#[test]
fn a_fallback_is_judged_only_where_it_is_chosen() {
    let rule = json!({ "id": "r", "title": "t", "platforms": [{ "name": "macOS", "minimumVersion": "14" }], "enforce": [
        { "declaration": { "type": "com.apple.configuration.softwareupdate.settings", "payload": { "RapidSecurityResponse": { "Enable": true } } } },
        { "profile": { "payloadType": "com.apple.SoftwareUpdate", "content": { "CriticalUpdateInstall": true } } },
    ] });
    // From macOS 15 on the declaration is there, and so nobody is sent what macOS 27 no longer has.
    assert_eq!(warned(json!({ "rules": [rule] })), Vec::<String>::new());
}

#[test]
fn the_kind_of_enrolment_is_judged_where_it_is_named() {
    let rule = |modes: Value| {
        json!({ "platforms": [{ "name": "iOS" }], "rules": [enforcing(
            "com.apple.applicationaccess",
            json!({ "allowAppInstallation": false }),
            json!({ "platforms": [{ "name": "iOS", "minimumVersion": "18", "enrollmentModes": modes }] }),
        )] })
    };
    assert_eq!(warned(rule(json!(["Supervised"]))), Vec::<String>::new());
    let mistakes = found(rule(json!(["User"])));
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    let remarks = warned(rule(json!(["Supervised", "Device"])));
    assert_eq!(
        remarks,
        [
            "spec.rules[0].enforce[0].profile.content.allowAppInstallation: needs a supervised device, and some of the devices that it is for do not meet that; limit it to enrollmentModes: [Supervised]"
        ]
    );
}

#[test]
fn a_declaration_that_none_of_its_devices_takes_is_refused() {
    let rule = declaring(
        "com.apple.configuration.diskmanagement.settings",
        json!({ "Restrictions": { "ExternalStorage": "ReadOnly" } }),
        json!({ "name": "macOS", "minimumVersion": "13", "beforeVersion": "15" }),
    );
    assert_eq!(
        found(json!({ "rules": [rule] })),
        [
            "spec.rules[0].enforce[0].declaration.type: com.apple.configuration.diskmanagement.settings needs macOS 15.0"
        ]
    );
}

#[test]
fn every_value_that_a_parameter_may_have_is_tried() {
    let spec = json!({ "parameters": [{ "name": "length", "type": "Integer", "default": 8, "minimum": 4, "maximum": 99 }],
        "rules": [declaring("com.apple.configuration.passcode.settings", json!({ "MinimumLength": "$(length)" }),
            json!({ "name": "macOS", "minimumVersion": "14" }))] });
    assert_eq!(
        found(spec),
        [
            "spec.rules[0].enforce[0].declaration.payload.MinimumLength: cannot be 99 (with a value that a parameter may have); give it an integer from 0 to 16"
        ]
    );
}

#[test]
fn rules_that_together_leave_out_what_must_be_there_are_told() {
    let mail = enforcing(
        "com.apple.mail.managed",
        json!({ "disableMailRecentsSyncing": true }),
        json!({}),
    );
    let remarks = warned(json!({ "rules": [mail] }));
    assert!(
        !remarks.is_empty()
            && remarks.iter().all(|remark| remark
                .starts_with("spec.rules[0]: what the rules set in com.apple.mail.managed lacks ")),
        "{remarks:?}"
    );
}

#[test]
fn managed_preferences_may_be_written_by_domain() {
    let preferences = |content: Value| {
        json!({ "rules": [rule(json!({ "enforce": [{ "profile": {
            "payloadType": "com.apple.ManagedClient.preferences", "content": content } }] }))] })
    };
    let plain = json!({ "com.apple.timed": { "TMAutomaticTimeOnlyEnabled": true } });
    assert_eq!(warned(preferences(plain)), Vec::<String>::new());
    // What is not all domains is taken as it stands.
    let mixed = json!({ "com.apple.timed": { "TMAutomaticTimeOnlyEnabled": true }, "x": 1 });
    assert_ne!(warned(preferences(mixed)), Vec::<String>::new());
}
