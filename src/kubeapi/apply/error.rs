//! Why a configuration was not applied.

/// One field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyConflict {
    /// The path, such as `.spec.replicas`: the `field` of a `StatusCause`.
    pub field: String,
    /// The other manager in words: the `message` of a `StatusCause` of type `FieldManagerConflict`.
    pub message: String,
    /// The other manager, as the summary prints it.
    pub(super) manager: String,
}

/// Why a configuration was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The request itself is wrong: 400 `BadRequest`.
    #[error("{0}")]
    BadRequest(String),
    /// Others own fields with other values: 409 `Conflict`, with one cause a field.
    #[error("{}", summary(.0))]
    Conflict(Vec<ApplyConflict>),
    /// The configuration does not fit its type, such as two items with one key: Kubernetes answers 500 with this text.
    #[error("failed to create typed patch object: {0}")]
    Malformed(String),
}

fn summary(conflicts: &[ApplyConflict]) -> String {
    if let [only] = conflicts {
        return format!(
            "Apply failed with 1 conflict: conflict with {}: {}",
            only.manager, only.field
        );
    }
    let mut managers: Vec<&str> = conflicts
        .iter()
        .map(|conflict| conflict.manager.as_str())
        .collect();
    managers.sort_unstable();
    managers.dedup();
    let mut lines = Vec::new();
    for manager in managers {
        lines.push(format!("conflicts with {manager}:"));
        let fields = conflicts.iter().filter(|conflict| conflict.manager == manager);
        lines.extend(fields.map(|conflict| format!("- {}", conflict.field)));
    }
    format!(
        "Apply failed with {} conflicts: {}",
        conflicts.len(),
        lines.join("\n")
    )
}
