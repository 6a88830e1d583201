//! `OpenAPI` documents of the served resources, for `kubectl explain`, `kubectl apply` and clients that generate code.
//!
//! Version 3 is served as an index and one document a group version, version 2 as one document. Definitions of
//! Kubernetes' own types come from `k8s-openapi`, those of custom resources from their definitions. Making a document
//! costs milliseconds: a server makes it when the resources change, not on every request.

mod builtin;
mod custom;
mod document;
mod paths;
pub mod protobuf;
mod resource;

pub(crate) use builtin::description;
pub use document::{v2, v3_group, v3_index};
pub use resource::{ResourceSchema, ServedResource};

#[cfg(test)]
mod tests;
