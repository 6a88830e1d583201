//! The list: who asks what.

use std::fmt;

use serde_json::{Value, json};

/// Who asks.
#[derive(Debug, Clone)]
pub(super) enum Who {
    Administrator,
    /// Without a credential.
    Nobody,
    /// Somebody with these groups; the administrator acts as them.
    User(&'static str, &'static [&'static str]),
    /// With a token of this name.
    Token(&'static str),
    /// With a token, and more headers.
    TokenAs(&'static str, &'static [(&'static str, &'static str)]),
    /// The administrator with these headers; without the certificate where one of them is a credential.
    Headers(&'static [(&'static str, &'static str)]),
}

/// How much of two answers must be the same, beside the status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Same {
    /// All of the body.
    Body,
    /// Its `status`.
    Status,
    /// Nothing more.
    Code,
}

pub(super) struct Case {
    pub(super) who: Who,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) body: Value,
    pub(super) same: Same,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            who,
            method,
            path,
            body,
            ..
        } = self;
        write!(f, "{who:?} {method} {path} {body}")
    }
}

impl Case {
    pub(super) fn content_type(&self) -> &'static str {
        if self.method == "PATCH" && self.body.get("apiVersion").is_some() {
            "application/apply-patch+yaml"
        } else if self.method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        }
    }

    pub(super) fn compared(&self, answer: &Value) -> Value {
        match self.same {
            Same::Body => answer.clone(),
            Same::Status => answer["status"].clone(),
            Same::Code => Value::Null,
        }
    }
}

const DEVICES: &str = "/apis/provost.dev/v1alpha1/namespaces/a/devices";

fn ask(who: Who, method: &'static str, path: &'static str) -> Case {
    Case {
        who,
        method,
        path,
        body: Value::Null,
        same: Same::Body,
    }
}

fn write(who: Who, method: &'static str, path: &'static str, body: Value) -> Case {
    Case {
        body,
        ..ask(who, method, path)
    }
}

/// Only the code counts: what is served on the path is another matter.
fn code(case: Case) -> Case {
    Case {
        same: Same::Code,
        ..case
    }
}

fn status(case: Case) -> Case {
    Case {
        same: Same::Status,
        ..case
    }
}

fn user(name: &'static str) -> Who {
    Who::User(name, &[])
}

