//! What kind of thing a command is: how urgent it is, how long its end is remembered, and whether a personal device may get it.

use crate::mdm::command::Priority;

/// A kind of command. A `RequestType` that nobody knows is a [`Class::Change`]: it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// Asks, and changes nothing; what is answered becomes facts. Asked over and over, so its end is soon forgotten.
    Question,
    /// Changes the device, or tells something that an auditor will ask for.
    Change,
    /// As [`Class::Change`], and somebody waits for it: a lost or stolen device.
    Emergency,
}

impl Class {
    /// The kind of a command.
    #[must_use]
    pub fn of(request_type: &str) -> Self {
        match request_type {
            "ActiveNSExtensions"
            | "AvailableOSUpdates"
            | "CertificateList"
            | "ContentCachingInformation"
            | "DeclarativeManagement"
            | "DeviceInformation"
            | "InstalledApplicationList"
            | "ManagedApplicationAttributes"
            | "ManagedApplicationConfiguration"
            | "ManagedApplicationFeedback"
            | "ManagedApplicationList"
            | "ManagedMediaList"
            | "NSExtensionMappings"
            | "OSUpdateStatus"
            | "ProfileList"
            | "ProvisioningProfileList"
            | "Restrictions"
            | "ScheduleOSUpdateScan"
            | "SecurityInfo"
            | "UserList"
            | "ValidateApplications" => Self::Question,
            "ClearPasscode" | "DeviceLocation" | "DeviceLock" | "DisableLostMode" | "EnableLostMode"
            | "EraseDevice" | "PlayLostModeSound" => Self::Emergency,
            _ => Self::Change,
        }
    }

    /// When its turn is, unless somebody says otherwise.
    #[must_use]
    pub const fn priority(self) -> Priority {
        match self {
            Self::Emergency => Priority::Urgent,
            Self::Question | Self::Change => Priority::Normal,
        }
    }
}

/// Whether a command must never reach a personal device, whoever asks and whatever the device would say: it erases it, opens it or tells
/// where it is.
#[must_use]
pub fn spares_personal_devices(request_type: &str) -> bool {
    matches!(
        request_type,
        "ActivationLockBypassCode"
            | "ClearActivationLockBypassCode"
            | "ClearPasscode"
            | "ClearRestrictionsPassword"
            | "DeviceLocation"
            | "DisableLostMode"
            | "EnableLostMode"
            | "EraseDevice"
            | "PlayLostModeSound"
            | "RequestUnlockToken"
            | "RotateFileVaultKey"
            | "SetAutoAdminPassword"
            | "SetFirmwarePassword"
            | "SetRecoveryLock"
            | "UnlockUserAccount"
    )
}

/// The key of an inventory that must be true on a personal device, so that it tells of what is managed and of nothing else.
#[must_use]
pub(super) fn managed_only(request_type: &str) -> Option<&'static str> {
    match request_type {
        "InstalledApplicationList" => Some("ManagedAppsOnly"),
        "CertificateList" | "ProfileList" | "ProvisioningProfileList" => Some("ManagedOnly"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mdm::commands::table::{Mode, commands};

    #[test]
    fn every_name_is_one_of_apples() {
        let named = |request_type: &&String| {
            Class::of(request_type) != Class::Change
                || spares_personal_devices(request_type)
                || managed_only(request_type).is_some()
        };
        assert_eq!(commands().keys().filter(named).count(), 21 + 7 + 9);
    }

    #[test]
    fn what_is_kept_from_personal_devices_is_kept_from_them_by_apple_too() {
        for (request_type, facts) in commands() {
            if spares_personal_devices(request_type) {
                let allowed = facts
                    .on
                    .values()
                    .any(|on| on.user_enrollment == Some(Mode::Allowed));
                assert!(!allowed, "{request_type}");
            }
        }
    }
}
