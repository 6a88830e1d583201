//! The CIS baselines beside what mSCP publishes: the same rules, the same settings, and each deviation with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use provost::api::common::{EnrollmentMode, Platform};
use serde_json::{Value, json};

use super::{class, flatten, planned, settings, shipped};
use crate::mscp::published;

/// What is compared: our baseline, mSCP's, its system and the versions.
const COMPARED: [(&str, &str, &str, &[&str]); 6] = [
    (
        "cis-level-1-macos",
        "cis_lvl1",
        "macOS",
        &["14.0", "15.0", "26.0"],
    ),
    (
        "cis-level-2-macos",
        "cis_lvl2",
        "macOS",
        &["14.0", "15.0", "26.0"],
    ),
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
    (
        "os_external_intelligence_integration_sign_in_disable",
        false,
        SUPERVISED,
    ),
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
    let Some(folder) = published("the comparison of the shipped CIS baselines with mSCP's lists of rules")
    else {
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
            let platform = if system == "macOS" {
                Platform::MacOS
            } else {
                Platform::IOS
            };
            let ours: BTreeSet<String> = spec
                .rules
                .iter()
                .filter(|rule| {
                    [
                        EnrollmentMode::Supervised,
                        EnrollmentMode::Device,
                        EnrollmentMode::User,
                    ]
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
            assert_eq!(
                more,
                BTreeSet::new(),
                "{name} for {version} has, and mSCP has not"
            );
        }
    }
}

/// The setting of each rule that mSCP's generator sends in a way that ours does not, or that ours send and it does not: our baseline, the type,
/// the key (`*`: all of that type), and why.
const DIFFERENT: [(&str, &str, &str, &str); 29] = [
    (MAC, "com.apple.SoftwareUpdate", "AutomaticDownload", DECLARED),
    (
        MAC,
        "com.apple.SoftwareUpdate",
        "AutomaticallyInstallMacOSUpdates",
        DECLARED,
    ),
    (MAC, "com.apple.SoftwareUpdate", "CriticalUpdateInstall", DECLARED),
    (
        MAC,
        "com.apple.configuration.softwareupdate.settings",
        "AutomaticActions/InstallOSUpdates",
        LOST,
    ),
    (
        MAC,
        "com.apple.configuration.softwareupdate.settings",
        "AutomaticActions/InstallSecurityUpdate",
        MISNAMED,
    ),
    (MAC, "com.apple.mobiledevice.passwordpolicy", "*", DECLARED),
    (
        MAC,
        "com.apple.configuration.passcode.settings",
        "MaximumGracePeriodInMinutes",
        MISNAMED,
    ),
    (
        MAC,
        "com.apple.configuration.passcode.settings",
        "FailedAttemptsResetInMinutes",
        MISNAMED,
    ),
    (
        MAC,
        "com.apple.configuration.external-intelligence.settings",
        "*",
        NOT_YET,
    ),
    (MAC, "com.apple.configuration.intelligence.settings", "*", NOT_YET),
    (MAC, "com.apple.configuration.siri.settings", "*", NOT_YET),
    (
        MAC,
        "com.apple.configuration.services.configuration-files#com.apple.sudo",
        "*",
        FRAGMENT,
    ),
    (
        MAC,
        "com.apple.loginwindow",
        "LoginwindowText",
        "the text is a parameter with a default of our own",
    ),
    (
        MAC,
        "com.apple.applicationaccess",
        "enforcedSoftwareUpdateDelay",
        "mSCP only checks it from macOS 26 on; served, the profile proves it",
    ),
    (
        PHONE,
        "com.apple.applicationaccess",
        "allowVoiceDialing",
        DEPRECATED,
    ),
    (
        PHONE,
        "com.apple.configuration.external-intelligence.settings",
        "*",
        NOT_YET,
    ),
    (
        PHONE,
        "com.apple.configuration.intelligence.settings",
        "*",
        NOT_YET,
    ),
    (PHONE, "com.apple.configuration.siri.settings", "*", NOT_YET),
    (
        PHONE,
        "com.apple.configuration.passcode.settings",
        "MaximumGracePeriodInMinutes",
        DECLARED,
    ),
    (
        PHONE,
        "com.apple.configuration.passcode.settings",
        "MaximumInactivityInMinutes",
        DECLARED,
    ),
    (PHONE, "com.apple.mobiledevice.passwordpolicy", "*", DECLARED),
    (PHONE, "com.apple.mail.managed", "*", ACCOUNT),
    (
        BYOD,
        "com.apple.applicationaccess",
        "*",
        "what a User Enrollment does not allow is left out, and the deprecated key",
    ),
    (
        BYOD,
        "com.apple.configuration.external-intelligence.settings",
        "*",
        SUPERVISED,
    ),
    (
        BYOD,
        "com.apple.configuration.intelligence.settings",
        "*",
        SUPERVISED,
    ),
    (BYOD, "com.apple.configuration.siri.settings", "*", SUPERVISED),
    (
        BYOD,
        "com.apple.configuration.passcode.settings",
        "MaximumFailedAttempts",
        IGNORED,
    ),
    (BYOD, "com.apple.mobiledevice.passwordpolicy", "*", DECLARED),
    (BYOD, "com.apple.mail.managed", "*", ACCOUNT),
];

const MAC: &str = "cis-level-1-macos";
const PHONE: &str = "cis-level-1-ios";
const BYOD: &str = "cis-level-1-ios-byod";
const DECLARED: &str = "served by a declaration and not by a profile too";
const LOST: &str = "the generator keeps only the last of several parts of one key";
const MISNAMED: &str = "mSCP's rule names another key than the one that it means";
const NOT_YET: &str = "a declaration of 26.4; before that the profile is served";
const FRAGMENT: &str = "only complete configuration files are delivered";
const DEPRECATED: &str = "Apple has deprecated the key";
const ACCOUNT: &str = "a fragment of a mail account, which cannot be installed alone";

/// What mSCP's own generator makes of a baseline, in the form of [`settings`].
fn generated(folder: &Path, file: &str) -> BTreeMap<(String, String), Value> {
    let text = fs::read_to_string(folder.join("mscp-golden").join(file)).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let mut found = BTreeMap::new();
    for part in ["profiles", "ddm"] {
        for (type_, content) in golden[part].as_object().unwrap() {
            flatten(type_, "", content.as_object().unwrap(), &mut found);
        }
    }
    for (domain, content) in golden["mcx"].as_object().unwrap() {
        found.insert(
            (
                "com.apple.ManagedClient.preferences".to_owned(),
                format!("PayloadContent/{domain}/Forced"),
            ),
            json!([{ "mcx_preference_settings": content }]),
        );
    }
    found
}

#[test]
fn the_settings_are_those_of_the_generator_but_for_what_is_explained() {
    let Some(folder) = published("the comparison of the shipped CIS baselines with mSCP's generator") else {
        return;
    };
    let baselines = shipped();
    let mut used = BTreeSet::new();
    for (name, file, platform, mode) in [
        (
            MAC,
            "cis_lvl1_macos_26.0.json",
            Platform::MacOS,
            EnrollmentMode::Supervised,
        ),
        (
            PHONE,
            "cis_lvl1_enterprise_ios_26.0.json",
            Platform::IOS,
            EnrollmentMode::Supervised,
        ),
        (
            BYOD,
            "cis_lvl1_byod_ios_26.0.json",
            Platform::IOS,
            EnrollmentMode::User,
        ),
    ] {
        let theirs = generated(&folder, file);
        let ours = settings(&planned(name, &baselines[name], class(platform, "26.0", mode)));
        let places: BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
        for place in places {
            if theirs.get(place) == ours.get(place) {
                continue;
            }
            let (type_, key) = place;
            let explained = DIFFERENT.iter().position(|(baseline, of, what, _)| {
                *baseline == name && of == type_ && (*what == "*" || what == key)
            });
            let explained = explained.unwrap_or_else(|| {
                panic!(
                    "{name}: {type_} {key}: theirs {:?}, ours {:?}",
                    theirs.get(place),
                    ours.get(place)
                )
            });
            used.insert(explained);
        }
        let shared = ours.keys().filter(|place| theirs.contains_key(*place)).count();
        assert!(shared >= 13, "{name} shares {shared} settings");
    }
    assert_eq!(used.len(), DIFFERENT.len(), "each explanation explains something");
}
