//! Objects as rows: the `meta.k8s.io/v1` Table that `kubectl get` asks for.
//!
//! The columns of a custom resource come from its `additionalPrinterColumns`, those of built-in kinds are Kubernetes'.
//! Ages are computed here, so the time is a parameter.

mod builtin;
mod columns;
mod duration;
mod jsonpath;
mod render;

pub use columns::Columns;
pub use duration::human_duration;
pub use jsonpath::{JsonPath, JsonPathError};
pub use render::{IncludeObject, ListPosition, TableOptions, table};

#[cfg(test)]
mod tests;
