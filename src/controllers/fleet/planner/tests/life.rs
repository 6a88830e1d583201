//! From enrolment to the end of it.

use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::stage::Stage;
use crate::api::{self, names};
use crate::store::{Ending, EnrollmentState, Store as _};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_enrols_is_told_what_to_hold_and_is_judged() {
    let stage = Stage::new().await;
    stage.lab(8, "main@sha1:1").await;
    let a = stage.enroll("A", "lab", "fleet").await;
    stage.pointed(&a, None).await;
    stage.stands("a", "Synced", "False AwaitingReport").await;
    assert_eq!(
        stage.metrics.pointer_writes.get(),
        1,
        "it is not moved a second time when its object is there"
    );
    assert_eq!(stage.take_orders(&a).await, ["DeclarativeManagement"]);
    stage.obey(&a).await;
    stage.stands("a", "Compliant", "True AllRulesPass").await;
    stage.stands("a", "Ready", "True Succeeded").await;

    let object = stage.devices("fleet").get("a").await.unwrap();
    assert_eq!(object.labels()["team"], "lab");
    assert_eq!(object.labels()[names::PLATFORM_LABEL], "macOS");
    assert_eq!(object.finalizers(), [names::DEVICE_FINALIZER]);
    let status = object.status.unwrap();
    assert_eq!(
        (status.revision.as_deref(), status.verdicts.pass),
        (Some("main@sha1:1"), 2)
    );
    let enrolled = status.history.last().unwrap();
    assert_eq!(
        (
            enrolled.reason.as_str(),
            enrolled.evidence.as_str(),
            &enrolled.rule
        ),
        ("the device enrolled", "CheckIn", &None)
    );

    let status = stage.counted().await;
    assert_eq!(
        (status.devices.total, status.verdicts.pass, status.classes),
        (1, 2, 1)
    );
    assert_eq!(status.history.len(), 1);
    assert_eq!(
        (&*status.history[0].revision, status.history[0].moved),
        ("main@sha1:1", 1)
    );
    // What was just applied is looked at again.
    stage
        .until("evidence is asked for", async || {
            let orders = stage.store.pending(&a).await.unwrap();
            orders
                .iter()
                .any(|order| &*order.request_type == "SecurityInfo")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_made_by_hand_waits_for_its_device() {
    let stage = Stage::new().await;
    stage.lab(8, "main@sha1:1").await;
    let mut by_hand = api::Device::new("a", api::DeviceSpec::default());
    by_hand.metadata.labels = Some([("team".to_owned(), "lab".to_owned())].into());
    stage
        .devices("fleet")
        .create(&PostParams::default(), &by_hand)
        .await
        .unwrap();
    stage.stands("a", "Enrolled", "False NotEnrolled").await;
    let a = stage.enroll("A", "shop", "fleet").await;
    stage.stands("a", "Enrolled", "True Enrolled").await;
    let object = stage.devices("fleet").get("a").await.unwrap();
    assert_eq!(
        object.finalizers(),
        [names::DEVICE_FINALIZER],
        "now deleting it un-enrols the device"
    );
    assert_eq!(
        (
            &*object.labels()["team"],
            &*object.labels()[names::PLATFORM_LABEL]
        ),
        ("lab", "macOS")
    );
    let manifest = stage.enrollment(&a).await.manifest.unwrap();
    let manifest = stage.store.manifest(manifest).await.unwrap().unwrap();
    assert!(
        manifest
            .declarations
            .iter()
            .any(|declaration| declaration.body.contains("passcode")),
        "of the lab"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_a_device_un_enrols_it_first() {
    let stage = Stage::new().await;
    let a = stage.enroll("A", "lab", "fleet").await;
    stage.stands("a", "Enrolled", "True Enrolled").await;
    stage
        .devices("fleet")
        .delete("a", &DeleteParams::default())
        .await
        .unwrap();
    stage.stands("a", "Enrolled", "True AwaitingRemoval").await;
    assert_eq!(stage.enrollment(&a).await.state, EnrollmentState::Removing);
    stage
        .store
        .end(&a, Ending::Removed, crate::clock::Clock::now(&*stage.clock))
        .await
        .unwrap();
    stage
        .until("the object goes", async || {
            stage
                .devices("fleet")
                .get_opt("a")
                .await
                .unwrap()
                .is_none()
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_does_not_come_back_can_be_forgotten() {
    let stage = Stage::new().await;
    let a = stage.enroll("A", "lab", "fleet").await;
    stage.stands("a", "Enrolled", "True Enrolled").await;
    stage
        .devices("fleet")
        .delete("a", &DeleteParams::default())
        .await
        .unwrap();
    stage.stands("a", "Enrolled", "True AwaitingRemoval").await;
    let orphan = json!({ "spec": { "deletionPolicy": "Orphan" } });
    stage
        .devices("fleet")
        .patch("a", &PatchParams::default(), &Patch::Merge(&orphan))
        .await
        .unwrap();
    stage
        .until("the object goes", async || {
            stage
                .devices("fleet")
                .get_opt("a")
                .await
                .unwrap()
                .is_none()
                .then_some(())
        })
        .await;
    assert_eq!(stage.enrollment(&a).await.state, EnrollmentState::Ended);
    let told = stage.store.transitions(&a, 1).await.unwrap();
    assert_eq!(
        (told[0].reason.as_str(), &*told[0].evidence),
        (Ending::Forgotten.reason(), "Policy")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_deleted_by_force_comes_back_while_the_device_is_enrolled() {
    let stage = Stage::new().await;
    stage.enroll("A", "lab", "fleet").await;
    stage.stands("a", "Enrolled", "True Enrolled").await;
    let before = stage.devices("fleet").get("a").await.unwrap().uid();
    // By the time somebody takes the finalizer away, deletes and looks again, nobody has noticed.
    let free = json!({ "metadata": { "finalizers": null } });
    stage
        .devices("fleet")
        .patch("a", &PatchParams::default(), &Patch::Merge(&free))
        .await
        .unwrap();
    stage
        .devices("fleet")
        .delete("a", &DeleteParams::default())
        .await
        .unwrap();
    stage
        .devices("fleet")
        .patch("a", &PatchParams::default(), &Patch::Merge(&free))
        .await
        .ok();
    stage
        .until("there is an object with a status", async || {
            let object = stage.devices("fleet").get_opt("a").await.unwrap()?;
            let enrolled = object
                .status
                .as_ref()?
                .conditions
                .iter()
                .any(|c| c.type_ == "Enrolled" && c.status == "True");
            (enrolled && object.uid() != before && object.metadata.deletion_timestamp.is_none()).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_enrols_into_another_fleet_leaves_this_one() {
    let stage = Stage::new().await;
    stage.lab(8, "main@sha1:1").await;
    let a = stage.enroll("A", "lab", "fleet").await;
    stage.stands("a", "Enrolled", "True Enrolled").await;
    stage.clock.advance(std::time::Duration::from_secs(5));
    stage.enroll("A", "lab", "other").await;
    stage.stands("a", "Enrolled", "False NotEnrolled").await;
    stage
        .until("it has an object there", async || {
            let status = stage.devices("other").get_opt("a").await.unwrap()?.status?;
            status
                .conditions
                .iter()
                .any(|c| c.type_ == "Enrolled" && c.status == "True")
                .then_some(())
        })
        .await;
    stage
        .until("this fleet counts it no more", async || {
            (stage.assignment().await.devices.total == 0).then_some(())
        })
        .await;
    // The object it left behind can be deleted, and the device is none the worse for it.
    stage
        .devices("fleet")
        .delete("a", &DeleteParams::default())
        .await
        .unwrap();
    stage
        .until("the object goes", async || {
            stage
                .devices("fleet")
                .get_opt("a")
                .await
                .unwrap()
                .is_none()
                .then_some(())
        })
        .await;
    assert_eq!(stage.enrollment(&a).await.state, EnrollmentState::Enrolled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_was_deleted_and_invited_again_stays() {
    let mut stage = Stage::new().await;
    let a = stage.enroll("A", "lab", "fleet").await;
    stage.stands("a", "Enrolled", "True Enrolled").await;
    let before = stage.devices("fleet").get("a").await.unwrap().uid();
    stage.kill().await;
    stage
        .devices("fleet")
        .delete("a", &DeleteParams::default())
        .await
        .unwrap();
    stage.clock.advance(std::time::Duration::from_secs(5));
    stage.enroll("A", "shop", "fleet").await;
    stage.start();
    stage
        .until("it has a new object", async || {
            let object = stage.devices("fleet").get_opt("a").await.unwrap()?;
            (object.uid() != before && object.labels().get("team")? == "shop").then_some(())
        })
        .await;
    assert_eq!(stage.enrollment(&a).await.state, EnrollmentState::Enrolled);
}
