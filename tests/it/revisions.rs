//! Revisions of git that must not come into force, or not by themselves.

use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, PatchParams, PostParams};
use provost::api::git_source::{GitSourceStatus, RevisionResult};
use provost::api::{Baseline, DeviceGroup, GitSource, names};

use crate::both;
use crate::world::{Api, SOURCE, World, annotate, condition, eventually, is_true, policy, text};

both!(
    a_bad_file_leaves_the_last_good_revision_in_force_until_it_is_mended,
    documents_of_others_and_files_elsewhere_are_passed_over,
    a_revision_that_removes_much_or_holds_nothing_waits_for_leave,
    deleting_a_source_removes_what_it_brought_and_nothing_else,
    what_was_changed_by_hand_is_put_right_at_the_next_look,
);

const FILE: &str = "fleet/essentials.yaml";

/// A world without devices that follows one good revision.
async fn with_policy(api: Api) -> (World, String) {
    let mut world = World::on(api).await;
    world.write("fleet/groups.yaml", policy::EVERYONE);
    world.write(FILE, policy::ESSENTIALS);
    world.write(
        "fleet/assignments.yaml",
        &policy::essentials_for_everyone("Enforce", 8),
    );
    world.write("README.md", "Not policy.");
    let good = world.commit("Begin");
    world.follow().await;
    let status = world.look().await;
    assert!(is_true(&status.conditions, "Ready"), "{:#?}", status.conditions);
    (world, good)
}

/// The events on the source, as `kubectl describe` lists them: each revision has its own, also where the reason is the same, and the newest is last.
async fn told_in_order(world: &World, revisions: &[String]) {
    let events = world.api::<Event>();
    let of_the_source = ListParams::default().fields(&format!("regarding.name={SOURCE}"));
    eventually("each revision has its event", async || {
        let events = events.list(&of_the_source).await.map_err(text)?.items;
        let notes: Vec<&str> = events.iter().filter_map(|event| event.note.as_deref()).collect();
        let told = |(note, revision): (&&str, &String)| note.starts_with(revision.as_str());
        if notes.len() == revisions.len() && notes.iter().zip(revisions).all(told) {
            Ok(())
        } else {
            Err(format!("{notes:#?}"))
        }
    })
    .await;
}

/// The reason and message of a GitSource that is not ready.
fn complaint(status: &GitSourceStatus) -> (String, String) {
    let ready = condition(&status.conditions, "Ready").expect("a Ready condition");
    assert_eq!(ready.status, "False", "{}", ready.message);
    assert!(is_true(&status.conditions, "Stalled"));
    (ready.reason.clone(), ready.message.clone())
}

