//! The baselines that ship: what each of them puts on devices, how they agree with each other, and how they stand to what mSCP publishes.

mod agreement;
mod expected;
mod guide;
mod published;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provost::api::assignment::AssignmentMode;
use provost::api::common::{EnrollmentMode, Platform};
use provost::api::{Baseline, BaselineSpec};
use provost::compliance::Checks;
use provost::policy::platform::{Lacks, supports_declarations};
use provost::policy::{
    AssignmentInput, BaselineInput, CompileInput, DeviceClass, OsVersion, Plan, Resolved, Section, compile,
};
use serde_json::{Map, Value};

/// The folder that they are in.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("baselines")
}

/// All of them, by name.
fn shipped() -> BTreeMap<String, BaselineSpec> {
    let baselines: BTreeMap<String, BaselineSpec> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let baseline: Baseline =
                serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = baseline.metadata.name.unwrap();
            assert_eq!(path.file_stem().unwrap().to_str(), Some(name.as_str()));
            (name, baseline.spec)
        })
        .collect();
    assert!(baselines.len() >= 13, "{:?}", baselines.keys());
    baselines
}

/// Devices of one kind.
fn class(platform: Platform, version: &str, mode: EnrollmentMode) -> DeviceClass {
    let os_version = OsVersion::read(version);
    DeviceClass {
        platform,
        os_version,
        mode,
        declarative: supports_declarations(platform, os_version),
        lacks: Lacks::default(),
    }
}

/// What devices of a class get and are asked for when a baseline is enforced with its defaults.
fn planned(name: &str, spec: &BaselineSpec, class: DeviceClass) -> Plan {
    let assignment = AssignmentInput {
        name: "all".into(),
        revision: None,
        mode: AssignmentMode::Enforce,
        precedence: 0,
        baselines: vec![BaselineInput {
            name: name.into(),
            baseline: Resolved::alone(Arc::new(spec.clone())),
            parameters: BTreeMap::new(),
            excluded: Vec::new(),
            revision: None,
        }],
        profiles: Vec::new(),
    };
    compile(&CompileInput {
        namespace: "fleet",
        class,
        assignments: &[assignment],
        public_url: "https://mdm.example.com",
        checks: &Checks::default(),
    })
}

/// What a plan sets, by the type of the payload or declaration and the path of the key. Declarations that only carry profiles or ask for
/// reports are left out.
fn settings(plan: &Plan) -> BTreeMap<(String, String), Value> {
    let mut settings = BTreeMap::new();
    for profile in &plan.manifest.profiles {
        let profile: Value = plist::from_bytes(profile.body.as_bytes()).unwrap();
        for payload in profile["PayloadContent"].as_array().unwrap() {
            let mut content = payload.as_object().unwrap().clone();
            let type_ = content["PayloadType"].as_str().unwrap().to_owned();
            content.retain(|key, _| !key.starts_with("Payload") || key == "PayloadContent");
            flatten(&type_, "", &content, &mut settings);
        }
    }
    let manifests = [Some(&plan.manifest), plan.manifest.users.as_deref()];
    for declaration in manifests.into_iter().flatten().flat_map(|m| &m.declarations) {
        let body: Value = serde_json::from_str(&declaration.body).unwrap();
        let type_ = body["Type"].as_str().unwrap();
        let is_carrier = type_ == "com.apple.configuration.legacy"
            || type_ == "com.apple.configuration.management.status-subscriptions";
        if declaration.section == Section::Configurations && !is_carrier {
            flatten(type_, "", body["Payload"].as_object().unwrap(), &mut settings);
        }
    }
    settings
}

fn flatten(
    type_: &str,
    path: &str,
    content: &Map<String, Value>,
    settings: &mut BTreeMap<(String, String), Value>,
) {
    for (key, value) in content {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}/{key}")
        };
        match value {
            Value::Object(inner) => flatten(type_, &path, inner, settings),
            other => {
                settings.insert((type_.to_owned(), path), other.clone());
            }
        }
    }
}
