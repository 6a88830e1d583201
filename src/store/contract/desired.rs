//! What devices should hold, what they reported, and how the two planes wake each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::api::common::Verdict;
use crate::compliance::Facts;
use crate::policy::{Declaration, Lacks, Manifest, ProfileDocument, Section};
use crate::store::{Change, Ending, Store, StoreError, SystemNews, Transition};

pub(in crate::store) async fn manifests_are_kept_by_content(store: &dyn Store) {
    let whole = Arc::new(Manifest {
        id: digest("whole"),
        declarations_token: "token".into(),
        declarations: vec![Declaration {
            section: Section::Configurations,
            identifier: "dev.provost.passcode".into(),
            server_token: "t-1".into(),
            body: r#"{"Type":"com.apple.configuration.passcode.settings"}"#.into(),
        }],
        profiles: vec![ProfileDocument {
            identifier: "dev.provost.profile.firewall".into(),
            uuid: "u-1".into(),
            digest: digest("profile"),
            body: "<plist/>".into(),
        }],
        users: None,
    });
    assert_eq!(store.manifest(whole.id).await.unwrap(), None);
    store.keep_manifest(Arc::clone(&whole)).await.unwrap();
    store.keep_manifest(Arc::clone(&whole)).await.unwrap();
    let kept = store.manifest(whole.id).await.unwrap().unwrap();
    assert_eq!(kept, whole);
    assert!(
        Arc::ptr_eq(&kept, &store.manifest(whole.id).await.unwrap().unwrap()),
        "read once while in use"
    );
}

pub(in crate::store) async fn only_changed_pointers_are_written(store: &dyn Store) {
    let (a, b, gone) = (
        enroll(store, "A").await,
        enroll(store, "B").await,
        enroll(store, "GONE").await,
    );
    store.end(&gone, Ending::CheckOut, at(0)).await.unwrap();
    for content in ["m1", "m2"] {
        store.keep_manifest(manifest(content)).await.unwrap();
    }
    let point = |pointers: &[(&crate::ids::EnrollmentId, &str)]| {
        let pointers: Vec<_> = pointers
            .iter()
            .map(|(device, name)| ((*device).clone(), digest(name)))
            .collect();
        async move { store.point(&pointers, at(1)).await.unwrap() }
    };
    let nobody = id("NOBODY");
    assert_eq!(point(&[]).await, 0);
    assert_eq!(
        point(&[(&a, "m1"), (&b, "m1"), (&gone, "m1"), (&nobody, "m1")]).await,
        2
    );
    assert_eq!(point(&[(&a, "m1"), (&b, "m1")]).await, 0);
    assert_eq!(point(&[(&a, "m2"), (&b, "m1")]).await, 1);
    assert_eq!(
        store.enrollment(&a).await.unwrap().unwrap().manifest,
        Some(digest("m2"))
    );
    assert_eq!(store.enrollment(&gone).await.unwrap().unwrap().manifest, None);
}

pub(in crate::store) async fn devices_are_not_pointed_at_what_is_not_kept(store: &dyn Store) {
    let (a, b) = (enroll(store, "A").await, enroll(store, "B").await);
    store.keep_manifest(manifest("m1")).await.unwrap();
    let refused = store
        .point(&[(a.clone(), digest("m1")), (b, digest("m2"))], at(1))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, StoreError::NoManifest(missing) if missing == digest("m2")),
        "{refused}"
    );
    assert_eq!(
        store.enrollment(&a).await.unwrap().unwrap().manifest,
        None,
        "all of them or none"
    );
}

