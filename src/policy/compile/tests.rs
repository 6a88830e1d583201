#![expect(
    clippy::needless_pass_by_value,
    reason = "tests read better with the data in its place"
)]

mod coverage;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::common::{EnrollmentMode, Platform};
use crate::compliance::judge;
use crate::policy::{Lacks, OsVersion};

fn class(platform: Platform, version: &str, declarative: bool) -> DeviceClass {
    DeviceClass {
        platform,
        os_version: OsVersion::read(version),
        mode: EnrollmentMode::Supervised,
        declarative,
        lacks: Lacks::default(),
    }
}

fn mac() -> DeviceClass {
    class(Platform::MacOS, "26.0", true)
}

fn old_mac() -> DeviceClass {
    class(Platform::MacOS, "12.7", false)
}

fn baseline(name: &str, rules: Value) -> BaselineInput {
    let spec = json!({ "title": name, "version": "1", "rules": rules, "parameters": [
        { "name": "delay", "type": "Integer", "default": 1200, "minimum": 60, "maximum": 3600 }
    ] });
    BaselineInput {
        name: name.into(),
        baseline: Resolved::alone(Arc::new(serde_json::from_value(spec).unwrap())),
        parameters: ParameterValues::new(),
        excluded: Vec::new(),
        revision: Some("main@sha1:base".into()),
    }
}

fn assignment(name: &str, precedence: i32, baselines: Vec<BaselineInput>) -> AssignmentInput {
    AssignmentInput {
        name: name.into(),
        revision: None,
        mode: AssignmentMode::Enforce,
        precedence,
        baselines,
        profiles: Vec::new(),
    }
}

fn profile(name: &str, spec: Value) -> ProfileInput {
    ProfileInput {
        name: name.into(),
        spec: Arc::new(serde_json::from_value(spec).unwrap()),
        revision: None,
    }
}

fn compiled(class: DeviceClass, assignments: &[AssignmentInput]) -> Plan {
    compile(&CompileInput {
        namespace: "fleet",
        class,
        assignments,
        public_url: "https://mdm.example.com/",
        checks: &Checks::default(),
    })
}

fn screen_lock() -> Value {
    json!({ "id": "screen-lock", "title": "t", "severity": "High", "enforce": [
        { "profile": { "payloadType": "com.apple.screensaver", "content": { "idleTime": "$(delay)", "askForPassword": true } } } ] })
}

fn passcode(id: &str, length: i64) -> Value {
    json!({ "id": id, "title": "t", "enforce": [
        { "declaration": { "type": "com.apple.configuration.passcode.settings", "payload": { "MinimumLength": length, "RequirePasscode": true } } },
        { "profile": { "payloadType": "com.apple.mobiledevice.passwordpolicy", "content": { "minLength": length, "forcePIN": true } } } ] })
}

fn filevault() -> Value {
    json!({ "id": "filevault", "title": "t", "check": { "cel": "StatusItems.diskmanagement.filevault.enabled" } })
}

fn firewall(id: &str, on: bool) -> Value {
    json!({ "id": id, "title": "t", "enforce": [
        { "profile": { "payloadType": "com.apple.security.firewall", "content": { "EnableFirewall": on } } } ] })
}

fn reason(plan: &Plan, rule: &str) -> String {
    let demand = plan.demands.iter().find(|demand| &*demand.rule == rule).unwrap();
    judge_evidence(&demand.evidence, &Facts::default()).reason
}

fn bodies(plan: &Plan) -> Vec<Value> {
    plan.manifest
        .declarations
        .iter()
        .map(|d| serde_json::from_str(&d.body).unwrap())
        .collect()
}

