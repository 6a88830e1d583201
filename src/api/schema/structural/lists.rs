//! What a schema may say about how its lists merge.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};
use serde_json::{Value, json};

use super::{FieldError, Path, wrong_type};

pub(super) fn check(schema: &JSONSchemaProps, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let keys = schema.x_kubernetes_list_map_keys.as_deref().unwrap_or_default();
    let type_field = at.field("x-kubernetes-list-type");
    let Some(list_type) = schema.x_kubernetes_list_type.as_deref() else {
        if !keys.is_empty() {
            errors.push(FieldError::required(
                type_field,
                "must be map if x-kubernetes-list-map-keys is non-empty",
            ));
        }
        return;
    };
    let type_ = schema.type_.as_deref().unwrap_or_default();
    if type_ != "array" {
        errors.push(wrong_type(
            at,
            type_,
            "must be array if x-kubernetes-list-type is specified",
        ));
    }
    if !["atomic", "set", "map"].contains(&list_type) {
        let supported = ["atomic", "set", "map"].map(Value::from);
        errors.push(FieldError::not_supported(
            type_field,
            &json!(list_type),
            &supported,
        ));
    }
    if !keys.is_empty() && list_type != "map" {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(FieldError::invalid(type_field, &json!(list_type), detail));
    }
    let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items else {
        return;
    };
    let items = at.field("items");
    if list_type == "set"
        && item.type_.as_deref() == Some("object")
        && item.x_kubernetes_map_type.as_deref() != Some("atomic")
    {
        errors.push(FieldError::invalid(
            items.field("x-kubernetes-map-type"),
            &json!(item.x_kubernetes_map_type),
            "must be atomic as item of a list with x-kubernetes-list-type=set",
        ));
    }
    if list_type == "map" {
        check_list_map(item, keys, at, errors);
    }
}

fn check_list_map(item: &JSONSchemaProps, keys: &[String], at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let items = at.field("items");
    let keys_field = at.field("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        errors.push(FieldError::required(
            keys_field,
            "must not be empty if x-kubernetes-list-type is map",
        ));
    }
    let type_ = item.type_.as_deref().unwrap_or_default();
    if type_ != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(items.field("type"), &json!(type_), detail));
        return;
    }
    for (position, key) in keys.iter().enumerate() {
        let Some(property) = item
            .properties
            .as_ref()
            .and_then(|properties| properties.get(key))
        else {
            let detail = "entries must all be names of item properties";
            errors.push(FieldError::invalid(keys_field, &json!(keys), detail));
            continue;
        };
        if matches!(property.type_.as_deref(), Some("array" | "object")) {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            let properties = items.field("properties");
            errors.push(FieldError::invalid(
                properties.key(key).field("type"),
                &json!(property.type_),
                detail,
            ));
        }
        if property.default.is_none() && !item.required.iter().flatten().any(|required| required == key) {
            let properties = items.field("properties");
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required \
                          property";
            errors.push(FieldError::required(properties.key(key).field("default"), detail));
        }
        if keys.iter().take(position).any(|earlier| earlier == key) {
            errors.push(FieldError::invalid(
                keys_field,
                &json!(keys),
                "must not contain duplicate entries",
            ));
        }
    }
}
