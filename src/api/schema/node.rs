//! The tree that defaulting, pruning, validation and merging walk.
//!
//! Regular expressions and CEL rules are compiled here, once, so that checking an object compiles nothing.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::format::Format;
use super::rules::Rule;

/// Memory one compiled `pattern` may take, in bytes.
const MAX_PATTERN_SIZE: usize = 1 << 20;

/// The JSON types a schema can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum JsonType {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

/// The types one schema allows; none means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TypeSet(Vec<JsonType>);

impl TypeSet {
    fn of(schema: &JSONSchemaProps) -> Self {
        if schema.x_kubernetes_int_or_string == Some(true) {
            return Self(vec![JsonType::Integer, JsonType::String]);
        }
        let one = match schema.type_.as_deref() {
            Some("array") => JsonType::Array,
            Some("boolean") => JsonType::Boolean,
            Some("integer") => JsonType::Integer,
            Some("number") => JsonType::Number,
            Some("object") => JsonType::Object,
            Some("string") => JsonType::String,
            _ => return Self::default(),
        };
        Self(vec![one])
    }

    pub(crate) fn contains(&self, one: JsonType) -> bool {
        self.0.contains(&one)
    }

    /// The only type, where there is exactly one.
    pub(crate) fn single(&self) -> Option<JsonType> {
        match self.0.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the API server prints them: `integer,string`.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&'static str> = self.0.iter().map(|one| (*one).into()).collect();
        names.join(",")
    }
}

/// How a list behaves when it is merged and whether it may hold duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    /// The list is one value.
    #[default]
    Atomic,
    /// Items are objects told apart by these fields.
    Map(Vec<String>),
    /// Items are told apart by their value.
    Set,
}

/// What a schema says about fields that it does not name.
#[derive(Debug, Default)]
pub(crate) enum Additional {
    /// Nothing: they are pruned.
    #[default]
    Unspecified,
    /// `additionalProperties: false`.
    Forbidden,
    /// `additionalProperties: true`: the field is kept, what is inside it is not known.
    Any,
    /// They all follow one schema.
    Schema(Box<Node>),
}

/// A regular expression with the text it was made from.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: String,
    pub(super) compiled: Result<Regex, String>,
}

/// Bounds on a value, all optional.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    pub(super) maximum: Option<f64>,
    pub(super) exclusive_maximum: bool,
    pub(super) minimum: Option<f64>,
    pub(super) exclusive_minimum: bool,
    pub(super) multiple_of: Option<f64>,
    pub(super) max_length: Option<i64>,
    pub(super) min_length: Option<i64>,
    pub(super) max_items: Option<i64>,
    pub(super) min_items: Option<i64>,
    pub(super) max_properties: Option<i64>,
    pub(super) min_properties: Option<i64>,
}

/// One schema of the tree.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) types: TypeSet,
    pub(crate) nullable: Nullable,
    pub(crate) preserve: Unknown,
    pub(crate) resource: Embedded,
    pub(crate) list_type: ListType,
    pub(crate) map_type: MapType,
    pub(crate) properties: BTreeMap<String, Self>,
    pub(crate) additional: Additional,
    pub(crate) items: Option<Box<Self>>,
    pub(super) format: Option<Format>,
    pub(super) format_name: String,
    pub(super) default: Option<Value>,
    pub(super) allowed: Vec<Value>,
    pub(super) pattern: Option<Pattern>,
    pub(super) bounds: Bounds,
    pub(super) required: Vec<String>,
    pub(super) all_of: Vec<Self>,
    pub(super) any_of: Vec<Self>,
    pub(super) one_of: Vec<Self>,
    pub(super) not: Option<Box<Self>>,
    pub(super) rules: Vec<Rule>,
    /// Whether this schema or one below it has a CEL rule: saves walking objects that need none.
    pub(super) has_rules: bool,
}

/// Whether null is a value of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nullable {
    #[default]
    No,
    Yes,
}

/// What becomes of fields that the schema does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unknown {
    #[default]
    Pruned,
    Preserved,
}

/// Whether the value is a whole Kubernetes object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Embedded {
    #[default]
    No,
    Yes,
}

/// How a map behaves when it is merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MapType {
    /// The map is one value.
    Atomic,
    /// Every field has owners of its own.
    #[default]
    Granular,
}

