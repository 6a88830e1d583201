//! Makes the table from Apple's schema, and corrects what is known to be out of date in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_yaml::Value;

use super::*;
use crate::policy::OsVersion;

/// What OS 27 takes away, by Apple's list of changes; the schema that the table is made from is older. Gone are the commands about updates, for
/// declarations do that work, and what asked about their settings.
const REMOVED_IN_27: [(&str, &[&str]); 8] = [
    ("AvailableOSUpdates", &[]),
    ("OSUpdateStatus", &[]),
    ("ScheduleOSUpdate", &[]),
    ("ScheduleOSUpdateScan", &[]),
    (
        "DeviceInformation",
        &["Queries", "QueriesItem", "OSUpdateSettings"],
    ),
    (
        "DeviceInformation",
        &["Queries", "QueriesItem", "SoftwareUpdateDeviceID"],
    ),
    (
        "DeviceInformation",
        &["Queries", "QueriesItem", "SoftwareUpdateSettings"],
    ),
    ("Settings", &["Settings", "SoftwareUpdateSettings"]),
];

/// The schema's names of rights, which are not always the same for the same right.
fn rights(name: &str) -> Option<AccessRights> {
    Some(AccessRights(match name {
        // Each key says its own.
        "Special Case" => return None,
        "None" | "n/a" => 0,
        "AllowInspection" => 1,
        "AllowInstallationRemoval" => 2,
        "AllowPasscodeRemovalAndLock" | "DeviceLockAndRemovePasscode" => 4,
        "AllowDeviceErase" => 8,
        "AllowQueryDeviceInformation" => 16,
        "AllowQueryNetworkInformation" => 32,
        "AllowProvisioningInspection" => 64,
        "AllowProvisioningInstallationRemoval" => 128,
        "AllowQueryApplications" | "QueryInstalledApps" => 256,
        "AllowQueryRestrictions" => 512,
        "AllowQuerySecurity" => 1024,
        "AllowSettings" => 2048,
        "AllowAppInstallation" => 4096,
        other => panic!("the schema has a right that is not known here: {other}"),
    }))
}

fn scalar(value: &Value) -> Option<Scalar> {
    Some(match value {
        Value::Bool(flag) => Scalar::Boolean(*flag),
        Value::Number(number) => number
            .as_i64()
            .map_or_else(|| Scalar::Real(number.as_f64().unwrap()), Scalar::Integer),
        Value::String(text) => Scalar::Text(text.clone()),
        _ => return None,
    })
}

fn mode(value: &Value) -> Option<Mode> {
    value["mode"].as_str().map(|mode| match mode {
        "allowed" => Mode::Allowed,
        "forbidden" => Mode::Forbidden,
        "ignored" => Mode::Ignored,
        "required" => Mode::Required,
        other => panic!("the schema has a mode that is not known here: {other}"),
    })
}

fn version(value: &Value) -> Option<Version> {
    value.as_str().map(|text| Version(OsVersion::read(text)))
}

fn conditions(value: &Value) -> Conditions {
    let shared = &value["sharedipad"];
    Conditions {
        since: value["introduced"].as_str().map(|since| match since {
            "n/a" => Since::Never,
            version => Since::from(version.to_owned()),
        }),
        deprecated: version(&value["deprecated"]),
        removed: version(&value["removed"]),
        rights: value["accessrights"].as_str().and_then(rights),
        supervised: value["supervised"].as_bool(),
        automated: value["requiresdep"].as_bool(),
        device_channel: value["devicechannel"].as_bool(),
        user_channel: value["userchannel"].as_bool(),
        user_enrollment: mode(&value["userenrollment"]),
        shared_ipad: shared.is_mapping().then(|| SharedIPad {
            mode: mode(shared),
            device_channel: shared["devicechannel"].as_bool(),
            user_channel: shared["userchannel"].as_bool(),
        }),
    }
}

fn systems(value: &Value) -> BTreeMap<System, Conditions> {
    let systems = value.as_mapping().into_iter().flatten();
    systems
        .map(|(system, value)| {
            let system = serde_yaml::from_value(system.clone()).expect("a system that is known here");
            (system, conditions(value))
        })
        // A key that is never there needs no further conditions, and says so only where what it is part of is.
        .map(|(system, on)| match on.since {
            Some(Since::Never) => (
                system,
                Conditions {
                    since: on.since,
                    ..Conditions::default()
                },
            ),
            _ => (system, on),
        })
        .filter(|(_, on)| *on != Conditions::default())
        .collect()
}

fn keys(value: &Value) -> BTreeMap<String, Key> {
    let entries = value.as_sequence().into_iter().flatten();
    entries
        .map(|value| {
            let kind = value["type"].as_str().unwrap().trim_matches(['<', '>']);
            let key = Key {
                kind: serde_yaml::from_str(kind).expect("a type that is known here"),
                required: value["presence"].as_str() == Some("required"),
                values: value["rangelist"]
                    .as_sequence()
                    .into_iter()
                    .flatten()
                    .filter_map(scalar)
                    .collect(),
                range: value["range"].as_mapping().map(|_| {
                    let bound = |name: &str| value["range"][name].as_f64().expect("both bounds");
                    (bound("min"), bound("max"))
                }),
                default: scalar(&value["default"]),
                on: systems(&value["supportedOS"]),
                keys: keys(&value["subkeys"]),
            };
            (value["key"].as_str().unwrap().to_owned(), key)
        })
        .collect()
}

/// Reads the schema in `folder`, which holds one file for each command.
pub(super) fn read(folder: &Path) -> BTreeMap<String, CommandFacts> {
    let mut table = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let file: Value = serde_yaml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let mut on = systems(&file["payload"]["supportedOS"]);
        on.retain(|_, on| on.since != Some(Since::Never));
        let facts = CommandFacts {
            on,
            request: keys(&file["payloadkeys"]),
            response: keys(&file["responsekeys"]),
        };
        table.insert(file["payload"]["requesttype"].as_str().unwrap().to_owned(), facts);
    }
    for (command, path) in REMOVED_IN_27 {
        let facts = table.get_mut(command).unwrap();
        let all: Vec<System> = facts.on.keys().copied().collect();
        let mut at = &mut facts.request;
        let mut on = &mut facts.on;
        for name in path {
            let key = at.get_mut(*name).unwrap();
            (at, on) = (&mut key.keys, &mut key.on);
        }
        for system in all {
            let conditions = on.entry(system).or_default();
            if conditions.since != Some(Since::Never) {
                conditions.removed = Some(Version(OsVersion::read("27")));
            }
        }
    }
    table
}

/// The table as it stands in the file: one line for each key of a command.
pub(super) fn write(table: &BTreeMap<String, CommandFacts>) -> String {
    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }
    fn section(text: &mut String, name: &str, keys: &BTreeMap<String, Key>) {
        if keys.is_empty() {
            return;
        }
        let lines: Vec<String> = keys
            .iter()
            .map(|(name, key)| format!("   {}: {}", json(name), json(key)))
            .collect();
        write!(text, ",\n  \"{name}\": {{\n{}\n  }}", lines.join(",\n")).unwrap();
    }
    let commands: Vec<String> = table
        .iter()
        .map(|(name, facts)| {
            let mut text = format!(" {}: {{\n  \"on\": {}", json(name), json(&facts.on));
            section(&mut text, "request", &facts.request);
            section(&mut text, "response", &facts.response);
            text + "\n }"
        })
        .collect();
    format!("{{\n{}\n}}\n", commands.join(",\n"))
}
