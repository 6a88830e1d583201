use serde_json::json;

use super::*;
use crate::controllers::fleet::fixtures::*;

const URL: &str = "https://mdm.example.com";

/// A world in which everything was listed and is placed.
fn settled(events: Vec<Event>, enrollments: Vec<Enrollment>) -> World {
    let mut world = World::default();
    for event in empty_lists().into_iter().chain(events) {
        world.observe(event);
    }
    for enrollment in enrollments {
        world.enroll(enrollment, at(900), at(0));
    }
    settle(&mut world);
    world
}

/// Does everything that is due, as far as the world is concerned. Gives the devices that were to move.
fn settle(world: &mut World) -> Vec<EnrollmentId> {
    let moves = world.place(URL, at(0), || {});
    for (id, plan) in &moves {
        let device = world.devices.get_mut(id).unwrap();
        device.enrollment.manifest = Some(plan.manifest.id);
        device.ordered = true;
    }
    world.judge.clear();
    world.deleting.clear();
    world.unclaimed.clear();
    for fleet in world.fleets.values_mut() {
        fleet.resum = false;
    }
    moves.into_iter().map(|(id, _)| id).collect()
}

fn lab() -> World {
    let policy = vec![
        Event::Group(present(team("lab"))),
        Event::Group(present(team("shop"))),
        Event::Baseline(present(baseline("cis", 12, 1))),
        Event::Assignment(present(enforced("all", "lab", "cis"))),
    ];
    settled(policy, vec![enrollment("A", "lab"), enrollment("B", "shop")])
}

fn key_of(name: &str) -> Key {
    Key {
        namespace: namespace("fleet"),
        name: name.into(),
    }
}

#[test]
fn nothing_is_planned_before_every_kind_was_listed() {
    let mut world = World::default();
    let mut events = empty_lists();
    events.pop();
    for event in events {
        world.observe(event);
    }
    assert!(!world.complete());
    world.observe(Event::Device(Watched::Listed));
    assert!(world.complete());
}

#[test]
fn a_new_list_takes_away_what_it_does_not_name() {
    let mut world = lab();
    for event in [
        Event::Assignment(Watched::Listing),
        Event::Assignment(Watched::Listed),
        Event::Group(Watched::Listing),
        Event::Group(present(team("lab"))),
        Event::Group(Watched::Listed),
    ] {
        world.observe(event);
    }
    let policies = &world.fleets[&namespace("fleet")].policies;
    assert_eq!(
        (
            policies.assignments.len(),
            policies.groups.len(),
            policies.baselines.len()
        ),
        (0, 1, 1)
    );
    assert_eq!(
        settle(&mut world),
        [id("A")],
        "only the device of the assignment moves"
    );
}

#[test]
fn a_list_that_breaks_off_takes_nothing_away() {
    let mut world = lab();
    world.observe(Event::Assignment(Watched::Listing));
    // The connection broke: it begins anew.
    world.observe(Event::Assignment(Watched::Listing));
    world.observe(Event::Assignment(present(enforced("all", "lab", "cis"))));
    world.observe(Event::Assignment(Watched::Listed));
    assert!(!world.due());
}

#[test]
fn our_own_status_coming_back_is_no_reason_to_plan() {
    let mut world = lab();
    let mut written = enforced("all", "lab", "cis");
    written.metadata.resource_version = Some("7".to_owned());
    written.status = Some(crate::api::AssignmentStatus {
        classes: 1,
        ..Default::default()
    });
    world.observe(Event::Assignment(present(written)));
    assert!(!world.due());
    // An older event that was under way does not bring the old status back.
    world.observe(Event::Assignment(present(enforced("all", "lab", "cis"))));
    let known = &world.fleets[&namespace("fleet")].policies.assignments["all"];
    assert_eq!(known.status.as_ref().unwrap().classes, 1);
    // A new list is right, whatever its numbers: the API may have been restored from a backup.
    for event in [
        Event::Assignment(Watched::Listing),
        Event::Assignment(present(enforced("all", "lab", "cis"))),
    ] {
        world.observe(event);
    }
    assert_eq!(
        world.fleets[&namespace("fleet")].policies.assignments["all"].status,
        None
    );
}

