//! What people see through `kubectl provost`: on the embedded API with a fleet behind it, and on both APIs with objects put there by
//! hand, where it has to say the same.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::{Api as Objects, Client};
use provost::api::names;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::both;
use crate::control_plane::{ControlPlane, EmbeddedApi, assets, install_crds};
use crate::world::server::PROGRAM;
use crate::world::{Api, NAMESPACE, SOURCE, Said, Setting, World, policy, said};

both!(an_operator_asks_who_complies_why_and_since_which_commit);

/// The program under its names for kubectl.
pub(crate) struct Plugin {
    kubeconfig: PathBuf,
    dir: TempDir,
}

impl Plugin {
    pub(crate) fn new(kubeconfig: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["kubectl-provost", "kubectl_complete-provost"] {
            symlink(PROGRAM, dir.path().join(name)).unwrap();
        }
        Self {
            kubeconfig: kubeconfig.to_owned(),
            dir,
        }
    }

    pub(crate) async fn run(&self, program: &Path, args: &[&str]) -> Said {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.dir.path())
            .env("PATH", self.dir.path());
        said(&mut command, "").await
    }

    /// `kubectl provost …`, as kubectl calls it.
    pub(crate) async fn call(&self, args: &[&str]) -> Said {
        self.run(&self.dir.path().join("kubectl-provost"), args).await
    }

    /// A call that succeeds.
    pub(crate) async fn say(&self, args: &[&str]) -> String {
        let said = self.call(args).await;
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
        said.stdout
    }

    /// A call that fails, with these words.
    pub(crate) async fn fails(&self, args: &[&str], words: &[&str]) {
        let said = self.call(args).await;
        assert_eq!(said.code, 1, "{args:?}: {said:?}");
        for word in words {
            assert!(said.stderr.contains(word), "{args:?}: {word:?} in {said:?}");
        }
        assert_eq!(said.stdout, "", "{args:?}");
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one story, from the first table to the refused commit"
)]
async fn an_operator_asks_who_complies_why_and_since_which_commit(api: Api) {
    let mut world = World::start(Setting {
        api,
        ..Setting::default()
    })
    .await;
    let (revision, devices) = world.under_policy(3, 12).await;
    let plugin = Plugin::new(&world.server.ready.kubeconfig);
    let (name, device) = devices.first_key_value().unwrap();
    let serial = device.status.as_ref().unwrap().serial_number.clone().unwrap();

    let table = plugin.say(&["devices"]).await;
    assert!(table.starts_with("NAME"), "{table}");
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(
        table
            .lines()
            .skip(1)
            .all(|line| line.contains("True     True        0")),
        "{table}"
    );
    let none = plugin.call(&["devices", "--failing"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (0, ""));
    assert!(
        none.stderr
            .contains("no device with a failing rule in namespace default"),
        "{none:?}"
    );

    // By name, by serial number, in either case.
    let page = plugin.say(&["device", name]).await;
    assert!(
        page.contains("as it should") && page.contains("Conditions"),
        "{page}"
    );
    for wanted in [
        serial.to_lowercase(),
        name.to_uppercase(),
        format!("device/{name}"),
    ] {
        let said = plugin.say(&["device", &wanted, "-o", "name"]).await;
        assert_eq!(said, format!("device.provost.dev/{name}\n"), "{wanted}");
    }
    let from_everywhere = plugin.say(&["device", &serial, "-A", "-o", "json"]).await;
    let json: Value = serde_json::from_str(&from_everywhere).unwrap();
    assert_eq!(json["metadata"]["name"], **name);

    let why = plugin.say(&["why", &serial, "passcode"]).await;
    for part in [
        "essentials/passcode_length passes on",
        "Passcodes are long enough",
        "minLength = 12",
        "Enforce, passcodeLength = 12",
        &revision,
        "Policy Team <policy@example.com>",
        "Bring the fleet under policy",
        "fleet/assignment.yaml",
    ] {
        assert!(why.contains(part), "{part} in {why}");
    }
    plugin
        .fails(
            &["why", &serial, "pascode_length"],
            &["did you mean passcode_length?"],
        )
        .await;
    plugin
        .fails(
            &["device", "nowhere"],
            &["no device in namespace default", "kubectl provost devices"],
        )
        .await;

    let sources = plugin.say(&["sources"]).await;
    assert!(
        sources.contains("Policy Team") && sources.contains("Bring the fleet under policy"),
        "{sources}"
    );
    let asked = plugin.say(&["reconcile", "--timeout", "60s"]).await;
    assert!(
        asked.starts_with("gitsource.provost.dev/policy in default: Ready: "),
        "{asked}"
    );
    let asked = plugin.say(&["reconcile", &format!("device/{serial}")]).await;
    assert!(
        asked.contains("Ready: enrolled, and holds what it should"),
        "{asked}"
    );

    world.write(
        "fleet/group.yaml",
        &policy::EVERYONE.replace("selector", "selecter"),
    );
    world.commit("Break it");
    let refused = plugin.call(&["reconcile", "gitsource/policy"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stdout.contains("not Ready: InvalidRevision"),
        "{refused:?}"
    );
    let sources = plugin.say(&["sources", "-o", "wide"]).await;
    assert!(sources.contains("refused: "), "{sources}");

    // Through kubectl itself, completion included.
    let Some(assets) = assets("kubectl provost, through kubectl") else {
        return;
    };
    let kubectl = assets.kubectl();
    let through = plugin
        .run(&kubectl, &["provost", "devices", "-n", NAMESPACE, "-o", "name"])
        .await;
    assert_eq!(
        through.stdout,
        plugin.say(&["devices", "-o", "name"]).await,
        "{through:?}"
    );
    let completed = plugin
        .run(&kubectl, &["__complete", "provost", "reconcile", "gits"])
        .await;
    assert!(
        completed.stdout.starts_with(&format!("gitsource/{SOURCE}\n")),
        "{completed:?}"
    );
    let completed = plugin
        .run(&kubectl, &["__complete", "provost", "why", &serial, "pass"])
        .await;
    assert!(completed.stdout.starts_with("passcode_length\n"), "{completed:?}");
}

/// Puts an object there, and its status if it has one.
async fn put(client: &Client, object: &Value) {
    let kind = object["kind"].as_str().unwrap();
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(names::GROUP, names::VERSION, kind),
        &format!("{}s", kind.to_lowercase()),
    );
    let api: Objects<DynamicObject> = Objects::namespaced_with(client.clone(), NAMESPACE, &resource);
    let name = object["metadata"]["name"].as_str().unwrap();
    let mut object = object.clone();
    object["apiVersion"] = names::API_VERSION.into();
    let status = object.as_object_mut().unwrap().remove("status");
    let parameters = PatchParams::apply("story");
    api.patch(name, &parameters, &Patch::Apply(&object))
        .await
        .unwrap();
    if let Some(status) = status {
        let object = json!({ "apiVersion": names::API_VERSION, "kind": kind, "metadata": { "name": name }, "status": status });
        api.patch_status(name, &parameters, &Patch::Apply(&object))
            .await
            .unwrap();
    }
}

fn condition(type_: &str, status: &str) -> Value {
    json!({ "type": type_, "status": status, "reason": "Told", "message": "so it is", "lastTransitionTime": "2016-03-01T10:00:00Z" })
}

fn device(name: &str, serial: &str, fail: i64) -> Value {
    let failing = if fail > 0 {
        json!([{ "baseline": "essentials", "rule": "firewall_on", "severity": "High", "reason": "the firewall is off" }])
    } else {
        json!([])
    };
    json!({
        "kind": "Device", "metadata": { "name": name, "labels": { "team": serial.to_lowercase() } }, "spec": {},
        "status": {
            "observedGeneration": 1, "enrollmentMode": "Supervised", "serialNumber": serial, "platform": "macOS", "osVersion": "15.2",
            "declarativeManagement": true, "assignments": ["essentials"], "verdicts": { "pass": 3, "fail": fail },
            "failingRules": failing, "conditions": [condition("Synced", "True"), condition("Enrolled", "True")],
        },
    })
}

/// A small fleet, and the policies it stands under.
fn objects() -> Vec<Value> {
    let revision = "main@sha1:1111111111111111111111111111111111111111";
    vec![
        device("aa11-1", "SERIALA", 0),
        device("aa11-2", "SERIALB", 1),
        device("bb22-1", "SERIALC", 0),
        json!({
            "kind": "Baseline", "metadata": { "name": "essentials", "labels": { names::SOURCE_LABEL: "policy" },
                "annotations": { names::REVISION_ANNOTATION: revision, names::FILE_ANNOTATION: "fleet/baseline.yaml" } },
            "spec": { "title": "Essentials", "version": "1", "rules": [
                { "id": "firewall_on", "title": "The firewall is on",
                  "enforce": [{ "profile": { "payloadType": "com.apple.security.firewall", "content": { "EnableFirewall": true } } }] },
            ] },
        }),
        json!({
            "kind": "Assignment", "metadata": { "name": "essentials", "labels": { names::SOURCE_LABEL: "policy" },
                "annotations": { names::REVISION_ANNOTATION: revision } },
            "spec": { "groups": [{ "name": "everyone" }], "baselines": [{ "name": "essentials" }], "mode": "Enforce" },
        }),
        json!({
            "kind": "GitSource", "metadata": { "name": "policy" }, "spec": { "url": "https://git.example.com/policy.git" },
            "status": {
                "observedGeneration": 1, "conditions": [condition("Ready", "True")],
                "artifact": { "revision": revision, "appliedAt": "2016-03-01T10:00:00Z", "objects": 2 },
                "history": [{ "revision": revision, "author": "Policy Team <policy@example.com>", "message": "Begin",
                    "committedAt": "2016-03-01T09:00:00Z", "time": "2016-03-01T10:00:00Z", "result": "Applied", "detail": "2 objects" }],
            },
        }),
    ]
}

/// Calls that give the same on every API.
const CALLS: &[&[&str]] = &[
    &["devices"],
    &["devices", "-o", "wide", "-A"],
    &["devices", "-o", "name", "--sort", "name"],
    &["devices", "-l", "team in (seriala,serialb)", "--sort", "changed"],
    &["devices", "--failing", "-o", "name"],
    &["devices", "-l", "team=nobody"],
    &["devices", "-l", "team in ("],
    &["device", "aa11-2"],
    &["device", "serialc"],
    &["device", "aa"],
    &["device", "bb"],
    &["device", "../secrets"],
    &["device", "aa11-3"],
    &["device", "SERIALA", "-A", "-o", "name"],
    &["why", "aa11-2", "firewall_on"],
    &["why", "serialb", "fire", "-o", "yaml"],
    &["why", "serialb", "essentials/firewall_on", "-o", "json"],
    &["why", "aa11-1", "filevault"],
    &["sources"],
    &["sources", "-o", "wide", "-A"],
    &["sources", "-n", "elsewhere"],
    &["reconcile", "policy", "--wait=false"],
    &["reconcile", "policy", "--timeout", "1s"],
    &["reconcile", "device/aa11-1", "--wait=false", "-o", "json"],
    &["reconcile", "nothing"],
    &["reconcile", "baseline/essentials"],
    &["reconcile", "--all", "-A", "--wait=false", "-o", "name"],
    &["devices", "--as", "nobody"],
    &["device", "aa11-1", "--as", "nobody"],
    &["reconcile", "policy", "--as", "nobody"],
];

#[tokio::test]
async fn both_apis_are_told_about_in_the_same_words() {
    let Some(plane) = ControlPlane::start("kubectl provost on a real API server").await else {
        return;
    };
    let real = Plugin::new(&plane.kubeconfig());
    real.fails(
        &["devices"],
        &["knows no devices.provost.dev", "provost crd | kubectl apply"],
    )
    .await;
    let client = plane.client().await;
    install_crds(&client).await;
    let embedded_api = EmbeddedApi::start().await;
    let embedded = Plugin::new(&embedded_api.kubeconfig());
    let inside = embedded_api.client().await;
    install_crds(&inside).await;
    for object in objects() {
        put(&client, &object).await;
        put(&inside, &object).await;
    }
    for call in CALLS {
        let (a, b) = (real.call(call).await, embedded.call(call).await);
        assert_eq!(a, b, "{call:?}");
    }
    assert_eq!(
        real.say(&["devices", "-o", "name"]).await,
        "device.provost.dev/aa11-2\ndevice.provost.dev/aa11-1\ndevice.provost.dev/bb22-1\n"
    );
    real.fails(&["device", "aa"], &["could be any of 2 devices: aa11-1, aa11-2"])
        .await;
    for plugin in [&real, &embedded] {
        plugin
            .fails(
                &["devices", "--as", "nobody"],
                &["User \"nobody\" cannot list", "provost-view"],
            )
            .await;
        let why = plugin.say(&["why", "serialb", "fire"]).await;
        assert!(
            why.contains("FAILS on aa11-2") && why.contains("the firewall is off"),
            "{why}"
        );
        assert!(why.contains("Policy Team <policy@example.com>"), "{why}");
        let documents: Value = serde_json::from_str(&plugin.say(&["devices", "-o", "json"]).await).unwrap();
        assert_eq!(documents["items"].as_array().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn an_api_that_is_not_there_is_named_with_what_to_do() {
    let nowhere = Plugin::new(Path::new("/nonexistent/kubeconfig"));
    nowhere
        .fails(
            &["devices"],
            &["/nonexistent/kubeconfig", "set KUBECONFIG", "provost up"],
        )
        .await;
    let mut api = EmbeddedApi::start().await;
    let plugin = Plugin::new(&api.kubeconfig());
    plugin
        .fails(
            &["devices", "--context", "prod"],
            &["prod", "kubectl config get-contexts"],
        )
        .await;
    api.silence().await;
    plugin
        .fails(
            &["devices"],
            &[
                "https://127.0.0.1:",
                "cannot be asked: Connection refused",
                "kubectl config current-context",
            ],
        )
        .await;
    let usage = plugin.call(&["--help"]).await;
    assert!(
        usage
            .stdout
            .contains("Usage: kubectl provost [OPTIONS] <COMMAND>"),
        "{usage:?}"
    );
    assert_eq!(plugin.call(&["devices", "--nonsense"]).await.code, 2);
    let script = plugin.say(&["completion", "bash"]).await;
    assert!(script.contains("kubectl-provost"), "{script}");
}
