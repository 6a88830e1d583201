//! The command queue: what a device is given, and what its reports change.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::mdm::command::ReportStatus::{Acknowledged, CommandFormatError, Error, NotNow, Other};
use crate::mdm::command::{Cause, ErrorLink, FinalState, NewCommand, PendingState, Priority};
use crate::mdm::commands::table::commands;
use crate::mdm::queue::{OFFERS_BEFORE_PARKING, Waiting, explain};
use crate::store::{Ending, NotQueued, NotQueuedReason, ReportOutcome, Store};

pub(super) const EMPTY: [String; 0] = [];

pub(super) async fn pending(store: &dyn Store, device: &crate::ids::EnrollmentId) -> Vec<String> {
    let pending = store.pending(device).await.unwrap();
    assert!(pending.is_sorted_by(|a, b| a.sequence < b.sequence));
    pending
        .iter()
        .map(|command| command.uuid.as_str().to_owned())
        .collect()
}

pub(super) fn not_queued(enrollment: &crate::ids::EnrollmentId, reason: NotQueuedReason) -> NotQueued {
    NotQueued {
        enrollment: enrollment.clone(),
        reason,
    }
}

pub(super) fn ended(state: FinalState) -> ReportOutcome {
    ReportOutcome::Ended {
        state,
        request_type: "InstallProfile".into(),
    }
}

pub(in crate::store) async fn commands_come_in_order_and_byte_for_byte(store: &dyn Store) {
    let (device, other) = (enroll(store, "A").await, enroll(store, "B").await);
    assert_eq!(next(store, &device, true).await, None);
    // More than one in one moment, and names whose order is another.
    let names: Vec<String> = (0..10).rev().map(|number| format!("c-{number}")).collect();
    let commands = names
        .iter()
        .map(|name| command(&device, name))
        .chain([command(&other, "c-0")])
        .collect();
    assert_eq!(store.enqueue(commands, at(1)).await.unwrap(), []);
    assert_eq!(pending(store, &device).await, names);
    let mut given = next(store, &device, true).await;
    for name in &names {
        assert_eq!(given.as_ref(), Some(name));
        assert_eq!(
            next(store, &device, true).await.as_ref(),
            Some(name),
            "not reported yet: offered again"
        );
        assert_eq!(
            report(store, &device, name, Acknowledged).await,
            ended(FinalState::Acknowledged)
        );
        given = next(store, &device, false).await;
    }
    assert_eq!(given, None);
    assert_eq!(
        next(store, &other, true).await.as_deref(),
        Some("c-0"),
        "each device has its own queue"
    );
    assert_eq!(next(store, &id("NOBODY"), true).await, None);
}

pub(in crate::store) async fn a_chain_is_delivered_in_order_and_keeps_nobody_waiting(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let chained = |name| NewCommand {
        chain: Some("setup".into()),
        ..command(&device, name)
    };
    store
        .enqueue(
            vec![chained("first"), chained("second"), command(&device, "free")],
            at(1),
        )
        .await
        .unwrap();
    assert_eq!(next(store, &device, true).await.as_deref(), Some("first"));
    assert_eq!(
        report(store, &device, "first", NotNow).await,
        ReportOutcome::Deferred
    );
    assert_eq!(next(store, &device, false).await.as_deref(), Some("free"));
    report(store, &device, "free", Acknowledged).await;
    assert_eq!(next(store, &device, false).await, None);
    assert_eq!(next(store, &device, true).await.as_deref(), Some("first"));
    let chain = vec![
        ErrorLink {
            domain: "MCMDMErrorDomain".to_owned(),
            code: Some(12021),
            localized: Some("Unbekannter Befehl".to_owned()),
            us_english: Some("Unknown command".to_owned()),
        },
        ErrorLink::default(),
    ];
    let failed = Error(chain.clone());
    assert_eq!(
        report(store, &device, "first", failed).await,
        ended(FinalState::Failed)
    );
    assert_eq!(next(store, &device, false).await.as_deref(), Some("second"));
    assert_eq!(
        report(store, &device, "second", CommandFormatError).await,
        ended(FinalState::Failed)
    );
    let results = store.results(&device, 3).await.unwrap();
    assert_eq!(
        (&results[1].cause.errors, &results[1].cause.reason),
        (&chain, &None),
        "whole"
    );
    assert_eq!(
        store.results(&device, 1).await.unwrap(),
        results[..1],
        "the newest first"
    );
}

