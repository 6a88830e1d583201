//! The embedded Kubernetes API: an axum router over one SQLite file that drives kube-rs controllers in this process and
//! unmodified kubectl from outside, with nothing else installed.
//!
//! ```text
//!  kube::Client (in process) ─┐
//!                             ├─► http ─► verbs ─► storage ─► SQLite: objects, change log
//!  kubectl ─► serve (TLS) ────┘     │       │          │
//!                                   │       │          └─► feed ─► watches
//!             discovery, present ◄──┘       └─► registry (built-ins, definitions), validation, apply, patch
//!                                                           collect: owners, namespaces, expiry
//! ```
//!
//! It serves Namespaces, Secrets, ConfigMaps, Leases, Events (both groups), service accounts, RBAC objects, access
//! reviews, and whatever `CustomResourceDefinition`s are posted to it, with Kubernetes' semantics of revisions, watches,
//! finalizers, subresources, server-side apply, RBAC and garbage collection. It knows no kind of Provost's, runs no webhook
//! and converts between no versions.
//!
//! It follows the Kubernetes API conventions and the behaviour of kube-apiserver 1.37.

mod access;
mod api;
pub mod apply;
mod collect;
pub mod decode;
mod discovery;
mod documents;
mod error;
mod events;
mod health;
mod http;
pub mod kubeconfig;
mod negotiate;
mod object;
pub mod openapi;
pub mod patch;
mod present;
mod protobuf;
mod registry;
mod request;
pub mod serve;
pub mod storage;
pub mod table;
mod unmarshal;
mod validation;
mod verbs;

pub use api::{KubeApi, Options, StartError};

#[cfg(test)]
mod tests;
