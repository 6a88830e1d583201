use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::api::common::Severity;
use crate::compliance::demand::{Demand, Evidence};
use crate::compliance::{Checks, check};

const HOUR: Duration = Duration::from_hours(1);

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
}

fn needs(checks: &[&str]) -> Needs {
    let programs = Checks::default();
    let demands: Vec<Demand> = checks
        .iter()
        .map(|text| {
            let evidence = Evidence::Cel {
                program: programs.program(text).unwrap(),
                parameters: Arc::new(json!({})),
            };
            Demand::new(
                "a".into(),
                "b".into(),
                text,
                Severity::Low,
                Arc::default(),
                None,
                evidence,
            )
        })
        .collect();
    Needs::of(&demands)
}

fn mac() -> Subject {
    Subject {
        platform: Platform::MacOS,
        mode: EnrollmentMode::Supervised,
        declarative: true,
    }
}

fn moment(minute: i64, occasion: Occasion) -> Moment {
    Moment {
        now: at(minute),
        interval: HOUR,
        occasion,
    }
}

/// The questions, with their queries.
fn ask(subject: Subject, checks: &[&str], facts: &Facts, moment: &Moment) -> Vec<String> {
    questions(&subject, &needs(checks), facts, &[], moment)
        .into_iter()
        .map(|question| {
            let limit = if question.managed_only { " managed" } else { "" };
            format!("{}{limit} {}", question.source, question.queries.join(" "))
                .trim()
                .to_owned()
        })
        .collect()
}

#[test]
fn only_what_a_check_reads_is_asked() {
    let (nothing, schedule) = (Facts::default(), moment(0, Occasion::Schedule));
    assert_eq!(ask(mac(), &[], &nothing, &schedule), [""; 0]);
    assert_eq!(
        ask(
            mac(),
            &["DeviceInformation.IsActivationLockEnabled == false && DeviceInformation.TimeZone != ''"],
            &nothing,
            &schedule
        ),
        ["DeviceInformation IsActivationLockEnabled TimeZone"]
    );
    assert_eq!(
        ask(
            mac(),
            &[
                "SecurityInfo.SystemIntegrityProtectionEnabled",
                "UserList.all(u, u.HasSecureToken)"
            ],
            &nothing,
            &schedule
        ),
        ["SecurityInfo", "UserList"]
    );
    assert_eq!(
        ask(mac(), &["DeviceInformation.PushToken == ''"], &nothing, &schedule),
        [""; 0],
        "no check reads what wakes a device"
    );
}

#[test]
fn a_device_without_declarations_is_asked_for_its_system_and_its_profiles() {
    let old = Subject {
        declarative: false,
        ..mac()
    };
    assert_eq!(
        ask(old, &[], &Facts::default(), &moment(0, Occasion::Schedule)),
        ["DeviceInformation BuildVersion OSVersion", "ProfileList"]
    );
}

#[test]
fn what_a_subscribed_item_tells_is_not_asked_for_while_it_is_fresh() {
    let checks = [
        "SecurityInfo.FDE_Enabled",
        "DeviceInformation.OSVersion == '26.1'",
    ];
    let schedule = |minute| moment(minute, Occasion::Schedule);
    let mut facts = Facts::default();
    // Nothing has been told yet (or the device does not have the item): the command stands in.
    assert_eq!(
        ask(mac(), &checks, &facts, &schedule(0)),
        ["DeviceInformation OSVersion", "SecurityInfo"]
    );
    let told = json!({ "StatusItems": { "diskmanagement": { "filevault": { "enabled": true } },
                       "device": { "operating-system": { "version": "26.1" } } } });
    facts.status_report(&told, at(0)).unwrap();
    assert_eq!(ask(mac(), &checks, &facts, &schedule(60)), [""; 0]);
    assert_eq!(ask(mac(), &checks, &facts, &moment(60, Occasion::Event)), [""; 0]);
    // A key that no item tells needs the command, which answers both.
    let more = [checks[0], "SecurityInfo.SystemIntegrityProtectionEnabled"];
    assert_eq!(ask(mac(), &more, &facts, &schedule(60)), ["SecurityInfo"]);
    // Devices repeat everything once a day. One that does not is told to, and asked in the other way.
    let stale = 26 * 60 + 1;
    assert_eq!(
        ask(mac(), &checks, &facts, &schedule(stale)),
        ["DeviceInformation OSVersion", "SecurityInfo", "StatusReport"]
    );
}