pub(in crate::store) async fn not_now_comes_back_at_the_next_idle(store: &dyn Store) {
    let device = enroll(store, "A").await;
    store
        .enqueue(["c-1", "c-2"].map(|name| command(&device, name)).into(), at(1))
        .await
        .unwrap();
    assert_eq!(next(store, &device, true).await.as_deref(), Some("c-1"));
    assert_eq!(
        report(store, &device, "c-1", NotNow).await,
        ReportOutcome::Deferred
    );
    assert_eq!(
        report(store, &device, "c-1", NotNow).await,
        ReportOutcome::Deferred,
        "said twice, meant once"
    );
    assert_eq!(next(store, &device, false).await.as_deref(), Some("c-2"));
    assert_eq!(
        report(store, &device, "c-2", NotNow).await,
        ReportOutcome::Deferred
    );
    assert_eq!(next(store, &device, false).await, None);
    assert_eq!(
        store.pending(&device).await.unwrap()[0].state,
        PendingState::NotNow
    );
    assert_eq!(
        next(store, &device, true).await.as_deref(),
        Some("c-1"),
        "the oldest first"
    );
    assert_eq!(
        report(store, &device, "c-1", Acknowledged).await,
        ended(FinalState::Acknowledged)
    );
    assert_eq!(next(store, &device, false).await.as_deref(), Some("c-2"));
}

pub(in crate::store) async fn a_stuck_command_is_parked(store: &dyn Store) {
    let device = enroll(store, "A").await;
    store
        .enqueue(["stuck", "c-2"].map(|name| command(&device, name)).into(), at(1))
        .await
        .unwrap();
    for _ in 0..OFFERS_BEFORE_PARKING {
        assert_eq!(next(store, &device, true).await.as_deref(), Some("stuck"));
    }
    assert_eq!(next(store, &device, true).await.as_deref(), Some("c-2"));
    report(store, &device, "c-2", Acknowledged).await;
    assert_eq!(
        next(store, &device, false).await.as_deref(),
        Some("stuck"),
        "under the same UUID"
    );
    assert_eq!(
        store.pending(&device).await.unwrap()[0].attempts,
        OFFERS_BEFORE_PARKING + 1
    );
}

pub(in crate::store) async fn commands_past_their_deadline_expire(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let short = NewCommand {
        deadline: at(100),
        chain: Some("x".into()),
        ..command(&device, "short")
    };
    let long = NewCommand {
        chain: Some("x".into()),
        ..command(&device, "long")
    };
    store.enqueue(vec![short, long], at(1)).await.unwrap();
    assert_eq!(next_at(store, &device, true, 100).await.as_deref(), Some("short"));
    assert_eq!(next_at(store, &device, true, 101).await.as_deref(), Some("long"));
    let results = store.results(&device, 10).await.unwrap();
    assert_eq!(
        (results[0].state, results[0].ended_at),
        (FinalState::Expired, at(101))
    );
    let late = report(store, &device, "short", Acknowledged).await;
    assert_eq!(late, ReportOutcome::AlreadyKnown);
    assert_eq!(store.results(&device, 10).await.unwrap(), results);
}

pub(in crate::store) async fn reports_are_idempotent(store: &dyn Store) {
    let device = enroll(store, "A").await;
    store
        .enqueue(
            ["c-1", "c-2", "c-3"].map(|name| command(&device, name)).into(),
            at(1),
        )
        .await
        .unwrap();
    next(store, &device, true).await;
    assert_eq!(
        report(store, &device, "c-1", Acknowledged).await,
        ended(FinalState::Acknowledged)
    );
    let results = store.results(&device, 10).await.unwrap();
    for (name, status) in [
        ("c-1", Acknowledged),
        ("c-1", Error(vec![ErrorLink::default()])),
        ("c-1", NotNow),
        ("never-queued", Acknowledged),
        ("c-2", Other("Pondering".to_owned())),
    ] {
        assert_eq!(
            report(store, &device, name, status).await,
            ReportOutcome::AlreadyKnown,
            "{name}"
        );
    }
    assert_eq!(
        report(store, &id("NOBODY"), "c-2", Acknowledged).await,
        ReportOutcome::AlreadyKnown
    );
    assert_eq!(store.results(&device, 10).await.unwrap(), results);
    assert_eq!(pending(store, &device).await, ["c-2", "c-3"]);
}

