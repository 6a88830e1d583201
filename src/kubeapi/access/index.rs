//! The roles and bindings in force, found by whom they are bound to.
//!
//! Pure. What a question costs depends on the bindings of the one who asks, not on how many others there are. Rules of
//! a ClusterRole that gathers others (`aggregationRule`) are made here, so that they follow what they gather at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::attributes::Attributes;
use super::rules::Rule;
use super::user::{User, service_account};
use crate::api::selector::LabelSelector;
use crate::kubeapi::object;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as LabelSelectorSpec;

/// The four kinds, by their storage keys.
pub(super) const RESOURCES: [&str; 4] = [
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    ROLES,
    "rolebindings.rbac.authorization.k8s.io",
];
const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
const CLUSTER_ROLE_BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";
const ROLES: &str = "roles.rbac.authorization.k8s.io";

/// Everything that was stored, in a form that answers questions.
#[derive(Debug, Default)]
pub(in crate::kubeapi) struct Index {
    cluster_roles: BTreeMap<String, ClusterRole>,
    roles: HashMap<(String, String), Vec<Rule>>,
    /// By namespace; those of the whole cluster under the empty one.
    bindings: HashMap<String, Bindings>,
}

#[derive(Debug)]
struct ClusterRole {
    labels: BTreeMap<String, String>,
    /// Which roles it gathers.
    gathers: Option<Vec<LabelSelector>>,
    /// What it allows, gathered or its own.
    rules: Vec<Rule>,
}

/// The bindings of one namespace, or of the cluster.
#[derive(Debug, Default)]
struct Bindings {
    by_name: HashMap<String, Binding>,
    by_subject: HashMap<Holder, BTreeSet<String>>,
}

#[derive(Debug)]
struct Binding {
    role_kind: String,
    role: String,
    subjects: Vec<Subject>,
}

#[derive(Debug)]
struct Subject {
    holder: Holder,
    /// As reasons name it.
    description: String,
}

/// Whom a role is bound to. A service account is the user it acts as.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    Group(String),
    User(String),
}

/// One binding of a user's, and what it brings.
struct Grant<'a> {
    /// As reasons name it.
    source: String,
    /// The rules, or why there are none.
    rules: Result<&'a [Rule], String>,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kubeapi) struct Decision {
    pub allowed: bool,
    /// What allowed it, or what kept rules from being found.
    pub reason: String,
}

impl Index {
    /// Takes in a stored object; `None` removes it.
    pub(super) fn put(&mut self, resource: &str, namespace: &str, name: &str, object: Option<&Value>) {
        match resource {
            CLUSTER_ROLES => {
                match object {
                    Some(object) => self
                        .cluster_roles
                        .insert(name.to_owned(), ClusterRole::parse(object)),
                    None => self.cluster_roles.remove(name),
                };
                self.gather();
            }
            ROLES => {
                let key = (namespace.to_owned(), name.to_owned());
                match object {
                    Some(object) => self.roles.insert(key, Rule::all(object)),
                    None => self.roles.remove(&key),
                };
            }
            _ => {
                let bindings = self.bindings.entry(namespace.to_owned()).or_default();
                bindings.remove(name);
                if let Some(object) = object {
                    bindings.insert(name, Binding::parse(object, namespace));
                } else if bindings.by_name.is_empty() {
                    self.bindings.remove(namespace);
                }
            }
        }
    }

    /// Forgets all objects of a kind.
    pub(super) fn clear(&mut self, resource: &str) {
        match resource {
            CLUSTER_ROLES => self.cluster_roles.clear(),
            ROLES => self.roles.clear(),
            CLUSTER_ROLE_BINDINGS => {
                self.bindings.remove("");
            }
            _ => self.bindings.retain(|namespace, _| namespace.is_empty()),
        }
    }