pub(in crate::store) async fn the_previous_manifest_is_kept_until_the_new_one_is_proved(store: &dyn Store) {
    let device = enroll(store, "A").await;
    for content in ["m1", "m2"] {
        store.keep_manifest(manifest(content)).await.unwrap();
    }
    let pointers = || async {
        let enrollment = store.enrollment(&device).await.unwrap().unwrap();
        [
            enrollment.manifest,
            enrollment.previous_manifest,
            enrollment.applied_manifest,
        ]
    };
    let (m1, m2) = (Some(digest("m1")), Some(digest("m2")));
    store
        .point(&[(device.clone(), digest("m1"))], at(1))
        .await
        .unwrap();
    assert_eq!(pointers().await, [m1, None, None]);
    let since = store.enrollment(&device).await.unwrap().unwrap().manifest_at;
    assert_eq!(since, Some(at(1)));
    assert!(store.applied(&device, digest("m1")).await.unwrap());
    assert!(!store.applied(&device, digest("m1")).await.unwrap(), "no news");
    store
        .point(&[(device.clone(), digest("m2"))], at(2))
        .await
        .unwrap();
    assert_eq!(pointers().await, [m2, m1, m1]);
    assert!(!store.applied(&device, digest("m1")).await.unwrap());
    assert_eq!(pointers().await, [m2, m1, m1]);
    assert!(store.applied(&device, digest("m2")).await.unwrap());
    assert_eq!(pointers().await, [m2, None, m2]);
    // Away and back before the device has looked: it holds m2 already.
    store
        .point(&[(device.clone(), digest("m1"))], at(3))
        .await
        .unwrap();
    store
        .point(&[(device.clone(), digest("m2"))], at(4))
        .await
        .unwrap();
    assert_eq!(pointers().await, [m2, m1, m2]);
    assert!(!store.applied(&device, digest("m2")).await.unwrap());
    assert_eq!(pointers().await, [m2, None, m2]);
    assert!(!store.applied(&id("NOBODY"), digest("m2")).await.unwrap());
}

pub(in crate::store) async fn manifests_that_nothing_points_at_are_removed(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let point = |name: &str| {
        let pointers = [(device.clone(), digest(name))];
        async move { store.point(&pointers, at(1)).await.unwrap() }
    };
    for content in ["m1", "m2", "idle"] {
        store.keep_manifest(manifest(content)).await.unwrap();
    }
    point("m1").await;
    store.applied(&device, digest("m1")).await.unwrap();
    point("m2").await;
    assert_eq!(
        store.collect_manifests().await.unwrap(),
        0,
        "m1 is still held, idle was only just kept"
    );
    assert_eq!(
        store.collect_manifests().await.unwrap(),
        1,
        "nothing came for idle"
    );
    assert_eq!(store.manifest(digest("idle")).await.unwrap(), None);
    store.applied(&device, digest("m2")).await.unwrap();
    // Compiled anew and on its way to be pointed at.
    store.keep_manifest(manifest("m1")).await.unwrap();
    assert_eq!(store.collect_manifests().await.unwrap(), 0);
    point("m1").await;
    store.applied(&device, digest("m1")).await.unwrap();
    assert!(store.manifest(digest("m2")).await.unwrap().is_some());
    assert_eq!(store.collect_manifests().await.unwrap(), 1);
    assert_eq!(store.manifest(digest("m2")).await.unwrap(), None);
    assert_eq!(store.manifest(digest("m1")).await.unwrap(), Some(manifest("m1")));
    store.end(&device, Ending::CheckOut, at(5)).await.unwrap();
    assert_eq!(
        store.collect_manifests().await.unwrap(),
        1,
        "ended enrolments hold nothing"
    );
}

