//! The documents, put together from definitions and paths.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};

use super::builtin::{GENERATED_PREFIX, definitions};
use super::custom::{Dialect, definition, list_definition};
use super::paths::{Operation, Path, common, paths, reference};
use super::resource::{ServedResource, group_path};

/// The media types of answers.
const PRODUCED: [&str; 2] = ["application/json", "application/yaml"];

/// The version 2 document of all resources.
#[must_use]
pub fn v2(resources: &[ServedResource<'_>]) -> Value {
    let mut all_paths = Map::new();
    for resource in resources {
        for path in paths(resource) {
            let item = path_item(&path, resource, Dialect::V2);
            all_paths.insert(path.template, item);
        }
    }
    let mut document = json!({
        "swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.37.0"}, "paths": all_paths,
        "definitions": needed_definitions(resources, &all_paths, Dialect::V2),
    });
    rewrite(&mut document, Dialect::V2, 0);
    document
}

/// The version 3 index: where the document of each group version is, under a URL that changes with its content.
#[must_use]
pub fn v3_index(resources: &[ServedResource<'_>]) -> Value {
    let groups: BTreeSet<(&str, &str)> = resources
        .iter()
        .map(|resource| (resource.group, resource.version))
        .collect();
    let mut index = BTreeMap::new();
    for (group, version) in groups {
        let Some(document) = v3_group(resources, group, version) else {
            continue;
        };
        let hash = hex::encode_upper(Sha512::digest(document.to_string().as_bytes()));
        let path = group_path(group, version);
        let url = format!("/openapi/v3/{path}?hash={hash}");
        index.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": index})
}

/// The version 3 document of one group version; nothing if none of its resources is served.
#[must_use]
pub fn v3_group(resources: &[ServedResource<'_>], group: &str, version: &str) -> Option<Value> {
    let served: Vec<ServedResource<'_>> = resources
        .iter()
        .filter(|resource| resource.group == group && resource.version == version)
        .copied()
        .collect();
    if served.is_empty() {
        return None;
    }
    let mut all_paths = Map::new();
    for resource in &served {
        for path in paths(resource) {
            let item = path_item(&path, resource, Dialect::V3);
            all_paths.insert(path.template, item);
        }
    }
    let schemas = needed_definitions(&served, &all_paths, Dialect::V3);
    let mut document = json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.37.0"}, "paths": all_paths,
        "components": {"schemas": schemas},
    });
    rewrite(&mut document, Dialect::V3, 0);
    Some(document)
}

/// The definitions of the resources, and every built-in one that something refers to.
fn needed_definitions(
    resources: &[ServedResource<'_>],
    paths: &Map<String, Value>,
    dialect: Dialect,
) -> Map<String, Value> {
    let mut needed: Map<String, Value> = Map::new();
    for resource in resources {
        let kind =
            definition(resource, dialect).or_else(|| definitions().get(&resource.definition_name()).cloned());
        let names = [
            (resource.definition_name(), resource.kind, kind),
            (
                resource.list_definition_name(),
                resource.list_kind,
                resource.can("list").then(|| list_definition(resource)),
            ),
        ];
        for (name, kind, definition) in names {
            let Some(Value::Object(mut definition)) = definition else {
                continue;
            };
            let extension = json!([resource.group_version_kind(kind)]);
            definition.insert("x-kubernetes-group-version-kind".to_owned(), extension);
            needed.insert(name, Value::Object(definition));
        }
    }
    let mut missing: Vec<String> = Vec::new();
    for definition in paths.values().chain(needed.values()) {
        collect_references(definition, &mut missing, 0);
    }
    while let Some(name) = missing.pop() {
        if needed.contains_key(&name) {
            continue;
        }
        if let Some(definition) = definitions().get(&name) {
            collect_references(definition, &mut missing, 0);
            needed.insert(name, definition.clone());
        }
    }
    needed
}

/// How deep documents are walked; they are made of schemas that are less deep.
const MAX_DEPTH: usize = 200;

fn collect_references(value: &Value, names: &mut Vec<String>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                names.extend(target.strip_prefix(GENERATED_PREFIX).map(str::to_owned));
            }
            fields
                .values()
                .for_each(|field| collect_references(field, names, depth + 1));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_references(item, names, depth + 1)),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// Points references to where the dialect keeps definitions. Version 3 lets nothing stand beside a reference, so a
/// reference with a description is wrapped.
fn rewrite(value: &mut Value, dialect: Dialect, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(fields) => {
            let prefix = match dialect {
                Dialect::V2 => "#/definitions/",
                Dialect::V3 => "#/components/schemas/",
            };
            let target = match fields.get("$ref") {
                Some(Value::String(target)) => target
                    .strip_prefix(GENERATED_PREFIX)
                    .map(|name| format!("{prefix}{name}")),
                _ => None,
            };
            if let Some(target) = target {
                if dialect == Dialect::V3 && fields.len() > 1 {
                    fields.remove("$ref");
                    fields.insert("allOf".to_owned(), json!([{"$ref": target}]));
                } else {
                    fields.insert("$ref".to_owned(), json!(target));
                }
                return;
            }
            fields
                .values_mut()
                .for_each(|field| rewrite(field, dialect, depth + 1));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| rewrite(item, dialect, depth + 1)),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

fn path_item(path: &Path, resource: &ServedResource<'_>, dialect: Dialect) -> Value {
    let mut item = Map::new();
    for operation in &path.operations {
        let mut described = common(operation, path, resource);
        match dialect {
            Dialect::V2 => describe_v2(operation, &mut described),
            Dialect::V3 => describe_v3(operation, &mut described),
        }
        item.insert(operation.method.to_owned(), Value::Object(described));
    }
    if !path.placeholders.is_empty() {
        let parameters = path.placeholders.iter().map(|(name, description)| {
            let mut parameter =
                json!({"name": name, "in": "path", "required": true, "description": description});
            set_type(&mut parameter, "string", dialect);
            parameter
        });
        item.insert("parameters".to_owned(), parameters.collect());
    }
    Value::Object(item)
}

fn query_parameters(operation: &Operation, dialect: Dialect) -> Vec<Value> {
    let parameters = operation.parameters.iter().map(|(name, type_, description)| {
        let mut parameter = json!({"name": name, "in": "query", "description": description});
        set_type(&mut parameter, type_, dialect);
        parameter
    });
    parameters.collect()
}

fn set_type(parameter: &mut Value, type_: &str, dialect: Dialect) {
    let Some(parameter) = parameter.as_object_mut() else {
        return;
    };
    match dialect {
        Dialect::V2 => {
            parameter.insert("type".to_owned(), json!(type_));
            parameter.insert("uniqueItems".to_owned(), json!(true));
        }
        Dialect::V3 => {
            parameter.insert("schema".to_owned(), json!({"type": type_, "uniqueItems": true}));
        }
    }
}

fn describe_v3(operation: &Operation, described: &mut Map<String, Value>) {
    let content = |types: &[&str], definition: &str| -> Value {
        let content: Map<String, Value> = types
            .iter()
            .map(|type_| ((*type_).to_owned(), json!({"schema": reference(definition)})))
            .collect();
        Value::Object(content)
    };
    described.insert(
        "parameters".to_owned(),
        query_parameters(operation, Dialect::V3).into(),
    );
    if let Some((types, definition)) = &operation.body {
        described.insert(
            "requestBody".to_owned(),
            json!({"content": content(types, definition), "required": true}),
        );
    }
    let answers = operation.codes.iter().map(|(code, text)| {
        let answer = json!({"description": text, "content": content(&PRODUCED, &operation.answer)});
        ((*code).to_owned(), answer)
    });
    let unauthorized = ("401".to_owned(), json!({"description": "Unauthorized"}));
    described.insert(
        "responses".to_owned(),
        Value::Object(answers.chain([unauthorized]).collect()),
    );
}

fn describe_v2(operation: &Operation, described: &mut Map<String, Value>) {
    let mut parameters = query_parameters(operation, Dialect::V2);
    if let Some((types, definition)) = &operation.body {
        parameters.insert(
            0,
            json!({"name": "body", "in": "body", "required": true, "schema": reference(definition)}),
        );
        described.insert("consumes".to_owned(), json!(types));
    }
    described.insert("parameters".to_owned(), Value::Array(parameters));
    described.insert("produces".to_owned(), json!(PRODUCED));
    let answers = operation.codes.iter().map(|(code, text)| {
        (
            (*code).to_owned(),
            json!({"description": text, "schema": reference(&operation.answer)}),
        )
    });
    let unauthorized = ("401".to_owned(), json!({"description": "Unauthorized"}));
    described.insert(
        "responses".to_owned(),
        Value::Object(answers.chain([unauthorized]).collect()),
    );
}
