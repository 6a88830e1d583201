//! Who may enrol, and what an enrolment is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::api::common::Verdict;
use crate::compliance::{Facts, Report, Source};
use crate::mdm::command::{Cause, ReportStatus};
use crate::store::{Ending, EnrollmentState, Refusal, Store, Transition};

pub(in crate::store) async fn nobody_enrols_with_a_certificate_that_was_not_issued_for_them(
    store: &dyn Store,
) {
    let victim = enroll(store, "VICTIM").await;
    issue(store, &id("ATTACKER"), "attacker", 0).await;
    let try_with = |name: &'static str| store.authenticate(authentication(&victim, name), at(1));
    assert_eq!(
        try_with("attacker").await.unwrap().unwrap_err(),
        Refusal::WrongCertificate
    );
    assert_eq!(
        try_with("signed elsewhere").await.unwrap().unwrap_err(),
        Refusal::WrongCertificate
    );
    let unharmed = store.enrollment(&victim).await.unwrap().unwrap();
    assert_eq!(
        (unharmed.state, unharmed.certificate),
        (EnrollmentState::Enrolled, digest("VICTIM"))
    );
    assert!(store.push_address(&victim).await.unwrap().is_some());
    // Nor after it has run out.
    issue(store, &id("LATE"), "late", 0).await;
    let late = store
        .authenticate(authentication(&id("LATE"), "late"), at(1_000_001))
        .await
        .unwrap();
    assert_eq!(late.unwrap_err(), Refusal::WrongCertificate);
}

pub(in crate::store) async fn a_certificate_bound_to_hardware_enrols_no_other(store: &dyn Store) {
    let device = id("A");
    let mut bound = invitation("c");
    bound.serial_number = Some(serial("S1"));
    store.invite(bound).await.unwrap();
    let mut issued = certificate("cert", &device);
    issued.serial_number = Some(serial("S1"));
    store.issue(digest("c"), issued, at(0)).await.unwrap().unwrap();
    let mut said = authentication(&device, "cert");
    for wrong in [Some(serial("S2")), None] {
        said.serial_number = wrong;
        let refused = store
            .authenticate(said.clone(), at(0))
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(refused, Refusal::WrongDevice);
    }
    said.serial_number = Some(serial("S1"));
    assert!(
        store.authenticate(said, at(0)).await.unwrap().is_ok(),
        "a refusal uses nothing up"
    );
}

pub(in crate::store) async fn authenticate_may_be_repeated_and_begins_anew(store: &dyn Store) {
    let device = enroll(store, "A").await;
    store.enqueue(vec![command(&device, "c-1")], at(1)).await.unwrap();
    let again = store
        .authenticate(authentication(&device, "A"), at(2))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (again.state, again.token_updates),
        (EnrollmentState::Authenticated, 0)
    );
    assert_eq!(store.pending(&device).await.unwrap(), []);
    assert!(
        store.push_address(&device).await.unwrap().is_none(),
        "reachable only at TokenUpdate"
    );
}

pub(in crate::store) async fn a_new_invitation_replaces_an_enrolment_and_the_old_certificate_is_withdrawn(
    store: &dyn Store,
) {
    let device = enroll(store, "A").await;
    enroll_with(store, &device, "second", 10).await;
    assert!(
        store
            .enrollment_by_certificate(digest("A"), at(20))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .enrollment_by_certificate(digest("second"), at(20))
            .await
            .unwrap()
            .is_some()
    );
    let back = store
        .authenticate(authentication(&device, "A"), at(11))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(back, Refusal::WrongCertificate);
    let pinned = store.enrollment(&device).await.unwrap().unwrap();
    assert_eq!(
        (pinned.certificate, pinned.state),
        (digest("second"), EnrollmentState::Enrolled)
    );
}

pub(in crate::store) async fn an_older_certificate_does_not_come_back(store: &dyn Store) {
    let device = id("A");
    issue(store, &device, "older", 0).await;
    issue(store, &device, "newer", 0).await;
    store
        .authenticate(authentication(&device, "newer"), at(1))
        .await
        .unwrap()
        .unwrap();
    let older = store
        .authenticate(authentication(&device, "older"), at(2))
        .await
        .unwrap();
    assert_eq!(
        older.unwrap_err(),
        Refusal::WrongCertificate,
        "never used, yet not newer than the pin"
    );
}

