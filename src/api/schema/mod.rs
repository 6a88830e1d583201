//! What a `CustomResourceDefinition`'s schema means for an object: defaults, pruning, validation.
//!
//! Follows the structural schemas of apiextensions.k8s.io/v1 and words its errors as the Kubernetes API server does, so
//! that a person sees the same message from the embedded API, from a cluster, and when a policy repository is read
//! offline. Works on [`serde_json::Value`] only: it knows no kind, performs no input or output, and never panics on any
//! object. Recursion is bounded by [`MAX_SCHEMA_DEPTH`].
//!
//! The order in which a server uses it is: [`CompiledSchema::prune`], [`CompiledSchema::default`],
//! [`CompiledSchema::validate`].

mod celsource;
mod celvalue;
mod compile;
mod defaulting;
mod embedded;
mod error;
mod format;
mod listtype;
mod node;
mod path;
mod pruning;
mod rules;
mod structural;
mod typecheck;
mod validate;

pub use compile::{CompiledSchema, MAX_SCHEMA_DEPTH};
pub use error::{FieldError, FieldErrorKind, SchemaError};
pub(crate) use error::{go_float, go_quote};
pub(crate) use node::{Embedded, JsonType, ListType, MapType, Node};

#[cfg(test)]
mod tests;
