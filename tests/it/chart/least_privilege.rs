//! Provost runs as the chart's service account with the chart's roles and no others. The API server's audit log shows that it was refused
//! nothing, and that each verb on each resource that the roles grant was needed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use base64::Engine as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use provost::api::{Device, GitSource, PushCertificate, PushCertificateSpec};
use serde_json::{Value, json};

use super::{NAMESPACE, kind, objects, of_kind, render, run};
use crate::control_plane::{ControlPlane, assets, summary};
use crate::evidence::{Door, parts, token};
use crate::push;
use crate::world::{self, SOURCE, World, eventually, policy};

const WHAT: &str = "the Helm chart's roles";
const ACCOUNT: &str = "system:serviceaccount:provost-system:provost";
const CREDENTIALS: &str = "git-credentials";
/// Of a Secret that the release does not list at first.
const LATE_CREDENTIALS: &str = "late-credentials";

const PROFILE: &str = "\
apiVersion: provost.dev/v1alpha1
kind: Profile
metadata: { name: login-window }
spec:
  title: Login window
  platforms: [{ name: macOS }]
  payloads:
    - payloadType: com.apple.loginwindow
      content: { LoginwindowText: Ours }
";

const WAIVER: &str = "\
apiVersion: provost.dev/v1alpha1
kind: Waiver
metadata: { name: lab }
spec:
  rules: [firewall_on]
  selector: { matchLabels: { team: lab } }
  reason: The lab tests the firewall.
  approvedBy: Ada
  expiresAt: 2100-01-01T00:00:00Z
";

/// A verb on a resource, as rules grant it and as requests use it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    verb: String,
    group: String,
    resource: String,
}

/// What the rules of these roles grant. None of them may hold a wildcard.
fn granted(roles: &[&Value]) -> BTreeSet<Right> {
    let strings = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in roles.iter().flat_map(|role| role["rules"].as_array().unwrap()) {
        for group in strings(&rule["apiGroups"]) {
            for resource in strings(&rule["resources"]) {
                for verb in strings(&rule["verbs"]) {
                    granted.insert(Right {
                        verb,
                        group: group.clone(),
                        resource: resource.clone(),
                    });
                }
            }
        }
    }
    for right in &granted {
        let forbidden = ["*", "escalate", "bind", "impersonate"];
        let all = [&right.verb, &right.group, &right.resource];
        assert!(
            !all.iter().any(|word| forbidden.contains(&word.as_str())),
            "{right:?}"
        );
    }
    granted
}

/// The rights that a request used.
fn used(event: &Value) -> Vec<Right> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let target = &event["objectRef"];
    let mut resource = text(&target["resource"]);
    if let Some(sub) = target["subresource"].as_str() {
        resource = format!("{resource}/{sub}");
    }
    let right = |verb: &str| Right {
        verb: verb.to_owned(),
        group: text(&target["apiGroup"]),
        resource: resource.clone(),
    };
    let verb = text(&event["verb"]);
    let mut rights = vec![right(&verb)];
    // An apply that made an object was allowed to patch and to create.
    if verb == "patch" && event["responseStatus"]["code"] == 201 {
        rights.push(right("create"));
    }
    rights
}

/// The requests of the service account.
fn requests(plane: &ControlPlane) -> Vec<Value> {
    let mut events = plane.audit();
    events.retain(|event| event["user"]["username"] == ACCOUNT && !event["objectRef"].is_null());
    events
}

/// As the administrator of the cluster.
fn apply(plane: &ControlPlane, input: &str) {
    let kubeconfig = plane.kubeconfig();
    let args = [
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
        "apply",
        "--server-side",
        "-f",
        "-",
    ];
    let (success, said, complaint) = run(&assets(WHAT).unwrap().kubectl(), &args, input);
    assert!(success, "{said}{complaint}");
}

