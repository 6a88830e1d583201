//! Whether a schema is structural, and uses the extensions of Kubernetes as a `CustomResourceDefinition` may.
//!
//! A structural schema says the type of every field outside `allOf`, `anyOf`, `oneOf` and `not`; only then do pruning
//! and defaulting mean one thing. The rules and texts are those of apiextensions.k8s.io/v1.

mod lists;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Value, json};

use super::error::{FieldError, FieldErrorKind};
use super::node::Pattern;
use super::path::Path;

/// The types a schema may name.
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// The reasons a CEL rule may give.
const REASONS: [&str; 4] = [
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
];

/// Where in the schema a node stands: it decides what its `type` may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Checks the whole schema; the paths of errors begin at `prefix`.
pub(super) fn check(prefix: &str, schema: &JSONSchemaProps) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_node(schema, Level::Root, &Path::starting_at(prefix), &mut errors);
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn check_node(schema: &JSONSchemaProps, level: Level, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    check_unsupported(schema, at, errors);
    check_type(schema, level, at, errors);
    check_extensions(schema, at, errors);
    lists::check(schema, at, errors);
    check_rules(schema, at, errors);
    check_values(schema, is_int_or_string(schema), at, errors);

    let children = at.field("properties");
    for (name, property) in schema.properties.iter().flatten() {
        let at = children.key(name);
        if level == Level::Root && name == "metadata" {
            check_metadata(property, &at, errors);
        } else {
            check_node(property, Level::Field, &at, errors);
        }
    }
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => {
            check_node(item, Level::Item, &at.field("items"), errors);
        }
        Some(JSONSchemaPropsOrArray::Schemas(_)) => {
            errors.push(forbidden(
                &at.field("items"),
                "items must be a schema object and not an array",
            ));
        }
        None if schema.type_.as_deref() == Some("array") => {
            errors.push(FieldError::required(at.field("items"), "must be specified"));
        }
        None => {}
    }
    if let Some(additional) = &schema.additional_properties {
        let at = at.field("additionalProperties");
        if level == Level::Root {
            errors.push(forbidden(&at, "must not be used at the root"));
        }
        if schema
            .properties
            .as_ref()
            .is_some_and(|properties| !properties.is_empty())
            && !matches!(additional, JSONSchemaPropsOrBool::Bool(true))
        {
            errors.push(forbidden(
                &at,
                "additionalProperties and properties are mutual exclusive",
            ));
        }
        if schema.x_kubernetes_embedded_resource == Some(true) {
            errors.push(forbidden(
                &at,
                "must not be used if x-kubernetes-embedded-resource is set",
            ));
        }
        if let JSONSchemaPropsOrBool::Schema(additional) = additional {
            check_node(additional, Level::Field, &at, errors);
        }
    }
}

