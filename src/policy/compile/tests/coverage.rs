//! Whatever type of declaration Apple's schema has reaches the devices that take it.

use std::collections::BTreeSet;

use super::*;
use crate::policy::Declaration;
use crate::policy::declaration::section;
use crate::policy::platform::{Channels, DeclarationType, declaration_types};

const PLATFORMS: [Platform; 6] = [
    Platform::IOS,
    Platform::IPadOS,
    Platform::MacOS,
    Platform::TvOS,
    Platform::VisionOS,
    Platform::WatchOS,
];

fn classes() -> impl Iterator<Item = DeviceClass> {
    PLATFORMS.into_iter().flat_map(|platform| {
        [
            EnrollmentMode::Supervised,
            EnrollmentMode::Device,
            EnrollmentMode::User,
        ]
        .map(|mode| DeviceClass {
            mode,
            ..class(platform, "99.0", true)
        })
    })
}

/// What a Profile object with one declaration becomes.
fn declared(class: DeviceClass, type_: &str) -> Manifest {
    let mut all = assignment("all", 0, Vec::new());
    all.profiles = vec![profile(
        "one",
        json!({ "title": "One", "declarations": [{ "type": type_, "payload": { "Mark": type_ } }] }),
    )];
    Manifest::clone(&compiled(class, &[all]).manifest)
}

/// The declaration with the mark, and what all activations name.
fn found(declarations: &[Declaration], type_: &str) -> (Option<Declaration>, BTreeSet<String>) {
    let read = |declaration: &Declaration| -> Value { serde_json::from_str(&declaration.body).unwrap() };
    let marked = declarations.iter().find(|declaration| {
        let body = read(declaration);
        body["Type"] == type_ && body["Payload"]["Mark"] == type_
    });
    let activated = declarations
        .iter()
        .map(read)
        .filter_map(|body| body["Payload"]["StandardConfigurations"].as_array().cloned())
        .flatten()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    (marked.cloned(), activated)
}

#[test]
fn every_type_of_declaration_reaches_each_class_that_takes_it_and_is_switched_on() {
    let mut served = BTreeSet::new();
    for class in classes() {
        for type_ in declaration_types() {
            let name = type_.name();
            let manifest = declared(class, &name);
            let (of_device, active) = found(&manifest.declarations, &name);
            let (of_users, active_for_users) = manifest
                .users
                .as_deref()
                .map_or_else(Default::default, |users| found(&users.declarations, &name));
            let channels = type_.allows(&class).ok().map(|()| type_.channels(class.platform));
            assert_eq!(
                (of_device.is_some(), of_users.is_some()),
                (
                    matches!(channels, Some(Channels::Device | Channels::Both)),
                    matches!(channels, Some(Channels::Users | Channels::Both)),
                ),
                "{name} for {class}"
            );
            for (declaration, active) in [(of_device, active), (of_users, active_for_users)] {
                let Some(declaration) = declaration else { continue };
                assert_eq!(declaration.section, section(&name), "{name}");
                assert_eq!(
                    active.contains(&*declaration.identifier),
                    declaration.section == Section::Configurations,
                    "{name} for {class}"
                );
                served.insert(name.clone());
            }
        }
    }
    let known: BTreeSet<String> = declaration_types()
        .filter(DeclarationType::is_on_some_system)
        .map(|type_| type_.name())
        .collect();
    assert_eq!(served, known);
    assert!(known.len() > 40, "{} types", known.len());
}

#[test]
fn what_a_device_says_that_it_does_not_take_is_in_no_manifest_for_it() {
    let names: Vec<String> = declaration_types().map(|type_| type_.name()).collect();
    let lacks: Lacks = serde_json::from_value(json!({ "declarations": names })).unwrap();
    for platform in PLATFORMS {
        let lacking = DeviceClass {
            lacks,
            ..class(platform, "99.0", true)
        };
        for name in &names {
            let manifest = declared(lacking, name);
            assert_eq!(
                found(&manifest.declarations, name).0,
                None,
                "{name} for {lacking}"
            );
            assert_eq!(manifest.users, None, "{name} for {lacking}");
        }
    }
}

#[test]
fn an_asset_goes_with_what_refers_to_it_and_what_is_checked_is_subscribed_to() {
    let mut all = assignment("all", 0, vec![baseline("cis", json!([filevault()]))]);
    all.profiles = vec![profile(
        "keys",
        json!({ "title": "Keys", "declarations": [
        { "type": "com.apple.asset.credential.acme", "payload": { "Reference": { "DataURL": "https://example.com/acme" } } },
        { "type": "com.apple.configuration.security.identity",
          "payload": { "CredentialAssetReference": "dev.provost.fleet.object.keys.asset.credential.acme" } },
    ] }),
    )];
    let plan = compiled(mac(), &[all]);
    let bodies: Vec<Value> = plan
        .manifest
        .declarations
        .iter()
        .map(|declaration| serde_json::from_str(&declaration.body).unwrap())
        .collect();
    let of_type = |type_: &str| bodies.iter().find(|body| body["Type"] == type_).unwrap();
    let identity = of_type("com.apple.configuration.security.identity");
    let asset = of_type("com.apple.asset.credential.acme");
    assert_eq!(
        identity["Payload"]["CredentialAssetReference"],
        asset["Identifier"]
    );
    let subscribed =
        &of_type("com.apple.configuration.management.status-subscriptions")["Payload"]["StatusItems"];
    let asks_for = |name: &str| subscribed.as_array().unwrap().contains(&json!({ "Name": name }));
    assert!(asks_for("diskmanagement.filevault.enabled"), "{subscribed}");
    assert!(
        !asks_for("passcode.is-present"),
        "what nothing reads is not asked for"
    );
}
