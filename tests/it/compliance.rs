//! A commit makes a fleet compliant, and after that nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use kube::ResourceExt as _;
use kube::api::ListParams;
use provost::api::assignment::AssignmentMode;
use provost::api::common::{Platform, Verdict};
use provost::api::device::TransitionRecord;
use provost::api::git_source::RevisionResult;
use provost::api::{Assignment, Baseline, DeviceGroup, GitSource, names};

use crate::both;
use crate::world::standing::{history_of, status, sums};
use crate::world::{
    AUTHOR, Api, NAMESPACE, SOURCE, Setting, World, condition, eventually, is_true, policy, still, text,
};

both!(
    a_commit_makes_a_fleet_compliant_and_then_nothing_is_written,
    a_tightening_commit_moves_only_whom_it_concerns_at_the_cost_of_classes,
);

const DEVICES: usize = 8;

/// A world under the policy that ships: baselines and examples.
async fn under_shipped_policy(api: Api) -> (World, String) {
    let mut world = World::on(api).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (from, to) in [
        ("examples/quickstart/fleet/groups.yaml", "fleet/groups.yaml"),
        (
            "examples/quickstart/fleet/assignments.yaml",
            "fleet/assignments.yaml",
        ),
        ("examples/quickstart/fleet/watch.yaml", "fleet/watch.yaml"),
        (
            "examples/quickstart/fleet/profiles/login-window.yaml",
            "fleet/profiles/login-window.yaml",
        ),
        (
            "baselines/macos-essentials.yaml",
            "fleet/baselines/macos-essentials.yaml",
        ),
        (
            "baselines/ios-essentials.yaml",
            "fleet/baselines/ios-essentials.yaml",
        ),
    ] {
        world.write(to, &fs::read_to_string(root.join(from)).unwrap());
    }
    let revision = world.commit("Bring the fleet under policy");
    world.follow().await;
    world.enroll(u32::try_from(DEVICES).unwrap()).await;
    world.look().await;
    (world, revision)
}

async fn a_commit_makes_a_fleet_compliant_and_then_nothing_is_written(api: Api) {
    let (mut world, revision) = under_shipped_policy(api).await;
    let devices = world.compliant(DEVICES, &revision).await;

    // The fleet is a mixed one: Macs and others, with and without declarations.
    let kinds: BTreeSet<(bool, bool)> = devices
        .values()
        .map(status)
        .map(|status| {
            (
                status.platform == Some(Platform::MacOS),
                status.declarative_management,
            )
        })
        .collect();
    assert_eq!(kinds.len(), 4, "{kinds:?}");

    for device in devices.values() {
        let status = status(device);
        assert_eq!(
            (
                status.verdicts.fail,
                status.verdicts.unknown,
                status.failing_rules.len()
            ),
            (0, 0, 0)
        );
        assert!(status.verdicts.pass > 5, "{:?}", status.verdicts);
        assert_eq!(
            status.enrollment_id.as_deref().map(str::to_lowercase),
            device.metadata.name
        );
        assert_eq!(
            device.labels()[names::PLATFORM_LABEL],
            status.platform.unwrap().to_string()
        );
        let enrolled = status.history.last().expect("a history");
        assert_eq!((enrolled.evidence.as_str(), &enrolled.rule), ("CheckIn", &None));
        // The first evaluation names the revision, what it found and where.
        let evaluated = |record: &&TransitionRecord| record.from.is_none() && record.evidence != "CheckIn";
        let first = status
            .history
            .iter()
            .rfind(evaluated)
            .expect("a first evaluation");
        assert_eq!(
            first.revision.as_deref(),
            Some(&*revision),
            "{:#?}",
            status.history
        );
        assert!(!first.evidence.is_empty() && !first.reason.is_empty());
        assert!(
            serde_json::to_vec(&status).unwrap().len() < 8 << 10,
            "a status is at most 8 KiB"
        );
    }

    expect_objects_from_git(&world, &revision).await;
    expect_sums(&world, &revision).await;
    expect_source(&world, &revision).await;

    // Nothing but time passes now, even when the source looks again and again.
    let before = still("nothing is written", async || versions(&world).await).await;
    let applied = world
        .api::<GitSource>()
        .get(SOURCE)
        .await
        .unwrap()
        .status
        .unwrap()
        .artifact;
    for _ in 0..2 {
        let status = world.look().await;
        assert_eq!(status.artifact, applied);
        assert_eq!(status.history.len(), 1);
        assert_eq!(
            still("nothing is written", async || versions(&world).await).await,
            before
        );
    }
}

