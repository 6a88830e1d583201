//! What the server tells of the evidence, whom it tells, and what `kubectl provost why` makes of it.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
use kube::api::{DeleteParams, PostParams};
use kube::{Api as Objects, ResourceExt as _};
use provost::api::roles;
use provost::app::evidence::{AUTHORITY_KEY, CONFIG_MAP, URL_KEY};
use serde_json::{Value, json};

use crate::both;
use crate::control_plane::client;
use crate::plugin::Plugin;
use crate::world::{Api, NAMESPACE, Setting, World, eventually};

both!(people_are_told_the_evidence_by_their_own_credentials_and_rights);

/// The namespace in which the server publishes where it tells.
const SYSTEM: &str = "provost-system";

/// Where the server tells.
pub(crate) struct Door {
    pub(crate) url: String,
    authority: String,
}

impl Door {
    pub(crate) async fn of(world: &World) -> Self {
        let maps: Objects<ConfigMap> = Objects::namespaced(world.client.clone(), SYSTEM);
        let data = eventually("the server publishes where it tells", async || {
            let map = maps
                .get_opt(CONFIG_MAP)
                .await
                .map_err(|error| error.to_string())?;
            map.and_then(|map| map.data)
                .ok_or_else(|| "no ConfigMap".to_owned())
        })
        .await;
        Self {
            url: data[URL_KEY].clone(),
            authority: data[AUTHORITY_KEY].clone(),
        }
    }

    /// The answer to a path for somebody with a kubeconfig's `user`.
    pub(crate) async fn ask(&self, world: &World, user: &Value, path: &str) -> Result<Value, (u16, String)> {
        let file = kubeconfig(world, "asking", &self.url, &self.authority, user);
        let client = client(&file).await;
        match client
            .request(http::Request::get(path).body(Vec::new()).unwrap())
            .await
        {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) => Err((status.code, status.message)),
            Err(error) => panic!("{path}: {error}"),
        }
    }
}

/// A kubeconfig of a world.
fn kubeconfig(world: &World, name: &str, url: &str, authority: &str, user: &Value) -> PathBuf {
    let file = world.path(&format!("{name}.kubeconfig"));
    let content = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": url, "certificate-authority-data": STANDARD.encode(authority) } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c", "namespace": NAMESPACE } }],
        "users": [{ "name": "c", "user": user }],
    });
    // JSON is YAML.
    fs::write(&file, content.to_string()).unwrap();
    file
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A service account with a role in the fleet, and its token.
pub(crate) async fn token(world: &World, name: &str, role: &str) -> String {
    let accounts = world.api::<ServiceAccount>();
    let parameters = PostParams::default();
    let account = read(json!({ "metadata": { "name": name } }));
    accounts.create(&parameters, &account).await.unwrap();
    let binding: RoleBinding = read(json!({
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": NAMESPACE }],
    }));
    world
        .api::<RoleBinding>()
        .create(&parameters, &binding)
        .await
        .unwrap();
    let request: TokenRequest = read(json!({ "spec": { "audiences": [] } }));
    let issued = accounts
        .create_token_request(name, &parameters, &request)
        .await
        .unwrap();
    issued.status.unwrap().token.unwrap()
}

/// The `user` and the `cluster` of a kubeconfig.
pub(crate) fn parts(path: &Path) -> (Value, Value) {
    let file = kube::config::Kubeconfig::read_from(path).unwrap();
    let file = serde_json::to_value(file).unwrap();
    (
        file["users"][0]["user"].clone(),
        file["clusters"][0]["cluster"].clone(),
    )
}

