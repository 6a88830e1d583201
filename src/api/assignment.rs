//! Assignment: what for whom, and how.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::common::{NameRef, ParameterValues, VerdictCounts};
use super::schemas;

/// Baselines and profiles for groups of devices: to be enforced, or only to be checked.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "provost.dev",
    version = "v1alpha1",
    kind = "Assignment",
    plural = "assignments",
    shortname = "asg",
    category = "provost",
    namespaced,
    status = "AssignmentStatus",
    derive = "PartialEq",
    doc = "Baselines and profiles for groups of devices.",
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.mode"}"#,
    printcolumn = r#"{"name":"Devices","type":"integer","jsonPath":".status.devices.total"}"#,
    printcolumn = r#"{"name":"Compliant","type":"integer","jsonPath":".status.devices.compliant"}"#,
    printcolumn = r#"{"name":"Failing","type":"integer","jsonPath":".status.devices.failing"}"#,
    printcolumn = r#"{"name":"Unknown","type":"integer","jsonPath":".status.devices.unknown"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Waived","type":"integer","jsonPath":".status.verdicts.waived","priority":1}"#,
    printcolumn = r#"{"name":"Revision","type":"string","jsonPath":".status.revision","priority":1}"#,
    printcolumn = r#"{"name":"Classes","type":"integer","jsonPath":".status.classes","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("size(self.baselines) + size(self.profiles) > 0").message("give at least one baseline or profile"))]
pub struct AssignmentSpec {
    /// The DeviceGroups it is for; a device of any of them is concerned.
    #[schemars(length(min = 1, max = 64))]
    pub groups: Vec<NameRef>,
    /// The baselines to meet.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub baselines: Vec<AssignedBaseline>,
    /// The profiles to have.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub profiles: Vec<NameRef>,
    /// `Audit` only checks; `Enforce` also puts the content on devices.
    #[serde(default)]
    pub mode: AssignmentMode,
    /// Where two assignments want different values for one setting, the higher precedence wins. Equal precedence is a conflict.
    #[serde(default)]
    pub precedence: i32,
}

/// A baseline as one assignment wants it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssignedBaseline {
    /// The name of the Baseline.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Values for its parameters.
    #[serde(default, skip_serializing_if = "ParameterValues::is_empty")]
    #[schemars(schema_with = "schemas::map_of_any")]
    pub parameters: ParameterValues,
    /// Rules that this assignment leaves out, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub exclude_rules: Vec<RuleExclusion>,
}

/// A rule left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleExclusion {
    /// The rule's id.
    #[schemars(length(min = 1, max = 128))]
    pub rule: String,
    /// Why.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
}

/// Whether content is put on devices.
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
    schemars::JsonSchema,
)]
pub enum AssignmentMode {
    /// Check only.
    #[default]
    Audit,
    /// Put the content on devices, and check.
    Enforce,
}

/// What became of an Assignment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentStatus {
    /// The generation of the spec that this status is about.
    #[serde(default = "super::unobserved")]
    pub observed_generation: i64,
    /// `Ready`, `Compliant`, `Conflicted` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
    /// The newest git revision among the assignment and what it names, as `main@sha1:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// In how many classes its devices fall; each class is compiled once.
    #[serde(default)]
    pub classes: i64,
    /// Its devices, by state.
    #[serde(default)]
    pub devices: DeviceCounts,
    /// Its verdicts, summed over devices and rules.
    #[serde(default)]
    pub verdicts: VerdictCounts,
    /// How many controls of each framework stand where, over all devices: the worst device decides. At most sixteen frameworks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["framework"]))]
    pub frameworks: Vec<FrameworkCounts>,
    /// The verdicts by control of a framework, most failing first, at most two hundred and fifty-six; `controlsTotal` counts all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub controls: Vec<ControlCounts>,
    /// How many controls there are.
    #[serde(default)]
    pub controls_total: i64,
    /// Contradictions between rules, at most twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub conflicts: Vec<String>,
    /// The last revisions in force, newest first, at most twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub history: Vec<AssignmentRecord>,
}

/// Devices by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCounts {
    /// All that are concerned.
    #[serde(default)]
    pub total: i64,
    /// Every applicable rule passes, or is waived.
    #[serde(default)]
    pub compliant: i64,
    /// At least one rule fails.
    #[serde(default)]
    pub failing: i64,
    /// No rule fails, but at least one is unknown.
    #[serde(default)]
    pub unknown: i64,
    /// Those that have reported exactly the content they should hold.
    #[serde(default)]
    pub synced: i64,
}

/// The verdicts of the rules that support one control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ControlCounts {
    /// The framework.
    pub framework: String,
    /// The control.
    pub id: String,
    /// Verdicts, summed over devices and rules.
    #[serde(flatten)]
    pub verdicts: VerdictCounts,
    /// Devices by how the control stands on them: the worst of its rules decides.
    #[serde(default)]
    pub devices: VerdictCounts,
}

/// How the controls of one framework stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrameworkCounts {
    /// The framework.
    pub framework: String,
    /// Its controls that some rule supports, by how they stand.
    #[serde(flatten)]
    pub controls: VerdictCounts,
}

/// One revision that was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentRecord {
    /// The git revision, or `generation:N` for an object that did not come from git.
    pub revision: String,
    /// Since when.
    pub since: Time,
    /// How many devices were told to move.
    pub moved: i64,
}
