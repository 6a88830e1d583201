//! Push addresses: when they are forgotten, and when they are kept without being used.

use super::*;
use crate::ids::PushTopic;
use crate::store::{Change, Ending, PushAddress, PushRefusal, Store};

pub(in crate::store) async fn a_dead_push_address_is_forgotten_unless_it_was_registered_since(
    store: &dyn Store,
) {
    let device = enroll(store, "A").await;
    store
        .token_update(&device, push_address(b"again"), at(10))
        .await
        .unwrap()
        .unwrap();
    let dropped = |since| store.drop_push_address(&device, b"again", since);
    assert!(!dropped(Some(at(9))).await.unwrap(), "the device knows better");
    assert!(store.push_address(&device).await.unwrap().is_some());
    assert!(dropped(Some(at(11))).await.unwrap());
    assert!(store.push_address(&device).await.unwrap().is_none());
    assert!(!dropped(Some(at(11))).await.unwrap(), "there is none any more");
}

pub(in crate::store) async fn a_refused_push_address_is_kept_until_another_or_another_chance_comes(
    store: &dyn Store,
) {
    let device = enroll(store, "A").await;
    let refused = async || {
        let enrollment = store.enrollment(&device).await.unwrap().unwrap();
        let by_certificate = store.enrollment_by_certificate(digest("A"), at(1)).await;
        assert_eq!(
            by_certificate.unwrap().unwrap().push_refused,
            enrollment.push_refused,
            "what is kept in memory is never older"
        );
        enrollment.push_refused
    };
    let refuse = async |token: &[u8]| {
        let refusal = PushRefusal::BadDeviceToken;
        store.refuse_push_address(&device, token, refusal).await.unwrap();
    };
    refuse(b"another").await;
    assert_eq!(refused().await, None, "that one is not in use");
    let mut changes = store.changes();
    refuse(b"token").await;
    assert_eq!(refused().await, Some(PushRefusal::BadDeviceToken));
    assert_eq!(changes.recv().await.unwrap(), Change::Enrollment(device.clone()));
    let address = store.push_address(&device).await.unwrap().unwrap();
    assert_eq!(address.token.reveal(), b"token");
    store.seen(&[(device.clone(), at(7))]).await.unwrap();
    let wakeable = store.wakeable(&device).await.unwrap().unwrap();
    assert_eq!(wakeable.address.token.reveal(), b"token");
    assert_eq!(
        (wakeable.refused, wakeable.last_seen),
        (Some(PushRefusal::BadDeviceToken), Some(at(7)))
    );

    // The device says it again: it may be better this time.
    store
        .token_update(&device, push_address(b"token"), at(2))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(refused().await, None);
    refuse(b"token").await;
    assert_eq!(store.readmit_push_addresses().await.unwrap(), 1);
    assert_eq!(refused().await, None);
    assert_eq!(store.readmit_push_addresses().await.unwrap(), 0);

    refuse(b"token").await;
    store.end(&device, Ending::CheckOut, at(3)).await.unwrap();
    let ended = store.enrollment(&device).await.unwrap().unwrap();
    assert_eq!(ended.push_refused, None);
    assert!(store.wakeable(&device).await.unwrap().is_none());
}

pub(in crate::store) async fn topics_are_counted_by_devices(store: &dyn Store) {
    assert!(store.push_topics().await.unwrap().is_empty());
    for name in ["A", "B", "C", "D"] {
        enroll(store, name).await;
    }
    let topic = PushTopic::parse("com.apple.mgmt.External.other").unwrap();
    let other = PushAddress {
        topic: topic.clone(),
        ..push_address(b"t")
    };
    store.token_update(&id("B"), other, at(1)).await.unwrap().unwrap();
    store.end(&id("C"), Ending::CheckOut, at(1)).await.unwrap();
    let counted = store.push_topics().await.unwrap();
    let known = push_address(b"t").topic;
    assert_eq!(counted.into_iter().collect::<Vec<_>>(), [(topic, 1), (known, 2)]);
}
