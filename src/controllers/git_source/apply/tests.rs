//! Revisions applied to an embedded API, without a repository.

use kube::api::PostParams;

use super::*;
use crate::api::Profile;
use crate::api::git_source::GitSourceStatus;
use crate::controllers::git_source::status::{Asked, build};
use crate::controllers::ground::Ground;
use crate::gitops::fetch::SourceFile;
use crate::gitops::read::read_documents;
use crate::telemetry::Metrics;

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000 + second).unwrap()
}

struct Story {
    ground: Ground,
    context: Context,
}

impl Story {
    async fn new() -> Self {
        let ground = Ground::new(at(0)).await;
        let context = ground.context(&Metrics::new());
        Self { ground, context }
    }

    fn sources(&self) -> Api<GitSource> {
        Api::namespaced(self.ground.client.clone(), "fleet")
    }

    fn profiles(&self) -> Api<Profile> {
        Api::namespaced(self.ground.client.clone(), "fleet")
    }

    async fn source(&self, name: &str) {
        let spec = json!({ "url": "https://git.example.com/policy.git", "pruneLimitPercent": 100 });
        let object = json!({ "apiVersion": names::API_VERSION, "kind": "GitSource", "spec": spec, "metadata": { "name": name } });
        self.sources()
            .create(&PostParams::default(), &serde_json::from_value(object).unwrap())
            .await
            .unwrap();
    }

    /// Applies a revision of profiles, each with a title, and writes the status.
    async fn apply(&self, source: &str, revision: &str, profiles: &[(&str, &str)]) -> Ended {
        let object = self.sources().get(source).await.unwrap();
        let ended = self.attempt(&object, revision, profiles).await;
        let current = self.sources().get(source).await.unwrap();
        let status = build(&current, &Asked::from(&object), &ended, at(0));
        let metrics = Metrics::new();
        crate::controllers::status::apply(&self.sources(), &current, &status, &metrics)
            .await
            .unwrap();
        ended
    }

    async fn attempt(&self, source: &GitSource, revision: &str, profiles: &[(&str, &str)]) -> Ended {
        let documents = documents(profiles);
        let about = About::new(revision, at(i64::try_from(revision.len()).unwrap()));
        apply(&self.context, source, about, &documents).await.unwrap()
    }

    async fn status(&self, source: &str) -> GitSourceStatus {
        self.sources()
            .get(source)
            .await
            .unwrap()
            .status
            .unwrap_or_default()
    }

    /// The title and revision of a profile.
    async fn profile(&self, name: &str) -> Option<(String, String)> {
        let found = self.profiles().get_opt(name).await.unwrap()?;
        let revision = found.annotations()[names::REVISION_ANNOTATION].clone();
        Some((found.spec.title, revision))
    }
}

fn documents(profiles: &[(&str, &str)]) -> Documents {
    let document = |(name, title): &(&str, &str)| {
        format!(
            "---\napiVersion: provost.dev/v1alpha1\nkind: Profile\nmetadata: {{name: {name}}}\n\
             spec: {{title: {title}, payloads: [{{payloadType: com.apple.dock, content: {{autohide: true}}}}]}}\n"
        )
    };
    let content = profiles.iter().map(document).collect::<String>().into_bytes();
    read_documents(
        &[SourceFile {
            path: "a.yaml".into(),
            content,
        }],
        "fleet",
    )
    .unwrap()
}

fn told(title: &str, revision: &str) -> (String, String) {
    (title.to_owned(), revision.to_owned())
}

#[tokio::test]
async fn an_object_carries_the_revision_that_last_changed_it() {
    let story = Story::new().await;
    story.source("policy").await;
    story
        .apply(
            "policy",
            "main@sha1:1",
            &[("a", "one"), ("b", "one"), ("c", "one")],
        )
        .await;
    story
        .apply("policy", "main@sha1:2", &[("a", "one"), ("b", "two")])
        .await;
    assert_eq!(story.profile("a").await, Some(told("one", "main@sha1:1")));
    assert_eq!(story.profile("b").await, Some(told("two", "main@sha1:2")));
    assert_eq!(story.profile("c").await, None, "it left git");
    // Changed by hand, it is set right, and is still of the commit that brought it.
    let by_hand = json!({ "spec": { "title": "mine" } });
    story
        .profiles()
        .patch("a", &PatchParams::default(), &Patch::Merge(&by_hand))
        .await
        .unwrap();
    story
        .apply("policy", "main@sha1:2", &[("a", "one"), ("b", "two")])
        .await;
    assert_eq!(story.profile("a").await, Some(told("one", "main@sha1:1")));
}

