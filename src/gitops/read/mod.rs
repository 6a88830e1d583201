//! Reads the policy files of a revision: YAML and JSON, one or many documents a file, into objects and the places of
//! their fields.
//!
//! Only documents of the group `provost.dev` are policy; all others are counted. Nothing here knows what a kind's
//! `spec` means (see [`super::validate`]), touches a disk or a network, or trusts a byte: depth, size, aliases and
//! numbers are bounded, and every mistake names its file, line, column and field.

mod document;
mod position;
mod scalar;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

pub use document::Document;
pub use position::PositionIndex;
pub(super) use position::after_key;

use serde_json::Value;

use self::document::Reading;
use super::fetch::SourceFile;
use super::finding::Finding;
use crate::api::names::GROUP;

/// The most objects one source may bring: what its inventory can list.
pub const MAXIMUM_OBJECTS: usize = 4_096;
/// The most mistakes that are reported at once.
pub const MAXIMUM_FINDINGS: usize = 100;

/// What a revision holds.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    /// The policy objects, ordered by kind and name.
    pub objects: Vec<Document>,
    /// Documents of other API groups, or of none.
    pub other_documents: usize,
    /// Files that are not valid YAML and do not mention `provost.dev`, such as templates.
    pub unread_files: usize,
    /// What should be looked at in the objects, and refuses nothing.
    pub warnings: Vec<Finding>,
}

/// Reads `files` for a source that lives in `namespace`.
///
/// # Errors
/// Every mistake found, ordered by file and place, at most [`MAXIMUM_FINDINGS`].
pub fn read_documents(files: &[SourceFile], namespace: &str) -> Result<Documents, Vec<Finding>> {
    match read_what_can_be(files, Some(namespace)) {
        (documents, wrong) if wrong.is_empty() => Ok(documents),
        (_, wrong) => Err(wrong),
    }
}

/// Reads what of `files` can be read, with every mistake found, ordered by file and place, at most [`MAXIMUM_FINDINGS`]; after so many it reads
/// no further. Without a namespace, objects may name any.
#[must_use]
pub fn read_what_can_be(files: &[SourceFile], namespace: Option<&str>) -> (Documents, Vec<Finding>) {
    let mut documents = Documents::default();
    let mut findings = Vec::new();
    let mut objects: BTreeMap<(String, String), Document> = BTreeMap::new();
    for file in files {
        if findings.len() >= MAXIMUM_FINDINGS {
            break;
        }
        match yaml::parse(&file.content) {
            Ok(parsed) => {
                for document in parsed {
                    match document::read(&file.path, document, namespace) {
                        Reading::Policy(document) => findings.extend(keep(document, &mut objects)),
                        Reading::Wrong(wrong) => findings.extend(wrong),
                        Reading::Other => documents.other_documents += 1,
                    }
                }
            }
            Err(error) if mentions_policy(&file.content) => findings.push(Finding {
                file: file.path.clone(),
                position: error.position,
                field: error.field,
                message: error.message,
            }),
            Err(_) => documents.unread_files += 1,
        }
    }
    documents.objects = objects.into_values().collect();
    findings.sort();
    findings.truncate(MAXIMUM_FINDINGS);
    (documents, findings)
}

/// Reads a file of which another format says that it holds one document. None: it is empty.
///
/// # Errors
/// When it is not YAML that is read, or holds more than one document.
pub(super) fn read_single(file: &SourceFile) -> Result<Option<(Value, PositionIndex)>, Finding> {
    let finding = |position, field, message| Finding {
        file: file.path.clone(),
        position,
        field,
        message,
    };
    let mut documents =
        yaml::parse(&file.content).map_err(|error| finding(error.position, error.field, error.message))?;
    if let Some(second) = documents.get(1) {
        let message = "the file holds a second document; keep one in each file".to_owned();
        return Err(finding(second.positions.start(), String::new(), message));
    }
    Ok(documents
        .pop()
        .map(|document| (document.value, document.positions)))
}

/// Keeps an object, unless there is one of its kind and name already, or too many.
fn keep(document: Document, objects: &mut BTreeMap<(String, String), Document>) -> Option<Finding> {
    let count = objects.len();
    match objects.entry((document.kind.clone(), document.name.clone())) {
        Entry::Occupied(earlier) => {
            let (earlier, at) = (earlier.get(), earlier.get().start());
            let message = format!(
                "{} {} is already in {}:{}; keep one of the two",
                document.kind, document.name, earlier.file, at.line
            );
            Some(document.finding("metadata.name", message))
        }
        Entry::Vacant(_) if count >= MAXIMUM_OBJECTS => Some(document.finding(
            "",
            format!("the source holds more than {MAXIMUM_OBJECTS} objects; split it"),
        )),
        Entry::Vacant(free) => {
            free.insert(document);
            None
        }
    }
}

/// Whether a file names the group of Provost. One that is not YAML may still be meant as policy: then its mistake must be told, not passed over.
#[must_use]
pub fn mentions_policy(content: &[u8]) -> bool {
    let needle = format!("{GROUP}/");
    content
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}
