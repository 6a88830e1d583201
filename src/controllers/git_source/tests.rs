//! A controller whose predecessor has not quite ended.

use std::net::TcpListener;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::*;
use crate::api::{crds, names};
use crate::controllers::ground::Ground;
use crate::telemetry::Metrics;

fn sources(ground: &Ground, fetcher: &Arc<Fetcher>, cache: &std::path::Path) -> Arc<Sources> {
    Arc::new(Sources {
        context: ground.context(&Metrics::new()),
        fetcher: Arc::clone(fetcher),
        stop: CancellationToken::new(),
        schemas: Arc::new(SchemaSet::new(&crds::all()).unwrap()),
        apple_schema: apple_schema::Settings {
            source: None,
            file: cache.join("apple-schema.json"),
        },
        cache: cache.to_owned(),
        looks: Mutex::default(),
        errors: Mutex::default(),
    })
}

async fn create(ground: &Ground, url: &str) -> (Api<GitSource>, GitSource) {
    let api: Api<GitSource> = Api::namespaced(ground.client.clone(), "fleet");
    let object = json!({ "apiVersion": names::API_VERSION, "kind": "GitSource", "metadata": { "name": "policy" }, "spec": { "url": url } });
    let object = serde_json::from_value(object).unwrap();
    let source = api.create(&PostParams::default(), &object).await.unwrap();
    (api, source)
}

fn as_watched(source: &GitSource) -> Arc<DeserializeGuard<GitSource>> {
    Arc::new(DeserializeGuard(Ok(source.clone())))
}

#[tokio::test]
async fn an_object_that_is_seen_twice_before_its_finalizer_is_no_error() {
    let ground = Ground::new(Timestamp::UNIX_EPOCH).await;
    let folder = tempfile::tempdir().unwrap();
    let (api, source) = create(&ground, "https://git.example.com/policy.git").await;
    let sources = sources(&ground, &Arc::default(), folder.path());
    for _ in 0..2 {
        reconcile(as_watched(&source), Arc::clone(&sources))
            .await
            .unwrap();
        let note = json!({ "metadata": { "annotations": { "example.com/note": "written right after" } } });
        api.patch("policy", &PatchParams::default(), &Patch::Merge(&note))
            .await
            .unwrap();
    }
    let found = api.get("policy").await.unwrap();
    assert_eq!(found.finalizers(), [names::SOURCE_FINALIZER]);
}

#[tokio::test]
async fn a_term_begins_no_fetch_while_one_of_the_last_term_runs_and_says_nothing_of_it() {
    let ground = Ground::new(Timestamp::UNIX_EPOCH).await;
    let folder = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let (api, source) = create(&ground, &format!("https://127.0.0.1:{port}/policy.git")).await;
    let fetcher = Arc::default();
    let old = sources(&ground, &fetcher, folder.path());
    let new = sources(&ground, &fetcher, folder.path());

    let (working, subject) = (Arc::clone(&old), source.clone());
    let stuck = tokio::spawn(async move { working.look(&subject).await });
    let connection = tokio::task::spawn_blocking(move || silent.accept().unwrap().0)
        .await
        .unwrap();
    old.stop.cancel();
    assert_eq!(new.look(&source).await.unwrap(), Action::requeue(SOON));
    drop(connection);
    assert_eq!(stuck.await.unwrap().unwrap(), Action::await_change());
    let status = api.get("policy").await.unwrap().status;
    assert!(
        status.is_none_or(|status| status.conditions.is_empty()),
        "neither has found anything out"
    );

    let again = new.look(&source).await.unwrap();
    assert_ne!(again, Action::requeue(SOON), "now it is the new term's turn");
    let status = api.get("policy").await.unwrap().status.unwrap();
    assert_eq!(status.conditions[0].reason, "GitOperationFailed");
}
