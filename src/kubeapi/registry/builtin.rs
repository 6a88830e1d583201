//! The resources that are served without a definition.

use std::sync::Arc;

use k8s_openapi::api::{coordination, core, events, rbac};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::resource::{Resource, api_version, storage_key};
use crate::kubeapi::table::Columns;

/// Which built-in a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuiltIn {
    /// `v1 ConfigMap`
    ConfigMap,
    /// `rbac.authorization.k8s.io/v1 ClusterRole`
    ClusterRole,
    /// `rbac.authorization.k8s.io/v1 ClusterRoleBinding`
    ClusterRoleBinding,
    /// `apiextensions.k8s.io/v1 CustomResourceDefinition`
    Definition,
    /// `v1 Event`
    Event,
    /// `events.k8s.io/v1 Event`: the same objects in newer words.
    EventV1,
    /// `coordination.k8s.io/v1 Lease`
    Lease,
    /// `v1 LimitRange`, of which there are none.
    LimitRange,
    /// `authorization.k8s.io/v1 LocalSubjectAccessReview`
    LocalSubjectAccessReview,
    /// `v1 Namespace`
    Namespace,
    /// `v1 ResourceQuota`, of which there are none.
    ResourceQuota,
    /// `rbac.authorization.k8s.io/v1 Role`
    Role,
    /// `rbac.authorization.k8s.io/v1 RoleBinding`
    RoleBinding,
    /// `v1 Secret`
    Secret,
    /// `authentication.k8s.io/v1 SelfSubjectReview`
    SelfSubjectReview,
    /// `authorization.k8s.io/v1 SelfSubjectAccessReview`
    SelfSubjectAccessReview,
    /// `authorization.k8s.io/v1 SelfSubjectRulesReview`
    SelfSubjectRulesReview,
    /// `v1 Service`, of which there are none.
    Service,
    /// `v1 ServiceAccount`
    ServiceAccount,
    /// `authorization.k8s.io/v1 SubjectAccessReview`
    SubjectAccessReview,
    /// `authentication.k8s.io/v1 TokenReview`
    TokenReview,
}

impl BuiltIn {
    /// Whether objects of this kind are answered and forgotten.
    #[must_use]
    pub(crate) fn is_review(self) -> bool {
        matches!(
            self,
            Self::LocalSubjectAccessReview
                | Self::SelfSubjectAccessReview
                | Self::SelfSubjectReview
                | Self::SelfSubjectRulesReview
                | Self::SubjectAccessReview
                | Self::TokenReview
        )
    }

    /// Whether there are never objects of this kind. Every cluster has it, so kubectl asks for it whatever it is about
    /// (`cluster-info`, `describe namespace`, `get all`): it is served empty, and nothing can be written.
    #[must_use]
    pub(crate) fn is_always_empty(self) -> bool {
        matches!(self, Self::LimitRange | Self::ResourceQuota | Self::Service)
    }

    /// Whether a group is one of those served without definitions.
    #[must_use]
    pub(crate) fn has_group(group: &str) -> bool {
        ROWS.iter().any(|row| row.0 == group)
    }

    /// Whether a replace must name the `resourceVersion` it replaces.
    #[must_use]
    pub(crate) fn needs_revision(self) -> bool {
        matches!(
            self,
            Self::Definition | Self::Lease | Self::Namespace | Self::ServiceAccount
        )
    }

    /// Reads `object` as its type and gives it back as the type writes it, so that a difference shows what the type
    /// does not know. `None` for kinds that are not checked this way.
    ///
    /// # Errors
    /// When a field has a wrong type or a required one is missing.
    pub(crate) fn round_trip(self, object: &Value) -> Result<Option<Value>, serde_json::Error> {
        match self {
            Self::ClusterRole => through::<rbac::v1::ClusterRole>(object),
            Self::ClusterRoleBinding => through::<rbac::v1::ClusterRoleBinding>(object),
            Self::ConfigMap => through::<core::v1::ConfigMap>(object),
            Self::Definition => through::<CustomResourceDefinition>(object),
            Self::Event => through::<core::v1::Event>(object),
            Self::EventV1 => through::<events::v1::Event>(object),
            Self::Lease => through::<coordination::v1::Lease>(object),
            Self::Namespace => through::<core::v1::Namespace>(object),
            Self::Role => through::<rbac::v1::Role>(object),
            Self::RoleBinding => through::<rbac::v1::RoleBinding>(object),
            Self::Secret => through::<core::v1::Secret>(object),
            Self::ServiceAccount => through::<core::v1::ServiceAccount>(object),
            Self::LimitRange
            | Self::LocalSubjectAccessReview
            | Self::ResourceQuota
            | Self::SelfSubjectAccessReview
            | Self::SelfSubjectReview
            | Self::SelfSubjectRulesReview
            | Self::Service
            | Self::SubjectAccessReview
            | Self::TokenReview => Ok(None),
        }
    }