/// The resource versions of everything that a controller could write, but for the GitSource that is being annotated.
async fn versions(world: &World) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    for (name, device) in world.devices().await.unwrap() {
        versions.insert(format!("device {name}"), device.resource_version().unwrap());
    }
    for (name, assignment) in world.assignments().await.unwrap() {
        versions.insert(
            format!("assignment {name}"),
            assignment.resource_version().unwrap(),
        );
    }
    for baseline in world
        .api::<Baseline>()
        .list(&ListParams::default())
        .await
        .unwrap()
    {
        versions.insert(
            format!("baseline {}", baseline.name_any()),
            baseline.resource_version().unwrap(),
        );
    }
    for group in world
        .api::<DeviceGroup>()
        .list(&ListParams::default())
        .await
        .unwrap()
    {
        versions.insert(
            format!("group {}", group.name_any()),
            group.resource_version().unwrap(),
        );
    }
    versions
}

async fn expect_objects_from_git(world: &World, revision: &str) {
    let baseline = world.api::<Baseline>().get("macos-essentials").await.unwrap();
    assert_eq!(baseline.annotations()[names::REVISION_ANNOTATION], revision);
    assert_eq!(
        baseline.annotations()[names::FILE_ANNOTATION],
        "fleet/baselines/macos-essentials.yaml"
    );
    assert_eq!(baseline.labels()[names::SOURCE_LABEL], SOURCE);
    // Written for itself, and perhaps a moment later than what devices say.
    let status = eventually("the baseline is judged", async || {
        let baseline = world.api::<Baseline>().get("macos-essentials").await;
        let status = baseline.map_err(text)?.status.unwrap_or_default();
        if is_true(&status.conditions, "Ready") {
            Ok(status)
        } else {
            Err(format!("{status:#?}"))
        }
    })
    .await;
    assert_eq!(status.rules, i64::try_from(baseline.spec.rules.len()).unwrap());
    assert_eq!(status.revision.as_deref(), Some(revision));
    // So is the group.
    eventually("the members are counted", async || {
        let group = world.api::<DeviceGroup>().get("macs").await;
        let status = group.map_err(text)?.status.unwrap_or_default();
        let sample = i64::try_from(status.sample.len()).unwrap();
        if status.members > 0 && sample == status.members {
            Ok(())
        } else {
            Err(format!("{status:#?}"))
        }
    })
    .await;
}

async fn expect_sums(world: &World, revision: &str) {
    let assignments = world.assignments().await.unwrap();
    let enforced: i64 = assignments
        .values()
        .filter(|assignment| assignment.spec.mode == AssignmentMode::Enforce)
        .map(|assignment| sums(assignment).devices.compliant)
        .sum();
    assert_eq!(enforced, i64::try_from(DEVICES).unwrap());
    let macs: &Assignment = &assignments["macs"];
    let macs = sums(macs);
    assert!(is_true(&macs.conditions, "Ready") && is_true(&macs.conditions, "Compliant"));
    assert_eq!(
        macs.observed_generation,
        assignments["macs"].metadata.generation.unwrap()
    );
    assert!(macs.controls_total >= i64::try_from(macs.controls.len()).unwrap() && macs.controls.len() > 10);
    for control in &macs.controls {
        assert_eq!(
            (control.verdicts.fail, control.verdicts.unknown),
            (0, 0),
            "{control:?}"
        );
        assert!(
            control.verdicts.pass + control.verdicts.not_applicable > 0,
            "{control:?}"
        );
    }
    assert_eq!(macs.history.len(), 1);
    assert_eq!(
        (macs.history[0].revision.as_str(), macs.history[0].moved),
        (revision, macs.devices.total)
    );
}

async fn expect_source(world: &World, revision: &str) {
    let source = world.api::<GitSource>().get(SOURCE).await.unwrap();
    let status = source.status.unwrap();
    let ready = condition(&status.conditions, "Ready").unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("True", "Succeeded")
    );
    assert_eq!(status.observed_generation, source.metadata.generation.unwrap());
    let artifact = status.artifact.unwrap();
    assert_eq!(artifact.revision, revision);
    assert_eq!(usize::try_from(artifact.objects).unwrap(), status.inventory.len());
    let record = &status.history[0];
    assert_eq!(
        (record.revision.as_str(), record.result),
        (revision, RevisionResult::Applied)
    );
    assert_eq!(
        (record.author.as_str(), record.message.as_str()),
        (AUTHOR, "Bring the fleet under policy")
    );
}

