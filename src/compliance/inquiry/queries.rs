//! The queries of DeviceInformation.
//!
//! Specification: Apple, `DeviceInformation`, `QueryResponses`. Left out: what wakes a device in our place (`PushToken`), and the
//! attestation, which needs a nonce and is no fact.

use std::collections::BTreeSet;

use super::Subject;
use crate::api::common::EnrollmentMode;

/// What has to be known of a device that does not tell it by itself: which system it has decides what it is sent.
pub(super) const BASE: [&str; 2] = ["BuildVersion", "OSVersion"];

/// What a personal device may be asked: what it is, and nothing about whose it is or where.
const PERSONAL: [&str; 11] = [
    "BuildVersion",
    "IsAppleSilicon",
    "IsSupervised",
    "MDMOptions",
    "Model",
    "ModelName",
    "ModelNumber",
    "OSVersion",
    "ProductName",
    "SupplementalBuildVersion",
    "SupplementalOSVersionExtra",
];

/// Those of `keys` that are queries, and that the device may be asked; in the order of their names.
pub(super) fn among<'k>(keys: impl Iterator<Item = &'k str>, subject: Subject) -> Vec<&'static str> {
    let allowed = match subject.mode {
        EnrollmentMode::User => &PERSONAL[..],
        _ => QUERIES,
    };
    let wanted: BTreeSet<&str> = keys.collect();
    allowed
        .iter()
        .copied()
        .filter(|query| wanted.contains(query))
        .collect()
}

#[rustfmt::skip]
const QUERIES: &[&str] = &[
    "AccessibilitySettings", "ActiveManagedUsers", "AppAnalyticsEnabled", "AutoSetupAdminAccounts", "AvailableDeviceCapacity",
    "AwaitingConfiguration", "BatteryLevel", "BluetoothMAC", "BuildVersion", "CarrierSettingsVersion", "CellularTechnology",
    "CurrentCarrierNetwork", "CurrentMCC", "CurrentMNC", "DataRoamingEnabled", "DeviceCapacity", "DeviceID", "DeviceName",
    "DiagnosticSubmissionEnabled", "EACSPreflight", "EASDeviceIdentifier", "EstimatedResidentUsers", "EthernetMAC", "HasBattery",
    "HostName", "ICCID", "IMEI", "IsActivationLockEnabled", "IsActivationLockSupported", "IsAppleSilicon", "IsCloudBackupEnabled",
    "IsDeviceLocatorServiceEnabled", "IsDoNotDisturbInEffect", "IsMDMLostModeEnabled", "IsMultiUser", "IsNetworkTethered",
    "IsRoaming", "IsSupervised", "LastCloudBackupDate", "LocalHostName", "MDMOptions", "MEID", "ManagedAppleIDDefaultDomains",
    "MaximumResidentUsers", "Model", "ModelName", "ModelNumber", "ModemFirmwareVersion", "OSUpdateSettings", "OSVersion",
    "OnlineAuthenticationGracePeriod", "OrganizationInfo", "PINRequiredForDeviceLock", "PINRequiredForEraseDevice",
    "PersonalHotspotEnabled", "PhoneNumber", "ProductName", "ProvisioningUDID", "QuotaSize", "ResidentUsers", "SerialNumber",
    "ServiceSubscriptions", "SkipLanguageAndLocaleSetupForNewUsers", "SoftwareUpdateDeviceID", "SoftwareUpdateSettings",
    "SubscriberCarrierNetwork", "SubscriberMCC", "SubscriberMNC", "SupplementalBuildVersion", "SupplementalOSVersionExtra",
    "SupportsLOMDevice", "SupportsiOSAppInstalls", "SystemIntegrityProtectionEnabled", "TemporarySessionOnly",
    "TemporarySessionTimeout", "TimeZone", "UDID", "UserSessionTimeout", "VoiceRoamingEnabled", "WiFiMAC",
    "iTunesStoreAccountHash", "iTunesStoreAccountIsActive",
];
