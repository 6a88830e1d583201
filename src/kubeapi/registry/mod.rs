//! What is served: the built-in resources and those that definitions make.
//!
//! A snapshot is replaced whole when a definition changes, so a request sees one consistent set.

pub(super) mod builtin;
pub(super) mod definition;
pub(super) mod lifecycle;
pub(super) mod resource;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use serde_json::Value;

pub(super) use builtin::{BuiltIn, RBAC};
pub(super) use resource::Resource;

use super::object;

/// Every resource that is served, by path.
#[derive(Debug, Default)]
pub(super) struct Served {
    by_path: HashMap<(String, String, String), Arc<Resource>>,
    groups: Groups,
    openapi_index: OnceLock<Value>,
}

/// Group to its versions, the preferred first, each with its resources in order of name.
pub(super) type Groups = BTreeMap<String, Vec<(String, Vec<Arc<Resource>>)>>;

impl Served {
    fn new(resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let mut served = Self::default();
        for resource in resources {
            let path = (
                resource.group.clone(),
                resource.version.clone(),
                resource.plural.clone(),
            );
            let versions = served.groups.entry(resource.group.clone()).or_default();
            match versions
                .iter_mut()
                .find(|(version, _)| *version == resource.version)
            {
                Some((_, members)) => members.push(Arc::clone(&resource)),
                None => versions.push((resource.version.clone(), vec![Arc::clone(&resource)])),
            }
            served.by_path.insert(path, resource);
        }
        for versions in served.groups.values_mut() {
            versions.sort_by_key(|(version, _)| std::cmp::Reverse(priority(version)));
            for (_, members) in versions {
                members.sort_by(|a, b| a.plural.cmp(&b.plural));
            }
        }
        served
    }

    /// The resource under a path.
    #[must_use]
    pub(super) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.by_path
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// A resource by its storage key, in any version.
    #[must_use]
    pub(super) fn by_storage(&self, storage: &str) -> Option<&Arc<Resource>> {
        let mut matching = self
            .by_path
            .values()
            .filter(|resource| *resource.storage == *storage);
        let any = matching.next()?;
        // The one that needs no conversion, when it is served.
        Some(
            std::iter::once(any)
                .chain(matching)
                .find(|resource| resource.serves_as_stored())
                .unwrap_or(any),
        )
    }

    /// The groups in order of name, each with its versions, the preferred first.
    #[must_use]
    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The `OpenAPI` index of this set, made once.
    pub(super) fn openapi_index(&self, make: impl FnOnce() -> Value) -> &Value {
        self.openapi_index.get_or_init(make)
    }

    /// Every served resource, in order of group, version and name.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.groups.values().flatten().flat_map(|(_, members)| members)
    }
}

/// Orders versions as Kubernetes does: general availability, beta, alpha, each by number, then anything else.
fn priority(version: &str) -> (u8, u64, u64) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (major, stage) = rest.split_at_checked(digits)?;
        let major = major.parse().ok()?;
        if stage.is_empty() {
            return Some((3, major, 0));
        }
        let (level, minor) = match stage.strip_prefix("beta") {
            Some(minor) => (2, minor),
            None => (1, stage.strip_prefix("alpha")?),
        };
        Some((level, major, minor.parse().ok()?))
    };
    parse().unwrap_or((0, 0, 0))
}

/// The current set, and what is needed to make the next.
pub(super) struct Registry {
    served: RwLock<Arc<Served>>,
    /// Held over a definition's write and the refresh after it, so that two cannot take one name.
    pub definitions: tokio::sync::Mutex<Definitions>,
}

/// Compiled definitions, by uid, with what they were made from, so that a refresh compiles only what changed.
#[derive(Default)]
pub(super) struct Definitions {
    compiled: HashMap<String, (State, Vec<Arc<Resource>>)>,
}

/// What the resources of a definition depend on: its generation, whether it is terminating, the names that it was granted.
type State = (i64, bool, Option<Value>);

impl Default for Registry {
    fn default() -> Self {
        let served = Served::new(builtin::resources());
        Self {
            served: RwLock::new(Arc::new(served)),
            definitions: tokio::sync::Mutex::default(),
        }
    }
}

impl Registry {
    /// What is served now.
    #[must_use]
    pub(super) fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves the built-ins and what the established ones of `definitions` make.
    pub(super) fn refresh(&self, cache: &mut Definitions, definitions: &[Value]) {
        let mut compiled = HashMap::new();
        for stored in definitions
            .iter()
            .filter(|stored| lifecycle::is_established(stored))
        {
            let uid = object::text(stored, "uid").to_owned();
            let names = object::at(stored, "status.acceptedNames").cloned();
            let state = (object::generation(stored), object::is_terminating(stored), names);
            let resources = match cache.compiled.remove(&uid) {
                Some((known, resources)) if known == state => resources,
                _ => definition::resources(stored),
            };
            compiled.insert(uid, (state, resources));
        }
        cache.compiled = compiled;
        let custom = cache
            .compiled
            .values()
            .flat_map(|(_, resources)| resources.iter().cloned());
        let served = Arc::new(Served::new(builtin::resources().into_iter().chain(custom)));
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = served;
    }
}

#[cfg(test)]
mod tests {
    use super::priority;

    #[test]
    fn the_stable_version_comes_before_beta_and_alpha() {
        let mut versions = vec!["foo10", "v1alpha2", "v2", "v1beta1", "v10", "v1alpha10"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(
            versions,
            ["v10", "v2", "v1beta1", "v1alpha10", "v1alpha2", "foo10"]
        );
    }
}
