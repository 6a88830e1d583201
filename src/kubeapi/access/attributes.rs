//! What a request is, in the words that roles are written in: a verb on a resource, or on a path.
//!
//! Follows RequestInfo of the Kubernetes API server.

use http::Method;

use super::user::User;
use crate::api::selector::FieldSelector;
use crate::kubeapi::error::{ApiError, Subject};
use crate::kubeapi::request::{Path, Query};
use crate::kubeapi::verbs::Target;

/// A request, or a question about one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kubeapi) struct Attributes {
    /// `get`, `list`, `create`, …; of a path, the method in lower case.
    pub verb: String,
    /// On what.
    pub on: On,
}

/// What a verb is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kubeapi) enum On {
    /// A path outside of the resources.
    Path(String),
    /// A resource.
    Resource(OnResource),
}

/// A resource, and how much of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::kubeapi) struct OnResource {
    /// API group, empty for the core group.
    pub group: String,
    /// Plural name.
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// Namespace; empty for the whole cluster.
    pub namespace: String,
    /// One object, or empty.
    pub name: String,
}

impl Attributes {
    /// What `method` on `path` asks for.
    #[must_use]
    pub(super) fn of(method: &Method, path: &str, query: Option<&Query>) -> Self {
        let Some(read) = Path::read(path) else {
            return Self {
                verb: method.as_str().to_ascii_lowercase(),
                on: On::Path(path.to_owned()),
            };
        };
        let watched = read.watch;
        let mut on = OnResource::of_path(read);
        let collection = on.name.is_empty();
        let verb = match *method {
            _ if watched => "watch",
            Method::POST => "create",
            Method::GET | Method::HEAD if !collection => "get",
            Method::GET | Method::HEAD if query.is_some_and(|query| query.flag("watch")) => "watch",
            Method::GET | Method::HEAD => "list",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if collection => "deletecollection",
            Method::DELETE => "delete",
            _ => "",
        };
        if collection && matches!(verb, "list" | "watch") {
            on.name = selected_name(query).unwrap_or_default();
        }
        Self {
            verb: verb.to_owned(),
            on: On::Resource(on),
        }
    }

    /// A verb on a resource.
    #[must_use]
    pub(super) fn on(verb: &str, on: OnResource) -> Self {
        Self {
            verb: verb.to_owned(),
            on: On::Resource(on),
        }
    }

    /// The namespace whose role bindings count, or empty.
    #[must_use]
    pub(super) fn namespace(&self) -> &str {
        match &self.on {
            On::Path(_) => "",
            On::Resource(on) => &on.namespace,
        }
    }

    /// The refusal, with what the rules could not tell.
    #[must_use]
    pub(super) fn forbidden(&self, user: &User, reason: &str) -> ApiError {
        let user = &user.name;
        let verb = &self.verb;
        let (text, subject) = match &self.on {
            On::Path(path) => (
                format!("User {user:?} cannot {verb} path {path:?}"),
                Subject::default(),
            ),
            On::Resource(on) => {
                let scope = if on.namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace {:?}", on.namespace)
                };
                let (resource, group) = (on.combined(), &on.group);
                let text = format!(
                    "User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}"
                );
                let subject = Subject {
                    group: on.group.clone(),
                    kind: on.resource.clone(),
                    name: on.name.clone(),
                };
                (text, subject)
            }
        };
        // An answer must not look like a page to a browser.
        let mut why = text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        if !reason.is_empty() {
            why.push_str(": ");
            why.push_str(reason);
        }
        ApiError::Forbidden { subject, why }
    }
}

impl OnResource {
    /// What a path is about. A namespace lies in itself.
    fn of_path(path: Path) -> Self {
        let name = path.name.unwrap_or_default();
        let namespace = match path.namespace {
            Some(namespace) => namespace,
            None if path.plural == "namespaces" => name.clone(),
            None => String::new(),
        };
        // Nothing is served below a subresource.
        let subresource = path
            .subresource
            .as_deref()
            .and_then(|rest| rest.split('/').next());
        Self {
            group: path.group,
            subresource: subresource.unwrap_or_default().to_owned(),
            resource: path.plural,
            namespace,
            name,
        }
    }

