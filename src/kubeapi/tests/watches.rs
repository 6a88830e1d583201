//! Watches: replay, bookmarks, compaction, streaming lists.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::ResourceExt as _;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};

use super::{Limits, TestApi, kite, kite_definition};

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("nothing happened for 20 s")
}

/// The lines of a watch that ends by itself.
async fn lines(test: &TestApi, path: &str) -> Vec<Value> {
    use tower::ServiceExt as _;
    let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
    let response = test.api.router().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let bytes = within(axum::body::to_bytes(response.into_body(), usize::MAX))
        .await
        .unwrap();
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn kinds(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["type"].as_str().unwrap()).collect()
}

const KITES: &str = "/apis/toys.example.org/v1/namespaces/default/kites";

#[tokio::test]
async fn a_watch_replays_from_its_revision_and_ends_in_time() {
    let test = TestApi::with_kites().await;
    let kites = test.kites();
    let first = kites.create(&PostParams::default(), &kite("a")).await.unwrap();
    let patch = Patch::Merge(json!({ "spec": { "tails": 2 } }));
    let changed = kites.patch("a", &PatchParams::default(), &patch).await.unwrap();
    kites
        .delete("a", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let from = first.resource_version().unwrap();
    let events = lines(
        &test,
        &format!("{KITES}?watch=1&resourceVersion={from}&timeoutSeconds=1"),
    )
    .await;
    assert_eq!(kinds(&events), ["MODIFIED", "DELETED"]);
    assert_eq!(
        events[0]["object"]["metadata"]["resourceVersion"],
        changed.resource_version().unwrap()
    );
    let revision = |event: &Value| {
        event["object"]["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse::<i64>()
            .unwrap()
    };
    assert!(
        revision(&events[1]) > revision(&events[0]),
        "a deletion has a revision of its own"
    );
}

#[tokio::test]
async fn a_watch_from_before_the_log_is_told_so_in_the_stream() {
    let test = TestApi::with_kites().await;
    for index in 0..3 {
        test.kites()
            .create(&PostParams::default(), &kite(&format!("k{index}")))
            .await
            .unwrap();
    }
    test.api.compact(test.api.revision()).await.unwrap();
    for revision in [2, test.api.revision() + 100] {
        let events = lines(&test, &format!("{KITES}?watch=1&resourceVersion={revision}")).await;
        assert_eq!(kinds(&events), ["ERROR"]);
        assert_eq!(
            (&events[0]["object"]["code"], &events[0]["object"]["reason"]),
            (&json!(410), &json!("Expired"))
        );
    }
}

#[tokio::test]
async fn a_streaming_list_says_where_the_beginning_ends() {
    let test = TestApi::with_kites().await;
    for name in ["a", "b"] {
        test.kites()
            .create(&PostParams::default(), &kite(name))
            .await
            .unwrap();
    }
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1";
    let events = lines(&test, &format!("{KITES}?{query}")).await;
    assert_eq!(kinds(&events), ["ADDED", "ADDED", "BOOKMARK", "BOOKMARK"]);
    assert_eq!(
        events[2]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert_eq!(
        events[2]["object"]["metadata"]["resourceVersion"],
        test.api.revision().to_string()
    );
}

#[tokio::test]
async fn an_object_that_leaves_the_selector_is_deleted_for_the_watch() {
    let test = TestApi::with_kites().await;
    let kites = test.kites();
    let start = test.api.revision();
    kites.create(&PostParams::default(), &kite("a")).await.unwrap();
    for label in [json!("yes"), Value::Null, json!("yes")] {
        let patch = Patch::Merge(json!({ "metadata": { "labels": { "mine": label } } }));
        kites.patch("a", &PatchParams::default(), &patch).await.unwrap();
    }
    let query = format!("watch=1&resourceVersion={start}&labelSelector=mine%3Dyes&timeoutSeconds=1");
    // Once from memory, once from disk.
    assert_eq!(
        kinds(&lines(&test, &format!("{KITES}?{query}")).await),
        ["ADDED", "DELETED", "ADDED"]
    );
    let reopened = super::open(test.folder.path(), Limits::default()).await;
    let test = TestApi {
        api: reopened,
        ..test
    };
    assert_eq!(
        kinds(&lines(&test, &format!("{KITES}?{query}")).await),
        ["ADDED", "DELETED", "ADDED"]
    );
}

#[tokio::test]
async fn the_runtime_watcher_survives_compaction_and_sees_everything() {
    let limits = Limits {
        log_changes: 8,
        memory_changes: 4,
        memory_bytes: 1 << 20,
    };
    let test = TestApi::with(limits).await;
    test.install(kite_definition()).await;
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists().page_size(2),
    ] {
        let kites = test.kites();
        let config = watcher::Config {
            page_size: None,
            ..config
        };
        let mut events = Box::pin(
            watcher(kites.clone(), config.timeout(2))
                .default_backoff()
                .applied_objects(),
        );
        let prefix = format!("k{}-", test.api.revision());
        let writer = async {
            for index in 0..60 {
                kites
                    .create(&PostParams::default(), &kite(&format!("{prefix}{index:02}")))
                    .await
                    .unwrap();
            }
        };
        let reader = async {
            let mut seen = std::collections::BTreeSet::new();
            while seen.len() < 60 {
                let object = events.try_next().await;
                if let Ok(Some(object)) = object
                    && object.name_any().starts_with(&prefix)
                {
                    seen.insert(object.name_any());
                }
            }
        };
        within(async { tokio::join!(writer, reader) }).await;
    }
}

#[tokio::test]
async fn a_watch_and_its_writer_leave_no_gap() {
    let test = TestApi::with_kites().await;
    let kites = test.kites();
    let start = test.api.revision().to_string();
    let mut stream = kites
        .watch(&WatchParams::default().timeout(20), &start)
        .await
        .unwrap()
        .boxed();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let kites = kites.clone();
            tokio::spawn(async move {
                for index in 0..25 {
                    kites
                        .create(&PostParams::default(), &kite(&format!("k{writer}-{index}")))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    let mut revisions = Vec::new();
    while revisions.len() < 100 {
        match within(stream.try_next()).await.unwrap() {
            Some(WatchEvent::Added(object)) => revisions.push(revision(&object)),
            other => panic!("{other:?}"),
        }
    }
    assert!(revisions.is_sorted(), "in order of revision");
    for writer in writers {
        writer.await.unwrap();
    }
}

fn revision(object: &DynamicObject) -> i64 {
    object.resource_version().unwrap().parse().unwrap()
}

#[tokio::test]
async fn metadata_alone_can_be_listed_and_watched() {
    let test = TestApi::with_kites().await;
    test.make_kite("a").await;
    let list = test
        .kites()
        .list_metadata(&kube::api::ListParams::default())
        .await
        .unwrap();
    assert_eq!(list.items[0].metadata.name.as_deref(), Some("a"));
    let api = test.kites();
    let mut watch = api
        .watch_metadata(&WatchParams::default().timeout(5), "0")
        .await
        .unwrap()
        .boxed();
    let Some(WatchEvent::Added(object)) = within(watch.try_next()).await.unwrap() else {
        panic!("no event")
    };
    assert_eq!(object.metadata.name.as_deref(), Some("a"));
}
