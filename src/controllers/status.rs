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
/// nothing else changed, so equal means that nothing but time has passed. Gives the object as it is then. None: nothing was written.
///
/// # Errors
/// Those of the API. That the object has gone meanwhile is none.
pub async fn apply<K>(
    api: &Api<K>,
    object: &K,
    status: &K::Status,
    metrics: &Metrics,
) -> kube::Result<Option<K>>
where
    K: Resource<DynamicType = ()> + HasStatus + Clone + Debug + DeserializeOwned,
    K::Status: Serialize + PartialEq,
{
    if object.status() == Some(status) {
        return Ok(None);
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
        Ok(written) => {
            metrics.status_writes.inc();
            Ok(Some(written))
        }
        Err(error) if super::error::is_not_found(&error) => Ok(None),
        // The name belongs to another object by now.
        Err(kube::Error::Api(refusal)) if refusal.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}
