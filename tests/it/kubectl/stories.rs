//! What people see through an unmodified kubectl.

use std::ffi::OsString;

use tokio::process::Command;

use crate::control_plane::assets;
use crate::world::{NAMESPACE, SOURCE, Setting, World, said};

/// The kubectl, or nothing and a line that says what was left out.
fn kubectl() -> Option<OsString> {
    let assets = assets("the stories of kubectl")?;
    Some(assets.kubectl().into_os_string())
}

/// A kubectl of a world.
struct Kubectl<'a> {
    program: OsString,
    world: &'a World,
}

impl Kubectl<'_> {
    /// Runs it; gives its output and what it complained of.
    async fn run(&self, args: &[&str], input: &str) -> (bool, String, String) {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .env("KUBECONFIG", &self.world.server.ready.kubeconfig)
            .env("HOME", self.world.path("home"));
        let said = said(&mut command, input).await;
        (said.success, said.stdout, said.stderr)
    }

    /// Runs it, and it succeeds.
    async fn say(&self, args: &[&str]) -> String {
        let (success, output, complaint) = self.run(args, "").await;
        assert!(success, "kubectl {args:?}: {complaint}");
        output
    }
}

/// The columns of a table, from its first line.
fn header(table: &str) -> Vec<&str> {
    table
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect()
}

#[tokio::test]
async fn an_auditor_reads_a_compliant_fleet_with_kubectl() {
    let Some(program) = kubectl() else { return };
    let mut world = World::start(Setting::default()).await;
    let (revision, devices) = world.under_policy(4, 12).await;
    let name = devices.keys().next().unwrap().clone();
    let kubectl = Kubectl {
        program,
        world: &world,
    };

    let table = kubectl.say(&["get", "devices"]).await;
    assert_eq!(
        header(&table),
        [
            "NAME",
            "PLATFORM",
            "OS",
            "ENROLLED",
            "SYNCED",
            "COMPLIANT",
            "FAILING",
            "AGE"
        ]
    );
    assert_eq!(table.lines().count(), 5, "{table}");
    let wide = kubectl
        .say(&["get", "devices,assignments,baselines", "-o", "wide"])
        .await;
    for column in ["SERIAL", "MODEL", "REVISION", "CLASSES", "CONTROLS"] {
        assert!(wide.contains(column), "{wide}");
    }
    assert!(wide.contains(&revision), "{wide}");
    for line in kubectl
        .say(&["get", "provost"])
        .await
        .lines()
        .filter(|line| line.contains("device.provost.dev/"))
    {
        assert!(line.contains("True"), "{line}");
    }

    let yaml = kubectl.say(&["get", "device", &name, "-o", "yaml"]).await;
    for part in [
        "history:",
        "evidence:",
        "revision: main@sha1:",
        "verdicts:",
        "observedGeneration: 1",
    ] {
        assert!(yaml.contains(part), "{part} in {yaml}");
    }
    let ready = r#"jsonpath={.status.conditions[?(@.type=="Compliant")].status}"#;
    assert_eq!(kubectl.say(&["get", "device", &name, "-o", ready]).await, "True");
    let by_field = kubectl
        .say(&[
            "get",
            "devices",
            "--field-selector",
            "status.platform=macOS",
            "-o",
            "name",
        ])
        .await;
    let macs = devices
        .values()
        .filter(|device| device.status.as_ref().unwrap().platform.unwrap().to_string() == "macOS");
    assert_eq!(by_field.lines().count(), macs.count(), "{by_field}");

    let description = kubectl.say(&["describe", "gitsource", SOURCE]).await;
    for part in [
        "Events:",
        "Succeeded",
        "Bring the fleet under policy",
        &revision,
        "Conditions:",
    ] {
        assert!(description.contains(part), "{part} in {description}");
    }
    let explained = kubectl.say(&["explain", "device.status.verdicts.pass"]).await;
    assert!(explained.contains("The rule holds, by evidence."), "{explained}");
    let resources = kubectl
        .say(&["api-resources", "--api-group", "provost.dev"])
        .await;
    for kind in [
        "Assignment",
        "Baseline",
        "Device",
        "DeviceGroup",
        "GitSource",
        "Profile",
    ] {
        assert!(resources.contains(kind), "{resources}");
    }
    let waited = [
        "wait",
        "--for=condition=Ready",
        "gitsource",
        SOURCE,
        "--timeout=10s",
    ];
    assert!(kubectl.say(&waited).await.contains("condition met"));
}

#[tokio::test]
async fn kubectl_is_told_which_field_is_wrong() {
    let Some(program) = kubectl() else { return };
    let world = World::start(Setting::default()).await;
    let kubectl = Kubectl {
        program,
        world: &world,
    };
    let group = |spec: &str| {
        format!(
            "apiVersion: provost.dev/v1alpha1\nkind: DeviceGroup\nmetadata: {{ name: g }}\nspec: {spec}\n"
        )
    };
    for server_side in [false, true] {
        for (spec, complaint) in [
            ("{ selecter: {} }", "spec.selecter"),
            ("{ serialNumbers: 5 }", "spec.serialNumbers"),
            ("{ serialNumbers: [''] }", "spec.serialNumbers[0]"),
            ("{}", "give a selector, an expression or serialNumbers"),
        ] {
            let mut args = vec!["apply", "-f", "-"];
            if server_side {
                args.push("--server-side");
            }
            let (success, _, said) = kubectl.run(&args, &group(spec)).await;
            assert!(!success && said.contains(complaint), "{spec}: {said}");
        }
    }
    assert_eq!(
        kubectl.say(&["get", "devicegroups"]).await,
        "",
        "nothing was kept"
    );

    let (success, said, complaint) = kubectl
        .run(&["apply", "-f", "-"], &group("{ selector: {} }"))
        .await;
    assert!(
        success && said.contains("devicegroup.provost.dev/g created"),
        "{complaint}"
    );
    let again = kubectl
        .run(&["apply", "-f", "-"], &group("{ selector: {} }"))
        .await;
    assert!(again.1.contains("unchanged"), "{again:?}");
    let there = kubectl.say(&["get", "dg", "-n", NAMESPACE, "-o", "name"]).await;
    assert_eq!(there.trim(), "devicegroup.provost.dev/g");
}
