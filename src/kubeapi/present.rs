//! Other shapes of an answer: `Table` for kubectl, `PartialObjectMetadata` for caches that need no bodies.

use bytes::Bytes;
use serde_json::{Value, json};

use super::error::ApiError;
use super::registry::Resource;
use super::request::{Form, Query};

/// Whether a table names its columns: in a watch only the first does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableHeader {
    /// Not yet sent.
    First,
    /// Sent.
    Sent,
}

/// One object in another shape.
///
/// # Errors
/// When the query asks for something a table cannot have.
pub(super) fn single(
    resource: &Resource,
    objects: Vec<Value>,
    form: Form,
    query: &Query,
) -> Result<Bytes, ApiError> {
    let object = match form {
        Form::Table => table(resource, objects, None, query, TableHeader::First)?,
        Form::Object => objects.into_iter().next().unwrap_or_default(),
        Form::Partial => objects.into_iter().next().map(partial).unwrap_or_default(),
    };
    Ok(serialise(&object))
}

/// A list in another shape.
///
/// # Errors
/// When the query asks for something a table cannot have.
pub(super) fn list(
    resource: &Resource,
    objects: Vec<Value>,
    metadata: Value,
    form: Form,
    query: &Query,
) -> Result<Bytes, ApiError> {
    let list = match form {
        Form::Table => table(resource, objects, Some(metadata), query, TableHeader::First)?,
        Form::Partial => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "items": objects.into_iter().map(partial).collect::<Vec<_>>(),
        }),
        Form::Object => json!({
            "kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": metadata, "items": objects,
        }),
    };
    Ok(serialise(&list))
}

/// The object of a watch event in another shape.
///
/// # Errors
/// When the query asks for something a table cannot have.
pub(super) fn event(
    resource: &Resource,
    object: Value,
    form: Form,
    query: &Query,
    header: &mut TableHeader,
) -> Result<Bytes, ApiError> {
    let object = match form {
        Form::Object => object,
        Form::Partial => partial(object),
        Form::Table => table(
            resource,
            vec![object],
            None,
            query,
            std::mem::replace(header, TableHeader::Sent),
        )?,
    };
    Ok(serialise(&object))
}

/// The object of a bookmark in another shape.
///
/// # Errors
/// When the query asks for something a table cannot have.
pub(super) fn bookmark(
    resource: &Resource,
    object: Value,
    form: Form,
    query: &Query,
    header: &mut TableHeader,
) -> Result<Bytes, ApiError> {
    if form == Form::Table {
        let metadata = object.get("metadata").cloned().unwrap_or_default();
        let header = std::mem::replace(header, TableHeader::Sent);
        let mut empty = table(resource, Vec::new(), Some(metadata), query, header)?;
        // Clients find the revision and its annotations in the row's object.
        object::put(&mut empty, "rows", json!([{ "cells": [], "object": partial(object) }]));
        return Ok(serialise(&empty));
    }
    event(resource, object, form, query, header)
}

fn partial(object: Value) -> Value {
    let metadata = object.get("metadata").cloned().unwrap_or_default();
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata })
}

fn serialise(object: &Value) -> Bytes {
    object.to_string().into_bytes().into()
}

/// The objects as a table.
fn table(
    resource: &Resource,
    objects: Vec<Value>,
    metadata: Option<Value>,
    _query: &Query,
    _header: TableHeader,
) -> Result<Value, ApiError> {
    Ok(json!({ "kind": resource.list_kind, "metadata": metadata, "items": objects }))
}
