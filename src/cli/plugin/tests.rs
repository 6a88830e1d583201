//! What each page and table looks like, for devices and policies written down here.

use insta::assert_snapshot;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::page::Style;
use super::rule::Policies;
use super::{device, devices, sources, why};
use crate::api::{Assignment, Baseline, Device, GitSource};

const PLAIN: Style = Style {
    colour: false,
    width: 100,
};

fn now() -> Timestamp {
    "2026-03-02T10:00:00Z".parse().unwrap()
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({ "type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-03-01T10:00:00Z" })
}

/// A Mac on which the firewall is off.
fn failing_mac() -> Device {
    read(json!({
        "apiVersion": "provost.dev/v1alpha1", "kind": "Device",
        "metadata": { "name": "0a1b2c3d-0000-4000-8000-000000000001", "namespace": "fleet", "labels": { "team": "design" } },
        "spec": { "user": "kim@example.com", "assetTag": "A-17" },
        "status": {
            "observedGeneration": 1, "enrollmentId": "0A1B2C3D-0000-4000-8000-000000000001", "enrollmentMode": "Supervised",
            "enrolledAt": "2026-02-20T08:00:00Z", "serialNumber": "C02ABC", "model": "Mac16,10", "platform": "macOS",
            "osVersion": "15.2", "declarativeManagement": true, "manifest": "c0ffee12", "appliedManifest": "c0ffee12",
            "revision": "main@sha1:1111111111111111111111111111111111111111", "assignments": ["essentials"],
            "verdicts": { "pass": 36, "fail": 1, "unknown": 1, "notApplicable": 2 },
            "failingRules": [{ "baseline": "essentials", "rule": "firewall_on", "severity": "High",
                "reason": "SecurityInfo.FirewallSettings.FirewallEnabled is false" }],
            "history": [
                { "time": "2026-03-02T09:55:00Z", "rule": "essentials/firewall_on", "from": "Pass", "to": "Fail",
                  "revision": "main@sha1:1111111111111111111111111111111111111111", "evidence": "SecurityInfo",
                  "reason": "SecurityInfo.FirewallSettings.FirewallEnabled is false" },
                { "time": "2026-02-20T08:00:00Z", "evidence": "CheckIn", "reason": "the device has enrolled" },
            ],
            "conditions": [
                condition("Ready", "True", "Succeeded", "enrolled, and holds what it should"),
                condition("Enrolled", "True", "Enrolled", "the device is enrolled"),
                condition("Synced", "True", "InSync", "the device reports exactly what it should hold"),
                condition("Compliant", "False", "RulesFail", "1 rules fail; first firewall_on"),
            ],
        },
    }))
}

/// An iPhone that complies.
fn good_phone() -> Device {
    read(json!({
        "apiVersion": "provost.dev/v1alpha1", "kind": "Device",
        "metadata": { "name": "0a1b2c3d-0000-4000-8000-000000000000", "namespace": "fleet" },
        "spec": {},
        "status": {
            "platform": "iOS", "osVersion": "18.1", "enrollmentMode": "Device", "model": "iPhone17,1", "assignments": ["essentials"],
            "verdicts": { "pass": 20 }, "revision": "main@sha1:1111111111111111111111111111111111111111",
            "conditions": [
                condition("Enrolled", "True", "Enrolled", ""),
                condition("Synced", "True", "InSync", ""),
                condition("Compliant", "True", "AllRulesPass", ""),
            ],
        },
    }))
}

fn source() -> GitSource {
    read(json!({
        "apiVersion": "provost.dev/v1alpha1", "kind": "GitSource",
        "metadata": { "name": "policy", "namespace": "fleet" },
        "spec": { "url": "https://git.example.com/policy.git", "path": "fleet", "interval": "1m" },
        "status": {
            "observedGeneration": 1,
            "artifact": { "revision": "main@sha1:1111111111111111111111111111111111111111", "appliedAt": "2026-03-01T09:00:00Z",
                "objects": 3 },
            "lastAttemptedRevision": "main@sha1:2222222222222222222222222222222222222222",
            "history": [
                { "revision": "main@sha1:2222222222222222222222222222222222222222", "author": "Lee <lee@example.com>",
                  "message": "Drop everything", "committedAt": "2026-03-02T09:00:00Z", "time": "2026-03-02T09:01:00Z",
                  "result": "Waiting", "detail": "it would remove 3 of 3 objects" },
                { "revision": "main@sha1:1111111111111111111111111111111111111111", "author": "Kim <kim@example.com>",
                  "message": "Turn the firewall on", "committedAt": "2026-03-01T08:59:00Z", "time": "2026-03-01T09:00:00Z",
                  "result": "Applied", "detail": "3 objects" },
            ],
            "conditions": [condition("Ready", "False", "PruneNeedsApproval", "it would remove 3 of 3 objects")],
        },
    }))
}

