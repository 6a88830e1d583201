//! The expected output: every setting of each baseline, with the kinds of device that it reaches.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use provost::api::BaselineSpec;
use provost::api::common::{EnrollmentMode, Platform};
use provost::compliance::Evidence;
use provost::policy::DeviceClass;

use super::{class, planned, settings, shipped};

const MODES: [(EnrollmentMode, &str); 3] = [
    (EnrollmentMode::Supervised, "S"),
    (EnrollmentMode::Device, "D"),
    (EnrollmentMode::User, "U"),
];

/// The kinds of device that a baseline is tried on, with their short names: each version that something turns on.
fn classes(spec: &BaselineSpec) -> Vec<(String, DeviceClass)> {
    let is_mac = spec.platforms.iter().any(|range| range.name == Platform::MacOS);
    let (platform, versions): (_, &[&str]) = if is_mac {
        (Platform::MacOS, &["14.8", "15.7", "26.1", "26.4", "27.0"])
    } else {
        (Platform::IOS, &["18.7", "26.1", "26.4", "27.0"])
    };
    versions
        .iter()
        .flat_map(|version| {
            MODES.map(|(mode, letter)| (format!("{version}{letter}"), class(platform, version, mode)))
        })
        .filter(|(_, class)| class.is_in_any(&spec.platforms))
        .collect()
}

/// A baseline's output as text: what becomes of its rules on each kind of device, and each setting with where it is served.
fn output(name: &str, spec: &BaselineSpec) -> String {
    let classes = classes(spec);
    let mut text = String::new();
    let mut served: BTreeMap<(String, String, String), Vec<&str>> = BTreeMap::new();
    for (short, class) in &classes {
        let plan = planned(name, spec, *class);
        assert_eq!(plan.conflicts, [], "{name} on {class}");
        let mut counts = [0; 4];
        for demand in &plan.demands {
            let count = match &demand.evidence {
                Evidence::InstalledDeclaration { .. } | Evidence::InstalledProfile { .. } => 0,
                Evidence::Cel { .. } => 1,
                Evidence::None { reason } => {
                    let rule = spec.rules.iter().find(|rule| *rule.id == *demand.rule).unwrap();
                    assert!(
                        rule.unproven.is_some(),
                        "{name}: {} on {class}: {reason}",
                        rule.id
                    );
                    2
                }
                Evidence::NotApplicable { .. } => 3,
                conflict @ Evidence::Conflict { .. } => panic!("{name} on {class}: {conflict:?}"),
            };
            counts[count] += 1;
        }
        let [installed, checked, unproven, other] = counts;
        writeln!(
            text,
            "{short}: {installed} proven by what is installed, {checked} by a report, {unproven} not provable, {other} not applicable"
        )
        .unwrap();
        for ((type_, key), value) in settings(&plan) {
            served
                .entry((type_, key, value.to_string()))
                .or_default()
                .push(short);
        }
    }
    let mut last = "";
    for ((type_, key, value), on) in &served {
        if type_ != last {
            writeln!(text, "\n{type_}").unwrap();
            last = type_;
        }
        let on = if on.len() == classes.len() {
            "all".to_owned()
        } else {
            on.join(" ")
        };
        writeln!(text, "  {key} = {value}  [{on}]").unwrap();
    }
    text
}

#[test]
fn each_baseline_puts_exactly_this_on_devices() {
    for (name, spec) in shipped() {
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name.clone(), output(&name, &spec));
        });
    }
}

#[test]
fn an_ipad_gets_what_an_iphone_gets() {
    for (name, spec) in shipped() {
        if !spec.platforms.iter().any(|range| range.name == Platform::IPadOS) {
            continue;
        }
        for (short, iphone) in classes(&spec) {
            let ipad = DeviceClass {
                platform: Platform::IPadOS,
                ..iphone
            };
            let [phone, pad] = [iphone, ipad].map(|class| settings(&planned(&name, &spec, class)));
            assert_eq!(phone, pad, "{name} on {short}");
        }
    }
}

#[test]
fn personal_devices_are_sent_only_what_a_user_enrolment_takes() {
    let mut tried = 0;
    for (name, spec) in shipped() {
        for (short, class) in classes(&spec) {
            if class.mode != EnrollmentMode::User {
                continue;
            }
            tried += 1;
            let sent = settings(&planned(&name, &spec, class));
            assert!(!sent.is_empty(), "{name} sends {short} nothing");
            for ((type_, key), _) in sent {
                assert!(
                    type_ == "com.apple.applicationaccess"
                        || type_ == "com.apple.configuration.passcode.settings",
                    "{name} sends {short} {type_} {key}"
                );
            }
        }
    }
    assert!(tried > 0);
}
