//! Stories of users' channels, of what devices give into safe keeping, and of waiting in Setup Assistant.

use futures::future::join_all;

use super::fixtures::*;
use crate::compliance::{Facts, Report, Source};
use crate::ids::EnrollmentId;
use crate::mdm::command::{Cause, ReportStatus};
use crate::secret::Secret;
use crate::store::{Change, Ending, Enrollment, EnrollmentState, Escrow, Store};

fn user(device: &EnrollmentId, name: &str) -> EnrollmentId {
    EnrollmentId::of_user(device, name).unwrap()
}

/// Begins a user's channel.
async fn sign_in(store: &dyn Store, device: &EnrollmentId, name: &str, seconds: i64) -> Enrollment {
    store
        .token_update(&user(device, name), push_address(name.as_bytes()), at(seconds))
        .await
        .unwrap()
        .unwrap()
}

fn ids_of(ids: &[EnrollmentId]) -> Vec<&str> {
    ids.iter().map(EnrollmentId::as_str).collect()
}

fn ids(enrollments: &[Enrollment]) -> Vec<&str> {
    enrollments
        .iter()
        .map(|enrollment| enrollment.id.as_str())
        .collect()
}

pub(in crate::store) async fn a_users_channel_is_an_enrolment_of_its_own(store: &dyn Store) {
    let nobodys = user(&id("A"), "u");
    let refused = store.token_update(&nobodys, push_address(b"u"), at(0)).await;
    assert!(refused.unwrap().is_none(), "the device comes first");

    let device = enroll(store, "A").await;
    let begun = sign_in(store, &device, "u", 1).await;
    assert_eq!(begun.id.as_str(), "A:u");
    assert_eq!((begun.state, begun.token_updates), (EnrollmentState::Enrolled, 1));
    assert_eq!(begun.namespace.as_str(), "fleet");
    assert_eq!(begun.certificate, digest("A"), "its device speaks for it");
    assert_eq!(sign_in(store, &device, "u", 2).await.token_updates, 2);
    sign_in(store, &device, "m@example.com", 3).await;

    assert_eq!(ids(&store.enrollments(None, 10).await.unwrap()), ["A"]);
    let users = store.users(&device).await.unwrap();
    assert_eq!(ids(&users), ["A:m@example.com", "A:u"]);
    let found = store.enrollment_by_certificate(digest("A"), at(1)).await.unwrap();
    assert_eq!(found.unwrap().id, device);

    let address = store.push_address(&begun.id).await.unwrap().unwrap();
    assert_eq!(address.token.reveal(), b"u");
    let address = store.push_address(&device).await.unwrap().unwrap();
    assert_eq!(address.token.reveal(), b"token");
    let queue = vec![command(&device, "c-device"), command(&begun.id, "c-user")];
    assert_eq!(store.enqueue(queue, at(4)).await.unwrap(), []);
    assert_eq!(next(store, &begun.id, true).await.as_deref(), Some("c-user"));
    assert_eq!(next(store, &device, true).await.as_deref(), Some("c-device"));
    report(store, &begun.id, "c-user", ReportStatus::Acknowledged).await;
    assert_eq!(next(store, &begun.id, false).await, None);
    let pending = store.with_pending(None, 10).await.unwrap();
    assert_eq!(ids_of(&pending), ["A"]);

    // What holds for the device's system holds for its users.
    store.update_system(&device, system("26.2", None)).await.unwrap();
    let users = store.users(&device).await.unwrap();
    assert!(users.iter().all(|user| user.os_version == "26.2"));
}

pub(in crate::store) async fn users_are_pointed_at_manifests_of_their_own(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let begun = sign_in(store, &device, "u", 1).await;
    store.keep_manifest(manifest("m")).await.unwrap();
    let pointers = [(begun.id.clone(), digest("m"))];
    assert_eq!(store.point(&pointers, at(2)).await.unwrap(), 1);
    assert!(store.applied(&begun.id, digest("m")).await.unwrap());
    let applied = async |id| store.enrollment(id).await.unwrap().unwrap().applied_manifest;
    assert_eq!(applied(&begun.id).await, Some(digest("m")));
    assert_eq!(applied(&device).await, None);
}

