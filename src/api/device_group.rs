//! DeviceGroup: who.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::schemas;

/// A set of devices of this namespace: those that match the selector and the expression, and those listed.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "provost.dev",
    version = "v1alpha1",
    kind = "DeviceGroup",
    plural = "devicegroups",
    shortname = "dg",
    category = "provost",
    namespaced,
    status = "DeviceGroupStatus",
    derive = "PartialEq",
    doc = "A set of devices of this namespace.",
    printcolumn = r#"{"name":"Devices","type":"integer","jsonPath":".status.members"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Expression","type":"string","jsonPath":".spec.expression","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.selector) || has(self.expression) || size(self.serialNumbers) > 0").message("give a selector, an expression or serialNumbers"))]
pub struct DeviceGroupSpec {
    /// Labels that a Device must carry. An empty selector matches every device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// A CEL expression over `device` (`platform`, `osVersion`, `enrollmentMode`, `model`, `serialNumber`, `labels`), such as
    /// `device.platform == "macOS" && device.osVersion.startsWith("26.")`. With a selector, both must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub expression: Option<String>,
    /// Devices that belong whatever the selector and the expression say, by serial number.
    #[serde(default)]
    #[schemars(length(max = 10000), inner(length(min = 1, max = 64)))]
    pub serial_numbers: Vec<String>,
}

/// What became of a DeviceGroup.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceGroupStatus {
    /// The generation of the spec that this status is about.
    #[serde(default = "super::unobserved")]
    pub observed_generation: i64,
    /// `Ready` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
    /// How many devices belong to it.
    #[serde(default)]
    pub members: i64,
    /// Some of them, at most twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub sample: Vec<String>,
}
