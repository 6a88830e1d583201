//! Baseline: a versioned set of rules that devices must meet.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::assignment::RuleExclusion;
use super::common::{DeclarationBody, ParameterValues, PlatformRange, ProfilePayload, Severity};
use super::schemas;

/// A versioned set of rules. Each rule says whom it concerns, what to enforce and how to check it.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "provost.dev",
    version = "v1alpha1",
    kind = "Baseline",
    plural = "baselines",
    shortname = "bl",
    category = "provost",
    namespaced,
    status = "BaselineStatus",
    derive = "PartialEq",
    doc = "A versioned set of rules that devices must meet.",
    printcolumn = r#"{"name":"Title","type":"string","jsonPath":".spec.title"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".spec.version"}"#,
    printcolumn = r#"{"name":"Rules","type":"integer","jsonPath":".status.rules"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Enforced","type":"integer","jsonPath":".status.enforcedRules","priority":1}"#,
    printcolumn = r#"{"name":"Controls","type":"integer","jsonPath":".status.controls","priority":1}"#,
    printcolumn = r#"{"name":"Revision","type":"string","jsonPath":".status.revision","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.rules) && size(self.rules) > 0) || (has(self.extends) && size(self.extends) > 0)").message("give at least one rule, or a baseline that this one extends"))]
pub struct BaselineSpec {
    /// What people call it.
    #[schemars(length(min = 1, max = 256))]
    pub title: String,
    /// What it is for and where it comes from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 8192))]
    pub description: String,
    /// The version of this set of rules.
    #[schemars(length(min = 1, max = 64))]
    pub version: String,
    /// The devices it is for. A rule may narrow this, never widen it. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub platforms: Vec<PlatformRange>,
    /// Values that an assignment may set. One that an extended baseline has too takes its place; the type must be the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters: Vec<Parameter>,
    /// Baselines of the same namespace of which this one has all rules and parameters, but for what is said here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub extends: Vec<Extension>,
    /// The rules of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub rules: Vec<BaselineRule>,
}

/// A baseline that another one extends, and what that one has differently.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Extension {
    /// The name of the Baseline.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Values for its parameters, instead of their defaults. An assignment may still set others.
    #[serde(default, skip_serializing_if = "ParameterValues::is_empty")]
    #[schemars(schema_with = "schemas::map_of_any")]
    pub parameters: ParameterValues,
    /// Rules of it that are left out, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["rule"]))]
    pub exclude: Vec<RuleExclusion>,
    /// Rules of it that are changed.
    #[serde(rename = "override", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["rule"]))]
    pub overrides: Vec<RuleOverride>,
}

/// What is different about an inherited rule. What is not given stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.severity) || has(self.enforce) || has(self.check)").message("an override changes severity, enforce or check"))]
pub struct RuleOverride {
    /// The rule's id.
    #[schemars(length(min = 1, max = 128))]
    pub rule: String,
    /// How much harm it does when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// What to put on devices, instead of all that the rule puts there. An empty list: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub enforce: Option<Vec<Enforcement>>,
    /// How to tell whether it holds, instead of the rule's own way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
}

/// A value that an assignment may set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// The name by which rules refer to it, as `$(name)` in content and `params.name` in CEL.
    #[schemars(regex(pattern = r"^[a-z][A-Za-z0-9]*$"), length(max = 63))]
    pub name: String,
    /// What it decides.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub description: String,
    /// The type of its value.
    #[serde(rename = "type")]
    pub type_: ParameterType,
    /// The value where an assignment sets none.
    #[schemars(schema_with = "schemas::any_value")]
    pub default: Value,
    /// The smallest value allowed, for an Integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<i64>,
    /// The largest value allowed, for an Integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<i64>,
    /// The values allowed. Empty: any of the type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::list_of_any")]
    pub allowed: Vec<Value>,
}

/// The type of a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, strum::Display)]
pub enum ParameterType {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A text.
    String,
    /// A list of texts.
    StringList,
}

