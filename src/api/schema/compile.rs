//! A schema ready for use, and what can be done with it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

use super::error::{FieldError, SchemaError};
use super::node::Node;
use super::{defaulting, embedded, listtype, pruning, rules, structural, validate};

/// How deep a schema may nest. Every walk over an object follows the schema, so this bounds recursion everywhere.
pub const MAX_SCHEMA_DEPTH: usize = 64;

/// A schema ready for use: structural, with its patterns and CEL rules compiled.
#[derive(Debug)]
pub struct CompiledSchema {
    root: Node,
}

impl CompiledSchema {
    /// Compiles the schema of one version of a `CustomResourceDefinition`.
    ///
    /// # Errors
    /// [`SchemaError`] when the schema is not structural, a pattern or CEL rule does not compile, a default does not fit
    /// its own schema, or the nesting exceeds [`MAX_SCHEMA_DEPTH`].
    pub fn compile(schema: &JSONSchemaProps) -> Result<Self, SchemaError> {
        Self::compile_at("", schema)
    }

    /// As [`Self::compile`], with the field paths of errors beginning at `path`, such as
    /// `spec.versions[0].schema.openAPIV3Schema`.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_at(path: &str, schema: &JSONSchemaProps) -> Result<Self, SchemaError> {
        if depth_exceeds(schema, MAX_SCHEMA_DEPTH) {
            return Err(SchemaError::TooDeep {
                limit: MAX_SCHEMA_DEPTH,
            });
        }
        let mut errors = structural::check(path, schema);
        if errors.is_empty() {
            let root = Node::compile(schema);
            errors = rules::compilation_errors(path, &root);
            if errors.is_empty() {
                errors = defaulting::check_defaults(path, &root);
            }
            if errors.is_empty() {
                return Ok(Self { root });
            }
        }
        Err(SchemaError::Invalid(errors))
    }

    /// Compiles a schema that this program itself wrote, or has checked before it was stored, leaving out the checks.
    pub(crate) fn trusted(schema: &JSONSchemaProps) -> Result<Self, SchemaError> {
        if depth_exceeds(schema, MAX_SCHEMA_DEPTH) {
            return Err(SchemaError::TooDeep {
                limit: MAX_SCHEMA_DEPTH,
            });
        }
        Ok(Self {
            root: Node::compile(schema),
        })
    }

    /// Fills absent fields with their defaults, and nulls where null is not allowed. A null that has no default is
    /// removed, as the API server does when it decodes a request.
    pub fn default(&self, object: &mut Value) {
        defaulting::remove_forbidden_nulls(object, Some(&self.root));
        defaulting::fill(object, &self.root);
    }

    /// Removes every field that the schema does not know and returns their paths, sorted. `apiVersion`, `kind` and the
    /// fields of `metadata` are known.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        pruning::prune_resource(object, &self.root)
    }

    /// Checks `new`, an object that has been pruned and defaulted. With `old`, transition rules run and errors in parts
    /// that did not change are tolerated, as the API server does on an update. Empty means valid.
    #[must_use]
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = validate::check(new, old, &self.root);
        errors.extend(embedded::check(new, &self.root));
        if old.is_none_or(|old| listtype::check(old, &self.root).is_empty()) {
            errors.extend(listtype::check(new, &self.root));
        }
        if self.root.has_rules {
            if errors.iter().any(FieldError::blocks_rules) {
                errors.push(FieldError::rules_not_checked());
            } else {
                errors.extend(rules::evaluate(new, old, &self.root));
            }
        }
        errors
    }

    /// The tree itself, for merging by schema.
    pub(crate) fn root(&self) -> &Node {
        &self.root
    }
}

/// Whether some branch of `schema` has more than `limit` levels. Stops at the limit, so it cannot itself recurse far.
fn depth_exceeds(schema: &JSONSchemaProps, limit: usize) -> bool {
    let Some(limit) = limit.checked_sub(1) else {
        return true;
    };
    let nested = schema.properties.iter().flatten().map(|(_, nested)| nested);
    let lists = [&schema.all_of, &schema.any_of, &schema.one_of]
        .into_iter()
        .flatten()
        .flatten();
    let additional = match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(nested)) => Some(nested.as_ref()),
        _ => None,
    };
    let items: &[JSONSchemaProps] = match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(nested)) => std::slice::from_ref(nested),
        Some(JSONSchemaPropsOrArray::Schemas(nested)) => nested,
        None => &[],
    };
    nested
        .chain(lists)
        .chain(additional)
        .chain(items)
        .chain(schema.not.as_deref())
        .any(|nested| depth_exceeds(nested, limit))
}