#[test]
fn an_inherited_rule_tells_where_it_comes_from_and_an_excluded_one_why() {
    let spec = |more: Value| {
        let mut whole = json!({ "title": "t", "version": "1" });
        whole
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        Arc::new(serde_json::from_value(whole).unwrap())
    };
    let family: std::collections::BTreeMap<String, Arc<crate::api::BaselineSpec>> = [
        ("cis".to_owned(), spec(json!({ "rules": [firewall("firewall", true), passcode("passcode", 8)] }))),
        (
            "corp".to_owned(),
            spec(json!({ "extends": [{ "name": "cis", "exclude": [{ "rule": "passcode", "reason": "we have tokens" }] }],
                "rules": [filevault()] })),
        ),
    ]
    .into();
    let found = crate::policy::inheritance::resolve(["corp"], &family);
    let corp = BaselineInput {
        baseline: Arc::clone(&found["corp"]),
        ..baseline("corp", json!([]))
    };
    let plan = compiled(mac(), &[assignment("all", 0, vec![corp])]);
    let told: Vec<(&str, Option<&str>)> = plan
        .demands
        .iter()
        .map(|demand| (&**demand.key(), demand.inherited_from.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("corp/firewall", Some("cis")),
            ("corp/filevault", None),
            ("corp/passcode", Some("cis")),
        ]
    );
    assert_eq!(
        reason(&plan, "passcode"),
        "left out by baseline corp: we have tokens"
    );
    assert!(
        bodies(&plan)
            .iter()
            .all(|body| !body.to_string().contains("MinimumLength"))
    );
}

#[test]
fn a_mac_managed_by_declarations_gets_native_ones_and_profiles_by_declaration() {
    let plan = compiled(
        mac(),
        &[assignment(
            "all",
            0,
            vec![baseline(
                "cis",
                json!([screen_lock(), passcode("passcode", 12), filevault()]),
            )],
        )],
    );
    assert_eq!(plan.conflicts, []);
    insta::assert_json_snapshot!("declarations_of_a_mac", bodies(&plan));
    insta::assert_snapshot!("profile_of_a_mac", plan.manifest.profiles[0].body);
    assert_eq!(plan.manifest.profiles.len(), 1);
    assert_eq!(plan.demands.len(), 3);
    assert_eq!(plan.demands[0].key().as_ref(), "cis/screen-lock");
    assert_eq!(plan.demands[0].revision.as_deref(), Some("main@sha1:base"));
}

#[test]
fn a_device_without_declarations_gets_profiles_only() {
    let plan = compiled(
        old_mac(),
        &[assignment(
            "all",
            0,
            vec![baseline("cis", json!([screen_lock(), passcode("passcode", 12)]))],
        )],
    );
    assert_eq!(plan.manifest.declarations, []);
    let identifiers: Vec<&str> = plan
        .manifest
        .profiles
        .iter()
        .map(|profile| &*profile.identifier)
        .collect();
    assert_eq!(
        identifiers,
        [
            "dev.provost.profile.fleet.com.apple.mobiledevice.passwordpolicy",
            "dev.provost.profile.fleet.com.apple.screensaver"
        ]
    );
    assert!(matches!(
        &plan.demands[1].evidence,
        Evidence::InstalledProfile {
            via_declaration: None,
            ..
        }
    ));
}

#[test]
fn a_device_that_reports_what_it_was_given_passes() {
    let plan = compiled(
        mac(),
        &[assignment(
            "all",
            0,
            vec![baseline(
                "cis",
                json!([screen_lock(), passcode("passcode", 12), filevault()]),
            )],
        )],
    );
    let configurations: Vec<Value> = plan.manifest.declarations.iter()
        .map(|d| json!({ "identifier": d.identifier, "server-token": d.server_token, "active": true, "valid": "valid", "reasons": [] }))
        .collect();
    let mut facts = Facts::default();
    assert!(
        judge(&plan.demands, &facts)
            .iter()
            .all(|judgement| judgement.verdict == Verdict::Unknown)
    );
    facts
        .status_report(
            &json!({ "StatusItems": { "management": { "declarations": { "configurations": configurations } },
        "diskmanagement": { "filevault": { "enabled": true } } } }),
            jiff::Timestamp::UNIX_EPOCH,
        )
        .unwrap();
    assert!(
        judge(&plan.demands, &facts)
            .iter()
            .all(|judgement| judgement.verdict == Verdict::Pass)
    );
}

