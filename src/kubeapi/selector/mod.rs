//! Label and field selectors: which objects a list, a watch or a group means.
//!
//! Pure: text or structure in, matcher out. Also used by device groups, which select devices by label.

mod fields;
mod labels;
mod lexer;
mod names;

pub use fields::FieldSelector;
pub use labels::LabelSelector;

/// Why a selector cannot be used, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub(crate) String);

#[cfg(test)]
mod tests;
