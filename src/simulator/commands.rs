//! Commands, and how a device answers them.
//!
//! Specification: Apple, "Commands and queries"; error 12021 of `MCMDMErrorDomain` is "unknown command".

use std::sync::Arc;

use plist::{Dictionary, Value};

use super::declarative::SyncTokens;
use super::inventory;
use super::model::{Family, Identity};
use super::profile::{Profile, ProfileError};
use super::settings::Settings;
use super::state::{DeviceState, Installed, Origin};

/// The identifier of the profile that holds the enrolment; removing it ends management.
pub(super) const ENROLLMENT_PROFILE: &str = "dev.provost.mdm";

/// An answer, and what follows from the command once the server has the answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// `Status` and results; the caller adds the ids.
    pub(super) report: Dictionary,
    pub(super) then: Then,
}

/// What a command sets off.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// Sync declarations; the command may have brought their token.
    Sync(Option<String>),
    /// Check out and end management.
    Leave,
}

/// Parses profiles, so that equal ones are shared.
pub(super) type ParseProfile<'a> = &'a dyn Fn(&[u8]) -> Result<Arc<Profile>, ProfileError>;

/// Carries out `command` (the `Command` dictionary).
pub(super) fn answer(state: &mut DeviceState, command: &Dictionary, parse: ParseProfile<'_>) -> Answer {
    let Some(request_type) = command.get("RequestType").and_then(Value::as_string) else {
        return Answer::with_status("CommandFormatError");
    };
    match request_type {
        "DeviceInformation" => Answer::with("QueryResponses", device_information(state, command)),
        "SecurityInfo" => Answer::with("SecurityInfo", security_info(&state.identity, &state.settings())),
        "ProfileList" => Answer::with("ProfileList", profile_list(state)),
        "Restrictions" if state.identity.family != Family::Mac => {
            Answer::with("GlobalRestrictions", restrictions(&state.settings()))
        }
        "InstallProfile" => install_profile(state, command, parse),
        "RemoveProfile" => remove_profile(state, command),
        "DeviceConfigured" => Answer::acknowledged(),
        "DeclarativeManagement" if state.identity.is_declarative() => declarative_management(command),
        other => match inventory::list(other, command, &state.identity) {
            Some((key, list)) => Answer::with(key, list),
            None => Answer::error(12021, "MCMDMErrorDomain", "Unknown command"),
        },
    }
}

impl Answer {
    fn with_status(status: &str) -> Self {
        let mut report = Dictionary::new();
        report.insert("Status".to_owned(), status.into());
        Self {
            report,
            then: Then::Nothing,
        }
    }

    /// Done, and nothing to tell.
    pub(super) fn acknowledged() -> Self {
        Self::with_status("Acknowledged")
    }

    fn with(key: &str, result: impl Into<Value>) -> Self {
        let mut answer = Self::acknowledged();
        answer.report.insert(key.to_owned(), result.into());
        answer
    }

    /// "Cannot now": the device keeps nothing of the command.
    pub(super) fn not_now() -> Self {
        Self::with_status("NotNow")
    }

    fn error(code: i64, domain: &str, description: &str) -> Self {
        let link = dictionary([
            ("ErrorCode", code.into()),
            ("ErrorDomain", domain.into()),
            ("LocalizedDescription", description.into()),
            ("USEnglishDescription", description.into()),
        ]);
        let mut answer = Self::with_status("Error");
        answer
            .report
            .insert("ErrorChain".to_owned(), Value::Array(vec![link.into()]));
        answer
    }
}

