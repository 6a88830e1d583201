//! Certificates that take the place of others.

use super::*;
use crate::ids::{EnrollmentId, Namespace};
use crate::store::{Ending, EnrollmentState, PIN_OVERLAP, RENEWAL_GRACE, Refusal, Store};

/// Renews `by` by a certificate called `name`.
async fn renew(
    store: &dyn Store,
    device: &EnrollmentId,
    by: &str,
    name: &str,
    seconds: i64,
) -> Result<(), Refusal> {
    let mut renewed = certificate(name, device);
    renewed.not_after = at(seconds + 2_000_000);
    store.renew(digest(by), renewed, at(seconds)).await.unwrap()
}

/// Whether a certificate is good for the device.
async fn is_good(store: &dyn Store, device: &EnrollmentId, name: &str, seconds: i64) -> bool {
    let found = store.enrollment_by_certificate(digest(name), at(seconds)).await;
    found.unwrap().is_some_and(|found| {
        assert_eq!(found.id, *device);
        found.state != EnrollmentState::Ended
    })
}

pub(in crate::store) async fn a_renewed_certificate_and_the_one_before_are_both_accepted_until_it_is_used(
    store: &dyn Store,
) {
    let device = enroll(store, "A").await;
    assert_eq!(renew(store, &device, "A", "second", 1).await, Ok(()));
    for seconds in [1, 900_000] {
        assert!(is_good(store, &device, "A", seconds).await);
        assert!(is_good(store, &device, "second", seconds).await);
    }
    let pinned = store.enrollment(&device).await.unwrap().unwrap();
    assert_eq!(pinned.certificate, digest("A"), "looking at it is not using it");
    assert!(store.adopt(digest("A"), at(2)).await.unwrap().is_none());
    assert!(store.adopt(digest("nobody's"), at(2)).await.unwrap().is_none());
}

pub(in crate::store) async fn a_renewed_certificate_that_was_used_is_the_pin_and_the_one_before_ends(
    store: &dyn Store,
) {
    let device = enroll(store, "A").await;
    renew(store, &device, "A", "second", 1).await.unwrap();
    let adopted = store.adopt(digest("second"), at(10)).await.unwrap().unwrap();
    assert_eq!(
        (
            &adopted.id,
            adopted.certificate,
            adopted.state,
            adopted.token_updates
        ),
        (&device, digest("second"), EnrollmentState::Enrolled, 1)
    );
    assert!(
        store.adopt(digest("second"), at(11)).await.unwrap().is_none(),
        "once"
    );
    let end = 10 + PIN_OVERLAP.as_secs();
    assert!(is_good(store, &device, "A", end).await);
    assert!(!is_good(store, &device, "A", end + 1).await);
    assert!(is_good(store, &device, "second", end + 1).await);
    // The one before gives no new one, and begins nothing.
    assert_eq!(
        renew(store, &device, "A", "third", 12).await,
        Err(Refusal::WrongCertificate)
    );
    let refused = store
        .authenticate(authentication(&device, "A"), at(12))
        .await
        .unwrap();
    assert_eq!(refused.unwrap_err(), Refusal::WrongCertificate);
    let history = store.transitions(&device, 10).await.unwrap();
    assert_eq!(
        history[0].reason,
        "the device has renewed its identity certificate"
    );
    // At most one before the pin: the next renewal ends the first for good.
    renew(store, &device, "second", "third", 13).await.unwrap();
    store.adopt(digest("third"), at(14)).await.unwrap().unwrap();
    assert!(!is_good(store, &device, "A", 14).await);
    assert!(is_good(store, &device, "second", 14).await);
}

pub(in crate::store) async fn a_renewal_may_be_asked_for_again_when_its_answer_got_lost(store: &dyn Store) {
    let device = enroll(store, "A").await;
    for attempt in 0..20 {
        renew(store, &device, "A", &format!("renewed {attempt}"), attempt)
            .await
            .unwrap();
    }
    assert!(is_good(store, &device, "A", 20).await);
    assert!(is_good(store, &device, "renewed 19", 20).await);
    assert!(is_good(store, &device, "renewed 18", 20).await);
    assert!(!is_good(store, &device, "renewed 0", 20).await, "not without end");
    // The one that is used is the newest the device has; what it got before is over, what may be under way is not.
    store.adopt(digest("renewed 18"), at(21)).await.unwrap().unwrap();
    assert!(!is_good(store, &device, "renewed 17", 21).await);
    assert!(is_good(store, &device, "renewed 19", 21).await);
    // Asking with one of them is using it.
    renew(store, &device, "renewed 19", "last", 22).await.unwrap();
    let pinned = store.enrollment(&device).await.unwrap().unwrap();
    assert_eq!(pinned.certificate, digest("renewed 19"));
    assert_eq!(
        renew(store, &device, "renewed 19", "last", 23).await,
        Err(Refusal::WrongCertificate),
        "a certificate is issued once"
    );
}

