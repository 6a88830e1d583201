//! What the reader has to say about a tree: mistakes, and what only deserves a look.

use serde::Serialize;

use crate::gitops::{Finding, Position};

/// How much a note weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Weight {
    /// Something would be lost or mean nothing: the tree is not imported.
    Error,
    /// The tree is imported, without what the note is about.
    Warning,
}

/// One thing to say, with its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// How much it weighs.
    pub weight: Weight,
    /// Where, and what.
    pub finding: Finding,
}

impl Note {
    /// A mistake.
    pub(super) const fn error(finding: Finding) -> Self {
        Self {
            weight: Weight::Error,
            finding,
        }
    }

    /// Something that deserves a look.
    pub(super) const fn warning(finding: Finding) -> Self {
        Self {
            weight: Weight::Warning,
            finding,
        }
    }

    /// Whether the tree cannot be imported.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.weight == Weight::Error
    }
}

/// A mistake of the tree as a whole.
pub(super) fn of_tree(message: impl Into<String>) -> Finding {
    Finding {
        file: ".".to_owned(),
        position: Position::START,
        field: String::new(),
        message: message.into(),
    }
}
