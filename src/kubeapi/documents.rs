//! `/openapi/v2` and `/openapi/v3`: the schemas of what is served.
//!
//! Documents are made on request, off the async threads: clients keep them under the hash in the index, which is made
//! once for each set of served resources.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;
use sha2::{Digest as _, Sha512};

use super::api::Core;
use super::error::{ApiError, UNCACHED};
use super::openapi::{ResourceSchema, ServedResource, protobuf, v2, v3_group, v3_index};
use super::registry::{Resource, Served};

/// Answers a path below `/openapi`; `None` for any other. There are no Status documents here: what is not served or not
/// acceptable has an empty body.
///
/// # Errors
/// 404 for a path that only looks like one of these.
pub(super) async fn answer(
    core: &Arc<Core>,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<Response>, ApiError> {
    let Some(path) = path.strip_prefix("/openapi/") else {
        return Ok(None);
    };
    if path != "v2" && path != "v3" && !path.starts_with("v3/") {
        return Err(ApiError::NoSuchPage);
    }
    let path = path.to_owned();
    let is_index = path == "v3";
    let in_protobuf = path == "v2" && accepts(headers, &[protobuf::MEDIA_TYPE, protobuf::ASKED_FOR]);
    if !is_index && !in_protobuf && !accepts_json(headers) {
        return Ok(Some(StatusCode::NOT_ACCEPTABLE.into_response()));
    }
    let served = core.registry.served();
    let made = tokio::task::spawn_blocking(move || {
        let document = document(&served, &path)?;
        let text = if in_protobuf {
            protobuf::encode(&document)
        } else {
            document.to_string().into_bytes()
        };
        let hash = hex::encode_upper(Sha512::digest(&text));
        Some((text, hash))
    });
    let made = made
        .await
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    let Some((text, hash)) = made else {
        return Ok(Some(StatusCode::NOT_FOUND.into_response()));
    };
    let mut response = Response::new(Body::from(text));
    let media_type = if is_index {
        "text/plain; charset=utf-8"
    } else if in_protobuf {
        protobuf::MEDIA_TYPE
    } else {
        "application/json"
    };
    let fixed = response.headers_mut();
    fixed.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    fixed.insert(CACHE_CONTROL, HeaderValue::from_static(UNCACHED));
    if is_index {
        return Ok(Some(response));
    }
    let tag = HeaderValue::try_from(format!("\"{hash}\""));
    let tag = tag.map_err(|error| ApiError::Internal(error.to_string()))?;
    fixed.insert(VARY, HeaderValue::from_static("Accept"));
    fixed.insert(ETAG, tag.clone());
    if headers.get_all(IF_NONE_MATCH).iter().any(|known| *known == tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(CONTENT_TYPE);
    }
    Ok(Some(response))
}

fn accepts_json(headers: &HeaderMap) -> bool {
    !headers.contains_key(ACCEPT) || accepts(headers, &["application/json", "application/*", "*/*"])
}

/// Whether one of the media types is asked for by name.
fn accepts(headers: &HeaderMap, types: &[&str]) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.unwrap_or("").split(',').any(|entry| {
        let media_type = entry.split(';').next().unwrap_or("").trim();
        types.contains(&media_type)
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
