//! One served resource: its names, its schema, and what is particular to it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceSubresourceScale, JSONSchemaProps,
};
use serde_json::Value;

use super::builtin::BuiltIn;
use super::definition;
use crate::api::schema::{CompiledSchema, go_quote};
use crate::api::selector::FieldSelector;
use crate::kubeapi::apply::TypeInfo;
use crate::kubeapi::error::ApiError;
use crate::kubeapi::storage::{Facets, Key};
use crate::kubeapi::table::Columns;
use crate::kubeapi::{events, object};

/// A resource in one served version.
#[derive(Debug)]
pub(crate) struct Resource {
    /// API group, empty for the core group.
    pub group: String,
    /// Served version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Kind of lists.
    pub list_kind: String,
    /// Name in paths.
    pub plural: String,
    /// Singular name for kubectl.
    pub singular: String,
    /// Short names for kubectl.
    pub short_names: Vec<String>,
    /// Groups of resources for kubectl (`all`).
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// `plural.group`: the storage key, shared by all versions.
    pub storage: Arc<str>,
    /// `apiVersion` of stored objects.
    pub stored_as: String,
    /// Whether `/status` is a subresource.
    pub status: bool,
    /// Where `/scale` finds its numbers.
    pub scale: Option<CustomResourceSubresourceScale>,
    /// The compiled schema of a custom resource.
    pub schema: Option<Arc<CompiledSchema>>,
    /// The compiled schema of the version in which objects are stored.
    pub stored_schema: Option<Arc<CompiledSchema>>,
    /// The revision from which on what is stored follows the schema that is in force.
    pub schema_since: i64,
    /// The same schema as written, for OpenAPI.
    pub properties: Option<Arc<JSONSchemaProps>>,
    /// The columns of its tables.
    pub(in crate::kubeapi) columns: Columns,
    /// Field labels, beside `metadata.name` and `metadata.namespace`, that selectors may use.
    pub selectable: Vec<String>,
    /// Which built-in this is; `None` for custom resources.
    pub built_in: Option<BuiltIn>,
    /// The definition is being deleted: objects can no longer be created.
    pub terminating: bool,
}

/// Holds an owner until its dependents are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Holds an owner until its dependents have forgotten it.
pub(crate) const ORPHAN: &str = "orphan";

