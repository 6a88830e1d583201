//! The Device object of an enrolment: made, kept in order, and let go.

use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::api::device::DeletionPolicy;
use crate::api::{self, names};
use crate::controllers::error::{is_already_exists, is_not_found};
use crate::controllers::{Context, status};
use crate::store::{Ending, EnrollmentState};

use super::device::{Device, Key};
use super::device_status::{self, whole_second};
use super::evaluate::Error;

/// The object of a device: made where an active device has none, and given the finalizer where it lacks that (somebody made it before
/// the device enrolled, or took the finalizer away). None: there is none and none is due.
///
/// # Errors
/// When the API fails; the call can be repeated.
pub(super) async fn in_order(
    context: &Context,
    api: &Api<api::Device>,
    device: &Device,
) -> Result<Option<api::Device>, Error> {
    let name = device.id().device_name();
    let found = match api.get_opt(&name).await? {
        None if still_active(context, device).await? => make(context, api, device, &name).await?,
        found => found,
    };
    match found {
        Some(object) if device.active() && lacks_finalizer(&object) => hold(api, &object, device).await,
        found => Ok(found),
    }
}

/// Whether a device is active by the store, too: in memory it may still be when its enrolment, and its object with it, has just ended.
async fn still_active(context: &Context, device: &Device) -> Result<bool, Error> {
    if !device.active() {
        return Ok(false);
    }
    let current = context.store.enrollment(device.id()).await?;
    Ok(current.is_some_and(|current| {
        current.state == EnrollmentState::Enrolled && current.namespace == device.enrollment.namespace
    }))
}

fn lacks_finalizer(object: &api::Device) -> bool {
    object.metadata.deletion_timestamp.is_none()
        && !object
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == names::DEVICE_FINALIZER)
}

async fn make(
    context: &Context,
    api: &Api<api::Device>,
    device: &Device,
    name: &str,
) -> Result<Option<api::Device>, Error> {
    let object = api::Device {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some((*device.invited).clone()),
            finalizers: Some(vec![names::DEVICE_FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        spec: api::DeviceSpec::default(),
        status: None,
    };
    let parameters = PostParams {
        field_manager: Some(names::FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    match api.create(&parameters, &object).await {
        Ok(made) => {
            tracing::info!(device.id = %device.id(), namespace = %device.enrollment.namespace, "a device has its object");
            Ok(Some(made))
        }
        Err(error) if is_already_exists(&error) => Ok(api.get_opt(name).await?),
        Err(error) => {
            let refused = crate::telemetry::metrics::Reconciliation {
                kind: "Device",
                result: "create_refused",
            };
            context.metrics.reconciliations.get_or_create(&refused).inc();
            Err(error.into())
        }
    }
}

/// Puts the finalizer on, and the labels that every Device has.
async fn hold(
    api: &Api<api::Device>,
    object: &api::Device,
    device: &Device,
) -> Result<Option<api::Device>, Error> {
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(names::DEVICE_FINALIZER.to_owned());
    let patch = json!({ "metadata": {
        "finalizers": finalizers,
        "resourceVersion": object.resource_version(),
        "labels": {
            names::PLATFORM_LABEL: device.enrollment.platform.to_string(),
            names::ENROLLMENT_MODE_LABEL: device.enrollment.mode.to_string(),
        },
    } });
    match api
        .patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        Ok(held) => Ok(Some(held)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Carries out the deletion of a Device object as its policy says; the finalizer goes when the enrolment has ended.
///
/// # Errors
/// When the store or the API fails; the call can be repeated.
pub(super) async fn delete(context: &Context, device: &Device) -> Result<(), Error> {
    let now = context.clock.now();
    let enrollment = &device.enrollment;
    let api: Api<api::Device> = Api::namespaced(context.client.clone(), enrollment.namespace.as_str());
    let Some(object) = api.get_opt(&enrollment.id.device_name()).await? else {
        return Ok(());
    };
    let Some(deleted_at) = object.metadata.deletion_timestamp.as_ref().map(|time| time.0) else {
        return Ok(());
    };
    if whole_second(enrollment.enrolled_at) > deleted_at {
        // It was invited and has enrolled anew since: the deletion was of what it was before.
        return release(&api, &object).await;
    }
    let ended = match (enrollment.state, object.spec.deletion_policy) {
        (EnrollmentState::Ended, _) => true,
        (_, DeletionPolicy::Orphan) => {
            context.store.end(&enrollment.id, Ending::Forgotten, now).await?;
            true
        }
        (EnrollmentState::Removing, DeletionPolicy::Remove) => false,
        (EnrollmentState::Authenticated | EnrollmentState::Enrolled, DeletionPolicy::Remove) => {
            // Not active any more: it never finished enrolling, and there is nothing to remove.
            !context.store.remove_at_next_contact(&enrollment.id, now).await?
        }
    };
    if ended {
        release(&api, &object).await
    } else {
        Ok(())
    }
}

/// Lets an object go that somebody deleted and that has no enrolment.
///
/// # Errors
/// When the API fails; the call can be repeated.
pub(super) async fn let_go(context: &Context, key: &Key) -> Result<(), Error> {
    let api: Api<api::Device> = Api::namespaced(context.client.clone(), key.namespace.as_str());
    match api.get_opt(&key.name).await? {
        Some(object) if object.metadata.deletion_timestamp.is_some() => release(&api, &object).await,
        _ => Ok(()),
    }
}

async fn release(api: &Api<api::Device>, object: &api::Device) -> Result<(), Error> {
    let rest: Vec<&String> = object
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != names::DEVICE_FINALIZER)
        .collect();
    let patch = json!({
        "metadata": { "finalizers": rest, "resourceVersion": object.resource_version() },
    });
    match api
        .patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Says in the status of an object that no device has enrolled under its name.
///
/// # Errors
/// When the API fails; the call can be repeated.
pub(super) async fn disown(context: &Context, key: &Key) -> Result<(), Error> {
    let api: Api<api::Device> = Api::namespaced(context.client.clone(), key.namespace.as_str());
    let Some(object) = api.get_opt(&key.name).await? else {
        return Ok(());
    };
    let old = object.status.clone().unwrap_or_default();
    let new = device_status::without_enrollment(&old, object.metadata.generation, context.clock.now());
    status::apply(&api, &object, &new, &context.metrics).await?;
    Ok(())
}
