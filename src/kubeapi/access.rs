//! Reviews: questions about identity and access that are answered and not kept.
//!
//! Every authenticated caller of the embedded API is its administrator, so the answers are simple: the administrator may
//! do everything, nobody else may do anything.

use http::StatusCode;
use serde_json::{Value, json};

use super::error::ApiError;
use super::object;
use super::registry::BuiltIn;
use super::verbs::{Answer, Target, Written};

/// The one user.
pub(super) const USER: &str = "provost:admin";
/// The group of administrators, as Kubernetes names it.
pub(super) const ADMINISTRATORS: &str = "system:masters";

/// Answers a review.
///
/// # Errors
/// When the object is no review of this kind.
pub(super) fn review(target: &Target, mut review: Value) -> Result<Written, ApiError> {
    let resource = &target.resource;
    let wrong = || ApiError::BadRequest(format!("the body is not a {}", resource.kind));
    if review
        .get("kind")
        .is_some_and(|found| found.as_str() != Some(&resource.kind))
    {
        return Err(wrong());
    }
    let fields = review.as_object_mut().ok_or_else(wrong)?;
    fields.insert("apiVersion".to_owned(), json!(resource.api_version()));
    fields.insert("kind".to_owned(), json!(resource.kind));
    fields
        .entry("metadata")
        .or_insert_with(|| json!({ "creationTimestamp": null }));
    let status = match resource.built_in {
        Some(BuiltIn::SelfSubjectReview) => {
            json!({ "userInfo": { "username": USER, "groups": [ADMINISTRATORS, "system:authenticated"] } })
        }
        Some(BuiltIn::SelfSubjectRulesReview) => json!({
            "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
            "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
            "incomplete": false,
        }),
        Some(BuiltIn::SelfSubjectAccessReview) => json!({ "allowed": true }),
        _ => {
            let user = object::at(&review, "spec.user").and_then(Value::as_str);
            let groups = object::strings(object::at(&review, "spec.groups"));
            if user == Some(USER) || groups.iter().any(|group| group == ADMINISTRATORS) {
                json!({ "allowed": true })
            } else {
                json!({ "allowed": false, "reason": "only the administrator has access to the embedded API" })
            }
        }
    };
    if let Some(fields) = review.as_object_mut() {
        fields.insert("status".to_owned(), status);
    }
    Ok(Written {
        code: StatusCode::CREATED,
        object: Answer::Value(review),
        warnings: Vec::new(),
    })
}
