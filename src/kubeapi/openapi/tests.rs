//! Stories about what clients learn from the documents.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::{Value, json};

use super::{ResourceSchema, ServedResource, v2, v3_group, v3_index};

const ALL: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

fn device() -> JSONSchemaProps {
    serde_json::from_value(json!({"type": "object", "description": "A device.", "required": ["spec"], "properties": {
        "metadata": {"type": "object"},
        "spec": {"type": "object", "description": "What is wanted.", "properties": {
            "assetTag": {"type": "string", "nullable": true, "description": "As on the sticker."},
            "size": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}},
        "status": {"type": "object", "default": {"observedGeneration": -1},
            "properties": {"observedGeneration": {"type": "integer"}}}}}))
    .unwrap()
}

fn resources(schema: &JSONSchemaProps) -> Vec<ServedResource<'_>> {
    let builtin = |group, kind, list_kind, plural, namespaced| ServedResource {
        group,
        version: "v1",
        kind,
        list_kind,
        plural,
        namespaced,
        has_status: false,
        verbs: &ALL,
        schema: ResourceSchema::Builtin,
    };
    vec![
        builtin("", "ConfigMap", "ConfigMapList", "configmaps", true),
        builtin("", "Namespace", "NamespaceList", "namespaces", false),
        builtin("rbac.authorization.k8s.io", "Role", "RoleList", "roles", true),
        builtin(
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            "CustomResourceDefinitionList",
            "customresourcedefinitions",
            false,
        ),
        ServedResource {
            verbs: &["create"],
            ..builtin(
                "authorization.k8s.io",
                "SelfSubjectAccessReview",
                "SelfSubjectAccessReviewList",
                "selfsubjectaccessreviews",
                false,
            )
        },
        ServedResource {
            group: "provost.dev",
            version: "v1alpha1",
            kind: "Device",
            list_kind: "DeviceList",
            plural: "devices",
            namespaced: true,
            has_status: true,
            verbs: &ALL,
            schema: ResourceSchema::Custom(schema),
        },
    ]
}

/// Every reference in a document leads somewhere.
fn check_references(document: &Value) {
    let mut pending = vec![document];
    let mut seen = 0;
    while let Some(value) = pending.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    let pointer = target.strip_prefix('#').expect("a reference into the document");
                    assert!(document.pointer(pointer).is_some(), "{target}");
                    seen += 1;
                }
                pending.extend(fields.values());
            }
            Value::Array(items) => pending.extend(items),
            _ => {}
        }
    }
    assert!(seen > 10);
}

