//! Stories of enrolments that began at another server.

use std::sync::Arc;

use super::fixtures::*;
use crate::ids::{EnrollmentId, Namespace};
use crate::secret::Secret;
use crate::store::{Arrival, Arrived, Change, Ending, EnrollmentState, Escrow, NotTaken, Store};

fn arrival(device: &str) -> Arrival {
    let device = id(device);
    let told = authentication(&device, device.as_str());
    Arrival {
        enrollment: device,
        namespace: Namespace::parse("fleet").unwrap(),
        labels: [("team".to_owned(), "design".to_owned())].into(),
        certificate: Some(told.certificate),
        platform: told.platform,
        mode: told.mode,
        serial_number: told.serial_number,
        model: told.model,
        os_version: told.os_version,
        declarative: told.declarative,
        topic: Some(told.topic),
        push: Some(push_address(b"token of old")),
        unlock_token: None,
        bootstrap_token: Some(Secret::new(b"bootstrap".to_vec())),
    }
}

fn arrival_of_user(device: &str, user: &str) -> Arrival {
    Arrival {
        enrollment: EnrollmentId::of_user(&id(device), user).unwrap(),
        certificate: None,
        bootstrap_token: None,
        ..arrival(device)
    }
}

/// Takes arrivals over, having been told before what will become of them.
async fn take(store: &dyn Store, arrivals: Vec<Arrival>, seconds: i64) -> Vec<Result<Arrived, NotTaken>> {
    let arrivals: Arc<[Arrival]> = arrivals.into();
    let weighed = store.weigh_arrivals(arrivals.clone()).await.unwrap();
    let taken = store.take_over(arrivals, at(seconds)).await.unwrap();
    assert_eq!(weighed, taken, "what was said before is what comes of it");
    taken
}

pub(in crate::store) async fn an_arrival_is_enrolled_with_its_certificate_and_its_secrets(store: &dyn Store) {
    let mut changes = store.changes();
    assert_eq!(take(store, vec![arrival("A")], 5).await, [Ok(Arrived::New)]);
    assert_eq!(changes.try_recv().unwrap(), Change::Enrollment(id("A")));
    let found = store
        .enrollment_by_certificate(digest("A"), at(5))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.id.as_str(), found.state), ("A", EnrollmentState::Enrolled));
    assert_eq!((found.token_updates, found.enrolled_at), (0, at(5)));
    assert_eq!((found.bootstrap_token, found.unlock_token), (true, false));
    let address = store.push_address(&found.id).await.unwrap().unwrap();
    assert_eq!(address.token.reveal(), b"token of old");
    let kept = store
        .escrow(&found.id, Escrow::BootstrapToken)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.reveal(), b"bootstrap");
    let history = store.transitions(&found.id, 10).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(&*history[0].evidence, "Import");
    store
        .enqueue(vec![command(&found.id, "c-1")], at(6))
        .await
        .unwrap();
    assert_eq!(next(store, &found.id, true).await.as_deref(), Some("c-1"));
}

pub(in crate::store) async fn arriving_twice_changes_nothing_and_arriving_otherwise_only_what_differs(
    store: &dyn Store,
) {
    take(store, vec![arrival("A")], 1).await;
    let mut changes = store.changes();
    assert_eq!(take(store, vec![arrival("A")], 2).await, [Ok(Arrived::Same)]);
    let silent = Arrival {
        push: None,
        bootstrap_token: None,
        ..arrival("A")
    };
    assert_eq!(take(store, vec![silent], 3).await, [Ok(Arrived::Same)]);
    assert!(changes.try_recv().is_err(), "nothing was changed");
    let topic = store.push_topic(&id("A")).await.unwrap();
    assert_eq!(topic, Some(push_address(b"").topic));
    let unreachable = Arrival {
        push: None,
        ..arrival("B")
    };
    let again = [unreachable.clone(), unreachable.clone()].map(|arrival| vec![arrival]);
    let [first, second] = again;
    assert_eq!(take(store, first, 3).await, [Ok(Arrived::New)]);
    assert_eq!(take(store, second, 3).await, [Ok(Arrived::Same)]);
    assert_eq!(
        store.push_topic(&id("B")).await.unwrap(),
        topic,
        "it is told though nobody can be woken"
    );

    let otherwise = Arrival {
        certificate: Some(digest("another")),
        push: Some(push_address(b"token of new")),
        os_version: "26.2".to_owned(),
        ..arrival("A")
    };
    assert_eq!(take(store, vec![otherwise], 4).await, [Ok(Arrived::Changed)]);
    assert!(
        store
            .enrollment_by_certificate(digest("A"), at(4))
            .await
            .unwrap()
            .is_none()
    );
    let found = store
        .enrollment_by_certificate(digest("another"), at(4))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.os_version.as_str(), found.enrolled_at), ("26.2", at(1)));
    let address = store.push_address(&found.id).await.unwrap().unwrap();
    assert_eq!(address.token.reveal(), b"token of new");
    assert!(found.bootstrap_token);
}