/// Mistakes: what they are, the file that has them, and what is said of them.
fn mistakes() -> Vec<(&'static str, String, &'static [&'static str])> {
    let secret = "kind: Secret\napiVersion: v1\nmetadata: { name: token }\nstringData: { token: x }\n";
    let source = "kind: GitSource\napiVersion: provost.dev/v1alpha1\nmetadata: { name: other }\nspec: { url: 'https://x/y' }\n";
    let contradiction = "    - id: firewall_off\n      title: The firewall is off\n      platforms: [{ name: macOS }]\n      enforce:\n        - profile:\n            payloadType: com.apple.security.firewall\n            content: { EnableFirewall: false }\n";
    vec![
        (
            "an unknown field",
            policy::ESSENTIALS.replace("severity: High", "serverity: High"),
            &["fleet/essentials.yaml:17:7: ", "serverity", "severity"],
        ),
        (
            "a value of the wrong type",
            policy::ESSENTIALS.replace("title: Essentials", "title: [Essentials]"),
            &["fleet/essentials.yaml:6:", "spec.title", "string"],
        ),
        (
            "a value that is not allowed",
            policy::ESSENTIALS.replace("severity: High", "severity: Terrible"),
            &["fleet/essentials.yaml:17:", "spec.rules[0].severity", "High"],
        ),
        (
            "two rules that contradict each other",
            format!("{}{contradiction}", policy::ESSENTIALS),
            &[
                "fleet/essentials.yaml:",
                "`firewall_on`",
                "`firewall_off`",
                "EnableFirewall",
            ],
        ),
        (
            "no YAML",
            policy::ESSENTIALS.replace("rules:", "rules: ]"),
            &["fleet/essentials.yaml:14:10: "],
        ),
        (
            "a Secret",
            format!("{}---\n{secret}", policy::ESSENTIALS),
            &["fleet/essentials.yaml:", "Secret"],
        ),
        (
            "a GitSource",
            format!("{}---\n{source}", policy::ESSENTIALS),
            &["fleet/essentials.yaml:", "GitSource"],
        ),
    ]
}

async fn a_bad_file_leaves_the_last_good_revision_in_force_until_it_is_mended(api: Api) {
    let (mut world, good) = with_policy(api).await;
    let in_force = world.api::<Baseline>().get("essentials").await.unwrap();
    let group = "kind: DeviceGroup\napiVersion: provost.dev/v1alpha1\nmetadata: { name: more }\nspec: { selector: {} }\n";
    for (what, bad, says) in mistakes() {
        world.write(FILE, &bad);
        // What is right in the same revision does not come into force either.
        world.write("fleet/more.yaml", group);
        let revision = world.commit(&format!("Try {what}"));
        let status = world.look().await;

        let (reason, message) = complaint(&status);
        assert_eq!(reason, "InvalidRevision", "{what}: {message}");
        assert!(message.contains(&revision), "{what}: {message}");
        for part in says {
            assert!(message.contains(part), "{what}: {part} is not in: {message}");
        }
        assert_eq!(status.artifact.as_ref().unwrap().revision, good, "{what}");
        assert_eq!(
            status.last_attempted_revision.as_deref(),
            Some(&*revision),
            "{what}"
        );
        let record = &status.history[0];
        assert_eq!(
            (record.revision.as_str(), record.result),
            (revision.as_str(), RevisionResult::Refused),
            "{what}"
        );
        assert_eq!(record.message, format!("Try {what}"));
        let still = world.api::<Baseline>().get("essentials").await.unwrap();
        assert_eq!(
            (&still.spec, still.annotations()),
            (&in_force.spec, in_force.annotations()),
            "{what}"
        );
        assert!(
            world
                .api::<DeviceGroup>()
                .get_opt("more")
                .await
                .unwrap()
                .is_none(),
            "{what}"
        );
    }

    world.write(
        FILE,
        &policy::ESSENTIALS.replace("severity: High", "severity: Low"),
    );
    let mended = world.bring_into_force("Mend it").await;
    let baseline = world.api::<Baseline>().get("essentials").await.unwrap();
    assert_eq!(baseline.annotations()[names::REVISION_ANNOTATION], mended);
    assert!(
        world
            .api::<DeviceGroup>()
            .get_opt("more")
            .await
            .unwrap()
            .is_some()
    );
    let history = world
        .api::<GitSource>()
        .get(SOURCE)
        .await
        .unwrap()
        .status
        .unwrap()
        .history;
    let results: Vec<RevisionResult> = history.iter().map(|record| record.result).collect();
    assert_eq!(results.len(), 9);
    let expected: Vec<String> = history
        .iter()
        .rev()
        .map(|record| record.revision.clone())
        .collect();
    told_in_order(&world, &expected).await;
    assert_eq!(
        (results[0], results[8]),
        (RevisionResult::Applied, RevisionResult::Applied)
    );
    assert!(
        results[1..8]
            .iter()
            .all(|result| *result == RevisionResult::Refused)
    );
}

async fn documents_of_others_and_files_elsewhere_are_passed_over(api: Api) {
    let (mut world, _) = with_policy(api).await;
    world.write(
        "fleet/other.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: x }\nspec: {}\n",
    );
    world.write(
        "elsewhere/broken.yaml",
        "apiVersion: provost.dev/v1alpha1\nkind: Baseline\nspec: 3\n",
    );
    world.bring_into_force("Share the repository").await;
    let artifact = world
        .api::<GitSource>()
        .get(SOURCE)
        .await
        .unwrap()
        .status
        .unwrap()
        .artifact
        .unwrap();
    assert_eq!((artifact.objects, artifact.other_documents), (3, 1));
}

async fn a_revision_that_removes_much_or_holds_nothing_waits_for_leave(api: Api) {
    let (mut world, first) = with_policy(api).await;
    let groups = async |world: &World| {
        let groups = world
            .api::<DeviceGroup>()
            .list(&ListParams::default())
            .await
            .unwrap();
        groups
            .into_iter()
            .map(|group| group.name_any())
            .collect::<Vec<_>>()
    };
    let allow = async |world: &World, revision: &str| {
        annotate(
            &world.api::<GitSource>(),
            SOURCE,
            names::ALLOW_PRUNE_ANNOTATION,
            revision,
        )
        .await;
        eventually("the revision comes into force", async || {
            let status = world
                .api::<GitSource>()
                .get(SOURCE)
                .await
                .map_err(text)?
                .status
                .unwrap();
            let there = status
                .artifact
                .as_ref()
                .is_some_and(|artifact| artifact.revision == revision);
            if there {
                Ok(status)
            } else {
                Err(format!("{:#?}", status.conditions))
            }
        })
        .await
    };

    // Two of three objects: more than a quarter.
    world.remove("fleet/assignments.yaml");
    world.remove(FILE);
    let large = world.commit("Remove the baseline and its assignment");
    let status = world.look().await;
    let (reason, message) = complaint(&status);
    assert_eq!(reason, "PruneNeedsApproval");
    for part in ["2 of 3", names::ALLOW_PRUNE_ANNOTATION, &large] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
    assert_eq!(status.history[0].result, RevisionResult::Waiting);
    assert_eq!(status.artifact.unwrap().revision, first);
    assert!(
        world
            .api::<Baseline>()
            .get_opt("essentials")
            .await
            .unwrap()
            .is_some()
    );

    // Leave for another revision is no leave for this one.
    annotate(
        &world.api::<GitSource>(),
        SOURCE,
        names::ALLOW_PRUNE_ANNOTATION,
        &first,
    )
    .await;
    assert_eq!(complaint(&world.look().await).0, "PruneNeedsApproval");

    let status = allow(&world, &large).await;
    assert!(is_true(&status.conditions, "Ready"), "{:#?}", status.conditions);
    assert_eq!(
        (status.history[0].revision.as_str(), status.history[0].result),
        (&*large, RevisionResult::Applied)
    );
    assert!(
        world
            .api::<Baseline>()
            .get_opt("essentials")
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(groups(&world).await, ["everyone"]);

    // Nothing at all: rather a mistake than a wish.
    world.remove("fleet/groups.yaml");
    world.write("fleet/.keep", "");
    let empty = world.commit("Remove everything");
    let (reason, message) = complaint(&world.look().await);
    assert_eq!(reason, "PruneNeedsApproval");
    assert!(message.contains("holds no Provost object"), "{message}");
    assert_eq!(groups(&world).await, ["everyone"]);
    let status = allow(&world, &empty).await;
    assert_eq!((status.artifact.unwrap().objects, status.inventory.len()), (0, 0));
    assert!(groups(&world).await.is_empty());
}

async fn deleting_a_source_removes_what_it_brought_and_nothing_else(api: Api) {
    let (world, _) = with_policy(api).await;
    let mine: DeviceGroup = serde_yaml::from_str(&policy::group("mine", "team", "lab")).unwrap();
    world
        .api::<DeviceGroup>()
        .create(&PostParams::default(), &mine)
        .await
        .unwrap();
    world
        .api::<GitSource>()
        .delete(SOURCE, &DeleteParams::default())
        .await
        .unwrap();
    eventually("the source is gone", async || {
        match world.api::<GitSource>().get_opt(SOURCE).await.map_err(text)? {
            None => Ok(()),
            Some(source) => Err(format!("{:#?}", source.metadata)),
        }
    })
    .await;
    assert!(
        world
            .api::<Baseline>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let groups = world
        .api::<DeviceGroup>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert_eq!(
        groups
            .into_iter()
            .map(|group| group.name_any())
            .collect::<Vec<_>>(),
        ["mine"]
    );
}

async fn what_was_changed_by_hand_is_put_right_at_the_next_look(api: Api) {
    let (mut world, _) = with_policy(api).await;
    let baselines = world.api::<Baseline>();
    let patch = serde_json::json!({ "spec": { "title": "Optional" } });
    baselines
        .patch(
            "essentials",
            &PatchParams::default(),
            &kube::api::Patch::Merge(&patch),
        )
        .await
        .unwrap();
    world
        .api::<DeviceGroup>()
        .delete("everyone", &DeleteParams::default())
        .await
        .unwrap();
    world.look().await;
    assert_eq!(
        baselines.get("essentials").await.unwrap().spec.title,
        "Essentials"
    );
    assert!(
        world
            .api::<DeviceGroup>()
            .get_opt("everyone")
            .await
            .unwrap()
            .is_some()
    );
}
