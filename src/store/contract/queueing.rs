//! Queueing commands: what is taken, what is refused, and what is there already.

use super::queue::{EMPTY, not_queued, pending};
use super::*;
use crate::api::common::{EnrollmentMode, Platform};
use crate::mdm::command::ReportStatus::Acknowledged;
use crate::mdm::command::{Cause, FinalState, Intent, NewCommand};
use crate::store::NotQueuedReason::{Ended, Personal, Unknown};
use crate::store::{Broadcast, CHUNK, Ending, ReportOutcome, Store, broadcast};

pub(in crate::store) async fn equal_intents_collapse(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let poll = |name: &str| NewCommand {
        intent: Some("poll".into()),
        ..command(&device, name)
    };
    let changed = |name: &str| NewCommand {
        body: body(name).replace('…', "more").into(),
        chain: None,
        ..poll(name)
    };
    store
        .enqueue(vec![poll("c-1"), command(&device, "c-2"), poll("c-3")], at(1))
        .await
        .unwrap();
    let later = NewCommand {
        deadline: at(200_000),
        ..poll("c-4")
    };
    store.enqueue(vec![later], at(2)).await.unwrap();
    assert_eq!(
        pending(store, &device).await,
        ["c-1", "c-2"],
        "they differ in nothing but the UUID"
    );
    assert_eq!(
        store.pending(&device).await.unwrap()[0].deadline,
        at(200_000),
        "it lives as long as the last"
    );
    assert!(store.results(&device, 10).await.unwrap().is_empty());

    store.enqueue(vec![changed("c-5")], at(3)).await.unwrap();
    assert_eq!(
        pending(store, &device).await,
        ["c-5", "c-2"],
        "the new one takes the place"
    );
    let replaced = store.results(&device, 10).await.unwrap();
    assert_eq!(
        (replaced[0].uuid.as_str(), replaced[0].state),
        ("c-1", FinalState::Cancelled)
    );
    assert_eq!(replaced[0].cause, Cause::because("replaced by c-5"));
    assert_eq!(
        report(store, &device, "c-1", Acknowledged).await,
        ReportOutcome::AlreadyKnown
    );

    let moved = NewCommand {
        chain: Some("x".into()),
        ..poll("c-6")
    };
    store.enqueue(vec![moved], at(4)).await.unwrap();
    assert_eq!(
        pending(store, &device).await,
        ["c-2", "c-6"],
        "into another chain: at its end"
    );

    let overdue = store
        .enqueue(
            vec![NewCommand {
                deadline: at(400_000),
                ..poll("c-7")
            }],
            at(300_000),
        )
        .await;
    assert_eq!(overdue.unwrap(), []);
    assert_eq!(
        pending(store, &device).await,
        ["c-2", "c-7"],
        "one past its deadline stands for nothing"
    );
    assert_eq!(
        store.results(&device, 1).await.unwrap()[0].state,
        FinalState::Expired
    );
}

pub(in crate::store) async fn a_uuid_is_queued_once(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let queue = |seconds| store.enqueue(vec![command(&device, "c-1")], at(seconds));
    queue(1).await.unwrap();
    queue(2).await.unwrap();
    assert_eq!(pending(store, &device).await, ["c-1"]);
    next(store, &device, true).await;
    report(store, &device, "c-1", Acknowledged).await;
    queue(30).await.unwrap();
    assert_eq!(pending(store, &device).await, EMPTY, "done already");
    enroll_with(store, &device, "second", 40).await;
    queue(41).await.unwrap();
    assert_eq!(
        pending(store, &device).await,
        ["c-1"],
        "a new enrolment has done nothing yet"
    );
}

