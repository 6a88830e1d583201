use super::*;
use crate::mdm::commands::Command;
use crate::mdm::commands::table::{Mode, commands};

fn dictionary(entries: &[(&str, Value)]) -> Dictionary {
    let entries = entries.iter().cloned();
    entries.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn target(platform: Platform, version: &str, mode: EnrollmentMode) -> Target {
    Target {
        platform,
        os_version: OsVersion::read(version),
        mode,
        rights: AccessRights::ALL,
        user_channel: false,
        shared_ipad: None,
        automated: None,
    }
}

fn answer(request_type: &str, arguments: &[(&str, Value)], target: &Target) -> String {
    let command = Command::build(request_type, dictionary(arguments)).unwrap();
    match command.admissible(target) {
        Ok(()) => "yes".to_owned(),
        Err(refused) => refused.to_string(),
    }
}

use EnrollmentMode::{Device, Supervised, User};
use Platform::{IOS, IPadOS, MacOS};

#[test]
fn a_command_fits_the_system_and_its_version() {
    let old = target(IOS, "10.2", Supervised);
    insta::assert_snapshot!(answer("RestartDevice", &[], &old), @"RestartDevice needs iOS 10.3 or later; the device has 10.2");
    insta::assert_snapshot!(answer("EnableRemoteDesktop", &[], &old), @"EnableRemoteDesktop is not there on iOS");
    assert_eq!(
        answer("RestartDevice", &[], &target(IOS, "10.3", Supervised)),
        "yes"
    );
    assert_eq!(
        answer("RestartDevice", &[], &target(IOS, "unreadable", Supervised)),
        "yes"
    );
    insta::assert_snapshot!(answer("AvailableOSUpdates", &[], &target(MacOS, "27.0", Supervised)), @"AvailableOSUpdates is no longer there since macOS 27.0; the device has 27.0");
    assert_eq!(
        answer("AvailableOSUpdates", &[], &target(MacOS, "26.4", Supervised)),
        "yes"
    );
}

#[test]
fn a_key_fits_them_too() {
    let pin = [("PIN", Value::from("123456"))];
    assert_eq!(
        answer("EraseDevice", &pin, &target(MacOS, "15", Supervised)),
        "yes"
    );
    insta::assert_snapshot!(answer("EraseDevice", &pin, &target(IOS, "18", Supervised)), @"PIN of EraseDevice is not there on iOS");
    let ask = |query: &str| [("Queries", Value::Array(vec![query.into()]))];
    insta::assert_snapshot!(answer("DeviceInformation", &ask("TimeZone"), &target(MacOS, "15", Supervised)), @"TimeZone of DeviceInformation is not there on macOS");
    insta::assert_snapshot!(answer("DeviceInformation", &ask("OSUpdateSettings"), &target(MacOS, "27", Supervised)), @"OSUpdateSettings of DeviceInformation is no longer there since macOS 27.0; the device has 27.0");
    let setting = |item: &str, enabled| {
        let setting = dictionary(&[("Item", item.into()), ("Enabled", enabled)]);
        [("Settings", Value::Array(vec![Value::Dictionary(setting)]))]
    };
    insta::assert_snapshot!(
        answer("Settings", &setting("DataRoaming", true.into()), &target(MacOS, "15", Supervised)),
        @"DataRoaming of Settings is not there on macOS"
    );
    assert_eq!(
        answer(
            "Settings",
            &setting("DataRoaming", true.into()),
            &target(IOS, "18", Device)
        ),
        "yes"
    );
}

#[test]
fn a_command_fits_how_the_device_is_managed() {
    insta::assert_snapshot!(answer("ShutDownDevice", &[], &target(IOS, "18", Device)), @"ShutDownDevice needs a supervised device");
    assert_eq!(
        answer("EnableRemoteDesktop", &[], &target(MacOS, "15", Device)),
        "yes",
        "a Mac is supervised by enrolling"
    );
    let mut few = target(MacOS, "15", Supervised);
    few.rights = AccessRights(8191 - 8);
    insta::assert_snapshot!(answer("EraseDevice", &[], &few), @"EraseDevice needs a right that the enrolment was not granted: erase the device");
    let by_hand = Target {
        automated: Some(false),
        ..target(MacOS, "15", Supervised)
    };
    insta::assert_snapshot!(answer("DeviceConfigured", &[], &by_hand), @"DeviceConfigured needs Automated Device Enrollment");
}

#[test]
fn a_command_fits_the_channel() {
    let user = Target {
        user_channel: true,
        ..target(MacOS, "15", Supervised)
    };
    assert_eq!(answer("ProfileList", &[], &user), "yes");
    insta::assert_snapshot!(answer("SecurityInfo", &[], &user), @"yes");
    insta::assert_snapshot!(answer("EraseDevice", &[], &user), @"EraseDevice does not work on the channel of a user");
    insta::assert_snapshot!(answer("ActiveNSExtensions", &[], &target(MacOS, "15", Supervised)), @"ActiveNSExtensions does not work on the channel of the device");
    let shared = Target {
        shared_ipad: Some(true),
        user_channel: true,
        ..target(IPadOS, "18", Supervised)
    };
    assert_eq!(answer("ProfileList", &[], &shared), "yes");
    insta::assert_snapshot!(answer("SecurityInfo", &[], &shared), @"SecurityInfo does not work on the channel of a user");
    let shared = Target {
        user_channel: false,
        ..shared
    };
    let unlock = [("UnlockToken", Value::Data(vec![1]))];
    insta::assert_snapshot!(answer("ClearPasscode", &unlock, &shared), @"ClearPasscode is not there on a Shared iPad");
    assert_eq!(answer("LogOutUser", &[], &shared), "yes");
    let plain = Target {
        shared_ipad: Some(false),
        ..shared
    };
    insta::assert_snapshot!(answer("LogOutUser", &[], &plain), @"LogOutUser needs a Shared iPad");
}

#[test]
fn a_personal_device_is_neither_erased_nor_opened_nor_located_nor_searched() {
    let own = target(IOS, "18", User);
    insta::assert_snapshot!(answer("EraseDevice", &[], &own), @"EraseDevice is never sent to a personal device");
    insta::assert_snapshot!(answer("DeviceLocation", &[], &own), @"DeviceLocation is never sent to a personal device");
    insta::assert_snapshot!(answer("Restrictions", &[], &own), @"Restrictions is not there in a User Enrollment");
    insta::assert_snapshot!(answer("InstalledApplicationList", &[], &own), @"a personal device tells only of what is managed: InstalledApplicationList needs ManagedAppsOnly to be true");
    assert_eq!(
        answer(
            "InstalledApplicationList",
            &[("ManagedAppsOnly", true.into())],
            &own
        ),
        "yes"
    );
    assert_eq!(answer("DeviceLock", &[], &own), "yes", "without losing anything");
    let serial = [("Queries", Value::Array(vec!["SerialNumber".into()]))];
    insta::assert_snapshot!(answer("DeviceInformation", &serial, &own), @"SerialNumber of DeviceInformation is not there in a User Enrollment");
    for (request_type, facts) in commands() {
        let forbidden = facts
            .on
            .values()
            .all(|on| on.user_enrollment == Some(Mode::Forbidden));
        if spares_personal_devices(request_type) || forbidden {
            for platform in [IOS, MacOS] {
                let target = target(platform, "26", User);
                assert!(
                    admissible(request_type, &Dictionary::new(), &target).is_err(),
                    "{request_type}"
                );
            }
        }
    }
}

#[test]
fn what_the_table_does_not_know_is_not_refused() {
    let made_up = dictionary(&[("Any", "thing".into())]);
    assert_eq!(
        admissible("FromTheFuture", &made_up, &target(IOS, "27", User)),
        Ok(())
    );
}
