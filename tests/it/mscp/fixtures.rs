//! Our own small trees: every way in which rules come together, and every mistake that a tree can have.

use std::fs;
use std::path::Path;

use provost::api::baseline::{BaselineRule, UnprovenReason};
use provost::gitops::fetch::SourceFile;
use provost::gitops::mscp::{Format, Judge, System, Tree, report};
use provost::policy::check_baseline;
use provost::policy::schema::Schema;
use serde_json::{Value, json};

use super::{fixture, tree};

fn export(name: &str, baseline: &str, system: System) -> (Value, Vec<String>) {
    let tree = tree(&fixture(name));
    assert_eq!(
        tree.notes().iter().filter(|note| note.is_error()).count(),
        0,
        "{:#?}",
        tree.notes()
    );
    let found = tree.find(baseline, Some(system), Some("26.0")).unwrap();
    let export = found.resolve(&tree).export();
    let conflicts = export.conflicts.iter().map(ToString::to_string).collect();
    (serde_json::to_value(export).unwrap(), conflicts)
}

#[test]
fn a_baseline_of_2_0_sets_all_that_its_rules_say() {
    let (found, conflicts) = export("two", "essential", System::Macos);
    assert_eq!(
        found,
        json!({
            "profiles": {
                "com.apple.applicationaccess": {
                    "allowActivityContinuation": false, "allowAirDrop": false, "allowMailSummary": false
                },
                "com.apple.icloud.managed": { "DisableHandoff": true },
                "com.apple.mobiledevice.passwordpolicy": { "minLength": 14 },
                "com.apple.security.smartcard": { "allowSmartCard": true },
                "com.apple.systempreferences": {
                    "DisabledSystemSettings": ["com.example.one", "com.example.both", "com.example.two"]
                },
                "com.apple.systemuiserver": { "mount-controls": { "bd": ["read-only"], "cd": ["eject"] } },
            },
            "mcx": { "com.apple.timed": { "TMAutomaticTimeOnlyEnabled": true } },
            "ddm": {
                "com.apple.configuration.intelligence.settings": {
                    "Apps": { "Mail": { "AllowSummary": false }, "Notes": { "AllowTranscription": false } }
                },
                "com.apple.configuration.passcode.settings": { "MinimumLength": 14 },
                "com.apple.configuration.services.configuration-files#com.apple.sshd": {
                    "DataAssetReference": "org.mscp.essential_macos_26.0.asset.sshd", "ServiceType": "com.apple.sshd"
                },
            },
            "config_files": { "com.apple.sshd:/etc/ssh/sshd_config": "PermitRootLogin no\nChannelTimeout *=600\n" },
        })
    );
    let rules = "src/mscp/data/rules/os";
    assert_eq!(
        conflicts,
        [format!(
            "com.apple.security.smartcard: checkCertificateTrust is left out: 3 by os_trust_firm ({rules}/os_trust_firm.yaml:15:9); 2 by \
             os_trust_mild ({rules}/os_trust_mild.yaml:15:9)"
        )]
    );
}

#[test]
fn the_same_library_has_a_baseline_for_another_system() {
    let (found, conflicts) = export("two", "essential_ios_26.0", System::Ios);
    assert_eq!(conflicts, Vec::<String>::new());
    assert_eq!(
        found["profiles"],
        json!({
            "com.apple.applicationaccess": { "allowAirDrop": false, "allowMailSummary": false },
            "com.apple.mobiledevice.passwordpolicy": { "minLength": 14 },
        })
    );
    assert_eq!(found["config_files"], json!({}));
}

#[test]
fn a_branch_of_1_x_is_read_as_yaml_1_2_reads_it() {
    let (found, _) = export("one", "essential", System::Macos);
    assert_eq!(
        found,
        json!({
            "profiles": {
                "com.apple.MCX.FileVault2": { "Enable": "On" },
                "com.apple.applicationaccess": { "allowAirDrop": false },
            },
            "mcx": {},
            "ddm": {
                "com.apple.configuration.services.configuration-files#com.apple.sshd": {
                    "DataAssetReference": "org.mscp.essential_macos_26.0.asset.sshd", "ServiceType": "com.apple.sshd"
                },
            },
            "config_files": { "com.apple.sshd:/etc/ssh/sshd_config": "PermitRootLogin no\n" },
        })
    );
    let tree = tree(&fixture("one"));
    assert_eq!(tree.format, Format::One);
    let [note] = tree.notes() else {
        panic!("{:#?}", tree.notes())
    };
    assert_eq!(note.finding.file, "rules/os/os_filevault_on.yaml");
    assert_eq!(note.finding.field, "references.macOS");
}