/// The roles of people, and one that sees everything but the evidence.
async fn make_roles(world: &World, api: Api) {
    let cluster_roles: Objects<ClusterRole> = Objects::all(world.client.clone());
    let mut all = if api == Api::Cluster {
        roles::all()
    } else {
        Vec::new()
    };
    all.push(read(json!({
        "metadata": { "name": "status-only" },
        "rules": [{ "apiGroups": ["provost.dev"], "resources": ["devices", "baselines", "assignments", "gitsources"],
                    "verbs": ["get", "list"] }],
    })));
    for role in all {
        cluster_roles.create(&PostParams::default(), &role).await.unwrap();
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one story, from the first evidence to the last refusal"
)]
async fn people_are_told_the_evidence_by_their_own_credentials_and_rights(api: Api) {
    let mut world = World::start(Setting {
        api,
        tells_evidence: true,
        ..Setting::default()
    })
    .await;
    if api == Api::Cluster {
        // With the chart this is the namespace that it is installed in.
        world.namespace(SYSTEM).await;
    }
    let (revision, devices) = world.under_policy(3, 12).await;
    let platform = |name: &str| {
        devices[name]
            .status
            .as_ref()
            .unwrap()
            .platform
            .unwrap()
            .to_string()
    };
    let mac = devices.keys().find(|name| platform(name) == "macOS").unwrap();
    let phone = devices.keys().find(|name| platform(name) == "iOS").unwrap();
    make_roles(&world, api).await;
    let door = Door::of(&world).await;

    // A rule that passes has its facts, which no status has.
    let admin = Plugin::new(&world.server.ready.kubeconfig);
    let why = admin.call(&["why", mac, "firewall_on"]).await;
    assert_eq!((why.code, why.stderr.as_str()), (0, ""), "{why:?}");
    for part in [
        "essentials/firewall_on passes on",
        "Fact          SecurityInfo.FirewallSettings.FirewallEnabled = true",
        "Source        SecurityInfo",
        "Reported      ",
        "Pass",
    ] {
        assert!(why.stdout.contains(part), "{part} in {}", why.stdout);
    }
    let why: Value =
        serde_json::from_str(&admin.say(&["why", phone, "firewall", "-o", "json"]).await).unwrap();
    assert_eq!(why["verdict"], "NotApplicable", "{why}");
    let why: Value = serde_json::from_str(&admin.say(&["why", mac, "passcode", "-o", "json"]).await).unwrap();
    assert_eq!(why["verdict"], "Pass", "{why}");
    assert!(
        why["expected"].is_object() && !why["facts"].as_object().unwrap().is_empty(),
        "{why}"
    );
    assert_eq!(why["history"][0]["revision"], *revision, "{why}");

    // The whole device, by a token and by a client certificate.
    let of = |name: &str, rest: &str| format!("/v1/namespaces/{NAMESPACE}/devices/{name}/rules{rest}");
    let (certificate, cluster) = parts(&world.server.ready.kubeconfig);
    let viewer = json!({ "token": token(&world, "viewer", roles::VIEW).await });
    for user in [&certificate, &viewer] {
        let all = door.ask(&world, user, &of(mac, "")).await.unwrap();
        assert_eq!(all["rules"].as_array().unwrap().len(), 2, "{all}");
        let one = door
            .ask(&world, user, &of(mac, "/essentials/firewall_on"))
            .await
            .unwrap();
        assert_eq!(one["rules"][0]["recorded"], "Pass", "{one}");
        assert_eq!(one["rules"][0]["assignment"], "essentials", "{one}");
    }

    // Refusals, as Kubernetes would.
    let status_only = json!({ "token": token(&world, "reader", "status-only").await });
    let code = async |user: &Value, path: &str| door.ask(&world, user, path).await.unwrap_err().0;
    assert_eq!(code(&json!({}), &of(mac, "")).await, 401);
    assert_eq!(code(&json!({ "token": "nonsense" }), &of(mac, "")).await, 401);
    let (refused, message) = door.ask(&world, &status_only, &of(mac, "")).await.unwrap_err();
    assert_eq!(refused, 403);
    assert!(
        message.contains("system:serviceaccount:default:reader\" cannot get resource \"devices/evidence\""),
        "{message}"
    );
    assert_eq!(code(&viewer, &of("no-such-device", "")).await, 404);
    assert_eq!(
        code(&status_only, &of("no-such-device", "")).await,
        403,
        "who may not is not told what there is"
    );
    assert_eq!(code(&viewer, &of(mac, "/no_such_rule")).await, 404);
    assert_eq!(
        code(&viewer, &format!("/v1/namespaces/elsewhere/devices/{mac}/rules")).await,
        403
    );
    assert_eq!(
        code(
            &certificate,
            &format!("/v1/namespaces/elsewhere/devices/{mac}/rules")
        )
        .await,
        404
    );
    assert_eq!(code(&certificate, "/v1/namespaces").await, 404);
    let mut impersonating = certificate.clone();
    impersonating["as"] = "somebody".into();
    assert_eq!(code(&impersonating, &of(mac, "")).await, 400);

    // Where it cannot be asked, the status has to do, and a note says why.
    let authority = world.path("authority.pem");
    fs::write(&authority, &door.authority).unwrap();
    let authority = authority.to_str().unwrap();
    let api_url = cluster["server"].as_str().unwrap();
    let api_authority = STANDARD
        .decode(cluster["certificate-authority-data"].as_str().unwrap())
        .unwrap();
    let api_authority = String::from_utf8(api_authority).unwrap();
    let reader = Plugin::new(&kubeconfig(
        &world,
        "reader",
        api_url,
        &api_authority,
        &status_only,
    ));
    let stranger = world.path("stranger.pem");
    fs::write(&stranger, &api_authority).unwrap();
    let stranger = stranger.to_str().unwrap();
    let why = ["why", mac.as_str(), "firewall_on"];
    for (plugin, more, note) in [
        (
            &reader,
            vec!["--evidence-url", &door.url, "--evidence-ca", authority],
            "devices/evidence",
        ),
        (
            &admin,
            vec!["--evidence-url", "https://localhost:1"],
            "kubectl port-forward -n provost-system",
        ),
        (&admin, vec!["--evidence-ca", stranger], "certificate"),
        (&admin, vec!["--evidence-url", "http://localhost:1"], "https://"),
        (
            &admin,
            vec!["--evidence-namespace", "default"],
            "--evidence-listen",
        ),
        (
            &admin,
            vec!["--as", "system:serviceaccount:default:viewer"],
            "on behalf of another user",
        ),
    ] {
        let said = plugin.call(&[&why[..], &more].concat()).await;
        assert_eq!(said.code, 0, "{more:?}: {said:?}");
        assert!(
            said.stdout.contains("essentials/firewall_on"),
            "{more:?}: {said:?}"
        );
        assert!(!said.stdout.contains("Fact "), "{more:?}: {said:?}");
        assert!(
            said.stderr.starts_with("note: by the device's status alone; ") && said.stderr.contains(note),
            "{more:?}: {said:?}"
        );
    }
    let log = world.server.said();
    let secret = viewer["token"].as_str().unwrap();
    assert!(!log.contains(secret), "no credential is logged");

    // A device that has gone is told about no longer.
    let device = &devices[mac];
    world
        .api::<provost::api::Device>()
        .delete(&device.name_any(), &DeleteParams::default())
        .await
        .unwrap();
    eventually("the device is gone", async || {
        match door.ask(&world, &certificate, &of(mac, "")).await {
            Err((404, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