/// Verbs of built-in resources, for discovery.
pub(crate) const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
/// Namespaces go one at a time.
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
/// Verbs of custom resources, in the order that Kubernetes names them.
const CUSTOM_VERBS: &[&str] = &[
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

impl Resource {
    /// `group/version`, or the version alone for the core group.
    #[must_use]
    pub(crate) fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// How server-side apply merges its objects.
    #[must_use]
    pub(crate) fn types(&self) -> TypeInfo<'_> {
        match &self.schema {
            Some(schema) => TypeInfo::custom(schema),
            None => TypeInfo::builtin(&self.group, &self.kind),
        }
    }

    /// The package in which the API server keeps a built-in kind, as messages name it.
    #[must_use]
    pub(crate) fn internal_package(&self) -> &str {
        match self.group.split('.').next() {
            None | Some("" | "events") => "core",
            Some(package) => package,
        }
    }

    /// Whether objects are kept; reviews are only answered.
    #[must_use]
    pub(crate) fn is_stored(&self) -> bool {
        !self.built_in.is_some_and(BuiltIn::is_review)
    }

    /// Verbs for discovery.
    #[must_use]
    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        match self.built_in {
            None => CUSTOM_VERBS,
            Some(BuiltIn::Namespace) => NAMESPACE_VERBS,
            Some(built_in) if built_in.is_review() => &["create"],
            Some(built_in) if built_in.is_always_empty() => &["get", "list", "watch"],
            Some(_) => VERBS,
        }
    }

    /// The storage key of an object.
    #[must_use]
    pub(crate) fn key(&self, namespace: &str, name: &str) -> Key {
        Key {
            resource: Arc::clone(&self.storage),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Whether bodies are sealed at rest.
    #[must_use]
    pub(crate) fn is_sealed(&self) -> bool {
        self.built_in == Some(BuiltIn::Secret)
    }

    /// Whether `metadata.generation` is kept.
    #[must_use]
    pub(crate) fn has_generation(&self) -> bool {
        matches!(self.built_in, None | Some(BuiltIn::Definition))
    }

    /// Whether stored JSON can be served as it is.
    #[must_use]
    pub(crate) fn serves_as_stored(&self) -> bool {
        self.api_version() == self.stored_as
    }

    /// Whether the bytes that were stored at `revision` can be served as they are.
    #[must_use]
    pub(crate) fn serves_verbatim(&self, revision: i64) -> bool {
        self.serves_as_stored() && self.built_in != Some(BuiltIn::Event) && revision >= self.schema_since
    }

    /// Turns a stored object into this version. One that was stored before its definition changed shows what the schema says
    /// now: new defaults are filled in, and fields that are no longer known are left out.
    pub(crate) fn to_served(&self, object: &mut Value) {
        match self.built_in {
            Some(BuiltIn::Event) => events::complete(object),
            Some(BuiltIn::EventV1) => events::to_v1(object),
            _ => {}
        }
        let is_current = || {
            let revision = object::text(object, "resourceVersion").parse();
            self.serves_as_stored() && revision.is_ok_and(|revision: i64| revision >= self.schema_since)
        };
        if let Some(schema) = self.stored_schema.as_ref().filter(|_| !is_current()) {
            schema.prune(object);
            schema.default(object);
        }
        if self.serves_as_stored() {
            return;
        }
        set_api_version(object, self.api_version());
        if let Some(schema) = &self.schema {
            schema.prune(object);
        }
    }

    /// Turns an object of this version into the stored one.
    pub(crate) fn to_stored(&self, object: &mut Value) {
        if self.serves_as_stored() {
            return;
        }
        if self.built_in == Some(BuiltIn::EventV1) {
            events::to_core(object);
        }
        set_api_version(object, self.stored_as.clone());
        if let Some(schema) = &self.stored_schema {
            schema.prune(object);
        }
    }

    /// What selectors see of a stored object.
    #[must_use]
    pub(crate) fn facets(&self, object: &Value) -> Facets {
        let labels = object::metadata(object).and_then(|metadata| metadata.get("labels")?.as_object());
        let labels = labels.into_iter().flatten();
        let mut fields = BTreeMap::new();
        for label in &self.selectable {
            let value = match object::at(object, label) {
                Some(Value::String(text)) => text.clone(),
                Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
                _ => String::new(),
            };
            fields.insert(label.clone(), value);
        }
        Facets {
            labels: labels
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            fields,
            uid: object::text(object, "uid").to_owned(),
            owners: object::owner_uids(object),
            held: self.is_held(object),
        }
    }

    /// Whether the deletion of an object has steps that the collector takes.
    fn is_held(&self, object: &Value) -> bool {
        const STEPS: [&str; 3] = [FOREGROUND, ORPHAN, definition::CLEANUP_FINALIZER];
        object::is_terminating(object)
            && (self.built_in == Some(BuiltIn::Namespace)
                || object::finalizers(object)
                    .iter()
                    .any(|finalizer| STEPS.contains(&finalizer.as_str())))
    }

    /// Refuses a field selector with a label that this version does not know.
    ///
    /// # Errors
    /// 400, in the words that kube-apiserver has for the kind.
    pub(crate) fn check_fields(&self, fields: &FieldSelector) -> Result<(), ApiError> {
        let labels = self.field_labels();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let Err(unknown) = fields.check_supported(&labels) else {
            return Ok(());
        };
        let plain = self
            .built_in
            .is_some_and(|built_in| !built_in.selects_by_fields());
        let text = match unknown.to_string().strip_prefix("field label not supported: ") {
            Some(label) if plain => format!(
                "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                go_quote(label)
            ),
            _ => unknown.to_string(),
        };
        Err(ApiError::BadRequest(text))
    }

    /// The labels that field selectors of this version may use.
    fn field_labels(&self) -> Vec<String> {
        let own = self.selectable.iter().map(|label| match self.built_in {
            Some(BuiltIn::Event) if label == "source.component" => "source".to_owned(),
            Some(BuiltIn::EventV1) => V1_EVENT_LABELS
                .iter()
                .find_map(|(v1, core)| label.strip_prefix(core).map(|rest| format!("{v1}{rest}")))
                .unwrap_or_else(|| label.clone()),
            _ => label.clone(),
        });
        let own = own.filter(|label| self.built_in != Some(BuiltIn::EventV1) || label != "source.component");
        // The kinds that know only these two know both, whatever their scope.
        let plain = self
            .built_in
            .is_some_and(|built_in| !built_in.selects_by_fields());
        let namespace = (self.namespaced || plain).then(|| "metadata.namespace".to_owned());
        own.chain(std::iter::once("metadata.name".to_owned()))
            .chain(namespace)
            .collect()
    }

    /// The label under which [`Facets::fields`] keeps the value of a field selector's label.
    #[must_use]
    pub(crate) fn stored_label<'a>(&self, label: &'a str) -> Cow<'a, str> {
        match self.built_in {
            Some(BuiltIn::EventV1) => V1_EVENT_LABELS
                .iter()
                .find_map(|(v1, core)| label.strip_prefix(v1).map(|rest| format!("{core}{rest}").into()))
                .unwrap_or(Cow::Borrowed(label)),
            Some(BuiltIn::Event) if label == "source" => Cow::Borrowed("source.component"),
            _ => Cow::Borrowed(label),
        }
    }
}

/// Prefixes of field labels in `events.k8s.io/v1`, and as they are stored.
const V1_EVENT_LABELS: &[(&str, &str)] = &[
    ("regarding.", "involvedObject."),
    ("reportingController", "reportingComponent"),
];

/// `group/version`, or the version alone for the core group.
#[must_use]
pub(crate) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// `plural.group`, or the plural alone for the core group.
#[must_use]
pub(crate) fn storage_key(group: &str, plural: &str) -> Arc<str> {
    if group.is_empty() {
        plural.into()
    } else {
        format!("{plural}.{group}").into()
    }
}

fn set_api_version(object: &mut Value, api_version: String) {
    if let Some(object) = object.as_object_mut() {
        object.insert("apiVersion".to_owned(), Value::String(api_version));
    }
}
