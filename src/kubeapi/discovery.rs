//! What clients ask before anything else: versions, groups, resources.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::api::Core;
use super::error::ApiError;
use super::http::{json_response, nothing_in};
use super::negotiate::{ACCEPTED, Discovery};
use super::object;
use super::registry::{BuiltIn, Resource, Served};

const JSON: &str = "application/json";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
/// The Kubernetes version whose API this one follows: major, minor, the whole, the oldest minor it would run beside.
const VERSION: (&str, &str, &str, &str) = ("1", "37", "v1.37.0+provost", "36");

/// Answers a path that is not about objects; `None` when it is.
///
/// # Errors
/// 404 for groups that are not served, 405 and 406 where the path has its own mind about methods and media types.
pub(super) fn answer(
    core: &Arc<Core>,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<Response>, ApiError> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    let get_only = match segments.as_slice() {
        ["" | "apis"] => false,
        ["api" | "version"] | ["api", _] => true,
        ["apis", group] | ["apis", group, _] => BuiltIn::has_group(group),
        _ => return Ok(None),
    };
    if get_only && method != Method::GET {
        return Err(ApiError::MethodNotAllowed);
    }
    let served = core.registry.served();
    let has_aggregated = matches!(segments.as_slice(), ["api" | "apis"]);
    let asked = match segments.as_slice() {
        ["version"] => Discovery::negotiate_json(headers)?,
        // The list of groups has no representations to name.
        ["apis"] => Discovery::negotiate(headers, true).map_err(|_| ApiError::NotAcceptable(ACCEPTED))?,
        _ => Discovery::negotiate(headers, has_aggregated)?,
    };
    if asked == Discovery::Aggregated {
        let legacy = segments.as_slice() == ["api"];
        return aggregated_response(&served, headers, |group| group.is_empty() == legacy).map(Some);
    }
    let body = match segments.as_slice() {
        ["api"] => json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1" }],
        }),
        ["apis"] => {
            let groups: Vec<_> = groups(&served).map(|group| group_of(&served, group)).collect();
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
        }
        ["api", version] => resource_list(&served, "", version)?,
        ["apis", group] => {
            if group.is_empty() || !served.groups().contains_key(*group) {
                return Err(nothing_in(group));
            }
            let mut body = group_of(&served, group);
            object::put(&mut body, "kind", json!("APIGroup"));
            object::put(&mut body, "apiVersion", json!("v1"));
            body
        }
        ["apis", group, version] => resource_list(&served, group, version)?,
        ["version"] => version(),
        _ => json!({ "paths": paths(&served) }),
    };
    Ok(Some(json_response(&body, JSON)))
}

fn version() -> Value {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "major": VERSION.0, "minor": VERSION.1, "gitVersion": VERSION.2, "gitCommit": "", "gitTreeState": "",
        "emulationMajor": VERSION.0, "emulationMinor": VERSION.1, "minCompatibilityMajor": VERSION.0,
        "minCompatibilityMinor": VERSION.3, "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{architecture}", std::env::consts::OS),
    })
}

fn paths(served: &Served) -> Vec<String> {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for (group, versions) in served.groups().iter().filter(|(group, _)| !group.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.extend(
            versions
                .iter()
                .map(|(version, _)| format!("/apis/{group}/{version}")),
        );
    }
    for path in [
        "/healthz",
        "/livez",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ] {
        paths.push(path.to_owned());
    }
    paths
}

fn groups(served: &Served) -> impl Iterator<Item = &str> {
    served
        .groups()
        .keys()
        .map(String::as_str)
        .filter(|group| !group.is_empty())
}

fn group_of(served: &Served, group: &str) -> Value {
    let versions = served.groups().get(group).map(Vec::as_slice).unwrap_or_default();
    let versions: Vec<_> = versions
        .iter()
        .map(|(version, _)| json!({ "groupVersion": format!("{group}/{version}"), "version": version }))
        .collect();
    let preferred = versions.first().cloned().unwrap_or_default();
    json!({ "name": group, "versions": versions, "preferredVersion": preferred })
}

fn resource_list(served: &Served, group: &str, version: &str) -> Result<Value, ApiError> {
    let versions = served.groups().get(group).ok_or_else(|| nothing_in(group))?;
    let (_, members) = versions
        .iter()
        .find(|(found, _)| found == version)
        .ok_or_else(|| nothing_in(group))?;
    let mut resources = Vec::new();
    for resource in members {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": resource.verbs(),
        });
        if !resource.short_names.is_empty() {
            object::put(&mut entry, "shortNames", json!(resource.short_names));
        }
        if !resource.categories.is_empty() {
            object::put(&mut entry, "categories", json!(resource.categories));
        }
        if resource.is_stored() {
            object::put(
                &mut entry,
                "storageVersionHash",
                json!(storage_version_hash(resource)),
            );
        }
        resources.push(entry);
        for (name, kind, group, verbs) in subresources(resource) {
            let mut entry = json!({
                "name": format!("{}/{name}", resource.plural), "singularName": "", "namespaced": resource.namespaced,
                "kind": kind, "verbs": verbs,
            });
            if let Some((group, version)) = group {
                object::put(&mut entry, "group", json!(group));
                object::put(&mut entry, "version", json!(version));
            }
            resources.push(entry);
        }
    }
    let version = super::registry::resource::api_version(group, version);
    let mut list = json!({ "kind": "APIResourceList", "groupVersion": version, "resources": resources });
    if !group.is_empty() {
        // The core group is older than the field.
        object::put(&mut list, "apiVersion", json!("v1"));
    }
    Ok(list)
}

