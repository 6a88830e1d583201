//! Rules of mSCP that a device's own reports prove or disprove, better than what is installed on it: which report says so.
//!
//! Keyed by rule id, because that is all that tells what a rule is about. Facts of Apple's documentation of the reports.

use super::tree::System;

/// Rule ids of Macs, and the check over what the device reports.
const MACOS: [(&str, &str); 9] = [
    (
        "os_authenticated_root_enable",
        "SecurityInfo.AuthenticatedRootVolumeEnabled == true",
    ),
    (
        "os_mdm_require",
        "SecurityInfo.ManagementStatus.UserApprovedEnrollment == true",
    ),
    (
        "os_recovery_lock_enable",
        "SecurityInfo.IsRecoveryLockEnabled == true",
    ),
    (
        "os_secure_boot_verify",
        "SecurityInfo.SecureBoot.SecureBootLevel == \"full\"",
    ),
    (
        "os_sip_enable",
        "SecurityInfo.SystemIntegrityProtectionEnabled == true",
    ),
    (
        "system_settings_filevault_enforce",
        "SecurityInfo.FDE_Enabled == true",
    ),
    (
        "system_settings_firewall_enable",
        "SecurityInfo.FirewallSettings.FirewallEnabled == true",
    ),
    (
        "system_settings_firewall_stealth_mode_enable",
        "SecurityInfo.FirewallSettings.StealthMode == true",
    ),
    (
        "system_settings_remote_management_disable",
        "SecurityInfo.RemoteDesktopEnabled == false",
    ),
];

/// The check over a device's reports that tells whether a rule holds, where there is one.
pub(super) fn check(rule: &str, system: System) -> Option<&'static str> {
    if system != System::Macos {
        return None;
    }
    MACOS.iter().find(|(id, _)| *id == rule).map(|(_, cel)| *cel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_can_be_read() {
        for (rule, cel) in MACOS {
            crate::compliance::check::compile(cel).unwrap_or_else(|error| panic!("{rule}: {error}"));
        }
        assert_eq!(check("os_sip_enable", System::Ios), None);
    }
}