#[test]
fn the_order_of_everything_does_not_matter() {
    let a = assignment(
        "a",
        0,
        vec![
            baseline("one", json!([screen_lock()])),
            baseline("two", json!([passcode("p", 8), firewall("f", true)])),
        ],
    );
    let b = assignment("b", 3, vec![baseline("three", json!([passcode("p", 9)]))]);
    let mut swapped = a.clone();
    swapped.baselines.reverse();
    let one = compiled(mac(), &[a, b.clone()]);
    let two = compiled(mac(), &[b, swapped]);
    assert_eq!(one, two);
}

#[test]
fn contradicting_rules_are_both_named_and_the_rest_is_served() {
    let rules = json!([firewall("on", true), firewall("off", false), screen_lock()]);
    let plan = compiled(mac(), &[assignment("all", 0, vec![baseline("cis", rules)])]);
    assert_eq!(plan.conflicts.len(), 1);
    assert_eq!(plan.conflicts[0].rules, ["cis/off".into(), "cis/on".into()]);
    assert_eq!(
        plan.conflicts[0].message,
        "cis/off and cis/on want different values for com.apple.security.firewall: EnableFirewall; neither is served"
    );
    assert_eq!(plan.manifest.profiles.len(), 1, "the screen saver");
    assert_eq!(
        reason(&plan, "on"),
        "conflict: com.apple.security.firewall: EnableFirewall contradicts cis/off; neither value is served"
    );
    assert!(matches!(
        plan.demands[2].evidence,
        Evidence::InstalledProfile { .. }
    ));
}

#[test]
fn between_assignments_precedence_decides_and_the_loser_is_not_proven_by_the_winner() {
    let high = assignment(
        "high",
        10,
        vec![baseline("strict", json!([firewall("on", true)]))],
    );
    let low = assignment("low", 0, vec![baseline("lax", json!([firewall("off", false)]))]);
    let plan = compiled(mac(), &[low.clone(), high.clone()]);
    assert_eq!(plan.conflicts, []);
    assert!(
        plan.manifest.profiles[0]
            .body
            .contains("<key>EnableFirewall</key>\n\t\t\t<true/>")
    );
    assert_eq!(
        reason(&plan, "off"),
        "com.apple.security.firewall: EnableFirewall is served with another value, by an assignment of higher precedence"
    );
    let equal = AssignmentInput {
        precedence: 0,
        ..high
    };
    let plan = compiled(mac(), &[low, equal]);
    let concerned: Vec<&str> = plan
        .conflicts
        .iter()
        .map(|conflict| &*conflict.assignment)
        .collect();
    assert_eq!(concerned, ["high", "low"]);
    assert_eq!(
        plan.conflicts[0].message,
        "lax/off of assignment low and strict/on of assignment high want different values for com.apple.security.firewall: EnableFirewall; neither is served"
    );
}

/// What proves a rule.
fn evidence<'p>(plan: &'p Plan, rule: &str) -> &'p Evidence {
    &plan
        .demands
        .iter()
        .find(|demand| &*demand.rule == rule)
        .unwrap()
        .evidence
}