fn check_unsupported(schema: &JSONSchemaProps, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let present = [
        ("id", schema.id.is_some()),
        ("$schema", schema.schema.is_some()),
        ("$ref", schema.ref_path.is_some()),
        ("patternProperties", schema.pattern_properties.is_some()),
        ("dependencies", schema.dependencies.is_some()),
        ("additionalItems", schema.additional_items.is_some()),
        ("definitions", schema.definitions.is_some()),
    ];
    for (name, _) in present.iter().filter(|(_, present)| *present) {
        errors.push(forbidden(&at.field(name), &format!("{name} is not supported")));
    }
    if schema.unique_items == Some(true) {
        errors.push(forbidden(
            &at.field("uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ));
    }
}

fn check_type(schema: &JSONSchemaProps, level: Level, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let at = at.field("type");
    let embedded = schema.x_kubernetes_embedded_resource == Some(true);
    match schema.type_.as_deref().unwrap_or_default() {
        "" if embedded => {
            errors.push(FieldError::required(
                at,
                "must be object if x-kubernetes-embedded-resource is true",
            ));
        }
        "" if schema.x_kubernetes_int_or_string != Some(true)
            && schema.x_kubernetes_preserve_unknown_fields != Some(true) =>
        {
            errors.push(FieldError::required(
                at,
                match level {
                    Level::Root => "must not be empty at the root",
                    Level::Item => "must not be empty for specified array items",
                    Level::Field => "must not be empty for specified object fields",
                },
            ));
        }
        "" => {}
        other if !TYPES.contains(&other) => {
            errors.push(FieldError::not_supported(
                at,
                &json!(other),
                &TYPES.map(Value::from),
            ));
        }
        other if embedded && other != "object" => {
            errors.push(FieldError::invalid(
                at,
                &json!(other),
                "must be object if x-kubernetes-embedded-resource is true",
            ));
        }
        other if level == Level::Root && other != "object" => {
            errors.push(FieldError::invalid(
                at,
                &json!(other),
                "must be object at the root",
            ));
        }
        _ => {}
    }
}

fn check_metadata(schema: &JSONSchemaProps, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let object = schema.type_.as_deref().unwrap_or_default();
    if object != "object" {
        errors.push(FieldError::invalid(
            at.field("type"),
            &json!(object),
            "must be object",
        ));
    }
    let mut rest = JSONSchemaProps {
        description: None,
        type_: None,
        ..schema.clone()
    };
    if let Some(properties) = &rest.properties
        && properties
            .keys()
            .all(|name| name == "name" || name == "generateName")
    {
        rest.properties = None;
    }
    if rest != JSONSchemaProps::default() {
        errors.push(forbidden(
            at,
            "must not specify anything other than name and generateName, but metadata is implicitly specified",
        ));
    }
}

fn check_extensions(schema: &JSONSchemaProps, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let preserve = at.field("x-kubernetes-preserve-unknown-fields");
    if schema.x_kubernetes_preserve_unknown_fields == Some(false) {
        errors.push(FieldError::invalid(
            preserve,
            &json!(false),
            "must be true or undefined",
        ));
    }
    if schema.x_kubernetes_int_or_string == Some(true) {
        let detail = "must be false if x-kubernetes-int-or-string is true";
        if schema.x_kubernetes_preserve_unknown_fields == Some(true) {
            errors.push(FieldError::invalid(preserve, &json!(true), detail));
        }
        if schema.x_kubernetes_embedded_resource == Some(true) {
            errors.push(FieldError::invalid(
                at.field("x-kubernetes-embedded-resource"),
                &json!(true),
                detail,
            ));
        }
    }
    let type_ = schema.type_.as_deref().unwrap_or_default();
    if let Some(map_type) = schema.x_kubernetes_map_type.as_deref() {
        if type_ != "object" {
            errors.push(wrong_type(
                at,
                type_,
                "must be object if x-kubernetes-map-type is specified",
            ));
        }
        if !["atomic", "granular"].contains(&map_type) {
            let supported = ["atomic", "granular"].map(Value::from);
            errors.push(FieldError::not_supported(
                at.field("x-kubernetes-map-type"),
                &json!(map_type),
                &supported,
            ));
        }
    }
    if schema.x_kubernetes_embedded_resource == Some(true)
        && schema.x_kubernetes_preserve_unknown_fields != Some(true)
        && schema
            .properties
            .as_ref()
            .is_none_or(std::collections::BTreeMap::is_empty)
    {
        errors.push(FieldError::required(
            at.field("properties"),
            "must not be empty if x-kubernetes-embedded-resource is true without \
             x-kubernetes-preserve-unknown-fields",
        ));
    }
}

fn check_rules(schema: &JSONSchemaProps, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let all = at.field("x-kubernetes-validations");
    for (position, rule) in schema.x_kubernetes_validations.iter().flatten().enumerate() {
        let at = all.index(position);
        let message = rule.message.as_deref().map(str::trim);
        if rule.rule.trim().is_empty() {
            errors.push(FieldError::required(at.field("rule"), "rule is not specified"));
        } else if message == Some("") && rule.message.as_deref() != Some("") {
            errors.push(FieldError::invalid(
                at.field("message"),
                &json!(rule.message),
                "must be non-empty if specified",
            ));
        } else if message.is_some_and(|message| message.contains('\n')) {
            let detail = "must not contain line breaks";
            errors.push(FieldError::invalid(
                at.field("message"),
                &json!(rule.message),
                detail,
            ));
        } else if rule.rule.trim().contains('\n') && message.is_none_or(str::is_empty) {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(at.field("message"), detail));
        }
        if let Some(reason) = rule.reason.as_deref()
            && !REASONS.contains(&reason)
        {
            errors.push(FieldError::not_supported(
                at.field("reason"),
                &json!(reason),
                &REASONS.map(Value::from),
            ));
        }
    }
}

/// The value validations of a node: what may stand in `allOf`, `anyOf`, `oneOf` and `not`, and its pattern.
fn check_values(schema: &JSONSchemaProps, int_or_string: bool, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    for (name, schemas) in [
        ("allOf", &schema.all_of),
        ("anyOf", &schema.any_of),
        ("oneOf", &schema.one_of),
    ] {
        let list = at.field(name);
        for (position, nested) in schemas.iter().flatten().enumerate() {
            // `x-kubernetes-int-or-string` may spell its two types out in one of two fixed ways.
            let spelled_out = int_or_string && (name == "anyOf" || position == 0);
            check_nested(nested, spelled_out, &list.index(position), errors);
        }
    }
    if let Some(not) = &schema.not {
        check_nested(not, false, &at.field("not"), errors);
    }
    if let Some(pattern) = schema.pattern.as_deref()
        && let Err(error) = Pattern::compile(pattern).compiled
    {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(at.field("pattern"), &json!(pattern), &detail));
    }
}

fn check_nested(schema: &JSONSchemaProps, int_or_string: bool, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    check_unsupported(schema, at, errors);
    check_values(schema, int_or_string, at, errors);
    let type_allowed = int_or_string && matches!(schema.type_.as_deref(), Some("integer" | "string"));
    let rules = [
        (
            "type",
            schema.type_.is_some() && !type_allowed,
            "must be empty to be structural",
        ),
        (
            "additionalProperties",
            schema.additional_properties.is_some(),
            "must be undefined to be structural",
        ),
        (
            "default",
            schema.default.is_some(),
            "must be undefined to be structural",
        ),
        ("title", schema.title.is_some(), "must be empty to be structural"),
        (
            "description",
            schema.description.is_some(),
            "must be empty to be structural",
        ),
        (
            "nullable",
            schema.nullable == Some(true),
            "must be false to be structural",
        ),
        (
            "x-kubernetes-preserve-unknown-fields",
            schema.x_kubernetes_preserve_unknown_fields.is_some(),
            "must be false to be structural",
        ),
        (
            "x-kubernetes-embedded-resource",
            schema.x_kubernetes_embedded_resource == Some(true),
            "must be false to be structural",
        ),
        (
            "x-kubernetes-int-or-string",
            schema.x_kubernetes_int_or_string == Some(true),
            "must be false to be structural",
        ),
        (
            "x-kubernetes-list-map-keys",
            schema.x_kubernetes_list_map_keys.is_some(),
            "must be empty to be structural",
        ),
        (
            "x-kubernetes-list-type",
            schema.x_kubernetes_list_type.is_some(),
            "must be undefined to be structural",
        ),
        (
            "x-kubernetes-map-type",
            schema.x_kubernetes_map_type.is_some(),
            "must be undefined to be structural",
        ),
        (
            "x-kubernetes-validations",
            schema.x_kubernetes_validations.is_some(),
            "must be empty to be structural",
        ),
    ];
    for (name, _, detail) in rules.iter().filter(|(_, broken, _)| *broken) {
        errors.push(forbidden(&at.field(name), detail));
    }
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
        check_nested(item, false, &at.field("items"), errors);
    }
    let properties = at.field("properties");
    for (name, property) in schema.properties.iter().flatten() {
        let at = properties.key(name);
        if name == "metadata" {
            errors.push(forbidden(&at, "must not be specified in a nested context"));
        }
        check_nested(property, false, &at, errors);
    }
}

fn is_int_or_string(schema: &JSONSchemaProps) -> bool {
    schema.x_kubernetes_int_or_string == Some(true)
}

fn forbidden(at: &Path<'_>, detail: &str) -> FieldError {
    FieldError::without_value(at, FieldErrorKind::Forbidden, detail)
}

fn wrong_type(at: &Path<'_>, type_: &str, detail: &str) -> FieldError {
    let at = at.field("type");
    if type_.is_empty() {
        FieldError::required(at, detail)
    } else {
        FieldError::invalid(at, &json!(type_), detail)
    }
}
