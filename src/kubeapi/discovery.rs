//! What clients ask before anything else: versions, groups, resources, schemas, health.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::api::Core;
use super::error::ApiError;
use super::http::json_response;
use super::object;
use super::registry::{BuiltIn, Resource, Served};

const JSON: &str = "application/json";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
/// The Kubernetes version whose API this one follows.
const VERSION: (&str, &str, &str) = ("1", "37", "v1.37.0+provost");

/// Answers a path that is not about objects; `None` when it is.
///
/// # Errors
/// 404 for groups that are not served.
pub(super) fn answer(
    core: &Arc<Core>,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<Response>, ApiError> {
    let served = core.registry.served();
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let aggregated = wants_aggregated(headers);
    let body = match segments.as_slice() {
        [""] => json!({ "paths": paths(&served) }),
        ["api"] if aggregated => return Ok(Some(aggregated_response(&served, str::is_empty))),
        ["apis"] if aggregated => return Ok(Some(aggregated_response(&served, |group| !group.is_empty()))),
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
                return Err(ApiError::NoSuchResource);
            }
            let mut body = group_of(&served, group);
            object::put(&mut body, "kind", json!("APIGroup"));
            object::put(&mut body, "apiVersion", json!("v1"));
            body
        }
        ["apis", group, version] => resource_list(&served, group, version)?,
        ["version"] => json!({
            "major": VERSION.0, "minor": VERSION.1, "gitVersion": VERSION.2, "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
            "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        }),
        ["healthz" | "livez" | "readyz", ..] => {
            let mut response = "ok".into_response();
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            return Ok(Some(response));
        }
        _ => return Ok(None),
    };
    Ok(Some(json_response(&body, JSON)))
}

fn wants_aggregated(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    accept.split(',').any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let parameters: Vec<&str> = parts.clone().skip(1).collect();
        parts.next() == Some(JSON)
            && parameters.contains(&"as=APIGroupDiscoveryList")
            && parameters.contains(&"g=apidiscovery.k8s.io")
            && parameters.contains(&"v=v2")
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
    let versions = served.groups().get(group).ok_or(ApiError::NoSuchResource)?;
    let (_, members) = versions
        .iter()
        .find(|(found, _)| found == version)
        .ok_or(ApiError::NoSuchResource)?;
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
        resources.push(entry);
        for (name, kind, group) in subresources(resource) {
            let verbs = subresource_verbs(name);
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
    Ok(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources,
    }))
}

fn subresource_verbs(name: &str) -> &'static [&'static str] {
    if name == TOKEN {
        &["create"]
    } else {
        &["get", "patch", "update"]
    }
}

const TOKEN: &str = "token";

/// Name, kind and, where it differs, group and version of each subresource.
type Subresource<'a> = (&'static str, &'a str, Option<(&'static str, &'static str)>);

fn subresources(resource: &Resource) -> Vec<Subresource<'_>> {
    let status = resource
        .status
        .then_some(("status", resource.kind.as_str(), None));
    let scale = resource
        .scale
        .is_some()
        .then_some(("scale", "Scale", Some(("autoscaling", "v1"))));
    let token = (resource.built_in == Some(BuiltIn::ServiceAccount)).then_some((
        TOKEN,
        "TokenRequest",
        Some(("authentication.k8s.io", "v1")),
    ));
    status.into_iter().chain(scale).chain(token).collect()
}

fn aggregated_response(served: &Served, wanted: impl Fn(&str) -> bool) -> Response {
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
    json_response(&body, AGGREGATED)
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind =
        |group: &str, version: &str, kind: &str| json!({ "group": group, "version": version, "kind": kind });
    let subresources: Vec<_> = subresources(resource)
        .into_iter()
        .map(|(name, name_of_kind, other)| {
            let (group, version) = other.unwrap_or((&resource.group, &resource.version));
            json!({
                "subresource": name, "responseKind": kind(group, version, name_of_kind), "verbs": subresource_verbs(name),
            })
        })
        .collect();
    let mut entry = json!({
        "resource": resource.plural, "responseKind": kind(&resource.group, &resource.version, &resource.kind),
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
