//! What is known about an object's type when it is merged: its schema, that of `metadata`, or nothing.
//!
//! A custom resource brings its own schema. The built-in kinds have small ones here that say what merging needs: which
//! lists have keys and which maps are one value. Where nothing is known the shape is deduced: maps are granular, lists
//! are one value.

use std::sync::OnceLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::{Value, json};

use super::set::Step;
use crate::api::schema::{CompiledSchema, Embedded, JsonType, ListType, MapType, Node};

/// How to merge objects of one kind.
#[derive(Clone, Copy, Debug)]
pub struct TypeInfo<'a> {
    schema: Option<&'a CompiledSchema>,
}

impl<'a> TypeInfo<'a> {
    /// A custom resource, by its schema.
    #[must_use]
    pub fn custom(schema: &'a CompiledSchema) -> Self {
        Self { schema: Some(schema) }
    }

    /// A kind of Kubernetes' own, such as `("", "ConfigMap")`; an unknown one is merged by its looks.
    #[must_use]
    pub fn builtin(group: &str, kind: &str) -> Self {
        static CORE: OnceLock<Option<CompiledSchema>> = OnceLock::new();
        static BINDING: OnceLock<Option<CompiledSchema>> = OnceLock::new();
        static ACCOUNT: OnceLock<Option<CompiledSchema>> = OnceLock::new();
        let schema = match (group, kind) {
            ("", "ServiceAccount") => ACCOUNT.get_or_init(|| compile(&service_account())),
            ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
                BINDING.get_or_init(|| compile(&binding()))
            }
            ("", _)
            | ("events.k8s.io", "Event")
            | ("coordination.k8s.io", "Lease")
            | ("rbac.authorization.k8s.io", "Role" | "ClusterRole")
            | ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                CORE.get_or_init(|| compile(&builtin()))
            }
            _ => &None,
        };
        Self {
            schema: schema.as_ref(),
        }
    }

    pub(super) fn root(self) -> Shape<'a> {
        Shape {
            node: self.schema.map(CompiledSchema::root),
            is_resource: true,
        }
    }
}

/// What merging takes a value for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    List,
    Map,
    Numeric,
    /// A number or a text.
    Scalar,
    String,
}

/// The type of one value inside an object.
#[derive(Clone, Copy)]
pub(super) struct Shape<'a> {
    node: Option<&'a Node>,
    is_resource: bool,
}

impl<'a> Shape<'a> {
    fn of(node: Option<&'a Node>) -> Self {
        Self {
            node,
            is_resource: node.is_some_and(|node| node.resource == Embedded::Yes),
        }
    }

    /// The type of a field.
    pub(super) fn field(self, name: &str) -> Self {
        if self.is_resource && name == "metadata" {
            return Self::of(metadata());
        }
        Self::of(self.node.and_then(|node| node.field(name)))
    }

    /// Whether the type names the field, as opposed to it being a key of a map.
    pub(super) fn names(self, name: &str) -> bool {
        (self.is_resource && matches!(name, "apiVersion" | "kind" | "metadata"))
            || self.node.is_some_and(|node| node.properties.contains_key(name))
    }

    /// What a value has to be; nothing where that is not known.
    pub(super) fn kind(self) -> Option<Kind> {
        let types = &self.node?.types;
        match types.single() {
            Some(JsonType::Array) => Some(Kind::List),
            Some(JsonType::Boolean) => Some(Kind::Boolean),
            Some(JsonType::Integer | JsonType::Number) => Some(Kind::Numeric),
            Some(JsonType::Object) => Some(Kind::Map),
            Some(JsonType::String) => Some(Kind::String),
            None => (!types.is_empty()).then_some(Kind::Scalar),
        }
    }

    /// The type of the items of a list.
    pub(super) fn item(self) -> Self {
        Self::of(self.node.and_then(|node| node.items.as_deref()))
    }

    pub(super) fn is_atomic_map(self) -> bool {
        self.node.is_some_and(|node| node.map_type == MapType::Atomic)
    }

    pub(super) fn is_atomic_list(self) -> bool {
        self.node.is_none_or(|node| node.list_type == ListType::Atomic)
    }