#[test]
fn the_index_names_each_group_version_under_a_url_of_its_content() {
    let schema = device();
    let index = v3_index(&resources(&schema));
    let paths: Vec<&String> = index["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "api/v1",
            "apis/apiextensions.k8s.io/v1",
            "apis/authorization.k8s.io/v1",
            "apis/provost.dev/v1alpha1",
            "apis/rbac.authorization.k8s.io/v1"
        ]
    );
    let url = |index: &Value, path: &str| {
        index["paths"][path]["serverRelativeURL"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let before = url(&index, "apis/provost.dev/v1alpha1");
    assert!(
        before.starts_with("/openapi/v3/apis/provost.dev/v1alpha1?hash="),
        "{before}"
    );
    let changed = JSONSchemaProps {
        description: Some("Changed.".to_owned()),
        ..device()
    };
    let after = v3_index(&resources(&changed));
    assert_ne!(url(&after, "apis/provost.dev/v1alpha1"), before);
    assert_eq!(url(&after, "api/v1"), url(&index, "api/v1"));
    assert_eq!(v3_group(&resources(&schema), "apps", "v1"), None);
}

#[test]
fn a_custom_resource_can_be_explained_to_any_depth() {
    let schema = device();
    let document = v3_group(&resources(&schema), "provost.dev", "v1alpha1").unwrap();
    check_references(&document);
    let list = &document["paths"]["/apis/provost.dev/v1alpha1/namespaces/{namespace}/devices"]["get"];
    assert_eq!(
        list["x-kubernetes-group-version-kind"],
        json!({"group": "provost.dev", "version": "v1alpha1", "kind": "Device"})
    );
    assert_eq!(list["operationId"], "listProvostDevV1alpha1NamespacedDevice");
    let schemas = &document["components"]["schemas"];
    let device = &schemas["dev.provost.v1alpha1.Device"];
    assert_eq!(
        device["x-kubernetes-group-version-kind"],
        json!([{"group": "provost.dev", "version": "v1alpha1", "kind": "Device"}])
    );
    assert_eq!(
        device["properties"]["metadata"]["allOf"],
        json!([{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}])
    );
    assert_eq!(
        device["properties"]["spec"]["properties"]["assetTag"]["description"],
        "As on the sticker."
    );
    assert_eq!(
        device["properties"]["spec"]["properties"]["template"]["required"],
        json!(["kind", "apiVersion"])
    );
    assert_eq!(
        schemas["dev.provost.v1alpha1.DeviceList"]["properties"]["items"]["items"],
        json!({"$ref": "#/components/schemas/dev.provost.v1alpha1.Device"})
    );
    let owner = &schemas["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]["ownerReferences"];
    assert_eq!(owner["x-kubernetes-patch-merge-key"], "uid");
}

#[test]
fn kubectl_finds_what_a_patch_may_be_asked() {
    let schema = device();
    let patch = |group, version, path: &str| {
        v3_group(&resources(&schema), group, version).unwrap()["paths"][path]["patch"].clone()
    };
    let device = patch(
        "provost.dev",
        "v1alpha1",
        "/apis/provost.dev/v1alpha1/namespaces/{namespace}/devices/{name}",
    );
    let names: Vec<&str> = device["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parameter| parameter["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["pretty", "dryRun", "fieldManager", "fieldValidation", "force"]
    );
    let strategic = "application/strategic-merge-patch+json";
    assert!(device["requestBody"]["content"].get(strategic).is_none());
    assert!(
        device["requestBody"]["content"]
            .get("application/apply-patch+yaml")
            .is_some()
    );
    let map = patch("", "v1", "/api/v1/namespaces/{namespace}/configmaps/{name}");
    assert!(map["requestBody"]["content"].get(strategic).is_some());
}

#[test]
fn built_in_kinds_do_not_demand_metadata_and_reviews_can_only_be_created() {
    let schema = device();
    let core = v3_group(&resources(&schema), "", "v1").unwrap();
    check_references(&core);
    let map = &core["components"]["schemas"]["io.k8s.api.core.v1.ConfigMap"];
    assert!(map.get("required").is_none());
    assert_eq!(map["properties"]["data"]["type"], "object");
    let reviews = v3_group(&resources(&schema), "authorization.k8s.io", "v1").unwrap();
    let paths = reviews["paths"].as_object().unwrap();
    assert_eq!(
        paths.keys().collect::<Vec<_>>(),
        ["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"]
    );
    assert_eq!(
        paths
            .values()
            .next()
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .collect::<Vec<_>>(),
        ["post"]
    );
    let definitions = v3_group(&resources(&schema), "apiextensions.k8s.io", "v1").unwrap();
    check_references(&definitions);
}

#[test]
fn version_2_says_what_it_can() {
    let schema = device();
    let document = v2(&resources(&schema));
    check_references(&document);
    assert_eq!(document["swagger"], "2.0");
    let device = &document["definitions"]["dev.provost.v1alpha1.Device"];
    let spec = &device["properties"]["spec"]["properties"];
    assert_eq!(spec["assetTag"], json!({"description": "As on the sticker."}));
    assert_eq!(spec["size"], json!({"x-kubernetes-int-or-string": true}));
    assert_eq!(
        device["properties"]["metadata"]["$ref"],
        "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    );
    let post = &document["paths"]["/apis/provost.dev/v1alpha1/namespaces/{namespace}/devices"]["post"];
    assert_eq!(
        post["parameters"][0]["schema"],
        json!({"$ref": "#/definitions/dev.provost.v1alpha1.Device"})
    );
}