/// Thirty devices of sales under the essentials, ten of the lab under another policy. Gives the revision and the assignment of sales.
async fn sales_and_lab(api: Api) -> (World, String, String) {
    let mut world = World::start(Setting {
        api,
        classic_percent: 25,
        ..Setting::default()
    })
    .await;
    let groups = [
        policy::group("sales", "team", "sales"),
        policy::group("lab", "team", "lab"),
    ];
    let payload = "com.apple.applicationaccess";
    let lab = policy::one_rule("lab", "no_cloud", payload, "allowCloudBackup", "false");
    let sales = policy::essentials_for_everyone("Enforce", 8).replace("everyone", "sales");
    world.write("fleet/groups.yaml", &groups.join("---\n"));
    world.write("fleet/lab.yaml", &lab);
    world.write(
        "fleet/lab-assignment.yaml",
        &policy::assignment("lab", "lab", "lab", 0),
    );
    world.write("fleet/essentials.yaml", policy::ESSENTIALS);
    world.write("fleet/sales-assignment.yaml", &sales);
    let loose = world.commit("Begin");
    world.follow().await;
    let mut invitations = world.invite(30, NAMESPACE, "team=sales").await;
    invitations.extend(world.invite(10, NAMESPACE, "team=lab").await);
    world.hand_out(&invitations).await;
    world.compliant(40, &loose).await;
    still("the fleet is at rest", async || versions(&world).await).await;
    (world, loose, sales)
}

async fn a_tightening_commit_moves_only_whom_it_concerns_at_the_cost_of_classes(api: Api) {
    let (mut world, loose, sales) = sales_and_lab(api).await;
    let before = world.devices().await.unwrap();
    let count = async |world: &World| {
        let of = |name: &'static str| world.server.metric(name);
        [
            of("provost_policy_compiles_total").await,
            of("provost_pointer_writes_total").await,
            of("provost_pointer_transactions_total").await,
        ]
    };
    let [compiles, writes, transactions] = count(&world).await;
    let classes = world.server.metric("provost_classes").await;
    assert!((2..20).contains(&classes), "{classes} classes");

    world.write(
        "fleet/sales-assignment.yaml",
        &sales.replace("passcodeLength: 8", "passcodeLength: 10"),
    );
    let tight = world.bring_into_force("Ask sales for ten characters").await;
    let after = eventually("sales have moved", async || {
        // The sums first: they are written after what they add up.
        let assignments = world.assignments().await?;
        let devices = world.devices().await?;
        let there = sums(&assignments["essentials"]);
        let moved = there.revision.as_deref() == Some(&*tight)
            && there.devices.synced == 30
            && there.devices.compliant == 30;
        if moved {
            Ok(devices)
        } else {
            Err(format!("{there:#?}"))
        }
    })
    .await;

    let [compiles_after, writes_after, transactions_after] = count(&world).await;
    assert_eq!(writes_after - writes, 30, "only whom it concerns");
    assert_eq!(transactions_after - transactions, 1, "all at once");
    assert!(
        compiles_after - compiles <= classes,
        "{} compiles for {classes} classes",
        compiles_after - compiles
    );
    for (name, device) in &after {
        let (was, is) = (status(&before[name]), status(device));
        let concerned = device.labels()["team"] == "sales";
        assert_eq!(was.manifest != is.manifest, concerned);
        assert_eq!(
            is.revision.as_deref(),
            Some(if concerned { &*tight } else { &*loose })
        );
        if !concerned {
            assert_eq!(
                device.resource_version(),
                before[name].resource_version(),
                "not even touched"
            );
        }
    }
    let history = &sums(&world.assignments().await.unwrap()["essentials"]).history;
    assert_eq!(
        (history[0].revision.as_str(), history[0].moved),
        (tight.as_str(), 30)
    );
    assert_eq!(history[1].revision, loose);
    for device in after.values().filter(|device| device.labels()["team"] == "sales") {
        let verdicts: Vec<_> = history_of(device, "essentials/passcode_length");
        let last = verdicts.last().expect("a history");
        assert_eq!(last.to, Some(Verdict::Pass), "{verdicts:#?}");
    }
}
