//! From a revision's files to objects that may be applied. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::api::BaselineSpec;
use crate::api::git_source::SourceFormat;
use crate::controllers::fleet::policies::checked_where_known;
use crate::gitops::Finding;
use crate::gitops::fetch::Revision;
use crate::gitops::mscp::{self, Note, Tree};
use crate::gitops::read::{Document, Documents, MAXIMUM_FINDINGS, read_documents};
use crate::gitops::validate::SchemaSet;
use crate::policy::{SpecError, check_baseline, check_group, check_profile};

/// Reads and validates a revision.
///
/// # Errors
/// Every mistake, with its place.
pub(super) fn read(
    revision: &Revision,
    format: SourceFormat,
    namespace: &str,
    schemas: &SchemaSet,
) -> Result<Documents, Vec<Finding>> {
    let documents = match format {
        SourceFormat::Native => read_documents(&revision.files, namespace)?,
        SourceFormat::Mscp => read_mscp(revision)?,
    };
    let findings = schemas.check(&documents);
    if !findings.is_empty() {
        return Err(findings);
    }
    // What the schema cannot say, once the shape is right.
    let baselines: BTreeMap<String, Arc<BaselineSpec>> = documents
        .objects
        .iter()
        .filter(|document| document.kind == "Baseline")
        .filter_map(|document| Some((document.name.clone(), Arc::new(spec(document).ok()?))))
        .collect();
    let findings: Vec<Finding> = documents
        .objects
        .iter()
        .flat_map(|document| check(document, &baselines))
        .collect();
    if findings.is_empty() {
        Ok(documents)
    } else {
        Err(findings)
    }
}

/// The Baselines that a tree of mSCP's becomes. What only deserves a look stands in their rules, and in `provost mscp report`.
fn read_mscp(revision: &Revision) -> Result<Documents, Vec<Finding>> {
    let tree = Tree::read(&revision.files).map_err(|finding| vec![finding])?;
    let (objects, _) = mscp::documents(&tree, None).map_err(|notes| {
        let errors = notes.into_iter().filter(Note::is_error);
        let errors: Vec<Finding> = errors.map(|note| note.finding).take(MAXIMUM_FINDINGS).collect();
        errors
    })?;
    Ok(Documents {
        objects,
        ..Documents::default()
    })
}

fn check(document: &Document, baselines: &BTreeMap<String, Arc<BaselineSpec>>) -> Vec<Finding> {
    match document.kind.as_str() {
        "Baseline" => check_spec(document, check_baseline),
        "Profile" => check_spec(document, check_profile),
        "DeviceGroup" => check_spec(document, check_group),
        // A baseline that is not in this revision may come from elsewhere: the Assignment's status tells if it does not.
        "Assignment" => check_spec(document, |spec| checked_where_known(spec, baselines)),
        _ => Vec::new(),
    }
}

fn check_spec<S: DeserializeOwned>(
    document: &Document,
    check: impl Fn(&S) -> Vec<SpecError>,
) -> Vec<Finding> {
    match spec(document) {
        Ok(spec) => check(&spec)
            .into_iter()
            .map(|mistake| document.finding(&mistake.field, mistake.message))
            .collect(),
        Err(error) => vec![document.finding("spec", error.to_string())],
    }
}

fn spec<S: DeserializeOwned>(document: &Document) -> serde_json::Result<S> {
    serde_json::from_value(document.value.get("spec").cloned().unwrap_or_default())
}
