//! Reviews: questions about identity and access that are answered and not kept.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::attributes::{Attributes, On, OnResource};
use super::tokens;
use super::user::User;
use crate::api::schema::FieldError;
use crate::kubeapi::api::Core;
use crate::kubeapi::error::{ApiError, Subject};
use crate::kubeapi::object::{self, text_at};
use crate::kubeapi::registry::BuiltIn;
use crate::kubeapi::verbs::{Answer, Target, Written};

/// Answers a review that `user` asks.
///
/// # Errors
/// When the object is no review of this kind, or asks nothing.
pub(in crate::kubeapi) async fn review(
    core: &Arc<Core>,
    target: &Target,
    user: &User,
    mut review: Value,
) -> Result<Written, ApiError> {
    let resource = &target.resource;
    let wrong = || ApiError::BadRequest(format!("the body is not a {}", resource.kind));
    let kind = review.get("kind").and_then(Value::as_str);
    if kind.is_some_and(|kind| kind != resource.kind) {
        return Err(wrong());
    }
    let fields = review.as_object_mut().ok_or_else(wrong)?;
    fields.insert("apiVersion".to_owned(), json!(resource.api_version()));
    fields.insert("kind".to_owned(), json!(resource.kind));
    fields.entry("metadata").or_insert_with(|| json!({}));
    core.policy.follow(&core.storage).await?;
    let status = match resource.built_in {
        Some(BuiltIn::SelfSubjectReview) => {
            object::set(&mut review, "creationTimestamp", Some(core.time()));
            json!({ "userInfo": describe(user) })
        }
        Some(BuiltIn::SelfSubjectRulesReview) => {
            let status = rules(core, user, &review)?;
            object::put(&mut review, "spec", json!({}));
            status
        }
        Some(BuiltIn::TokenReview) => token(core, &review).await?,
        _ => access(core, target, user, &review)?,
    };
    object::put(&mut review, "status", status);
    Ok(Written {
        code: StatusCode::CREATED,
        object: Answer::Value(review),
        warnings: Vec::new(),
    })
}

/// A user as reviews show one.
fn describe(user: &User) -> Value {
    let mut info = Map::new();
    info.insert("username".to_owned(), json!(user.name));
    for (field, value, empty) in [
        ("uid", json!(user.uid), user.uid.is_empty()),
        ("groups", json!(user.groups), user.groups.is_empty()),
        ("extra", json!(user.extra), user.extra.is_empty()),
    ] {
        if !empty {
            info.insert(field.to_owned(), value);
        }
    }
    Value::Object(info)
}

