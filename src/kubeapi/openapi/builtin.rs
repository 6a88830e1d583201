//! The definitions of Kubernetes' own types, as `k8s-openapi` knows them.

use std::sync::OnceLock;

use k8s_openapi::api::authentication::v1 as authentication;
use k8s_openapi::api::authorization::v1 as authorization;
use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::events::v1 as events;
use k8s_openapi::api::rbac::v1 as rbac;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

/// The prefix of references as the generator writes them.
pub(super) const GENERATED_PREFIX: &str = "#/$defs/";

/// All definitions by name, with references in the generator's form.
pub(super) fn definitions() -> &'static Map<String, Value> {
    static DEFINITIONS: OnceLock<Map<String, Value>> = OnceLock::new();
    DEFINITIONS.get_or_init(generate)
}

/// The text that describes a field of a definition; empty if there is none.
pub(crate) fn description(definition: &str, field: &str) -> String {
    let field = definitions()
        .get(definition)
        .and_then(|definition| definition.get("properties")?.get(field));
    field
        .and_then(|field| field.get("description")?.as_str())
        .unwrap_or_default()
        .to_owned()
}

/// The properties `apiVersion` and `kind`, which all kinds have.
pub(super) fn type_properties() -> Map<String, Value> {
    let properties = definitions()
        .get("io.k8s.api.core.v1.ConfigMap")
        .and_then(|definition| definition.get("properties")?.as_object())
        .into_iter()
        .flatten();
    properties
        .filter(|(name, _)| matches!(name.as_str(), "apiVersion" | "kind"))
        .map(|(name, property)| (name.clone(), property.clone()))
        .collect()
}

fn generate() -> Map<String, Value> {
    let mut generator = SchemaGenerator::default();
    macro_rules! define {
        ($($type:ty),* $(,)?) => { $( generator.subschema_for::<$type>(); )* };
    }
    define!(
        core::ConfigMap,
        core::Event,
        core::LimitRange,
        core::Namespace,
        core::ResourceQuota,
        core::Secret,
        core::Service,
        core::ServiceAccount,
        events::Event,
        coordination::Lease,
        rbac::ClusterRole,
        rbac::ClusterRoleBinding,
        rbac::Role,
        rbac::RoleBinding,
        authentication::SelfSubjectReview,
        authentication::TokenRequest,
        authentication::TokenReview,
        authentication::TokenRequest,
        authentication::TokenReview,
        authorization::LocalSubjectAccessReview,
        authorization::SelfSubjectAccessReview,
        authorization::SelfSubjectRulesReview,
        authorization::SubjectAccessReview,
        apiextensions::CustomResourceDefinition,
        meta::DeleteOptions,
        meta::ListMeta,
        meta::ObjectMeta,
        meta::Patch,
        meta::Status,
    );
    let mut definitions = generator.take_definitions(true);
    for definition in definitions.values_mut() {
        forget_required_metadata(definition);
    }
    for (definition, field, extensions) in list_types() {
        let property = definitions
            .get_mut(definition)
            .and_then(|definition| definition.get_mut("properties")?.get_mut(field)?.as_object_mut());
        if let (Some(property), Value::Object(extensions)) = (property, extensions) {
            property.extend(extensions);
        }
    }
    definitions
}

/// The client library always has metadata, so its schemas demand it; those of the API server do not.
fn forget_required_metadata(definition: &mut Value) {
    let is_kind = definition.pointer("/properties/apiVersion").is_some()
        && definition.pointer("/properties/kind").is_some();
    let Some(definition) = definition.as_object_mut().filter(|_| is_kind) else {
        return;
    };
    let Some(Value::Array(required)) = definition.get_mut("required") else {
        return;
    };
    required.retain(|name| name != "metadata");
    if required.is_empty() {
        definition.remove("required");
    }
}

/// How the lists of these types merge, which the client library's schemas leave out.
fn list_types() -> [(&'static str, &'static str, Value); 4] {
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let map = |key: &str| {
        json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key],
            "x-kubernetes-patch-merge-key": key, "x-kubernetes-patch-strategy": "merge"})
    };
    [
        (
            meta,
            "finalizers",
            json!({"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"}),
        ),
        (meta, "ownerReferences", map("uid")),
        ("io.k8s.api.core.v1.NamespaceStatus", "conditions", map("type")),
        ("io.k8s.api.core.v1.ServiceAccount", "secrets", map("name")),
    ]
}
