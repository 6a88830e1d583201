use super::*;
use crate::api::common::Platform;
use crate::mdm::commands::table::AccessRights;
use crate::policy::OsVersion;

fn body(command: &Command) -> String {
    command.body(&CommandUuid::parse("c-1").unwrap()).to_string()
}

fn ours() -> Vec<Command> {
    vec![
        Command::DeclarativeManagement {
            tokens: Some(b"{}".to_vec()),
        },
        Command::DeviceInformation {
            queries: QUERIES.to_vec(),
        },
        Command::InstallProfile {
            identifier: "dev.provost.profile.a".into(),
            profile: "<plist/>".into(),
        },
        Command::ProfileList { managed_only: false },
        Command::RemoveProfile {
            identifier: MDM_PROFILE.into(),
        },
        Command::SecurityInfo,
        Command::DeviceConfigured,
        Command::UserConfigured,
        Command::inventory("CertificateList", true),
    ]
}

fn dictionary(entries: &[(&str, Value)]) -> Dictionary {
    let entries = entries.iter().cloned();
    entries.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn refused(request_type: &str, arguments: &[(&str, Value)]) -> String {
    Command::build(request_type, dictionary(arguments))
        .unwrap_err()
        .to_string()
}

#[test]
fn commands_are_written_as_devices_read_them() {
    for command in ours() {
        insta::assert_snapshot!(command.request_type(), body(&command));
    }
}

#[test]
fn what_we_make_by_hand_is_what_the_table_says() {
    let lists = [
        "InstalledApplicationList",
        "ManagedApplicationList",
        "Restrictions",
        "UserList",
    ];
    let lists = lists.map(|list| Command::inventory(list, true));
    let more = lists
        .into_iter()
        .chain([Command::ProfileList { managed_only: true }]);
    for command in ours().into_iter().chain(more) {
        let built = Command::build(command.request_type(), command.arguments().into_owned()).unwrap();
        assert_eq!(body(&built), body(&command));
    }
}

#[test]
fn one_intent_is_one_question() {
    let install = Command::InstallProfile {
        identifier: "a".into(),
        profile: "<plist/>".into(),
    };
    let remove = Command::RemoveProfile {
        identifier: "a".into(),
    };
    assert_eq!(install.intent(), remove.intent());
    assert_ne!(
        Command::ProfileList { managed_only: false }.intent(),
        Command::SecurityInfo.intent()
    );
    let lock = Command::build("DeviceLock", dictionary(&[("PIN", "123456".into())])).unwrap();
    assert_eq!(lock.intent(), Intent::Identical, "nothing of a passcode");
}

#[test]
fn what_is_built_has_the_arguments_that_were_given() {
    let lock = Command::build("DeviceLock", dictionary(&[("PIN", "123456".into())])).unwrap();
    insta::assert_snapshot!(body(&lock), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
    <plist version="1.0">
    <dict>
    	<key>Command</key>
    	<dict>
    		<key>RequestType</key>
    		<string>DeviceLock</string>
    		<key>PIN</key>
    		<string>123456</string>
    	</dict>
    	<key>CommandUUID</key>
    	<string>c-1</string>
    </dict>
    </plist>
    "#);
    let enrollment = EnrollmentId::parse("A").unwrap();
    let uuid = CommandUuid::parse("c-1").unwrap();
    let queued = lock.queued(&enrollment, uuid, None, Timestamp::MAX);
    assert_eq!(queued.priority, crate::mdm::command::Priority::Urgent);
}

#[test]
fn a_command_that_is_not_there_is_told_with_one_that_is() {
    assert_eq!(
        refused("EraseDevise", &[]),
        "there is no command `EraseDevise`; did you mean `EraseDevice`?"
    );
    assert_eq!(refused("MakeCoffee", &[]), "there is no command `MakeCoffee`");
}

#[test]
fn arguments_that_cannot_be_are_told_with_what_to_do() {
    let wallpaper = |entries: &[(&str, Value)]| Value::Array(vec![Value::Dictionary(dictionary(entries))]);
    insta::assert_snapshot!(refused("EraseDevice", &[("PINN", "1".into())]), @"EraseDevice: PINN: there is no such key; did you mean `PIN`?");
    insta::assert_snapshot!(refused("EraseDevice", &[("Coffee", true.into())]), @"EraseDevice: Coffee: there is no such key; there is `DisallowProximitySetup`, `ObliterationBehavior`, `PIN`, `PreserveDataPlan` and `ReturnToService`");
    insta::assert_snapshot!(refused("SecurityInfo", &[("Coffee", true.into())]), @"SecurityInfo: Coffee: there is no such key; leave it out");
    insta::assert_snapshot!(refused("EraseDevice", &[("PIN", 123_456.into())]), @"EraseDevice: PIN: is an integer; give it a string");
    insta::assert_snapshot!(refused("EraseDevice", &[("ObliterationBehavior", "Allways".into())]), @"EraseDevice: ObliterationBehavior: cannot be `Allways`; give it one of `Default`, `DoNotObliterate`, `ObliterateWithWarning` or `Always`; did you mean `Always`?");
    insta::assert_snapshot!(refused("RemoveProfile", &[]), @"RemoveProfile: Identifier: is missing; give it a string");
    insta::assert_snapshot!(
        refused("DeviceInformation", &[("Queries", Value::Array(vec!["OSVersion".into(), "OSVersio".into()]))]),
        @"DeviceInformation: Queries[1]: cannot be `OSVersio`; give it one of `AccessibilitySettings`, `ActiveManagedUsers`, `AppAnalyticsEnabled`, `AutoSetupAdminAccounts`, `AvailableDeviceCapacity`, `AwaitingConfiguration`, `BatteryLevel`, `BluetoothMAC`, `BuildVersion`, `CarrierSettingsVersion`, `CellularTechnology`, `CurrentCarrierNetwork` and 73 more; did you mean `OSVersion`?"
    );
    insta::assert_snapshot!(refused("Settings", &[("Settings", wallpaper(&[("Item", "Walpaper".into())]))]), @"Settings: Settings[0].Item: cannot be `Walpaper`; give it one of `AccessibilitySettings`, `AppAnalytics`, `ApplicationAttributes`, `ApplicationConfiguration`, `Bluetooth`, `DataRoaming`, `DefaultApplications`, `DeviceName`, `DiagnosticSubmission`, `HostName`, `MDMOptions`, `MaximumResidentUsers` and 8 more; did you mean `Wallpaper`?");
    insta::assert_snapshot!(refused("Settings", &[("Settings", wallpaper(&[]))]), @"Settings: Settings[0].Item: is missing; give it one of `AccessibilitySettings`, `AppAnalytics`, `ApplicationAttributes`, `ApplicationConfiguration`, `Bluetooth`, `DataRoaming`, `DefaultApplications`, `DeviceName`, `DiagnosticSubmission`, `HostName`, `MDMOptions`, `MaximumResidentUsers` and 8 more");
    insta::assert_snapshot!(
        refused("Settings", &[("Settings", wallpaper(&[("Item", "Wallpaper".into()), ("Where", 4.into())]))]),
        @"Settings: Settings[0].Where: cannot be 4; give it one of 1, 2 or 3; Settings[0].Image: is missing; give it data"
    );
    let returning = Value::Dictionary(dictionary(&[("Enabled", "yes".into())]));
    insta::assert_snapshot!(refused("EraseDevice", &[("ReturnToService", returning)]), @"EraseDevice: ReturnToService.Enabled: is a string; give it true or false");
}

#[test]
fn many_mistakes_and_long_ones_give_a_message_of_bounded_length() {
    let arguments: Dictionary = (0..10_000)
        .map(|n| (format!("{n}{}", "x".repeat(10_000)), Value::from(true)))
        .collect();
    let error = Command::build("EraseDevice", arguments).unwrap_err().to_string();
    assert!(error.len() < 10_000, "{} bytes", error.len());
}

#[test]
fn a_device_is_asked_what_it_can_tell() {
    let target = Target {
        platform: Platform::IOS,
        os_version: OsVersion::read("13.4"),
        mode: EnrollmentMode::User,
        rights: AccessRights::NONE,
        user_channel: false,
        shared_ipad: None,
        automated: None,
    };
    let asked = |target: &Target| match Command::who_are_you(target) {
        Command::DeviceInformation { queries } => queries,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        asked(&target),
        [
            "BuildVersion",
            "IsSupervised",
            "MDMOptions",
            "ModelName",
            "OSVersion",
            "ProductName"
        ]
    );
    let mac = Target {
        platform: Platform::MacOS,
        os_version: OsVersion::read("26.1"),
        mode: EnrollmentMode::Supervised,
        rights: AccessRights::ALL,
        ..target
    };
    assert_eq!(
        asked(&mac),
        [
            "BuildVersion",
            "IsActivationLockEnabled",
            "IsAppleSilicon",
            "IsSupervised",
            "MDMOptions",
            "ModelName",
            "OSVersion",
            "ProductName",
            "SupplementalBuildVersion",
            "SupplementalOSVersionExtra",
        ]
    );
    assert_eq!(
        Command::profile_list(&mac),
        Command::ProfileList { managed_only: false }
    );
    let list = Command::profile_list(&target);
    assert_eq!(list.admissible(&target), Ok(()));
}
