//! Other shapes of an answer: `Table` for kubectl, `PartialObjectMetadata` for caches that need no bodies.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::ApiError;
use super::object;
use super::registry::Resource;
use super::request::{Form, Query};
use super::table::{IncludeObject, ListPosition, TableOptions, table};

/// Whether a table names its columns: in a watch only the first does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableHeader {
    /// Not yet sent.
    First,
    /// Sent.
    Sent,
}

/// The shape that one request asked for.
pub(super) struct Shape<'a> {
    resource: &'a Resource,
    form: Form,
    include: IncludeObject,
    now: Timestamp,
}

impl<'a> Shape<'a> {
    /// What the request asked for; ages in tables count from `now`.
    ///
    /// # Errors
    /// When the query asks for something a table cannot have.
    pub(super) fn new(
        resource: &'a Resource,
        form: Form,
        query: &Query,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let include =
            IncludeObject::parse(query.text("includeObject").unwrap_or("")).map_err(ApiError::BadRequest)?;
        Ok(Self {
            resource,
            form,
            include,
            now,
        })
    }

    /// One object.
    pub(super) fn single(&self, object: Value) -> Bytes {
        let shaped = match self.form {
            Form::Object => object,
            Form::Partial => partial(&object),
            Form::Table => {
                let revision = object::text(&object, "resourceVersion").to_owned();
                let position = ListPosition {
                    resource_version: &revision,
                    ..ListPosition::default()
                };
                self.table(&[object], position, TableHeader::First)
            }
        };
        serialise(&shaped)
    }

    /// A list with its `metadata`.
    pub(super) fn list(&self, objects: &[Value], metadata: &Value) -> Bytes {
        let text = |field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or("");
        let list = match self.form {
            Form::Table => {
                let position = ListPosition {
                    resource_version: text("resourceVersion"),
                    continue_token: text("continue"),
                    remaining: metadata.get("remainingItemCount").and_then(Value::as_u64),
                };
                self.table(objects, position, TableHeader::First)
            }
            Form::Partial => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": objects.iter().map(partial).collect::<Vec<_>>(),
            }),
            Form::Object => json!({
                "kind": self.resource.list_kind, "apiVersion": self.resource.api_version(), "metadata": metadata,
                "items": objects,
            }),
        };
        serialise(&list)
    }

    /// The object of a watch event.
    pub(super) fn event(&self, object: Value, header: &mut TableHeader) -> Bytes {
        if self.form != Form::Table {
            return self.single(object);
        }
        let revision = object::text(&object, "resourceVersion").to_owned();
        let position = ListPosition {
            resource_version: &revision,
            ..ListPosition::default()
        };
        serialise(&self.table(&[object], position, std::mem::replace(header, TableHeader::Sent)))
    }

    /// The object of a bookmark.
    pub(super) fn bookmark(&self, object: Value, header: &mut TableHeader) -> Bytes {
        if self.form != Form::Table {
            return self.single(object);
        }
        let revision = object::text(&object, "resourceVersion").to_owned();
        let position = ListPosition {
            resource_version: &revision,
            ..ListPosition::default()
        };
        let mut empty = self.table(&[], position, std::mem::replace(header, TableHeader::Sent));
        // Clients find the revision and its annotations in the row's object.
        object::put(
            &mut empty,
            "rows",
            json!([{ "cells": [], "object": partial(&object) }]),
        );
        serialise(&empty)
    }

    fn table(&self, objects: &[Value], position: ListPosition<'_>, header: TableHeader) -> Value {
        let options = TableOptions {
            version: "v1",
            include: self.include,
            no_headers: header == TableHeader::Sent,
            now: self.now,
        };
        table(&self.resource.columns, objects, position, options)
    }
}

fn partial(object: &Value) -> Value {
    let metadata = object.get("metadata").cloned().unwrap_or_default();
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata })
}

fn serialise(object: &Value) -> Bytes {
    object.to_string().into_bytes().into()
}
