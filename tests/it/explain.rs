//! `provost explain`: what a rule comes to, from the baselines that ship, from a folder and from a rule library.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::world::server::PROGRAM;

fn explain(arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .arg("explain")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("PROVOST_APPLE_SCHEMA_TABLE")
        .output()
        .unwrap()
}

fn said(output: &Output) -> &str {
    assert!(output.status.success(), "{}", complained(output));
    std::str::from_utf8(&output.stdout).unwrap()
}

fn complained(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

const OURS: &str = "apiVersion: provost.dev/v1alpha1
kind: Baseline
metadata:
  name: NAME
spec:
  title: Ours
  version: '3'
  platforms:
    - name: macOS
      minimumVersion: '14.0'
  parameters:
    - name: minimumLength
      description: How long a password must be.
      type: Integer
      default: LENGTH
      minimum: 8
      maximum: 64
  rules:
    - id: pwpolicy_length
      title: Passwords are long enough
      rationale: Short passwords are guessed.
      severity: High
      controls:
        - framework: 800-53r5
          id: IA-5(1)
      enforce:
        - platforms:
            - name: macOS
              minimumVersion: '15.0'
          declaration:
            type: com.apple.configuration.passcode.settings
            payload:
              MinimumLength: $(minimumLength)
        - profile:
            payloadType: com.apple.mobiledevice.passwordpolicy
            content:
              minLength: $(minimumLength)
    - id: firewall_on
      title: The firewall is on
      check:
        cel: SecurityInfo.FirewallSettings.FirewallEnabled
";

#[test]
fn a_rule_is_told_whole() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("a.yaml"),
        OURS.replace("NAME", "laptops").replace("LENGTH", "12"),
    )
    .unwrap();
    fs::write(
        dir.path().join("b.yaml"),
        OURS.replace("NAME", "servers").replace("LENGTH", "12"),
    )
    .unwrap();
    fs::write(
        dir.path().join("c.yaml"),
        OURS.replace("NAME", "strict").replace("LENGTH", "20"),
    )
    .unwrap();
    let folder = dir.path().to_str().unwrap();
    insta::assert_snapshot!(said(&explain(&["pwpolicy_length", folder])));
    // A beginning is enough where it is the beginning of one rule alone.
    let one = explain(&["strict/fire", folder]);
    insta::assert_snapshot!(said(&one));
    let told: Value =
        serde_json::from_str(said(&explain(&["pwpolicy_length", folder, "-o", "json"]))).unwrap();
    assert_eq!(told[0]["baselines"][1]["name"], "servers");
    assert_eq!(told[1]["parameters"][0]["default"], 20);
    assert_eq!(
        told[0]["enforce"][0]["content"]["MinimumLength"],
        "$(minimumLength)"
    );
}

#[test]
fn the_baselines_that_ship_need_no_path() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("baselines/macos-essentials.yaml");
    let text = fs::read_to_string(folder).unwrap();
    let id = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("- id: "))
        .unwrap();
    let page = explain(&[id]);
    assert!(said(&page).starts_with(&format!("{id}: ")), "{}", said(&page));
    assert!(said(&page).contains("macos-essentials: "));
}

#[test]
fn a_rule_library_tells_its_files_and_what_is_not_served() {
    let page = explain(&["os_trust_firm", "tests/it/mscp/two"]);
    insta::assert_snapshot!(said(&page));
}

#[test]
fn an_unknown_rule_has_suggestions() {
    let two = "tests/it/mscp/two";
    for (rule, expected) in [
        (
            "os_trust_fim",
            "there is no rule `os_trust_fim`; did you mean `os_trust_firm`?",
        ),
        (
            "os_trust",
            "os_trust could be any of 2 rules: os_trust_firm, os_trust_mild",
        ),
        (
            "handoff",
            "there is no rule `handoff`; rules about it: os_handoff_disable",
        ),
    ] {
        let output = explain(&[rule, two]);
        assert_eq!(output.status.code(), Some(1));
        assert!(complained(&output).contains(expected), "{}", complained(&output));
    }
}
