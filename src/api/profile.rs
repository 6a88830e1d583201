//! Profile: payloads and declarations written by hand.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::common::{DeclarationBody, PlatformRange, ProfilePayload};
use super::schemas;

/// Payloads and declarations to put on devices, apart from any rule.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "provost.dev",
    version = "v1alpha1",
    kind = "Profile",
    plural = "profiles",
    shortname = "prof",
    category = "provost",
    namespaced,
    status = "ProfileStatus",
    derive = "PartialEq",
    doc = "Payloads and declarations to put on devices.",
    printcolumn = r#"{"name":"Title","type":"string","jsonPath":".spec.title"}"#,
    printcolumn = r#"{"name":"Targeted","type":"integer","jsonPath":".status.targeted"}"#,
    printcolumn = r#"{"name":"Applied","type":"integer","jsonPath":".status.applied"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Digest","type":"string","jsonPath":".status.digest","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("size(self.payloads) + size(self.declarations) > 0").message("give at least one payload or declaration"))]
pub struct ProfileSpec {
    /// What people call it; devices show it.
    #[schemars(length(min = 1, max = 256))]
    pub title: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 8192))]
    pub description: String,
    /// The devices it is for. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub platforms: Vec<PlatformRange>,
    /// Payloads, which become one configuration profile.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub payloads: Vec<ProfilePayload>,
    /// Declarations, for devices with declarative management.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub declarations: Vec<DeclarationBody>,
}

/// What became of a Profile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileStatus {
    /// The generation of the spec that this status is about.
    #[serde(default = "super::unobserved")]
    pub observed_generation: i64,
    /// `Ready` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
    /// The SHA-256 of its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How many devices should have it.
    #[serde(default)]
    pub targeted: i64,
    /// How many of them report that they have it.
    #[serde(default)]
    pub applied: i64,
    /// The git revision that last changed it, as `main@sha1:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}
