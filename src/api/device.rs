//! Device: one enrolled device, and what auditors read about it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::common::{EnrollmentMode, Platform, Severity, Verdict, VerdictCounts};
use super::schemas;

/// One enrolled device. It appears when the device enrols; its name is the UDID (or EnrollmentID) in lower case.
///
/// Deleting it un-enrols the device at its next contact, or forgets it, as `spec.deletionPolicy` says.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "provost.dev",
    version = "v1alpha1",
    kind = "Device",
    plural = "devices",
    shortname = "dev",
    category = "provost",
    namespaced,
    status = "DeviceStatus",
    derive = "PartialEq",
    doc = "One enrolled device.",
    selectable = ".status.platform",
    selectable = ".status.serialNumber",
    printcolumn = r#"{"name":"Platform","type":"string","jsonPath":".status.platform"}"#,
    printcolumn = r#"{"name":"OS","type":"string","jsonPath":".status.osVersion"}"#,
    printcolumn = r#"{"name":"Enrolled","type":"string","jsonPath":".status.conditions[?(@.type==\"Enrolled\")].status"}"#,
    printcolumn = r#"{"name":"Synced","type":"string","jsonPath":".status.conditions[?(@.type==\"Synced\")].status"}"#,
    printcolumn = r#"{"name":"Compliant","type":"string","jsonPath":".status.conditions[?(@.type==\"Compliant\")].status"}"#,
    printcolumn = r#"{"name":"Failing","type":"integer","jsonPath":".status.verdicts.fail"}"#,
    printcolumn = r#"{"name":"Serial","type":"string","jsonPath":".status.serialNumber","priority":1}"#,
    printcolumn = r#"{"name":"Model","type":"string","jsonPath":".status.model","priority":1}"#,
    printcolumn = r#"{"name":"Pass","type":"integer","jsonPath":".status.verdicts.pass","priority":1}"#,
    printcolumn = r#"{"name":"Waived","type":"integer","jsonPath":".status.verdicts.waived","priority":1}"#,
    printcolumn = r#"{"name":"Revision","type":"string","jsonPath":".status.revision","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct DeviceSpec {
    /// Who owns the hardware.
    #[serde(default)]
    pub ownership: Ownership,
    /// The person who uses it, such as a mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub user: Option<String>,
    /// The tag in the organisation's inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub asset_tag: Option<String>,
    /// What deleting this object means for the device.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// Who owns the hardware.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Ownership {
    /// The organisation.
    #[default]
    Organization,
    /// The person who uses it.
    Personal,
}

/// What deleting a Device means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum DeletionPolicy {
    /// Un-enrol the device at its next contact; the object stays until then.
    #[default]
    Remove,
    /// Forget it at once. The device keeps its profile and is refused until it is invited again.
    Orphan,
}

/// What is known about a Device. At most 8 KiB; what is longer lives in the store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// The generation of the spec that this status is about.
    #[serde(default = "super::unobserved")]
    pub observed_generation: i64,
    /// `Enrolled`, `Synced`, `Compliant` and `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
    /// The UDID or EnrollmentID as the device writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrollment_id: Option<String>,
    /// How it is managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrollment_mode: Option<EnrollmentMode>,
    /// When this enrolment began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolled_at: Option<Time>,
    /// The hardware's serial number. Never known in a User Enrollment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// The model, such as `Mac16,10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Whether it is managed by declarations.
    #[serde(default)]
    pub declarative_management: bool,
    /// What it has given into safe keeping. The values are shown nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub escrowed: Vec<EscrowedSecret>,
    /// What it should hold: the first digits of the manifest's digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// What it last reported to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_manifest: Option<String>,
    /// The git revision behind what it should hold, as `main@sha1:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The assignments that concern it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub assignments: Vec<String>,
    /// Its verdicts, counted.
    #[serde(default)]
    pub verdicts: VerdictCounts,
    /// Rules that fail, worst first, at most twenty; `verdicts.fail` counts all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub failing_rules: Vec<FailingRule>,
    /// Rules that a Waiver covers, at most twenty; `verdicts.waived` counts all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub waived_rules: Vec<WaivedRule>,
    /// The last changes, newest first, at most twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub history: Vec<TransitionRecord>,
    /// The value of the `provost.dev/reconcile` annotation last acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// A secret of a device that is in safe keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum EscrowedSecret {
    /// A Mac's, by which software updates and erasing are authorised.
    BootstrapToken,
    /// Of an iPhone or iPad, by which a forgotten passcode is cleared.
    UnlockToken,
}

/// A rule that fails on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailingRule {
    /// The baseline.
    pub baseline: String,
    /// The rule's id.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What the evidence says.
    pub reason: String,
    /// The baseline that it comes from, where its own inherits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited_from: Option<String>,
    /// The file of an imported rule, as `path@blob`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// A rule that would fail on this device, or be unknown, but for a Waiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaivedRule {
    /// The baseline.
    pub baseline: String,
    /// The rule's id.
    pub rule: String,
    /// The name of the Waiver.
    pub waiver: String,
    /// When it ends.
    pub expires_at: Time,
}

/// One change of a verdict or of the enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransitionRecord {
    /// When.
    pub time: Time,
    /// The baseline and rule, as `baseline/rule`; several rules that changed for one reason are counted in `reason`. None: the enrolment itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The verdict before. None: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Verdict>,
    /// The verdict after. None: the rule no longer applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Verdict>,
    /// The git revision in force, as `main@sha1:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Where the evidence comes from: `SecurityInfo`, `DeviceInformation`, `ProfileList`, `StatusReport`, `CheckIn` or `Policy`.
    pub evidence: String,
    /// What happened, for people.
    pub reason: String,
}