pub(in crate::store) async fn what_a_device_was_told_of_is_kept_over_any_number_of_moves(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let pin = store.enrollment(&device).await.unwrap().unwrap().certificate;
    let told = async || {
        let found = store
            .enrollment_by_certificate(pin, at(1))
            .await
            .unwrap()
            .unwrap();
        found.advertised_manifest
    };
    for content in ["m1", "m2", "m3"] {
        store.keep_manifest(manifest(content)).await.unwrap();
        let pointer = [(device.clone(), digest(content))];
        store.point(&pointer, at(1)).await.unwrap();
        if content == "m1" {
            assert_eq!(told().await, None);
            store.advertise(&device, digest("m1")).await.unwrap();
        }
    }
    assert_eq!(told().await, Some(digest("m1")));
    for _ in 0..2 {
        store.collect_manifests().await.unwrap();
    }
    assert!(store.manifest(digest("m1")).await.unwrap().is_some());
    store.advertise(&device, digest("m3")).await.unwrap();
    assert_eq!(told().await, Some(digest("m3")));
    for _ in 0..2 {
        store.collect_manifests().await.unwrap();
    }
    assert_eq!(store.manifest(digest("m1")).await.unwrap(), None);
    enroll_with(store, &device, "second", 30).await;
    let begun = store.enrollment(&device).await.unwrap().unwrap();
    assert_eq!(begun.advertised_manifest, None);
    store.advertise(&id("NOBODY"), digest("m3")).await.unwrap();
}