pub(in crate::store) async fn users_end_with_their_device(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let other = enroll(store, "B").await;
    let theirs = sign_in(store, &other, "u", 1).await.id;
    let id = user(&device, "u");
    for (round, seconds) in [("authenticate", 10), ("check-out", 20), ("again", 30)] {
        let begun = sign_in(store, &device, "u", seconds).await;
        assert_eq!(
            (begun.state, begun.token_updates, begun.enrolled_at),
            (EnrollmentState::Enrolled, 1, at(seconds)),
            "{round}: begun anew"
        );
        assert_eq!(store.facts(&id).await.unwrap(), Facts::default());
        let queue = vec![command(&id, round), command(&theirs, round)];
        store.enqueue(queue, at(seconds)).await.unwrap();
        let reported = |facts: &mut Facts| {
            let report = Report {
                value: serde_json::json!({}),
                observed_at: at(1),
            };
            facts.reports.insert(Source::SecurityInfo, report).is_none()
        };
        assert!(store.update_facts(&id, Box::new(reported)).await.unwrap());
        if round == "check-out" {
            store
                .end(&device, Ending::CheckOut, at(seconds + 1))
                .await
                .unwrap();
        } else {
            enroll_with(store, &device, round, seconds + 1).await;
            assert_eq!(store.facts(&id).await.unwrap(), Facts::default());
        }
        let ended = store.enrollment(&id).await.unwrap().unwrap();
        assert_eq!(ended.state, EnrollmentState::Ended, "{round}");
        assert_eq!(store.pending(&id).await.unwrap(), [], "{round}");
        assert!(store.push_address(&id).await.unwrap().is_none(), "{round}");
        let refused = store.enqueue(vec![command(&id, "late")], at(seconds + 2)).await;
        assert_eq!(refused.unwrap()[0].enrollment, id);
        if round == "check-out" {
            enroll_with(store, &device, round, seconds + 2).await;
        }
    }
    let results = store.results(&id, 10).await.unwrap();
    assert_eq!(results.len(), 3, "history stays");
    assert_eq!(results[1].cause, Cause::because(Ending::CheckOut.reason()));
    assert_eq!(store.pending(&theirs).await.unwrap().len(), 3);
    let untouched = store.enrollment(&theirs).await.unwrap().unwrap();
    assert_eq!(untouched.state, EnrollmentState::Enrolled);
}

pub(in crate::store) async fn a_users_end_is_not_its_devices(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let (gone, stays) = (
        sign_in(store, &device, "gone", 1).await.id,
        sign_in(store, &device, "stays", 1).await.id,
    );
    assert!(store.end(&gone, Ending::CheckOut, at(2)).await.unwrap());
    let state = async |id| store.enrollment(id).await.unwrap().unwrap().state;
    assert_eq!(state(&gone).await, EnrollmentState::Ended);
    assert_eq!(state(&stays).await, EnrollmentState::Enrolled);
    assert_eq!(state(&device).await, EnrollmentState::Enrolled);
    let again = store.authenticate(authentication(&device, "A"), at(3)).await;
    assert!(again.unwrap().is_ok(), "its certificate is good as before");
}

pub(in crate::store) async fn a_device_that_makes_users_up_fills_no_disk(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let names: Vec<String> = (0..1_100).map(|n| format!("u-{n}")).collect();
    let begun = join_all(names.iter().map(|name| async {
        let user = user(&device, name);
        let update = store.token_update(&user, push_address(b"t"), at(1)).await;
        update.unwrap().is_some()
    }))
    .await;
    assert_eq!(begun.iter().filter(|begun| **begun).count(), 1_000);
    assert_eq!(store.users(&device).await.unwrap().len(), 1_000);
    // Who is known already goes on.
    let known = &store.users(&device).await.unwrap()[0].id;
    let update = store.token_update(known, push_address(b"t"), at(2)).await;
    assert!(update.unwrap().is_some());
}

pub(in crate::store) async fn what_is_in_safe_keeping_is_given_to_its_owner_alone(store: &dyn Store) {
    let (device, other) = (enroll(store, "A").await, enroll(store, "B").await);
    let kept = async |id, kind| {
        let secret = store.escrow(id, kind).await.unwrap();
        secret.map(|secret| String::from_utf8(secret.reveal().clone()).unwrap())
    };
    let keep = async |id, kind, secret: Option<&str>| {
        let secret = secret.map(|secret| Secret::new(secret.as_bytes().to_vec()));
        store.keep_escrow(id, kind, secret).await.unwrap()
    };
    let shown = async || {
        let cached = store.enrollment_by_certificate(digest("A"), at(1)).await.unwrap();
        let (cached, read) = (cached.unwrap(), store.enrollment(&device).await.unwrap().unwrap());
        assert_eq!(cached.bootstrap_token, read.bootstrap_token);
        assert_eq!(cached.unlock_token, read.unlock_token);
        (read.bootstrap_token, read.unlock_token)
    };
    assert_eq!(shown().await, (false, false));
    let mut changes = store.changes();
    assert!(keep(&device, Escrow::BootstrapToken, Some("first")).await);
    assert_eq!(changes.recv().await.unwrap(), Change::Enrollment(device.clone()));
    assert_eq!(shown().await, (true, false));
    assert!(keep(&device, Escrow::BootstrapToken, Some("second")).await);
    assert!(changes.try_recv().is_err(), "another value is no news to people");
    assert!(keep(&device, Escrow::UnlockToken, Some("third")).await);
    assert_eq!(shown().await, (true, true));
    assert_eq!(
        kept(&device, Escrow::BootstrapToken).await.as_deref(),
        Some("second")
    );
    assert_eq!(kept(&device, Escrow::UnlockToken).await.as_deref(), Some("third"));
    assert_eq!(kept(&other, Escrow::BootstrapToken).await, None);
    // A new push address says nothing about it.
    store
        .token_update(&device, push_address(b"t"), at(1))
        .await
        .unwrap();
    assert_eq!(shown().await, (true, true));
    assert!(keep(&device, Escrow::BootstrapToken, None).await);
    assert_eq!(shown().await, (false, true));
    assert_eq!(kept(&device, Escrow::BootstrapToken).await, None);
    assert!(!keep(&id("NOBODY"), Escrow::BootstrapToken, Some("x")).await);
}

