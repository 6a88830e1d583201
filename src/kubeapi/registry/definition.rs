//! Custom resource definitions: what a valid one is, the status it gets, and the resources it makes.

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionVersion,
};
use serde_json::{Map, Value, json};

use super::resource::{Resource, api_version, storage_key};
use crate::api::schema::{CompiledSchema, FieldError, SchemaError};
use crate::kubeapi::object;
use crate::kubeapi::table::Columns;

/// Holds a definition until its objects are gone.
pub(crate) const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Versions one definition may have.
const MAX_VERSIONS: usize = 20;

/// Fills in what the author of a definition may leave out.
pub(crate) fn default(definition: &mut Value) {
    let Some(spec) = definition.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    spec.entry("conversion")
        .or_insert_with(|| json!({ "strategy": "None" }));
    let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) else {
        return;
    };
    let kind = names.get("kind").and_then(Value::as_str).unwrap_or("").to_owned();
    if kind.is_empty() {
        return;
    }
    fill(names, "singular", kind.to_lowercase());
    fill(names, "listKind", format!("{kind}List"));
}

fn fill(names: &mut Map<String, Value>, field: &str, value: String) {
    if names.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
        names.insert(field.to_owned(), Value::String(value));
    }
}

/// What is wrong with a definition.
#[must_use]
pub(crate) fn validate(definition: &Value) -> Vec<FieldError> {
    let typed: CustomResourceDefinition = match serde::Deserialize::deserialize(definition) {
        Ok(typed) => typed,
        Err(error) => return vec![FieldError::invalid("spec", &Value::Null, &error.to_string())],
    };
    let mut errors = Vec::new();
    let (spec, names) = (&typed.spec, &typed.spec.names);
    let expected = format!("{}.{}", names.plural, spec.group);
    let name = object::text(definition, "name");
    if name != expected {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", &json!(name), detail));
    }
    if spec.group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
    } else if !spec.group.contains('.') {
        let detail = "should be a domain with at least one dot";
        errors.push(FieldError::invalid("spec.group", &json!(spec.group), detail));
    }
    errors.extend(check_names(names));
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| spec.group == *domain || spec.group.ends_with(&format!(".{domain}")));
    let approval = "api-approved.kubernetes.io";
    let annotations = object::metadata(definition).and_then(|metadata| metadata.get("annotations"));
    if protected
        && annotations
            .and_then(|annotations| annotations.get(approval))
            .is_none()
    {
        let detail = format!(
            "protected groups must have approval annotation {approval:?}, see \
             https://github.com/kubernetes/enhancements/pull/1111"
        );
        errors.push(FieldError::required(
            format!("metadata.annotations[{approval}]"),
            &detail,
        ));
    }
    if spec.scope.is_empty() {
        errors.push(FieldError::required("spec.scope", ""));
    } else if !matches!(spec.scope.as_str(), "Namespaced" | "Cluster") {
        let supported = [json!("Cluster"), json!("Namespaced")];
        errors.push(FieldError::not_supported(
            "spec.scope",
            &json!(spec.scope),
            &supported,
        ));
    }
    if spec
        .conversion
        .as_ref()
        .is_some_and(|conversion| conversion.strategy != "None")
    {
        let strategy = spec
            .conversion
            .as_ref()
            .map(|conversion| conversion.strategy.clone());
        errors.push(FieldError::not_supported(
            "spec.conversion.strategy",
            &json!(strategy),
            &[json!("None")],
        ));
    }
    if spec.preserve_unknown_fields == Some(true) {
        let detail = "must be false in order to use defaults in the schema";
        errors.push(FieldError::invalid(
            "spec.preserveUnknownFields",
            &json!(true),
            detail,
        ));
    }
    errors.extend(validate_versions(&spec.versions));
    if typed
        .status
        .is_none_or(|status| status.stored_versions.unwrap_or_default().is_empty())
    {
        let detail = "must have at least one stored version";
        errors.push(FieldError::invalid("status.storedVersions", &Value::Null, detail));
    }
    errors
}

/// A version as the API server shows it: in its internal form. What is long, such as the schema, is left out.
fn shown(version: &CustomResourceDefinitionVersion) -> String {
    let warning = version
        .deprecation_warning
        .as_deref()
        .map_or(Value::Null, Value::from);
    format!(
        "{{\"Name\":{},\"Served\":{},\"Storage\":{},\"Deprecated\":{},\"DeprecationWarning\":{warning},\"Schema\":null,\
         \"Subresources\":null,\"AdditionalPrinterColumns\":null,\"SelectableFields\":null}}",
        Value::from(version.name.as_str()),
        version.served,
        version.storage,
        version.deprecated.unwrap_or(false),
    )
}

const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                          character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
                          validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

