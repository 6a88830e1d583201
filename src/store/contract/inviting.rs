//! Invitations, and the certificates that are issued on them.

use std::collections::BTreeMap;

use super::*;
use crate::store::{Ending, EnrollmentState, IssuedCertificate, Refusal, Reissued, Store};

pub(in crate::store) async fn an_invitation_is_used_once(store: &dyn Store) {
    let device = id("A");
    let check =
        |challenge: &'static str| store.invitation(digest(challenge), Some(&device), digest("key"), at(0));
    store.invite(invitation("c")).await.unwrap();
    assert_eq!(check("guess").await.unwrap(), Err(Refusal::Unknown));
    assert_eq!(check("c").await.unwrap(), Ok(invitation("c")));
    assert_eq!(
        check("c").await.unwrap(),
        Ok(invitation("c")),
        "looking uses nothing up"
    );

    let issue = |name: &str| store.issue(digest("c"), certificate(name, &device), at(0));
    let (one, two) = tokio::join!(issue("one"), issue("two"));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(
        one.is_ok() != two.is_ok(),
        "exactly one of two at the same time: {one:?} {two:?}"
    );
    assert_eq!(check("c").await.unwrap(), Err(Refusal::Used));
    assert_eq!(
        store
            .issue(digest("guess"), certificate("three", &device), at(0))
            .await
            .unwrap(),
        Err(Refusal::Unknown)
    );
}