pub(in crate::store) async fn enqueues_and_reports_at_the_same_time_lose_nothing(store: &dyn Store) {
    let device = &enroll(store, "A").await;
    store
        .enqueue(
            (0..50).map(|n| command(device, &format!("old-{n}"))).collect(),
            at(1),
        )
        .await
        .unwrap();
    let enqueues = (0..50).map(|n| async move {
        store
            .enqueue(vec![command(device, &format!("new-{n}"))], at(2))
            .await
            .unwrap();
    });
    let reports = (0..50).map(|n| async move {
        report(store, device, &format!("old-{n}"), Acknowledged).await;
    });
    tokio::join!(
        futures::future::join_all(enqueues),
        futures::future::join_all(reports)
    );
    let left: BTreeSet<_> = pending(store, device).await.into_iter().collect();
    assert_eq!(left, (0..50).map(|n| format!("new-{n}")).collect());
    assert_eq!(store.results(device, 1000).await.unwrap().len(), 50);
}

pub(in crate::store) async fn devices_with_pending_commands_are_listed(store: &dyn Store) {
    let mut commands = Vec::new();
    for name in ["C", "A", "D", "B"] {
        let device = enroll(store, name).await;
        if name != "D" {
            commands.push(command(&device, "c-1"));
            commands.push(command(&device, "c-2"));
        }
    }
    store.enqueue(commands, at(1)).await.unwrap();
    assert_eq!(store.with_pending(None, 2).await.unwrap(), [id("A"), id("B")]);
    assert_eq!(store.with_pending(Some(&id("B")), 2).await.unwrap(), [id("C")]);
    for name in ["c-1", "c-2"] {
        report(store, &id("A"), name, Acknowledged).await;
    }
    assert_eq!(store.with_pending(None, 10).await.unwrap(), [id("B"), id("C")]);

    // Whoever is to be told to go has to come for it, with an empty queue too; once.
    for name in ["C", "D"] {
        assert!(store.remove_at_next_contact(&id(name), at(2)).await.unwrap());
    }
    assert_eq!(store.with_pending(None, 2).await.unwrap(), [id("B"), id("C")]);
    assert_eq!(store.with_pending(Some(&id("C")), 2).await.unwrap(), [id("D")]);
    store.end(&id("D"), Ending::Removed, at(3)).await.unwrap();
    assert_eq!(store.with_pending(Some(&id("C")), 2).await.unwrap(), []);
}

pub(in crate::store) async fn ending_an_enrolment_cancels_its_commands(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let short = NewCommand {
        deadline: at(2),
        ..command(&device, "short")
    };
    store
        .enqueue(vec![command(&device, "c-1"), short], at(1))
        .await
        .unwrap();
    store.end(&device, Ending::CheckOut, at(3)).await.unwrap();
    assert_eq!(pending(store, &device).await, EMPTY);
    let results = store.results(&device, 10).await.unwrap();
    assert_eq!(
        (results[0].uuid.as_str(), results[0].state),
        ("short", FinalState::Expired)
    );
    assert_eq!(
        (results[1].uuid.as_str(), results[1].state),
        ("c-1", FinalState::Cancelled)
    );
    assert_eq!(results[1].cause, Cause::because("the device checked out"));
    assert_eq!(results[1].request_type, Arc::from("InstallProfile"));
}

pub(in crate::store) async fn the_urgent_goes_first_and_takes_its_chain_along(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let with = |name, priority, chain: Option<&str>| NewCommand {
        priority,
        chain: chain.map(Into::into),
        ..command(&device, name)
    };
    let commands = vec![
        with("question", Priority::Background, None),
        with("work", Priority::Normal, None),
        with("before", Priority::Background, Some("lost")),
        with("lock", Priority::Urgent, Some("lost")),
    ];
    store.enqueue(commands, at(1)).await.unwrap();
    let mut given = next(store, &device, true).await;
    let mut order = Vec::new();
    while let Some(name) = given {
        report(store, &device, &name, Acknowledged).await;
        order.push(name);
        given = next(store, &device, false).await;
    }
    assert_eq!(order, ["before", "lock", "work", "question"]);

    let poll = |name, priority| NewCommand {
        intent: Some("poll".into()),
        ..with(name, priority, None)
    };
    let commands = vec![
        with("other", Priority::Normal, None),
        poll("p-1", Priority::Background),
        poll("p-2", Priority::Urgent),
    ];
    store.enqueue(commands, at(30)).await.unwrap();
    assert_eq!(
        next(store, &device, true).await.as_deref(),
        Some("p-1"),
        "what stands for an urgent one is urgent"
    );
}

