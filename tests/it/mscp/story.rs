//! A fork of mSCP's tree in git becomes Baselines, whose rules devices meet or say why nobody can tell.

use std::fs;
use std::path::Path;

use kube::ResourceExt as _;
use kube::api::PostParams;
use provost::api::baseline::UnprovenReason;
use provost::api::common::Platform;
use provost::api::git_source::{GitSourceStatus, SourceFormat};
use provost::api::{Baseline, GitSource, names};

use super::fixture;
use crate::both;
use crate::world::{Api, Setting, World, annotate, condition, eventually, is_true, policy, text};

both!(a_tree_in_git_becomes_baselines_and_a_wrong_one_changes_nothing);

/// The GitSource of the tree.
const LIBRARY: &str = "library";
const MAC: &str = "essential-macos-26.0";

/// Writes a tree of ours into the repository, below `mscp`.
fn write_tree(world: &World, folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            write_tree(world, &entry.path(), &path);
        } else {
            world.write(&path, &fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// Asks the library to look, and gives what it says then.
async fn look(world: &World, ask: &str) -> GitSourceStatus {
    let sources = world.api::<GitSource>();
    annotate(&sources, LIBRARY, names::RECONCILE_ANNOTATION, ask).await;
    eventually("the library looks at its repository", async || {
        let source = sources.get(LIBRARY).await.map_err(text)?;
        let status = source.status.unwrap_or_default();
        if status.last_handled_reconcile_at.as_deref() == Some(ask) {
            Ok(status)
        } else {
            Err(format!("{status:#?}"))
        }
    })
    .await
}

async fn a_tree_in_git_becomes_baselines_and_a_wrong_one_changes_nothing(api: Api) {
    // Among Macs of today some are on 26.
    let mut world = World::start(Setting {
        api,
        classic_percent: 0,
        ..Setting::default()
    })
    .await;
    write_tree(&world, &fixture("two"), "mscp");
    world.write("fleet/groups.yaml", policy::EVERYONE);
    world.write(
        "fleet/assignments.yaml",
        &policy::assignment("essential", "everyone", MAC, 0),
    );
    let revision = world.commit("Bring the library and who has to meet it");
    let mut spec = world.source_spec();
    spec.path = "mscp".to_owned();
    spec.format = SourceFormat::Mscp;
    world
        .api::<GitSource>()
        .create(&PostParams::default(), &GitSource::new(LIBRARY, spec))
        .await
        .unwrap();
    let status = look(&world, "first").await;
    assert!(is_true(&status.conditions, "Ready"), "{:#?}", status.conditions);
    let names: Vec<&str> = status.inventory.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["essential-ios-26.0", MAC]);

    let baseline = world.api::<Baseline>().get(MAC).await.unwrap();
    assert_eq!(baseline.annotations()[names::REVISION_ANNOTATION], revision);
    let rule = |id: &str| baseline.spec.rules.iter().find(|rule| rule.id == id).unwrap();
    let origin = rule("pwpolicy_length").origins.last().unwrap();
    assert_eq!(origin.path, "mscp/custom/rules/pwpolicy_length.yaml");
    assert_eq!(origin.blob.len(), 40);
    let reason = |id: &str| rule(id).unproven.as_ref().unwrap().reason;
    assert_eq!(reason("os_log_folder_owner"), UnprovenReason::OnDeviceCheck);
    assert_eq!(reason("os_trust_firm"), UnprovenReason::Conflict);
    assert_eq!(reason("os_trust_mild"), UnprovenReason::Conflict);

    // What can be enforced is, and passes; what cannot be told is unknown, whatever else there is.
    world.follow().await;
    world.look().await;
    world.enroll(12).await;
    let unknown = baseline
        .spec
        .rules
        .iter()
        .filter(|rule| rule.unproven.is_some() && rule.check.is_none())
        .count();
    eventually("Macs on 26 meet what can be enforced", async || {
        let devices = world.devices().await?;
        let statuses = devices.values().filter_map(|device| device.status.as_ref());
        let macs: Vec<_> = statuses
            .filter(|status| status.platform == Some(Platform::MacOS))
            .filter(|status| {
                status
                    .os_version
                    .as_deref()
                    .is_some_and(|os| os.starts_with("26"))
            })
            .collect();
        let met = macs.iter().all(|status| {
            let verdicts = status.verdicts;
            verdicts.fail == 0 && verdicts.pass > 0 && usize::try_from(verdicts.unknown).unwrap() >= unknown
        });
        if met && !macs.is_empty() {
            Ok(())
        } else {
            let all = devices.values().filter_map(|device| device.status.as_ref());
            let said = all.map(|status| (status.platform, status.os_version.clone(), status.verdicts));
            Err(format!("{:#?}", said.collect::<Vec<_>>()))
        }
    })
    .await;

    // A slip in the fork changes nothing, and is shown at its place.
    let file = "mscp/src/mscp/data/baselines/macos/essential_macos_26.0.yaml";
    let good =
        fs::read_to_string(fixture("two").join("src/mscp/data/baselines/macos/essential_macos_26.0.yaml"));
    world.write(
        file,
        &good.unwrap().replace("- os_bd_restrict", "- os_bd_restricted"),
    );
    world.commit("Slip");
    let status = look(&world, "second").await;
    let ready = condition(&status.conditions, "Ready").unwrap();
    assert_eq!(ready.status, "False");
    let expected = format!("{file}:16:9: profile[0].rules[3]: there is no rule `os_bd_restricted`");
    assert!(ready.message.contains(&expected), "{}", ready.message);
    assert_eq!(status.artifact.unwrap().revision, revision);
    let still = world.api::<Baseline>().get(MAC).await.unwrap();
    assert_eq!(still.spec, baseline.spec);
}