/// May somebody do something?
fn access(core: &Core, target: &Target, user: &User, review: &Value) -> Result<Value, ApiError> {
    let own = target.resource.built_in == Some(BuiltIn::SelfSubjectAccessReview);
    let local = target.resource.built_in == Some(BuiltIn::LocalSubjectAccessReview);
    let present = |path: &str| object::at(review, path).filter(|attributes| attributes.is_object());
    let (resource, path) = (
        present("spec.resourceAttributes"),
        present("spec.nonResourceAttributes"),
    );
    let groups = object::strings(object::at(review, "spec.groups"));
    let mut errors = Vec::new();
    if resource.is_some() == path.is_some() {
        let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(FieldError::invalid("spec", path.unwrap_or(&Value::Null), detail));
    }
    if !own && text_at(review, "spec.user").is_empty() && groups.is_empty() {
        let detail = "at least one of user or group must be specified";
        errors.push(FieldError::invalid("spec.user", &json!(""), detail));
    }
    if local && let Some(resource) = resource {
        let asked = text_at(resource, "namespace");
        if asked != object::text(review, "namespace") {
            let detail = "must match metadata.namespace";
            let field = "spec.resourceAttributes.namespace";
            errors.push(FieldError::invalid(field, &json!(asked), detail));
        }
    }
    if local && let Some(path) = path {
        let detail = "disallowed on this kind of request";
        errors.push(FieldError::invalid("spec.nonResourceAttributes", path, detail));
    }
    if !errors.is_empty() {
        let subject = Subject {
            group: target.resource.group.clone(),
            kind: target.resource.kind.clone(),
            name: String::new(),
        };
        return Err(ApiError::Invalid { subject, errors });
    }
    if local && object::text(review, "namespace") != target.namespace {
        let namespace = &target.namespace;
        return Err(ApiError::BadRequest(format!(
            "spec.resourceAttributes.namespace must match namespace: {namespace}"
        )));
    }
    let asked = User {
        name: text_at(review, "spec.user").to_owned(),
        groups,
        ..User::default()
    };
    let attributes = match (resource, path) {
        (Some(resource), _) => on_resource(resource),
        (None, path) => Attributes {
            verb: path
                .map(|path| text_at(path, "verb"))
                .unwrap_or_default()
                .to_owned(),
            on: On::Path(
                path.map(|path| text_at(path, "path"))
                    .unwrap_or_default()
                    .to_owned(),
            ),
        },
    };
    let decision = core
        .policy
        .ask(|index| index.decide(if own { user } else { &asked }, &attributes));
    let mut status = json!({ "allowed": decision.allowed });
    if !decision.reason.is_empty() {
        object::put(&mut status, "reason", json!(decision.reason));
    }
    Ok(status)
}

fn on_resource(attributes: &Value) -> Attributes {
    let field = |name: &str| text_at(attributes, name).to_owned();
    Attributes::on(
        text_at(attributes, "verb"),
        OnResource {
            group: field("group"),
            resource: field("resource"),
            subresource: field("subresource"),
            namespace: field("namespace"),
            name: field("name"),
        },
    )
}

/// What may the one who asks do in a namespace?
fn rules(core: &Core, user: &User, review: &Value) -> Result<Value, ApiError> {
    let namespace = text_at(review, "spec.namespace");
    if namespace.is_empty() {
        return Err(ApiError::BadRequest("no namespace on request".to_owned()));
    }
    let (rules, unresolved) = core.policy.ask(|index| index.rules_for(user, namespace));
    let (mut on_resources, mut on_paths) = (Vec::new(), Vec::new());
    for rule in rules {
        let value = rule.to_value();
        if !rule.resources.is_empty() {
            let mut value = value.clone();
            if let Some(fields) = value.as_object_mut() {
                fields.remove("nonResourceURLs");
            }
            on_resources.push(value);
        }
        if !rule.paths.is_empty() {
            on_paths.push(json!({ "verbs": rule.verbs, "nonResourceURLs": rule.paths }));
        }
    }
    let mut status =
        json!({ "resourceRules": on_resources, "nonResourceRules": on_paths, "incomplete": false });
    if let Some(unresolved) = unresolved {
        object::put(&mut status, "evaluationError", json!(unresolved));
    }
    Ok(status)
}

/// Whose is a token?
async fn token(core: &Core, review: &Value) -> Result<Value, ApiError> {
    let token = text_at(review, "spec.token");
    if token.is_empty() {
        return Err(ApiError::BadRequest(
            "token is required for TokenReview in authentication".to_owned(),
        ));
    }
    let mut audiences = object::strings(object::at(review, "spec.audiences"));
    if audiences.is_empty() {
        audiences.push(tokens::ISSUER.to_owned());
    }
    match tokens::verify(core, token, &audiences).await {
        Ok((user, audiences)) => {
            Ok(json!({ "authenticated": true, "user": describe(&user), "audiences": audiences }))
        }
        Err(tokens::Rejection::Failed(error)) => Err(error),
        Err(tokens::Rejection::Invalid) => Ok(json!({ "user": {}, "error": "invalid bearer token" })),
        Err(rejection) => Ok(json!({ "user": {}, "error": format!("[invalid bearer token, {rejection}]") })),
    }
}