#[test]
fn a_question_comes_again_when_its_answer_grows_old_and_not_before() {
    let checks = ["SecurityInfo.RemoteDesktopEnabled", "size(CertificateList) == 0"];
    let mut facts = Facts::default();
    facts.security_info(&json!({}), at(0));
    facts.answer(Source::CertificateList, &json!([]), at(0));
    let asked = |minute, occasion| ask(mac(), &checks, &facts, &moment(minute, occasion));
    assert_eq!(asked(29, Occasion::Schedule), [""; 0]);
    assert_eq!(asked(30, Occasion::Schedule), ["SecurityInfo"]);
    assert_eq!(
        asked(329, Occasion::Schedule),
        ["SecurityInfo"],
        "lists are asked for less often"
    );
    assert_eq!(
        asked(330, Occasion::Schedule),
        ["SecurityInfo", "CertificateList"]
    );
    // Something happened: what was true a minute ago need not be now.
    assert_eq!(asked(1, Occasion::Event), ["SecurityInfo", "CertificateList"]);
    // Who asks for a look gets one, of everything that is needed and of what the device tells by itself.
    assert_eq!(
        asked(0, Occasion::Request),
        ["SecurityInfo", "CertificateList", "StatusReport"]
    );
}

#[test]
fn who_does_not_answer_is_not_asked_more_often() {
    let needs = needs(&["Restrictions.GlobalRestrictions.restrictedBool.allowCamera.value == false"]);
    let phone = Subject {
        platform: Platform::IOS,
        ..mac()
    };
    let again = |minutes_ago: i64, minute: i64| {
        let asked = [(Source::Restrictions, at(minute - minutes_ago))];
        questions(
            &phone,
            &needs,
            &Facts::default(),
            &asked,
            &moment(minute, Occasion::Schedule),
        )
        .len()
    };
    assert_eq!((again(60, 1000), again(330, 1000)), (0, 1));
}

#[test]
fn a_personal_device_is_asked_only_for_what_its_enrolment_allows() {
    let everything: Vec<String> = check::VARIABLES
        .iter()
        .filter(|name| **name != check::PARAMETERS)
        .map(|name| format!("has({name}.IsActivationLockEnabled) || {name}.OSVersion == ''"))
        .chain(["DeviceInformation.SerialNumber == DeviceInformation.PhoneNumber".to_owned()])
        .collect();
    let everything: Vec<&str> = everything.iter().map(String::as_str).collect();
    let personal = |platform| Subject {
        platform,
        mode: EnrollmentMode::User,
        declarative: true,
    };
    let event = moment(0, Occasion::Event);
    assert_eq!(
        ask(personal(Platform::IOS), &everything, &Facts::default(), &event),
        [
            "DeviceInformation OSVersion",
            "SecurityInfo",
            "CertificateList managed",
            "InstalledApplicationList managed",
            "ManagedApplicationList",
        ]
    );
    assert_eq!(
        ask(personal(Platform::MacOS), &everything, &Facts::default(), &event),
        [
            "DeviceInformation OSVersion",
            "SecurityInfo",
            "CertificateList managed",
            "ManagedApplicationList",
        ]
    );
}

#[test]
fn what_a_system_does_not_have_is_not_asked() {
    let checks = [
        "size(UserList) == 1",
        "Restrictions.GlobalRestrictions.restrictedBool.x.value",
    ];
    let event = moment(0, Occasion::Event);
    assert_eq!(ask(mac(), &checks, &Facts::default(), &event), ["UserList"]);
    let phone = Subject {
        platform: Platform::IPadOS,
        ..mac()
    };
    assert_eq!(ask(phone, &checks, &Facts::default(), &event), ["Restrictions"]);
}
