//! The table itself.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::columns::Columns;
use crate::api::schema::go_quote;

/// How much of each object goes into its row: the query parameter `includeObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Its metadata only.
    #[default]
    Metadata,
    /// Nothing.
    None,
    /// All of it.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter; empty means the default.
    ///
    /// # Errors
    /// The text of a 400 `BadRequest`, for any other value.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            other => Err(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', \
                 'Object', 'None', or empty",
                go_quote(other)
            )),
        }
    }
}

/// Where a list stands: its revision, and how to go on. For one object only the revision is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListPosition<'a> {
    /// The revision of the list or object.
    pub resource_version: &'a str,
    /// The token for the next page, or empty.
    pub continue_token: &'a str,
    /// How many objects follow, where known.
    pub remaining: Option<u64>,
}

/// What a client asked of a table.
#[derive(Clone, Copy, Debug)]
pub struct TableOptions<'a> {
    /// The version of the table: `v1` or `v1beta1`.
    pub version: &'a str,
    /// How much of each object to include.
    pub include: IncludeObject,
    /// Whether to leave out the column definitions, as in the later events of a watch.
    pub no_headers: bool,
    /// The time from which ages count.
    pub now: Timestamp,
}

/// Shows objects as a `meta.k8s.io` Table.
pub fn table<'a>(
    columns: &Columns,
    objects: impl IntoIterator<Item = &'a Value>,
    position: ListPosition<'_>,
    options: TableOptions<'_>,
) -> Value {
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| row(columns, object, options))
        .collect();
    let definitions: Option<Vec<Value>> = (!options.no_headers).then(|| {
        columns
            .columns
            .iter()
            .map(super::columns::Column::definition)
            .collect()
    });
    let mut metadata = Map::new();
    if !position.resource_version.is_empty() {
        metadata.insert("resourceVersion".to_owned(), json!(position.resource_version));
    }
    if !position.continue_token.is_empty() {
        metadata.insert("continue".to_owned(), json!(position.continue_token));
    }
    if let Some(remaining) = position.remaining {
        metadata.insert("remainingItemCount".to_owned(), json!(remaining));
    }
    json!({
        "kind": "Table", "apiVersion": format!("meta.k8s.io/{}", options.version), "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

fn row(columns: &Columns, object: &Value, options: TableOptions<'_>) -> Value {
    let cells: Vec<Value> = columns
        .columns
        .iter()
        .map(|column| column.cell(object, options.now))
        .collect();
    let included = match options.include {
        IncludeObject::None => Value::Null,
        IncludeObject::Object => object.clone(),
        IncludeObject::Metadata => json!({
            "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{}", options.version),
            "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
        }),
    };
    json!({"cells": cells, "object": included})
}