impl Node {
    /// Compiles a schema, however deep: who calls has checked that.
    pub(super) fn compile(schema: &JSONSchemaProps) -> Self {
        let properties: BTreeMap<String, Self> = schema
            .properties
            .iter()
            .flatten()
            .map(|(name, property)| (name.clone(), Self::compile(property)))
            .collect();
        let additional = match &schema.additional_properties {
            None => Additional::Unspecified,
            Some(JSONSchemaPropsOrBool::Bool(false)) => Additional::Forbidden,
            Some(JSONSchemaPropsOrBool::Bool(true)) => Additional::Any,
            Some(JSONSchemaPropsOrBool::Schema(value)) => Additional::Schema(Box::new(Self::compile(value))),
        };
        let items = match &schema.items {
            Some(JSONSchemaPropsOrArray::Schema(item)) => Some(Box::new(Self::compile(item))),
            // Refused by the structural check.
            Some(JSONSchemaPropsOrArray::Schemas(_)) | None => None,
        };
        let types = TypeSet::of(schema);
        let rules: Vec<Rule> = schema
            .x_kubernetes_validations
            .iter()
            .flatten()
            .map(Rule::compile)
            .collect();
        let all_of = Self::compile_all(schema.all_of.as_deref());
        let has_rules = !rules.is_empty()
            || properties.values().any(|node| node.has_rules)
            || items.as_ref().is_some_and(|node| node.has_rules)
            || matches!(&additional, Additional::Schema(node) if node.has_rules)
            || all_of.iter().any(|node| node.has_rules);
        Self {
            format: schema
                .format
                .as_deref()
                .and_then(|name| Format::supported(name, &types)),
            format_name: schema.format.clone().unwrap_or_default(),
            types,
            nullable: if schema.nullable == Some(true) {
                Nullable::Yes
            } else {
                Nullable::No
            },
            preserve: preserved(schema),
            resource: if schema.x_kubernetes_embedded_resource == Some(true) {
                Embedded::Yes
            } else {
                Embedded::No
            },
            list_type: list_type(schema),
            map_type: map_type(schema),
            properties,
            additional,
            items,
            default: schema.default.as_ref().map(|JSON(value)| value.clone()),
            allowed: schema
                .enum_
                .iter()
                .flatten()
                .map(|JSON(value)| value.clone())
                .collect(),
            pattern: schema
                .pattern
                .as_deref()
                .filter(|text| !text.is_empty())
                .map(Pattern::compile),
            bounds: Bounds::of(schema),
            required: schema.required.clone().unwrap_or_default(),
            all_of,
            any_of: Self::compile_all(schema.any_of.as_deref()),
            one_of: Self::compile_all(schema.one_of.as_deref()),
            not: schema
                .not
                .as_deref()
                .map(|schema| Box::new(Self::compile(schema))),
            rules,
            has_rules,
        }
    }

    fn compile_all(schemas: Option<&[JSONSchemaProps]>) -> Vec<Self> {
        schemas.unwrap_or_default().iter().map(Self::compile).collect()
    }

    /// The value that an absent field takes.
    pub(crate) fn default(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    /// The schema of the field `name` of an object: a named property, else the one for additional properties.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(match &self.additional {
            Additional::Schema(node) => Some(node),
            Additional::Any | Additional::Forbidden | Additional::Unspecified => None,
        })
    }
}

impl Pattern {
    pub(super) fn compile(text: &str) -> Self {
        let compiled = RegexBuilder::new(text)
            .size_limit(MAX_PATTERN_SIZE)
            .build()
            .map_err(|error| error.to_string());
        Self {
            text: text.to_owned(),
            compiled,
        }
    }
}

impl Bounds {
    fn of(schema: &JSONSchemaProps) -> Self {
        Self {
            maximum: schema.maximum,
            exclusive_maximum: schema.exclusive_maximum == Some(true),
            minimum: schema.minimum,
            exclusive_minimum: schema.exclusive_minimum == Some(true),
            multiple_of: schema.multiple_of,
            max_length: schema.max_length,
            min_length: schema.min_length,
            max_items: schema.max_items,
            min_items: schema.min_items,
            max_properties: schema.max_properties,
            min_properties: schema.min_properties,
        }
    }
}

fn preserved(schema: &JSONSchemaProps) -> Unknown {
    if schema.x_kubernetes_preserve_unknown_fields == Some(true) {
        Unknown::Preserved
    } else {
        Unknown::Pruned
    }
}

fn list_type(schema: &JSONSchemaProps) -> ListType {
    match schema.x_kubernetes_list_type.as_deref() {
        Some("map") => ListType::Map(schema.x_kubernetes_list_map_keys.clone().unwrap_or_default()),
        Some("set") => ListType::Set,
        _ => ListType::Atomic,
    }
}

fn map_type(schema: &JSONSchemaProps) -> MapType {
    if schema.x_kubernetes_map_type.as_deref() == Some("atomic") {
        MapType::Atomic
    } else {
        MapType::Granular
    }
}
