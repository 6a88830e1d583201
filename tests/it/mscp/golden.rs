//! What mSCP's own generator makes of twenty baselines, against what we make of them.
//!
//! All comparable parts are equal. Where the generator loses a setting ours has it; where it lets the last of two rules win ours has
//! neither; where it writes what a service does not understand ours writes what it does. Each of these is listed here, and nothing else may differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use provost::gitops::mscp::Export;
use serde_json::{Value, json};

use super::{published, tree};

const INTELLIGENCE: &str = "com.apple.configuration.intelligence.settings";
const UPDATES: &str = "com.apple.configuration.softwareupdate.settings";
const MOUNTS: &str = "com.apple.systemuiserver";

/// Each file, with the codes of the settings that the generator loses, of the conflicts that it settles by order, and of the
/// lines that it writes wrongly.
const FILES: [(&str, &str, &str, &str); 20] = [
    ("800-171_ios_26.0", "abcd", "", ""),
    ("800-171_macos_26.0", "abcd", "", "KN"),
    ("800-171_visionos_26.0", "ab", "", ""),
    ("800-53r5_low_ios_26.0", "abcd", "O", ""),
    ("800-53r5_low_macos_26.0", "abcde", "", "K"),
    ("800-53r5_low_visionos_26.0", "ab", "", ""),
    ("cis_lvl1_byod_ios_26.0", "b", "", ""),
    ("cis_lvl1_enterprise_ios_26.0", "b", "", ""),
    ("cis_lvl1_macos_26.0", "bceg", "", ""),
    ("cisv8_ios_26.0", "b", "", ""),
    ("cisv8_macos_26.0", "befg", "", "K"),
    ("cmmc_lvl1_ios_26.0", "abcd", "O", ""),
    ("cmmc_lvl1_macos_26.0", "abcde", "", "K"),
    ("cmmc_lvl1_visionos_26.0", "ab", "", ""),
    ("cmmc_lvl2_macos_26.0", "abcdem", "S", "KN"),
    ("cmmc_lvl3_visionos_26.0", "a", "", ""),
    ("hicp_lp_macos_26.0", "abcde", "S", "K"),
    ("indigo_base_ios_26.0", "abcd", "O", ""),
    ("nlmapgov_base_ios_26.0", "h", "", ""),
    ("nlmapgov_base_macos_26.0", "gh", "", ""),
];

/// A place in an export: the part, then keys.
type Place = Vec<String>;

fn place(part: &str, type_: &str, keys: &[&str]) -> Place {
    [part, type_]
        .iter()
        .chain(keys)
        .map(|key| (*key).to_owned())
        .collect()
}

/// What a code of a loss stands for.
fn lost(code: char) -> Vec<(Place, Value)> {
    let ddm = |type_: &str, keys: &[&str], value: Value| vec![(place("ddm", type_, keys), value)];
    match code {
        'a' => ddm(INTELLIGENCE, &["Apps", "Mail", "AllowSmartReplies"], json!(false)),
        'b' => ddm(INTELLIGENCE, &["Apps", "Mail", "AllowSummary"], json!(false)),
        'c' => ddm(
            INTELLIGENCE,
            &["Apps", "Notes", "AllowTranscription"],
            json!(false),
        ),
        'd' => ddm(
            INTELLIGENCE,
            &["Apps", "Notes", "AllowTranscriptionSummary"],
            json!(false),
        ),
        'e' => ddm(
            UPDATES,
            &["AutomaticActions", "InstallSecurityUpdates"],
            json!("AlwaysOn"),
        ),
        'f' => ddm(
            UPDATES,
            &["AutomaticActions", "InstallSecurityUpdate"],
            json!("AlwaysOn"),
        ),
        'g' => ddm(
            UPDATES,
            &["AutomaticActions", "InstallOSUpdates"],
            json!("AlwaysOn"),
        ),
        'h' => ddm(UPDATES, &["AutomaticActions", "Download"], json!("AlwaysOn")),
        'm' => {
            let eject = || json!(["alert", "eject"]);
            let discs = [
                ("bd", json!(["read-only"])),
                ("blankbd", eject()),
                ("blankcd", eject()),
                ("blankdvd", eject()),
                ("cd", json!(["read-only"])),
                ("disk-image", eject()),
                ("dvdram", eject()),
            ];
            discs
                .into_iter()
                .map(|(disc, value)| (place("profiles", MOUNTS, &["mount-controls", disc]), value))
                .collect()
        }
        other => panic!("no loss has the code {other}"),
    }
}

/// What a code of a conflict stands for: where, and what the generator has there.
fn settled(code: char) -> (Place, Value) {
    match code {
        'S' => (
            place(
                "profiles",
                "com.apple.security.smartcard",
                &["checkCertificateTrust"],
            ),
            json!(2),
        ),
        'O' => (
            place("ddm", INTELLIGENCE, &["ForceOnDeviceOnlyTranslation"]),
            json!(false),
        ),
        other => panic!("no conflict has the code {other}"),
    }
}