    /// The structures that the type of a kind always writes, set or not.
    #[must_use]
    pub(crate) fn always_there(self) -> Option<Value> {
        match self {
            Self::Definition => Some(json!({
                "spec": { "names": {} }, "status": { "acceptedNames": {}, "conditions": null, "storedVersions": null },
            })),
            Self::Event => Some(json!({ "involvedObject": {}, "source": {} })),
            Self::EventV1 => Some(json!({ "regarding": {}, "deprecatedSource": {} })),
            Self::Lease => Some(json!({ "spec": {} })),
            Self::Role | Self::ClusterRole => Some(json!({ "rules": null })),
            Self::Namespace => {
                Some(json!({ "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" } }))
            }
            _ => None,
        }
    }

    /// Whether it can be selected by more fields than its name and namespace.
    #[must_use]
    pub(crate) fn selects_by_fields(self) -> bool {
        !self.selectable().is_empty()
    }

    fn selectable(self) -> &'static [&'static str] {
        match self {
            Self::Event | Self::EventV1 => &[
                "involvedObject.apiVersion",
                "involvedObject.fieldPath",
                "involvedObject.kind",
                "involvedObject.name",
                "involvedObject.namespace",
                "involvedObject.resourceVersion",
                "involvedObject.uid",
                "reason",
                "reportingComponent",
                "source.component",
                "type",
            ],
            Self::Namespace => &["status.phase"],
            Self::Secret => &["type"],
            _ => &[],
        }
    }
}

fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Option<Value>, serde_json::Error> {
    let typed: T = T::deserialize(object)?;
    serde_json::to_value(typed).map(Some)
}

/// Group, kind, plural, short names, namespaced, which.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    bool,
    BuiltIn,
);

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
/// The group of roles and their bindings.
pub(crate) const RBAC: &str = "rbac.authorization.k8s.io";

const ROWS: &[Row] = &[
    ("", "ConfigMap", "configmaps", &["cm"], true, BuiltIn::ConfigMap),
    ("", "Event", "events", &["ev"], true, BuiltIn::Event),
    (
        "",
        "LimitRange",
        "limitranges",
        &["limits"],
        true,
        BuiltIn::LimitRange,
    ),
    ("", "Namespace", "namespaces", &["ns"], false, BuiltIn::Namespace),
    (
        "",
        "ResourceQuota",
        "resourcequotas",
        &["quota"],
        true,
        BuiltIn::ResourceQuota,
    ),
    ("", "Secret", "secrets", &[], true, BuiltIn::Secret),
    ("", "Service", "services", &["svc"], true, BuiltIn::Service),
    (
        "",
        "ServiceAccount",
        "serviceaccounts",
        &["sa"],
        true,
        BuiltIn::ServiceAccount,
    ),
    (
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        &["crd", "crds"],
        false,
        BuiltIn::Definition,
    ),
    (
        AUTHENTICATION,
        "SelfSubjectReview",
        "selfsubjectreviews",
        &[],
        false,
        BuiltIn::SelfSubjectReview,
    ),
    (
        AUTHENTICATION,
        "TokenReview",
        "tokenreviews",
        &[],
        false,
        BuiltIn::TokenReview,
    ),
    (
        AUTHORIZATION,
        "LocalSubjectAccessReview",
        "localsubjectaccessreviews",
        &[],
        true,
        BuiltIn::LocalSubjectAccessReview,
    ),
    (
        AUTHORIZATION,
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        &[],
        false,
        BuiltIn::SelfSubjectAccessReview,
    ),
    (
        AUTHORIZATION,
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        &[],
        false,
        BuiltIn::SelfSubjectRulesReview,
    ),
    (
        AUTHORIZATION,
        "SubjectAccessReview",
        "subjectaccessreviews",
        &[],
        false,
        BuiltIn::SubjectAccessReview,
    ),
    (
        "coordination.k8s.io",
        "Lease",
        "leases",
        &[],
        true,
        BuiltIn::Lease,
    ),
    (
        "events.k8s.io",
        "Event",
        "events",
        &["ev"],
        true,
        BuiltIn::EventV1,
    ),
    (
        RBAC,
        "ClusterRole",
        "clusterroles",
        &[],
        false,
        BuiltIn::ClusterRole,
    ),
    (
        RBAC,
        "ClusterRoleBinding",
        "clusterrolebindings",
        &[],
        false,
        BuiltIn::ClusterRoleBinding,
    ),
    (RBAC, "Role", "roles", &[], true, BuiltIn::Role),
    (
        RBAC,
        "RoleBinding",
        "rolebindings",
        &[],
        true,
        BuiltIn::RoleBinding,
    ),
];

/// Every built-in resource.
#[must_use]
pub(crate) fn resources() -> Vec<Arc<Resource>> {
    ROWS.iter().map(|row| Arc::new(resource(row))).collect()
}

fn resource(&(group, kind, plural, short_names, namespaced, built_in): &Row) -> Resource {
    // Events are one set of objects under two groups, kept in the words of the core group.
    let home = if built_in == BuiltIn::EventV1 { "" } else { group };
    Resource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: short_names.iter().map(|&name| name.to_owned()).collect(),
        categories: match built_in {
            BuiltIn::Definition => vec!["api-extensions".to_owned()],
            BuiltIn::Service => vec!["all".to_owned()],
            _ => Vec::new(),
        },
        namespaced,
        storage: storage_key(home, plural),
        stored_as: api_version(home, "v1"),
        status: matches!(built_in, BuiltIn::Namespace | BuiltIn::Definition),
        scale: None,
        schema: None,
        stored_schema: None,
        schema_since: 0,
        properties: None,
        columns: Columns::builtin(group, kind),
        selectable: built_in
            .selectable()
            .iter()
            .map(|&label| label.to_owned())
            .collect(),
        built_in: Some(built_in),
        terminating: false,
    }
}
