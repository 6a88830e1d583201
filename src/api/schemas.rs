//! Hand-written pieces of schema, where a derive would give something that is not structural.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Any JSON value: a parameter's value, an enumeration's member.
pub fn any_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// Any JSON object: the keys of a payload, which Apple's schema knows and Kubernetes does not.
pub fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A map from names to any values.
pub fn map_of_any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "x-kubernetes-preserve-unknown-fields": true },
        "maxProperties": 128,
    })
}

/// A list of any values.
pub fn list_of_any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "x-kubernetes-preserve-unknown-fields": true },
        "maxItems": 256,
    })
}

/// `conditions`, as a list-map by type.
pub fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let item =
        <k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition as schemars::JsonSchema>::json_schema(
            generator,
        );
    json_schema!({
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}