#[test]
fn a_label_moves_a_device_into_another_group() {
    let mut world = lab();
    let labels = |team| device_object("b", "u", &[("team", team), (names::PLATFORM_LABEL, "macOS")]);
    world.observe(Event::Device(present(labels("shop"))));
    assert_eq!(
        settle(&mut world),
        [],
        "an object with other labels that mean the same moves nothing"
    );
    world.observe(Event::Device(present(labels("lab"))));
    assert_eq!(settle(&mut world), [id("B")]);
    assert_eq!(names_of(&world.devices[&id("B")].assignments), ["all"]);
    world.observe(Event::Device(present(labels("lab"))));
    assert!(!world.due(), "the same again is nothing new");
}

#[test]
fn a_device_sees_its_platform_label_before_it_has_an_object() {
    let macs = group(
        "macs",
        &serde_json::json!({ "selector": { "matchLabels": { names::PLATFORM_LABEL: "macOS" } } }),
        1,
    );
    let world = settled(vec![Event::Group(present(macs))], vec![enrollment("A", "lab")]);
    assert_eq!(names_of(&world.devices[&id("A")].groups), ["macs"]);
}

#[test]
fn an_object_that_goes_while_the_device_is_enrolled_is_made_again() {
    let mut world = lab();
    world.observe(Event::Device(present(device_object(
        "a",
        "u",
        &[("team", "lab")],
    ))));
    settle(&mut world);
    world.devices.get_mut(&id("A")).unwrap().status_digest = Some(1);
    world.observe(Event::Device(gone("a")));
    assert!(world.judge.contains(&id("A")));
    let device = &world.devices[&id("A")];
    assert_eq!((&device.object, device.status_digest), (&None, None));
}

#[test]
fn another_object_of_the_name_has_none_of_the_status() {
    let mut world = lab();
    world.observe(Event::Device(present(device_object("a", "u1", &[]))));
    world.devices.get_mut(&id("A")).unwrap().status_digest = Some(1);
    world.observe(Event::Device(present(device_object("a", "u2", &[]))));
    assert_eq!(world.devices[&id("A")].status_digest, None);
}

#[test]
fn an_object_without_an_enrolment_is_told_of_once_and_waits_for_it() {
    let mut world = lab();
    world.observe(Event::Device(present(device_object(
        "c",
        "u",
        &[("team", "lab")],
    ))));
    assert_eq!(world.unclaimed, BTreeSet::from([key_of("c")]));
    settle(&mut world);
    world.observe(Event::Device(present(device_object(
        "c",
        "u",
        &[("team", "lab")],
    ))));
    assert!(!world.due());
    world.enroll(enrollment("C", "shop"), at(900), at(0));
    settle(&mut world);
    let device = &world.devices[&id("C")];
    assert!(device.object.is_some());
    assert_eq!(
        names_of(&device.groups),
        ["lab"],
        "the object's labels count, not those of the invitation"
    );
}

#[test]
fn a_device_that_enrols_into_another_fleet_leaves_its_object_behind() {
    let mut world = lab();
    world.observe(Event::Device(present(device_object(
        "a",
        "u",
        &[("team", "lab")],
    ))));
    settle(&mut world);
    let moved = Enrollment {
        namespace: namespace("other"),
        enrolled_at: at(5),
        ..enrollment("A", "lab")
    };
    world.enroll(moved, at(900), at(5));
    assert_eq!(world.unclaimed, BTreeSet::from([key_of("a")]));
    assert!(world.by_object(&key_of("a")).is_none());
    settle(&mut world);
    let device = &world.devices[&id("A")];
    assert_eq!(
        (device.object.is_none(), names_of(&device.assignments).len()),
        (true, 0)
    );
}