/// Everything, in an order in which the writes of one do not change the answer to another.
pub(super) fn all() -> Vec<Case> {
    [
        reads(),
        writes(),
        credentials(),
        impersonation(),
        escalation(),
        reviews(),
        tokens(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn reads() -> Vec<Case> {
    let everywhere = "/apis/provost.dev/v1alpha1/devices";
    vec![
        code(ask(user("bob"), "GET", DEVICES)),
        ask(
            user("bob"),
            "GET",
            "/apis/provost.dev/v1alpha1/namespaces/b/devices",
        ),
        ask(user("bob"), "GET", everywhere),
        code(ask(user("reader"), "GET", everywhere)),
        ask(
            user("bob"),
            "GET",
            "/apis/provost.dev/v1alpha1/namespaces/a/devices?watch=true&timeoutSeconds=1",
        ),
        ask(
            user("bob"),
            "GET",
            "/apis/provost.dev/v1alpha1/namespaces/a/devices/x/status",
        ),
        ask(
            user("bob"),
            "GET",
            "/apis/provost.dev/v1alpha1/namespaces/a/devices/x",
        ),
        ask(
            user("statuses"),
            "GET",
            "/apis/provost.dev/v1alpha1/namespaces/a/devices/x/status",
        ),
        ask(
            user("statuses"),
            "GET",
            "/apis/provost.dev/v1alpha1/namespaces/a/devices/x",
        ),
        ask(
            user("bob"),
            "GET",
            "/apis/provost.dev/v1alpha1/namespaces/a/baselines",
        ),
        ask(user("bob"), "GET", "/api/v1/namespaces/a/secrets/one"),
        ask(user("bob"), "GET", "/api/v1/namespaces/a/configmaps/none"),
        ask(user("bob"), "GET", "/api/v1/namespaces"),
        ask(user("bob"), "GET", "/api/v1/namespaces/a"),
        ask(user("bob"), "GET", "/api/v1/namespaces/a/frobs"),
        ask(user("bob"), "GET", "/apis/nothing.example.org/v1/frobs/x/y"),
        code(ask(user("one"), "GET", "/api/v1/namespaces/a/secrets/one")),
        ask(user("one"), "GET", "/api/v1/namespaces/a/secrets/two"),
        ask(user("one"), "GET", "/api/v1/namespaces/a/secrets"),
        code(ask(
            user("one"),
            "GET",
            "/api/v1/namespaces/a/secrets?fieldSelector=metadata.name%3Done",
        )),
        ask(
            user("one"),
            "GET",
            "/api/v1/namespaces/a/secrets?fieldSelector=metadata.name%3Dtwo",
        ),
        ask(
            user("one"),
            "GET",
            "/api/v1/namespaces/a/secrets?fieldSelector=metadata.name!%3Done",
        ),
        ask(user("dangling"), "GET", "/api/v1/namespaces/a/secrets"),
        ask(user("<b>&\"quoted\""), "GET", "/api/v1/secrets"),
        code(ask(
            Who::User("eve", &["ops"]),
            "GET",
            "/api/v1/namespaces/a/secrets",
        )),
        code(ask(
            Who::User("eve", &["system:masters"]),
            "GET",
            "/api/v1/secrets",
        )),
        code(ask(user("bob"), "GET", "/apis")),
        code(ask(user("bob"), "GET", "/openapi/v3")),
        code(ask(user("bob"), "GET", "/version")),
        ask(user("bob"), "GET", "/metrics"),
        ask(user("bob"), "GET", "/"),
        ask(user("paths"), "GET", "/logsx"),
        ask(user("paths"), "POST", "/metrics"),
    ]
}

fn writes() -> Vec<Case> {
    let map = |name: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
    vec![
        write(user("bob"), "POST", "/api/v1/namespaces/a/configmaps", map("x")),
        write(user("bob"), "PUT", "/api/v1/namespaces/a/configmaps/x", map("x")),
        ask(
            user("bob"),
            "DELETE",
            "/apis/provost.dev/v1alpha1/namespaces/a/devices/x",
        ),
        ask(user("bob"), "DELETE", DEVICES),
        write(
            user("one"),
            "POST",
            "/api/v1/namespaces/a/secrets",
            json!({ "metadata": { "name": "one" } }),
        ),
        ask(
            user("one"),
            "DELETE",
            "/api/v1/namespaces/a/secrets?fieldSelector=metadata.name%3Done",
        ),
        // An apply that would create needs both verbs.
        write(
            user("patcher"),
            "PATCH",
            "/api/v1/namespaces/a/configmaps/applied?fieldManager=test",
            map("applied"),
        ),
        write(
            user("patcher"),
            "PATCH",
            "/api/v1/namespaces/a/configmaps/none",
            json!({ "data": {} }),
        ),
        write(
            user("patcher"),
            "PATCH",
            "/api/v1/namespaces/b/configmaps/none",
            json!({ "data": {} }),
        ),
    ]
}

fn credentials() -> Vec<Case> {
    vec![
        ask(Who::Nobody, "GET", "/api/v1/namespaces/a/secrets"),
        ask(Who::Nobody, "GET", "/apis/provost.dev/v1alpha1/devices"),
        ask(Who::Nobody, "GET", "/api"),
        code(ask(Who::Nobody, "GET", "/healthz")),
        code(ask(Who::Nobody, "GET", "/livez")),
        code(ask(Who::Nobody, "GET", "/readyz")),
        code(ask(Who::Nobody, "GET", "/version")),
        ask(Who::Nobody, "DELETE", DEVICES),
        ask(Who::Token("garbage"), "GET", "/api/v1/namespaces/a/secrets"),
        ask(Who::Token("garbage"), "GET", "/healthz"),
        ask(Who::Token("forged"), "GET", DEVICES),
        ask(Who::Token("other-audience"), "GET", DEVICES),
        ask(Who::Token("gone"), "GET", DEVICES),
        ask(Who::Token("unlocked"), "GET", DEVICES),
        code(ask(Who::Token("bot"), "GET", DEVICES)),
        ask(Who::Token("bot"), "DELETE", DEVICES),
        ask(Who::Token("bot"), "GET", "/api/v1/namespaces/a/secrets"),
        ask(
            Who::Headers(&[("authorization", "Basic Ym9iOmJvYg==")]),
            "GET",
            DEVICES,
        ),
        ask(Who::Headers(&[("authorization", "Bearer ")]), "GET", DEVICES),
        ask(Who::Headers(&[("authorization", "Bearer a.b.c")]), "GET", DEVICES),
    ]
}

fn impersonation() -> Vec<Case> {
    let helper: &[(&str, &str)] = &[("impersonate-user", "bob")];
    vec![
        // A service account that may not.
        ask(Who::TokenAs("bot", helper), "GET", DEVICES),
        ask(
            Who::TokenAs("bot", &[("impersonate-user", "system:serviceaccount:a:default")]),
            "GET",
            DEVICES,
        ),
        ask(
            Who::TokenAs("bot", &[("impersonate-user", "system:node:n")]),
            "GET",
            DEVICES,
        ),
        ask(
            Who::TokenAs(
                "bot",
                &[
                    ("impersonate-user", "bob"),
                    ("impersonate-group", "system:masters"),
                ],
            ),
            "GET",
            DEVICES,
        ),
        ask(
            Who::TokenAs("bot", &[("impersonate-user", "bob")]),
            "GET",
            "/metrics",
        ),
        // One that may become any user, but no group and no service account. A real server tries the way first that led
        // somebody to a goal before, and so names another lack afterwards: what fails comes first.
        ask(
            Who::TokenAs(
                "mimic",
                &[("impersonate-user", "bob"), ("impersonate-group", "ops")],
            ),
            "GET",
            DEVICES,
        ),
        ask(
            Who::TokenAs("mimic", &[("impersonate-user", "bob"), ("impersonate-uid", "1")]),
            "GET",
            DEVICES,
        ),
        ask(
            Who::TokenAs(
                "mimic",
                &[("impersonate-user", "bob"), ("impersonate-extra-a", "b")],
            ),
            "GET",
            DEVICES,
        ),
        ask(
            Who::TokenAs("mimic", &[("impersonate-user", "system:serviceaccount:a:bot")]),
            "GET",
            DEVICES,
        ),
        code(ask(Who::TokenAs("mimic", helper), "GET", DEVICES)),
        ask(Who::TokenAs("mimic", helper), "DELETE", DEVICES),
        ask(
            Who::TokenAs("mimic", &[("impersonate-user", "system:anonymous")]),
            "GET",
            DEVICES,
        ),
        // No groups of their own choice come with the service account's user name.
        code(ask(user("system:serviceaccount:a:bot"), "GET", DEVICES)),
        ask(user("system:serviceaccount:b:bot"), "GET", DEVICES),
        ask(user("system:anonymous"), "GET", DEVICES),
        code(ask(Who::Headers(&[("impersonate-group", "ops")]), "GET", DEVICES)),
        code(ask(
            Who::Headers(&[("impersonate-extra-scopes", "x")]),
            "GET",
            DEVICES,
        )),
        code(ask(Who::Headers(&[("impersonate-uid", "x")]), "GET", DEVICES)),
    ]
}

fn role(name: &str, verbs: &[&str], group: &str, resource: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "rules": [{ "verbs": verbs, "apiGroups": [group], "resources": [resource] }],
    })
}

fn binding(name: &str, kind: &str, role: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "somebody" }],
    })
}

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/a/roles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings";
const CLUSTER_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const CLUSTER_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

