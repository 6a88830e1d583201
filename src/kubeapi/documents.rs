//! `/openapi/v2` and `/openapi/v3`: the schemas of what is served.
//!
//! Documents are made on request, off the async threads: clients keep them under the hash in the index, which is made
//! once for each set of served resources.

use std::sync::Arc;

use axum::response::Response;
use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::Value;

use super::api::Core;
use super::error::ApiError;
use super::http::json_response;
use super::openapi::{ResourceSchema, ServedResource, v2, v3_group, v3_index};
use super::registry::{Resource, Served};

/// Media types of version 2 beside JSON would be Protobuf's.
const ACCEPTED: &str = "application/json";

/// Answers a path below `/openapi`; `None` for any other.
///
/// # Errors
/// 404 for a group version that is not served, 406 when only Protobuf is accepted.
pub(super) async fn answer(
    core: &Arc<Core>,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<Response>, ApiError> {
    let Some(path) = path.strip_prefix("/openapi/") else {
        return Ok(None);
    };
    let path = path.trim_end_matches('/').to_owned();
    if path == "v2" && !accepts_json(headers) {
        return Err(ApiError::NotAcceptable(ACCEPTED));
    }
    let served = core.registry.served();
    let made = tokio::task::spawn_blocking(move || document(&served, &path)).await;
    let made = made.map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(Some(json_response(
        &made.ok_or(ApiError::NoSuchResource)?,
        ACCEPTED,
    )))
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let Some(accept) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else {
        return true;
    };
    accept.split(',').any(|entry| {
        matches!(
            entry.split(';').next().map(str::trim),
            Some("application/json" | "*/*")
        )
    })
}

fn document(served: &Served, path: &str) -> Option<Value> {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["v2"] => Some(v2(&describe(served))),
        ["v3"] => Some(served.openapi_index(|| v3_index(&describe(served))).clone()),
        ["v3", "api", version] => v3_group(&describe(served), "", version),
        ["v3", "apis", group, version] => v3_group(&describe(served), group, version),
        _ => None,
    }
}

fn describe(served: &Served) -> Vec<ServedResource<'_>> {
    served.all().map(|resource| one(resource)).collect()
}

fn one(resource: &Resource) -> ServedResource<'_> {
    ServedResource {
        group: &resource.group,
        version: &resource.version,
        kind: &resource.kind,
        list_kind: &resource.list_kind,
        plural: &resource.plural,
        namespaced: resource.namespaced,
        has_status: resource.status,
        verbs: resource.verbs(),
        schema: match &resource.properties {
            Some(schema) => ResourceSchema::Custom(schema),
            None => ResourceSchema::Builtin,
        },
    }
}
