//! The one status writer.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::core::object::HasStatus;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api::names;
use crate::telemetry::Metrics;

/// Writes `status` by server-side apply, unless it is what the object has already. Statuses are built from the old one and keep its times where
/// nothing else changed, so equal means that nothing but time has passed. Returns whether it wrote.
///
/// # Errors
/// Those of the API. That the object has gone meanwhile is none.
pub async fn apply<K>(api: &Api<K>, object: &K, status: &K::Status, metrics: &Metrics) -> kube::Result<bool>
where
    K: Resource<DynamicType = ()> + HasStatus + Clone + Debug + DeserializeOwned,
    K::Status: Serialize + PartialEq,
{
    if object.status() == Some(status) {
        return Ok(false);
    }
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        // The uid keeps the status of a deleted object from landing on a new one of the same name.
        "metadata": { "name": object.name_any(), "uid": object.uid() },
        "status": status,
    });
    let parameters = PatchParams::apply(names::FIELD_MANAGER).force();
    match api
        .patch_status(&object.name_any(), &parameters, &Patch::Apply(&patch))
        .await
    {
        Ok(_) => {
            metrics.status_writes.inc();
            Ok(true)
        }
        Err(error) if super::error::is_not_found(&error) => Ok(false),
        // The name belongs to another object by now.
        Err(kube::Error::Api(refusal)) if refusal.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
