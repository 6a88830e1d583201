//! `provost lint`: every class of mistake, in every format, and what hostile files come to.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::world::server::PROGRAM;

/// A profile with a slip of each kind of Apple's schema that a reader would look for, and a rule that names what is not there.
const FAULTS: &[(&str, &str)] = &[
    (
        "policy/disks.yaml",
        "apiVersion: provost.dev/v1alpha1
kind: Profile
metadata:
  name: disks
spec:
  title: Disks
  payloads:
    - payloadType: com.apple.MCX.FileVault2
      content:
        Enable: true
        UseRecoveryKy: true
",
    ),
    (
        "policy/everyone.yaml",
        "apiVersion: provost.dev/v1alpha1
kind: DeviceGroup
metadata:
  name: everyone
spec:
  expressions: 'true'
",
    ),
    (
        "policy/group.yaml",
        "apiVersion: provost.dev/v1alpha1
kind: DeviceGroup
metadata:
  name: macs
spec:
  expression: device.platfrm == 'macOS'
",
    ),
    (
        "policy/broken.yaml",
        "apiVersion: provost.dev/v1alpha1\nkind: Baseline\nmetadata: [\n",
    ),
    ("policy/compose.yaml", "services: {}\n"),
];

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// Runs it in a folder, as people do.
fn lint(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .arg("lint")
        .args(arguments)
        .current_dir(folder)
        .env_remove("PROVOST_APPLE_SCHEMA_TABLE")
        .output()
        .unwrap()
}

fn said(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn complained(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn people_see_each_mistake_at_its_line() {
    let dir = folder(FAULTS);
    let output = lint(dir.path(), &["policy"]);
    assert_eq!(code(&output), 1, "{}", complained(&output));
    assert_eq!(complained(&output), "");
    insta::assert_snapshot!(said(&output));
}

#[test]
fn scripts_read_json() {
    let dir = folder(FAULTS);
    let output = lint(dir.path(), &["policy", "-o", "json"]);
    assert_eq!(code(&output), 1);
    let report: Value = serde_json::from_str(said(&output)).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let errors = findings.iter().filter(|finding| finding["severity"] == "error");
    assert_eq!(report["summary"]["errors"], errors.count());
    insta::assert_snapshot!(said(&output));
}

#[test]
fn code_scanning_reads_sarif() {
    let dir = folder(FAULTS);
    let output = lint(dir.path(), &["policy", "-o", "sarif"]);
    assert_eq!(code(&output), 1);
    let log: Value = serde_json::from_str(said(&output)).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(!results.is_empty());
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["error", "warning"].contains(&result["level"].as_str().unwrap()));
        let region = &result["locations"][0]["physicalLocation"]["region"];
        assert!(region["startLine"].as_u64().unwrap() > 0 && region["startColumn"].as_u64().unwrap() > 0);
    }
    let version = run["tool"]["driver"]["semanticVersion"].as_str().unwrap();
    insta::assert_snapshot!(said(&output).replace(version, "VERSION"));
}

#[test]
fn a_pull_request_shows_annotations() {
    let dir = folder(FAULTS);
    let output = lint(dir.path(), &["policy", "-o", "github"]);
    assert_eq!(code(&output), 1);
    insta::assert_snapshot!(said(&output));
}

#[test]
fn what_ships_with_the_program_has_no_mistake() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = lint(
        root,
        &["baselines/", "examples/quickstart/fleet", "--deny-warnings"],
    );
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(said(&output).starts_with("No mistakes: "), "{}", said(&output));
}

