//! The CIS baselines beside what mSCP publishes: the same rules, the same settings, and each deviation with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use provost::api::common::{EnrollmentMode, Platform};
use serde_json::Value;

use super::{class, planned, settings, shipped};
use crate::mscp::published;

/// What is compared: our baseline, mSCP's, its system and the versions.
const COMPARED: [(&str, &str, &str, &[&str]); 6] = [
    ("cis-level-1-macos", "cis_lvl1", "macOS", &["14.0", "15.0", "26.0"]),
    ("cis-level-2-macos", "cis_lvl2", "macOS", &["14.0", "15.0", "26.0"]),
    ("cis-level-1-ios", "cis_lvl1_enterprise", "iOS", &["18.0", "26.0"]),
    ("cis-level-2-ios", "cis_lvl2_enterprise", "iOS", &["18.0", "26.0"]),
    ("cis-level-1-ios-byod", "cis_lvl1_byod", "iOS", &["18.0", "26.0"]),
    ("cis-level-2-ios-byod", "cis_lvl2_byod", "iOS", &["18.0", "26.0"]),
];

const SUPERVISED: &str = "the setting takes effect on supervised devices only";
const FORBIDDEN: &str = "Apple forbids the setting in a User Enrollment";
const IGNORED: &str = "a User Enrollment ignores the setting";

/// Rules of mSCP's for personal devices that ours for User Enrollments leave out. Those of level 2 only are marked.
const LEFT_OUT: [(&str, bool, &str); 12] = [
    ("os_external_intelligence_integration_sign_in_disable", false, SUPERVISED),
    ("os_force_date_and_time_enable", false, SUPERVISED),
    ("os_handoff_disable", true, FORBIDDEN),
    ("os_mail_summary_disable", false, SUPERVISED),
    ("os_notes_transcription_summary_disable", false, SUPERVISED),
    ("os_personalized_advertising_disable", false, FORBIDDEN),
    ("os_safari_cookies_set", false, FORBIDDEN),
    ("os_untrusted_tls_disable", true, FORBIDDEN),
    ("os_writing_tools_disable", false, SUPERVISED),
    ("pwpolicy_account_lockout_enforce", false, IGNORED),
    ("pwpolicy_max_grace_period_enforce", false, IGNORED),
    ("pwpolicy_max_inactivity_enforce", false, IGNORED),
];

/// Reads all rules of a tree, by id.
fn rules(tree: &Path) -> BTreeMap<String, Value> {
    let mut open = vec![tree.join("src/mscp/data/rules")];
    let mut rules = BTreeMap::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let rule: Value = serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
                rules.insert(rule["id"].as_str().unwrap().to_owned(), rule);
            }
        }
    }
    rules
}

/// The rules of a benchmark for one version.
fn listed(rules: &BTreeMap<String, Value>, benchmark: &str, system: &str, version: &str) -> BTreeSet<String> {
    rules
        .iter()
        .filter(|(_, rule)| {
            rule["platforms"][system][version]["benchmarks"]
                .as_array()
                .is_some_and(|benchmarks| benchmarks.iter().any(|one| one["name"] == benchmark))
        })
        .map(|(id, _)| id.clone())
        .collect()
}

#[test]
fn the_rules_are_those_of_the_benchmark_for_each_version() {
    let Some(folder) = published("the comparison of the shipped CIS baselines with mSCP's lists of rules") else {
        return;
    };
    let rules = rules(&folder.join("mscp"));
    let baselines = shipped();
    for (name, benchmark, system, versions) in COMPARED {
        let spec = &baselines[name];
        for version in versions {
            let theirs = listed(&rules, benchmark, system, version);
            assert!(theirs.len() > 20, "{benchmark} {version}: {} rules", theirs.len());
            // The last version of that number: some settings came after the first.
            let newest = version.replace(".0", ".99");
            let platform = if system == "macOS" { Platform::MacOS } else { Platform::IOS };
            let ours: BTreeSet<String> = spec
                .rules
                .iter()
                .filter(|rule| {
                    [EnrollmentMode::Supervised, EnrollmentMode::Device, EnrollmentMode::User]
                        .map(|mode| class(platform, &newest, mode))
                        .iter()
                        .any(|class| class.is_in_any(&spec.platforms) && class.is_in_any(&rule.platforms))
                })
                // A rule with two payload types is two.
                .map(|rule| rule.id.split(".com.apple.").next().unwrap_or_default().to_owned())
                .collect();
            let left_out: BTreeSet<String> = LEFT_OUT
                .iter()
                .filter(|(rule, of_level_2, _)| {
                    name.ends_with("-byod") && (!of_level_2 || name.contains("-2-")) && theirs.contains(*rule)
                })
                .map(|(rule, ..)| (*rule).to_owned())
                .collect();
            let missing: BTreeSet<String> = theirs.difference(&ours).cloned().collect();
            let more: BTreeSet<String> = ours.difference(&theirs).cloned().collect();
            assert_eq!(missing, left_out, "{name} for {version} leaves out");
            assert_eq!(more, BTreeSet::new(), "{name} for {version} has, and mSCP has not");
        }
    }
}