/// A short name for the version that objects are stored in. Custom resources and the built-in kinds give their own, but for
/// definitions, whose stored version is older.
fn storage_version_hash(resource: &Resource) -> String {
    let stored = match resource.built_in {
        Some(BuiltIn::Definition) => "apiextensions.k8s.io/v1beta1".to_owned(),
        _ if resource.stored_as.contains('/') => resource.stored_as.clone(),
        _ => format!("/{}", resource.stored_as),
    };
    let digest = Sha256::digest(format!("{stored}/{}", resource.kind));
    STANDARD.encode(digest.get(..8).unwrap_or_default())
}

const SUBRESOURCE_VERBS: &[&str] = &["get", "patch", "update"];

/// Name, kind and, where it differs, group and version of each subresource; its verbs.
type Subresource<'a> = (
    &'static str,
    &'a str,
    Option<(&'static str, &'static str)>,
    &'static [&'static str],
);

fn subresources(resource: &Resource) -> Vec<Subresource<'_>> {
    let kind = resource.kind.as_str();
    let finalize = (resource.built_in == Some(BuiltIn::Namespace)).then_some((
        "finalize",
        kind,
        None,
        ["update"].as_slice(),
    ));
    let status = resource
        .status
        .then_some(("status", kind, None, SUBRESOURCE_VERBS));
    let scale = resource.scale.is_some().then_some((
        "scale",
        "Scale",
        Some(("autoscaling", "v1")),
        SUBRESOURCE_VERBS,
    ));
    let token = (resource.built_in == Some(BuiltIn::ServiceAccount)).then_some((
        "token",
        "TokenRequest",
        Some(("authentication.k8s.io", "v1")),
        ["create"].as_slice(),
    ));
    finalize
        .into_iter()
        .chain(status)
        .chain(scale)
        .chain(token)
        .collect()
}

/// The aggregated document under its hash, which clients send back to be told that nothing has changed.
fn aggregated_response(
    served: &Served,
    headers: &HeaderMap,
    wanted: impl Fn(&str) -> bool,
) -> Result<Response, ApiError> {
    let items: Vec<_> = served
        .groups()
        .iter()
        .filter(|(group, _)| wanted(group))
        .map(|(group, versions)| {
            let metadata = if group.is_empty() {
                json!({})
            } else {
                json!({ "name": group })
            };
            let versions: Vec<_> = versions
                .iter()
                .map(|(version, members)| {
                    let resources: Vec<_> = members
                        .iter()
                        .map(|resource| aggregated_resource(resource))
                        .collect();
                    json!({ "version": version, "resources": resources, "freshness": "Current" })
                })
                .collect();
            json!({ "metadata": metadata, "versions": versions })
        })
        .collect();
    let body = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    });
    let tag = format!("\"{}\"", hex::encode_upper(Sha256::digest(body.to_string())));
    let tag = HeaderValue::try_from(tag).map_err(|error| ApiError::Internal(error.to_string()))?;
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|known| *known == tag);
    let mut response = if known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        json_response(&body, AGGREGATED)
    };
    response.headers_mut().insert(ETAG, tag);
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind =
        |group: &str, version: &str, kind: &str| json!({ "group": group, "version": version, "kind": kind });
    // The built-in kinds leave out what the path says already.
    let (group, version) = match resource.built_in {
        Some(_) => ("", ""),
        None => (resource.group.as_str(), resource.version.as_str()),
    };
    let subresources: Vec<_> = subresources(resource)
        .into_iter()
        .map(|(name, name_of_kind, other, verbs)| {
            let (group, version) = other.unwrap_or((group, version));
            json!({ "subresource": name, "responseKind": kind(group, version, name_of_kind), "verbs": verbs })
        })
        .collect();
    let mut entry = json!({
        "resource": resource.plural, "responseKind": kind(group, version, &resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular, "verbs": resource.verbs(),
    });
    if !resource.short_names.is_empty() {
        object::put(&mut entry, "shortNames", json!(resource.short_names));
    }
    if !resource.categories.is_empty() {
        object::put(&mut entry, "categories", json!(resource.categories));
    }
    if !subresources.is_empty() {
        object::put(&mut entry, "subresources", Value::Array(subresources));
    }
    entry
}