fn check_names(names: &CustomResourceDefinitionNames) -> Vec<FieldError> {
    let is_label = |text: &str| {
        let bytes = text.as_bytes();
        let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.last().copied().is_some_and(good)
            && bytes.iter().all(|&c| good(c) || c == b'-')
            && bytes.len() <= 63
    };
    let mut errors = Vec::new();
    let mut check = |field: String, text: &str, mixed: bool| {
        let plain = if mixed {
            text.to_lowercase()
        } else {
            text.to_owned()
        };
        if text.is_empty() {
            errors.push(FieldError::required(field, ""));
        } else if !is_label(&plain) {
            let start = if mixed {
                "may have mixed case, but should otherwise match: "
            } else {
                ""
            };
            errors.push(FieldError::invalid(
                field,
                &json!(text),
                &format!("{start}{LABEL_1035}"),
            ));
        }
    };
    check("spec.names.plural".to_owned(), &names.plural, false);
    check(
        "spec.names.singular".to_owned(),
        names.singular.as_deref().unwrap_or(""),
        false,
    );
    check("spec.names.kind".to_owned(), &names.kind, true);
    check(
        "spec.names.listKind".to_owned(),
        names.list_kind.as_deref().unwrap_or(""),
        true,
    );
    for (list, texts) in [
        ("shortNames", &names.short_names),
        ("categories", &names.categories),
    ] {
        for (index, text) in texts.iter().flatten().enumerate() {
            check(format!("spec.names.{list}[{index}]"), text, false);
        }
    }
    errors
}

fn validate_versions(versions: &[CustomResourceDefinitionVersion]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if versions.len() > MAX_VERSIONS {
        errors.push(FieldError::invalid(
            "spec.versions",
            &json!(versions.len()),
            "too many versions",
        ));
        return errors;
    }
    if versions.iter().filter(|version| version.storage).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        let shown: Vec<String> = versions.iter().map(shown).collect();
        let shown = if shown.is_empty() {
            "null".to_owned()
        } else {
            format!("[{}]", shown.join(","))
        };
        errors.push(FieldError::verbatim("spec.versions".to_owned(), &shown, detail));
    }
    for (index, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{index}]");
        if version.name.is_empty()
            || versions
                .iter()
                .take(index)
                .any(|other| other.name == version.name)
        {
            errors.push(FieldError::invalid(
                format!("{path}.name"),
                &json!(version.name),
                "must be set and unique",
            ));
        }
        let schema = version
            .schema
            .as_ref()
            .and_then(|schema| schema.open_api_v3_schema.as_ref());
        let path = match versions {
            // The API server keeps the schema of an only version at the top.
            [_] if schema.is_some() => "spec.validation.openAPIV3Schema".to_owned(),
            _ => format!("{path}.schema.openAPIV3Schema"),
        };
        match schema {
            None => errors.push(FieldError::required(path, "")),
            Some(schema) => match CompiledSchema::compile_at(&path, schema) {
                Ok(_) => {}
                Err(SchemaError::Invalid(found)) => errors.extend(found),
                Err(error) => errors.push(FieldError::invalid(path, &Value::Null, &error.to_string())),
            },
        }
    }
    errors
}

/// The resources a definition makes, one per served version; none when it cannot be read.
#[must_use]
pub(crate) fn resources(definition: &Value) -> Vec<Arc<Resource>> {
    let Ok(typed) = <CustomResourceDefinition as serde::Deserialize>::deserialize(definition) else {
        return Vec::new();
    };
    let terminating = object::is_terminating(definition);
    let schema_since = object::text(definition, "resourceVersion")
        .parse()
        .unwrap_or(i64::MAX);
    let spec = typed.spec;
    let Some(names) = typed.status.and_then(|status| status.accepted_names) else {
        return Vec::new();
    };
    let storage = storage_key(&spec.group, &names.plural);
    let stored = spec
        .versions
        .iter()
        .find(|version| version.storage)
        .map(|version| version.name.clone());
    let stored_as = api_version(&spec.group, &stored.unwrap_or_default());
    let mut resources = Vec::new();
    let mut stored_schema = None;
    // The version that is stored comes first: the others go by its schema, too.
    let mut versions = spec.versions;
    versions.retain(|version| version.served || version.storage);
    versions.sort_by_key(|version| !version.storage);
    for version in versions {
        let properties = version
            .schema
            .and_then(|schema| schema.open_api_v3_schema)
            .map(Arc::new);
        let schema = properties.as_deref().map(CompiledSchema::trusted).transpose();
        let Ok(schema) = schema else {
            tracing::error!(
                definition = storage.as_ref(),
                version = version.name,
                "a stored schema does not compile"
            );
            continue;
        };
        let schema = schema.map(Arc::new);
        if version.storage {
            stored_schema.clone_from(&schema);
        }
        if !version.served {
            continue;
        }
        let subresources = version.subresources.unwrap_or_default();
        let selectable = version.selectable_fields.unwrap_or_default();
        resources.push(Arc::new(Resource {
            group: spec.group.clone(),
            version: version.name,
            kind: names.kind.clone(),
            list_kind: names
                .list_kind
                .clone()
                .unwrap_or_else(|| format!("{}List", names.kind)),
            plural: names.plural.clone(),
            singular: names
                .singular
                .clone()
                .unwrap_or_else(|| names.kind.to_lowercase()),
            short_names: names.short_names.clone().unwrap_or_default(),
            categories: names.categories.clone().unwrap_or_default(),
            namespaced: spec.scope == "Namespaced",
            storage: Arc::clone(&storage),
            stored_as: stored_as.clone(),
            status: subresources.status.is_some(),
            scale: subresources.scale,
            schema,
            stored_schema: stored_schema.clone(),
            schema_since,
            properties,
            columns: Columns::custom(&version.additional_printer_columns.unwrap_or_default()),
            selectable: selectable
                .into_iter()
                .map(|field| field.json_path.trim_start_matches('.').to_owned())
                .collect(),
            built_in: None,
            terminating,
        }));
    }
    resources
}
