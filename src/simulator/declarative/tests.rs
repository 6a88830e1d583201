//! A device without a network: manifests go in, reports come out.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::model::{Family, Identity, tests::some};
use super::super::profile::{Profile, tests::profile_xml};
use super::super::seed::Seed;
use super::super::settings::Settings;
use super::super::status::Observed;
use super::*;

struct Device {
    identity: Identity,
    settings: Settings,
    declarative: Declarative,
}

impl Device {
    fn mac() -> Self {
        let identity = some(Family::Mac, 0);
        let settings = Settings::as_found(&identity, &mut Seed::new(1, 1));
        Self {
            identity,
            settings,
            declarative: Declarative::default(),
        }
    }

    /// Syncs to a set of declarations, each `(kind, type, identifier, server token, payload)`.
    fn sync(&mut self, set: &[(Kind, &str, &str, &str, Value)]) {
        let manifest = manifest(set);
        let fetched = self.declarative.missing(&manifest).into_iter().map(|(kind, item)| {
            let (_, type_name, identifier, server_token, payload) =
                set.iter().find(|(k, _, id, ..)| *k == kind && *id == item.identifier).unwrap();
            let declaration = json!({"Type": type_name, "Identifier": identifier, "ServerToken": server_token,
                "Payload": payload});
            (kind, Arc::new(serde_json::from_value(declaration).unwrap()))
        });
        let fetched = fetched.collect();
        self.declarative.adopt(&manifest, fetched);
        self.evaluate();
    }

    fn evaluate(&mut self) {
        self.declarative.evaluate(&Observed {
            identity: &self.identity,
            settings: &self.settings,
        });
    }

    /// Reports, as if the server took it.
    fn report(&mut self, full: bool) -> Option<Value> {
        let observed = Observed {
            identity: &self.identity,
            settings: &self.settings,
        };
        let report = self.declarative.report(&observed, full)?;
        let body = report.body.clone();
        self.declarative.reported(report);
        Some(body)
    }
}

fn manifest(set: &[(Kind, &str, &str, &str, Value)]) -> Manifest {
    let section = |wanted: Kind| -> Vec<Value> {
        set.iter()
            .filter(|(kind, ..)| *kind == wanted)
            .map(|(_, _, id, token, _)| json!({"Identifier": id, "ServerToken": token}))
            .collect()
    };
    let versions: Vec<String> = set
        .iter()
        .map(|(_, _, id, token, _)| format!("{id}:{token}"))
        .collect();
    serde_json::from_value(json!({
        "Declarations": {
            "Activations": section(Kind::Activation), "Assets": section(Kind::Asset),
            "Configurations": section(Kind::Configuration), "Management": section(Kind::Management),
        },
        "DeclarationsToken": versions.join(";"),
    }))
    .unwrap()
}

const PASSCODE: &str = "com.apple.configuration.passcode.settings";
const SUBSCRIBE: &str = "com.apple.configuration.management.status-subscriptions";
const ACTIVATION: &str = "com.apple.activation.simple";

fn activation(configurations: &[&str], predicate: Option<&str>) -> Value {
    match predicate {
        None => json!({"StandardConfigurations": configurations}),
        Some(predicate) => json!({"StandardConfigurations": configurations, "Predicate": predicate}),
    }
}

fn standard(token: &'static str) -> Vec<(Kind, &'static str, &'static str, &'static str, Value)> {
    vec![
        (
            Kind::Activation,
            ACTIVATION,
            "act",
            "1",
            activation(&["pass", "subs"], None),
        ),
        (
            Kind::Configuration,
            PASSCODE,
            "pass",
            token,
            json!({"MinimumLength": 12}),
        ),
        (
            Kind::Configuration,
            SUBSCRIBE,
            "subs",
            "1",
            json!({"StatusItems": [{"Name": "diskmanagement.filevault.enabled"}, {"Name": "passcode.is-present"}]}),
        ),
    ]
}

fn state<'a>(report: &'a Value, section: &str, identifier: &str) -> &'a Value {
    report["StatusItems"]["management"]["declarations"][section]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["identifier"] == identifier)
        .unwrap()
}