#[test]
fn what_devices_combine_is_combined_whatever_the_precedence_and_a_stricter_value_meets_a_laxer_rule() {
    let reuse = |id: &str, limit: i64| {
        json!({ "id": id, "title": "t", "enforce": [{ "declaration": { "type": "com.apple.configuration.passcode.settings",
            "payload": { "PasscodeReuseLimit": limit } } }] })
    };
    let high = assignment(
        "high",
        10,
        vec![baseline("lax", json!([passcode("short", 6), reuse("few", 3)]))],
    );
    let low = assignment(
        "low",
        0,
        vec![baseline(
            "strict",
            json!([passcode("long", 14), reuse("many", 9)]),
        )],
    );
    let plan = compiled(mac(), &[low.clone(), high.clone()]);
    assert_eq!(plan.conflicts, []);
    let served = bodies(&plan)
        .into_iter()
        .find(|body| !body["Payload"]["MinimumLength"].is_null());
    assert_eq!(
        served.unwrap()["Payload"],
        json!({ "MinimumLength": 14, "PasscodeReuseLimit": 3, "RequirePasscode": true })
    );
    for rule in ["short", "long"] {
        assert!(
            matches!(evidence(&plan, rule), Evidence::InstalledDeclaration { .. }),
            "{rule}"
        );
    }
    // The shorter history wins, and is not the stricter one.
    assert_eq!(
        reason(&plan, "many"),
        "com.apple.configuration.passcode.settings: PasscodeReuseLimit is combined with what others want, as devices do, and that is not what this rule wants"
    );
    // Of one payload, only what is documented, and only among equals.
    let equal = AssignmentInput {
        precedence: 0,
        ..high.clone()
    };
    let plan = compiled(old_mac(), &[low.clone(), equal]);
    assert!(plan.manifest.profiles[0].body.contains("<integer>14</integer>"));
    assert_eq!(plan.conflicts, []);
    let plan = compiled(old_mac(), &[low, high]);
    assert!(plan.manifest.profiles[0].body.contains("<integer>6</integer>"));
}

#[test]
fn rules_of_one_baseline_that_differ_are_a_conflict_even_where_devices_would_combine() {
    let rules = json!([passcode("short", 6), passcode("long", 14), filevault()]);
    let plan = compiled(mac(), &[assignment("all", 0, vec![baseline("cis", rules)])]);
    assert_eq!(plan.conflicts.len(), 1);
    for rule in ["short", "long"] {
        assert!(
            matches!(evidence(&plan, rule), Evidence::Conflict { .. }),
            "{rule}"
        );
    }
    let served = bodies(&plan)
        .into_iter()
        .find(|body| !body["Payload"]["RequirePasscode"].is_null());
    assert_eq!(served.unwrap()["Payload"], json!({ "RequirePasscode": true }));
}

#[test]
fn audit_installs_nothing_and_says_so() {
    let audit = AssignmentInput {
        mode: AssignmentMode::Audit,
        ..assignment(
            "watch",
            0,
            vec![baseline("cis", json!([screen_lock(), filevault()]))],
        )
    };
    let plan = compiled(mac(), std::slice::from_ref(&audit));
    assert_eq!(plan.manifest.profiles, []);
    assert_eq!(
        plan.manifest.declarations.len(),
        2,
        "subscription and its activation"
    );
    assert_eq!(
        reason(&plan, "screen-lock"),
        "nothing is installed in Audit mode and the rule has no check"
    );
    assert!(matches!(plan.demands[1].evidence, Evidence::Cel { .. }));
    // Where another assignment installs exactly what is only audited here, that is proof here, too.
    let plan = compiled(
        mac(),
        &[
            audit,
            assignment("do", 0, vec![baseline("cis", json!([screen_lock()]))]),
        ],
    );
    assert!(
        plan.demands
            .iter()
            .filter(|d| &*d.rule == "screen-lock")
            .all(|d| matches!(d.evidence, Evidence::InstalledProfile { .. }))
    );
}

#[test]
fn rules_for_other_devices_and_rules_left_out_are_not_applicable() {
    let mut for_ios = screen_lock();
    for_ios["platforms"] = json!([{ "name": "iOS", "minimumVersion": "18" }]);
    let mut cis = baseline("cis", json!([for_ios, firewall("f", true)]));
    cis.excluded = vec![RuleExclusion {
        rule: "f".to_owned(),
        reason: "a lab".to_owned(),
    }];
    let plan = compiled(mac(), &[assignment("all", 0, vec![cis])]);
    assert_eq!(plan.manifest.profiles, []);
    assert_eq!(reason(&plan, "screen-lock"), "the rule is for iOS 18 and later");
    assert_eq!(reason(&plan, "f"), "left out by assignment all: a lab");
    assert!(
        plan.demands
            .iter()
            .all(|demand| matches!(demand.evidence, Evidence::NotApplicable { .. }))
    );
}

