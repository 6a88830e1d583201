//! Devices that leave: deleted by an administrator, as the deletion policy says.

use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use provost::api::Device;
use serde_json::json;

use crate::both;
use crate::world::{Api, Setting, World, condition, eventually, is_true, text};

both!(
    a_deleted_device_is_unenrolled_at_its_next_contact_and_then_gone,
    an_orphaned_device_is_forgotten_at_once_and_refused_until_it_is_invited_again,
);

/// A world of one device that knows declarations and complies.
async fn with_one_device(api: Api) -> (World, Device) {
    let mut world = World::start(Setting {
        api,
        classic_percent: 0,
        ..Setting::default()
    })
    .await;
    let (_, devices) = world.under_policy(1, 8).await;
    let device = devices.into_values().next().unwrap();
    (world, device)
}

async fn gone(world: &World, name: &str) {
    eventually("the Device is gone", async || {
        match world.api::<Device>().get_opt(name).await.map_err(text)? {
            None => Ok(()),
            Some(device) => Err(format!("{:#?}", device.status)),
        }
    })
    .await;
}

async fn a_deleted_device_is_unenrolled_at_its_next_contact_and_then_gone(api: Api) {
    let (mut world, device) = with_one_device(api).await;
    let name = device.name_any();
    world
        .simulator
        .order(&json!({ "offline": { "percent": 100 } }))
        .await;
    world.simulator.reaches("offline", 1).await;
    world
        .api::<Device>()
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
    let waiting = eventually("the Device says that it waits", async || {
        let device = world.api::<Device>().get(&name).await.map_err(text)?;
        let conditions = device.status.clone().unwrap_or_default().conditions;
        let waits = condition(&conditions, "Enrolled").is_some_and(|found| found.reason == "AwaitingRemoval");
        if waits {
            Ok(device)
        } else {
            Err(format!("{conditions:#?}"))
        }
    })
    .await;
    assert!(waiting.metadata.deletion_timestamp.is_some());
    assert!(world.simulator.events("unenrolled").is_empty());

    world.simulator.order(&json!({ "online": {} })).await;
    let unenrolled = world.simulator.happened("unenrolled", 1).await;
    assert_eq!(unenrolled[0]["device"].as_str().unwrap().to_lowercase(), name);
    gone(&world, &name).await;
}

async fn an_orphaned_device_is_forgotten_at_once_and_refused_until_it_is_invited_again(api: Api) {
    let (mut world, device) = with_one_device(api).await;
    let name = device.name_any();
    let orphan = Patch::Merge(json!({ "spec": { "deletionPolicy": "Orphan" } }));
    world
        .api::<Device>()
        .patch(&name, &PatchParams::default(), &orphan)
        .await
        .unwrap();
    world
        .api::<Device>()
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
    gone(&world, &name).await;
    assert!(
        world.simulator.events("unenrolled").is_empty(),
        "it has not been told"
    );

    // It has something to report, and learns then.
    world.simulator.order(&json!({ "drift": { "count": 1 } })).await;
    let unenrolled = world.simulator.happened("unenrolled", 1).await;
    assert_eq!(unenrolled[0]["device"].as_str().unwrap().to_lowercase(), name);
    let reason = unenrolled[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("com.apple.unrecognized.device") || reason.contains("403"),
        "{reason}"
    );
    assert!(
        world.devices().await.unwrap().is_empty(),
        "it did not come back by itself"
    );

    let status = device.status.clone().unwrap();
    let (udid, serial) = (status.enrollment_id.unwrap(), status.serial_number.unwrap());
    let mut invitation = world
        .invite_with(&["--namespace", "default", "--udid", &udid])
        .await
        .remove(0);
    invitation["udid"] = json!(udid);
    invitation["serial"] = json!(serial);
    world.hand_out(&[invitation]).await;
    let again = eventually("the device is back", async || {
        let device = world
            .api::<Device>()
            .get_opt(&name)
            .await
            .map_err(text)?
            .ok_or("no Device")?;
        let conditions = device.status.clone().unwrap_or_default().conditions;
        if is_true(&conditions, "Compliant") && is_true(&conditions, "Synced") {
            Ok(device)
        } else {
            Err(format!("{conditions:#?}"))
        }
    })
    .await;
    assert_ne!(again.uid(), device.uid());
}