pub(in crate::store) async fn who_has_been_in_contact_is_left_as_it_is(store: &dyn Store) {
    take(store, vec![arrival("A"), arrival("B"), arrival("C")], 1).await;
    store
        .token_update(&id("A"), push_address(b"its own"), at(2))
        .await
        .unwrap()
        .unwrap();
    store.seen(&[(id("B"), at(2))]).await.unwrap();
    store.end(&id("C"), Ending::CheckOut, at(2)).await.unwrap();
    let old = Arrival {
        os_version: "15.0".to_owned(),
        ..arrival("A")
    };
    let again = take(store, vec![old, arrival("B"), arrival("C")], 3).await;
    assert_eq!(again, [Ok(Arrived::Left); 3]);
    let address = store.push_address(&id("A")).await.unwrap().unwrap();
    assert_eq!(address.token.reveal(), b"its own");
    assert_eq!(
        store.enrollment(&id("A")).await.unwrap().unwrap().os_version,
        "26.1"
    );
    let ended = store.enrollment(&id("C")).await.unwrap().unwrap();
    assert_eq!(ended.state, EnrollmentState::Ended);
}

pub(in crate::store) async fn one_that_cannot_be_taken_over_keeps_nobody_else_from_it(store: &dyn Store) {
    enroll(store, "A").await;
    issue(store, &id("I"), "issued", 0).await;
    let with = |name: &str, certificate| Arrival {
        certificate,
        ..arrival(name)
    };
    let taken = take(
        store,
        vec![
            with("a", Some(digest("its own"))),
            with("B", Some(digest("A"))),
            with("C", Some(digest("issued"))),
            with("D", None),
            arrival_of_user("E", "u"),
            arrival("F"),
        ],
        1,
    )
    .await;
    assert_eq!(
        taken,
        [
            Err(NotTaken::NameTaken),
            Err(NotTaken::CertificateTaken),
            Err(NotTaken::CertificateTaken),
            Err(NotTaken::NoCertificate),
            Err(NotTaken::NoDevice),
            Ok(Arrived::New),
        ]
    );
    assert_eq!(store.enrollments(None, 10).await.unwrap().len(), 2);
}

pub(in crate::store) async fn users_arrive_after_their_device(store: &dyn Store) {
    take(store, vec![arrival("A")], 1).await;
    assert_eq!(
        take(store, vec![arrival_of_user("A", "u")], 1).await,
        [Ok(Arrived::New)]
    );
    assert_eq!(
        take(store, vec![arrival_of_user("A", "u")], 2).await,
        [Ok(Arrived::Same)]
    );
    let moved = Arrival {
        namespace: Namespace::parse("studio").unwrap(),
        ..arrival("A")
    };
    assert_eq!(take(store, vec![moved], 3).await, [Ok(Arrived::Changed)]);
    let users = store.users(&id("A")).await.unwrap();
    assert_eq!(users.len(), 1);
    assert_eq!(
        (users[0].state, users[0].namespace.as_str()),
        (EnrollmentState::Enrolled, "studio")
    );
    let address = store.push_address(&users[0].id).await.unwrap().unwrap();
    assert_eq!(address.token.reveal(), b"token of old");
    store.end(&id("A"), Ending::CheckOut, at(4)).await.unwrap();
    assert_eq!(
        store.users(&id("A")).await.unwrap()[0].state,
        EnrollmentState::Ended
    );
}
