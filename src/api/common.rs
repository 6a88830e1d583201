//! Shapes that several kinds share.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schemas;

/// An operating system, by Apple's name.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::Display,
)]
pub enum Platform {
    /// iPhones and iPods.
    #[serde(rename = "iOS")]
    #[strum(serialize = "iOS")]
    IOS,
    /// iPads.
    #[serde(rename = "iPadOS")]
    #[strum(serialize = "iPadOS")]
    IPadOS,
    /// Macs.
    #[serde(rename = "macOS")]
    #[strum(serialize = "macOS")]
    MacOS,
    /// Apple TVs.
    #[serde(rename = "tvOS")]
    #[strum(serialize = "tvOS")]
    TvOS,
    /// Apple Vision.
    #[serde(rename = "visionOS")]
    #[strum(serialize = "visionOS")]
    VisionOS,
    /// Apple Watches.
    #[serde(rename = "watchOS")]
    #[strum(serialize = "watchOS")]
    WatchOS,
}

/// How a device is managed: what the organisation may do to it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::Display,
)]
pub enum EnrollmentMode {
    /// Owned and supervised: everything may be managed.
    Supervised,
    /// Managed, not supervised.
    Device,
    /// A personal device with a managed part.
    User,
}

/// How much harm a failing rule does.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
    strum::Display,
)]
pub enum Severity {
    /// Good to have.
    Low,
    /// Should be mended.
    #[default]
    Medium,
    /// A door that stands open.
    High,
}

/// Devices of one platform, within a range of OS versions and of enrolment modes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformRange {
    /// The operating system.
    pub name: Platform,
    /// The oldest version included, such as `14` or `15.2`. None: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]+(\.[0-9]+){0,2}$"), length(max = 16))]
    pub minimum_version: Option<String>,
    /// The first version that is not included any more, such as `26`. None: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]+(\.[0-9]+){0,2}$"), length(max = 16))]
    pub before_version: Option<String>,
    /// The enrolment modes included. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub enrollment_modes: Vec<EnrollmentMode>,
}

/// A payload of a configuration profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfilePayload {
    /// Apple's payload type, such as `com.apple.security.firewall`.
    #[schemars(
        regex(pattern = r"^[A-Za-z0-9.][A-Za-z0-9._()-]*$"),
        length(min = 1, max = 128)
    )]
    pub payload_type: String,
    /// The payload's keys, without the `Payload…` keys that Provost derives. `$(name)` stands for a parameter.
    #[schemars(schema_with = "schemas::any_object")]
    pub content: Value,
}

/// A declaration of Apple's declarative management.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeclarationBody {
    /// Apple's declaration type, such as `com.apple.configuration.passcode.settings`.
    #[serde(rename = "type")]
    #[schemars(
        regex(pattern = r"^com\.apple\.(configuration|asset|management)\.[a-z0-9.-]+$"),
        length(max = 128)
    )]
    pub type_: String,
    /// The declaration's `Payload`. `$(name)` stands for a parameter.
    #[schemars(schema_with = "schemas::any_object")]
    pub payload: Value,
}

/// The name of an object in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// `metadata.name` of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Values for a baseline's parameters, by name.
pub type ParameterValues = BTreeMap<String, Value>;

/// How many rules stand where: on a device, or summed over devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerdictCounts {
    /// The rule holds, by evidence.
    #[serde(default)]
    pub pass: i64,
    /// The rule does not hold, by evidence.
    #[serde(default)]
    pub fail: i64,
    /// The rule does not hold, or there is no evidence, and a Waiver allows that.
    #[serde(default)]
    pub waived: i64,
    /// There is no evidence (yet), or the check could not be evaluated.
    #[serde(default)]
    pub unknown: i64,
    /// The rule is not for this kind of device.
    #[serde(default)]
    pub not_applicable: i64,
}

/// What is known about one rule on one device.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::Display,
)]
pub enum Verdict {
    /// The rule holds, by evidence.
    Pass,
    /// The rule does not hold, by evidence.
    Fail,
    /// The rule does not hold, or there is no evidence, and a Waiver allows that.
    Waived,
    /// There is no evidence.
    Unknown,
    /// The rule is not for this kind of device.
    NotApplicable,
}
