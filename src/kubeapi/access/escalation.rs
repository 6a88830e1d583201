//! Nobody grants what they do not hold: roles and bindings are written only by those who have what they grant, or who
//! may `escalate` or `bind`.

use serde_json::Value;

use super::attributes::{Attributes, OnResource};
use super::index::Index;
use super::rules::{Rule, describe_missing, full_authority, missing, quoted};
use super::user::User;
use crate::kubeapi::error::{ApiError, Subject};
use crate::kubeapi::object;
use crate::kubeapi::registry::BuiltIn;
use crate::kubeapi::verbs::Target;

/// Refuses a role or binding `new`, which replaces `old`, that grants more than `user` has.
///
/// # Errors
/// 403 with what is missing, 404 for a binding of a role that is not there.
pub(super) fn check(
    index: &Index,
    user: &User,
    target: &Target,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if user.is_master() || old.is_some_and(|old| differs_in_upkeep_only(old, new)) {
        return Ok(());
    }
    match target.resource.built_in {
        Some(BuiltIn::ClusterRole | BuiltIn::Role) => check_role(index, user, target, new, old),
        Some(BuiltIn::ClusterRoleBinding | BuiltIn::RoleBinding) => check_binding(index, user, target, new),
        _ => Ok(()),
    }
}

fn check_role(
    index: &Index,
    user: &User,
    target: &Target,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let escalate = Attributes::on("escalate", OnResource::of_target(target));
    if index.decide(user, &escalate).allowed {
        return Ok(());
    }
    confirm(index, user, target, new, &Rule::all(new))?;
    // One that gathers others can gather anything.
    if gathers(new) || old.is_some_and(gathers) {
        let (held, _) = index.rules_for(user, &target.namespace);
        if !missing(&held, &full_authority()).is_empty() {
            let why = "must have cluster-admin privileges to use the aggregationRule".to_owned();
            return Err(forbidden(target, new, why));
        }
    }
    Ok(())
}

fn check_binding(index: &Index, user: &User, target: &Target, new: &Value) -> Result<(), ApiError> {
    let text = |path: &str| object::text_at(new, path);
    let (kind, name) = (text("roleRef.kind"), text("roleRef.name"));
    let plural = match kind {
        "ClusterRole" => "clusterroles",
        "Role" if !target.namespace.is_empty() => "roles",
        // No role can be meant; the rules for bindings refuse it.
        _ => "",
    };
    let group = match text("roleRef.apiGroup") {
        "" => target.resource.group.clone(),
        group => group.to_owned(),
    };
    let bind = Attributes::on(
        "bind",
        OnResource {
            group,
            resource: plural.to_owned(),
            namespace: target.namespace.clone(),
            name: name.to_owned(),
            ..OnResource::default()
        },
    );
    if !plural.is_empty() && index.decide(user, &bind).allowed {
        return Ok(());
    }
    let Some(rules) = index.role(kind, name, &target.namespace) else {
        // Kubernetes names the kind of the request, not that of the role.
        return Err(ApiError::NotFound(Subject {
            name: name.to_owned(),
            ..target.subject()
        }));
    };
    confirm(index, user, target, new, rules)
}

/// Refuses to grant `rules` by one who does not have them.
fn confirm(index: &Index, user: &User, target: &Target, new: &Value, rules: &[Rule]) -> Result<(), ApiError> {
    let (held, unresolved) = index.rules_for(user, &target.namespace);
    let missing = missing(&held, rules);
    if missing.is_empty() {
        return Ok(());
    }
    let (name, groups) = (&user.name, quoted(&user.groups));
    let unresolved = unresolved.map(|errors| format!("; resolution errors: [{errors}]"));
    let why = format!(
        "user {name:?} (groups={groups}) is attempting to grant RBAC permissions not currently held:\n{}{}",
        describe_missing(missing),
        unresolved.unwrap_or_default()
    );
    Err(forbidden(target, new, why))
}

fn forbidden(target: &Target, new: &Value, why: String) -> ApiError {
    let mut subject = target.subject();
    object::text(new, "name").clone_into(&mut subject.name);
    ApiError::Forbidden { subject, why }
}

fn gathers(role: &Value) -> bool {
    let selectors = object::at(role, "aggregationRule.clusterRoleSelectors").and_then(Value::as_array);
    selectors.is_some_and(|selectors| !selectors.is_empty())
}

/// Whether only fields differ that garbage collection needs.
fn differs_in_upkeep_only(old: &Value, new: &Value) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        for field in [
            "ownerReferences",
            "finalizers",
            "managedFields",
            "resourceVersion",
        ] {
            object::set(&mut object, field, None);
        }
        object
    };
    rest(old) == rest(new)
}