fn escalation() -> Vec<Case> {
    let devices = |name: &str, verbs: &[&str]| role(name, verbs, "provost.dev", "devices");
    let local = |path, body| write(user("local"), "POST", path, body);
    let mixed = json!({ "metadata": { "name": "mixed" }, "rules": [
        { "verbs": ["get", "list", "watch"], "apiGroups": ["", "provost.dev"], "resources": ["secrets", "devices"] },
        { "verbs": ["update"], "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["x", "y"] },
    ] });
    let mut cases = vec![
        ask(user("bob"), "GET", ROLES),
        local(ROLES, devices("held", &["get"])),
        local(ROLES, devices("more", &["get", "delete"])),
        local(ROLES, mixed),
        local(CLUSTER_ROLES, devices("more", &["get"])),
        local(BINDINGS, binding("held", "ClusterRole", "reads-devices")),
        local(BINDINGS, binding("admin", "ClusterRole", "cluster-admin")),
        local(BINDINGS, binding("none", "ClusterRole", "nothing-there")),
        local(BINDINGS, binding("none", "Role", "nothing-there")),
        write(
            user("local"),
            "PATCH",
            "/apis/rbac.authorization.k8s.io/v1/namespaces/a/roles/here",
            json!({ "rules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }] }),
        ),
    ];
    let gathering = json!({
        "metadata": { "name": "gathers" }, "rules": null,
        "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { "x": "y" } }] },
    });
    let holder = |path, body| write(user("holder"), "POST", path, body);
    let granter = |path, body| write(user("granter"), "POST", path, body);
    cases.extend([
        holder(CLUSTER_ROLES, devices("held", &["list"])),
        holder(CLUSTER_ROLES, role("all", &["*"], "*", "*")),
        holder(CLUSTER_ROLES, gathering.clone()),
        holder(CLUSTER_BINDINGS, binding("all", "ClusterRole", "cluster-admin")),
        // Who may do anything to roles may escalate and bind as well.
        granter(CLUSTER_ROLES, gathering),
        granter(
            CLUSTER_BINDINGS,
            binding("granted", "ClusterRole", "cluster-admin"),
        ),
        write(
            user("bob"),
            "POST",
            CLUSTER_BINDINGS,
            binding("x", "ClusterRole", "cluster-admin"),
        ),
    ]);
    cases
}

fn reviews() -> Vec<Case> {
    let own = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let of = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let local = "/apis/authorization.k8s.io/v1/namespaces/a/localsubjectaccessreviews";
    let rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let question = |verb: &str, namespace: &str| {
        json!({ "spec": { "resourceAttributes": {
            "verb": verb, "group": "provost.dev", "resource": "devices", "namespace": namespace,
        } } })
    };
    let about = |name: &str, namespace: &str| {
        let mut question = question("list", namespace);
        question["spec"]["user"] = json!(name);
        question
    };
    let path = json!({ "spec": { "nonResourceAttributes": { "verb": "get", "path": "/openapi/v3" } } });
    let both = json!({ "spec": {
        "user": "bob", "nonResourceAttributes": { "verb": "get", "path": "/" },
        "resourceAttributes": { "verb": "get", "resource": "secrets" },
    } });
    let mut elsewhere = about("bob", "b");
    elsewhere["metadata"] = json!({ "namespace": "a" });
    let mut here = about("bob", "a");
    here["metadata"] = json!({ "namespace": "a" });
    vec![
        write(user("bob"), "POST", own, question("list", "a")),
        write(user("bob"), "POST", own, question("list", "b")),
        write(user("bob"), "POST", own, path),
        write(user("reader"), "POST", own, question("get", "b")),
        write(user("dangling"), "POST", own, question("get", "a")),
        write(Who::Token("bot"), "POST", own, question("get", "a")),
        write(Who::User("eve", &["ops"]), "POST", own, question("frob", "z")),
        write(Who::Administrator, "POST", own, question("frob", "z")),
        write(Who::Nobody, "POST", own, question("list", "a")),
        write(user("bob"), "POST", of, about("bob", "a")),
        write(Who::Administrator, "POST", of, about("bob", "a")),
        write(
            Who::Administrator,
            "POST",
            of,
            about("system:serviceaccount:a:bot", "b"),
        ),
        write(Who::Administrator, "POST", of, about("nobody", "a")),
        code(write(Who::Administrator, "POST", of, question("list", "a"))),
        code(write(Who::Administrator, "POST", of, both)),
        code(write(
            Who::Administrator,
            "POST",
            of,
            json!({ "spec": { "user": "bob" } }),
        )),
        status(write(Who::Administrator, "POST", local, here)),
        code(write(Who::Administrator, "POST", local, elsewhere)),
        status(write(
            user("one"),
            "POST",
            rules,
            json!({ "spec": { "namespace": "b" } }),
        )),
        ask(user("one"), "GET", own),
        write(user("bob"), "POST", rules, json!({ "spec": {} })),
        write(Who::User("bob", &["dev"]), "POST", whoami, json!({})),
        write(Who::Token("bot"), "POST", whoami, json!({})),
        write(Who::Nobody, "POST", whoami, json!({})),
    ]
}

fn tokens() -> Vec<Case> {
    let review = "/apis/authentication.k8s.io/v1/tokenreviews";
    let token = |name: &str| json!({ "spec": { "token": format!("TOKEN:{name}") } });
    let path = "/api/v1/namespaces/a/serviceaccounts/bot/token";
    let mut vault = token("other-audience");
    vault["spec"]["audiences"] = json!(["vault", "other"]);
    let mut wrong = token("bot");
    wrong["spec"]["audiences"] = json!(["vault"]);
    vec![
        status(write(user("reviewer"), "POST", review, token("bot"))),
        status(write(user("reviewer"), "POST", review, token("garbage"))),
        status(write(user("reviewer"), "POST", review, vault)),
        status(write(user("reviewer"), "POST", review, wrong)),
        status(write(user("reviewer"), "POST", review, token("gone"))),
        status(write(user("reviewer"), "POST", review, token("unlocked"))),
        write(user("reviewer"), "POST", review, json!({ "spec": {} })),
        write(user("bob"), "POST", review, token("bot")),
        write(user("bob"), "POST", path, json!({})),
        write(
            Who::Administrator,
            "POST",
            path,
            json!({ "spec": { "expirationSeconds": 900, "audiences": ["x"] } }),
        ),
        write(
            Who::Administrator,
            "POST",
            path,
            json!({ "spec": { "expirationSeconds": 599, "audiences": ["x"] } }),
        ),
        write(
            Who::Administrator,
            "POST",
            "/api/v1/namespaces/a/serviceaccounts/none/token",
            json!({}),
        ),
        write(
            Who::Administrator,
            "POST",
            path,
            json!({ "spec": { "boundObjectRef": { "kind": "Secret", "apiVersion": "v1", "name": "none" } } }),
        ),
        write(
            Who::Administrator,
            "POST",
            path,
            json!({ "spec": { "boundObjectRef": { "kind": "ConfigMap", "apiVersion": "v1", "name": "none" } } }),
        ),
        code(ask(Who::Administrator, "GET", path)),
    ]
}
