//! `/scale`: the numbers of a custom resource as `autoscaling/v1 Scale`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::create::Tracking;
use super::update::attempt;
use super::{Answer, Target, Written};
use crate::kubeapi::api::Core;
use crate::kubeapi::error::ApiError;
use crate::kubeapi::object;
use crate::kubeapi::patch::{json_patch, merge_patch};
use crate::kubeapi::registry::Resource;
use crate::kubeapi::request::{PatchFormat, WriteOptions};

/// The object behind a `/scale` request, as `autoscaling/v1 Scale`.
///
/// # Errors
/// When the resource has no scale.
pub(crate) fn scale(resource: &Resource, object: &Value) -> Result<Value, ApiError> {
    let paths = resource.scale.as_ref().ok_or(ApiError::NoSuchResource)?;
    let number = |path: &str| object::at(object, path).and_then(Value::as_i64).unwrap_or(0);
    let selector = paths
        .label_selector_path
        .as_deref()
        .and_then(|path| object::at(object, path));
    let mut status = json!({ "replicas": number(&paths.status_replicas_path) });
    if let Some(selector) = selector {
        object::put(&mut status, "selector", selector.clone());
    }
    let metadata = object::metadata(object);
    let keep = |field: &str| {
        metadata
            .and_then(|metadata| metadata.get(field))
            .cloned()
            .unwrap_or_default()
    };
    Ok(json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {
            "name": keep("name"), "namespace": keep("namespace"), "uid": keep("uid"),
            "resourceVersion": keep("resourceVersion"), "creationTimestamp": keep("creationTimestamp"),
        },
        "spec": { "replicas": number(&paths.spec_replicas_path) },
        "status": status,
    }))
}

/// Replaces the number asked for.
///
/// # Errors
/// As replacing the object itself.
pub(crate) async fn replace_scale(
    core: &Arc<Core>,
    target: &Target,
    scale: &Value,
    options: &WriteOptions,
) -> Result<Written, ApiError> {
    change(core, target, options, |_| Ok(scale.clone())).await
}

/// Patches the number asked for.
///
/// # Errors
/// As patching the object itself.
pub(crate) async fn patch_scale(
    core: &Arc<Core>,
    target: &Target,
    format: PatchFormat,
    patch: &Value,
    options: &WriteOptions,
) -> Result<Written, ApiError> {
    change(core, target, options, |scale| {
        let patched = match format {
            PatchFormat::Json => json_patch(scale, patch),
            PatchFormat::Merge | PatchFormat::Strategic => merge_patch(scale, patch),
            PatchFormat::Apply => return Err(ApiError::UnsupportedMediaType("application/merge-patch+json")),
        };
        patched.map_err(|error| ApiError::Unprocessable(error.to_string()))
    })
    .await
}

async fn change(
    core: &Arc<Core>,
    target: &Target,
    options: &WriteOptions,
    new: impl Fn(&Value) -> Result<Value, ApiError> + Send + Sync,
) -> Result<Written, ApiError> {
    let resource = &target.resource;
    let mut written = attempt(core, target, options, Tracking::Update, |old| {
        let scale = new(&scale(resource, old)?)?;
        let replicas = object::at(&scale, "spec.replicas")
            .cloned()
            .unwrap_or_else(|| json!(0));
        let mut changed = old.clone();
        if let Some(paths) = &resource.scale {
            put(&mut changed, &paths.spec_replicas_path, replicas);
        }
        if let Some(revision) = object::metadata(&scale).and_then(|metadata| metadata.get("resourceVersion"))
        {
            object::set(&mut changed, "resourceVersion", Some(revision.clone()));
        }
        Ok(changed.into())
    })
    .await?;
    written.object = Answer::Value(scale(resource, &written.object.into_value()?)?);
    Ok(written)
}

/// Sets the value under a path of field names, making the objects on the way.
fn put(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Some(fields) = place.as_object_mut() else {
            return;
        };
        place = fields.entry(part).or_insert(Value::Null);
    }
    *place = value;
}