    /// Makes the rules of the roles that gather others. Roles may gather roles that gather: it is done anew until
    /// nothing changes, and at most once for each of them, so that a circle ends as well.
    fn gather(&mut self) {
        let gathering = self
            .cluster_roles
            .iter()
            .filter(|(_, role)| role.gathers.is_some());
        let names: Vec<String> = gathering.map(|(name, _)| name.clone()).collect();
        for _ in 0..=names.len() {
            let mut changed = false;
            for name in &names {
                let rules = self.gathered(name);
                if let Some(role) = self.cluster_roles.get_mut(name)
                    && role.rules != rules
                {
                    role.rules = rules;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn gathered(&self, name: &str) -> Vec<Rule> {
        let selectors = self
            .cluster_roles
            .get(name)
            .and_then(|role| role.gathers.as_deref());
        let mut rules: Vec<Rule> = Vec::new();
        for selector in selectors.unwrap_or_default() {
            let others = self.cluster_roles.iter().filter(|(other, _)| *other != name);
            for (_, role) in others.filter(|(_, role)| selector.matches(&role.labels)) {
                for rule in &role.rules {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
        }
        rules
    }

    /// The rules of each ClusterRole that gathers others.
    pub(super) fn gathering(&self) -> impl Iterator<Item = (&str, &[Rule])> {
        let gathering = self
            .cluster_roles
            .iter()
            .filter(|(_, role)| role.gathers.is_some());
        gathering.map(|(name, role)| (name.as_str(), role.rules.as_slice()))
    }

    /// Whether `user` may do what `request` says.
    #[must_use]
    pub(in crate::kubeapi) fn decide(&self, user: &User, request: &Attributes) -> Decision {
        if user.is_master() {
            return Decision {
                allowed: true,
                reason: String::new(),
            };
        }
        let mut errors = Vec::new();
        for grant in self.grants(user, request.namespace()) {
            match grant.rules {
                Ok(rules) if rules.iter().any(|rule| rule.allows(request)) => {
                    return Decision {
                        allowed: true,
                        reason: format!("RBAC: allowed by {}", grant.source),
                    };
                }
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
        }
        // A refusal names who refuses, in a chain of which there is only one here.
        let reason = all(errors).map(|errors| format!("rbac: RBAC: {errors}"));
        Decision {
            allowed: false,
            reason: reason.unwrap_or_default(),
        }
    }

    /// All rules that hold for `user` in `namespace`, and what kept others from being found.
    #[must_use]
    pub(super) fn rules_for(&self, user: &User, namespace: &str) -> (Vec<Rule>, Option<String>) {
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        for grant in self.grants(user, namespace) {
            match grant.rules {
                Ok(found) => rules.extend_from_slice(found),
                Err(error) => errors.push(error),
            }
        }
        (rules, all(errors))
    }

    /// The rules of a role that a binding in `namespace` refers to.
    #[must_use]
    pub(super) fn role(&self, kind: &str, name: &str, namespace: &str) -> Option<&[Rule]> {
        match kind {
            "ClusterRole" => self.cluster_roles.get(name).map(|role| role.rules.as_slice()),
            "Role" => self
                .roles
                .get(&(namespace.to_owned(), name.to_owned()))
                .map(Vec::as_slice),
            _ => None,
        }
    }

    /// What is bound to `user`: in the whole cluster, then in `namespace`, each in order of name.
    fn grants<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = Grant<'a>> {
        let scopes = std::iter::once("").chain(Some(namespace).filter(|namespace| !namespace.is_empty()));
        scopes.flat_map(move |scope| {
            let bindings = self.bindings.get(scope);
            let found = bindings.map(|bindings| bindings.of(user)).unwrap_or_default();
            found.into_iter().map(move |(name, binding, subject)| Grant {
                source: binding.describe(name, scope, subject),
                rules: self
                    .role(&binding.role_kind, &binding.role, scope)
                    .ok_or_else(|| binding.role_not_found()),
            })
        })
    }
}

/// Several errors as one text.
fn all(mut errors: Vec<String>) -> Option<String> {
    let mut seen = BTreeSet::new();
    errors.retain(|error| seen.insert(error.clone()));
    match errors.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

impl ClusterRole {
    fn parse(object: &Value) -> Self {
        let labels = object::metadata(object).and_then(|metadata| metadata.get("labels")?.as_object());
        let labels = labels.into_iter().flatten();
        let selectors = object::at(object, "aggregationRule.clusterRoleSelectors").and_then(Value::as_array);
        // One that cannot be read selects nothing.
        let parse = |selector: &Value| {
            let spec: LabelSelectorSpec = serde::Deserialize::deserialize(selector).ok()?;
            LabelSelector::from_spec(&spec).ok()
        };
        Self {
            labels: labels
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            gathers: selectors
                .filter(|selectors| !selectors.is_empty())
                .map(|selectors| selectors.iter().filter_map(parse).collect()),
            rules: Rule::all(object),
        }
    }
}

impl Binding {
    fn parse(object: &Value, namespace: &str) -> Self {
        let text =
            |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
        let role = object.get("roleRef").unwrap_or(&Value::Null);
        let subjects = object
            .get("subjects")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        Self {
            role_kind: text(role, "kind"),
            role: text(role, "name"),
            subjects: subjects
                .filter_map(|subject| {
                    Subject::new(
                        &text(subject, "kind"),
                        text(subject, "name"),
                        &text(subject, "namespace"),
                        namespace,
                    )
                })
                .collect(),
        }
    }

    fn describe(&self, name: &str, namespace: &str, subject: &Subject) -> String {
        let (kind, name) = if namespace.is_empty() {
            ("ClusterRoleBinding", name.to_owned())
        } else {
            ("RoleBinding", format!("{name}/{namespace}"))
        };
        let (role_kind, role, subject) = (&self.role_kind, &self.role, &subject.description);
        format!("{kind} {name:?} of {role_kind} {role:?} to {subject}")
    }

    fn role_not_found(&self) -> String {
        let kind = self.role_kind.to_lowercase();
        format!("{kind}.rbac.authorization.k8s.io {:?} not found", self.role)
    }
}

impl Subject {
    /// `None` for one that is nobody.
    fn new(kind: &str, name: String, own: &str, binding_namespace: &str) -> Option<Self> {
        let namespace = if own.is_empty() { binding_namespace } else { own };
        let description = match kind {
            "ServiceAccount" => format!("{kind} {:?}", format!("{name}/{namespace}")),
            _ => format!("{kind} {name:?}"),
        };
        let holder = match kind {
            "Group" => Holder::Group(name),
            "User" => Holder::User(name),
            "ServiceAccount" if !namespace.is_empty() => Holder::User(service_account(namespace, &name)),
            _ => return None,
        };
        Some(Self { holder, description })
    }
}

impl Bindings {
    fn insert(&mut self, name: &str, binding: Binding) {
        for subject in &binding.subjects {
            let names = self.by_subject.entry(subject.holder.clone()).or_default();
            names.insert(name.to_owned());
        }
        self.by_name.insert(name.to_owned(), binding);
    }

    fn remove(&mut self, name: &str) {
        let Some(binding) = self.by_name.remove(name) else {
            return;
        };
        for subject in binding.subjects {
            if let Some(names) = self.by_subject.get_mut(&subject.holder) {
                names.remove(name);
                if names.is_empty() {
                    self.by_subject.remove(&subject.holder);
                }
            }
        }
    }

    /// The bindings of a user in order of name, each with the first of its subjects that the user is.
    fn of(&self, user: &User) -> Vec<(&str, &Binding, &Subject)> {
        let groups = user.groups.iter().cloned().map(Holder::Group);
        let holders: Vec<Holder> = std::iter::once(Holder::User(user.name.clone()))
            .chain(groups)
            .collect();
        let names: BTreeSet<&String> = holders
            .iter()
            .filter_map(|holder| self.by_subject.get(holder))
            .flatten()
            .collect();
        names
            .into_iter()
            .filter_map(|name| {
                let (name, binding) = self.by_name.get_key_value(name)?;
                let subject = binding
                    .subjects
                    .iter()
                    .find(|subject| holders.contains(&subject.holder))?;
                Some((name.as_str(), binding, subject))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
