//! The CustomResourceDefinitions, made from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;
use serde_json::json;

use super::{
    Assignment, Baseline, Device, DeviceGroup, GitSource, Profile, PushCertificate, Waiver, unobserved,
};

/// Every definition, in the order people meet the kinds.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    [
        GitSource::crd(),
        Baseline::crd(),
        Profile::crd(),
        DeviceGroup::crd(),
        Assignment::crd(),
        Waiver::crd(),
        Device::crd(),
        PushCertificate::crd(),
    ]
    .into_iter()
    .map(finish)
    .collect()
}

/// The file name of a definition in `crds/`.
#[must_use]
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}.yaml", crd.spec.names.plural)
}

/// A definition as it is committed in `crds/` and printed by `provost crd`.
///
/// # Errors
/// Never in practice: every part of a definition can be written as YAML.
pub fn yaml(crd: &CustomResourceDefinition) -> Result<String, serde_yaml::Error> {
    Ok(format!(
        "# Made by `make crds` from src/api; do not edit.\n{}",
        serde_yaml::to_string(crd)?
    ))
}

/// What the derive cannot say: a fresh object's status starts with `observedGeneration: -1`, an absent field is absent
/// and never null, and the root says as much as the spec does.
fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(root) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        without_null(root);
        let Some(properties) = root.properties.as_mut() else {
            continue;
        };
        if let Some(status) = properties.get_mut("status") {
            status.default = Some(JSON(json!({ "observedGeneration": unobserved() })));
        }
        let about = properties.get("spec").and_then(|spec| spec.description.clone());
        root.description = about.or_else(|| root.description.take());
    }
    crd
}

fn without_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema
        .properties
        .iter_mut()
        .flat_map(std::collections::BTreeMap::values_mut)
        .for_each(without_null);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => without_null(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(without_null),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        without_null(values);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_definitions_are_fresh() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        let mut expected: Vec<String> = all().iter().map(file_name).collect();
        for crd in all() {
            let committed = std::fs::read_to_string(folder.join(file_name(&crd))).unwrap_or_default();
            assert_eq!(
                committed,
                yaml(&crd).unwrap(),
                "crds/{} is stale: run `make crds`",
                file_name(&crd)
            );
        }
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "crds/ holds exactly one file a kind");
    }

    #[test]
    fn every_field_is_documented() {
        fn look(path: &str, schema: &JSONSchemaProps) {
            for (name, property) in schema.properties.iter().flatten() {
                let path = format!("{path}.{name}");
                assert!(property.description.is_some(), "{path} has no description");
                look(&path, property);
            }
            if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
                look(&format!("{path}[]"), item);
            }
        }
        for crd in all() {
            for version in &crd.spec.versions {
                look(
                    &crd.spec.names.kind,
                    version
                        .schema
                        .as_ref()
                        .unwrap()
                        .open_api_v3_schema
                        .as_ref()
                        .unwrap(),
                );
            }
        }
    }
}
