//! Other shapes of an answer: `Table` for kubectl, `PartialObjectMetadata` for caches that need no bodies.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::ApiError;
use super::negotiate::{Form, MetaVersion};
use super::object;
use super::registry::Resource;
use super::request::Query;
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
        let include = match form {
            Form::Table(_) => IncludeObject::parse(query.text("includeObject").unwrap_or(""))
                .map_err(ApiError::BadRequest)?,
            Form::Object | Form::Partial(_) | Form::PartialList(_) => IncludeObject::default(),
        };
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
            Form::Partial(version) | Form::PartialList(version) => partial(&object, version),
            Form::Table(version) => {
                let revision = object::text(&object, "resourceVersion").to_owned();
                let position = ListPosition {
                    resource_version: &revision,
                    ..ListPosition::default()
                };
                self.table(&[object], position, version, TableHeader::First)
            }
        };
        serialise(&shaped)
    }

    /// A list with its `metadata`.
    pub(super) fn list(&self, objects: &[Value], metadata: &Value) -> Bytes {
        let text = |field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or("");
        let list = match self.form {
            Form::Table(version) => {
                let position = ListPosition {
                    resource_version: text("resourceVersion"),
                    continue_token: text("continue"),
                    remaining: metadata.get("remainingItemCount").and_then(Value::as_u64),
                };
                self.table(objects, position, version, TableHeader::First)
            }
            Form::Partial(version) | Form::PartialList(version) => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": meta(version),
                "metadata": without_empty_token(metadata),
                "items": objects.iter().map(|object| partial(object, version)).collect::<Vec<_>>(),
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
        let Form::Table(version) = self.form else {
            return self.single(object);
        };
        let revision = object::text(&object, "resourceVersion").to_owned();
        let position = ListPosition {
            resource_version: &revision,
            ..ListPosition::default()
        };
        let header = std::mem::replace(header, TableHeader::Sent);
        serialise(&self.table(&[object], position, version, header))
    }

    /// The object of a bookmark.
    pub(super) fn bookmark(&self, object: Value, header: &mut TableHeader) -> Bytes {
        let Form::Table(version) = self.form else {
            return self.single(object);
        };
        let revision = object::text(&object, "resourceVersion").to_owned();
        let position = ListPosition {
            resource_version: &revision,
            ..ListPosition::default()
        };
        // Clients find the revision and its annotations in the row's object, whatever they want to see of others.
        let shape = Shape {
            include: IncludeObject::Metadata,
            ..*self
        };
        let header = std::mem::replace(header, TableHeader::Sent);
        serialise(&shape.table(&[object], position, version, header))
    }

    fn table(
        &self,
        objects: &[Value],
        position: ListPosition<'_>,
        version: MetaVersion,
        header: TableHeader,
    ) -> Value {
        let options = TableOptions {
            version: version.text(),
            include: self.include,
            no_headers: header == TableHeader::Sent,
            now: self.now,
        };
        table(&self.resource.columns, objects, position, options)
    }
}

/// The metadata of a list; only custom resources as they are write that nothing follows.
fn without_empty_token(metadata: &Value) -> Value {
    let mut metadata = metadata.clone();
    if let Some(fields) = metadata.as_object_mut()
        && fields.get("continue").is_some_and(|token| token == "")
    {
        fields.remove("continue");
    }
    metadata
}

fn meta(version: MetaVersion) -> String {
    format!("meta.k8s.io/{}", version.text())
}

fn partial(object: &Value, version: MetaVersion) -> Value {
    let metadata = object.get("metadata").cloned().unwrap_or_default();
    json!({ "kind": "PartialObjectMetadata", "apiVersion": meta(version), "metadata": metadata })
}

fn serialise(object: &Value) -> Bytes {
    object.to_string().into_bytes().into()
}