pub(in crate::store) async fn an_ended_enrolment_is_refused_until_invited_again(store: &dyn Store) {
    let device = enroll(store, "A").await;
    issue(store, &device, "at hand", 0).await;
    assert!(store.end(&device, Ending::CheckOut, at(1)).await.unwrap());
    assert!(
        !store.end(&device, Ending::CheckOut, at(1)).await.unwrap(),
        "ends once"
    );
    assert!(!store.end(&id("NOBODY"), Ending::CheckOut, at(1)).await.unwrap());
    let ended = store
        .enrollment_by_certificate(digest("A"), at(20))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        ended.state,
        EnrollmentState::Ended,
        "the gateway must be able to tell whom it refuses"
    );
    for certificate in ["A", "at hand"] {
        let refused = store
            .authenticate(authentication(&device, certificate), at(2))
            .await
            .unwrap();
        assert_eq!(refused.unwrap_err(), Refusal::WrongCertificate);
    }
    enroll_with(store, &device, "invited again", 3).await;
}

pub(in crate::store) async fn a_device_told_to_go_needs_a_new_invitation(store: &dyn Store) {
    let device = enroll(store, "A").await;
    assert!(store.remove_at_next_contact(&device, at(1)).await.unwrap());
    assert!(
        store.remove_at_next_contact(&device, at(1)).await.unwrap(),
        "still so"
    );
    let marked = store
        .enrollment_by_certificate(digest("A"), at(20))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(marked.state, EnrollmentState::Removing);
    let refused = store
        .authenticate(authentication(&device, "A"), at(2))
        .await
        .unwrap();
    assert_eq!(refused.unwrap_err(), Refusal::WrongCertificate);
    // A token update in between does not undo it.
    let marked = store
        .token_update(&device, push_address(b"new"), at(2))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(marked.state, EnrollmentState::Removing);
    enroll_with(store, &device, "second", 3).await;
    assert!(store.end(&device, Ending::CheckOut, at(4)).await.unwrap());
    assert!(!store.remove_at_next_contact(&device, at(5)).await.unwrap());
    assert!(!store.remove_at_next_contact(&id("NOBODY"), at(5)).await.unwrap());
}

pub(in crate::store) async fn a_new_enrolment_begins_empty_and_keeps_its_history(store: &dyn Store) {
    let device = enroll(store, "A").await;
    store
        .enqueue(vec![command(&device, "done"), command(&device, "open")], at(1))
        .await
        .unwrap();
    report(store, &device, "done", ReportStatus::Acknowledged).await;
    store.keep_manifest(manifest("m")).await.unwrap();
    store
        .point(&[(device.clone(), digest("m"))], at(1))
        .await
        .unwrap();
    store.applied(&device, digest("m")).await.unwrap();
    let reported = |facts: &mut Facts| {
        let report = Report {
            value: serde_json::json!({"FDE_Enabled": true}),
            observed_at: at(1),
        };
        facts.reports.insert(Source::SecurityInfo, report).is_none()
    };
    assert!(store.update_facts(&device, Box::new(reported)).await.unwrap());
    let rule: Arc<str> = "cis/filevault".into();
    let transition = Transition {
        time: at(1),
        rule: Some(Arc::clone(&rule)),
        from: None,
        to: Some(Verdict::Pass),
        revision: Some("main@sha1:abc".into()),
        evidence: "SecurityInfo".into(),
        reason: "FileVault is on".to_owned(),
    };
    let verdicts = BTreeMap::from([(rule, Verdict::Pass)]);
    store
        .record_verdicts(&device, verdicts, vec![transition.clone()])
        .await
        .unwrap();

    enroll_with(store, &device, "second", 30).await;
    assert_eq!(store.pending(&device).await.unwrap(), []);
    assert_eq!(store.facts(&device).await.unwrap(), Facts::default());
    assert_eq!(store.verdicts(&device).await.unwrap(), BTreeMap::new());
    let begun = store.enrollment(&device).await.unwrap().unwrap();
    assert_eq!(
        (begun.manifest, begun.previous_manifest, begun.applied_manifest),
        (None, None, None)
    );

    let kept = store.transitions(&device, 10).await.unwrap();
    let enrolled = Some("the device enrolled");
    let reasons: Vec<_> = kept
        .iter()
        .map(|t| t.rule.is_none().then_some(t.reason.as_str()))
        .collect();
    assert_eq!(reasons, [enrolled, None, enrolled], "the newest first");
    assert_eq!(kept[1], transition);
    let results = store.results(&device, 10).await.unwrap();
    let names: Vec<_> = results.iter().map(|result| result.uuid.as_str()).collect();
    assert_eq!(names, ["open", "done"]);
    assert_eq!(results[0].cause, Cause::because("a new enrolment began"));
    assert_eq!(
        (results[1].queued_at, results[1].ended_at),
        (at(1), at(20)),
        "what ended before is as it was"
    );
}

