//! Stories of what the schema finds in content, from mistakes that people have made.

#![expect(
    clippy::needless_pass_by_value,
    reason = "tests read better with the data in its place"
)]

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::api::common::{EnrollmentMode, Platform};
use crate::policy::OsVersion;

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn target(platform: Platform, version: &str, mode: EnrollmentMode) -> Target {
    Target {
        os_version: OsVersion::read(version),
        mode: Some(mode),
        ..Target::of(platform)
    }
}

fn mac() -> Target {
    target(Platform::MacOS, "26.0", EnrollmentMode::Supervised)
}

fn told(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| format!("{} {} {finding}", finding.severity, finding.code))
        .collect();
    lines.join("\n")
}

fn payload(target: Target, type_: &str, content: Value) -> String {
    told(&Schema::embedded().check_profile_payload(&target, type_, &map(content)))
}

fn declaration(target: Target, type_: &str, content: Value) -> String {
    let type_ = format!("com.apple.configuration.{type_}");
    told(&Schema::embedded().check_declaration(&target, &type_, &map(content)))
}

const RESTRICTIONS: &str = "com.apple.applicationaccess";

#[test]
fn the_table_is_written_as_it_is_read_and_holds_everything() {
    let schema = Schema::embedded();
    assert_eq!(Schema::read(&schema.write()).unwrap(), *schema);
    assert_eq!(schema.commands.len(), 66);
    assert_eq!(
        schema.profiles.len(),
        129,
        "122 types of Apple's, less the two that are no payloads, and nine preference domains of the errata"
    );
    assert!(schema.declarations.len() >= 58);
    assert_eq!(schema.credentials.len(), 4);
    for system in [System::IOS, System::MacOS, System::TvOS, System::VisionOS] {
        assert_eq!(
            schema.newest(system).unwrap().0,
            OsVersion::read("27"),
            "{system}"
        );
    }
    for (name, facts) in schema.types() {
        assert!(facts.on.keys().len() <= 5, "{name}");
    }
}

#[test]
fn every_format_can_be_matched_and_default_and_range_fit_their_type() {
    let mut open: Vec<&Key> = Schema::embedded()
        .types()
        .flat_map(|(_, facts)| facts.keys.values())
        .collect();
    while let Some(key) = open.pop() {
        if let Some(Range(Some(least), Some(greatest))) = key.range {
            assert!(least <= greatest);
        }
        if let Some(format) = &key.format {
            assert!(!format.matches("\u{0}"), "{}", format.pattern());
        }
        open.extend(key.keys.values());
    }
}

#[test]
fn a_badly_anchored_format_is_matched_whole() {
    let facts = &Schema::embedded().profiles["com.apple.wifi.managed"];
    let oi = facts
        .key(&["RoamingConsortiumOIs", "RoamingConsortiumOI"])
        .unwrap();
    let format = oi.format.as_ref().unwrap();
    assert_eq!(format.pattern(), "^([0-9A-Za-z]{6})|([0-9A-Za-z]{9})$");
    for (text, good) in [
        ("001BC5", true),
        ("001BC504D", true),
        ("001BC5XXX-", false),
        ("-001BC504D", false),
    ] {
        assert_eq!(format.matches(text), good, "{text}");
    }
}

#[test]
fn types_of_several_files_are_one() {
    let schema = Schema::embedded();
    let content = json!({ "DisableGuestAccount": true, "EnableGuestAccount": false, "com.apple.EnergySaver.desktop.ACPower": {} });
    insta::assert_snapshot!(payload(mac(), "com.apple.MCX", content), @"");
    let sso = &schema.profiles["com.apple.extensiblesso"];
    assert_eq!(sso.variants.len(), 1);
    let kerberos = json!({ "ExtensionIdentifier": "com.apple.AppSSOKerberos.KerberosExtension", "TeamIdentifier": "mine",
        "Type": "Credential", "Realm": "EXAMPLE.COM", "Hosts": [".example.com"] });
    insta::assert_snapshot!(payload(mac(), "com.apple.extensiblesso", kerberos), @"error value TeamIdentifier: cannot be `mine`; give it one of `apple`");
}

