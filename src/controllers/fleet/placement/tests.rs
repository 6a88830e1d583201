use proptest::prelude::*;

use super::*;
use crate::controllers::fleet::Event;
use crate::controllers::fleet::fixtures::*;
use crate::controllers::watch::Watched;
use crate::store::Enrollment;

const URL: &str = "https://mdm.example.com";

/// Something that happens.
#[derive(Debug, Clone)]
enum Happening {
    Group(&'static str, bool),
    Baseline(i64, bool),
    Assignment(&'static str, bool),
    Object(&'static str, &'static str),
    Enrolled(&'static str, &'static str),
    Placed,
}

fn happen(world: &mut World, happening: &Happening) {
    match *happening {
        Happening::Group(name, there) => {
            world.observe(Event::Group(if there { present(team(name)) } else { gone(name) }));
        }
        Happening::Baseline(length, there) => {
            // A generation of its own for each content, as the API would give.
            let object = || baseline("cis", length, length);
            world.observe(Event::Baseline(if there {
                present(object())
            } else {
                gone("cis")
            }));
        }
        Happening::Assignment(name, there) => {
            let object = || enforced(name, name, "cis");
            world.observe(Event::Assignment(if there {
                present(object())
            } else {
                gone(name)
            }));
        }
        Happening::Object(name, team) => {
            world.observe(Event::Device(present(device_object(
                name,
                name,
                &[("team", team)],
            ))));
        }
        Happening::Enrolled(name, team) => world.enroll(enrollment(name, team), at(900), at(0)),
        Happening::Placed => drop(world.place(URL, at(0), || {})),
    }
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let team = || prop::sample::select(vec!["lab", "shop"]);
    let device = || prop::sample::select(vec!["A", "B", "C"]);
    let one = prop_oneof![
        (team(), any::<bool>()).prop_map(|(name, there)| Happening::Group(name, there)),
        (8_i64..10, any::<bool>()).prop_map(|(length, there)| Happening::Baseline(length, there)),
        (team(), any::<bool>()).prop_map(|(name, there)| Happening::Assignment(name, there)),
        (prop::sample::select(vec!["a", "b", "c"]), team())
            .prop_map(|(name, team)| Happening::Object(name, team)),
        (device(), team()).prop_map(|(name, team)| Happening::Enrolled(name, team)),
        Just(Happening::Placed),
    ];
    prop::collection::vec(one, 0..24)
}

/// How everything stands in the end.
const END: [Happening; 11] = [
    Happening::Group("lab", true),
    Happening::Group("shop", true),
    Happening::Baseline(12, true),
    Happening::Assignment("lab", true),
    Happening::Assignment("shop", false),
    Happening::Object("a", "lab"),
    Happening::Object("b", "shop"),
    Happening::Object("c", "lab"),
    Happening::Enrolled("A", "shop"),
    Happening::Enrolled("B", "shop"),
    Happening::Enrolled("C", "lab"),
];

/// The place of each device: its groups, its assignments, its manifest.
fn places_of(world: &World) -> Vec<String> {
    let mut places: Vec<String> = world
        .devices
        .values()
        .map(|device| {
            let manifest = device.plan.as_ref().map(|plan| plan.manifest.id.short());
            format!(
                "{} {:?} {:?} {manifest:?}",
                device.id(),
                device.groups,
                device.assignments
            )
        })
        .collect();
    places.sort();
    places
}

proptest! {
    /// Whatever happened, and in whatever order things came to stand as they do: each device has the same place.
    #[test]
    fn any_order_of_events_leads_to_the_same_placement(
        before in happenings(),
        end in Just(END.to_vec()).prop_shuffle(),
        places in prop::collection::vec(any::<bool>(), END.len()),
    ) {
        let mut expected = World::default();
        for happening in &END {
            happen(&mut expected, happening);
        }
        happen(&mut expected, &Happening::Placed);

        let mut world = World::default();
        for happening in &before {
            happen(&mut world, happening);
        }
        for (happening, place) in end.iter().zip(places) {
            happen(&mut world, happening);
            if place {
                happen(&mut world, &Happening::Placed);
            }
        }
        happen(&mut world, &Happening::Placed);
        prop_assert_eq!(places_of(&world), places_of(&expected));
    }
}

fn policy(length: i64, generation: i64) -> Event {
    Event::Baseline(present(baseline("cis", length, generation)))
}

/// Devices A (lab) and B (shop); the lab has a baseline.
fn world() -> World {
    let mut world = World::default();
    let events = [
        Event::Group(present(team("lab"))),
        Event::Group(present(team("shop"))),
        policy(12, 1),
        Event::Assignment(present(enforced("all", "lab", "cis"))),
    ];
    for event in events {
        world.observe(event);
    }
    for (name, team) in [("A", "lab"), ("B", "shop")] {
        world.enroll(enrollment(name, team), at(900), at(0));
    }
    world
}

/// Places, and does as if the pointers and orders had been written.
fn place(world: &mut World, now: i64) -> Vec<String> {
    let mut moved: Vec<String> = world
        .place(URL, at(now), || {})
        .into_iter()
        .map(|(id, plan)| {
            let device = world.devices.get_mut(&id).unwrap();
            device.enrollment.manifest = Some(plan.manifest.id);
            device.enrollment.manifest_at = Some(at(now));
            device.ordered = true;
            id.to_string()
        })
        .collect();
    moved.sort();
    moved
}

#[test]
fn a_device_is_compiled_for_once_for_its_class() {
    let mut world = world();
    for name in ["C", "D", "E"] {
        world.enroll(enrollment(name, "lab"), at(900), at(0));
    }
    let compiles = std::cell::Cell::new(0);
    world.place(URL, at(0), || compiles.set(compiles.get() + 1));
    assert_eq!(compiles.get(), 2, "the lab, and those without any assignment");
}

#[test]
fn a_policy_moves_only_those_it_changes() {
    let mut world = world();
    assert_eq!(place(&mut world, 0), ["A", "B"]);
    world.judge.clear();
    world.observe(policy(14, 2));
    assert_eq!(place(&mut world, 1), ["A"]);
    assert_eq!(world.judge, HashSet::from([id("A")]), "nobody else is looked at");
    world.observe(policy(14, 2));
    assert_eq!(place(&mut world, 2), [""; 0]);
}

#[test]
fn verdicts_on_what_did_not_change_stay() {
    let mut world = world();
    place(&mut world, 0);
    let verdicts = [Verdict::Pass, Verdict::Fail];
    world.devices.get_mut(&id("A")).unwrap().verdicts = Box::from(verdicts);
    world.observe(policy(14, 2));
    place(&mut world, 1);
    let device = &world.devices[&id("A")];
    let rules: Vec<&str> = device
        .plan
        .as_ref()
        .unwrap()
        .demands
        .iter()
        .map(|demand| &*demand.rule)
        .collect();
    assert_eq!(rules, ["passcode", "filevault"]);
    assert_eq!(
        *device.verdicts,
        [Verdict::Unknown, Verdict::Fail],
        "there is no evidence about the new revision"
    );
}

#[test]
fn whoever_was_not_given_the_orders_is_given_them() {
    let mut world = world();
    // The pointers are written, and the process ends before the orders are queued.
    let pointers = world.place(URL, at(0), || {});
    let mut again = self::world();
    for (id, plan) in pointers {
        let team = if id.as_str() == "A" { "lab" } else { "shop" };
        let manifest = Some(plan.manifest.id);
        // B has found out by itself.
        let applied_manifest = manifest.filter(|_| id.as_str() == "B");
        let known = Enrollment {
            manifest,
            applied_manifest,
            ..enrollment(id.as_str(), team)
        };
        again.forget(&id);
        again.enroll(known, at(900), at(1));
    }
    assert_eq!(place(&mut again, 1), ["A"]);
    assert_eq!(place(&mut again, 2), [""; 0]);
}

#[test]
fn a_device_that_is_not_active_is_not_moved() {
    for state in [EnrollmentState::Authenticated, EnrollmentState::Removing] {
        let mut world = world();
        world.enroll(
            Enrollment {
                state,
                ..enrollment("A", "lab")
            },
            at(900),
            at(0),
        );
        assert_eq!(place(&mut world, 0), ["B"], "{state:?}");
    }
}

#[test]
fn a_revision_is_in_force_since_devices_are_pointed_at_it() {
    let since = |world: &World| {
        let in_force = &world.fleets[&namespace("fleet")].in_force["all"];
        (in_force.revision.to_string(), in_force.since)
    };
    let mut world = world();
    place(&mut world, 5);
    assert_eq!(since(&world), ("generation:1".to_owned(), at(5)));
    // Something else changes.
    world.observe(Event::Group(present(group(
        "late",
        &serde_json::json!({ "serialNumbers": ["X"] }),
        1,
    ))));
    place(&mut world, 6);
    assert_eq!(since(&world), ("generation:1".to_owned(), at(5)));
    let newer = from_git(baseline("cis", 14, 2), "main@sha1:2", 7);
    world.observe(Event::Baseline(present(newer)));
    place(&mut world, 8);
    assert_eq!(since(&world), ("main@sha1:2".to_owned(), at(8)));
    world.observe(Event::Assignment(Watched::Gone {
        namespace: "fleet".to_owned(),
        name: "all".to_owned(),
    }));
    place(&mut world, 9);
    assert!(world.fleets[&namespace("fleet")].in_force.is_empty());
}