pub(in crate::store) async fn safe_keeping_ends_with_the_enrolment(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let keep = async || {
        let secret = Some(Secret::new(b"secret".to_vec()));
        store
            .keep_escrow(&device, Escrow::BootstrapToken, secret)
            .await
            .unwrap()
    };
    let kept = async || store.escrow(&device, Escrow::BootstrapToken).await.unwrap();
    assert!(keep().await);
    enroll_with(store, &device, "second", 1).await;
    assert!(kept().await.is_none(), "whoever enrolled is another device now");
    assert!(keep().await);
    store.end(&device, Ending::CheckOut, at(2)).await.unwrap();
    assert!(kept().await.is_none());
    assert!(!keep().await, "nothing is kept for who has left");
    let left = store.enrollment(&device).await.unwrap().unwrap();
    assert!(!left.bootstrap_token);
}

pub(in crate::store) async fn who_waits_in_setup_assistant_is_found(store: &dyn Store) {
    let (first, second) = (id("A"), id("B"));
    enroll_with(store, &first, "A", 10).await;
    enroll_with(store, &second, "B", 20).await;
    enroll(store, "C").await;
    let waiting = async |seconds, limit| {
        let waiting = store.awaiting_configuration(at(seconds), limit).await.unwrap();
        ids(&waiting).join(" ")
    };
    assert_eq!(waiting(100, 10).await, "");
    for device in [&second, &first, &id("NOBODY")] {
        store.await_configuration(device, true).await.unwrap();
    }
    let told = sign_in(store, &first, "u", 30).await.id;
    store.await_configuration(&told, true).await.unwrap();
    let cached = store.enrollment_by_certificate(digest("A"), at(1)).await.unwrap();
    assert!(cached.unwrap().awaiting_configuration);
    assert_eq!(waiting(100, 10).await, "A B A:u", "the longest first");
    assert_eq!(waiting(100, 1).await, "A");
    assert_eq!(waiting(19, 10).await, "A");
    store.await_configuration(&first, false).await.unwrap();
    assert_eq!(waiting(100, 10).await, "B A:u");
    store.end(&first, Ending::CheckOut, at(40)).await.unwrap();
    enroll_with(store, &second, "again", 50).await;
    assert_eq!(waiting(100, 10).await, "", "a new enrolment says for itself");
}

pub(in crate::store) async fn a_renewal_takes_neither_secrets_nor_users_away(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let secret = || Some(Secret::new(b"secret".to_vec()));
    for kind in [Escrow::BootstrapToken, Escrow::UnlockToken] {
        assert!(store.keep_escrow(&device, kind, secret()).await.unwrap());
    }
    let theirs = sign_in(store, &device, "u", 1).await.id;
    store.enqueue(vec![command(&theirs, "c-1")], at(1)).await.unwrap();
    let mut renewed = certificate("renewed", &device);
    renewed.not_after = at(2_000_000);
    store.renew(digest("A"), renewed, at(2)).await.unwrap().unwrap();
    // The device installs its profile again, which begins with Authenticate.
    let goes_on = store.authenticate(authentication(&device, "renewed"), at(3));
    let goes_on = goes_on.await.unwrap().unwrap();
    assert!(goes_on.bootstrap_token && goes_on.unlock_token);
    let user = store.enrollment(&theirs).await.unwrap().unwrap();
    assert_eq!(user.state, EnrollmentState::Enrolled);
    assert_eq!(
        user.certificate,
        digest("renewed"),
        "its device speaks for it still"
    );
    assert_eq!(store.pending(&theirs).await.unwrap().len(), 1);
    // Whoever is invited anew is another device.
    let begun = enroll_with(store, &device, "invited", 4).await;
    assert!(!begun.bootstrap_token && !begun.unlock_token);
    assert_eq!(store.pending(&theirs).await.unwrap(), []);
}
