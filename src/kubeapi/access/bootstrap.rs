//! What is there from the start: the roles every Kubernetes API has, as far as they concern what is served here, and a
//! service account `default` in each namespace.

use std::sync::Arc;

use serde_json::{Value, json};

use super::rules::{Rule, missing};
use crate::kubeapi::api::{Core, parse};
use crate::kubeapi::error::ApiError;
use crate::kubeapi::object;
use crate::kubeapi::registry::resource::VERBS as READ_WRITE;
use crate::kubeapi::registry::{BuiltIn, RBAC};
use crate::kubeapi::storage::PageRequest;
use crate::kubeapi::verbs::{Part, Target, create_built_in, rewrite};

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
/// Where it is not `true`, an administrator has taken the role over.
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

fn on(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Value {
    json!({ "apiGroups": groups, "resources": resources, "verbs": verbs })
}

fn paths(verbs: &[&str], paths: &[&str]) -> Value {
    json!({ "nonResourceURLs": paths, "verbs": verbs })
}

fn named(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": kind,
        "metadata": {
            "name": name, "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
            "annotations": { AUTO_UPDATE: "true" },
        },
    })
}

fn role(name: &str, rules: Value) -> Value {
    let mut role = named("ClusterRole", name);
    object::put(&mut role, "rules", rules);
    role
}

/// A part of `admin`, `edit` or `view`.
fn part(of: &str, rules: Value) -> Value {
    labelled(role(&format!("system:aggregate-to-{of}"), rules), of)
}

/// A role that gathers its parts, and is itself a part of the next.
fn gathering(name: &str, part_of: Option<&str>) -> Value {
    let mut role = named("ClusterRole", name);
    let selector = json!({ "matchLabels": { format!("{RBAC}/aggregate-to-{name}"): "true" } });
    object::put(
        &mut role,
        "aggregationRule",
        json!({ "clusterRoleSelectors": [selector] }),
    );
    match part_of {
        Some(other) => labelled(role, other),
        None => role,
    }
}

fn labelled(mut role: Value, part_of: &str) -> Value {
    let labels = object::metadata_mut(&mut role).and_then(|metadata| metadata.get_mut("labels"));
    if let Some(labels) = labels {
        object::put(labels, &format!("{RBAC}/aggregate-to-{part_of}"), json!("true"));
    }
    role
}

/// The ClusterRoles.
fn roles() -> Vec<Value> {
    let health = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let discovery = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ];
    let (authentication, authorization) = ("authentication.k8s.io", "authorization.k8s.io");
    vec![
        role(
            "cluster-admin",
            json!([on(&["*"], &["*"], &["*"]), paths(&["*"], &["*"])]),
        ),
        role("system:discovery", json!([paths(&["get"], &discovery)])),
        role("system:public-info-viewer", json!([paths(&["get"], &health)])),
        role(
            "system:basic-user",
            json!([
                on(
                    &["create"],
                    &[authorization],
                    &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
                ),
                on(&["create"], &[authentication], &["selfsubjectreviews"]),
            ]),
        ),
        gathering("admin", None),
        gathering("edit", Some("admin")),
        gathering("view", Some("edit")),
        part(
            "admin",
            json!([
                on(&["create"], &[authorization], &["localsubjectaccessreviews"]),
                on(READ_WRITE, &[RBAC], &["rolebindings", "roles"]),
            ]),
        ),
        part(
            "edit",
            json!([
                on(READ, &[""], &["secrets"]),
                on(&["impersonate"], &[""], &["serviceaccounts"]),
                on(WRITE, &[""], &["configmaps", "secrets", "serviceaccounts"]),
                on(&["create"], &[""], &["serviceaccounts/token"]),
                on(WRITE, &["", "events.k8s.io"], &["events"]),
                on(READ_WRITE, &["coordination.k8s.io"], &["leases"]),
            ]),
        ),
        part(
            "view",
            json!([
                on(READ, &[""], &["configmaps", "serviceaccounts"]),
                on(READ, &[""], &["namespaces/status"]),
                on(READ, &[""], &["namespaces"]),
                on(READ, &["", "events.k8s.io"], &["events"]),
            ]),
        ),
    ]
}

/// The ClusterRoleBindings, each of the role of its name.
fn bindings() -> Vec<Value> {
    let bind = |name: &str, groups: &[&str]| {
        let mut binding = named("ClusterRoleBinding", name);
        let subjects = groups
            .iter()
            .map(|group| json!({ "apiGroup": RBAC, "kind": "Group", "name": group }));
        object::put(&mut binding, "subjects", subjects.collect());
        let role = json!({ "apiGroup": RBAC, "kind": "ClusterRole", "name": name });
        object::put(&mut binding, "roleRef", role);
        binding
    };
    let (known, unknown) = ("system:authenticated", "system:unauthenticated");
    vec![
        bind("cluster-admin", &["system:masters"]),
        bind("system:basic-user", &[known]),
        bind("system:discovery", &[known]),
        bind("system:public-info-viewer", &[known, unknown]),
    ]
}

