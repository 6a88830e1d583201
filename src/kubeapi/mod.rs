//! The embedded Kubernetes API, and the pure pieces of Kubernetes behaviour it is made of.

pub mod apply;
pub mod openapi;
pub mod patch;
pub mod selector;
pub mod table;