#[test]
fn what_holds_itself_is_read_as_deep_as_it_goes() {
    let leaf = json!({ "Title": "a", "URL": "https://example.com" });
    let deep = (0..20).fold(leaf, |inner, _| json!({ "Title": "f", "Folder": [inner] }));
    let bookmarks = |item: Value| json!({ "ManagedBookmarks": [{ "GroupIdentifier": "g", "Title": "t", "Bookmarks": [item] }] });
    insta::assert_snapshot!(declaration(mac(), "safari.bookmarks", bookmarks(deep)), @"");
    let wrong = (0..3).fold(
        json!({ "Titlee": "a" }),
        |inner, _| json!({ "Title": "f", "Folder": [inner] }),
    );
    insta::assert_snapshot!(declaration(mac(), "safari.bookmarks", bookmarks(wrong)), @r"
    error unknown-key ManagedBookmarks[0].Bookmarks[0].Folder[0].Folder[0].Folder[0].Titlee: there is no such key; did you mean `Title`?
    error missing-key ManagedBookmarks[0].Bookmarks[0].Folder[0].Folder[0].Folder[0].Title: is missing; give it a string
    ");
}

#[test]
fn a_text_is_not_a_boolean() {
    insta::assert_snapshot!(payload(mac(), "com.apple.MCX.FileVault2", json!({ "Enable": true })), @"error wrong-type Enable: is true or false; give it one of `On` or `Off`");
    insta::assert_snapshot!(payload(mac(), "com.apple.MCX.FileVault2", json!({ "Enable": "on" })), @"error value Enable: cannot be `on`; give it one of `On` or `Off`; did you mean `On`?");
    let regex = json!({ "CustomRegex": { "Regex": ".*", "Description": "text" } });
    insta::assert_snapshot!(declaration(mac(), "passcode.settings", regex), @"error wrong-type CustomRegex.Description: is a string; give it a dictionary");
}

#[test]
fn misspelt_and_misplaced_keys_are_told_what_was_meant() {
    insta::assert_snapshot!(payload(mac(), RESTRICTIONS, json!({ "allowAirDrops": false })), @"warning unknown-key allowAirDrops: there is no such key; did you mean `allowAirDrop`?");
    let actions = json!({ "AutomaticActions": { "InstallSecurityUpdates": "AlwaysOn" } });
    insta::assert_snapshot!(declaration(mac(), "softwareupdate.settings", actions), @"error unknown-key AutomaticActions.InstallSecurityUpdates: there is no such key; did you mean `InstallSecurityUpdate`?");
    insta::assert_snapshot!(declaration(mac(), "diskmanagement.settings", json!({ "ExternalStorage": "ReadOnly" })), @"error unknown-key ExternalStorage: there is no such key; it belongs into `Restrictions`");
    let mail = told(&Schema::embedded().check_payload(
        Some(&target(Platform::IOS, "26", EnrollmentMode::Device)),
        "com.apple.eas.account",
        &map(json!({ "ssl": true })),
        Extent::Part,
    ));
    insta::assert_snapshot!(mail, @"warning unknown-key ssl: there is no such key; did you mean `SSL`?");
}

#[test]
fn an_unknown_type_is_a_warning_in_a_profile_and_an_error_as_a_declaration() {
    insta::assert_snapshot!(payload(mac(), "com.apple.security.firewal", json!({})), @"warning unknown-type there is no payload type `com.apple.security.firewal`; did you mean `com.apple.security.firewall`?");
    insta::assert_snapshot!(payload(mac(), "com.example.editor", json!({ "a": 1 })), @"warning unknown-type there is no payload type `com.example.editor`");
    insta::assert_snapshot!(declaration(mac(), "passcode.setting", json!({})), @"error unknown-type there is no declaration type `com.apple.configuration.passcode.setting`; did you mean `com.apple.configuration.passcode.settings`?");
}

#[test]
fn a_system_newer_than_the_table_may_have_more() {
    let new = target(Platform::MacOS, "28.0", EnrollmentMode::Supervised);
    insta::assert_snapshot!(declaration(new, "passcode.settings", json!({ "Brandnew": 1 })).split(';').next().unwrap(), @"warning unknown-key Brandnew: there is no such key");
    insta::assert_snapshot!(declaration(new, "brandnew", json!({})), @"warning unknown-type there is no declaration type `com.apple.configuration.brandnew`");
}

#[test]
fn a_number_stays_within_its_bounds_and_its_type() {
    let length = |value: Value| declaration(mac(), "passcode.settings", json!({ "MinimumLength": value }));
    insta::assert_snapshot!(length(json!(16)), @"");
    insta::assert_snapshot!(length(json!(17)), @"error range MinimumLength: cannot be 17; give it an integer from 0 to 16");
    insta::assert_snapshot!(length(json!(8.5)), @"error wrong-type MinimumLength: is a number; give it an integer from 0 to 16");
    insta::assert_snapshot!(length(json!(true)), @"error wrong-type MinimumLength: is true or false; give it an integer from 0 to 16");
    insta::assert_snapshot!(length(json!("8")), @"error wrong-type MinimumLength: is a string; give it an integer from 0 to 16");
    let interval = |value: Value| payload(mac(), "com.apple.dock", json!({ "largesize": value }));
    insta::assert_snapshot!(interval(json!(64)), @"");
    insta::assert_snapshot!(payload(mac(), "com.apple.MCX.FileVault2", json!({ "Enable": "On", "OutputPath": { "$data": "AQID" } })), @"error wrong-type OutputPath: is data; give it a string");
}

#[test]
fn the_system_and_its_version_decide() {
    let key = |target| {
        payload(
            target,
            RESTRICTIONS,
            json!({ "allowExternalIntelligenceIntegrations": false }),
        )
    };
    insta::assert_snapshot!(key(target(Platform::MacOS, "15.1", EnrollmentMode::Supervised)), @r#"error unsupported-os allowExternalIntelligenceIntegrations: needs macOS 15.2 or later; limit it to macOS with minimumVersion: "15.2""#);
    insta::assert_snapshot!(key(target(Platform::MacOS, "15.2", EnrollmentMode::Supervised)), @"");
    insta::assert_snapshot!(key(target(Platform::TvOS, "18", EnrollmentMode::Supervised)), @"error unsupported-os allowExternalIntelligenceIntegrations: is not there on tvOS; leave it out for tvOS");
    let delay = |version| {
        payload(
            target(Platform::MacOS, version, EnrollmentMode::Supervised),
            RESTRICTIONS,
            json!({ "enforcedSoftwareUpdateDelay": 30 }),
        )
    };
    insta::assert_snapshot!(delay("26.4"), @"");
    insta::assert_snapshot!(delay("27.0"), @r#"error unsupported-os enforcedSoftwareUpdateDelay: is no longer there since macOS 27.0; limit it to macOS with beforeVersion: "27.0""#);
    insta::assert_snapshot!(payload(target(Platform::MacOS, "27", EnrollmentMode::Supervised), "com.apple.SoftwareUpdate", json!({})), @r#"error unsupported-os com.apple.SoftwareUpdate is no longer there since macOS 27.0; limit it to macOS with beforeVersion: "27.0""#);
    let translation = json!({ "ForceOnDeviceOnlyTranslation": true });
    insta::assert_snapshot!(declaration(target(Platform::MacOS, "26.4", EnrollmentMode::Supervised), "intelligence.settings", translation), @"error unsupported-os ForceOnDeviceOnlyTranslation: is not there on macOS; leave it out for macOS");
    let early = json!({ "AllowMailSummary": false });
    insta::assert_snapshot!(declaration(mac(), "intelligence.settings", early).lines().next().unwrap(), @r#"error unsupported-os com.apple.configuration.intelligence.settings needs macOS 26.4 or later; limit it to macOS with minimumVersion: "26.4""#);
}

#[test]
fn the_kind_of_enrolment_decides() {
    let restriction = |mode, key: &str| {
        payload(
            target(Platform::IOS, "18.0", mode),
            RESTRICTIONS,
            json!({ key: false }),
        )
    };
    insta::assert_snapshot!(restriction(EnrollmentMode::Supervised, "allowAppInstallation"), @"");
    insta::assert_snapshot!(restriction(EnrollmentMode::Device, "allowAppInstallation"), @"warning not-effective allowAppInstallation: needs a supervised device; limit it to enrollmentModes: [Supervised]");
    insta::assert_snapshot!(restriction(EnrollmentMode::User, "allowAppInstallation"), @"error enrollment allowAppInstallation: is not there in a User Enrollment; limit it to enrollmentModes: [Supervised, Device]");
    insta::assert_snapshot!(payload(target(Platform::MacOS, "15", EnrollmentMode::User), "com.apple.security.firewall", json!({ "EnableFirewall": true })), @"error enrollment com.apple.security.firewall is not there in a User Enrollment; limit it to enrollmentModes: [Supervised, Device]");
    insta::assert_snapshot!(declaration(target(Platform::MacOS, "15", EnrollmentMode::User), "passcode.settings", json!({ "MinimumLength": 8 })), @"error enrollment com.apple.configuration.passcode.settings is not allowed in this kind of enrolment (User)");
    let unapproved = Target {
        user_approved: Some(false),
        ..mac()
    };
    insta::assert_snapshot!(payload(unapproved, "com.apple.MCX.FileVault2", json!({ "Enable": "On" })), @"error enrollment com.apple.MCX.FileVault2 needs management that the person at the Mac has approved");
    let user = Target {
        user_channel: Some(true),
        ..mac()
    };
    insta::assert_snapshot!(payload(user, "com.apple.security.firewall", json!({ "EnableFirewall": true })), @"error enrollment com.apple.security.firewall does not work on the channel of a user");
}

#[test]
fn what_apple_advises_against_is_told() {
    let list = payload(
        mac(),
        "com.apple.systempreferences",
        json!({ "DisabledSystemSettings": [] }),
    );
    insta::assert_snapshot!(list, @"warning deprecated com.apple.systempreferences is deprecated since macOS 13.0; it may go with the next system");
    let black = payload(
        mac(),
        "com.apple.applicationaccess.new",
        json!({ "familyControlsEnabled": true, "pathBlackList": ["/x"] }),
    );
    assert!(black.contains("deprecated"), "{black}");
}

#[test]
fn a_key_that_must_be_there_is_missed_only_where_nothing_else_can_bring_it() {
    insta::assert_snapshot!(payload(mac(), "com.apple.security.firewall", json!({ "EnableStealthMode": true })), @"error missing-key EnableFirewall: is missing; give it true or false");
    let part = Schema::embedded().check_payload(
        Some(&mac()),
        "com.apple.security.firewall",
        &map(json!({ "EnableStealthMode": true })),
        Extent::Part,
    );
    assert_eq!(part, []);
}

#[test]
fn data_and_dates_are_text_in_a_declaration() {
    let enforce = |time: Value| json!({ "TargetOSVersion": "26.1", "TargetLocalDateTime": time });
    insta::assert_snapshot!(declaration(mac(), "softwareupdate.enforcement.specific", enforce(json!("2026-12-01T12:00:00"))), @"");
    insta::assert_snapshot!(declaration(mac(), "softwareupdate.enforcement.specific", enforce(json!(5))), @"error wrong-type TargetLocalDateTime: is an integer; give it a string");
}

#[test]
fn preference_domains_are_taken_as_they_are() {
    let content = json!({ "PayloadContent": { "com.example": { "Forced": [{ "Settings": {}, "mcx_preference_settings": { "x": [1, { "y": true }] } }] } } });
    let findings = payload(mac(), "com.apple.ManagedClient.preferences", content);
    assert!(
        findings
            .lines()
            .all(|line| line.starts_with("warning") || line.contains("missing")),
        "{findings}"
    );
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!({ "$data": "AQID" })),
    ];
    let name = prop_oneof![
        ".{0,8}",
        Just("Item".to_owned()),
        Just("Restrictions".to_owned()),
        Just("Apps".to_owned()),
        Just("Folder".to_owned()),
        Just("Dock".to_owned()),
    ];
    leaf.prop_recursive(6, 48, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_value_under_any_key_is_judged(value in any_value(), seed in any::<prop::sample::Index>(), version in "[0-9]{1,2}(\\.[0-9])?") {
        let schema = Schema::embedded();
        let types: Vec<_> = schema.profiles.iter().chain(&schema.declarations).collect();
        let (name, facts) = types[seed.index(types.len())];
        let target = target(Platform::MacOS, &version, EnrollmentMode::User);
        let first = facts.keys.keys().next().cloned().unwrap_or_default();
        let content = Map::from_iter([(first, value.clone()), ("x".to_owned(), value)]);
        let one = schema.check_profile_payload(&target, name, &content);
        prop_assert!(one.len() <= 18);
        prop_assert_eq!(&one, &schema.check_profile_payload(&target, name, &content));
        prop_assert!(schema.check_declaration(&target, name, &content).len() <= 18);
    }

    #[test]
    fn no_table_is_too_strange_to_be_refused(text in ".{0,64}") {
        prop_assert!(Schema::read(&text).is_err());
    }
}

#[test]
fn a_damaged_table_is_refused_with_its_reason() {
    let read = |text: &str| Schema::read(text).unwrap_err().to_string();
    insta::assert_snapshot!(read("{}"), @"the file is no table of Apple's schema; make one with `provost schema import`");
    insta::assert_snapshot!(read(r#"{"format":2,"common":{},"profiles":{},"declarations":{},"credentials":{},"commands":{}}"#), @"the table has format 2, and this program reads 1; make it again with `provost schema import`");
    insta::assert_snapshot!(read(r#"{"format":1,"common":{},"profiles":{"a":{"keys":{"k":{"type":"array","like":"gone"}}}},"declarations":{},"credentials":{},"commands":{}}"#), @"the table is damaged: a has no shape `gone`");
}
