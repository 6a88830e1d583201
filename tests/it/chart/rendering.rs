//! What the chart renders: with its defaults as a snapshot, and with each switch as a real API server takes it.

use std::fmt::Write as _;

use provost::api::crds;
use serde_json::{Value, json};

use super::matrix::matrix;
use super::{NAMESPACE, file, folder, kind, objects, of_kind, render, run};
use crate::control_plane::{Assets, ControlPlane, assets};

const WHAT: &str = "the Helm chart";

#[test]
fn helm_finds_nothing_to_complain_of() {
    let Some(assets) = assets(WHAT) else { return };
    let chart = folder();
    let (success, said, complaint) = run(&assets.helm(), &["lint", "--strict", chart.to_str().unwrap()], "");
    assert!(success, "{said}{complaint}");
}

#[test]
fn the_default_rendering_is_as_it_was_reviewed() {
    let Some(assets) = assets(WHAT) else { return };
    // The definitions are compared with the code below.
    let rendered = render(&assets, &json!({ "crds": { "enabled": false } })).unwrap();
    insta::assert_snapshot!(rendered);
}

#[test]
fn the_chart_carries_the_definitions_of_the_code() {
    let names: Vec<String> = crds::all().iter().map(crds::file_name).collect();
    for crd in crds::all() {
        let name = crds::file_name(&crd);
        assert!(
            file(&format!("files/crds/{name}")) == crds::yaml(&crd).unwrap(),
            "the chart's {name} is stale: run `make chart-crds`"
        );
    }
    let found = std::fs::read_dir(folder().join("files/crds")).unwrap();
    assert_eq!(
        found.count(),
        names.len(),
        "one file a kind: {names:?}; remove others by hand"
    );
    let chart: Value = serde_yaml::from_str(&file("Chart.yaml")).unwrap();
    let told: Value =
        serde_yaml::from_str(chart["annotations"]["artifacthub.io/crds"].as_str().unwrap()).unwrap();
    let told: Vec<&str> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|crd| crd["kind"].as_str().unwrap())
        .collect();
    let kinds: Vec<String> = crds::all().into_iter().map(|crd| crd.spec.names.kind).collect();
    assert_eq!(told, kinds, "Chart.yaml tells about every kind");
}

#[test]
fn chart_and_program_have_one_version() {
    let chart: Value = serde_yaml::from_str(&file("Chart.yaml")).unwrap();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    let images = chart["annotations"]["artifacthub.io/images"].as_str().unwrap();
    assert!(
        images.contains(&format!(":{}\n", env!("CARGO_PKG_VERSION"))),
        "{images}"
    );
}

#[test]
fn definitions_are_rendered_whole_and_kept_unless_told_otherwise() {
    let Some(assets) = assets(WHAT) else { return };
    for keep in [true, false] {
        let rendered = objects(&render(&assets, &json!({ "crds": { "keep": keep } })).unwrap());
        let rendered = of_kind(&rendered, "CustomResourceDefinition");
        assert_eq!(rendered.len(), crds::all().len());
        for crd in crds::all() {
            let expected = serde_json::to_value(&crd).unwrap();
            let found = rendered
                .iter()
                .find(|found| found["metadata"]["name"] == expected["metadata"]["name"])
                .unwrap();
            assert!(
                found["spec"] == expected["spec"],
                "{} has changed",
                found["metadata"]["name"]
            );
            let policy = &found["metadata"]["annotations"]["helm.sh/resource-policy"];
            assert_eq!(policy == "keep", keep, "{}", found["metadata"]);
        }
    }
}

#[test]
fn wrong_values_are_refused_by_name() {
    let Some(assets) = assets(WHAT) else { return };
    for (values, complaint) in [
        (json!({ "replicas": 2 }), "/replicas"),
        (json!({ "replica": 1 }), "'replica' not allowed"),
        (json!({ "image": { "tagg": "x" } }), "'tagg' not allowed"),
        (json!({ "image": { "digest": "sha256:abc" } }), "/image/digest"),
        (json!({ "publicUrl": "http://mdm.example.com" }), "/publicUrl"),
        (
            json!({ "publicUrl": "https://mdm.example.com/path" }),
            "/publicUrl",
        ),
        (json!({ "evidenceInterval": "1 hour" }), "/evidenceInterval"),
        (json!({ "persistence": { "size": "big" } }), "/persistence/size"),
        (
            json!({ "service": { "devices": { "port": 0 } } }),
            "/service/devices/port",
        ),
        (
            json!({ "service": { "admin": { "type": "LoadBalancer" } } }),
            "'type' not allowed",
        ),
        (
            json!({ "gitCredentials": [{ "namespace": "fleet" }] }),
            "secretName",
        ),
        (
            json!({ "networkPolicy": { "git": { "ports": [] } } }),
            "/networkPolicy/git/ports",
        ),
        (json!({ "helmTest": { "enabled": true } }), "/helmTest/image"),
        (json!({ "crds": { "enabled": "yes" } }), "/crds/enabled"),
        (json!({ "proxy": { "enabled": true } }), "/proxy/trust"),
        (json!({ "proxy": { "trust": ["everybody"] } }), "/proxy/trust"),
    ] {
        let said = render(&assets, &values).expect_err(&values.to_string());
        assert!(said.contains(complaint), "{values}: {said}");
    }
}

struct Cluster {
    assets: Assets,
    plane: ControlPlane,
}

