//! Sources that take only what somebody who may has signed, with `git` and `ssh-keygen` as people use them.

use std::path::PathBuf;
use std::process::Command;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::{ListParams, PostParams};
use provost::api::git_source::{GitSourceStatus, RevisionResult};
use provost::api::{Baseline, DeviceGroup, GitSource, names};
use serde_json::json;

use crate::both;
use crate::world::{Api, SOURCE, World, condition, eventually, is_true, policy, text};

both!(only_what_a_listed_key_has_signed_comes_into_force);

const SIGNERS: &str = "policy-signers";

fn run(world: &World, program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program)
        .args(arguments)
        .current_dir(world.git.path())
        .env("HOME", world.path("home"))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

/// Makes a key; gives its file.
fn key(world: &World, name: &str) -> PathBuf {
    let file = world.path(name);
    run(
        world,
        "ssh-keygen",
        &[
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            name,
            "-f",
            file.to_str().unwrap(),
        ],
    );
    file
}

/// Commits the work tree, signed with a key. Gives the revision.
fn commit_signed(world: &World, message: &str, key: &std::path::Path) -> String {
    world.commit(message);
    let signer = format!("user.signingkey={}", key.display());
    let who = [
        "-c",
        "user.name=Ada",
        "-c",
        "user.email=ada@example.com",
        "-c",
        "gpg.format=ssh",
        "-c",
        &signer,
    ];
    run(
        world,
        "git",
        &[
            &who[..],
            &["commit", "-q", "--amend", "--no-edit", "--allow-empty", "-S"],
        ]
        .concat(),
    );
    format!("main@sha1:{}", run(world, "git", &["rev-parse", "HEAD"]))
}

/// The revision in force, and what the conditions `Ready` and `SourceVerified` say.
fn standing(status: &GitSourceStatus) -> (String, [String; 2]) {
    let shown = |kind| {
        let found = condition(&status.conditions, kind).unwrap();
        format!("{} {}", found.status, found.reason)
    };
    (
        status.artifact.clone().unwrap().revision,
        ["Ready", "SourceVerified"].map(shown),
    )
}

/// A revision changes nothing of what is in force, and the source says why.
async fn is_not_taken(world: &mut World, revision: &str, why: &str, in_force: &Baseline) {
    let good = &in_force.annotations()[names::REVISION_ANNOTATION];
    let status = world.look().await;
    let expected = ["False VerificationError", "False VerificationError"].map(str::to_owned);
    assert_eq!(standing(&status), (good.clone(), expected));
    assert!(is_true(&status.conditions, "Stalled"));
    let message = &condition(&status.conditions, "SourceVerified").unwrap().message;
    assert!(
        message.starts_with(revision) && message.contains(why),
        "{message}"
    );
    assert!(
        message.ends_with(&format!("; {good} stays in force")),
        "{message}"
    );
    let newest = &status.history[0];
    assert_eq!(
        (newest.revision.as_str(), newest.result),
        (revision, RevisionResult::Refused)
    );
    // Its status is the planner's, and may have come meanwhile.
    let now = world.api::<Baseline>().get("essentials").await.unwrap();
    assert_eq!(
        (&now.spec, now.annotations()),
        (&in_force.spec, in_force.annotations())
    );
    assert_eq!(world.api::<DeviceGroup>().get_opt("more").await.unwrap(), None);
}

/// Each refusal has its event.
async fn are_told(world: &World, revisions: &[String]) {
    let of_the_source = ListParams::default().fields(&format!("regarding.name={SOURCE}"));
    eventually("each refusal has its event", async || {
        let events = world
            .api::<Event>()
            .list(&of_the_source)
            .await
            .map_err(text)?
            .items;
        let refused = events
            .iter()
            .filter(|event| event.reason.as_deref() == Some("VerificationError"));
        let notes: Vec<&str> = refused.filter_map(|event| event.note.as_deref()).collect();
        let names = |revision: &String| notes.iter().any(|note| note.starts_with(revision.as_str()));
        if revisions.iter().all(names) {
            Ok(())
        } else {
            Err(format!("{notes:#?}"))
        }
    })
    .await;
}

async fn only_what_a_listed_key_has_signed_comes_into_force(api: Api) {
    let mut world = World::on(api).await;
    let (ada, eve) = (key(&world, "ada"), key(&world, "eve"));
    let public = std::fs::read_to_string(ada.with_extension("pub")).unwrap();
    let signers = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SIGNERS },
        "stringData": { "allowed_signers": format!("ada@example.com namespaces=\"git\" {public}") } });
    let mut spec = serde_json::to_value(world.source_spec()).unwrap();
    spec["verify"] = json!({ "secretRef": { "name": SIGNERS } });
    let source = GitSource::new(SOURCE, serde_json::from_value(spec.clone()).unwrap());

    // A tag can only be asked for where one is followed.
    let mut tag = spec;
    tag["verify"]["mode"] = json!("Tag");
    let wrong = GitSource::new("wrong", serde_json::from_value(tag).unwrap());
    let refused = world
        .api::<GitSource>()
        .create(&PostParams::default(), &wrong)
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("verify.mode Tag and TagAndHEAD need a tag to follow"),
        "{refused}"
    );

    world.write("fleet/groups.yaml", policy::EVERYONE);
    world.write("fleet/baseline.yaml", policy::ESSENTIALS);
    let good = commit_signed(&world, "Begin", &ada);
    world
        .api::<GitSource>()
        .create(&PostParams::default(), &source)
        .await
        .unwrap();
    let status = world.look().await;
    let ready = condition(&status.conditions, "Ready").unwrap();
    assert_eq!(ready.reason, "SecretNotFound", "{}", ready.message);
    assert_eq!(
        world
            .api::<Baseline>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items,
        []
    );

    world
        .api::<Secret>()
        .create(&PostParams::default(), &serde_json::from_value(signers).unwrap())
        .await
        .unwrap();
    let status = world.look().await;
    let as_it_should = ["True Succeeded".to_owned(), "True Verified".to_owned()];
    assert_eq!(standing(&status), (good.clone(), as_it_should.clone()));
    let signer = status.artifact.unwrap().signer.unwrap();
    assert!(
        signer.starts_with("the commit by ada@example.com (ssh-ed25519 SHA256:"),
        "{signer}"
    );
    let in_force = world.api::<Baseline>().get("essentials").await.unwrap();

    // Unsigned on top of what was signed; then signed by somebody else.
    world.write(
        "fleet/baseline.yaml",
        &policy::ESSENTIALS.replace("title: Essentials", "title: Nothing"),
    );
    world.write("fleet/more.yaml", &policy::group("more", "team", "lab"));
    let unsigned = world.commit("Loosen");
    let why = "is not signed; it must be, with one of 1 SSH keys";
    is_not_taken(&mut world, &unsigned, why, &in_force).await;
    world.write("fleet/note.yaml", "# nothing\n");
    let foreign = commit_signed(&world, "Loosen more", &eve);
    let why = "which is not among the keys of spec.verify.secretRef";
    is_not_taken(&mut world, &foreign, why, &in_force).await;
    are_told(&world, &[unsigned, foreign]).await;

    // Ada signs what is there: it is hers now.
    world.write("fleet/note.yaml", "# read by Ada\n");
    let mended = commit_signed(&world, "Sign off", &ada);
    let status = world.look().await;
    assert_eq!(standing(&status), (mended, as_it_should));
    let changed = world.api::<Baseline>().get("essentials").await.unwrap();
    assert_eq!(changed.spec.title, "Nothing");
}