pub(in crate::store) async fn a_renewal_carries_the_enrolment_on_and_nobody_elses(store: &dyn Store) {
    let device = enroll(store, "A").await;
    enroll(store, "B").await;
    assert_eq!(
        renew(store, &id("B"), "A", "stolen", 1).await,
        Err(Refusal::WrongCertificate),
        "the certificate of one device brings none for another"
    );
    let mut claimed = certificate("second", &device);
    claimed.namespace = Namespace::parse("elsewhere").unwrap();
    claimed.labels = [("team".to_owned(), "admin".to_owned())].into();
    claimed.serial_number = Some(serial("ANOTHER"));
    store.renew(digest("A"), claimed, at(1)).await.unwrap().unwrap();
    let adopted = store.adopt(digest("second"), at(2)).await.unwrap().unwrap();
    assert_eq!(adopted.namespace.as_str(), "fleet");
    assert_eq!(adopted.labels["team"], "design");
    // Nor does it fit other hardware.
    let mut other = authentication(&device, "second");
    other.serial_number = Some(serial("ANOTHER"));
    let refused = store.authenticate(other, at(3)).await.unwrap();
    assert_eq!(refused.unwrap_err(), Refusal::WrongDevice);
}

pub(in crate::store) async fn only_a_pinned_certificate_is_renewed(store: &dyn Store) {
    let device = id("A");
    let refused = Err(Refusal::WrongCertificate);
    issue(store, &device, "unused", 0).await;
    assert_eq!(renew(store, &device, "unused", "x", 1).await, refused);
    assert_eq!(renew(store, &device, "unknown", "x", 1).await, refused);
    enroll_with(store, &device, "pin", 2).await;
    assert_eq!(renew(store, &device, "unused", "x", 3).await, refused);
    store.remove_at_next_contact(&device, at(4)).await.unwrap();
    assert_eq!(renew(store, &device, "pin", "x", 5).await, refused, "told to go");
    store.end(&device, Ending::Removed, at(6)).await.unwrap();
    assert_eq!(renew(store, &device, "pin", "x", 7).await, refused, "gone");
}

pub(in crate::store) async fn a_certificate_that_ran_out_is_renewed_within_a_grace_and_gives_no_other_right(
    store: &dyn Store,
) {
    let device = enroll(store, "A").await;
    let last = 1_000_000 + RENEWAL_GRACE.as_secs();
    let refused = store
        .authenticate(authentication(&device, "A"), at(last))
        .await
        .unwrap();
    assert_eq!(refused.unwrap_err(), Refusal::WrongCertificate);
    assert_eq!(
        renew(store, &device, "A", "late", last + 1).await,
        Err(Refusal::RanOut)
    );
    assert_eq!(renew(store, &device, "A", "in time", last).await, Ok(()));
    assert!(is_good(store, &device, "in time", last).await);
    assert!(!is_good(store, &device, "late", last).await);
}

pub(in crate::store) async fn authenticate_with_a_renewed_certificate_goes_on_where_the_enrolment_was(
    store: &dyn Store,
) {
    let device = enroll(store, "A").await;
    store.enqueue(vec![command(&device, "c-1")], at(1)).await.unwrap();
    store.keep_manifest(manifest("m")).await.unwrap();
    store
        .point(&[(device.clone(), digest("m"))], at(1))
        .await
        .unwrap();
    renew(store, &device, "A", "second", 2).await.unwrap();
    let mut said = authentication(&device, "second");
    said.os_version = "26.2".to_owned();
    // Twice: the answer may get lost.
    for seconds in [3, 4] {
        let kept = store
            .authenticate(said.clone(), at(seconds))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((kept.state, kept.token_updates), (EnrollmentState::Enrolled, 1));
        assert_eq!(
            (kept.certificate, kept.manifest),
            (digest("second"), Some(digest("m")))
        );
        assert_eq!((kept.os_version.as_str(), kept.enrolled_at), ("26.2", at(0)));
    }
    assert!(store.push_address(&device).await.unwrap().is_some());
    assert_eq!(store.pending(&device).await.unwrap().len(), 1);
    let again = store
        .token_update(&device, push_address(b"t"), at(5))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(again.token_updates, 2, "not the enrolling one");
}

pub(in crate::store) async fn a_new_invitation_after_a_renewal_begins_anew_and_withdraws_both(
    store: &dyn Store,
) {
    let device = enroll(store, "A").await;
    store.enqueue(vec![command(&device, "c-1")], at(1)).await.unwrap();
    renew(store, &device, "A", "second", 2).await.unwrap();
    store.adopt(digest("second"), at(3)).await.unwrap().unwrap();
    issue(store, &device, "invited again", 4).await;
    renew(store, &device, "second", "third", 5).await.unwrap();
    let begun = store
        .authenticate(authentication(&device, "invited again"), at(6))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (begun.state, begun.token_updates),
        (EnrollmentState::Authenticated, 0)
    );
    assert_eq!(store.pending(&device).await.unwrap(), []);
    for over in ["A", "second", "third"] {
        assert!(!is_good(store, &device, over, 6).await, "{over}");
        assert!(store.adopt(digest(over), at(6)).await.unwrap().is_none());
    }
}

pub(in crate::store) async fn leaving_withdraws_renewed_certificates_too(store: &dyn Store) {
    let device = enroll(store, "A").await;
    renew(store, &device, "A", "second", 1).await.unwrap();
    store.adopt(digest("second"), at(2)).await.unwrap().unwrap();
    renew(store, &device, "second", "third", 3).await.unwrap();
    assert!(store.end(&device, Ending::CheckOut, at(4)).await.unwrap());
    for certificate in ["A", "second", "third"] {
        assert!(!is_good(store, &device, certificate, 5).await, "{certificate}");
        let refused = store
            .authenticate(authentication(&device, certificate), at(5))
            .await;
        assert_eq!(refused.unwrap().unwrap_err(), Refusal::WrongCertificate);
        assert_eq!(
            renew(store, &device, certificate, "fourth", 5).await,
            Err(Refusal::WrongCertificate)
        );
    }
}
