//! What a server says about a resource that is to be documented.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::{Value, json};

/// Where the schema of a resource comes from.
#[derive(Clone, Copy, Debug)]
pub enum ResourceSchema<'a> {
    /// Kubernetes' own type of this group, version and kind.
    Builtin,
    /// A custom resource definition.
    Custom(&'a JSONSchemaProps),
}

/// One served resource.
#[derive(Clone, Copy, Debug)]
pub struct ServedResource<'a> {
    /// The group, empty for the core group.
    pub group: &'a str,
    /// The version, such as `v1alpha1`.
    pub version: &'a str,
    /// The kind, such as `Device`.
    pub kind: &'a str,
    /// The kind of its list, such as `DeviceList`.
    pub list_kind: &'a str,
    /// The name in paths, such as `devices`.
    pub plural: &'a str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether there is a `status` subresource.
    pub has_status: bool,
    /// What can be done, as in discovery: `create`, `delete`, `deletecollection`, `get`, `list`, `patch`, `update`, `watch`.
    pub verbs: &'a [&'a str],
    /// Its schema.
    pub schema: ResourceSchema<'a>,
}

impl ServedResource<'_> {
    /// The path of the group version without a slash at its beginning: `api/v1`, `apis/provost.dev/v1alpha1`.
    pub(super) fn group_path(&self) -> String {
        group_path(self.group, self.version)
    }

    pub(super) fn is_custom(&self) -> bool {
        matches!(self.schema, ResourceSchema::Custom(_))
    }

    pub(super) fn can(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }

    /// The name of the definition of the kind.
    pub(super) fn definition_name(&self) -> String {
        self.definition_name_of(self.kind)
    }

    /// The name of the definition of the list.
    pub(super) fn list_definition_name(&self) -> String {
        self.definition_name_of(self.list_kind)
    }

    fn definition_name_of(&self, kind: &str) -> String {
        let version = self.version;
        if self.is_custom() {
            let reversed: Vec<&str> = self.group.rsplit('.').collect();
            return format!("{}.{version}.{kind}", reversed.join("."));
        }
        match self.group {
            "" => format!("io.k8s.api.core.{version}.{kind}"),
            "apiextensions.k8s.io" => {
                format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}.{kind}")
            }
            group => {
                let package = group.split('.').next().unwrap_or(group);
                format!("io.k8s.api.{package}.{version}.{kind}")
            }
        }
    }

    /// The kind as operations carry it.
    pub(super) fn group_version_kind(&self, kind: &str) -> Value {
        json!({"group": self.group, "version": self.version, "kind": kind})
    }
}

pub(super) fn group_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}