fn from_git(kind: &str, file: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "provost.dev/v1alpha1", "kind": kind,
        "metadata": { "name": "essentials", "namespace": "fleet", "labels": { "provost.dev/source": "policy" }, "annotations": {
            "provost.dev/revision": "main@sha1:1111111111111111111111111111111111111111",
            "provost.dev/committed-at": "2026-03-01T08:59:00Z",
            "provost.dev/file": file,
        } },
        "spec": spec,
    })
}

fn policies(mode: &str, excluded: &Value) -> Policies {
    let baseline: Baseline = read(from_git(
        "Baseline",
        "fleet/baseline.yaml",
        &json!({
            "title": "Essentials", "version": "1",
            "parameters": [{ "name": "passcodeLength", "type": "Integer", "default": 8 }],
            "rules": [
                { "id": "firewall_on", "title": "The firewall is on", "severity": "High", "platforms": [{ "name": "macOS" }],
                  "rationale": "What listens by mistake should not be reachable.",
                  "controls": [{ "framework": "soc2", "id": "CC6.1" }, { "framework": "800-53r5", "id": "SC-7" }],
                  "enforce": [{ "profile": { "payloadType": "com.apple.security.firewall", "content": { "EnableFirewall": true } } }],
                  "check": { "cel": "SecurityInfo.FirewallSettings.FirewallEnabled == true" },
                  "remediation": "Ask the person to turn it on in System Settings." },
                { "id": "passcode_length", "title": "Passcodes are long enough",
                  "enforce": [{ "profile": { "payloadType": "com.apple.mobiledevice.passwordpolicy",
                      "content": { "minLength": "$(passcodeLength)" } } }] },
            ],
        }),
    ));
    let assignment: Assignment = read(from_git(
        "Assignment",
        "fleet/assignment.yaml",
        &json!({
            "groups": [{ "name": "everyone" }], "mode": mode,
            "baselines": [{ "name": "essentials", "parameters": { "passcodeLength": 12 }, "excludeRules": excluded }],
        }),
    ));
    Policies::new(vec![assignment], [("essentials".to_owned(), baseline)])
}

fn why(device: &Device, policies: &Policies, rule: &str) -> String {
    let demanded = policies.find(rule).unwrap();
    let source = source();
    let mut commits = vec![why::commit_of(demanded.baseline, source.status.as_ref())];
    commits.extend(
        demanded
            .assignments
            .iter()
            .map(|(assignment, _)| why::commit_of(*assignment, source.status.as_ref())),
    );
    why::render(&why::explain(device, &demanded, commits, None), PLAIN, now())
}

#[test]
fn devices_are_listed_worst_first() {
    let fleet = [good_phone(), failing_mac()];
    assert_snapshot!("devices", devices::rendered(&fleet, false, PLAIN, now()));
    assert_snapshot!("devices_wide", devices::rendered(&fleet, true, PLAIN, now()));
    let colour = Style {
        colour: true,
        ..PLAIN
    };
    assert!(devices::rendered(&fleet, false, colour, now()).contains("\u{1b}[31mFalse\u{1b}[0m"));
}

#[test]
fn a_device_is_a_page() {
    assert_snapshot!("device", device::render(&failing_mac(), PLAIN, now()));
}

#[test]
fn a_device_that_nobody_has_looked_at_is_a_page_too() {
    let device = read(json!({
        "apiVersion": "provost.dev/v1alpha1", "kind": "Device", "metadata": { "name": "new", "namespace": "fleet" }, "spec": {},
    }));
    assert_snapshot!("device_new", device::render(&device, PLAIN, now()));
}

#[test]
fn sources_say_who_committed_and_what_waits() {
    assert_snapshot!(
        "sources",
        sources::render(&[source()], false, false, PLAIN, now())
    );
    assert_snapshot!(
        "sources_wide",
        sources::render(&[source()], true, true, PLAIN, now())
    );
}

#[test]
fn a_failing_rule_is_explained() {
    assert_snapshot!(
        "why_fails",
        why(&failing_mac(), &policies("Audit", &json!([])), "firewall")
    );
}