/// A cluster with the chart's objects but the workload, which has no kubelet here.
async fn install() -> Option<(ControlPlane, Vec<Value>)> {
    let tools = assets(WHAT)?;
    let plane = ControlPlane::start(WHAT).await?;
    let values = json!({ "evidence": { "enabled": true }, "gitCredentials": [{ "namespace": world::NAMESPACE, "secretName": CREDENTIALS }] });
    let rendered = render(&tools, &values).unwrap();
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    apply(&plane, &namespace.to_string());
    apply(&plane, &rendered);
    // Nothing but their own chart lets them in: the definitions are served when this returns.
    crate::control_plane::install_crds(&plane.client().await).await;
    Some((plane, objects(&rendered)))
}

/// A kubeconfig with a token of the service account, as a pod has one.
fn identity(plane: &ControlPlane) -> PathBuf {
    let tools = assets(WHAT).unwrap();
    let admin = plane.kubeconfig();
    let args = [
        "--kubeconfig",
        admin.to_str().unwrap(),
        "--namespace",
        NAMESPACE,
        "create",
        "token",
        "provost",
    ];
    let (success, token, complaint) = run(&tools.kubectl(), &args, "");
    assert!(success, "{complaint}");
    let authority = base64::engine::general_purpose::STANDARD.encode(plane.authority());
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "pod",
        "clusters": [{ "name": "pod", "cluster": { "server": plane.url(), "certificate-authority-data": authority } }],
        "users": [{ "name": "pod", "user": { "token": token.trim() } }],
        "contexts": [{ "name": "pod", "context": { "cluster": "pod", "user": "pod", "namespace": NAMESPACE } }],
    });
    let path = plane.path("pod.kubeconfig");
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    path
}