impl Cluster {
    async fn start() -> Option<Self> {
        let assets = assets(WHAT)?;
        let plane = ControlPlane::start(WHAT).await?;
        let cluster = Self { assets, plane };
        let mut prepared = String::from("{ apiVersion: v1, kind: Namespace, metadata: { name: fleet } }\n");
        writeln!(
            prepared,
            "---\n{{ apiVersion: v1, kind: Namespace, metadata: {{ name: {NAMESPACE}, labels: {{ pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted }} }} }}\n---\n{SERVICE_MONITORS}",
        )
        .unwrap();
        let (success, said) = cluster.kubectl(&["apply", "--server-side", "-f", "-"], &prepared);
        assert!(success, "{said}");
        let wait = [
            "wait",
            "--for=condition=Established",
            "crd/servicemonitors.monitoring.coreos.com",
        ];
        assert!(cluster.kubectl(&wait, "").0);
        Some(cluster)
    }

    /// Runs kubectl as administrator; what it says, complaints included.
    fn kubectl(&self, args: &[&str], input: &str) -> (bool, String) {
        let kubeconfig = self.plane.kubeconfig();
        let all = [&["--kubeconfig", kubeconfig.to_str().unwrap()], args].concat();
        let (success, said, complaint) = run(&self.assets.kubectl(), &all, input);
        (success, said + &complaint)
    }

    fn try_apply(&self, input: &str) -> (bool, String) {
        self.kubectl(&["apply", "--server-side", "--dry-run=server", "-f", "-"], input)
    }
}

/// So much of the Prometheus operator that the API server knows the kind.
const SERVICE_MONITORS: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: servicemonitors.monitoring.coreos.com }
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: { kind: ServiceMonitor, plural: servicemonitors }
  versions:
    - name: v1
      served: true
      storage: true
      schema: { openAPIV3Schema: { type: object, x-kubernetes-preserve-unknown-fields: true } }
";

/// The pod that a rendering's StatefulSet makes.
fn pod(objects: &[Value]) -> Value {
    let set = of_kind(objects, "StatefulSet");
    let template = &set.first().unwrap()["spec"]["template"];
    json!({
        "apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
        "metadata": { "name": "provost-0", "namespace": NAMESPACE, "labels": template["metadata"]["labels"] },
    })
}

#[tokio::test]
async fn a_real_api_server_takes_every_rendering_and_its_pod_under_the_restricted_standard() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    for (name, values) in matrix() {
        let rendered = render(&cluster.assets, &values).unwrap_or_else(|why| panic!("{name}: {why}"));
        let found = objects(&rendered);
        let (success, said) = cluster.try_apply(&rendered);
        assert!(success, "{name}: {said}");
        assert!(!said.contains("Warning"), "{name}: {said}");
        assert_eq!(said.lines().count(), found.len(), "{name}: {said}");
        let mut pods = vec![pod(&found)];
        pods.extend(of_kind(&found, "Pod").into_iter().cloned());
        for pod in pods {
            let (success, said) = cluster.try_apply(&pod.to_string());
            assert!(success && !said.contains("Warning"), "{name}: {said}");
        }
    }
}

#[tokio::test]
async fn a_pod_that_is_not_restricted_would_be_refused() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let loose = json!({ "securityContext": { "allowPrivilegeEscalation": true } });
    let rendered = render(&cluster.assets, &loose).unwrap();
    let (success, said) = cluster.try_apply(&pod(&objects(&rendered)).to_string());
    assert!(!success && said.contains("allowPrivilegeEscalation"), "{said}");
}

#[test]
fn switches_do_what_they_say() {
    let Some(assets) = assets(WHAT) else { return };
    let render = |values: Value| objects(&render(&assets, &values).unwrap());
    let kinds = |values: Value| -> Vec<String> {
        let mut kinds: Vec<String> = render(values)
            .iter()
            .map(|object| kind(object).to_owned())
            .collect();
        kinds.dedup();
        kinds.sort();
        kinds.dedup();
        kinds
    };
    let matrix = matrix();
    let values = |wanted: &str| matrix.iter().find(|(name, _)| *name == wanted).unwrap().1.clone();
    assert_eq!(kinds(values("nothing optional")), ["Service", "StatefulSet"]);
    assert!(of_kind(&render(values("a claim of one's own")), "PersistentVolumeClaim").is_empty());

    let with_push = pod(&render(values("an address and a push certificate")));
    let args = with_push["spec"]["containers"][0]["args"].to_string();
    for arg in [
        "--apns-cert=",
        "--public-url=https://mdm.example.com:8443",
        "--mdm-listen=[::]:8443",
    ] {
        assert!(args.contains(arg), "{args}");
    }
    let with_proxies = render(values("proxies"));
    let args = pod(&with_proxies)["spec"]["containers"][0]["args"].to_string();
    for arg in [
        "--mdm-proxy-listen=0.0.0.0:8080",
        "--mdm-proxy-header=X-Ssl-Cert",
        "--mdm-proxy-trust=10.0.0.0/8,2001:db8::7",
    ] {
        assert!(args.contains(arg), "{args}");
    }
    let policy = of_kind(&with_proxies, "NetworkPolicy")[0].to_string();
    assert!(policy.contains(r#""port":"proxy""#), "{policy}");
    let default = pod(&render(json!({})));
    let args = default["spec"]["containers"][0]["args"].to_string();
    assert!(
        !args.contains("--apns-cert") && !args.contains("--mdm-proxy"),
        "{args}"
    );

    let roles = render(values("Secrets for git"));
    let secrets: Vec<&Value> = of_kind(&roles, "Role")
        .into_iter()
        .filter(|role| role["rules"][0]["resources"][0] == "secrets")
        .collect();
    assert_eq!(secrets.len(), 2, "one a namespace");
    for role in secrets {
        assert_eq!(role["rules"][0]["verbs"], json!(["get"]));
        assert!(!role["rules"][0]["resourceNames"].as_array().unwrap().is_empty());
    }
}