#[test]
fn a_device_that_enrols_again_begins_anew() {
    let mut world = lab();
    let known = world.devices.get_mut(&id("A")).unwrap();
    known.verdicts = Box::from([crate::api::common::Verdict::Pass]);
    known.corrected_at = Some(at(3));
    world.enroll(
        Enrollment {
            enrolled_at: at(5),
            ..enrollment("A", "lab")
        },
        at(905),
        at(5),
    );
    let device = &world.devices[&id("A")];
    assert_eq!(
        (device.verdicts.len(), device.corrected_at, device.ordered),
        (0, None, false)
    );
    assert_eq!(
        settle(&mut world),
        [id("A")],
        "its pointer was cleared, and is written again"
    );
}

#[test]
fn what_a_device_has_just_applied_is_looked_at_now() {
    let mut world = lab();
    let manifest = world.devices[&id("A")].enrollment.manifest;
    let applied = Enrollment {
        manifest,
        applied_manifest: manifest,
        ..enrollment("A", "lab")
    };
    world.enroll(applied.clone(), at(900), at(7));
    assert_eq!(world.evidence.due(&at(7)), [id("A")]);
    world.enroll(applied, at(900), at(8));
    assert_eq!(world.devices[&id("A")].evidence_due, at(7), "once");
}

#[test]
fn a_deletion_goes_on_when_the_enrolment_has_ended() {
    let mut world = lab();
    let mut held = device_object("a", "u", &[]);
    held.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(5)));
    world.observe(Event::Device(present(held)));
    assert_eq!(world.deleting, BTreeSet::from([key_of("a")]));
    settle(&mut world);
    world.enroll(
        Enrollment {
            state: EnrollmentState::Ended,
            ..enrollment("A", "lab")
        },
        at(900),
        at(6),
    );
    assert_eq!(world.deleting, BTreeSet::from([key_of("a")]));
    settle(&mut world);
    world.observe(Event::Device(gone("a")));
    assert!(!world.devices.contains_key(&id("A")), "and then it is forgotten");
    assert!(world.strays.is_empty());
}

#[test]
fn an_ended_enrolment_without_an_object_is_not_kept() {
    let ended = Enrollment {
        state: EnrollmentState::Ended,
        ..enrollment("A", "lab")
    };
    assert!(settled(Vec::new(), vec![ended]).devices.is_empty());
}

use crate::api::names;

#[test]
fn a_waiver_has_those_judged_that_it_is_for_and_plans_nothing_anew() {
    let waiver = |name: &str, team: &str, generation: i64| {
        let spec = json!({ "rules": ["passcode"], "selector": { "matchLabels": { "team": team } }, "reason": "r",
                           "approvedBy": "a", "expiresAt": at(3_600).to_string() });
        waiver(name, &spec, generation)
    };
    let mut world = lab();
    world.judge.clear();
    world.observe(Event::Waiver(present(waiver("repair", "lab", 1))));
    assert!(!world.fleets[&namespace("fleet")].replan);
    assert_eq!(world.judge, [id("A")].into());
    world.judge.clear();
    // Its own status coming back.
    world.observe(Event::Waiver(present(waiver("repair", "lab", 1))));
    assert!(world.judge.is_empty());
    // For others now: those it was for, and those it is for.
    world.observe(Event::Waiver(present(waiver("repair", "shop", 2))));
    assert_eq!(world.judge, [id("A"), id("B")].into());
    world.judge.clear();
    world.end_waivers(at(3_599));
    assert!(world.judge.is_empty());
    world.end_waivers(at(3_600));
    assert_eq!(world.judge, [id("B")].into());
    world.judge.clear();
    world.observe(Event::Waiver(gone("repair")));
    assert_eq!(world.judge, [id("B")].into());
    assert!(!world.fleets[&namespace("fleet")].replan);
}
