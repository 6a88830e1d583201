//! What is known to be wrong in mSCP's published rules: content that is reported and never served, though some of it looks right.
//!
//! Each entry holds only while the rule says exactly this. Who has mended it, upstream or in an override, is served what they wrote.

use serde_json::{Map, Value};

use super::assemble::value_at;
use super::tree::System;

/// Where a mistake stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Declaration,
    Profile,
}

/// What value is wrong.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    /// Any.
    Any,
    /// This.
    Bool(bool),
    /// Any text.
    Text,
}

struct Erratum {
    rule: &'static str,
    part: Part,
    /// None: on all systems.
    system: Option<System>,
    key: &'static str,
    value: Wrong,
    why: &'static str,
}

const fn erratum(
    rule: &'static str,
    part: Part,
    key: &'static str,
    value: Wrong,
    why: &'static str,
) -> Erratum {
    Erratum {
        rule,
        part,
        system: None,
        key,
        value,
        why,
    }
}

const ERRATA: [Erratum; 10] = [
    erratum(
        "system_settings_critical_update_install_enforce",
        Part::Declaration,
        "AutomaticActions.InstallSecurityUpdates",
        Wrong::Any,
        "Apple calls the key InstallSecurityUpdate",
    ),
    erratum(
        "os_on_device_dictation_enforce",
        Part::Declaration,
        "ForceOnDeviceOnlyTranslation",
        Wrong::Any,
        "dictation is ForceOnDeviceOnlyDictation",
    ),
    erratum(
        "os_on_device_translation_enforce",
        Part::Declaration,
        "ForceOnDeviceOnlyTranslation",
        Wrong::Bool(false),
        "the rule asks for true, as its own profile says",
    ),
    erratum(
        "pwpolicy_account_lockout_timeout_enforce",
        Part::Declaration,
        "MaximumGracePeriodInMinutes",
        Wrong::Any,
        "that is the time until a screen locks; how long an account stays locked is FailedAttemptsResetInMinutes",
    ),
    erratum(
        "pwpolicy_custom_regex_enforce",
        Part::Declaration,
        "CustomRegex.Description",
        Wrong::Text,
        "Apple wants a dictionary of languages and texts",
    ),
    erratum(
        "os_external_storage_access_defined",
        Part::Declaration,
        "ExternalStorage",
        Wrong::Any,
        "the key belongs inside Restrictions",
    ),
    erratum(
        "os_network_storage_restriction",
        Part::Declaration,
        "NetworkStorage",
        Wrong::Any,
        "the key belongs inside Restrictions",
    ),
    erratum(
        "os_setup_assistant_filevault_enforce",
        Part::Profile,
        "Enable",
        Wrong::Bool(true),
        "Apple wants the text On or Off",
    ),
    erratum(
        "os_video_conferencing_remote_control_disable",
        Part::Profile,
        "allowVideoConferenceingRemoteControl",
        Wrong::Any,
        "the name is misspelt, and Apple has no such key",
    ),
    Erratum {
        rule: "os_airplay_incoming_password_require",
        part: Part::Profile,
        system: Some(System::Ios),
        key: "forceAirPlayIncomingRequestsPairingPassword",
        value: Wrong::Any,
        why: "the key is not for iOS",
    },
];

/// What is known to be wrong with what a rule says: the key, and why.
pub(super) fn known(
    rule: &str,
    part: Part,
    system: System,
    content: &Map<String, Value>,
) -> Option<(&'static str, &'static str)> {
    let erratum = ERRATA
        .iter()
        .filter(|erratum| erratum.rule == rule && erratum.part == part)
        .filter(|erratum| erratum.system.is_none_or(|only| only == system))
        .find(|erratum| match (erratum.value, value_at(content, erratum.key)) {
            (_, None) => false,
            (Wrong::Any, Some(_)) => true,
            (Wrong::Bool(wrong), Some(value)) => value.as_bool() == Some(wrong),
            (Wrong::Text, Some(value)) => value.is_string(),
        })?;
    Some((erratum.key, erratum.why))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_wrong_is_refused() {
        let known = |rule: &str, content: Value| {
            known(rule, Part::Declaration, System::Ios, content.as_object().unwrap()).is_some()
        };
        assert!(known(
            "os_on_device_translation_enforce",
            json!({ "ForceOnDeviceOnlyTranslation": false })
        ));
        assert!(!known(
            "os_on_device_translation_enforce",
            json!({ "ForceOnDeviceOnlyTranslation": true })
        ));
        assert!(known(
            "pwpolicy_custom_regex_enforce",
            json!({ "CustomRegex": { "Description": "x" } })
        ));
        assert!(!known(
            "pwpolicy_custom_regex_enforce",
            json!({ "CustomRegex": { "Description": { "en": "x" } } })
        ));
        assert!(!known("another_rule", json!({ "ExternalStorage": "Disallowed" })));
    }
}
