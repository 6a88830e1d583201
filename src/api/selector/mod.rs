//! Label and field selectors: which objects a list, a watch or a group means.
//!
//! Pure: text or structure in, matcher out. Device groups use them as the embedded Kubernetes API does.

mod fields;
mod labels;
mod lexer;
mod names;

pub use fields::FieldSelector;
pub use labels::LabelSelector;

/// Why a selector cannot be used, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

#[cfg(test)]
mod tests;
