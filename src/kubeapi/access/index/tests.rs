use serde_json::json;

use super::super::attributes::OnResource;
use super::*;

fn user(name: &str, groups: &[&str]) -> User {
    User {
        name: name.to_owned(),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        ..User::default()
    }
}

fn ask(verb: &str, resource: &str, namespace: &str) -> Attributes {
    Attributes::on(
        verb,
        OnResource {
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            ..OnResource::default()
        },
    )
}

fn role(verbs: &[&str], resource: &str) -> Value {
    json!({ "rules": [{ "apiGroups": [""], "resources": [resource], "verbs": verbs }] })
}

fn binding(kind: &str, role: &str, subjects: &Value) -> Value {
    json!({ "roleRef": { "kind": kind, "name": role }, "subjects": subjects })
}

const ROLE_BINDINGS: &str = RESOURCES[3];

#[test]
fn bindings_reach_users_groups_and_service_accounts_where_they_are() {
    let mut index = Index::default();
    index.put(CLUSTER_ROLES, "", "reader", Some(&role(&["get"], "secrets")));
    index.put(ROLES, "a", "writer", Some(&role(&["update"], "secrets")));
    let everywhere = binding(
        "ClusterRole",
        "reader",
        &json!([{ "kind": "Group", "name": "ops" }]),
    );
    index.put(CLUSTER_ROLE_BINDINGS, "", "ops-read", Some(&everywhere));
    let here = json!([{ "kind": "User", "name": "bob" }, { "kind": "ServiceAccount", "name": "bot" }]);
    index.put(
        ROLE_BINDINGS,
        "a",
        "bob-reads",
        Some(&binding("ClusterRole", "reader", &here)),
    );
    index.put(
        ROLE_BINDINGS,
        "a",
        "bob-writes",
        Some(&binding("Role", "writer", &here)),
    );
    let bot = user("system:serviceaccount:a:bot", &[]);
    for (who, verb, namespace, reason) in [
        (
            user("eve", &["dev", "ops"]),
            "get",
            "b",
            Some(r#"RBAC: allowed by ClusterRoleBinding "ops-read" of ClusterRole "reader" to Group "ops""#),
        ),
        (
            user("bob", &[]),
            "get",
            "a",
            Some(r#"RBAC: allowed by RoleBinding "bob-reads/a" of ClusterRole "reader" to User "bob""#),
        ),
        (
            bot.clone(),
            "update",
            "a",
            Some(r#"RBAC: allowed by RoleBinding "bob-writes/a" of Role "writer" to ServiceAccount "bot/a""#),
        ),
        (user("root", &["system:masters"]), "frob", "z", Some("")),
        (user("bob", &[]), "get", "b", None),
        (user("bob", &[]), "get", "", None),
        (user("bob", &[]), "delete", "a", None),
        (user("eve", &["dev"]), "get", "a", None),
        (user("ops", &[]), "get", "a", None),
        (user("system:serviceaccount:b:bot", &[]), "get", "a", None),
    ] {
        let decision = index.decide(&who, &ask(verb, "secrets", namespace));
        let expected = Decision {
            allowed: reason.is_some(),
            reason: reason.unwrap_or_default().to_owned(),
        };
        assert_eq!(decision, expected, "{who:?} {verb} {namespace}");
    }
    index.put(ROLE_BINDINGS, "a", "bob-writes", None);
    assert!(!index.decide(&bot, &ask("update", "secrets", "a")).allowed);
    assert!(index.decide(&bot, &ask("get", "secrets", "a")).allowed);
    index.put(CLUSTER_ROLES, "", "reader", None);
    let decision = index.decide(&bot, &ask("get", "secrets", "a"));
    assert!(!decision.allowed);
    assert_eq!(
        decision.reason,
        r#"rbac: RBAC: clusterrole.rbac.authorization.k8s.io "reader" not found"#
    );
    index.clear(ROLE_BINDINGS);
    assert_eq!(index.decide(&bot, &ask("get", "secrets", "a")).reason, "");
}

#[test]
fn a_role_gathers_what_other_roles_gather_and_follows_them() {
    let labelled = |mut role: Value, label: &str| {
        role["metadata"] = json!({ "labels": { label: "true" } });
        role
    };
    let gathering = |label: &str| json!({ "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { label: "true" } }] } });
    let mut index = Index::default();
    index.put(CLUSTER_ROLES, "", "admin", Some(&gathering("to-admin")));
    index.put(
        CLUSTER_ROLES,
        "",
        "edit",
        Some(&labelled(gathering("to-edit"), "to-admin")),
    );
    index.put(
        CLUSTER_ROLES,
        "",
        "z",
        Some(&labelled(role(&["get"], "kites"), "to-edit")),
    );
    let rules = index.role("ClusterRole", "admin", "").unwrap();
    assert_eq!(rules, Rule::all(&role(&["get"], "kites")));
    index.put(CLUSTER_ROLES, "", "z", Some(&role(&["get"], "kites")));
    assert!(index.role("ClusterRole", "admin", "").unwrap().is_empty());
    // Two that gather each other come to an end.
    index.put(CLUSTER_ROLES, "", "a", Some(&labelled(gathering("to-b"), "to-a")));
    index.put(CLUSTER_ROLES, "", "b", Some(&labelled(gathering("to-a"), "to-b")));
    assert!(index.role("ClusterRole", "a", "").unwrap().is_empty());
}

#[test]
fn a_question_does_not_look_at_the_bindings_of_others() {
    let mut index = Index::default();
    for number in 0..500 {
        let subjects = json!([{ "kind": "User", "name": format!("user-{number}") }]);
        let one = binding("ClusterRole", "none", &subjects);
        index.put(
            CLUSTER_ROLE_BINDINGS,
            "",
            &format!("binding-{number}"),
            Some(&one),
        );
    }
    assert_eq!(index.grants(&user("user-7", &[]), "").count(), 1);
    assert_eq!(
        index
            .grants(&user("nobody", &["system:authenticated"]), "a")
            .count(),
        0
    );
}
