//! What all of them have in common: nothing to find fault with, honest about what cannot be proven, one word for one thing.

use std::collections::BTreeMap;

use provost::api::baseline::{BaselineRule, UnprovenReason};
use provost::api::common::Platform;
use provost::policy::schema::Schema;
use provost::policy::{Findings, check_baseline};

use super::shipped;

/// Rules that one baseline enforces in another way than the others, and why.
const OTHERWISE: [(&str, &str, &str); 2] = [
    (
        "macos-essentials",
        "system_settings_screensaver_ask_for_password_delay_enforce",
        "the passcode policy locks the screen, by a declaration, on systems before macOS 14 too; the benchmarks set the screen saver",
    ),
    (
        "macos-essentials",
        "system_settings_screensaver_timeout_enforce",
        "as above",
    ),
];

#[test]
fn apples_schema_has_nothing_to_say_against_them() {
    for (name, spec) in shipped() {
        assert_eq!(
            check_baseline(&spec, Schema::embedded()),
            Findings::default(),
            "{name}"
        );
    }
}

#[test]
fn a_rule_is_the_same_in_all_of_them() {
    let mut known: BTreeMap<(bool, String), (String, BaselineRule)> = BTreeMap::new();
    let mut otherwise = 0;
    // The shortest names last: what differs is the exception.
    let mut baselines: Vec<_> = shipped().into_iter().collect();
    baselines.sort_by_key(|(name, _)| name.ends_with("-essentials"));
    for (name, spec) in baselines {
        let of_macs = spec.platforms.iter().any(|range| range.name == Platform::MacOS);
        for rule in spec.rules {
            if OTHERWISE
                .iter()
                .any(|(baseline, id, _)| *baseline == name && *id == rule.id)
            {
                otherwise += 1;
                continue;
            }
            let Some((other, first)) = known.get(&(of_macs, rule.id.clone())) else {
                known.insert((of_macs, rule.id.clone()), (name.clone(), rule));
                continue;
            };
            let id = &rule.id;
            assert_eq!(rule.title, first.title, "{id} in {name} and {other}");
            assert_eq!(rule.rationale, first.rationale, "{id} in {name} and {other}");
            assert_eq!(rule.severity, first.severity, "{id} in {name} and {other}");
            assert_eq!(rule.enforce, first.enforce, "{id} in {name} and {other}");
            assert_eq!(rule.check, first.check, "{id} in {name} and {other}");
            assert_eq!(rule.unproven, first.unproven, "{id} in {name} and {other}");
            assert_eq!(rule.remediation, first.remediation, "{id} in {name} and {other}");
        }
    }
    assert_eq!(otherwise, OTHERWISE.len());
}

#[test]
fn what_cannot_be_proven_makes_no_claim() {
    for (name, spec) in shipped() {
        for rule in &spec.rules {
            let Some(unproven) = &rule.unproven else {
                continue;
            };
            let id = &rule.id;
            assert_eq!(
                rule.enforce,
                [],
                "{name}: {id} is put on devices and called unproven"
            );
            assert_eq!(rule.check, None, "{name}: {id}");
            assert!(
                !rule.remediation.is_empty(),
                "{name}: {id} does not say what to do"
            );
            assert_ne!(unproven.reason, UnprovenReason::Conflict, "{name}: {id}");
        }
    }
}

#[test]
fn level_2_holds_level_1() {
    let baselines = shipped();
    for kind in ["macos", "ios", "ios-byod"] {
        let [one, two] = [1, 2].map(|level| &baselines[&format!("cis-level-{level}-{kind}")]);
        for rule in &one.rules {
            assert!(
                two.rules.iter().any(|other| other.id == rule.id),
                "{kind}: {}",
                rule.id
            );
        }
        assert!(two.rules.len() > one.rules.len(), "{kind}");
        for parameter in &one.parameters {
            assert!(two.parameters.contains(parameter), "{kind}: {}", parameter.name);
        }
    }
}