    /// The object that a request is about.
    pub(super) fn of_target(target: &Target) -> Self {
        Self {
            group: target.resource.group.clone(),
            resource: target.resource.plural.clone(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            ..Self::default()
        }
    }

    /// `resource` or `resource/subresource`, as rules write it.
    #[must_use]
    pub(super) fn combined(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// A list of the one object with a name is a question about that object.
fn selected_name(query: Option<&Query>) -> Option<String> {
    let selector = FieldSelector::parse(query?.text("fieldSelector")?).ok()?;
    let name = selector.exact("metadata.name")?;
    let usable = !name.is_empty() && !matches!(name, "." | "..") && !name.contains(['/', '%']);
    usable.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(method: &str, uri: &str) -> String {
        let uri: http::Uri = uri.parse().unwrap();
        let query = Query::parse(&uri).unwrap();
        let attributes = Attributes::of(&method.parse().unwrap(), uri.path(), Some(&query));
        match attributes.on {
            On::Path(path) => format!("{} {path}", attributes.verb),
            On::Resource(on) => format!(
                "{} {}|{}|{}|{}",
                attributes.verb,
                on.group,
                on.combined(),
                on.namespace,
                on.name
            ),
        }
    }

    #[test]
    fn requests_are_named_as_kubernetes_names_them() {
        let devices = "/apis/provost.dev/v1alpha1/namespaces/fleet/devices";
        for (method, uri, expected) in [
            ("GET", "/", "get /"),
            ("GET", "/healthz", "get /healthz"),
            ("GET", "/api/v1", "get /api/v1"),
            (
                "GET",
                "/apis/provost.dev/v1alpha1",
                "get /apis/provost.dev/v1alpha1",
            ),
            ("POST", "/metrics", "post /metrics"),
            ("GET", "/api/v1/secrets", "list |secrets||"),
            ("GET", "/api/v1/secrets?watch=1", "watch |secrets||"),
            ("GET", "/api/v1/secrets?watch=false", "list |secrets||"),
            ("GET", "/api/v1/watch/secrets", "watch |secrets||"),
            (
                "GET",
                "/api/v1/watch/namespaces/fleet/secrets/s",
                "watch |secrets|fleet|s",
            ),
            ("GET", "/api/v1%2Fwatch%2Fsecrets", "watch |secrets||"),
            ("HEAD", "/api/v1/namespaces/a/secrets/b", "get |secrets|a|b"),
            ("GET", "/api/v1/namespaces", "list |namespaces||"),
            ("GET", "/api/v1/namespaces/a", "get |namespaces|a|a"),
            (
                "PUT",
                "/api/v1/namespaces/a/finalize",
                "update |namespaces/finalize|a|a",
            ),
            ("DELETE", devices, "deletecollection provost.dev|devices|fleet|"),
            (
                "DELETE",
                &format!("{devices}?fieldSelector=metadata.name%3Dx"),
                "deletecollection provost.dev|devices|fleet|",
            ),
            (
                "DELETE",
                &format!("{devices}/x"),
                "delete provost.dev|devices|fleet|x",
            ),
            ("POST", devices, "create provost.dev|devices|fleet|"),
            (
                "PUT",
                &format!("{devices}/x"),
                "update provost.dev|devices|fleet|x",
            ),
            (
                "PATCH",
                &format!("{devices}/x/status"),
                "patch provost.dev|devices/status|fleet|x",
            ),
            (
                "GET",
                &format!("{devices}?fieldSelector=metadata.name%3Dx"),
                "list provost.dev|devices|fleet|x",
            ),
            (
                "GET",
                &format!("{devices}?fieldSelector=metadata.name!%3Dx&watch=true"),
                "watch provost.dev|devices|fleet|",
            ),
            (
                "POST",
                "/api/v1/namespaces/a/serviceaccounts/b/token",
                "create |serviceaccounts/token|a|b",
            ),
        ] {
            assert_eq!(of(method, uri), expected, "{method} {uri}");
        }
    }

    proptest! {
        /// What is asked of the roles is what is done.
        #[test]
        fn a_path_means_the_same_to_the_roles_and_to_the_verbs(
            parts in proptest::collection::vec("namespaces|api|apis|v1|a|status|finalize|%2F|%6e|b%2Fc|", 0..9)
        ) {
            let path = format!("/{}", parts.join("/"));
            if let Some(parsed) = Path::parse(&path) {
                let attributes = Attributes::of(&Method::PUT, &path, None);
                let On::Resource(on) = attributes.on else { panic!("{path}") };
                prop_assert_eq!(on.group, parsed.group);
                // Nothing is served below a subresource.
                let subresource = parsed.subresource.unwrap_or_default();
                prop_assert_eq!(on.subresource, subresource.split('/').next().unwrap_or_default());
                if let Some(namespace) = parsed.namespace {
                    prop_assert_eq!(on.namespace, namespace);
                } else if parsed.plural != "namespaces" {
                    prop_assert_eq!(on.namespace, "");
                }
                prop_assert_eq!(on.name, parsed.name.unwrap_or_default());
                prop_assert_eq!(on.resource, parsed.plural);
            }
        }
    }
}