    /// The fields that tell the items of a list apart.
    pub(super) fn keys(self) -> &'a [String] {
        match self.node.map(|node| &node.list_type) {
            Some(ListType::Map(keys)) => keys,
            _ => &[],
        }
    }

    /// The step that leads to an item of a list that is not atomic; nothing for an item that cannot be told apart.
    pub(super) fn step(self, item: &Value) -> Option<Step> {
        match &self.node?.list_type {
            ListType::Atomic => None,
            ListType::Set => {
                (!item.is_object() && !item.is_array() && !item.is_null()).then(|| Step::value(item))
            }
            ListType::Map(keys) => {
                let fields = item.as_object()?;
                let item_node = self.node.and_then(|node| node.items.as_deref());
                let default = |key: &str| item_node?.properties.get(key)?.default();
                let identity: serde_json::Map<String, Value> = keys
                    .iter()
                    .filter_map(|key| Some((key.clone(), fields.get(key).or_else(|| default(key))?.clone())))
                    .collect();
                (!identity.is_empty()).then(|| Step::keys(&Value::Object(identity)))
            }
        }
    }
}

fn compile(schema: &Value) -> Option<CompiledSchema> {
    let schema: JSONSchemaProps = serde_json::from_value(schema.clone()).ok()?;
    CompiledSchema::trusted(&schema).ok()
}

fn metadata() -> Option<&'static Node> {
    static METADATA: OnceLock<Option<CompiledSchema>> = OnceLock::new();
    METADATA
        .get_or_init(|| compile(&object_meta()))
        .as_ref()
        .map(CompiledSchema::root)
}

fn object_meta() -> Value {
    let text = json!({"type": "string"});
    let map = json!({"type": "object", "additionalProperties": text});
    json!({"type": "object", "properties": {
        "annotations": map, "creationTimestamp": text, "deletionGracePeriodSeconds": {"type": "integer"},
        "deletionTimestamp": text,
        "finalizers": {"type": "array", "x-kubernetes-list-type": "set", "items": text},
        "generateName": text, "generation": {"type": "integer"}, "labels": map,
        "managedFields": {"type": "array", "items": {"type": "object"}},
        "name": text, "namespace": text,
        "ownerReferences": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
            "items": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"uid": text}}},
        "resourceVersion": text, "selfLink": text, "uid": text,
    }})
}

fn keyed(key: &str) -> Value {
    json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key],
        "items": {"type": "object", "properties": {key: {"type": "string"}}, "additionalProperties": true}})
}

/// The kinds that need no schema of their own, in one: their fields do not contradict each other.
fn builtin() -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": text});
    let reference = json!({"type": "object", "x-kubernetes-map-type": "atomic"});
    let atomic_list = json!({"type": "array", "items": {}});
    json!({"type": "object", "properties": {
        "binaryData": texts, "data": texts, "stringData": texts, "immutable": {"type": "boolean"}, "type": text,
        "rules": atomic_list,
        "aggregationRule": {"type": "object", "properties": {"clusterRoleSelectors": atomic_list}},
        "involvedObject": reference, "regarding": reference, "related": reference,
        "source": {"type": "object", "properties": {"component": text, "host": text}},
        "spec": {"type": "object", "properties": {
            "acquireTime": text, "holderIdentity": text, "leaseDurationSeconds": {"type": "integer"},
            "leaseTransitions": {"type": "integer"}, "preferredHolder": text, "renewTime": text, "strategy": text,
            "conversion": {"type": "object", "properties": {"strategy": text}}, "finalizers": atomic_list, "group": text,
            "names": names(), "preserveUnknownFields": {"type": "boolean"}, "scope": text, "versions": atomic_list}},
        "status": {"type": "object", "properties": {"acceptedNames": names(), "conditions": keyed("type"), "phase": text,
            "storedVersions": atomic_list}},
    }})
}

fn names() -> Value {
    let text = json!({"type": "string"});
    json!({"type": "object", "properties": {"categories": {"type": "array", "items": {}}, "kind": text, "listKind": text,
        "plural": text, "shortNames": {"type": "array", "items": {}}, "singular": text}})
}

fn binding() -> Value {
    json!({"type": "object", "properties": {
        "roleRef": {"type": "object", "x-kubernetes-map-type": "atomic"},
        "subjects": {"type": "array", "items": {}},
    }})
}

fn service_account() -> Value {
    json!({"type": "object", "properties": {
        "automountServiceAccountToken": {"type": "boolean"},
        "imagePullSecrets": {"type": "array", "items": {}},
        "secrets": keyed("name"),
    }})
}
