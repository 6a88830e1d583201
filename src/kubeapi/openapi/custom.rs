//! The definitions of custom resources.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::{Map, Value, json};

use super::builtin::{GENERATED_PREFIX, type_properties};
use super::resource::{ResourceSchema, ServedResource};

const METADATA: &str = "Standard object's metadata. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA: &str = "Standard list metadata. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// How deep a schema is followed; what the engine accepts is never deeper.
const MAX_DEPTH: usize = 100;

/// The two dialects differ in what a definition may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

/// The definition of a custom resource, or nothing for a built-in one.
pub(super) fn definition(resource: &ServedResource<'_>, dialect: Dialect) -> Option<Value> {
    let ResourceSchema::Custom(schema) = resource.schema else {
        return None;
    };
    let mut definition = as_object(schema);
    if dialect == Dialect::V2 {
        simplify(&mut definition, 0);
    }
    let properties = definition.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.extend(type_properties());
        properties.insert("metadata".to_owned(), reference("ObjectMeta", METADATA));
    }
    add_embedded(&mut definition, dialect, 0);
    Some(Value::Object(definition))
}

/// The definition of the list of a resource.
pub(super) fn list_definition(resource: &ServedResource<'_>) -> Value {
    let ServedResource {
        kind,
        list_kind,
        plural,
        ..
    } = *resource;
    let mut properties = type_properties();
    properties.insert("metadata".to_owned(), reference("ListMeta", LIST_METADATA));
    properties.insert(
        "items".to_owned(),
        json!({
            "type": "array",
            "description": format!("List of {plural}. More info: \
                https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"),
            "items": {"$ref": format!("{GENERATED_PREFIX}{}", resource.definition_name())},
        }),
    );
    json!({
        "type": "object", "description": format!("{list_kind} is a list of {kind}"), "properties": properties,
        "required": ["items"],
    })
}

fn as_object(schema: &JSONSchemaProps) -> Map<String, Value> {
    match serde_json::to_value(schema) {
        Ok(Value::Object(schema)) => schema,
        _ => Map::new(),
    }
}

fn reference(kind: &str, description: &str) -> Value {
    json!({"$ref": format!("{GENERATED_PREFIX}io.k8s.apimachinery.pkg.apis.meta.v1.{kind}"), "description": description})
}

fn is_true(schema: &Map<String, Value>, name: &str) -> bool {
    schema.get(name) == Some(&Value::Bool(true))
}

/// The schemas directly below one.
fn children(schema: &mut Map<String, Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    schema
        .iter_mut()
        .flat_map(|(name, value)| -> Vec<&mut Map<String, Value>> {
            match (name.as_str(), value) {
                ("properties", Value::Object(properties)) => {
                    properties.values_mut().filter_map(Value::as_object_mut).collect()
                }
                ("items" | "additionalProperties", Value::Object(schema)) => vec![schema],
                _ => Vec::new(),
            }
        })
}

/// Objects inside objects also have a type and metadata.
fn add_embedded(schema: &mut Map<String, Value>, dialect: Dialect, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    for child in children(schema) {
        add_embedded(child, dialect, depth + 1);
    }
    let open = dialect == Dialect::V2 && is_true(schema, "x-kubernetes-preserve-unknown-fields");
    if open || !is_true(schema, "x-kubernetes-embedded-resource") {
        return;
    }
    if let Some(properties) = schema
        .entry("properties")
        .or_insert_with(|| json!({}))
        .as_object_mut()
    {
        properties.extend(type_properties());
        properties.insert("metadata".to_owned(), reference("ObjectMeta", METADATA));
    }
    if let Some(required) = schema
        .entry("required")
        .or_insert_with(|| json!([]))
        .as_array_mut()
    {
        for name in ["kind", "apiVersion"] {
            if !required.iter().any(|known| known == name) {
                required.push(json!(name));
            }
        }
    }
}

/// Leaves out what version 2 cannot say. Clients of version 2 refuse what they do not understand, so a schema that would
/// be misunderstood says less instead.
fn simplify(schema: &mut Map<String, Value>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    for name in ["allOf", "anyOf", "oneOf", "not", "default"] {
        schema.remove(name);
    }
    if schema.remove("nullable") == Some(Value::Bool(true)) {
        for name in ["type", "items", "properties", "additionalProperties"] {
            schema.remove(name);
        }
    }
    if is_true(schema, "x-kubernetes-int-or-string") {
        schema.remove("type");
    }
    if is_true(schema, "x-kubernetes-preserve-unknown-fields") {
        for name in ["items", "properties", "additionalProperties", "required"] {
            schema.remove(name);
        }
    }
    for child in children(schema) {
        simplify(child, depth + 1);
    }
}