pub(in crate::store) async fn unknown_devices_do_not_keep_forty_thousand_commands_from_the_others(
    store: &dyn Store,
) {
    let mut devices = Vec::new();
    for number in 0..40 {
        devices.push(enroll(store, &format!("D{number}")).await);
    }
    let gone = enroll(store, "GONE").await;
    store.end(&gone, Ending::CheckOut, at(0)).await.unwrap();
    let mut commands = vec![command(&gone, "c"), command(&id("NOBODY"), "c")];
    for number in 0..1000 {
        // As a fleet-wide command is made: one UUID, one body in memory.
        let shared = command(&gone, &format!("c-{number}"));
        commands.extend(devices.iter().map(|device| NewCommand {
            enrollment: device.clone(),
            ..shared.clone()
        }));
    }
    assert_eq!(
        store.enqueue(commands, at(1)).await.unwrap(),
        [not_queued(&gone, Ended), not_queued(&id("NOBODY"), Unknown)]
    );
    for device in &devices {
        assert_eq!(pending(store, device).await.len(), 1000);
    }
    assert_eq!(next(store, &devices[39], true).await.as_deref(), Some("c-0"));
}

pub(in crate::store) async fn the_very_same_command_is_not_given_twice(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let identical = |name: &str| NewCommand {
        intent: Some(Intent::Identical),
        ..command(&device, name)
    };
    let other = |name: &str| NewCommand {
        body: body(name).replace('…', "other").into(),
        ..identical(name)
    };
    let commands = vec![identical("c-1"), other("c-2"), identical("c-3"), other("c-4")];
    store.enqueue(commands, at(1)).await.unwrap();
    assert_eq!(
        pending(store, &device).await,
        ["c-1", "c-2"],
        "another argument is another command"
    );
    assert_eq!(store.results(&device, 10).await.unwrap(), []);
}

pub(in crate::store) async fn a_personal_device_is_never_erased_whoever_queues_it(store: &dyn Store) {
    let (own, ours) = (id("PERSONAL"), enroll(store, "OURS").await);
    issue(store, &own, "personal", 0).await;
    let personal = crate::store::Authentication {
        mode: EnrollmentMode::User,
        platform: Platform::IOS,
        serial_number: None,
        ..authentication(&own, "personal")
    };
    store.authenticate(personal, at(0)).await.unwrap().unwrap();
    let command = |device, name, request_type: &str| NewCommand {
        request_type: request_type.into(),
        ..command(device, name)
    };
    let commands = vec![
        command(&own, "c-1", "EraseDevice"),
        command(&own, "c-2", "DeviceLocation"),
        command(&own, "c-3", "SecurityInfo"),
        command(&ours, "c-1", "EraseDevice"),
    ];
    let refused = store.enqueue(commands, at(1)).await.unwrap();
    assert_eq!(refused, [not_queued(&own, Personal), not_queued(&own, Personal)]);
    assert_eq!(pending(store, &own).await, ["c-3"]);
    assert_eq!(pending(store, &ours).await, ["c-1"]);
}

pub(in crate::store) async fn a_broadcast_reaches_everybody_once(store: &dyn Store) {
    let mut devices = Vec::new();
    for number in 0..31 {
        devices.push(enroll(store, &format!("D{number}")).await);
    }
    let to_all = |name: &str| Broadcast::from(command(&devices[0], name));
    for count in [1, 30, 31] {
        let name = format!("c-{count}");
        let some = &devices[..count];
        assert_eq!(broadcast(store, &to_all(&name), some, at(1)).await.unwrap(), []);
        for (place, device) in devices.iter().enumerate() {
            let got = pending(store, device).await.contains(&name);
            assert_eq!(got, place < count, "{name} {device}");
        }
    }
    // More than a chunk of names that nobody has, between the devices.
    let nobody: Vec<_> = (0..=CHUNK)
        .map(|number| id(&format!("NOBODY-{number}")))
        .collect();
    let mixed: Vec<_> = devices[..5]
        .iter()
        .chain(&nobody)
        .chain(&devices[5..])
        .cloned()
        .collect();
    let unknown: Vec<_> = nobody.iter().map(|device| not_queued(device, Unknown)).collect();
    let command = to_all("c-mixed");
    assert_eq!(broadcast(store, &command, &mixed, at(2)).await.unwrap(), unknown);
    report(store, &devices[0], "c-mixed", Acknowledged).await;
    broadcast(store, &command, &mixed, at(3)).await.unwrap();
    for (place, device) in devices.iter().enumerate() {
        let names = pending(store, device).await;
        let got = names.iter().filter(|name| *name == "c-mixed").count();
        assert_eq!(
            got,
            usize::from(place > 0),
            "begun again, and nobody gets it twice"
        );
    }
}