#[test]
fn what_the_status_does_not_say_is_concluded_or_left_open() {
    let enforced = policies("Enforce", &json!([]));
    let phone = why(&good_phone(), &enforced, "passcode_length");
    assert!(
        phone.starts_with("essentials/passcode_length passes on"),
        "{phone}"
    );
    assert!(phone.contains("minLength = 12"), "{phone}");
    let not_for_phones = why(&good_phone(), &enforced, "firewall_on");
    assert!(
        not_for_phones.contains("firewall_on does not apply on"),
        "{not_for_phones}"
    );
    assert!(
        not_for_phones.contains("the rule is for macOS"),
        "{not_for_phones}"
    );
    assert!(
        not_for_phones.contains("Enforces      nothing on this device"),
        "{not_for_phones}"
    );
    let open = why(&failing_mac(), &enforced, "passcode_length");
    assert!(open.contains("is not told by the status"), "{open}");
    let excluded = json!([{ "rule": "passcode_length", "reason": "kiosks have no passcode" }]);
    let left_out = why(&failing_mac(), &policies("Enforce", &excluded), "passcode_length");
    assert!(
        left_out.contains("Left out      kiosks have no passcode"),
        "{left_out}"
    );
    assert!(
        left_out.starts_with("essentials/passcode_length is left out on"),
        "{left_out}"
    );
    assert!(left_out.contains("spec.baselines[].excludeRules"), "{left_out}");
}

#[test]
fn a_rule_that_is_not_found_is_answered_with_what_there_is() {
    let policies = policies("Audit", &json!([]));
    let said = |wanted| policies.find(wanted).unwrap_err();
    assert_eq!(
        said("firewal_on"),
        "no rule firewal_on is demanded of this device\ndid you mean firewall_on?"
    );
    assert!(said("bluetooth").contains("there are 2: essentials/firewall_on, essentials/passcode_length"));
    assert_eq!(
        said("wall"),
        "no rule wall is demanded of this device\ndid you mean one of essentials/firewall_on?"
    );
    assert!(said("essentials").contains("could be any of 2 rules"));
    let none = Policies {
        assignments: Vec::new(),
        ..policies
    };
    assert_eq!(
        none.find("firewall_on").unwrap_err(),
        "the rule essentials/firewall_on is not demanded of this device: none of its assignments names the baseline\nits assignments: none"
    );
}

#[test]
fn an_inherited_rule_says_where_it_comes_from_and_an_excluded_one_why() {
    let base: Baseline = read(from_git(
        "Baseline",
        "fleet/base.yaml",
        &json!({ "title": "Base", "version": "3", "rules": [
            { "id": "firewall_on", "title": "On", "check": { "cel": "SecurityInfo.FirewallSettings.FirewallEnabled" } },
            { "id": "stealth", "title": "Silent", "check": { "cel": "SecurityInfo.FirewallSettings.StealthMode" } },
        ] }),
    ));
    let heir: Baseline = read(from_git(
        "Baseline",
        "fleet/baseline.yaml",
        &json!({ "title": "Essentials", "version": "1", "extends": [{ "name": "base",
            "exclude": [{ "rule": "stealth", "reason": "Our scanner needs answers." }],
            "override": [{ "rule": "firewall_on", "severity": "High" }] }] }),
    ));
    let known = policies("Audit", &json!([]));
    let policies = Policies::new(
        known.assignments,
        [("base".to_owned(), base), ("essentials".to_owned(), heir)],
    );
    let page = why(&failing_mac(), &policies, "firewall_on");
    assert!(
        page.contains("Comes from    base, changed by essentials"),
        "{page}"
    );
    assert_eq!(policies.find("firewall_on").unwrap().bases.len(), 1);
    let page = why(&failing_mac(), &policies, "stealth");
    assert!(page.contains("stealth is left out on"), "{page}");
    assert!(
        page.contains("Excluded      by Baseline essentials: Our scanner needs answers."),
        "{page}"
    );
    assert!(
        page.contains("remove it from spec.extends[].exclude of Baseline essentials"),
        "{page}"
    );
}

#[test]
fn a_newer_commit_than_the_source_remembers_is_told_as_far_as_it_goes() {
    let policies = policies("Audit", &json!([]));
    let demanded = policies.find("firewall_on").unwrap();
    let commits = vec![why::commit_of(demanded.baseline, None)];
    let page = why::render(
        &why::explain(&failing_mac(), &demanded, commits, None),
        PLAIN,
        now(),
    );
    assert!(
        page.contains("older than what gitsource/policy remembers; see: git show"),
        "{page}"
    );
    assert!(page.contains("Committed     25h ago"), "{page}");
}