pub(in crate::store) async fn the_life_of_an_enrolment_is_recorded_once(store: &dyn Store) {
    let device = enroll(store, "A").await;
    // What is said again is recorded no second time.
    store
        .token_update(&device, push_address(b"other"), at(1))
        .await
        .unwrap();
    for seconds in [2, 3] {
        store.remove_at_next_contact(&device, at(seconds)).await.unwrap();
    }
    for (ending, seconds) in [(Ending::Removed, 4), (Ending::CheckOut, 5)] {
        store.end(&device, ending, at(seconds)).await.unwrap();
    }
    let recorded = store.transitions(&device, 10).await.unwrap();
    let told: Vec<_> = recorded
        .iter()
        .map(|t| (t.time, &*t.evidence, t.reason.as_str()))
        .collect();
    let going = "its Device was deleted: the device is told to remove its enrolment at the next contact";
    let expected = [
        (at(4), "CheckIn", Ending::Removed.reason()),
        (at(2), "Policy", going),
        (at(0), "CheckIn", "the device enrolled"),
    ];
    assert_eq!(told, expected);
    assert!(
        recorded
            .iter()
            .all(|t| (&t.rule, t.from, t.to) == (&None, None, None))
    );
}

pub(in crate::store) async fn two_spellings_of_one_name_are_not_two_devices(store: &dyn Store) {
    enroll(store, "A-1").await;
    for spelling in ["a-1", "A_1"] {
        issue(store, &id(spelling), spelling, 0).await;
        let refused = store
            .authenticate(authentication(&id(spelling), spelling), at(1))
            .await
            .unwrap();
        assert_eq!(
            refused.unwrap_err(),
            Refusal::WrongDevice,
            "{spelling} would claim the Device object of A-1"
        );
        assert!(store.enrollment(&id(spelling)).await.unwrap().is_none());
    }
}