fn dictionary<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Dictionary {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// Answers the queries that the device knows and leaves out the others.
fn device_information(state: &DeviceState, command: &Dictionary) -> Dictionary {
    let identity = &state.identity;
    let mac = identity.family == Family::Mac;
    let known = |query: &str| -> Option<Value> {
        Some(match query {
            "UDID" => identity.udid.as_str().into(),
            "SerialNumber" => identity.serial.as_str().into(),
            "DeviceName" => identity.name.as_str().into(),
            "OSVersion" => identity.release.version.into(),
            "BuildVersion" | "SupplementalBuildVersion" => identity.release.build.into(),
            "SupplementalOSVersionExtra" => "".into(),
            "ModelName" => identity.model_name.into(),
            "Model" | "ModelNumber" if !mac => identity.model_number.into(),
            "Model" | "ProductName" => identity.product.into(),
            "IsSupervised" | "IsActivationLockSupported" => true.into(),
            "IsAppleSilicon" if mac => identity.is_declarative().into(),
            "IsActivationLockEnabled" | "IsDeviceLocatorServiceEnabled" | "IsCloudBackupEnabled" => {
                false.into()
            }
            "IsMDMLostModeEnabled" if !mac => false.into(),
            "SystemIntegrityProtectionEnabled" if mac => state.settings().system_integrity_protection.into(),
            "TimeZone" => "Etc/UTC".into(),
            _ => return None,
        })
    };
    let queries = command.get("Queries").and_then(Value::as_array);
    let queries = queries.into_iter().flatten().filter_map(Value::as_string);
    dictionary(queries.filter_map(|query| Some((query, known(query)?))))
}

fn management_status() -> Value {
    dictionary([
        ("EnrolledViaDEP", false.into()),
        ("UserApprovedEnrollment", true.into()),
        ("IsUserEnrollment", false.into()),
        ("IsActivationLockManageable", false.into()),
    ])
    .into()
}

fn security_info(identity: &Identity, settings: &Settings) -> Dictionary {
    if identity.family != Family::Mac {
        return dictionary([
            ("HardwareEncryptionCaps", 3.into()),
            ("PasscodePresent", settings.passcode.present.into()),
            ("PasscodeCompliant", settings.passcode.is_compliant().into()),
            (
                "PasscodeCompliantWithProfiles",
                settings.passcode.is_compliant().into(),
            ),
            (
                "PasscodeLockGracePeriod",
                settings.screen_lock.grace_seconds.into(),
            ),
            (
                "PasscodeLockGracePeriodEnforced",
                settings.screen_lock.grace_seconds.into(),
            ),
            ("ManagementStatus", management_status()),
        ]);
    }
    let firewall = dictionary([
        ("FirewallEnabled", settings.firewall.enabled.into()),
        ("BlockAllIncoming", settings.firewall.block_all.into()),
        ("StealthMode", settings.firewall.stealth.into()),
        ("LoggingEnabled", settings.firewall.logging.into()),
        ("Applications", Value::Array(Vec::new())),
    ]);
    let secure_boot = dictionary([
        ("SecureBootLevel", "full".into()),
        ("ExternalBootLevel", "disallowed".into()),
    ]);
    let mut info = dictionary([
        ("FDE_Enabled", settings.file_vault.into()),
        ("FDE_HasPersonalRecoveryKey", settings.file_vault.into()),
        ("FDE_HasInstitutionalRecoveryKey", false.into()),
        (
            "SystemIntegrityProtectionEnabled",
            settings.system_integrity_protection.into(),
        ),
        ("FirewallSettings", firewall.into()),
        ("ManagementStatus", management_status()),
        ("SecureBoot", secure_boot.into()),
        ("RemoteDesktopEnabled", settings.remote_desktop.into()),
        (
            "AuthenticatedRootVolumeEnabled",
            settings.authenticated_root.into(),
        ),
        ("BootstrapTokenAllowedForAuthentication", "not supported".into()),
        (
            "BootstrapTokenRequiredForSoftwareUpdate",
            identity.is_declarative().into(),
        ),
    ]);
    if identity.is_declarative() {
        info.insert("IsRecoveryLockEnabled".to_owned(), false.into());
    }
    info
}

/// Identities only: a profile list never shows settings.
fn profile_list(state: &DeviceState) -> Value {
    let identity = &state.identity;
    let enrollment = dictionary([
        ("PayloadIdentifier", ENROLLMENT_PROFILE.into()),
        ("PayloadUUID", "6E5D8A4C-0000-4000-8000-000000000001".into()),
        ("PayloadVersion", 1.into()),
        ("PayloadDisplayName", "Management".into()),
        ("PayloadRemovalDisallowed", false.into()),
        ("IsEncrypted", false.into()),
        ("PayloadContent", Value::Array(Vec::new())),
    ]);
    let installed = state
        .installed()
        .iter()
        .map(|installed| profile_entry(installed, identity));
    Value::Array(
        [enrollment]
            .into_iter()
            .chain(installed)
            .map(Value::Dictionary)
            .collect(),
    )
}

fn profile_entry(installed: &Installed, identity: &Identity) -> Dictionary {
    let Installed { profile, origin } = installed;
    let mut entry = dictionary([
        ("PayloadIdentifier", profile.identifier.as_str().into()),
        ("PayloadUUID", profile.uuid.as_str().into()),
        ("PayloadVersion", profile.version.into()),
        ("PayloadRemovalDisallowed", profile.removal_disallowed.into()),
        ("IsEncrypted", false.into()),
    ]);
    if let Some(name) = &profile.display_name {
        entry.insert("PayloadDisplayName".to_owned(), name.as_str().into());
    }
    if identity.family != Family::Mac {
        entry.insert("IsManaged".to_owned(), true.into());
    }
    if matches!(origin, Origin::Declaration(_)) && identity.is_at_least((15, 0), (18, 0)) {
        entry.insert("Source".to_owned(), "Declarative Device Management".into());
    }
    if identity.is_at_least((14, 0), (17, 0)) {
        let payloads = profile.payloads.iter().map(|payload| {
            dictionary([
                ("PayloadType", payload.kind.as_str().into()),
                ("PayloadIdentifier", payload.identifier.as_str().into()),
                ("PayloadUUID", payload.uuid.as_str().into()),
                ("PayloadVersion", 1.into()),
            ])
        });
        entry.insert(
            "PayloadContent".to_owned(),
            Value::Array(payloads.map(Value::Dictionary).collect()),
        );
    }
    entry
}

fn restrictions(settings: &Settings) -> Dictionary {
    let flags = settings.restrictions.iter().map(|(name, value)| {
        (
            name.as_str(),
            Value::Dictionary(dictionary([("value", (*value).into())])),
        )
    });
    dictionary([("restrictedBool", Value::Dictionary(dictionary(flags)))])
}

fn install_profile(state: &mut DeviceState, command: &Dictionary, parse: ParseProfile<'_>) -> Answer {
    let Some(payload) = command.get("Payload").and_then(Value::as_data) else {
        return Answer::with_status("CommandFormatError");
    };
    match parse(payload) {
        Ok(profile) => {
            let taken = state.installed().iter().any(|installed| {
                installed.profile.identifier == profile.identifier && installed.origin != Origin::Command
            });
            if taken {
                return Answer::error(
                    4001,
                    "MCInstallationErrorDomain",
                    "The profile is managed by a declaration.",
                );
            }
            state.install(profile, Origin::Command);
            Answer::acknowledged()
        }
        Err(error) => Answer::error(
            1000,
            "MCProfileErrorDomain",
            &format!("The profile is not valid: {error}."),
        ),
    }
}

fn remove_profile(state: &mut DeviceState, command: &Dictionary) -> Answer {
    let Some(identifier) = command.get("Identifier").and_then(Value::as_string) else {
        return Answer::with_status("CommandFormatError");
    };
    if identifier == ENROLLMENT_PROFILE {
        return Answer {
            then: Then::Leave,
            ..Answer::acknowledged()
        };
    }
    if state.remove(identifier) {
        Answer::acknowledged()
    } else {
        Answer::error(
            12075,
            "MCMDMErrorDomain",
            "The profile is not installed or was not installed by management.",
        )
    }
}

fn declarative_management(command: &Dictionary) -> Answer {
    let token = match command.get("Data").and_then(Value::as_data) {
        None => None,
        Some(data) => match serde_json::from_slice::<SyncTokens>(data) {
            Ok(tokens) => Some(tokens.into_token()),
            Err(_) => {
                return Answer::error(12021, "MCMDMErrorDomain", "Data holds no synchronization tokens");
            }
        },
    };
    Answer {
        then: Then::Sync(token),
        ..Answer::acknowledged()
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::some;
    use super::super::profile::tests::profile_xml;
    use super::super::seed::Seed;
    use super::*;

    fn device(family: Family, classic_percent: u8) -> DeviceState {
        let identity = some(family, classic_percent);
        DeviceState::new(identity, &mut Seed::new(1, 1))
    }

    fn ask(state: &mut DeviceState, entries: &[(&str, Value)]) -> Answer {
        answer(state, &dictionary(entries.iter().cloned()), &|bytes| {
            Profile::parse(bytes).map(Arc::new)
        })
    }

    fn status(answer: &Answer) -> &str {
        answer.report.get("Status").and_then(Value::as_string).unwrap()
    }

    fn error_code(answer: &Answer) -> i64 {
        let chain = answer.report.get("ErrorChain").and_then(Value::as_array).unwrap();
        chain[0]
            .as_dictionary()
            .unwrap()
            .get("ErrorCode")
            .unwrap()
            .as_signed_integer()
            .unwrap()
    }

    #[test]
    fn queries_get_what_the_device_knows() {
        let mut mac = device(Family::Mac, 0);
        let queries = Value::Array(vec![
            "OSVersion".into(),
            "IsAppleSilicon".into(),
            "NoSuchQuery".into(),
        ]);
        let answer = ask(
            &mut mac,
            &[("RequestType", "DeviceInformation".into()), ("Queries", queries)],
        );
        let responses = answer
            .report
            .get("QueryResponses")
            .unwrap()
            .as_dictionary()
            .unwrap();
        assert_eq!(responses.len(), 2);
        assert_eq!(
            responses.get("OSVersion").unwrap().as_string(),
            Some(mac.identity.release.version)
        );
    }

    #[test]
    fn security_information_follows_the_platform() {
        let ask = |family| ask(&mut device(family, 0), &[("RequestType", "SecurityInfo".into())]);
        let (mac, phone) = (ask(Family::Mac), ask(Family::IPhone));
        let keys = |answer: &Answer| {
            answer
                .report
                .get("SecurityInfo")
                .unwrap()
                .as_dictionary()
                .unwrap()
                .clone()
        };
        assert!(keys(&mac).contains_key("FDE_Enabled") && !keys(&mac).contains_key("PasscodePresent"));
        assert!(!keys(&phone).contains_key("FDE_Enabled") && keys(&phone).contains_key("PasscodePresent"));
    }

    #[test]
    fn profiles_come_appear_in_the_list_and_go() {
        let mut phone = device(Family::IPhone, 0);
        let xml = profile_xml(
            "a.b",
            "U",
            "com.apple.mobiledevice.passwordpolicy",
            "<key>forcePIN</key><true/>",
        );
        let install = [
            ("RequestType", "InstallProfile".into()),
            ("Payload", Value::Data(xml)),
        ];
        assert_eq!(status(&ask(&mut phone, &install)), "Acknowledged");
        let list = ask(&mut phone, &[("RequestType", "ProfileList".into())]);
        let list = list.report.get("ProfileList").unwrap().as_array().unwrap();
        assert_eq!(list.len(), 2, "the enrolment and the new one");
        let entry = list[1].as_dictionary().unwrap();
        assert_eq!(entry.get("PayloadUUID").unwrap().as_string(), Some("U"));
        let content = entry.get("PayloadContent").unwrap().as_array().unwrap()[0]
            .as_dictionary()
            .unwrap();
        assert!(
            content.contains_key("PayloadType") && !content.contains_key("forcePIN"),
            "identity only"
        );

        let remove = [
            ("RequestType", "RemoveProfile".into()),
            ("Identifier", "a.b".into()),
        ];
        assert_eq!(status(&ask(&mut phone, &remove)), "Acknowledged");
        assert_eq!(error_code(&ask(&mut phone, &remove)), 12075);
        let bad = [
            ("RequestType", "InstallProfile".into()),
            ("Payload", Value::Data(b"no".to_vec())),
        ];
        assert_eq!(error_code(&ask(&mut phone, &bad)), 1000);
    }

    #[test]
    fn declarative_management_is_for_systems_that_have_it() {
        let data =
            br#"{"SyncTokens":{"DeclarationsToken":"t-1","Timestamp":"2026-01-01T00:00:00Z"}}"#.to_vec();
        let command = [
            ("RequestType", "DeclarativeManagement".into()),
            ("Data", Value::Data(data)),
        ];
        let answer = ask(&mut device(Family::Mac, 0), &command);
        assert_eq!(answer.then, Then::Sync(Some("t-1".to_owned())));
        let classic = ask(&mut device(Family::Mac, 100), &command);
        assert_eq!((status(&classic), error_code(&classic)), ("Error", 12021));
    }

    #[test]
    fn unknown_and_malformed_commands_are_told_apart() {
        let mut mac = device(Family::Mac, 0);
        assert_eq!(
            error_code(&ask(&mut mac, &[("RequestType", "MakeCoffee".into())])),
            12021
        );
        assert_eq!(status(&ask(&mut mac, &[])), "CommandFormatError");
        let leave = [
            ("RequestType", "RemoveProfile".into()),
            ("Identifier", ENROLLMENT_PROFILE.into()),
        ];
        assert_eq!(ask(&mut mac, &leave).then, Then::Leave);
    }
}