pub(in crate::store) async fn a_request_may_come_again_until_its_certificate_is_used(store: &dyn Store) {
    let device = id("A");
    store.invite(invitation("c")).await.unwrap();
    let issue = |name: &str, key: &str, device: &str| {
        let mut certificate = certificate(name, &id(device));
        certificate.key = digest(key);
        store.issue(digest("c"), certificate, at(0))
    };
    assert_eq!(issue("one", "key", "A").await.unwrap(), Ok(()));
    // The answer got lost; the same device asks again, and nobody else may.
    assert_eq!(issue("two", "key", "A").await.unwrap(), Ok(()));
    assert_eq!(
        issue("three", "other key", "A").await.unwrap(),
        Err(Refusal::Used)
    );
    assert_eq!(issue("four", "key", "B").await.unwrap(), Err(Refusal::Used));
    store
        .authenticate(authentication(&device, "two"), at(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(issue("five", "key", "A").await.unwrap(), Err(Refusal::Used));
    store.end(&device, Ending::CheckOut, at(2)).await.unwrap();
    assert_eq!(issue("six", "key", "A").await.unwrap(), Err(Refusal::Used));
}

pub(in crate::store) async fn a_request_may_not_come_again_without_end(store: &dyn Store) {
    store.invite(invitation("c")).await.unwrap();
    let mut outcomes = Vec::new();
    for attempt in 0..20 {
        let mut certificate = certificate(&attempt.to_string(), &id("A"));
        certificate.key = digest("key");
        outcomes.push(
            store
                .issue(digest("c"), certificate, at(0))
                .await
                .unwrap()
                .is_ok(),
        );
    }
    assert!(outcomes[0] && outcomes[1] && !outcomes[19], "{outcomes:?}");
}

pub(in crate::store) async fn an_invitation_expires(store: &dyn Store) {
    store.invite(invitation("c")).await.unwrap();
    let issued = |seconds| store.issue(digest("c"), certificate("one", &id("A")), at(seconds));
    assert_eq!(
        store
            .invitation(digest("c"), Some(&id("A")), digest("key"), at(1001))
            .await
            .unwrap(),
        Err(Refusal::Expired)
    );
    assert_eq!(issued(1001).await.unwrap(), Err(Refusal::Expired));
    assert_eq!(
        issued(1000).await.unwrap(),
        Ok(()),
        "the moment itself still counts"
    );
}

pub(in crate::store) async fn an_invitation_is_only_for_the_device_it_names(store: &dyn Store) {
    let mut bound = invitation("udid");
    bound.udid = Some(id("A"));
    store.invite(bound.clone()).await.unwrap();
    assert_eq!(
        store
            .invitation(digest("udid"), Some(&id("B")), digest("key"), at(0))
            .await
            .unwrap(),
        Err(Refusal::WrongDevice)
    );
    let refused = store
        .issue(digest("udid"), certificate("b", &id("B")), at(0))
        .await
        .unwrap();
    assert_eq!(refused, Err(Refusal::WrongDevice));
    assert_eq!(
        store
            .invitation(digest("udid"), Some(&id("A")), digest("key"), at(0))
            .await
            .unwrap(),
        Ok(bound),
        "not used up"
    );

    let mut bound = invitation("serial");
    bound.serial_number = Some(serial("S1"));
    store.invite(bound).await.unwrap();
    let mut unbound = certificate("a", &id("A"));
    let refused = store
        .issue(digest("serial"), unbound.clone(), at(0))
        .await
        .unwrap();
    assert_eq!(
        refused,
        Err(Refusal::WrongDevice),
        "the binding may not get lost on the way"
    );
    unbound.serial_number = Some(serial("S1"));
    assert_eq!(
        store.issue(digest("serial"), unbound, at(0)).await.unwrap(),
        Ok(())
    );
}

pub(in crate::store) async fn the_fleet_and_labels_come_from_the_invitation(store: &dyn Store) {
    let device = id("A");
    issue(store, &device, "cert", 0).await;
    let said = authentication(&device, "cert");
    let enrollment = store.authenticate(said.clone(), at(5)).await.unwrap().unwrap();
    assert_eq!(enrollment.namespace.as_str(), "fleet");
    assert_eq!(
        enrollment.labels,
        BTreeMap::from([("team".to_owned(), "design".to_owned())])
    );
    assert_eq!(enrollment.state, EnrollmentState::Authenticated);
    assert_eq!((enrollment.enrolled_at, enrollment.token_updates), (at(5), 0));
    assert_eq!(
        (&enrollment.id, enrollment.certificate),
        (&device, digest("cert"))
    );
    assert_eq!((enrollment.platform, enrollment.mode), (said.platform, said.mode));
    assert_eq!(
        (enrollment.serial_number, enrollment.model),
        (said.serial_number, said.model)
    );
    assert_eq!(
        (enrollment.os_version, enrollment.build_version),
        (said.os_version, said.build_version)
    );
    assert!(enrollment.declarative);
    assert_eq!(
        (
            enrollment.manifest,
            enrollment.previous_manifest,
            enrollment.applied_manifest
        ),
        (None, None, None)
    );
}

pub(in crate::store) async fn an_invitation_that_names_nobody_is_the_first_devices_that_comes(
    store: &dyn Store,
) {
    let (first, other) = (id("A"), id("B"));
    store.invite(invitation("c")).await.unwrap();
    let unnamed = |name: &str| IssuedCertificate {
        enrollment: None,
        key: digest("key"),
        ..certificate(name, &first)
    };
    for name in ["one", "two"] {
        let issued = store.issue(digest("c"), unnamed(name), at(0)).await.unwrap();
        assert_eq!(issued, Ok(()), "{name}: the same key may ask again");
    }
    store
        .authenticate(authentication(&first, "one"), at(1))
        .await
        .unwrap()
        .unwrap();
    for name in ["one", "two"] {
        let refused = store
            .authenticate(authentication(&other, name), at(2))
            .await
            .unwrap();
        assert_eq!(refused.unwrap_err(), Refusal::WrongCertificate, "{name}");
    }
}

pub(in crate::store) async fn a_certificate_that_was_never_used_may_be_issued_anew(store: &dyn Store) {
    let device = id("A");
    issue(store, &device, "first", 0).await;
    let reissue = async |by: &str, name: &str, seconds| {
        let new = Reissued {
            fingerprint: digest(name),
            key: digest("another key"),
            not_after: at(2_000_000),
        };
        store.reissue(digest(by), new, at(seconds)).await.unwrap()
    };
    assert_eq!(reissue("first", "second", 1).await, Ok(()));
    assert_eq!(reissue("unknown", "x", 1).await, Err(Refusal::WrongCertificate));
    let refused = reissue("first", "x", 1_000_001).await;
    assert_eq!(refused, Err(Refusal::WrongCertificate), "run out");
    // It is for the same device.
    let refused = store
        .authenticate(authentication(&id("B"), "second"), at(2))
        .await
        .unwrap();
    assert_eq!(refused.unwrap_err(), Refusal::WrongCertificate);
    let begun = store
        .authenticate(authentication(&device, "second"), at(2))
        .await
        .unwrap();
    assert_eq!(begun.unwrap().certificate, digest("second"));
    for by in ["first", "second"] {
        assert!(
            reissue(by, "x", 3).await.is_err(),
            "{by} has been used, or withdrawn"
        );
    }
}

pub(in crate::store) async fn the_same_message_gets_the_answer_that_was_kept_first(store: &dyn Store) {
    let message = digest("message");
    assert_eq!(store.answer(message).await.unwrap(), None);
    for (certificate, until) in [(vec![1], 10), (vec![2], 20)] {
        let kept = store.keep_answer(message, certificate, at(until)).await.unwrap();
        assert_eq!(kept, [1]);
    }
    assert_eq!(store.answer(message).await.unwrap(), Some(vec![1]));
    assert_eq!(store.answer(digest("another")).await.unwrap(), None);
}