/// From a first commit to a device that complies, a policy that is withdrawn, a device that is forgotten, a source that is removed.
async fn story(world: &mut World) {
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(CREDENTIALS.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(
            [("username", "u"), ("password", "p")]
                .map(|(key, value)| (key.to_owned(), ByteString(value.into())))
                .into(),
        ),
        ..Secret::default()
    };
    world
        .api::<Secret>()
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let mut spec = serde_json::to_value(world.source_spec()).unwrap();
    spec["secretRef"] = json!({ "name": CREDENTIALS });
    // A part of the standard is withdrawn below.
    spec["pruneLimitPercent"] = json!(100);
    let source = GitSource::new(SOURCE, serde_json::from_value(spec).unwrap());
    world.write_essentials(12);
    world.write("fleet/profile.yaml", PROFILE);
    world.write("fleet/waiver.yaml", WAIVER);
    let revision = world.commit("Begin");
    world
        .api::<GitSource>()
        .create(&PostParams::default(), &source)
        .await
        .unwrap();
    world.look().await;
    world.enroll(2).await;
    let devices = world.compliant(2, &revision).await;
    tell_evidence(world, devices.keys().next().unwrap()).await;

    let name = devices.keys().next().unwrap().clone();
    let orphan = Patch::Merge(json!({ "spec": { "deletionPolicy": "Orphan" } }));
    let api = world.api::<Device>();
    api.patch(&name, &PatchParams::default(), &orphan).await.unwrap();
    api.delete(&name, &DeleteParams::default()).await.unwrap();
    eventually("the device is let go", async || match api.get_opt(&name).await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;

    for file in ["group", "baseline", "profile", "assignment", "waiver"] {
        world.remove(&format!("fleet/{file}.yaml"));
    }
    world.write("fleet/other.yaml", &policy::group("other", "team", "other"));
    world.bring_into_force("Withdraw the standard").await;
    let sources = world.api::<GitSource>();
    sources.delete(SOURCE, &DeleteParams::default()).await.unwrap();
    eventually("the source is let go", async || {
        match sources.get_opt(SOURCE).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// People ask for evidence, by a client certificate and by a token.
async fn tell_evidence(world: &World, device: &str) {
    let path = format!("/v1/namespaces/{}/devices/{device}/rules", world::NAMESPACE);
    let (certificate, _) = parts(&world.plane.as_ref().unwrap().kubeconfig());
    let viewer = json!({ "token": token(world, "viewer", "provost-view").await });
    let door = Door::of(world).await;
    for user in [certificate, viewer] {
        door.ask(world, &user, &path).await.unwrap();
    }
}

/// A server that starts again tells evidence at another address, and publishes that.
async fn start_again(world: &mut World) {
    let before = Door::of(world).await;
    world.server.kill_and_restart().await;
    eventually("the new address is published", async || {
        let door = Door::of(world).await;
        if door.url == before.url {
            return Err(door.url);
        }
        Ok(())
    })
    .await;
}

/// A push certificate comes, and another has gone: the server says so at its next start.
async fn exchange_push_certificates(world: &World) {
    let (certificate, key) = push::self_made("com.apple.mgmt.External.held");
    let (certificate_file, key_file) = (world.path("push.pem"), world.path("push.key"));
    std::fs::write(&certificate_file, certificate).unwrap();
    std::fs::write(&key_file, key).unwrap();
    let [certificate, key, data] = [&certificate_file, &key_file, world.server.data_dir()]
        .map(|path: &std::path::Path| path.to_str().unwrap());
    let words = [
        "push",
        "certificate",
        "install",
        certificate,
        "--key",
        key,
        "--data-dir",
        data,
    ];
    let said = world::provost(&words).await;
    assert!(said.success, "{}", said.stderr);
    let gone = PushCertificateSpec {
        topic: "com.apple.mgmt.External.gone".to_owned(),
    };
    let objects = push_certificates(world);
    let gone = PushCertificate::new("com.apple.mgmt.external.gone", gone);
    objects.create(&PostParams::default(), &gone).await.unwrap();
}

async fn push_certificates_are_told(world: &World) {
    let objects = push_certificates(world);
    eventually(
        "the push certificate that is held is told, and no other",
        async || {
            let listed = objects.list(&ListParams::default()).await.map_err(world::text)?;
            let told = listed
                .iter()
                .map(|object| (object.name_any(), object.status.is_some()));
            let told: Vec<_> = told.collect();
            if told == [("com.apple.mgmt.external.held".to_owned(), true)] {
                Ok(())
            } else {
                Err(format!("{told:?}"))
            }
        },
    )
    .await;
}

fn push_certificates(world: &World) -> kube::Api<PushCertificate> {
    kube::Api::namespaced(world.client.clone(), NAMESPACE)
}

#[tokio::test]
async fn provost_needs_every_right_that_the_chart_gives_and_no_other() {
    let Some((plane, rendered)) = install().await else {
        return;
    };
    let identity = identity(&plane);
    let mut world = World::on_cluster_as(plane, identity).await;
    story(&mut world).await;
    exchange_push_certificates(&world).await;
    start_again(&mut world).await;
    push_certificates_are_told(&world).await;
    world.server.terminate().await;

    let events = requests(world.plane.as_ref().unwrap());
    let refused: Vec<&Value> = events
        .iter()
        .filter(|event| {
            event["responseStatus"]["code"] == 403
                || event["annotations"]["authorization.k8s.io/decision"] == "forbid"
        })
        .collect();
    assert!(
        refused.is_empty(),
        "it was refused what it asked for: {refused:#?}"
    );
    let roles: Vec<&Value> = rendered
        .iter()
        .filter(|object| {
            let name = object["metadata"]["name"].as_str().unwrap();
            let for_people = ["provost-view", "provost-edit", "provost-admin"].contains(&name);
            matches!(kind(object), "ClusterRole" | "Role") && !for_people
        })
        .collect();
    let granted = granted(&roles);
    let used: BTreeSet<Right> = events.iter().flat_map(used).collect();
    let idle: Vec<&Right> = granted.difference(&used).collect();
    assert!(idle.is_empty(), "granted and never used: {idle:#?}");
    let other: Vec<&Right> = used.difference(&granted).collect();
    assert!(other.is_empty(), "used and not granted by the chart: {other:#?}");
    summary(&format!(
        "Helm chart: {} rights granted to Provost, each used by one of {} requests",
        granted.len(),
        events.len()
    ));
}

#[tokio::test]
async fn a_secret_that_is_not_listed_is_out_of_reach() {
    let Some((plane, _)) = install().await else { return };
    let identity = identity(&plane);
    let client = crate::control_plane::client(&identity).await;
    let read = async |namespace: &str, name: &str| {
        let api = kube::Api::<Secret>::namespaced(client.clone(), namespace);
        api.get_opt(name)
            .await
            .map(|found| found.map(|secret| secret.name_any()))
    };
    assert_eq!(read(world::NAMESPACE, CREDENTIALS).await.unwrap(), None);
    for (namespace, name) in [
        (world::NAMESPACE, "other"),
        (NAMESPACE, CREDENTIALS),
        (NAMESPACE, "apns"),
    ] {
        let refused = read(namespace, name).await.unwrap_err().to_string();
        assert!(refused.contains("forbidden"), "{namespace}/{name}: {refused}");
    }
}

#[tokio::test]
async fn a_source_whose_secret_is_not_granted_says_so_and_recovers_when_it_is() {
    let Some((plane, _)) = install().await else { return };
    let identity = identity(&plane);
    let world = World::on_cluster_as(plane, identity).await;
    world.write("fleet/group.yaml", policy::EVERYONE);
    world.commit("Begin");
    let mut spec = serde_json::to_value(world.source_spec()).unwrap();
    spec["secretRef"] = json!({ "name": LATE_CREDENTIALS });
    let source = GitSource::new(SOURCE, serde_json::from_value(spec).unwrap());
    let sources = world.api::<GitSource>();
    sources.create(&PostParams::default(), &source).await.unwrap();
    let ready = async |reason: &str, words: &str| {
        eventually(&format!("the source says {reason}"), async || {
            let status = sources.get(SOURCE).await.map_err(world::text)?.status;
            let conditions = status.unwrap_or_default().conditions;
            let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
            match ready {
                Some(ready) if ready.reason == reason && ready.message.contains(words) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    };
    ready(
        "SecretNotGranted",
        "gitCredentials: `- { namespace: default, secretName: late-credentials }`",
    )
    .await;

    // What the release would do with the value that the condition names.
    let tools = assets(WHAT).unwrap();
    let values = json!({ "evidence": { "enabled": true }, "gitCredentials": [{ "namespace": world::NAMESPACE, "secretName": LATE_CREDENTIALS }] });
    apply(world.plane.as_ref().unwrap(), &render(&tools, &values).unwrap());
    ready("SecretNotFound", "default/late-credentials").await;
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": LATE_CREDENTIALS },
                         "stringData": { "username": "u", "password": "p" } });
    world
        .api::<Secret>()
        .create(&PostParams::default(), &serde_json::from_value(secret).unwrap())
        .await
        .unwrap();
    ready("Succeeded", "is in force").await;
}

#[test]
fn the_roles_for_people_are_those_of_the_embedded_api() {
    let Some(tools) = assets(WHAT) else { return };
    let rendered = objects(&render(&tools, &json!({})).unwrap());
    for role in provost::api::roles::all() {
        let expected = serde_json::to_value(&role).unwrap();
        let found = of_kind(&rendered, "ClusterRole")
            .into_iter()
            .find(|found| found["metadata"]["name"] == expected["metadata"]["name"])
            .unwrap();
        assert_eq!(granted(&[found]), granted(&[&expected]), "{}", role.name_any());
        for (label, value) in role.labels() {
            assert_eq!(found["metadata"]["labels"][label], value.as_str());
        }
    }
}