#[test]
fn content_that_the_class_cannot_take_is_unknown_with_the_reason() {
    let disks = json!({ "id": "disks", "title": "t", "enforce": [ { "declaration": { "type": "com.apple.configuration.diskmanagement.settings",
        "payload": { "Restrictions": { "ExternalStorage": "Disallowed" } } } } ] });
    let assignments = [assignment("all", 0, vec![baseline("cis", json!([disks]))])];
    assert_eq!(
        reason(
            &compiled(class(Platform::MacOS, "14.5", true), &assignments),
            "disks"
        ),
        "com.apple.configuration.diskmanagement.settings needs macOS 15.0"
    );
    assert_eq!(
        reason(&compiled(old_mac(), &assignments), "disks"),
        "the device is not managed by declarations"
    );
    assert!(matches!(
        compiled(mac(), &assignments).demands[0].evidence,
        Evidence::InstalledDeclaration { .. }
    ));
}

#[test]
fn parameters_reach_content_and_checks_and_a_bad_one_is_named() {
    let check =
        json!({ "id": "checked", "title": "t", "check": { "cel": "SecurityInfo.Delay <= params.delay" } });
    let mut cis = baseline("cis", json!([screen_lock(), check]));
    cis.parameters = ParameterValues::from([("delay".to_owned(), json!(300))]);
    let plan = compiled(mac(), &[assignment("all", 0, vec![cis.clone()])]);
    assert!(
        plan.manifest.profiles[0]
            .body
            .contains("<key>idleTime</key>\n\t\t\t<integer>300</integer>")
    );
    let mut facts = Facts::default();
    facts.security_info(&json!({ "Delay": 400 }), jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(judge(&plan.demands, &facts)[1].verdict, Verdict::Fail);

    cis.parameters = ParameterValues::from([("delay".to_owned(), json!(5))]);
    let plan = compiled(mac(), &[assignment("all", 0, vec![cis])]);
    assert_eq!(
        reason(&plan, "screen-lock"),
        "parameter `delay` is 5, but must be at least 60"
    );
    assert_eq!(
        reason(&plan, "checked"),
        "parameter `delay` is 5, but must be at least 60"
    );
    assert_eq!(plan.manifest.profiles, []);
}

#[test]
fn a_profile_object_has_its_own_profile_and_shares_what_rules_set() {
    let mut all = assignment("all", 0, vec![baseline("cis", json!([firewall("f", true)]))]);
    all.profiles = vec![profile(
        "office",
        json!({ "title": "Office", "payloads": [
        { "payloadType": "com.apple.wifi.managed", "content": { "SSID_STR": "office" } },
        { "payloadType": "com.apple.security.firewall", "content": { "EnableStealthMode": true } },
    ], "declarations": [
        { "type": "com.apple.configuration.passcode.settings", "payload": { "MinimumLength": 8 } },
        { "type": "com.apple.asset.data", "payload": { "Reference": { "DataURL": "https://example.com/x" } } },
        { "type": "com.apple.configuration.siri.settings", "payload": {} },
    ] }),
    )];
    let plan = compiled(mac(), &[all]);
    let identifiers: Vec<&str> = plan
        .manifest
        .profiles
        .iter()
        .map(|profile| &*profile.identifier)
        .collect();
    assert_eq!(
        identifiers,
        [
            "dev.provost.profile.fleet.com.apple.security.firewall",
            "dev.provost.profile.fleet.object.office"
        ]
    );
    assert!(
        plan.manifest.profiles[0].body.contains("EnableStealthMode")
            && plan.manifest.profiles[0].body.contains("EnableFirewall")
    );
    assert!(!plan.manifest.profiles[1].body.contains("EnableStealthMode"));
    let declared: Vec<&str> = plan
        .manifest
        .declarations
        .iter()
        .map(|d| &*d.identifier)
        .collect();
    assert!(declared.contains(&"dev.provost.fleet.object.office.asset.data"));
    assert!(declared.contains(&"dev.provost.fleet.passcode.settings"));
    let proof = &plan.profile_proofs[0];
    assert_eq!((&*proof.profile, proof.parts.len()), ("office", 5));
    assert_eq!(proof.verdict(&Facts::default()), Verdict::Unknown);
    assert!(proof.parts.iter().any(
        |part| matches!(part, Evidence::None { reason } if reason.contains("siri.settings needs macOS 26.4"))
    ));
}

#[test]
fn what_only_users_take_is_for_the_users_channels_with_what_it_refers_to() {
    let with = |class| {
        let mut all = assignment(
            "all",
            0,
            vec![baseline(
                "cis",
                json!([{ "id": "safari", "title": "t", "enforce": [
            { "declaration": { "type": "com.apple.configuration.safari.settings", "payload": { "AllowPopups": false } } } ] }]),
            )],
        );
        all.profiles = vec![profile(
            "mail",
            json!({ "title": "Mail", "declarations": [
            { "type": "com.apple.asset.useridentity", "payload": { "EmailAddress": "m@example.com" } },
            { "type": "com.apple.asset.data", "payload": { "Reference": { "DataURL": "https://example.com/x" } } },
            { "type": "com.apple.configuration.account.mail", "payload": { "UserIdentityAssetReference": "dev.provost.fleet.object.mail.asset.useridentity" } },
            { "type": "com.apple.configuration.passcode.settings", "payload": { "MinimumLength": 8 } },
        ] }),
        )];
        compiled(class, &[all])
    };
    let names = |manifest: &Manifest| -> Vec<String> {
        let declarations = manifest.declarations.iter();
        declarations.map(|d| d.identifier.to_string()).collect()
    };
    let plan = with(mac());
    let users = plan.manifest.users.as_deref().unwrap();
    assert_eq!(
        names(users),
        [
            "dev.provost.fleet.users.activation",
            "dev.provost.fleet.object.mail.asset.useridentity",
            "dev.provost.fleet.object.mail.account.mail",
            "dev.provost.fleet.safari.settings",
            "dev.provost.fleet.users.status-subscriptions",
        ]
    );
    let of_the_device = names(&plan.manifest);
    assert!(
        !of_the_device
            .iter()
            .any(|name| name.contains("mail.account") || name.contains("safari"))
    );
    assert!(of_the_device.contains(&"dev.provost.fleet.passcode.settings".to_owned()));
    // What users report proves no rule of a device, and does not keep the profile from being proven.
    assert!(reason(&plan, "safari").contains("on their own channels"));
    let proof = &plan.profile_proofs[0];
    assert!(
        proof
            .parts
            .iter()
            .any(|part| matches!(part, Evidence::InstalledDeclaration { .. }))
    );
    assert!(
        !proof
            .parts
            .iter()
            .any(|part| matches!(part, Evidence::None { .. }))
    );

    // An iPad may be shared or not, and nobody says which.
    let ipad = with(class(Platform::IPadOS, "26.0", true));
    let users = names(ipad.manifest.users.as_deref().unwrap());
    for name in [
        "dev.provost.fleet.safari.settings",
        "dev.provost.fleet.object.mail.account.mail",
    ] {
        assert!(names(&ipad.manifest).contains(&name.to_owned()) && users.contains(&name.to_owned()));
    }
    assert!(!users.contains(&"dev.provost.fleet.passcode.settings".to_owned()));
    let phone = with(class(Platform::IOS, "26.0", true));
    assert_eq!(phone.manifest.users, None);
    // A Mac that says it does not take them has nothing for its users either.
    let lacking = DeviceClass {
        lacks: serde_json::from_value(json!({ "declarations": [
                "com.apple.configuration.safari.settings", "com.apple.configuration.account.mail"
            ] }))
        .unwrap(),
        ..mac()
    };
    assert_eq!(with(lacking).manifest.users, None);
}

#[test]
fn a_profile_object_for_another_platform_brings_nothing() {
    let mut all = assignment("all", 0, Vec::new());
    all.profiles = vec![profile(
        "office",
        json!({ "title": "Office", "platforms": [{ "name": "iOS" }], "payloads": [
        { "payloadType": "com.apple.wifi.managed", "content": { "SSID_STR": "office" } } ] }),
    )];
    let plan = compiled(mac(), &[all]);
    assert_eq!(plan.manifest.profiles, []);
    assert_eq!(
        plan.profile_proofs[0].verdict(&Facts::default()),
        Verdict::NotApplicable
    );
}

#[test]
fn a_changed_value_changes_only_its_own_tokens() {
    let plan = |length| {
        compiled(
            mac(),
            &[assignment(
                "all",
                0,
                vec![baseline("cis", json!([screen_lock(), passcode("p", length)]))],
            )],
        )
    };
    let (one, two) = (plan(8), plan(9));
    assert_ne!(one.manifest.id, two.manifest.id);
    assert_eq!(one.manifest.profiles, two.manifest.profiles);
    let changed: Vec<&str> = one
        .manifest
        .declarations
        .iter()
        .zip(&two.manifest.declarations)
        .filter(|(a, b)| a.server_token != b.server_token)
        .map(|(a, _)| &*a.identifier)
        .collect();
    assert_eq!(changed, ["dev.provost.fleet.passcode.settings"]);
}

#[test]
fn the_assignments_revision_is_the_one_in_force() {
    let with = |name: &str, precedence, revision: Option<&str>| AssignmentInput {
        revision: revision.map(Into::into),
        ..assignment(name, precedence, vec![baseline("cis", json!([filevault()]))])
    };
    let plan = compiled(mac(), &[with("a", 0, Some("main@sha1:a")), with("b", 5, None)]);
    assert_eq!(plan.revision.as_deref(), Some("main@sha1:a"));
    let of = |name: &str| {
        plan.demands
            .iter()
            .find(|d| &*d.assignment == name)
            .unwrap()
            .revision
            .clone()
            .unwrap()
    };
    assert_eq!((&*of("a"), &*of("b")), ("main@sha1:a", "main@sha1:base"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_gives_the_same_manifest(
        settings in prop::collection::vec((0..3_i32, 0..3_u8, 0..3_i64, any::<bool>()), 1..6), turn in any::<prop::sample::Index>()
    ) {
        let assignments: Vec<AssignmentInput> = settings.iter().enumerate().map(|(n, (precedence, kind, value, enforce))| {
            let rule = match kind {
                0 => passcode("p", *value),
                1 => firewall("f", *value == 1),
                _ => screen_lock(),
            };
            AssignmentInput {
                mode: if *enforce { AssignmentMode::Enforce } else { AssignmentMode::Audit },
                ..assignment(&format!("a{n}"), *precedence, vec![baseline(&format!("b{n}"), json!([rule])), baseline("shared", json!([filevault()]))])
            }
        }).collect();
        let mut other = assignments.clone();
        other.rotate_left(turn.index(assignments.len()));
        for assignment in &mut other {
            assignment.baselines.reverse();
        }
        for class in [mac(), old_mac(), class(Platform::IPadOS, "18.1", true)] {
            prop_assert_eq!(compiled(class, &assignments), compiled(class, &other));
        }
    }
}

#[test]
fn a_baseline_assigned_twice_with_different_values_names_the_assignments() {
    let with = |name: &str, delay: i64| {
        let mut cis = baseline("cis", json!([screen_lock()]));
        cis.parameters = ParameterValues::from([("delay".to_owned(), json!(delay))]);
        assignment(name, 0, vec![cis])
    };
    let plan = compiled(mac(), &[with("a", 100), with("b", 200)]);
    assert_eq!(
        plan.conflicts[0].message,
        "cis/screen-lock of assignment a and cis/screen-lock of assignment b want different values for com.apple.screensaver: idleTime; neither is served"
    );
    assert!(plan.manifest.profiles[0].body.contains("askForPassword"));
}
