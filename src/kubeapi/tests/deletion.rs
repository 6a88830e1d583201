//! Deletion: finalizers, preconditions, owners, namespaces, definitions.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::ResourceExt as _;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::runtime::wait::{await_condition, conditions::is_deleted};
use serde_json::{Value, json};

use super::{TestApi, definitions, kite};

async fn deleted<K>(api: Api<K>, name: &str, uid: &str)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let wait = await_condition(api, name, is_deleted(uid));
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("not deleted in 20 s")
        .unwrap();
}

fn config(name: &str, metadata: &Value) -> ConfigMap {
    let mut config = json!({ "metadata": metadata });
    config["metadata"]["name"] = json!(name);
    serde_json::from_value(config).unwrap()
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_taken_away() {
    let test = TestApi::with_kites().await;
    let kites = test.kites();
    let mut held = kite("a");
    held.metadata.finalizers = Some(vec!["toys.example.org/string".to_owned()]);
    kites.create(&PostParams::default(), &held).await.unwrap();
    let marked = kites
        .delete("a", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .expect("still there");
    assert!(marked.metadata.deletion_timestamp.is_some());
    assert_eq!(marked.metadata.generation, Some(2));
    let again = kites
        .delete("a", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(again.resource_version(), marked.resource_version());
    let more = json!({ "metadata": { "finalizers": ["toys.example.org/string", "toys.example.org/new"] } });
    let refused = kites
        .patch("a", &PatchParams::default(), &Patch::Merge(more))
        .await
        .unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 422));
    let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    kites.patch("a", &PatchParams::default(), &none).await.unwrap();
    assert!(kites.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn preconditions_protect_the_object_that_was_meant() {
    let test = TestApi::with_kites().await;
    let made = test.make_kite("a").await;
    let wrong = [
        Preconditions {
            uid: Some("other".to_owned()),
            resource_version: None,
        },
        Preconditions {
            uid: None,
            resource_version: Some("1".to_owned()),
        },
    ];
    for preconditions in wrong {
        let params = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        let refused = test.kites().delete("a", &params).await.unwrap_err();
        assert!(matches!(refused, kube::Error::Api(status) if status.code == 409));
    }
    let right = Preconditions {
        uid: made.uid(),
        resource_version: made.resource_version(),
    };
    let params = DeleteParams {
        preconditions: Some(right),
        ..DeleteParams::default()
    };
    assert!(test.kites().delete("a", &params).await.unwrap().is_right());
}

#[tokio::test]
async fn dependents_follow_their_last_owner() {
    let test = TestApi::with_kites().await;
    let configs: Api<ConfigMap> = Api::default_namespaced(test.client());
    let mut owners = Vec::new();
    for name in ["a", "b"] {
        let owner = test
            .kites()
            .create(&PostParams::default(), &kite(name))
            .await
            .unwrap();
        owners.push(json!({
            "apiVersion": "toys.example.org/v1", "kind": "Kite", "name": name, "uid": owner.uid().unwrap(),
        }));
    }
    let of_a = configs
        .create(
            &PostParams::default(),
            &config("of-a", &json!({ "ownerReferences": [owners[0]] })),
        )
        .await
        .unwrap();
    configs
        .create(
            &PostParams::default(),
            &config("of-both", &json!({ "ownerReferences": owners })),
        )
        .await
        .unwrap();
    let of_nobody =
        json!({ "ownerReferences": [{ "apiVersion": "v1", "kind": "X", "name": "x", "uid": "gone" }] });
    let of_nobody = configs
        .create(&PostParams::default(), &config("of-nobody", &of_nobody))
        .await
        .unwrap();
    deleted(configs.clone(), "of-nobody", &of_nobody.uid().unwrap()).await;
    test.kites().delete("a", &DeleteParams::default()).await.unwrap();
    deleted(configs.clone(), "of-a", &of_a.uid().unwrap()).await;
    let both = await_condition(configs.clone(), "of-both", |config: Option<&ConfigMap>| {
        config.is_some_and(|config| config.owner_references().len() == 1)
    });
    tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .unwrap()
        .unwrap();
    let both = configs.get("of-both").await.unwrap();
    test.kites()
        .delete("b", &DeleteParams::foreground())
        .await
        .unwrap();
    deleted(configs.clone(), "of-both", &both.uid().unwrap()).await;
    let uid = owners[1]["uid"].as_str().unwrap();
    deleted(test.kites(), "b", uid).await;
}

#[tokio::test]
async fn orphans_stay_and_forget_their_owner() {
    let test = TestApi::with_kites().await;
    let configs: Api<ConfigMap> = Api::default_namespaced(test.client());
    let owner = test.make_kite("a").await;
    let uid = owner.uid().unwrap();
    let reference = json!({ "apiVersion": "toys.example.org/v1", "kind": "Kite", "name": "a", "uid": uid });
    configs
        .create(
            &PostParams::default(),
            &config("c", &json!({ "ownerReferences": [reference] })),
        )
        .await
        .unwrap();
    test.kites().delete("a", &DeleteParams::orphan()).await.unwrap();
    deleted(test.kites(), "a", &uid).await;
    assert!(configs.get("c").await.unwrap().owner_references().is_empty());
}

#[tokio::test]
async fn a_deleted_namespace_is_emptied_first() {
    let test = TestApi::with_kites().await;
    let namespaces: Api<Namespace> = Api::all(test.client());
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": "meadow" } })).unwrap();
    let made = namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let kites: Api<DynamicObject> = Api::namespaced_with(test.client(), "meadow", &super::kites());
    let mut held = kite("a");
    held.metadata.finalizers = Some(vec!["toys.example.org/string".to_owned()]);
    let held = kites.create(&PostParams::default(), &held).await.unwrap();
    kites.create(&PostParams::default(), &kite("b")).await.unwrap();
    let marked = namespaces
        .delete("meadow", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(marked.status.unwrap().phase.as_deref(), Some("Terminating"));
    let late = kites
        .create(&PostParams::default(), &kite("c"))
        .await
        .unwrap_err();
    assert!(matches!(late, kube::Error::Api(status) if status.code == 403));
    let waiting = await_condition(kites.clone(), "a", |kite: Option<&DynamicObject>| {
        kite.is_some_and(|kite| kite.metadata.deletion_timestamp.is_some())
    });
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap()
        .unwrap();
    let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    kites.patch("a", &PatchParams::default(), &none).await.unwrap();
    deleted(kites, "a", &held.uid().unwrap()).await;
    deleted(namespaces, "meadow", &made.uid().unwrap()).await;
}

#[tokio::test]
async fn a_deleted_definition_takes_its_objects_along() {
    let test = TestApi::with_kites().await;
    test.make_kite("a").await;
    let all: Api<DynamicObject> = Api::all_with(test.client(), &definitions());
    let definition = all.get("kites.toys.example.org").await.unwrap();
    all.delete("kites.toys.example.org", &DeleteParams::default())
        .await
        .unwrap();
    deleted(all.clone(), "kites.toys.example.org", &definition.uid().unwrap()).await;
    // The path goes away a moment after the definition.
    let gone = async {
        while test.kites().list(&ListParams::default()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    test.install(super::kite_definition()).await;
    assert!(
        test.kites()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_collection_is_deleted_by_its_labels() {
    let test = TestApi::with_kites().await;
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut kite = kite(name);
        kite.metadata.labels = Some([("l".to_owned(), label.to_owned())].into());
        test.kites().create(&PostParams::default(), &kite).await.unwrap();
    }
    test.kites()
        .delete_collection(&DeleteParams::default(), &ListParams::default().labels("l=x"))
        .await
        .unwrap();
    let left = test.kites().list(&ListParams::default()).await.unwrap();
    assert_eq!(
        left.items
            .iter()
            .map(kube::ResourceExt::name_any)
            .collect::<Vec<_>>(),
        ["b"]
    );
}
