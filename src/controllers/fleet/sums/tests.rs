use serde_json::json;

use super::*;
use crate::controllers::fleet::fixtures::*;

/// Three devices in the lab and one in the shop; the lab has a baseline and a profile twice, everybody has the profile.
fn world() -> World {
    let mut world = World::default();
    let twice = json!({ "groups": [{ "name": "lab" }, { "name": "all" }], "baselines": [{ "name": "cis" }],
                        "profiles": [{ "name": "dock" }], "mode": "Enforce" });
    let audit = json!({ "groups": [{ "name": "lab" }], "baselines": [{ "name": "cis" }], "profiles": [{ "name": "dock" }] });
    let events = [
        Event::Group(present(team("lab"))),
        Event::Group(present(group("all", &json!({ "selector": {} }), 1))),
        Event::Baseline(present(baseline("cis", 12, 1))),
        Event::Profile(present(profile("dock"))),
        Event::Assignment(present(assignment("enforce", &twice, 1))),
        Event::Assignment(present(assignment("audit", &audit, 1))),
    ];
    for event in events {
        world.observe(event);
    }
    for (name, team) in [("A", "lab"), ("B", "lab"), ("C", "lab"), ("D", "shop")] {
        world.enroll(enrollment(name, team), at(900), at(0));
    }
    for (id, plan) in world.place("https://mdm.example.com", at(5), || {}) {
        let device = world.devices.get_mut(&id).unwrap();
        device.enrollment.manifest = Some(plan.manifest.id);
        device.enrollment.manifest_at = Some(at(5));
    }
    world
}

fn sums(world: &World) -> Sums {
    sum(
        &world.fleets[&namespace("fleet")],
        world.devices.values().map(Box::as_ref),
        at(60),
    )
}

/// The verdicts of a device on rules, by name.
fn judged(world: &mut World, name: &str, passcode: Verdict, filevault: Verdict, profiles: &[bool]) {
    let device = world.devices.get_mut(&id(name)).unwrap();
    let plan = device.plan.clone().unwrap();
    device.verdicts = plan
        .demands
        .iter()
        .map(|demand| {
            if &*demand.rule == "passcode" {
                passcode
            } else {
                filevault
            }
        })
        .collect();
    device.profiles = profiles.into();
}

#[test]
fn devices_are_counted_by_state() {
    let mut world = world();
    judged(&mut world, "A", Verdict::Pass, Verdict::Pass, &[true]);
    judged(&mut world, "B", Verdict::Pass, Verdict::Fail, &[false]);
    judged(&mut world, "C", Verdict::Pass, Verdict::Unknown, &[true]);
    // D is not judged yet.
    let device = world.devices.get_mut(&id("A")).unwrap();
    device.enrollment.applied_manifest = device.enrollment.manifest;
    let sums = sums(&world);
    let enforce = &sums.tallies["enforce"];
    let devices = enforce.devices;
    assert_eq!(
        (devices.total, devices.compliant, devices.failing, devices.unknown),
        (4, 1, 1, 2)
    );
    assert_eq!((devices.synced, enforce.classes(), enforce.moved), (1, 2, 4));
    let verdicts = enforce.verdicts;
    assert_eq!((verdicts.pass, verdicts.fail, verdicts.unknown), (4, 1, 3));
    let control = |id: &str| {
        enforce
            .controls
            .iter()
            .find(|(control, _)| control.id == id)
            .unwrap()
            .1
    };
    assert_eq!(
        (control("5.2").verdicts.pass, control("2.6").verdicts.fail),
        (3, 1)
    );
    let on_devices = control("2.6").devices;
    assert_eq!((on_devices.pass, on_devices.fail, on_devices.unknown), (1, 1, 2));
    let cis = enforce.frameworks()["cis"];
    assert_eq!((cis.fail, cis.unknown), (1, 1), "the worst device decides");
    let audit = &sums.tallies["audit"];
    assert_eq!(
        (audit.devices.total, audit.devices.failing, audit.moved),
        (3, 1, 3),
        "only the lab"
    );
}

#[test]
fn a_profile_is_counted_once_a_device_and_by_its_own_proof() {
    let mut world = world();
    for (name, has_it) in [("A", true), ("B", true), ("C", false), ("D", true)] {
        judged(&mut world, name, Verdict::Fail, Verdict::Fail, &[has_it]);
    }
    assert_eq!(
        sums(&world).profiles["dock"],
        Installed {
            targeted: 4,
            applied: 3
        }
    );
}

#[test]
fn a_device_that_was_pointed_before_is_not_moved_again() {
    let mut world = world();
    world.devices.get_mut(&id("A")).unwrap().enrollment.manifest_at = Some(at(4));
    assert_eq!(sums(&world).tallies["enforce"].moved, 3);
}

#[test]
fn a_group_names_its_first_members() {
    let mut members = Members::default();
    for n in (0..100).rev() {
        members.add(&id(&format!("D{n:03}")));
    }
    assert_eq!((members.count, members.sample.len()), (100, SAMPLE));
    assert_eq!(members.sample.last(), Some(&id("D019")));
    let sums = sums(&world());
    assert_eq!((sums.members["lab"].count, sums.members["all"].count), (3, 4));
}