fn rules(name: &str, baseline: &str) -> Vec<BaselineRule> {
    let tree = tree(&fixture(name));
    let found = tree.find(baseline, None, None).unwrap();
    let resolved = found.resolve(&tree);
    let native = resolved.native(&resolved.export(), &Judge::new(Schema::embedded()));
    assert_eq!(check_baseline(&native.spec, Schema::embedded()).errors, []);
    native.spec.rules
}

#[test]
fn a_baseline_becomes_one_of_ours_and_each_rule_says_what_proves_it() {
    let rules = rules("two", "essential_macos_26.0");
    let rule = |id: &str| {
        rules
            .iter()
            .find(|rule| rule.id == id)
            .unwrap_or_else(|| panic!("{id}"))
    };
    let reason = |id: &str| rule(id).unproven.as_ref().map(|unproven| unproven.reason);

    let mail = rule("os_mail_summary_disable");
    assert!(
        mail.enforce[0].declaration.is_some(),
        "the declaration comes first"
    );
    assert!(mail.enforce[1].profile.is_some());
    assert_eq!(reason("os_mail_summary_disable"), None);

    // A profile has one type, so this rule is two.
    assert_eq!(rule("os_handoff_disable").enforce.len(), 1);
    assert_eq!(
        rule("os_handoff_disable.com.apple.icloud.managed").enforce.len(),
        1
    );

    for (one, other) in [
        ("os_trust_firm", "os_trust_mild"),
        ("os_trust_mild", "os_trust_firm"),
    ] {
        let unproven = rule(one).unproven.clone().unwrap();
        assert_eq!(unproven.reason, UnprovenReason::Conflict);
        assert_eq!(
            unproven.message,
            format!(
                "conflict: com.apple.security.smartcard: checkCertificateTrust contradicts {other}; neither value is served"
            )
        );
        // What they agree in is served.
        let content = &rule(one).enforce[0].profile.as_ref().unwrap().content;
        assert_eq!(content, &json!({ "allowSmartCard": true }));
    }
    assert_eq!(reason("os_log_folder_owner"), Some(UnprovenReason::OnDeviceCheck));
    let check = rule("os_log_folder_owner").device_check.clone().unwrap();
    assert_eq!(
        (check.command.as_str(), check.expected.as_str()),
        ("/usr/bin/stat -f %Su /var/log", "root")
    );
    assert_eq!(
        rule("os_log_folder_owner").remediation,
        "/usr/sbin/chown root /var/log"
    );
    assert_eq!(
        reason("os_sshd_root_refuse"),
        Some(UnprovenReason::ConfigurationFile)
    );
    assert_eq!(reason("os_memory_protected"), Some(UnprovenReason::NotTechnical));
    assert!(
        rules.iter().all(|rule| rule.id != "os_camera_disable"),
        "it is excluded"
    );

    let airdrop = rule("os_airdrop_disable");
    let controls: Vec<String> = airdrop
        .controls
        .iter()
        .map(|control| format!("{} {}", control.framework, control.id))
        .collect();
    // 4.10 is not 4.1, and other systems' references are not this one's.
    assert_eq!(
        controls,
        [
            "800-53r5 AC-3",
            "800-53r5 CM-7",
            "acme-handbook Chapter 7",
            "cis-macos-26 1.1 (level 1)",
            "cis-v8 3.1",
            "cis-v8 4.10",
            "cce CCE-1",
        ]
    );
    assert_eq!(airdrop.severity.to_string(), "High");
    let length = rule("pwpolicy_length");
    assert_eq!(length.title, "Ask for 14 characters in a password");
    let paths: Vec<&str> = length.origins.iter().map(|origin| origin.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "src/mscp/data/rules/pwpolicy/pwpolicy_length.yaml",
            "custom/rules/pwpolicy_length.yaml"
        ]
    );
    assert!(length.origins.iter().all(|origin| origin.blob.len() == 40));
}

