use std::collections::BTreeMap;

use super::*;
use crate::clock::SeededEntropy;
use crate::compliance::Source;
use crate::controllers::fleet::fixtures::*;
use crate::ids::Digest;
use crate::mdm::command::{Intent, Priority};
use crate::policy::ProfileDocument;

fn manifest(profiles: &[(&str, &str)]) -> Manifest {
    let document = |(name, uuid): &(&str, &str)| ProfileDocument {
        identifier: format!("{PROFILE_PREFIX}{name}").into(),
        uuid: (*uuid).into(),
        digest: Digest::of(uuid.as_bytes()),
        body: format!("<plist>{name}</plist>").into(),
    };
    Manifest::new(Vec::new(), profiles.iter().map(document).collect())
}

fn installed(profiles: &[(&str, &str)]) -> Facts {
    let profiles: BTreeMap<String, String> = profiles
        .iter()
        .map(|(identifier, uuid)| ((*identifier).to_owned(), (*uuid).to_owned()))
        .collect();
    Facts {
        profiles: Some(profiles),
        ..Facts::default()
    }
}

/// The intents of the orders for a device without declarative management.
fn orders(manifest: &Manifest, facts: &Facts, again: bool) -> Vec<String> {
    let applied_manifest = Some(manifest.id);
    let device = Enrollment {
        declarative: false,
        applied_manifest,
        ..enrollment("A", "lab")
    };
    let entropy = SeededEntropy::new(1);
    let issue = Issue {
        now: at(0),
        entropy: &entropy,
    };
    let orders = to_hold(&device, manifest, facts, again, &issue);
    assert!(
        orders
            .iter()
            .all(|order| order.chain.as_deref() == Some(PROFILE_CHAIN))
    );
    orders
        .into_iter()
        .map(|order| {
            let Some(Intent::Of(intent)) = order.intent else {
                panic!("an order says what it is for");
            };
            format!("{} {intent}", order.request_type)
        })
        .collect()
}

const LOOK: [&str; 2] = ["ProfileList ProfileList", "SecurityInfo SecurityInfo"];

#[test]
fn what_is_missing_is_installed_and_what_is_stale_removed() {
    let wanted = manifest(&[("a", "U-1"), ("b", "U-2"), ("c", "U-3")]);
    let held = installed(&[
        ("dev.provost.profile.a", "u-1"),
        ("dev.provost.profile.b", "OLD"),
        ("dev.provost.profile.gone", "U"),
        ("com.example.other", "X"),
    ]);
    let expected = [
        "RemoveProfile Profile:dev.provost.profile.gone",
        "InstallProfile Profile:dev.provost.profile.b",
        "InstallProfile Profile:dev.provost.profile.c",
    ];
    assert_eq!(orders(&wanted, &held, false), [&expected[..], &LOOK].concat());
}

#[test]
fn who_holds_everything_is_told_nothing_unless_it_is_not_believed() {
    let wanted = manifest(&[("a", "U-1")]);
    let held = installed(&[
        ("dev.provost.profile.a", "U-1"),
        ("dev.provost.profile.gone", "U"),
    ]);
    let everything = installed(&[("dev.provost.profile.a", "U-1")]);
    assert_eq!(orders(&wanted, &everything, false), [""; 0]);
    let expected = [
        "RemoveProfile Profile:dev.provost.profile.gone",
        "InstallProfile Profile:dev.provost.profile.a",
    ];
    assert_eq!(orders(&wanted, &held, true), [&expected[..], &LOOK].concat());
}

#[test]
fn of_whom_nothing_is_known_is_told_everything_and_asked() {
    let expected = ["InstallProfile Profile:dev.provost.profile.a"];
    assert_eq!(
        orders(&manifest(&[("a", "U-1")]), &Facts::default(), false),
        [&expected[..], &LOOK].concat()
    );
    assert_eq!(orders(&manifest(&[]), &Facts::default(), false), LOOK);
}

#[test]
fn a_device_with_declarative_management_is_told_to_look() {
    let entropy = SeededEntropy::new(1);
    let issue = Issue {
        now: at(0),
        entropy: &entropy,
    };
    let device = enrollment("A", "lab");
    let orders = to_hold(
        &device,
        &manifest(&[("a", "U-1")]),
        &Facts::default(),
        false,
        &issue,
    );
    assert_eq!(
        orders
            .iter()
            .map(|order| &*order.request_type)
            .collect::<Vec<_>>(),
        ["DeclarativeManagement"]
    );
    assert_eq!(orders[0].deadline, at(7 * 24 * 3600));
}

#[test]
fn each_question_has_its_command() {
    let entropy = SeededEntropy::new(1);
    let issue = Issue {
        now: at(0),
        entropy: &entropy,
    };
    let question = |source, queries: &[&'static str], managed_only| Question {
        source,
        queries: queries.to_vec(),
        managed_only,
    };
    let questions = [
        question(Source::DeviceInformation, &["OSVersion"], false),
        question(Source::SecurityInfo, &[], false),
        question(Source::CertificateList, &[], true),
        question(Source::InstalledApplicationList, &[], true),
        question(Source::StatusReport, &[], false),
    ];
    let orders = for_evidence(&enrollment("A", "lab"), &questions, &issue);
    let kinds: Vec<&str> = orders.iter().map(|order| &*order.request_type).collect();
    assert_eq!(
        kinds,
        [
            "DeviceInformation",
            "SecurityInfo",
            "CertificateList",
            "InstalledApplicationList",
            "DeclarativeManagement"
        ]
    );
    let says = |order: usize, text: &str| orders[order].body.contains(text);
    assert!(says(0, "<string>OSVersion</string>"));
    assert!(says(2, "<key>ManagedOnly</key>") && says(3, "<key>ManagedAppsOnly</key>"));
    assert!(
        orders.iter().all(|order| order.priority == Priority::Background),
        "whatever else a device is told goes before"
    );
}

#[test]
fn a_device_in_setup_assistant_goes_on_when_all_else_has_been_said() {
    let entropy = SeededEntropy::new(1);
    let issue = Issue {
        now: at(0),
        entropy: &entropy,
    };
    let waiting = Enrollment {
        awaiting_configuration: true,
        ..enrollment("A", "lab")
    };
    let told = |device: &Enrollment| {
        let wanted = manifest(&[("a", "U-1")]);
        let orders = to_hold(device, &wanted, &Facts::default(), false, &issue);
        let last = orders.last().unwrap();
        (last.request_type.to_string(), last.chain.clone(), orders.len())
    };
    // It does not hear of declarations before, so it is not to wait for them.
    assert_eq!(told(&waiting), ("DeviceConfigured".to_owned(), None, 2));
    let old = Enrollment {
        declarative: false,
        ..waiting
    };
    let chain = Some(PROFILE_CHAIN.into());
    assert_eq!(told(&old), ("DeviceConfigured".to_owned(), chain, 4));
}
