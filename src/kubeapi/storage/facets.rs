//! What selectors can see of an object, kept beside its body so that lists and watches need not parse it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The labels and selectable fields of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facets {
    /// `metadata.labels`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Field label (`involvedObject.name`, `spec.color`) to value; an absent field is the empty string.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// The object's uid.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The uids of its owners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    /// The object waits for the collector to finish its deletion.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}