pub(in crate::store) async fn a_person_cancels_one_command_and_no_other(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let chained = |name| NewCommand {
        chain: Some("setup".into()),
        ..command(&device, name)
    };
    let commands = vec![chained("c-1"), chained("c-2"), command(&device, "c-3")];
    store.enqueue(commands, at(1)).await.unwrap();
    assert_eq!(next(store, &device, true).await.as_deref(), Some("c-1"));
    let cancel = async |name| {
        store
            .cancel(&device, &uuid(name), "a mistake", at(5))
            .await
            .unwrap()
    };
    assert!(cancel("c-1").await);
    assert!(!cancel("c-1").await, "it has ended");
    assert!(!cancel("never-queued").await);
    assert!(
        !store
            .cancel(&id("NOBODY"), &uuid("c-2"), "a mistake", at(5))
            .await
            .unwrap()
    );
    let results = store.results(&device, 10).await.unwrap();
    assert_eq!(
        (results[0].state, results[0].ended_at),
        (FinalState::Cancelled, at(5))
    );
    assert_eq!(results[0].cause, Cause::because("a mistake"));
    assert_eq!(
        report(store, &device, "c-1", Acknowledged).await,
        ReportOutcome::AlreadyKnown,
        "carried out all the same"
    );
    assert_eq!(
        next(store, &device, false).await.as_deref(),
        Some("c-2"),
        "its chain goes on"
    );
    assert_eq!(pending(store, &device).await, ["c-2", "c-3"]);
}

pub(in crate::store) async fn every_kind_of_command_survives_a_not_now(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let all = commands().keys().map(|request_type| NewCommand {
        request_type: request_type.as_str().into(),
        ..command(&device, &format!("c-{request_type}"))
    });
    let all: Vec<NewCommand> = all.collect();
    let names: Vec<String> = all.iter().map(|command| command.uuid.to_string()).collect();
    store.enqueue(all, at(1)).await.unwrap();
    for idle in [true, true, true] {
        let mut given = next(store, &device, idle).await;
        for name in &names {
            assert_eq!(given.as_ref(), Some(name), "each is offered again, in order");
            assert_eq!(
                report(store, &device, name, NotNow).await,
                ReportOutcome::Deferred
            );
            given = next(store, &device, false).await;
        }
        assert_eq!(given, None, "and not twice in one session");
    }
    let waiting = store.pending(&device).await.unwrap();
    let reasons = explain(&waiting, at(2));
    assert!(
        reasons
            .iter()
            .all(|reason| *reason == Waiting::NotNow { times: 3 }),
        "{reasons:?}"
    );
}

pub(in crate::store) async fn a_report_and_what_is_next_are_one_step_or_two(store: &dyn Store) {
    let (steps, whole) = (enroll(store, "A").await, enroll(store, "B").await);
    for device in [&steps, &whole] {
        let chained = |name| NewCommand {
            chain: Some("setup".into()),
            ..command(device, name)
        };
        let commands = vec![
            chained("first"),
            chained("second"),
            command(device, "free"),
            NewCommand {
                deadline: at(15),
                ..command(device, "short")
            },
        ];
        store.enqueue(commands, at(1)).await.unwrap();
        assert_eq!(next(store, device, true).await.as_deref(), Some("first"));
    }
    for (name, status) in [
        ("first", NotNow),
        ("first", NotNow),
        ("free", Acknowledged),
        ("free", Acknowledged),
        ("unknown", Acknowledged),
        ("first", Other("Odd".to_owned())),
        ("first", CommandFormatError),
        ("second", Acknowledged),
    ] {
        let outcome = report(store, &steps, name, status.clone()).await;
        let given = next_at(store, &steps, false, 20).await;
        let (also, offered) = store
            .report_and_next(&whole, &uuid(name), &status, at(20))
            .await
            .unwrap();
        assert_eq!(
            (also, offered.map(|offered| offered.uuid.to_string())),
            (outcome, given),
            "{name}"
        );
        let left = async |device| -> Vec<_> {
            let pending = store.pending(device).await.unwrap();
            let states = pending.into_iter().map(|command| {
                (
                    command.uuid,
                    command.state,
                    command.attempts,
                    command.unanswered,
                    command.deferrals,
                )
            });
            states.collect()
        };
        assert_eq!(left(&whole).await, left(&steps).await, "{name}");
    }
    let ended = async |device| store.results(device, 9).await.unwrap();
    assert_eq!(ended(&whole).await, ended(&steps).await);
    assert_eq!(ended(&whole).await.len(), 4);
    let nobody = store
        .report_and_next(&id("NOBODY"), &uuid("c"), &Acknowledged, at(20))
        .await;
    assert_eq!(nobody.unwrap(), (ReportOutcome::AlreadyKnown, None));
}