pub(in crate::store) async fn what_a_device_lacks_is_kept_until_it_enrols_again(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let lacks: Lacks =
        serde_json::from_str(r#"{"declarations":["com.apple.configuration.passcode.settings"]}"#).unwrap();
    assert_ne!(lacks, Lacks::default());
    let news = SystemNews {
        lacks: Some(lacks),
        ..SystemNews::default()
    };
    let known = async || store.enrollment(&device).await.unwrap().unwrap().lacks;
    assert_eq!(known().await, Lacks::default());
    store.update_system(&device, news).await.unwrap();
    assert_eq!(known().await, lacks);
    // A report that does not speak of it changes nothing of it.
    store.update_system(&device, system("26.4", None)).await.unwrap();
    assert_eq!(known().await, lacks);
    enroll_with(store, &device, "second", 30).await;
    assert_eq!(known().await, Lacks::default());
}

pub(in crate::store) async fn facts_change_one_after_the_other(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let add = |number: usize| {
        let add = move |facts: &mut Facts| {
            let name = format!("p-{number}");
            facts
                .profiles
                .get_or_insert_default()
                .insert(name, "u".to_owned())
                .is_none()
        };
        store.update_facts(&device, Box::new(add))
    };
    let changed = futures::future::join_all((0..100).map(add)).await;
    assert!(changed.into_iter().all(Result::unwrap));
    assert_eq!(
        store.facts(&device).await.unwrap().profiles.unwrap().len(),
        100,
        "none overwrote another"
    );
    assert!(!add(0).await.unwrap(), "nothing but time changed");
    assert_eq!(store.facts(&id("NOBODY")).await.unwrap(), Facts::default());
}

pub(in crate::store) async fn facts_of_an_enrolment_that_is_over_are_not_kept(store: &dyn Store) {
    let device = enroll(store, "A").await;
    store.end(&device, Ending::CheckOut, at(1)).await.unwrap();
    let add = |facts: &mut Facts| {
        facts.profiles = Some(BTreeMap::new());
        true
    };
    for device in [&device, &id("NOBODY")] {
        assert!(!store.update_facts(device, Box::new(add)).await.unwrap());
        assert_eq!(store.facts(device).await.unwrap(), Facts::default());
    }
}

pub(in crate::store) async fn verdicts_and_transitions_are_recorded_together(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let rule: Arc<str> = "cis/firewall".into();
    let transition = |seconds, from, to| Transition {
        time: at(seconds),
        rule: Some(Arc::clone(&rule)),
        from,
        to,
        revision: None,
        evidence: "ProfileList".into(),
        reason: "the profile is gone".to_owned(),
    };
    let first = transition(1, None, Some(Verdict::NotApplicable));
    let second = transition(2, Some(Verdict::NotApplicable), Some(Verdict::Fail));
    let removed = Transition {
        rule: None,
        ..transition(3, Some(Verdict::Fail), None)
    };
    let verdicts = BTreeMap::from([(Arc::clone(&rule), Verdict::Fail)]);
    store
        .record_verdicts(&device, verdicts.clone(), vec![first.clone(), second.clone()])
        .await
        .unwrap();
    assert_eq!(store.verdicts(&device).await.unwrap(), verdicts);
    store
        .record_verdicts(&device, BTreeMap::new(), vec![removed.clone()])
        .await
        .unwrap();
    assert_eq!(store.verdicts(&device).await.unwrap(), BTreeMap::new());
    assert_eq!(
        store.transitions(&device, 2).await.unwrap(),
        [removed, second],
        "the newest first"
    );
    assert_eq!(store.transitions(&device, 10).await.unwrap()[2], first);
    store
        .record_verdicts(&id("NOBODY"), verdicts, vec![first])
        .await
        .unwrap();
    assert_eq!(store.transitions(&id("NOBODY"), 10).await.unwrap(), []);
}

pub(in crate::store) async fn changes_are_told_after_they_can_be_seen(store: &dyn Store) {
    let mut feed = store.changes();
    let device = enroll(store, "A").await;
    let told = |feed: &mut tokio::sync::broadcast::Receiver<Change>| {
        let mut told = BTreeSet::new();
        while let Ok(change) = feed.try_recv() {
            told.insert(format!("{change:?}"));
        }
        told.into_iter().collect::<Vec<_>>()
    };
    let (enrollment, facts, work) = (r#"Enrollment("A")"#, r#"Facts("A")"#, r#"Work("A")"#);
    assert_eq!(told(&mut feed), [enrollment]);
    store.enqueue(vec![command(&device, "c-1")], at(1)).await.unwrap();
    assert_eq!(told(&mut feed), [work]);
    store
        .enqueue(vec![command(&device, "c-1"), command(&id("NOBODY"), "c")], at(1))
        .await
        .unwrap();
    assert_eq!(told(&mut feed), EMPTY, "nothing new");
    store
        .token_update(&device, push_address(b"t"), at(1))
        .await
        .unwrap();
    assert_eq!(
        told(&mut feed),
        [work],
        "it may have been pushed to another token"
    );
    store.update_system(&device, system("26.1", None)).await.unwrap();
    store.update_facts(&device, Box::new(|_| false)).await.unwrap();
    assert_eq!(told(&mut feed), EMPTY, "nothing new");
    store.update_facts(&device, Box::new(|_| true)).await.unwrap();
    assert_eq!(told(&mut feed), [facts]);
    store.keep_manifest(manifest("m")).await.unwrap();
    store
        .point(&[(device.clone(), digest("m"))], at(1))
        .await
        .unwrap();
    assert_eq!(told(&mut feed), [work]);
    store.applied(&device, digest("m")).await.unwrap();
    assert_eq!(told(&mut feed), [enrollment]);
    store.update_system(&device, system("26.2", None)).await.unwrap();
    assert_eq!(told(&mut feed), [enrollment]);
    store.drop_push_address(&device, b"t", None).await.unwrap();
    store
        .token_update(&device, push_address(b"t"), at(1))
        .await
        .unwrap();
    assert_eq!(told(&mut feed), [work], "what waited for a push address");
    store.remove_at_next_contact(&device, at(1)).await.unwrap();
    assert_eq!(told(&mut feed), [enrollment, work]);
    store.end(&device, Ending::CheckOut, at(1)).await.unwrap();
    assert_eq!(told(&mut feed), [enrollment]);

    // Whoever is woken finds the change.
    let (device, store) = (id("B"), store);
    let woken = async {
        loop {
            if feed.recv().await.unwrap() == Change::Work(id("B")) {
                return store.pending(&id("B")).await.unwrap().len();
            }
        }
    };
    enroll(store, "B").await;
    let (found, queued) = tokio::join!(woken, store.enqueue(vec![command(&device, "c-1")], at(1)));
    assert_eq!((found, queued.unwrap()), (1, vec![]));
}

const EMPTY: [&str; 0] = [];