#[tokio::test]
async fn an_interrupted_apply_is_taken_up_again_under_its_own_revision() {
    let story = Story::new().await;
    story.source("policy").await;
    story
        .apply("policy", "main@sha1:1", &[("a", "one"), ("b", "one")])
        .await;
    // The second revision: the inventory is noted, one of two objects is changed, and the process ends.
    let source = story.sources().get("policy").await.unwrap();
    let next = documents(&[("a", "two"), ("b", "two")]);
    let policy = PrunePolicy {
        enabled: true,
        limit_percent: 100,
        allowed_revision: None,
    };
    let inventory = source.status.clone().unwrap().inventory;
    let Decision::Proceed(plan) = plan(&inventory, &next, "main@sha1:22", policy) else {
        panic!("it waits")
    };
    note_inventory(&story.context, &source, &plan.inventory_while_applying)
        .await
        .unwrap();
    let about = About::new("main@sha1:22", at(5));
    let objects = prepare(&story.context, &source, &about, &plan)
        .await
        .unwrap()
        .unwrap();
    send(&objects[0], false).await.unwrap().unwrap();

    story
        .apply("policy", "main@sha1:22", &[("a", "two"), ("b", "two")])
        .await;
    assert_eq!(story.profile("a").await, Some(told("two", "main@sha1:22")));
    assert_eq!(story.profile("b").await, Some(told("two", "main@sha1:22")));
    let status = story.status("policy").await;
    assert!(status.inventory.iter().all(|entry| !entry.digest.is_empty()));
}

#[tokio::test]
async fn what_another_source_holds_is_refused_until_it_lets_go() {
    let story = Story::new().await;
    story.source("one").await;
    story.source("two").await;
    story
        .apply("one", "main@sha1:1", &[("a", "one"), ("mine", "one")])
        .await;
    let Ended::Refused { findings, .. } = story
        .apply("two", "main@sha1:2", &[("a", "two"), ("b", "two")])
        .await
    else {
        panic!("it takes what is another's")
    };
    assert!(
        findings[0]
            .to_string()
            .contains("Profile a belongs to the GitSource one"),
        "{}",
        findings[0]
    );
    assert_eq!(story.profile("a").await, Some(told("one", "main@sha1:1")));
    assert_eq!(story.profile("b").await, None, "whole or not at all");
    // The other one stops holding it, without removing it.
    let keep = json!({ "spec": { "prune": false } });
    story
        .sources()
        .patch("one", &PatchParams::default(), &Patch::Merge(&keep))
        .await
        .unwrap();
    story.apply("one", "main@sha1:3", &[("mine", "one")]).await;
    story
        .apply("two", "main@sha1:2", &[("a", "two"), ("b", "two")])
        .await;
    assert_eq!(story.profile("a").await, Some(told("two", "main@sha1:2")));
    // What it has lost it does not remove.
    let one = story.sources().get("one").await.unwrap();
    let lost = InventoryEntry {
        kind: "Profile".into(),
        name: "a".into(),
        digest: String::new(),
    };
    assert_eq!(prune(&story.context, &one, &[lost]).await.unwrap(), None);
    assert!(story.profile("a").await.is_some());
}

#[tokio::test]
async fn what_the_api_refuses_changes_nothing() {
    let story = Story::new().await;
    story.source("policy").await;
    story.apply("policy", "main@sha1:1", &[("a", "one")]).await;
    let long = "x".repeat(300);
    let Ended::ApplyFailed { message, .. } = story
        .apply("policy", "main@sha1:2", &[("a", "two"), ("b", &long)])
        .await
    else {
        panic!("it was applied")
    };
    assert!(
        message.contains("a.yaml:") && message.contains("spec.title"),
        "{message}"
    );
    assert_eq!(story.profile("a").await, Some(told("one", "main@sha1:1")));
    assert_eq!(
        story.status("policy").await.artifact.unwrap().revision,
        "main@sha1:1"
    );
}

#[tokio::test]
async fn a_revision_that_removes_too_much_waits() {
    let story = Story::new().await;
    story.source("policy").await;
    story
        .apply("policy", "main@sha1:1", &[("a", "one"), ("b", "one")])
        .await;
    assert!(matches!(
        story.apply("policy", "main@sha1:2", &[]).await,
        Ended::Waiting { .. }
    ));
    assert!(story.profile("a").await.is_some());
    let allow = json!({ "metadata": { "annotations": { names::ALLOW_PRUNE_ANNOTATION: "main@sha1:2" } } });
    story
        .sources()
        .patch("policy", &PatchParams::default(), &Patch::Merge(&allow))
        .await
        .unwrap();
    assert!(matches!(
        story.apply("policy", "main@sha1:2", &[]).await,
        Ended::Applied { .. }
    ));
    assert_eq!(story.profile("a").await, None);
}

#[tokio::test]
async fn what_somebody_made_by_hand_is_taken_over() {
    let story = Story::new().await;
    story.source("policy").await;
    let mut profile: Profile =
        serde_json::from_value(documents(&[("a", "mine")]).objects[0].value.clone()).unwrap();
    profile.metadata.namespace = None;
    story
        .profiles()
        .create(&PostParams::default(), &profile)
        .await
        .unwrap();
    story.apply("policy", "main@sha1:1", &[("a", "one")]).await;
    assert_eq!(story.profile("a").await, Some(told("one", "main@sha1:1")));
}

#[tokio::test]
async fn a_source_whose_name_is_no_label_is_refused() {
    let story = Story::new().await;
    let source = |length: usize| -> GitSource {
        let spec = json!({ "url": "https://git.example.com/policy.git" });
        let metadata = json!({ "name": "s".repeat(length) });
        serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()
    };
    let create = async |length| {
        story
            .sources()
            .create(&PostParams::default(), &source(length))
            .await
    };
    create(63).await.unwrap();
    let refused = create(64).await.unwrap_err().to_string();
    assert!(
        refused.contains("metadata.name: at most 63 characters"),
        "{refused}"
    );
}
