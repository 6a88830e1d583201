//! The columns of a kind: what they are called and how a cell is found.

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;
use serde_json::{Value, json};

use super::builtin;
use super::duration::human_duration;
use super::jsonpath::JsonPath;
use crate::api::schema::go_float;
use crate::kubeapi::openapi::description;

/// The columns in which the objects of one kind are shown.
#[derive(Debug)]
pub struct Columns {
    pub(super) columns: Vec<Column>,
}

/// One column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) type_: String,
    pub(super) format: String,
    pub(super) description: String,
    pub(super) priority: i32,
    pub(super) cell: Cell,
}

/// How the cell of an object is found.
#[derive(Debug)]
pub(super) enum Cell {
    /// A path of a custom resource, shown by the column's type.
    Path(JsonPath),
    /// A function of a built-in kind.
    Of(fn(&Value, Timestamp) -> Value),
}

/// The definition of `ObjectMeta`, whose texts describe the columns all kinds have.
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

impl Columns {
    /// The columns of a custom resource: its name, then those of its definition, or its age if there are none. A column
    /// whose path cannot be parsed ends the list, as it does on the API server.
    #[must_use]
    pub fn custom(definitions: &[CustomResourceColumnDefinition]) -> Self {
        let mut columns = vec![Column::name()];
        if definitions.is_empty() {
            columns.extend(
                JsonPath::parse(".metadata.creationTimestamp")
                    .ok()
                    .map(|path| Column {
                        name: "Age".to_owned(),
                        type_: "date".to_owned(),
                        format: String::new(),
                        description: description(OBJECT_META, "creationTimestamp"),
                        priority: 0,
                        cell: Cell::Path(path),
                    }),
            );
        }
        for definition in definitions {
            let Ok(path) = JsonPath::parse(&definition.json_path) else {
                break;
            };
            let described = definition.description.clone().filter(|text| !text.is_empty());
            let fallback = || {
                format!(
                    "Custom resource definition column (in JSONPath format): {}",
                    definition.json_path
                )
            };
            columns.push(Column {
                name: definition.name.clone(),
                type_: definition.type_.clone(),
                format: definition.format.clone().unwrap_or_default(),
                description: described.unwrap_or_else(fallback),
                priority: definition.priority.unwrap_or(0),
                cell: Cell::Path(path),
            });
        }
        Self { columns }
    }

    /// The columns of a kind of Kubernetes' own; an unknown one shows its name and when it was created.
    #[must_use]
    pub fn builtin(group: &str, kind: &str) -> Self {
        Self {
            columns: builtin::columns(group, kind),
        }
    }
}

impl Column {
    /// The first column of nearly every kind.
    pub(super) fn name() -> Self {
        let mut column = Self::of("Name", "string", OBJECT_META, "name", |object, _| {
            text(object, "/metadata/name")
        });
        "name".clone_into(&mut column.format);
        column
    }

    /// How long the object has been there.
    pub(super) fn age() -> Self {
        Self::of(
            "Age",
            "string",
            OBJECT_META,
            "creationTimestamp",
            |object, now| age(object.pointer("/metadata/creationTimestamp"), now),
        )
    }

    /// When the object was created, for kubectl to turn into an age.
    pub(super) fn created_at() -> Self {
        Self::of(
            "Created At",
            "date",
            OBJECT_META,
            "creationTimestamp",
            |object, _| text(object, "/metadata/creationTimestamp"),
        )
    }

    /// A column described by a field of a definition.
    pub(super) fn of(
        name: &str,
        type_: &str,
        definition: &str,
        field: &str,
        cell: fn(&Value, Timestamp) -> Value,
    ) -> Self {
        Self::described(name, type_, description(definition, field), cell)
    }

    /// A column with a description of its own.
    pub(super) fn described(
        name: &str,
        type_: &str,
        description: String,
        cell: fn(&Value, Timestamp) -> Value,
    ) -> Self {
        let (name, type_) = (name.to_owned(), type_.to_owned());
        Self {
            name,
            type_,
            format: String::new(),
            description,
            priority: 0,
            cell: Cell::Of(cell),
        }
    }

    /// Shown with `-o wide` only.
    pub(super) fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    pub(super) fn definition(&self) -> Value {
        json!({
            "name": self.name, "type": self.type_, "format": self.format, "description": self.description,
            "priority": self.priority,
        })
    }

    pub(super) fn cell(&self, object: &Value, now: Timestamp) -> Value {
        match &self.cell {
            Cell::Of(cell) => cell(object, now),
            Cell::Path(path) => path
                .first(object)
                .map_or(Value::Null, |value| shown(value, &self.type_, now)),
        }
    }
}

/// A value as a column of this type shows it.
fn shown(value: &Value, type_: &str, now: Timestamp) -> Value {
    match (type_, value) {
        ("string", Value::Null) => json!("<no value>"),
        ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("string", Value::Number(number)) if number.is_f64() => {
            json!(number.as_f64().map(go_float))
        }
        ("string", other) => json!(other.to_string()),
        ("integer", Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => json!(integer),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a table shows the whole part; out of range saturates"
            )]
            (None, Some(float)) => json!(float as i64),
            (None, None) => Value::Null,
        },
        ("number", Value::Number(number)) => json!(number.as_f64()),
        ("date", Value::String(_)) => age(Some(value), now),
        _ => Value::Null,
    }
}

/// The text at a JSON pointer, empty if there is none.
pub(super) fn text(object: &Value, pointer: &str) -> Value {
    json!(
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    )
}

/// How long ago a time was.
pub(super) fn age(time: Option<&Value>, now: Timestamp) -> Value {
    match time.and_then(Value::as_str).filter(|text| !text.is_empty()) {
        None => json!("<unknown>"),
        Some(text) => match text.parse::<Timestamp>() {
            Ok(then) => json!(human_duration(then, now)),
            Err(_) => json!("<invalid>"),
        },
    }
}