/// Makes what is missing, and gives roles that are kept up to date what they lack.
///
/// # Errors
/// When the database fails.
pub(in crate::kubeapi) async fn prepare(core: &Arc<Core>) -> Result<(), ApiError> {
    // Together, so that they share a transaction.
    let all = roles().into_iter().map(|role| (BuiltIn::ClusterRole, role));
    let all = all.chain(
        bindings()
            .into_iter()
            .map(|binding| (BuiltIn::ClusterRoleBinding, binding)),
    );
    futures::future::try_join_all(all.map(|(kind, object)| ensure(core, kind, object))).await?;
    gather(core).await?;
    let names = namespaces(core).await?;
    futures::future::try_join_all(names.iter().map(|name| default_account(core, name))).await?;
    Ok(())
}

async fn ensure(core: &Arc<Core>, kind: BuiltIn, object: Value) -> Result<(), ApiError> {
    let wanted = object.clone();
    match create_built_in(core, kind, object).await {
        Ok(_) => return Ok(()),
        Err(ApiError::AlreadyExists(_)) => {}
        Err(error) => return Err(error),
    }
    let Some(target) = target(core, kind, object::text(&wanted, "name")) else {
        return Ok(());
    };
    let found = core.load(&target.resource, "", &target.name).await?;
    if found.is_some_and(|(found, _)| is_kept_up(&found) && !is_complete(&found, &wanted)) {
        rewrite(core, &target, |object| complete(object, &wanted)).await?;
    }
    Ok(())
}

fn target(core: &Core, kind: BuiltIn, name: &str) -> Option<Target> {
    let served = core.registry.served();
    let resource = served.all().find(|resource| resource.built_in == Some(kind))?;
    Some(Target {
        resource: Arc::clone(resource),
        namespace: String::new(),
        name: name.to_owned(),
        part: Part::Main,
    })
}

fn is_kept_up(object: &Value) -> bool {
    let annotations = object::metadata(object).and_then(|metadata| metadata.get("annotations"));
    annotations.and_then(|annotations| annotations.get(AUTO_UPDATE)?.as_str()) == Some("true")
}

fn subjects(binding: &Value) -> &[Value] {
    binding
        .get("subjects")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn is_complete(found: &Value, wanted: &Value) -> bool {
    let gathers = wanted.get("aggregationRule").is_some();
    (gathers || missing(&Rule::all(found), &Rule::all(wanted)).is_empty())
        && subjects(wanted)
            .iter()
            .all(|subject| subjects(found).contains(subject))
}

/// Adds what is missing; what was added by others stays.
fn complete(found: &mut Value, wanted: &Value) {
    let mut rules: Vec<Value> = Rule::all(found).iter().map(Rule::to_value).collect();
    rules.extend(
        missing(&Rule::all(found), &Rule::all(wanted))
            .iter()
            .map(Rule::to_value),
    );
    if !rules.is_empty() {
        object::put(found, "rules", Value::Array(rules));
    }
    let mut all = subjects(found).to_vec();
    for subject in subjects(wanted) {
        if !all.contains(subject) {
            all.push(subject.clone());
        }
    }
    if !all.is_empty() {
        object::put(found, "subjects", Value::Array(all));
    }
}

/// Stores the rules of roles that gather others, for people to read.
///
/// # Errors
/// When the database fails.
pub(super) async fn gather(core: &Arc<Core>) -> Result<(), ApiError> {
    core.policy.follow(&core.storage).await?;
    let gathering: Vec<(String, Vec<Rule>)> = core.policy.ask(|index| {
        let gathering = index.gathering();
        gathering
            .map(|(name, rules)| (name.to_owned(), rules.to_vec()))
            .collect()
    });
    for (name, rules) in gathering {
        let Some(target) = target(core, BuiltIn::ClusterRole, &name) else {
            continue;
        };
        let written = rewrite(core, &target, |role| {
            let rules = rules.iter().map(Rule::to_value).collect();
            object::put(role, "rules", rules);
        });
        match written.await {
            Ok(_) | Err(ApiError::NotFound(_) | ApiError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes the service account `default` of a namespace.
///
/// # Errors
/// When the database fails.
pub(super) async fn default_account(core: &Arc<Core>, namespace: &str) -> Result<(), ApiError> {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default", "namespace": namespace },
    });
    match create_built_in(core, BuiltIn::ServiceAccount, account).await {
        // The namespace may be on its way out.
        Ok(_) | Err(ApiError::AlreadyExists(_) | ApiError::NotFound(_) | ApiError::Forbidden { .. }) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn namespaces(core: &Core) -> Result<Vec<String>, ApiError> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest {
            resource: "namespaces".into(),
            namespace: None,
            after,
            limit: 500,
            filter: None,
        };
        let page = core.storage.page(request).await?;
        for row in &page.rows {
            let namespace = parse(row)?;
            if !object::is_terminating(&namespace) {
                names.push(row.name.clone());
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(names);
        }
    }
}
