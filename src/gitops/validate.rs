//! Whether the objects of a revision are what their kinds allow: the schemas and rules of the custom resources, with
//! every mistake at its file, line and column.
//!
//! Strict where the API would be lenient: a field that the schema does not know is a mistake here, never dropped
//! (`fieldValidation=Strict`). Pure.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

use super::finding::Finding;
use super::read::{Document, Documents, MAXIMUM_FINDINGS, after_key};
use crate::api::names::VERSION;
use crate::api::schema::{CompiledSchema, FieldError, FieldErrorKind, SchemaError};
use crate::suggest::did_you_mean;

/// Why a set of definitions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaSetError {
    /// A definition does not serve the version that this program reads.
    #[error("the definition of {kind} has no schema for {VERSION}")]
    FindSchema {
        /// The kind.
        kind: String,
    },
    /// A definition's schema is wrong.
    #[error("the schema of {kind} cannot be used")]
    Compile {
        /// The kind.
        kind: String,
        /// What is wrong with it.
        #[source]
        source: SchemaError,
    },
}

/// The schemas of all kinds that git may hold, compiled once.
#[derive(Debug)]
pub struct SchemaSet(BTreeMap<String, KindSchema>);

#[derive(Debug)]
struct KindSchema {
    compiled: CompiledSchema,
    /// As written, to suggest names from.
    source: JSONSchemaProps,
}

impl SchemaSet {
    /// Compiles the schemas of `definitions`.
    ///
    /// # Errors
    /// When one lacks a schema for the version that is read, or has one that does not compile.
    pub fn new(definitions: &[CustomResourceDefinition]) -> Result<Self, SchemaSetError> {
        let mut kinds = BTreeMap::new();
        for definition in definitions {
            let kind = definition.spec.names.kind.clone();
            let version = definition
                .spec
                .versions
                .iter()
                .find(|version| version.name == VERSION);
            let source = version
                .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.clone())
                .ok_or_else(|| SchemaSetError::FindSchema { kind: kind.clone() })?;
            let compiled = CompiledSchema::compile(&source).map_err(|source| SchemaSetError::Compile {
                kind: kind.clone(),
                source,
            })?;
            kinds.insert(kind, KindSchema { compiled, source });
        }
        Ok(Self(kinds))
    }

    /// Every mistake in `documents`, ordered by file and place, at most [`MAXIMUM_FINDINGS`].
    #[must_use]
    pub fn check(&self, documents: &Documents) -> Vec<Finding> {
        let findings = documents
            .objects
            .iter()
            .flat_map(|document| self.check_document(document));
        let mut findings: Vec<_> = findings.take(MAXIMUM_FINDINGS).collect();
        findings.sort();
        findings.dedup();
        findings
    }

    /// Every mistake in one document.
    #[must_use]
    pub fn check_document(&self, document: &Document) -> Vec<Finding> {
        let Some(schema) = self.0.get(&document.kind) else {
            let guess = did_you_mean(&document.kind, self.0.keys().map(String::as_str));
            return vec![document.finding("kind", format!("Provost has no kind {}{guess}", document.kind))];
        };
        let mut object = document.value.clone();
        let unknown = schema.compiled.prune(&mut object);
        let mut findings: Vec<_> = unknown
            .iter()
            .map(|field| {
                let guess = suggest_field(&schema.source, field, &document.value);
                document.finding(field, format!("unknown field{guess}"))
            })
            .collect();
        schema.compiled.default(&mut object);
        let errors = schema.compiled.validate(&object, None);
        let telling = |error: &&FieldError| errors.len() == 1 || !says_only_that_rules_wait(error);
        findings.extend(errors.iter().filter(telling).map(|error| {
            let field = if error.field == NO_FIELD { "" } else { &error.field };
            document.finding(
                field,
                format!("{}{}", error.message, hint(error, &document.value)),
            )
        }));
        findings
    }
}

/// How the schema engine, like Kubernetes, writes that no single field is to blame.
const NO_FIELD: &str = "<nil>";

/// The note that rules were left out adds nothing when the errors that caused it are listed.
fn says_only_that_rules_wait(error: &FieldError) -> bool {
    error.field == NO_FIELD && error.message.contains("validation rules were not checked")
}

/// The most common type error: `version: 14.10` is a number, and not even the one that was meant.
fn hint(error: &FieldError, document: &Value) -> &'static str {
    let wants_text =
        error.kind == FieldErrorKind::TypeInvalid && error.message.contains("must be of type string");
    match lookup(document, &error.field) {
        Some(Value::Number(_) | Value::Bool(_)) if wants_text => "; put quotes around it",
        _ => "",
    }
}

/// The value at a simple field path.
fn lookup<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let mut value = value;
    let mut rest = path;
    while !rest.is_empty() {
        (value, rest) = match value {
            Value::Object(fields) => {
                let named = fields
                    .iter()
                    .filter_map(|(key, value)| Some((key, value, after_key(rest, key)?)));
                named
                    .max_by_key(|(key, ..)| key.len())
                    .map(|(_, value, after)| (value, after))?
            }
            Value::Array(items) => {
                let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
                (items.get(index.parse::<usize>().ok()?)?, after)
            }
            _ => return None,
        };
    }
    Some(value)
}

/// A field beside the unknown one that is spelt alike and not yet given.
fn suggest_field(schema: &JSONSchemaProps, field: &str, document: &Value) -> String {
    let mut schema = schema;
    let mut rest = field;
    loop {
        let properties = schema.properties.iter().flatten();
        let known = properties.filter_map(|(key, inner)| Some((key, inner, after_key(rest, key)?)));
        if let Some((_, inner, after)) = known.max_by_key(|(key, ..)| key.len()) {
            (schema, rest) = (inner, after);
        } else if let (Some(JSONSchemaPropsOrArray::Schema(items)), Some((_, after))) = (
            &schema.items,
            rest.strip_prefix('[').and_then(|rest| rest.split_once(']')),
        ) {
            (schema, rest) = (&**items, after);
        } else if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
            let part = rest.strip_prefix('.').unwrap_or(rest);
            let end = part.find(['.', '[']).unwrap_or(part.len());
            (schema, rest) = (&**values, part.get(end..).unwrap_or_default());
        } else {
            break;
        }
    }
    let parent = field
        .strip_suffix(rest)
        .and_then(|parent| lookup(document, parent));
    let free = |name: &&str| parent.is_none_or(|parent| parent.get(*name).is_none());
    let names = schema.properties.iter().flatten().map(|(name, _)| name.as_str());
    did_you_mean(rest.trim_start_matches('.'), names.filter(free))
}

#[cfg(test)]
mod tests;