#[test]
fn a_full_report_tells_everything_and_the_next_only_what_changed() {
    let mut mac = Device::mac();
    mac.settings.file_vault = true;
    mac.sync(&standard("1"));
    let full = mac.report(true).unwrap();
    insta::assert_json_snapshot!(full, @r#"
    {
      "Errors": [
        {
          "Reasons": [
            {
              "Code": "Error.UnsupportedStatusItem",
              "Description": "This system does not have the status item.",
              "Details": {}
            }
          ],
          "StatusItem": "passcode.is-present"
        }
      ],
      "FullReport": true,
      "StatusItems": {
        "diskmanagement": {
          "filevault": {
            "enabled": true
          }
        },
        "management": {
          "declarations": {
            "activations": [
              {
                "active": true,
                "identifier": "act",
                "reasons": [],
                "server-token": "1",
                "valid": "valid"
              }
            ],
            "assets": [],
            "configurations": [
              {
                "active": true,
                "identifier": "pass",
                "reasons": [],
                "server-token": "1",
                "valid": "valid"
              },
              {
                "active": true,
                "identifier": "subs",
                "reasons": [],
                "server-token": "1",
                "valid": "valid"
              }
            ],
            "management": []
          }
        }
      }
    }
    "#);
    assert_eq!(mac.report(false), None);

    mac.settings.file_vault = false;
    let delta = mac.report(false).unwrap();
    let expected =
        json!({"StatusItems": {"diskmanagement": {"filevault": {"enabled": false}}}, "Errors": []});
    assert_eq!(delta, expected);
}

#[test]
fn only_what_changed_is_fetched_and_removals_are_told() {
    let mut mac = Device::mac();
    mac.sync(&standard("1"));
    mac.report(true);
    let changed = standard("2");
    assert_eq!(mac.declarative.missing(&manifest(&changed)).len(), 1);
    mac.sync(&changed);
    let delta = mac.report(false).unwrap();
    assert_eq!(state(&delta, "configurations", "pass")["server-token"], "2");
    assert_eq!(
        delta["StatusItems"]["management"]["declarations"]["activations"],
        json!([])
    );

    let without: Vec<_> = standard("2")
        .into_iter()
        .filter(|(_, _, id, ..)| *id == "subs")
        .collect();
    mac.sync(&without);
    let delta = mac.report(false).unwrap();
    assert_eq!(
        state(&delta, "configurations", "pass"),
        &json!({"identifier": "pass", "_removed": true})
    );
    assert_eq!(state(&delta, "activations", "act")["_removed"], true);
    assert_eq!(state(&delta, "configurations", "subs")["active"], false);
    assert_eq!(mac.report(false), None);
}

#[test]
fn a_set_counts_as_held_only_when_it_is_complete() {
    let mut mac = Device::mac();
    let whole = manifest(&standard("1"));
    mac.declarative.adopt(&whole, Vec::new());
    assert!(!mac.declarative.is_current(&whole.declarations_token));
    mac.sync(&standard("1"));
    assert!(mac.declarative.is_current(&whole.declarations_token));
}

#[test]
fn activations_decide_and_failures_have_apples_codes() {
    let mut mac = Device::mac();
    let act = |id, named: &[&str], predicate| {
        (
            Kind::Activation,
            ACTIVATION,
            id,
            "1",
            activation(named, predicate),
        )
    };
    let passcode = |id| (Kind::Configuration, PASSCODE, id, "1", json!({}));
    let legacy = |id, payload| {
        (
            Kind::Configuration,
            "com.apple.configuration.legacy",
            id,
            "1",
            payload,
        )
    };
    let phones = "@status(device.operating-system.family) == 'iOS'";
    mac.sync(&[
        act("phones", &["a"], Some(phones)),
        act("strange", &["b"], Some("ANY x")),
        act("dangling", &["nowhere"], None),
        act("ring", &["c", "d", "e", "f"], Some("@property(ring) == 1")),
        passcode("a"),
        passcode("b"),
        (
            Kind::Configuration,
            "com.apple.configuration.future",
            "c",
            "1",
            json!({}),
        ),
        legacy("d", json!({})),
        legacy("e", json!({"ProfileURL": "https://x/p"})),
        passcode("f"),
        (
            Kind::Management,
            "com.apple.management.properties",
            "props",
            "1",
            json!({"ring": 1}),
        ),
    ]);
    let report = mac.report(true).unwrap();
    let of = |section, identifier| {
        let state = state(&report, section, identifier);
        (
            state["active"].as_bool().unwrap(),
            state["valid"].as_str().unwrap(),
            state["reasons"][0]["code"].as_str(),
        )
    };
    assert_eq!(
        of("activations", "phones"),
        (false, "valid", Some("Info.Predicate"))
    );
    assert_eq!(
        of("activations", "strange"),
        (false, "invalid", Some("Error.UnableToParsePredicate"))
    );
    assert_eq!(
        of("activations", "dangling"),
        (false, "invalid", Some("Error.MissingConfigurations"))
    );
    assert_eq!(of("activations", "ring"), (true, "valid", None));
    assert_eq!(
        of("configurations", "a"),
        (false, "valid", Some("Info.NotReferencedByActivation"))
    );
    assert_eq!(
        of("configurations", "b"),
        (false, "valid", Some("Error.ActivationFailed"))
    );
    assert_eq!(
        of("configurations", "c"),
        (false, "invalid", Some("Error.UnknownDeclarationType"))
    );
    assert_eq!(
        of("configurations", "d"),
        (false, "invalid", Some("Error.ConfigurationCannotBeDeserialized"))
    );
    assert_eq!(of("configurations", "e"), (true, "unknown", None));
    assert_eq!(of("configurations", "f"), (true, "valid", None));
    assert_eq!(of("management", "props"), (true, "valid", None));
    assert_eq!(
        mac.declarative.missing_profiles(),
        [("e".to_owned(), "https://x/p".to_owned())]
    );
}

#[test]
fn a_legacy_configuration_is_valid_once_its_profile_is_there() {
    let mut mac = Device::mac();
    mac.sync(&[
        (Kind::Activation, ACTIVATION, "act", "1", activation(&["e"], None)),
        (
            Kind::Configuration,
            "com.apple.configuration.legacy",
            "e",
            "1",
            json!({"ProfileURL": "https://x/p"}),
        ),
    ]);
    mac.declarative.put_profile("e", Err("HTTP 404".to_owned()));
    mac.evaluate();
    let report = mac.report(true).unwrap();
    assert_eq!(
        state(&report, "configurations", "e")["reasons"][0]["details"]["Error"],
        "HTTP 404"
    );
    assert_eq!(mac.declarative.missing_profiles().len(), 1, "it is tried again");

    let profile = Profile::parse(&profile_xml("p", "U", "com.apple.screensaver", "")).unwrap();
    mac.declarative.put_profile("e", Ok(Arc::new(profile)));
    mac.evaluate();
    assert_eq!(
        state(&mac.report(false).unwrap(), "configurations", "e")["valid"],
        "valid"
    );
    assert_eq!(mac.declarative.profiles().count(), 1);
}

#[test]
fn a_broken_configuration_is_told_and_so_is_its_repair() {
    for (how, active, valid) in [
        (Breakage::Invalid, false, "invalid"),
        (Breakage::Inactive, false, "valid"),
    ] {
        let mut mac = Device::mac();
        mac.sync(&standard("1"));
        mac.report(true);
        assert_eq!(mac.declarative.breakable(), ["pass"]);
        mac.declarative.break_configuration("pass".to_owned(), how);
        mac.evaluate();
        let report = mac.report(false).unwrap();
        let broken = state(&report, "configurations", "pass");
        assert_eq!(
            (broken["active"].as_bool(), broken["valid"].as_str()),
            (Some(active), Some(valid))
        );
        mac.declarative.repair();
        mac.evaluate();
        let report = mac.report(false).unwrap();
        assert_eq!(state(&report, "configurations", "pass")["active"], true);
    }
}