#[test]
fn warnings_end_well_unless_they_are_denied() {
    let text = FAULTS[0].1.replace("Enable: true", "Enable: 'On'");
    let dir = folder(&[("disks.yaml", &text)]);
    let output = lint(dir.path(), &["disks.yaml"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(said(&output).contains("did you mean `UseRecoveryKey`?"));
    assert!(said(&output).contains("1 warning: 1 object in 1 file."));
    assert_eq!(code(&lint(dir.path(), &["disks.yaml", "--deny-warnings"])), 1);
}

#[test]
fn a_waiver_of_a_rule_that_is_not_there_is_told_with_the_one_that_is() {
    let folder = folder(&[(
        "policy/lab.yaml",
        "apiVersion: provost.dev/v1alpha1
kind: Baseline
metadata:
  name: macs
spec:
  title: Macs
  version: '1'
  platforms: [{ name: macOS }]
  rules:
    - id: firewall_on
      title: The firewall is on
      check: { cel: 'SecurityInfo.FirewallSettings.FirewallEnabled' }
---
apiVersion: provost.dev/v1alpha1
kind: Waiver
metadata:
  name: lab
spec:
  rules: [firewall_on, firewal_on]
  selector: { matchExpressions: [{ key: team, operator: Like }] }
  reason: The rig is reached by a port that the firewall closes.
  approvedBy: security@example.com
  expiresAt: 2027-03-31T00:00:00Z
",
    )]);
    let output = lint(folder.path(), &["policy"]);
    assert_eq!(code(&output), 1, "{}", complained(&output));
    insta::assert_snapshot!(said(&output), @r#"
    policy/lab.yaml:19:24: warning[policy]: spec.rules[1]: no baseline among these files has a rule `firewal_on`; did you mean `firewall_on`?
    19 |   rules: [firewall_on, firewal_on]
       |                        ^

    policy/lab.yaml:20:3: error[policy]: spec.selector: "Like" is not a valid label selector operator
    20 |   selector: { matchExpressions: [{ key: team, operator: Like }] }
       |   ^

    1 error and 1 warning: 2 objects in 1 file.
    "#);
}

#[test]
fn a_namespace_is_wrong_only_where_one_is_meant() {
    let text = FAULTS[2]
        .1
        .replace("platfrm", "platform")
        .replace("name: macs", "name: macs\n  namespace: fleet");
    let dir = folder(&[("group.yaml", &text)]);
    assert_eq!(code(&lint(dir.path(), &["."])), 0);
    assert_eq!(code(&lint(dir.path(), &[".", "--namespace", "fleet"])), 0);
    let output = lint(dir.path(), &[".", "--namespace", "other"]);
    assert_eq!(code(&output), 1);
    assert!(said(&output).starts_with("group.yaml:5:3: error[file]: metadata.namespace: "));
}

#[test]
fn a_rule_library_is_known_by_itself() {
    let two = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mscp/two");
    let output = lint(&two, &["."]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(said(&output).contains("warning[library]: "));
    assert!(said(&output).contains(": 2 objects in "));
    let dir = folder(&[
        ("rules/os/a.yaml", "id: a\ntitle: A\n"),
        (
            "baselines/b.yaml",
            "title: B\nprofile:\n  - section: S\n    rules: [b]\n",
        ),
    ]);
    let output = lint(dir.path(), &[".", "--format", "mscp"]);
    assert_eq!(code(&output), 1, "{}", said(&output));
    assert!(said(&output).contains("error[library]: "), "{}", said(&output));
}

#[test]
fn a_newer_table_of_apple_s_schema_decides() {
    let dir = folder(&[("disks.yaml", FAULTS[0].1)]);
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy/schema/apple.json");
    let text = fs::read_to_string(table).unwrap();
    fs::write(
        dir.path().join("apple.table"),
        text.replace("\"UseRecoveryKey\"", "\"UseRecoveryKy\""),
    )
    .unwrap();
    let output = lint(dir.path(), &["disks.yaml", "--apple-schema", "apple.table"]);
    assert!(!said(&output).contains("UseRecoveryKy"), "{}", said(&output));
    let output = lint(dir.path(), &["disks.yaml", "--apple-schema", "disks.yaml"]);
    assert_eq!(code(&output), 2);
}

#[test]
fn what_cannot_be_looked_at_is_no_success() {
    let dir = folder(&[
        ("notes/readme.md", "no policy"),
        ("other/compose.yaml", "services: {}\n"),
    ]);
    for (path, expected) in [
        ("gone", "gone cannot be read"),
        ("notes", "there is no object of Provost's here"),
        ("other", "there is no object of Provost's here, in 1 policy file"),
        ("notes/readme.md", "notes/readme.md is no policy file"),
    ] {
        let output = lint(dir.path(), &[path]);
        assert_eq!(code(&output), 2, "{path}");
        assert_eq!(said(&output), "");
        assert!(complained(&output).contains(expected), "{}", complained(&output));
    }
    assert_eq!(code(&lint(dir.path(), &[])), 2);
}

#[test]
fn hostile_files_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let refused = |folder: &str, expected: &str| {
        let output = lint(root, &[folder]);
        assert_eq!(code(&output), 2, "{folder}: {}", said(&output));
        assert!(complained(&output).contains(expected), "{}", complained(&output));
    };
    for folder in ["links", "huge", "many", "outside"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    symlink("/etc/passwd", root.join("links/passwd.yaml")).unwrap();
    refused("links", "is a symbolic link");
    // A file with nothing in it that claims a gigabyte.
    fs::File::create(root.join("huge/a.yaml"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    refused("huge", "more than the 2097152 allowed");
    for n in 0..5_001 {
        fs::write(root.join(format!("many/{n}.yaml")), "").unwrap();
    }
    refused("many", "more than 5000 policy files");
    // A linked folder leads nowhere.
    symlink("/etc", root.join("outside/etc")).unwrap();
    refused("outside", "there is no object of Provost's here");
}

#[test]
fn aliases_that_multiply_are_a_mistake_at_their_line() {
    let mut text =
        "apiVersion: provost.dev/v1alpha1\nkind: Profile\na: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, below) in [
        ("b", "a"),
        ("c", "b"),
        ("d", "c"),
        ("e", "d"),
        ("f", "e"),
        ("g", "f"),
    ] {
        let repeated = vec![format!("*{below}"); 10].join(", ");
        text.extend([format!("{name}: &{name} [{repeated}]\n")]);
    }
    let dir = folder(&[("bomb.yaml", &text)]);
    let output = lint(dir.path(), &["."]);
    assert_eq!(code(&output), 1);
    assert!(said(&output).starts_with("bomb.yaml:"), "{}", said(&output));
    assert!(said(&output).contains("error[file]: "), "{}", said(&output));
}

#[test]
fn a_file_moves_no_terminal_s_cursor() {
    let text = FAULTS[1].1.replace("'true'", "\"\u{7f}\u{9b}2J\"");
    let dir = folder(&[("a\u{1b}[2J.yaml", &text)]);
    for output in ["human", "github"] {
        let output = lint(dir.path(), &[".", "-o", output]);
        assert_eq!(code(&output), 1);
        let controls = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
        assert!(!controls(said(&output)), "{:?}", said(&output));
    }
}
