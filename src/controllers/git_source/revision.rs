//! From a revision's files to objects that may be applied. Pure.

use serde::de::DeserializeOwned;

use crate::api::{AssignmentSpec, BaselineSpec, DeviceGroupSpec, ProfileSpec};
use crate::gitops::Finding;
use crate::gitops::fetch::Revision;
use crate::gitops::read::{Document, Documents, read_documents};
use crate::gitops::validate::SchemaSet;
use crate::policy::baseline_check::{SpecError, check_assignment, check_baseline, check_group, check_profile};

/// Reads and validates a revision.
///
/// # Errors
/// Every mistake, with its place.
pub(super) fn read(revision: &Revision, namespace: &str, schemas: &SchemaSet) -> Result<Documents, Vec<Finding>> {
    let documents = read_documents(&revision.files, namespace)?;
    let findings = schemas.check(&documents);
    if !findings.is_empty() {
        return Err(findings);
    }
    // What the schema cannot say, once the shape is right.
    let findings: Vec<Finding> = documents.objects.iter().flat_map(check).collect();
    if findings.is_empty() { Ok(documents) } else { Err(findings) }
}

fn check(document: &Document) -> Vec<Finding> {
    match document.kind.as_str() {
        "Baseline" => check_spec::<BaselineSpec>(document, check_baseline),
        "Profile" => check_spec::<ProfileSpec>(document, check_profile),
        "DeviceGroup" => check_spec::<DeviceGroupSpec>(document, check_group),
        "Assignment" => check_spec::<AssignmentSpec>(document, check_assignment),
        _ => Vec::new(),
    }
}

fn check_spec<S: DeserializeOwned>(document: &Document, check: fn(&S) -> Vec<SpecError>) -> Vec<Finding> {
    let spec = document.value.get("spec").cloned().unwrap_or_default();
    match serde_json::from_value::<S>(spec) {
        Ok(spec) => check(&spec)
            .into_iter()
            .map(|mistake| document.finding(&format!("spec.{}", mistake.field), mistake.message))
            .collect(),
        Err(error) => vec![document.finding("spec", error.to_string())],
    }
}