/// The values of an export, by their places; lists as sets.
fn leaves(export: &Value) -> BTreeMap<Place, Value> {
    let mut leaves = BTreeMap::new();
    let mut open: Vec<(Place, &Value)> = ["profiles", "mcx", "ddm"]
        .into_iter()
        .map(|part| (vec![part.to_owned()], &export[part]))
        .collect();
    while let Some((place, value)) = open.pop() {
        match value {
            Value::Object(map) if !map.is_empty() => open.extend(map.iter().map(|(key, value)| {
                let mut below = place.clone();
                below.push(key.clone());
                (below, value)
            })),
            Value::Array(list) => {
                let mut set: Vec<Value> = list.clone();
                set.sort_by_key(Value::to_string);
                set.dedup();
                leaves.insert(place, Value::Array(set));
            }
            scalar => {
                leaves.insert(place, scalar.clone());
            }
        }
    }
    leaves
}

/// The lines of a configuration file, with single blanks.
fn lines(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect()
}

fn read(folder: &Path, file: &str) -> Value {
    let path = folder.join("mscp-golden").join(format!("{file}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn ours(folder: &Path) -> BTreeMap<&'static str, Export> {
    let tree = tree(&folder.join("mscp"));
    FILES
        .into_iter()
        .map(|(file, ..)| {
            let baseline = tree.find(file, None, None).unwrap();
            (file, baseline.resolve(&tree).export())
        })
        .collect()
}

#[test]
fn every_setting_is_the_generator_s_but_for_what_it_loses_and_what_contradicts_itself() {
    let Some(folder) = published("the comparison with mSCP's own generator") else {
        return;
    };
    let ours = ours(&folder);
    for (file, losses, conflicts, _) in FILES {
        let golden = leaves(&read(&folder, file));
        let own = leaves(&serde_json::to_value(&ours[file]).unwrap());
        let mut expected = golden;
        for (place, value) in losses.chars().flat_map(lost) {
            assert!(
                !expected.contains_key(&place),
                "{file}: the generator has {place:?} after all"
            );
            assert_eq!(own.get(&place), Some(&value), "{file}: {place:?} is lost");
            expected.insert(place, value);
        }
        for (place, value) in conflicts.chars().map(settled) {
            assert_eq!(expected.remove(&place), Some(value), "{file}: {place:?}");
        }
        // Both ways round, so that a failure shows what differs and not everything.
        let differs = |a: &BTreeMap<Place, Value>, b: &BTreeMap<Place, Value>| -> Vec<String> {
            a.iter()
                .filter(|(place, value)| b.get(*place) != Some(value))
                .map(|(place, value)| format!("{} = {value}", place.join("/")))
                .collect()
        };
        assert_eq!(differs(&own, &expected), Vec::<String>::new(), "{file}: ours");
        assert_eq!(
            differs(&expected, &own),
            Vec::<String>::new(),
            "{file}: the generator's"
        );
    }
}

#[test]
fn every_documented_conflict_is_named_with_both_rules_and_no_other_is() {
    let Some(folder) = published("the conflicts inside published baselines") else {
        return;
    };
    for (file, export) in ours(&folder) {
        let (.., conflicts, _) = FILES.into_iter().find(|(name, ..)| *name == file).unwrap();
        let named: BTreeSet<Place> = export
            .conflicts
            .iter()
            .map(|conflict| place(conflict.part, &conflict.type_, &[&conflict.setting]))
            .collect();
        let expected: BTreeSet<Place> = conflicts.chars().map(|code| settled(code).0).collect();
        assert_eq!(named, expected, "{file}");
        for conflict in &export.conflicts {
            assert_eq!(conflict.sides.len(), 2);
            let rules: Vec<&str> = conflict
                .sides
                .iter()
                .flat_map(|side| side.rules.iter().map(|place| place.rule.as_str()))
                .collect();
            let expected = match conflicts {
                "S" => [
                    "auth_smartcard_certificate_trust_enforce_high",
                    "auth_smartcard_certificate_trust_enforce_moderate",
                ],
                _ => [
                    "os_on_device_dictation_enforce",
                    "os_on_device_translation_enforce",
                ],
            };
            assert_eq!(BTreeSet::from_iter(rules), BTreeSet::from(expected), "{file}");
            for side in &conflict.sides {
                for place in &side.rules {
                    assert!(place.file.ends_with(&format!("{}.yaml", place.rule)) && place.line > 1);
                }
            }
        }
    }
}

#[test]
fn every_line_of_a_configuration_file_is_the_generator_s_but_in_the_service_s_words() {
    let Some(folder) = published("the configuration files of mSCP's own generator") else {
        return;
    };
    let ours = ours(&folder);
    for (file, _, _, codes) in FILES {
        let golden = read(&folder, file);
        let golden = golden["config_files"].as_object().unwrap();
        let own = &ours[file].config_files;
        assert_eq!(
            golden.keys().collect::<Vec<_>>(),
            own.keys().collect::<Vec<_>>(),
            "{file}"
        );
        let mut mended = BTreeSet::new();
        for (name, text) in golden {
            let expected: BTreeSet<String> = lines(text.as_str().unwrap())
                .into_iter()
                .map(|line| match line.as_str() {
                    "KbdInteractiveAuthentication False" => {
                        mended.insert('K');
                        "KbdInteractiveAuthentication no".to_owned()
                    }
                    "PermitRootLogin False" => {
                        mended.insert('K');
                        "PermitRootLogin no".to_owned()
                    }
                    "ChannelTimeout 900" => {
                        mended.insert('N');
                        "ChannelTimeout *=900".to_owned()
                    }
                    _ => line,
                })
                .collect();
            assert_eq!(lines(&own[name]), expected, "{file}: {name}");
        }
        assert_eq!(mended, codes.chars().collect(), "{file}");
    }
}
