//! The manifests that ship with Provost (`baselines/`, `examples/`): each is read by its kind, whole, and names only what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provost::api::assignment::AssignmentMode;
use provost::api::baseline::UnprovenReason;
use provost::api::common::EnrollmentMode;
use provost::api::{Assignment, Baseline, BaselineSpec, DeviceGroup, GitSource, Profile};
use provost::compliance::{self, Checks, Evidence};
use provost::policy::inheritance::resolve;
use provost::policy::platform::{Lacks, supports_declarations};
use provost::policy::schema::Schema;
use provost::policy::{
    AssignmentInput, BaselineInput, CompileInput, DeviceClass, Findings, OsVersion, Resolved,
    check_assignment_against, check_group, check_profile, check_resolved, compile,
};
use serde::{Deserialize as _, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

#[test]
fn every_manifest_is_read_whole_by_its_kind() {
    for (file, document) in manifests() {
        let kind = document["kind"]
            .as_str()
            .unwrap_or_else(|| panic!("{}: no kind", file.display()));
        let read = match kind {
            "Assignment" => round_trip::<Assignment>(&document),
            "Baseline" => round_trip::<Baseline>(&document),
            "DeviceGroup" => round_trip::<DeviceGroup>(&document),
            "GitSource" => round_trip::<GitSource>(&document),
            "Profile" => round_trip::<Profile>(&document),
            other => panic!("{}: unexpected kind {other}", file.display()),
        };
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if let Some(lost) = first_loss("", &document, &read) {
            panic!("{}: {lost} is not a field of {kind}", file.display());
        }
    }
}

#[test]
fn the_mac_baseline_covers_the_essentials() {
    let baseline = &baselines()["macos-essentials"];
    let rules = &baseline.spec.rules;
    assert!(rules.len() >= 25, "{} rules", rules.len());
    for topic in [
        "filevault",
        "firewall",
        "gatekeeper",
        "sip",
        "screensaver",
        "pwpolicy",
        "update",
        "sharing",
    ] {
        assert!(
            rules.iter().any(|rule| rule.id.contains(topic)),
            "no rule about {topic}"
        );
    }
}

#[test]
fn rules_have_one_id_each_and_say_why_and_for_which_controls() {
    for (name, baseline) in baselines() {
        let mut ids = BTreeSet::new();
        for rule in &baseline.spec.rules {
            assert!(ids.insert(&rule.id), "{name}: {} twice", rule.id);
            assert!(!rule.rationale.is_empty(), "{name}: {} does not say why", rule.id);
            let is_technical = rule
                .unproven
                .as_ref()
                .is_none_or(|unproven| unproven.reason != UnprovenReason::NotTechnical);
            assert!(
                !rule.controls.is_empty() || !is_technical,
                "{name}: {} supports no control",
                rule.id
            );
            let unique: BTreeSet<_> = rule.controls.iter().collect();
            assert_eq!(
                unique.len(),
                rule.controls.len(),
                "{name}: {} names a control twice",
                rule.id
            );
        }
    }
}

#[test]
fn every_parameter_is_used_and_every_use_is_a_parameter() {
    for (name, baseline) in baselines() {
        let declared: BTreeSet<String> = baseline
            .spec
            .parameters
            .iter()
            .map(|parameter| parameter.name.clone())
            .collect();
        let rules = serde_json::to_string(&baseline.spec.rules).expect("rules are JSON");
        let used: BTreeSet<String> = names_after(&rules, "$(")
            .chain(names_after(&rules, "params."))
            .collect();
        assert_eq!(declared, used, "{name}");
    }
}

#[test]
fn the_policy_engine_finds_no_mistake() {
    let baselines: BTreeMap<String, Arc<BaselineSpec>> = baselines()
        .into_iter()
        .map(|(name, baseline)| (name, Arc::new(baseline.spec)))
        .collect();
    let resolved = resolve(baselines.keys().map(String::as_str), &baselines);
    for (name, baseline) in &resolved {
        assert_eq!(
            check_resolved(baseline, Schema::embedded()),
            Findings::default(),
            "{name}"
        );
    }
    for (name, document) in of_kind("Profile") {
        let profile: Profile = serde_json::from_value(document).expect("a Profile");
        assert_eq!(
            check_profile(&profile.spec, Schema::embedded()),
            Findings::default(),
            "{name}"
        );
    }
    for (name, document) in of_kind("DeviceGroup") {
        let group: DeviceGroup = serde_json::from_value(document).expect("a DeviceGroup");
        assert_eq!(check_group(&group.spec), [], "{name}");
    }
    for (name, document) in of_kind("Assignment") {
        let assignment: Assignment = serde_json::from_value(document).expect("an Assignment");
        assert_eq!(
            check_assignment_against(&assignment.spec, &resolved),
            [],
            "{name}"
        );
    }
}

#[test]
fn every_rule_can_be_proven_on_every_device_it_is_for_or_says_why_not() {
    let modes = [EnrollmentMode::Supervised, EnrollmentMode::Device];
    for (name, baseline) in baselines() {
        let assignment = AssignmentInput {
            name: "all".into(),
            revision: None,
            mode: AssignmentMode::Enforce,
            precedence: 0,
            baselines: vec![BaselineInput {
                name: name.as_str().into(),
                baseline: Resolved::alone(Arc::new(baseline.spec.clone())),
                parameters: BTreeMap::new(),
                excluded: Vec::new(),
                revision: None,
            }],
            profiles: Vec::new(),
        };
        for range in &baseline.spec.platforms {
            for version in [
                "12.7", "13.6", "14.8", "15.7", "16.7", "17.7", "18.7", "26.1", "27.0",
            ] {
                let os_version = OsVersion::read(version);
                for mode in modes {
                    let class = DeviceClass {
                        platform: range.name,
                        os_version,
                        mode,
                        declarative: supports_declarations(range.name, os_version),
                        lacks: Lacks::default(),
                    };
                    let plan = compile(&CompileInput {
                        namespace: "fleet",
                        class,
                        assignments: std::slice::from_ref(&assignment),
                        public_url: "https://mdm.example.com",
                        checks: &Checks::default(),
                    });
                    assert_eq!(plan.conflicts, [], "{name} on {class}");
                    for demand in &plan.demands {
                        let unproven = baseline
                            .spec
                            .rules
                            .iter()
                            .any(|rule| *rule.id == *demand.rule && rule.unproven.is_some());
                        if let Evidence::None { reason } = &demand.evidence
                            && !unproven
                        {
                            panic!("{} on {class}: {reason}", demand.key());
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn versions_come_out_in_their_order() {
    let baseline = &baselines()["macos-essentials"];
    let rule = baseline
        .spec
        .rules
        .iter()
        .find(|rule| rule.id == "os_supported_operating_system");
    let check = rule
        .and_then(|rule| rule.check.as_ref())
        .expect("the rule has a check");
    let program = compliance::check::compile(&check.cel).expect("the check is an expression");
    for (version, holds) in [
        ("9.9", false),
        ("12.7.6", false),
        ("14.10", false),
        ("15.0", true),
        ("15.10.1", true),
        ("26.1", true),
    ] {
        let (facts, params) = (
            json!({ "OSVersion": version }),
            json!({ "minimumMacosVersion": "15" }),
        );
        assert_eq!(
            program.evaluate(&[("DeviceInformation", &facts), ("params", &params)]),
            Ok(holds),
            "{version}"
        );
    }
}

#[test]
fn assignments_name_only_what_is_there() {
    let baselines = baselines();
    let groups: BTreeSet<_> = of_kind("DeviceGroup").into_keys().collect();
    let profiles: BTreeSet<_> = of_kind("Profile").into_keys().collect();
    for (name, document) in of_kind("Assignment") {
        let assignment: Assignment = serde_json::from_value(document).expect("an Assignment");
        for group in &assignment.spec.groups {
            assert!(groups.contains(&group.name), "{name}: no group {}", group.name);
        }
        for profile in &assignment.spec.profiles {
            assert!(
                profiles.contains(&profile.name),
                "{name}: no profile {}",
                profile.name
            );
        }
        for assigned in &assignment.spec.baselines {
            let baseline = baselines
                .get(&assigned.name)
                .unwrap_or_else(|| panic!("{name}: no baseline {}", assigned.name));
            for parameter in assigned.parameters.keys() {
                let known = baseline
                    .spec
                    .parameters
                    .iter()
                    .any(|known| known.name == *parameter);
                assert!(known, "{name}: {} has no parameter {parameter}", assigned.name);
            }
            for exclusion in &assigned.exclude_rules {
                let known = baseline.spec.rules.iter().any(|rule| rule.id == exclusion.rule);
                assert!(known, "{name}: {} has no rule {}", assigned.name, exclusion.rule);
            }
        }
    }
}

/// The object as its type writes it again.
fn round_trip<K: DeserializeOwned + Serialize>(document: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<K>(document.clone())?)
}

/// The path of the first thing in `written` that is not in `read` with the same value.
fn first_loss(path: &str, written: &Value, read: &Value) -> Option<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => written.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match read.get(key) {
                Some(read) => first_loss(&path, value, read),
                None => Some(path),
            }
        }),
        (Value::Array(written), Value::Array(read)) if written.len() == read.len() => written
            .iter()
            .zip(read)
            .enumerate()
            .find_map(|(index, (written, read))| first_loss(&format!("{path}[{index}]"), written, read)),
        _ => (written != read).then(|| path.to_owned()),
    }
}

/// The identifiers that follow each occurrence of `prefix`.
fn names_after<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = String> + 'a {
    text.split(prefix)
        .skip(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect())
}

fn baselines() -> BTreeMap<String, Baseline> {
    of_kind("Baseline")
        .into_iter()
        .map(|(name, document)| (name, serde_json::from_value(document).expect("a Baseline")))
        .collect()
}

fn of_kind(kind: &str) -> BTreeMap<String, Value> {
    manifests()
        .into_iter()
        .filter(|(_, document)| document["kind"] == kind)
        .map(|(_, document)| {
            (
                document["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                document,
            )
        })
        .collect()
}

/// Every document of every shipped manifest, with its file.
fn manifests() -> Vec<(PathBuf, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["baselines", "examples"] {
        yaml_files(&root.join(folder), &mut files);
    }
    assert!(files.len() > 5, "the manifests are gone: {files:?}");
    files
        .into_iter()
        .flat_map(|file| {
            let text = fs::read_to_string(&file).expect("a readable file");
            let documents: Vec<_> = serde_yaml::Deserializer::from_str(&text)
                .map(|document| {
                    Value::deserialize(document).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
                })
                .map(|document| (file.clone(), document))
                .collect();
            documents
        })
        .collect()
}

fn yaml_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable entry").path())
        .collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            yaml_files(&entry, files);
        } else if entry.extension().is_some_and(|extension| extension == "yaml") {
            files.push(entry);
        }
    }
}
