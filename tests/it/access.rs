//! Who may do what: one list of requests, each by somebody, sent to the embedded API and to a real API server, which must
//! answer alike; then the same through kubectl.

mod cases;
mod kubectl;
mod server;

use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, EmbeddedApi, summary};
use server::Server;

/// Takes out of an answer what no two servers have in common: uids, times, revisions, credentials and what names them.
fn comparable(mut answer: Value, server: &Server) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for field in [
                    "uid",
                    "creationTimestamp",
                    "resourceVersion",
                    "managedFields",
                    "token",
                    "expirationTimestamp",
                    "extra",
                ] {
                    fields.remove(field);
                }
                // Empty and absent are one to Kubernetes' readers.
                fields.retain(|_, value| !value.is_null());
                fields.values_mut().for_each(walk);
                // In no particular order.
                for field in ["resourceRules", "nonResourceRules"] {
                    if let Some(Value::Array(rules)) = fields.get_mut(field) {
                        rules.sort_by_key(ToString::to_string);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut answer);
    let mut text = answer.to_string();
    for (found, common) in &server.peculiarities {
        text = text.replace(found, common);
    }
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn the_same_requests_by_the_same_people_get_the_same_answers() {
    let Some(plane) = ControlPlane::start("the comparison of access rules with a real API server").await
    else {
        return;
    };
    let embedded = EmbeddedApi::start().await;
    let servers = [
        Server::prepare("embedded", &embedded.kubeconfig()).await,
        Server::prepare("real", &plane.kubeconfig()).await,
    ];
    let mut different = Vec::new();
    let cases = cases::all();
    for case in &cases {
        let [mut ours, mut theirs] = [(0, Value::Null), (0, Value::Null)];
        for (server, answer) in servers.iter().zip([&mut ours, &mut theirs]) {
            let (code, body) = server.send(case).await;
            *answer = (code, comparable(body, server));
        }
        if ours.0 != theirs.0 || case.compared(&ours.1) != case.compared(&theirs.1) {
            different.push(format!(
                "{case}\n  embedded: {} {}\n  real:     {} {}",
                ours.0, ours.1, theirs.0, theirs.1
            ));
        }
    }
    assert!(
        different.is_empty(),
        "{} of {} differ:\n{}",
        different.len(),
        cases.len(),
        different.join("\n")
    );
    assert!(cases.len() >= 40);
    summary(&format!(
        "Access rules: {} requests answered as by {}",
        cases.len(),
        plane.version()
    ));
}

#[tokio::test]
async fn the_roles_of_people_who_work_with_provost_can_do_what_they_say() {
    let embedded = EmbeddedApi::start().await;
    let server = Server::prepare("embedded", &embedded.kubeconfig()).await;
    for role in provost::api::roles::all() {
        let role = serde_json::to_value(role).unwrap();
        server
            .admin("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
            .await;
    }
    for role in ["view", "edit", "admin"] {
        let binding = json!({
            "metadata": { "name": role }, "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": role }],
        });
        server
            .admin(
                "POST",
                "/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings",
                binding,
            )
            .await;
    }
    for (who, verb, resource, allowed) in [
        ("view", "list", "devices", true),
        ("view", "get", "baselines", true),
        ("view", "delete", "devices", false),
        ("view", "patch", "assignments", false),
        ("edit", "watch", "devices", true),
        ("edit", "create", "assignments", true),
        ("edit", "patch", "gitsources", true),
        ("edit", "create", "gitsources", false),
        ("edit", "patch", "devices", true),
        ("edit", "delete", "devices", false),
        ("admin", "delete", "devices", true),
        ("admin", "create", "gitsources", true),
        ("admin", "deletecollection", "baselines", true),
    ] {
        for (namespace, allowed) in [("a", allowed), ("b", false)] {
            let question = json!({ "spec": { "user": who, "resourceAttributes": {
                "verb": verb, "group": "provost.dev", "resource": resource, "namespace": namespace,
            } } });
            let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
            let answer = server.admin("POST", path, question).await;
            assert_eq!(
                answer["status"]["allowed"], allowed,
                "{who} {verb} {resource} in {namespace}: {answer}"
            );
        }
    }
    // People read in the role what it gathers.
    let edit = server
        .admin(
            "GET",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/edit",
            Value::Null,
        )
        .await;
    assert!(edit["rules"].to_string().contains("assignments"), "{edit}");
}