#[test]
fn a_report_counts_what_becomes_of_the_rules() {
    let report = report(&tree(&fixture("two")), Schema::embedded());
    assert_eq!(report.errors, []);
    let mac = report
        .baselines
        .iter()
        .find(|baseline| baseline.id == "essential_macos_26.0")
        .unwrap();
    assert_eq!(
        (
            mac.rules,
            mac.excluded,
            mac.profile,
            mac.declaration,
            mac.configuration_file
        ),
        (16, 1, 11, 3, 2)
    );
    assert_eq!(
        (
            mac.fix_only,
            mac.check_only,
            mac.neither,
            mac.on_device,
            mac.conflicts.len()
        ),
        (1, 0, 1, 3, 1)
    );
}

/// The files of the 2.0 tree, with changes: a path, and what stands there; empty removes it.
fn changed(changes: &[(&str, &str)]) -> Vec<SourceFile> {
    fn collect(folder: &Path, prefix: &str, files: &mut Vec<SourceFile>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                collect(&entry.path(), &format!("{path}/"), files);
            } else {
                let content = fs::read(entry.path()).unwrap();
                files.push(SourceFile { path, content });
            }
        }
    }
    let mut files = Vec::new();
    collect(&fixture("two"), "", &mut files);
    for (path, text) in changes {
        files.retain(|file| file.path != *path);
        if !text.is_empty() {
            files.push(SourceFile {
                path: (*path).to_owned(),
                content: text.as_bytes().to_vec(),
            });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The mistakes of the 2.0 tree with changes.
fn mistakes(changes: &[(&str, &str)]) -> Vec<String> {
    let tree = Tree::read(&changed(changes)).unwrap();
    let Err(notes) = provost::gitops::mscp::documents(&tree, Schema::embedded()) else {
        return Vec::new();
    };
    let errors = notes.iter().filter(|note| note.is_error());
    errors.map(|note| note.finding.to_string()).collect()
}

const BASELINE: &str = "src/mscp/data/baselines/macos/small_macos_26.0.yaml";

fn small(column: &str, section: &str, rules: &str) -> String {
    format!(
        "title: Small\nauthors: [{{ name: Fixtures }}]\nparent_values: {column}\nplatform: {{ os: macOS, version: 26.0 }}\nprofile:\n  - section: {section}\n    rules: [{rules}]\n"
    )
}

#[test]
fn what_mscp_passes_over_in_silence_is_a_mistake_with_its_place() {
    let rule = |id: &str, rest: &str| format!("id: {id}\ntitle: t\ndiscussion: d\nreferences: {{}}\n{rest}");
    let new = "src/mscp/data/rules/os/os_new.yaml";
    let mac = "platforms:\n  macOS:\n    '26.0': {}\n";
    for (what, changes, expected) in [
        (
            "a rule that is not there",
            vec![(BASELINE, small("recommended", "Operating System", "os_airdrop_disabled"))],
            format!("{BASELINE}:7:13: profile[0].rules[0]: there is no rule `os_airdrop_disabled`; did you mean `os_airdrop_disable`?"),
        ),
        (
            "a section that is not there",
            vec![(BASELINE, small("recommended", "Auditting", "os_airdrop_disable"))],
            format!("{BASELINE}:6:5: profile[0].section: there is no section `Auditting`; did you mean `auditing`?; a section is a file in `sections`, or Excluded"),
        ),
        (
            "a rule that is named twice",
            vec![(BASELINE, small("recommended", "Auditing", "os_airdrop_disable, os_airdrop_disable"))],
            format!("{BASELINE}:7:33: profile[0].rules[1]: rule `os_airdrop_disable` is already in section Auditing; name it once"),
        ),
        (
            "a rule that is not for the version",
            vec![
                (new, rule("os_new", "platforms:\n  macOS:\n    '15.0': {}\n")),
                (BASELINE, small("recommended", "Auditing", "os_new")),
            ],
            format!("{new}:6:3: platforms.macOS: rule os_new is not for macOS 26.0"),
        ),
        (
            "a value that was never given",
            vec![
                (new, rule("os_new", &format!("{mac}odv: {{ other: 1 }}\n"))),
                (BASELINE, small("essential", "Auditing", "os_new")),
            ],
            format!("{new}:8:1: odv: rule os_new has no value for this baseline: neither `custom` nor `essential` nor `recommended`"),
        ),
        (
            "a mark without values",
            vec![
                (new, rule("os_new", &format!("{mac}ddm_info: {{ declarationtype: com.apple.configuration.passcode.settings, ddm_key: MinimumLength, ddm_value: $ODV }}\n"))),
                (BASELINE, small("essential", "Auditing", "os_new")),
            ],
            format!("{new}:8:97: ddm_info.ddm_value: `$ODV` stands here, but the rule has no odv"),
        ),
        (
            "a value of the users' that the hint does not allow",
            vec![("custom/rules/pwpolicy_length.yaml", "id: pwpolicy_length\nodv: { custom: 99 }\n".to_owned())],
            "custom/rules/pwpolicy_length.yaml:2:8: odv.custom: the value is 99, but must be at most 16".to_owned(),
        ),
        (
            "a file that is called otherwise than its rule",
            vec![("custom/rules/os_mine.yaml", rule("os_yours", mac))],
            "custom/rules/os_mine.yaml:1:1: id: the file of rule os_yours must be called os_yours.yaml, or its id be os_mine".to_owned(),
        ),
        (
            "a null that no device could be told",
            vec![
                (new, rule("os_new", &format!("{mac}mobileconfig_info:\n  - PayloadType: com.example\n    PayloadContent:\n      - key: null\n"))),
                (BASELINE, small("recommended", "Auditing", "os_new")),
            ],
            format!("{new}:11:9: mobileconfig_info[0].PayloadContent[0].key: is null, which a device cannot be told; leave the key out"),
        ),
        (
            "no YAML",
            vec![(new, "id: [\n".to_owned())],
            format!("{new}:2:1: "),
        ),
    ] {
        let changes: Vec<(&str, &str)> = changes.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let found = mistakes(&changes);
        assert!(
            found.iter().any(|mistake| mistake.starts_with(&expected)),
            "{what}: expected {expected}\nfound {found:#?}"
        );
    }
}

#[test]
fn a_version_s_own_payloads_replace_those_of_the_rule() {
    let path = "src/mscp/data/baselines/macos/old_macos_15.0.yaml";
    let text = small("recommended", "Auditing", "os_handoff_disable").replace("26.0", "15.0");
    let tree = Tree::read(&changed(&[(path, &text)])).unwrap();
    let found = tree.find("old", None, Some("15.7.1")).unwrap();
    let export = found.resolve(&tree).export();
    assert_eq!(
        serde_json::to_value(export.profiles).unwrap(),
        json!({ "com.apple.applicationaccess": { "allowActivityContinuation": true } })
    );
}

#[test]
fn a_value_comes_from_the_users_then_the_column_then_what_is_recommended() {
    let length = |column: &str, custom: Option<&str>| {
        let baseline = small(column, "Auditing", "pwpolicy_length");
        let changes = [
            (BASELINE, baseline.as_str()),
            ("custom/rules/pwpolicy_length.yaml", custom.unwrap_or_default()),
        ];
        let tree = Tree::read(&changed(&changes)).unwrap();
        let found = tree.find("small", None, None).unwrap();
        let export = found.resolve(&tree).export();
        export.profiles["com.apple.mobiledevice.passwordpolicy"]["minLength"].clone()
    };
    let custom = Some("id: pwpolicy_length\nodv: { custom: 14 }\n");
    assert_eq!(length("essential", custom), json!(14));
    assert_eq!(length("essential", None), json!(12));
    assert_eq!(length("another", None), json!(15));
    assert_eq!(
        length("essential", Some("id: pwpolicy_length\nodv: { essential: 9 }\n")),
        json!(9)
    );
}

#[test]
fn a_baseline_is_found_by_name_or_id_and_what_else_there_is_is_told() {
    let tree = tree(&fixture("two"));
    assert_eq!(
        tree.find("ESSENTIAL_IOS_26.0", None, None).unwrap().id,
        "essential_ios_26.0"
    );
    let several = tree.find("essential", None, None).unwrap_err();
    assert!(
        several.contains("essential_ios_26.0, essential_macos_26.0"),
        "{several}"
    );
    let other = tree.find("essential", Some(System::Visionos), None).unwrap_err();
    assert!(other.contains("is not there for visionOS any version"), "{other}");
    let newer = tree.find("essential", Some(System::Macos), Some("26.4")).unwrap();
    assert_eq!(newer.version, "26.0");
    assert!(tree.find("essential", Some(System::Macos), Some("27.0")).is_err());
    let slip = tree.find("essentials", None, None).unwrap_err();
    assert!(slip.contains("did you mean `essential`?"), "{slip}");
}
