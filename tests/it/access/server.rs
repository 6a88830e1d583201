//! A server to ask, prepared alike on both sides, and how people reach it.

use std::path::Path;

use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::cases::{Case, Who};
use crate::control_plane::{client, install_crds};

pub(super) struct Server {
    pub(super) name: &'static str,
    administrator: Client,
    /// Shows no credential of its own.
    nobody: Client,
    /// Tokens by the names that cases give them.
    tokens: Vec<(&'static str, String)>,
    /// Texts that differ between servers, each with what stands for it.
    pub(super) peculiarities: Vec<(String, &'static str)>,
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const GROUP: &str = "rbac.authorization.k8s.io";

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Value {
    json!({ "verbs": verbs, "apiGroups": groups, "resources": resources })
}

fn binding(name: &str, kind: &str, role: &str, subjects: &Value) -> Value {
    json!({
        "metadata": { "name": name }, "subjects": subjects,
        "roleRef": { "apiGroup": GROUP, "kind": kind, "name": role },
    })
}

fn user(name: &str) -> Value {
    json!({ "apiGroup": GROUP, "kind": "User", "name": name })
}

impl Server {
    /// Makes the namespaces, roles, bindings and tokens that the cases are about.
    pub(super) async fn prepare(name: &'static str, kubeconfig: &Path) -> Self {
        let administrator = client(kubeconfig).await;
        install_crds(&administrator).await;
        let mut nobody = Kubeconfig::read_from(kubeconfig).unwrap();
        for user in &mut nobody.auth_infos {
            user.auth_info = Some(AuthInfo::default());
        }
        let options = KubeConfigOptions::default();
        let nobody = kube::Config::from_custom_kubeconfig(nobody, &options);
        let mut server = Self {
            name,
            administrator,
            nobody: Client::try_from(nobody.await.unwrap()).unwrap(),
            tokens: Vec::new(),
            peculiarities: Vec::new(),
        };
        server.objects().await;
        server.tokens().await;
        server
    }

    async fn objects(&self) {
        for namespace in ["a", "b"] {
            let object = json!({ "metadata": { "name": namespace } });
            self.admin("POST", "/api/v1/namespaces", object).await;
        }
        for account in ["bot", "gone", "locked", "mimic"] {
            let object = json!({ "metadata": { "name": account } });
            self.admin("POST", "/api/v1/namespaces/a/serviceaccounts", object)
                .await;
        }
        for secret in ["one", "two", "key"] {
            let object = json!({ "metadata": { "name": secret } });
            self.admin("POST", "/api/v1/namespaces/a/secrets", object).await;
        }
        let named =
            json!({ "verbs": ["*"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"] });
        let roles = [
            (
                "reads-devices",
                vec![rule(&["get", "list"], &["provost.dev"], &["devices"])],
            ),
            ("one-secret", vec![named]),
            ("patches", vec![rule(&["patch", "get"], &[""], &["configmaps"])]),
            ("any-status", vec![rule(&["get"], &["*"], &["*/status"])]),
            (
                "grants",
                vec![
                    rule(
                        &["get", "list", "create", "update", "patch"],
                        &[GROUP],
                        &["roles", "rolebindings", "clusterroles", "clusterrolebindings"],
                    ),
                    rule(&["get", "list"], &["provost.dev"], &["devices"]),
                ],
            ),
            ("grants-anything", vec![rule(&["*"], &[GROUP], &["*"])]),
            ("impersonates", vec![rule(&["impersonate"], &[""], &["users"])]),
            (
                "reviews",
                vec![rule(&["create"], &["authentication.k8s.io"], &["tokenreviews"])],
            ),
        ];
        for (name, rules) in roles {
            let role = json!({ "metadata": { "name": name }, "rules": rules });
            self.admin("POST", &format!("{RBAC}/clusterroles"), role).await;
        }
        let metrics = json!([{ "verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"] }]);
        let role = json!({ "metadata": { "name": "paths" }, "rules": metrics });
        self.admin("POST", &format!("{RBAC}/clusterroles"), role).await;
        let here =
            json!({ "metadata": { "name": "here" }, "rules": [rule(&["get"], &[""], &["configmaps"])] });
        self.admin("POST", &format!("{RBAC}/namespaces/a/roles"), here)
            .await;

        let bot = json!({ "kind": "ServiceAccount", "name": "bot", "namespace": "a" });
        for (name, role, subjects) in [
            ("bob-everywhere", "reads-devices", json!([user("reader")])),
            ("bot-reads", "reads-devices", json!([bot])),
            (
                "mimic",
                "impersonates",
                json!([{ "kind": "ServiceAccount", "name": "mimic", "namespace": "a" }]),
            ),
            ("granter", "grants-anything", json!([user("granter")])),
            ("grants-what-it-has", "grants", json!([user("holder")])),
            ("paths", "paths", json!([user("paths")])),
            ("statuses", "any-status", json!([user("statuses")])),
            ("reviewer", "reviews", json!([user("reviewer")])),
            (
                "ops",
                "cluster-admin",
                json!([{ "apiGroup": GROUP, "kind": "Group", "name": "ops" }]),
            ),
        ] {
            let object = binding(name, "ClusterRole", role, &subjects);
            self.admin("POST", &format!("{RBAC}/clusterrolebindings"), object)
                .await;
        }
        for (name, kind, role, subjects) in [
            ("bob", "ClusterRole", "reads-devices", json!([user("bob")])),
            ("bob-here", "Role", "here", json!([user("bob")])),
            ("one", "ClusterRole", "one-secret", json!([user("one")])),
            ("patcher", "ClusterRole", "patches", json!([user("patcher")])),
            (
                "dangling",
                "ClusterRole",
                "is-not-there",
                json!([user("dangling")]),
            ),
            ("local", "ClusterRole", "grants", json!([user("local")])),
        ] {
            let object = binding(name, kind, role, &subjects);
            self.admin("POST", &format!("{RBAC}/namespaces/a/rolebindings"), object)
                .await;
        }
    }

    async fn tokens(&mut self) {
        let secret = json!({ "boundObjectRef": { "kind": "Secret", "apiVersion": "v1", "name": "key" } });
        for (name, account, spec) in [
            ("bot", "bot", json!({})),
            ("other-audience", "bot", json!({ "audiences": ["vault"] })),
            ("gone", "gone", json!({})),
            ("mimic", "mimic", json!({})),
            ("unlocked", "locked", secret),
        ] {
            let path = format!("/api/v1/namespaces/a/serviceaccounts/{account}/token");
            let answer = self.admin("POST", &path, json!({ "spec": spec })).await;
            let token = answer["status"]["token"].as_str().unwrap().to_owned();
            self.tokens.push((name, token));
            if name == "bot" {
                let audience = answer["spec"]["audiences"][0].as_str().unwrap().to_owned();
                self.peculiarities.push((audience, "AUDIENCE"));
            }
        }
        for path in ["serviceaccounts/gone", "secrets/key"] {
            self.admin("DELETE", &format!("/api/v1/namespaces/a/{path}"), Value::Null)
                .await;
        }
        let mut forged = self.token("bot").to_owned();
        let last = if forged.ends_with("AAAA") { "BBBB" } else { "AAAA" };
        forged.replace_range(forged.len() - 4.., last);
        self.tokens.push(("forged", forged));
        self.tokens.push(("garbage", "garbage".to_owned()));
    }

    fn token(&self, name: &str) -> &str {
        let found = self.tokens.iter().find(|(found, _)| *found == name);
        &found.expect("a token of this name").1
    }

    /// Asks as administrator, and is not refused.
    pub(super) async fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let request = request(method, path, "application/json", &body);
        let (code, answer) = answer(&self.administrator, request.body(bytes(&body)).unwrap()).await;
        assert!(code < 300, "{}: {method} {path}: {answer}", self.name);
        answer
    }

    /// Asks as a case says.
    pub(super) async fn send(&self, case: &Case) -> (u16, Value) {
        let text = case.body.to_string();
        let body: Value = match text.find("TOKEN:") {
            None => case.body.clone(),
            Some(at) => {
                let name: String = text[at + 6..].chars().take_while(|&c| c != '"').collect();
                serde_json::from_str(&text.replace(&format!("TOKEN:{name}"), self.token(&name))).unwrap()
            }
        };
        let mut request = request(case.method, case.path, case.content_type(), &body);
        let mut sender = &self.administrator;
        match &case.who {
            Who::Administrator => {}
            Who::Nobody => sender = &self.nobody,
            Who::User(name, groups) => {
                request = request.header("impersonate-user", *name);
                for group in *groups {
                    request = request.header("impersonate-group", *group);
                }
            }
            Who::Token(name) => {
                sender = &self.nobody;
                request = request.header("authorization", format!("Bearer {}", self.token(name)));
            }
            Who::TokenAs(token, headers) => {
                sender = &self.nobody;
                request = request.header("authorization", format!("Bearer {}", self.token(token)));
                for (name, value) in *headers {
                    request = request.header(*name, *value);
                }
            }
            Who::Headers(headers) => {
                for (name, value) in *headers {
                    if *name == "authorization" {
                        sender = &self.nobody;
                    }
                    request = request.header(*name, *value);
                }
            }
        }
        answer(sender, request.body(bytes(&body)).unwrap()).await
    }
}

fn request(method: &str, path: &str, content_type: &str, body: &Value) -> http::request::Builder {
    let request = http::Request::builder().method(method).uri(path);
    if body.is_null() {
        request
    } else {
        request.header("content-type", content_type)
    }
}

fn bytes(body: &Value) -> Body {
    if body.is_null() {
        Body::empty()
    } else {
        Body::from(body.to_string().into_bytes())
    }
}

async fn answer(client: &Client, request: http::Request<Body>) -> (u16, Value) {
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (
        code,
        serde_json::from_slice(&bytes).unwrap_or(Value::String(text)),
    )
}
