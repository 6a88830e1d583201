//! PushCertificate: what wakes devices, and until when. Written by the server alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::schemas;

/// A push certificate that the server holds. The server makes and removes these; the certificates themselves, and their keys, are not in them.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "provost.dev",
    version = "v1alpha1",
    kind = "PushCertificate",
    plural = "pushcertificates",
    shortname = "pushcert",
    category = "provost",
    namespaced,
    status = "PushCertificateStatus",
    derive = "PartialEq",
    doc = "A push certificate that the server holds.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Expiring","type":"string","jsonPath":".status.conditions[?(@.type==\"Expiring\")].status"}"#,
    printcolumn = r#"{"name":"Expires","type":"string","jsonPath":".status.notAfter"}"#,
    printcolumn = r#"{"name":"Topic","type":"string","jsonPath":".spec.topic","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct PushCertificateSpec {
    /// The topic that devices enrol with to be woken by it, such as `com.apple.mgmt.External.…`.
    #[schemars(length(min = 1, max = 256))]
    pub topic: String,
}

/// How a push certificate stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushCertificateStatus {
    /// The generation of the spec that this status is about.
    #[serde(default = "super::unobserved")]
    pub observed_generation: i64,
    /// `Ready`: devices can be woken. `Expiring`: it ends within 60, 30 or 7 days, as the reason says, or has ended; renew it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
    /// From when on it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
}