/// One demand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.enforce) || has(self.check) || has(self.unproven)").message("a rule needs enforce, check or both, or unproven"))]
pub struct BaselineRule {
    /// A stable identifier, unique in the baseline.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9_.-]*$"), length(max = 128))]
    pub id: String,
    /// The demand in one line.
    #[schemars(length(min = 1, max = 256))]
    pub title: String,
    /// Why it matters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub rationale: String,
    /// How much harm it does when it fails.
    #[serde(default)]
    pub severity: Severity,
    /// The controls of frameworks that it supports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub controls: Vec<ControlRef>,
    /// The devices it is for, within the baseline's own. Empty: all of those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub platforms: Vec<PlatformRange>,
    /// What to put on devices. The first entry whose platforms match is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub enforce: Vec<Enforcement>,
    /// How to tell whether it holds. None: the enforced content is proven installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Why nothing that a device reports can prove it. Without a check the verdict is then unknown, for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<Unproven>,
    /// A check that only a program on the device could make. Provost keeps it for people and never runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_check: Option<DeviceCheck>,
    /// What a person can do where it fails and cannot be enforced.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub remediation: String,
    /// The files that an imported rule is made of: the library's own first, then those that change it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub origins: Vec<RuleOrigin>,
}

/// Why nothing that a device reports can prove a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unproven {
    /// The kind of reason.
    pub reason: UnprovenReason,
    /// The reason, for people: it becomes that of the verdict.
    #[schemars(length(min = 1, max = 1024))]
    pub message: String,
}

/// Kinds of reason why nothing proves a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, strum::Display)]
pub enum UnprovenReason {
    /// It sets lines of a configuration file, of which only complete ones are delivered.
    ConfigurationFile,
    /// It contradicts another rule of the baseline, and neither value is served.
    Conflict,
    /// Apple's schema refuses what it sets, which is not served.
    InvalidContent,
    /// There is no setting and no check for it.
    NotTechnical,
    /// Only a check on the device can tell.
    OnDeviceCheck,
    /// What it sets can lock people out or is incomplete: it is put on devices only by an object of one's own.
    OptIn,
}

/// A check that only a program on the device could make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCheck {
    /// The shell command, as text.
    #[schemars(length(min = 1, max = 4096))]
    pub command: String,
    /// What it prints where the rule is met.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub expected: String,
}

/// A file that a rule is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleOrigin {
    /// Its path from the root of the repository.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
    /// The id of its blob in git.
    #[schemars(length(max = 64))]
    pub blob: String,
}

/// A control of a framework.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ControlRef {
    /// The framework, such as `800-53r5`, `cis-v8`, `cis-macos-26` or `soc2`.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._-]*$"), length(max = 63))]
    pub framework: String,
    /// The control in the framework's own spelling, such as `AC-11`.
    #[schemars(length(min = 1, max = 63))]
    pub id: String,
}

/// Content to put on devices: a profile payload or a declaration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.profile) != has(self.declaration)").message("give exactly one of profile and declaration"))]
pub struct Enforcement {
    /// The devices this content is for. Empty: all of the rule's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub platforms: Vec<PlatformRange>,
    /// Keys of a profile payload. Payloads of one type from several rules become one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfilePayload>,
    /// A declaration, for devices with declarative management. Declarations of one type become one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declaration: Option<DeclarationBody>,
}

/// How to tell whether a rule holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// A CEL expression over what the device reports: `StatusItems`, the answers `SecurityInfo`, `DeviceInformation`, `CertificateList`,
    /// `InstalledApplicationList`, `ManagedApplicationList`, `Restrictions` and `UserList`, and `params`. Only what checks read is asked
    /// for. It gives true (pass) or false (fail); something that was not reported makes the verdict unknown.
    #[schemars(length(min = 1, max = 4096))]
    pub cel: String,
}

/// What became of a Baseline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BaselineStatus {
    /// The generation of the spec that this status is about.
    #[serde(default = "super::unobserved")]
    pub observed_generation: i64,
    /// `Ready` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
    /// How many rules it has, with those that it inherits.
    #[serde(default)]
    pub rules: i64,
    /// How many of them it inherits.
    #[serde(default)]
    pub inherited_rules: i64,
    /// How many rules of the baselines that it extends are left out.
    #[serde(default)]
    pub excluded_rules: i64,
    /// How many of them put something on devices.
    #[serde(default)]
    pub enforced_rules: i64,
    /// How many different controls they support.
    #[serde(default)]
    pub controls: i64,
    /// The git revision that last changed it, as `main@sha1:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}