pub(in crate::store) async fn token_updates_are_counted_and_refused_without_an_enrolment(store: &dyn Store) {
    let device = id("A");
    assert!(
        store
            .token_update(&device, push_address(b"t"), at(0))
            .await
            .unwrap()
            .is_none()
    );
    enroll(store, "A").await;
    let update = store
        .token_update(&device, push_address(b"new token"), at(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(update.token_updates, 2);
    let address = store.push_address(&device).await.unwrap().unwrap();
    assert_eq!(address.token.reveal(), b"new token");
    assert_eq!(address.magic.reveal(), "push-magic-of-a-device");
    assert_eq!(address.topic.as_str(), "com.apple.mgmt.External.test");
    assert!(!store.drop_push_address(&device, b"token", None).await.unwrap());
    let address = store.push_address(&device).await.unwrap().unwrap();
    assert_eq!(address.token.reveal(), b"new token", "it is another's end");
    let dropped = store.drop_push_address(&device, b"new token", None).await;
    assert!(dropped.unwrap());
    assert!(store.push_address(&device).await.unwrap().is_none());
    store
        .token_update(&device, push_address(b"t"), at(2))
        .await
        .unwrap()
        .unwrap();
    store.end(&device, Ending::CheckOut, at(3)).await.unwrap();
    assert!(store.push_address(&device).await.unwrap().is_none());
    assert!(
        store
            .token_update(&device, push_address(b"t"), at(4))
            .await
            .unwrap()
            .is_none()
    );
}

pub(in crate::store) async fn enrolments_are_listed_in_pages(store: &dyn Store) {
    for name in ["C", "A", "B"] {
        enroll(store, name).await;
    }
    let names = |page: Vec<crate::store::Enrollment>| -> Vec<String> {
        page.iter().map(|enrollment| enrollment.id.to_string()).collect()
    };
    assert_eq!(names(store.enrollments(None, 2).await.unwrap()), ["A", "B"]);
    assert_eq!(names(store.enrollments(Some(&id("B")), 2).await.unwrap()), ["C"]);
    assert_eq!(
        names(store.enrollments(Some(&id("C")), 2).await.unwrap()),
        Vec::<String>::new()
    );
}

pub(in crate::store) async fn the_lookup_by_certificate_is_never_out_of_date(store: &dyn Store) {
    let device = id("A");
    let look = || async {
        store
            .enrollment_by_certificate(digest("cert"), at(0))
            .await
            .unwrap()
    };
    assert!(look().await.is_none());
    issue(store, &device, "cert", 0).await;
    assert!(look().await.is_none(), "issued, not enrolled");
    store
        .authenticate(authentication(&device, "cert"), at(0))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(look().await.unwrap().state, EnrollmentState::Authenticated);
    store
        .token_update(&device, push_address(b"t"), at(0))
        .await
        .unwrap();
    assert_eq!(look().await.unwrap().state, EnrollmentState::Enrolled);
    store
        .token_update(&device, push_address(b"t"), at(0))
        .await
        .unwrap();
    assert_eq!(look().await.unwrap().token_updates, 2);
    store
        .update_system(&device, system("26.2", Some("25C5")))
        .await
        .unwrap();
    assert_eq!(look().await.unwrap().os_version, "26.2");
    store.keep_manifest(manifest("m")).await.unwrap();
    store
        .point(&[(device.clone(), digest("m"))], at(0))
        .await
        .unwrap();
    assert_eq!(look().await.unwrap().manifest, Some(digest("m")));
    store.applied(&device, digest("m")).await.unwrap();
    assert_eq!(look().await.unwrap().applied_manifest, Some(digest("m")));
    store.remove_at_next_contact(&device, at(0)).await.unwrap();
    assert_eq!(look().await.unwrap().state, EnrollmentState::Removing);
    store.end(&device, Ending::CheckOut, at(0)).await.unwrap();
    assert_eq!(look().await.unwrap().state, EnrollmentState::Ended);
    enroll_with(store, &device, "second", 1).await;
    assert!(look().await.is_none());
}

pub(in crate::store) async fn last_seen_only_moves_forward(store: &dyn Store) {
    let device = enroll(store, "A").await;
    assert_eq!(store.last_seen(&device).await.unwrap(), None);
    store
        .seen(&[
            (device.clone(), at(5)),
            (id("NOBODY"), at(5)),
            (device.clone(), at(4)),
        ])
        .await
        .unwrap();
    assert_eq!(store.last_seen(&device).await.unwrap(), Some(at(5)));
    store.seen(&[(device.clone(), at(3))]).await.unwrap();
    assert_eq!(store.last_seen(&device).await.unwrap(), Some(at(5)));
    assert_eq!(store.last_seen(&id("NOBODY")).await.unwrap(), None);
}

pub(in crate::store) async fn system_versions_are_kept(store: &dyn Store) {
    let device = enroll(store, "A").await;
    let version = || async {
        let enrollment = store.enrollment(&device).await.unwrap().unwrap();
        (
            enrollment.os_version,
            enrollment.build_version.unwrap_or_default(),
        )
    };
    store.update_system(&device, system("26.2", None)).await.unwrap();
    assert_eq!(
        version().await,
        ("26.2".to_owned(), "25B78".to_owned()),
        "no build said, none forgotten"
    );
    store
        .update_system(&device, system("26.2", Some("25C56")))
        .await
        .unwrap();
    assert_eq!(version().await, ("26.2".to_owned(), "25C56".to_owned()));
    store
        .update_system(&id("NOBODY"), system("26.2", None))
        .await
        .unwrap();
}
