//! Waiver: a documented exception.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::schemas;

/// An exception from rules for some devices, with its reason and its end. Until then, a rule that fails or is unknown on them counts as waived;
/// what they should hold stays the same. Afterwards the rule stands as the evidence says.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "provost.dev",
    version = "v1alpha1",
    kind = "Waiver",
    plural = "waivers",
    shortname = "wv",
    category = "provost",
    namespaced,
    status = "WaiverStatus",
    derive = "PartialEq",
    doc = "An exception from rules for some devices, with its reason and its end.",
    printcolumn = r#"{"name":"Rules","type":"string","jsonPath":".spec.rules"}"#,
    printcolumn = r#"{"name":"Devices","type":"integer","jsonPath":".status.devices"}"#,
    printcolumn = r#"{"name":"Waived","type":"integer","jsonPath":".status.waived"}"#,
    printcolumn = r#"{"name":"Expires","type":"string","jsonPath":".spec.expiresAt"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Approved By","type":"string","jsonPath":".spec.approvedBy","priority":1}"#,
    printcolumn = r#"{"name":"Ticket","type":"string","jsonPath":".spec.ticket","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.selector) || size(self.devices) > 0").message("give a selector or devices"))]
pub struct WaiverSpec {
    /// The ids of the rules.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    pub rules: Vec<String>,
    /// The Baseline whose rules they are. None: of every baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub baseline: Option<String>,
    /// Labels that a Device must carry. An empty selector matches every device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Devices that it is for whatever the selector says, by the names of their Device objects.
    #[serde(default)]
    #[schemars(length(max = 1000), inner(length(min = 1, max = 253)))]
    pub devices: Vec<String>,
    /// Why the rules need not be met.
    #[schemars(regex(pattern = r"\S"), length(min = 1, max = 1024))]
    pub reason: String,
    /// Who has allowed it.
    #[schemars(regex(pattern = r"\S"), length(min = 1, max = 256))]
    pub approved_by: String,
    /// Until when, such as `2027-03-31T00:00:00Z`.
    pub expires_at: Time,
    /// Where it is written about, such as a link or a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub ticket: Option<String>,
}

/// What became of a Waiver.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaiverStatus {
    /// The generation of the spec that this status is about.
    #[serde(default = "super::unobserved")]
    pub observed_generation: i64,
    /// `Ready`; `Expired` and `Stalled` once it has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
    /// How many devices it covers: those that it is for and of which one of its rules is demanded.
    #[serde(default)]
    pub devices: i64,
    /// How many verdicts on them are waived.
    #[serde(default)]
    pub waived: i64,
    /// Some of the devices, at most twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub sample: Vec<String>,
}
