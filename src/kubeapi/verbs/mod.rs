//! The verbs: what happens between a request that has been read and an answer that will be written.
//!
//! Every write follows one line: load, change, prune and default, keep what is the server's (uid, times, generation,
//! the other half of the object), record field managers, validate, compare, commit under the revision that was loaded.

mod conform;
mod create;
mod definitions;
mod delete;
mod draft;
mod listing;
mod patch;
mod read;
mod scale;
mod update;
mod watch;
mod write;

pub(super) use conform::refuse_repeated;
pub(super) use create::{create, create_built_in};
pub(super) use definitions::{say_that_objects_go, settle_definitions};
pub(super) use delete::{DeleteOptions, Deleted, delete, delete_collection, finish_namespace};
pub(super) use listing::Listing;
pub(super) use patch::patch;
pub(super) use read::{get, list};
pub(super) use scale::{patch_scale, replace_scale, scale};
pub(super) use update::{replace, rewrite};
pub(super) use watch::watch;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::error::Subject;
use super::registry::Resource;

/// What a request is about: a served resource, perhaps a namespace, an object, a subresource.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The resource.
    pub resource: Arc<Resource>,
    /// The namespace; empty for cluster-scoped objects and for lists of all namespaces.
    pub namespace: String,
    /// The object's name; empty for collections.
    pub name: String,
    /// The part of the object.
    pub part: Part,
}

/// Which part of an object a request reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything but the status, where the status is a subresource.
    Main,
    /// `/status`.
    Status,
    /// `/scale`.
    Scale,
    /// `/token` of a service account, which is no part that is kept.
    Token,
}

impl Part {
    /// The subresource, as managed fields name it.
    #[must_use]
    pub(super) fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Token => "token",
        }
    }
}

impl Target {
    /// The object for messages.
    #[must_use]
    pub(super) fn subject(&self) -> Subject {
        subject(&self.resource, &self.name)
    }
}

/// An object of `resource` for messages.
#[must_use]
pub(super) fn subject(resource: &Resource, name: &str) -> Subject {
    Subject {
        group: resource.group.clone(),
        kind: resource.plural.clone(),
        name: name.to_owned(),
    }
}

/// An answered write.
#[derive(Debug)]
pub(super) struct Written {
    /// 200 or 201.
    pub code: StatusCode,
    /// The object, in the version it was asked for.
    pub object: Answer,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
}

/// An object as an answer: already serialised where nothing need be changed.
#[derive(Debug)]
pub(super) enum Answer {
    /// Serialised in the version asked for.
    Bytes(Bytes),
    /// To be serialised.
    Value(Value),
}

impl Answer {
    /// The name of the object.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Bytes(bytes) => {
                let object: Value = serde_json::from_slice(bytes).ok()?;
                Some(super::object::text(&object, "name").to_owned())
            }
            Self::Value(object) => Some(super::object::text(object, "name").to_owned()),
        }
    }

    /// The object as a value.
    ///
    /// # Errors
    /// When a stored object is damaged.
    pub(super) fn into_value(self) -> Result<Value, super::error::ApiError> {
        match self {
            Self::Bytes(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| super::error::ApiError::Internal(error.to_string())),
            Self::Value(value) => Ok(value),
        }
    }
}
