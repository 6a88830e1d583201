//! What kube-runtime does with the API: finalizers, events, controllers, discovery, restart.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Event as CoreEvent;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::finalizer::{Event as Finalizer, finalizer};
use kube::runtime::watcher;
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use super::{Limits, TestApi, kite, kites};

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

async fn reconcile(kite: Arc<DynamicObject>, api: Arc<Api<DynamicObject>>) -> Result<Action, Failed> {
    let failed = |error: kube::Error| Failed(error.to_string());
    let work = finalizer(&api, "toys.example.org/string", kite, async |event| match event {
        Finalizer::Apply(kite) => {
            let status = json!({ "status": { "height": 9, "observedGeneration": kite.metadata.generation } });
            api.patch_status(&kite.name_any(), &PatchParams::default(), &Patch::Merge(status))
                .await
                .map_err(failed)?;
            Ok(Action::await_change())
        }
        Finalizer::Cleanup(_) => Ok(Action::await_change()),
    });
    work.await
        .map_err(|error: kube::runtime::finalizer::Error<Failed>| Failed(error.to_string()))
}

#[tokio::test]
async fn a_controller_takes_an_object_from_creation_to_deletion() {
    let test = TestApi::with_kites().await;
    let api = test.kites();
    let controller = Controller::new_with(api.clone(), watcher::Config::default(), kites())
        .run(
            reconcile,
            |_, _, _| Action::requeue(Duration::from_millis(50)),
            Arc::new(api.clone()),
        )
        .for_each(async |_| {});
    let controller = tokio::spawn(controller);
    let made = api.create(&PostParams::default(), &kite("a")).await.unwrap();
    let flying = kube::runtime::wait::await_condition(api.clone(), "a", |kite: Option<&DynamicObject>| {
        kite.is_some_and(|kite| kite.data["status"]["height"] == 9 && !kite.finalizers().is_empty())
    });
    tokio::time::timeout(Duration::from_secs(20), flying)
        .await
        .unwrap()
        .unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let uid = made.uid().unwrap();
    let gone =
        kube::runtime::wait::await_condition(api, "a", kube::runtime::wait::conditions::is_deleted(&uid));
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .unwrap()
        .unwrap();
    controller.abort();
}

#[tokio::test]
async fn an_event_is_recorded_in_one_group_and_read_in_the_other() {
    let test = TestApi::with_kites().await;
    let object = test.make_kite("a").await;
    let recorder = Recorder::new(test.client(), "kite-controller".into());
    let event = Event {
        type_: EventType::Warning,
        reason: "Torn".into(),
        note: Some("the tail is torn".into()),
        action: "Fly".into(),
        secondary: None,
    };
    let reference = object.object_ref(&kites());
    for _ in 0..2 {
        recorder.publish(&event, &reference).await.unwrap();
    }
    let events: Api<CoreEvent> = Api::default_namespaced(test.client());
    let chosen = ListParams::default().fields("involvedObject.kind=Kite,involvedObject.name=a,type=Warning");
    let found = events.list(&chosen).await.unwrap().items;
    assert_eq!(found.len(), 1, "the second is the same event in a series");
    assert_eq!(found[0].message.as_deref(), Some("the tail is torn"));
    assert_eq!(found[0].reporting_component.as_deref(), Some("kite-controller"));
    assert!(found[0].series.is_some());
    let newer: Api<k8s_openapi::api::events::v1::Event> = Api::default_namespaced(test.client());
    let found = newer
        .list(&ListParams::default().fields("regarding.name=a"))
        .await
        .unwrap()
        .items;
    assert_eq!(found[0].note.as_deref(), Some("the tail is torn"));
}

#[tokio::test]
async fn a_lease_changes_hands_only_by_compare_and_set() {
    let test = TestApi::new().await;
    let leases: Api<Lease> = Api::default_namespaced(test.client());
    let lease: Lease = serde_json::from_value(
        json!({ "metadata": { "name": "leader" }, "spec": { "holderIdentity": "one" } }),
    )
    .unwrap();
    let first = leases.create(&PostParams::default(), &lease).await.unwrap();
    let take = |holder: &str| {
        let mut lease = first.clone();
        lease.spec.as_mut().unwrap().holder_identity = Some(holder.to_owned());
        lease
    };
    leases
        .replace("leader", &PostParams::default(), &take("two"))
        .await
        .unwrap();
    let late = leases
        .replace("leader", &PostParams::default(), &take("three"))
        .await
        .unwrap_err();
    assert!(matches!(late, kube::Error::Api(status) if status.code == 409));
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let test = TestApi::with_kites().await;
    let made = test.make_kite("a").await;
    let folder = test.folder;
    test.api.stop();
    drop(test.api);
    let api = super::open(folder.path(), Limits::default()).await;
    let test = TestApi { api, folder };
    assert_eq!(test.kites().get("a").await.unwrap(), made);
    let next = test.make_kite("b").await;
    let revision = |object: &DynamicObject| object.resource_version().unwrap().parse::<i64>().unwrap();
    assert!(revision(&next) > revision(&made));
}

#[tokio::test]
async fn discovery_names_what_is_served() {
    let test = TestApi::with_kites().await;
    let found = kube::discovery::group(&test.client(), "toys.example.org")
        .await
        .unwrap();
    let (resource, capabilities) = found.recommended_kind("Kite").unwrap();
    assert_eq!(resource.plural, "kites");
    assert!(capabilities.supports_operation(kube::discovery::verbs::WATCH));
    assert!(
        capabilities
            .subresources
            .iter()
            .any(|(resource, _)| resource.plural == "status")
    );
    let all = kube::Discovery::new(test.client())
        .run_aggregated()
        .await
        .unwrap();
    assert!(all.has_group("toys.example.org") && all.has_group("events.k8s.io") && all.has_group(""));
    let version = test.client().apiserver_version().await.unwrap();
    assert_eq!(version.major, "1");
}

#[tokio::test]
async fn an_event_is_forgotten_after_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(crate::clock::ManualClock::new(jiff::Timestamp::UNIX_EPOCH));
    let api = super::open_at(folder.path(), Limits::default(), clock.clone()).await;
    let events: Api<CoreEvent> = Api::default_namespaced(api.client("default"));
    let event = |name: &str| {
        let event = json!({ "metadata": { "name": name }, "involvedObject": { "name": "x" } });
        serde_json::from_value::<CoreEvent>(event).unwrap()
    };
    let old = events
        .create(&PostParams::default(), &event("old"))
        .await
        .unwrap();
    clock.advance(Duration::from_secs(3601));
    events
        .create(&PostParams::default(), &event("new"))
        .await
        .unwrap();
    let uid = old.uid().unwrap();
    let gone = kube::runtime::wait::await_condition(
        events.clone(),
        "old",
        kube::runtime::wait::conditions::is_deleted(&uid),
    );
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .unwrap()
        .unwrap();
    assert!(events.get_opt("new").await.unwrap().is_some());
}
