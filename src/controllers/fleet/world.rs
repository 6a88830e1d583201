//! The picture of all fleets that the planner keeps. Pure: events go in, what to look at comes out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use kube::{Resource, ResourceExt as _};

use crate::controllers::watch::Watched;
use crate::ids::{EnrollmentId, Namespace};

use super::Event;
use super::classes::Classes;
use super::device::{Device, Object};
use super::evaluate;
use super::policies::{KnownGroup, Policies};

/// One fleet.
#[derive(Default)]
pub(super) struct Fleet {
    pub(super) policies: Policies,
    pub(super) classes: Classes,
    /// The policy has changed: every device of the fleet has to be looked at.
    pub(super) replan: bool,
    /// Sums have changed: statuses of policy objects have to be written.
    pub(super) resum: bool,
    /// Devices told to move since the sums were last written, by assignment.
    pub(super) moved: BTreeMap<Arc<str>, usize>,
}

/// All fleets.
#[derive(Default)]
pub(super) struct World {
    pub(super) fleets: BTreeMap<Namespace, Fleet>,
    pub(super) devices: HashMap<EnrollmentId, Device>,
    /// Device objects by namespace and name, whether their enrolment is known or not.
    pub(super) objects: HashMap<(String, String), Object>,
    names: HashMap<(String, String), EnrollmentId>,
    /// Devices whose groups, class or pointer may have changed.
    pub(super) replace: HashSet<EnrollmentId>,
    /// Devices to judge.
    pub(super) judge: HashSet<EnrollmentId>,
    /// Device objects that somebody deleted.
    pub(super) deleting: BTreeSet<(String, String)>,
    listing: Listing,
}

/// What a new list has named so far, by kind; and which kinds have been listed once.
#[derive(Default)]
struct Listing {
    seen: HashMap<&'static str, BTreeSet<(String, String)>>,
    complete: HashSet<&'static str>,
}

const KINDS: usize = 5;

impl World {
    /// Whether every kind has been listed once.
    pub(super) fn complete(&self) -> bool {
        self.listing.complete.len() == KINDS
    }

    /// Whether there is anything to do.
    pub(super) fn due(&self) -> bool {
        !self.replace.is_empty()
            || !self.judge.is_empty()
            || !self.deleting.is_empty()
            || self.fleets.values().any(|fleet| fleet.replan || fleet.resum)
    }

    /// Takes in what happened to an object.
    pub(super) fn observe(&mut self, event: Event) {
        match event {
            Event::Baseline(event) => self.policy("Baseline", event, |policies, name, object| {
                change(&mut policies.baselines, name, object.map(Arc::new), |a, b| {
                    same(a.as_ref(), b.as_ref())
                })
            }),
            Event::Profile(event) => self.policy("Profile", event, |policies, name, object| {
                change(&mut policies.profiles, name, object.map(Arc::new), |a, b| {
                    same(a.as_ref(), b.as_ref())
                })
            }),
            Event::Assignment(event) => self.policy("Assignment", event, |policies, name, object| {
                change(&mut policies.assignments, name, object.map(Arc::new), |a, b| {
                    same(a.as_ref(), b.as_ref())
                })
            }),
            Event::Group(event) => self.policy("DeviceGroup", event, |policies, name, object| {
                // Compiling the expression again for a status of our own would be waste.
                let unchanged = match (&object, policies.groups.get_mut(name)) {
                    (Some(new), Some(known)) if same(new, known.object.as_ref()) => {
                        known.object = Arc::new(new.clone());
                        true
                    }
                    _ => false,
                };
                if unchanged {
                    return false;
                }
                let group = object.map(|object| KnownGroup::new(Arc::new(object)));
                change(&mut policies.groups, name, group, |_, _| false)
            }),
            Event::Device(event) => self.device(event),
        }
    }

    fn policy<K: Resource<DynamicType = ()>>(
        &mut self,
        kind: &'static str,
        event: Watched<K>,
        mut set: impl FnMut(&mut Policies, &str, Option<K>) -> bool,
    ) {
        match event {
            Watched::Listing => {
                self.listing.seen.insert(kind, BTreeSet::new());
            }
            Watched::Present(object) => {
                let key = (object.namespace().unwrap_or_default(), object.name_any());
                if let Some(seen) = self.listing.seen.get_mut(kind) {
                    seen.insert(key.clone());
                }
                self.set_policy(&key, Some(*object), &mut set);
            }
            Watched::Gone { namespace, name } => self.set_policy(&(namespace, name), None, &mut set),
            Watched::Listed => {
                self.listing.complete.insert(kind);
                let Some(seen) = self.listing.seen.remove(kind) else {
                    return;
                };
                for key in self.known(kind) {
                    if !seen.contains(&key) {
                        self.set_policy(&key, None, &mut set);
                    }
                }
            }
        }
    }

    fn set_policy<K>(
        &mut self,
        (namespace, name): &(String, String),
        object: Option<K>,
        set: &mut impl FnMut(&mut Policies, &str, Option<K>) -> bool,
    ) {
        let Ok(namespace) = Namespace::parse(namespace) else {
            return;
        };
        let fleet = self.fleets.entry(namespace).or_default();
        if set(&mut fleet.policies, name, object) {
            fleet.replan = true;
        }
    }

    /// The objects of a kind of policy, by namespace and name.
    fn known(&self, kind: &str) -> Vec<(String, String)> {
        let mut known = Vec::new();
        for (namespace, fleet) in &self.fleets {
            let policies = &fleet.policies;
            let names: Vec<&String> = match kind {
                "Baseline" => policies.baselines.keys().collect(),
                "Profile" => policies.profiles.keys().collect(),
                "DeviceGroup" => policies.groups.keys().collect(),
                "Assignment" => policies.assignments.keys().collect(),
                _ => Vec::new(),
            };
            known.extend(
                names
                    .into_iter()
                    .map(|name| (namespace.to_string(), name.clone())),
            );
        }
        known
    }

    fn device<K: Resource<DynamicType = ()>>(&mut self, event: Watched<K>) {
        match event {
            Watched::Listing => {
                self.listing.seen.insert("Device", BTreeSet::new());
            }
            Watched::Present(object) => {
                let key = (object.namespace().unwrap_or_default(), object.name_any());
                if let Some(seen) = self.listing.seen.get_mut("Device") {
                    seen.insert(key.clone());
                }
                self.set_object(key, Some(evaluate::read(object.as_ref())));
            }
            Watched::Gone { namespace, name } => self.set_object((namespace, name), None),
            Watched::Listed => {
                self.listing.complete.insert("Device");
                let Some(seen) = self.listing.seen.remove("Device") else {
                    return;
                };
                let gone: Vec<_> = self
                    .objects
                    .keys()
                    .filter(|key| !seen.contains(*key))
                    .cloned()
                    .collect();
                for key in gone {
                    self.set_object(key, None);
                }
            }
        }
    }

    fn set_object(&mut self, key: (String, String), object: Option<Object>) {
        if object
            .as_ref()
            .is_some_and(|object| object.deleting && object.finalizer)
        {
            self.deleting.insert(key.clone());
        } else {
            self.deleting.remove(&key);
        }
        if let Some(id) = self.names.get(&key)
            && let Some(device) = self.devices.get_mut(id)
            && device.object != object
        {
            let gone = object.is_none();
            let other = device.object.as_ref().map(|known| &known.uid) != object.as_ref().map(|new| &new.uid);
            let labels =
                device.object.as_ref().map(|known| &known.labels) != object.as_ref().map(|new| &new.labels);
            device.object.clone_from(&object);
            if gone || other {
                // Another object of the name has none of the status that was written.
                device.status_digest = None;
            }
            if labels {
                self.replace.insert(id.clone());
            }
            self.judge.insert(id.clone());
        }
        match object {
            Some(object) => self.objects.insert(key, object),
            None => self.objects.remove(&key),
        };
    }

    /// Takes in an enrolment as the store knows it now.
    pub(super) fn enroll(&mut self, mut new: Device) {
        let id = new.enrollment.id.clone();
        let key = (new.enrollment.namespace.to_string(), id.device_name());
        self.judge.insert(id.clone());
        match self.devices.get_mut(&id) {
            Some(known) if known.enrollment.namespace == new.enrollment.namespace => {
                let was = (
                    &known.enrollment.os_version,
                    known.enrollment.state,
                    known.enrollment.enrolled_at,
                );
                let is = (
                    &new.enrollment.os_version,
                    new.enrollment.state,
                    new.enrollment.enrolled_at,
                );
                if was != is || known.enrollment.manifest != new.enrollment.manifest {
                    self.replace.insert(id);
                }
                known.enrollment = new.enrollment;
            }
            _ => {
                // New here, or enrolled again into another fleet.
                self.forget(&id);
                new.object = self.objects.get(&key).cloned();
                self.names.insert(key, id.clone());
                self.replace.insert(id.clone());
                self.fleets.entry(new.enrollment.namespace.clone()).or_default();
                self.devices.insert(id, new);
            }
        }
    }

    /// The device of an object.
    pub(super) fn by_object(&self, key: &(String, String)) -> Option<&Device> {
        self.names.get(key).and_then(|id| self.devices.get(id))
    }

    /// Forgets a device whose enrolment has ended and whose object is gone.
    pub(super) fn forget(&mut self, id: &EnrollmentId) {
        if let Some(device) = self.devices.remove(id) {
            self.names
                .remove(&(device.enrollment.namespace.to_string(), id.device_name()));
        }
    }
}

/// Puts an object in or takes it out; true where that changes what devices should hold.
fn change<T>(
    map: &mut BTreeMap<String, T>,
    name: &str,
    new: Option<T>,
    same: impl Fn(&T, &T) -> bool,
) -> bool {
    match new {
        Some(new) => {
            let unchanged = map.get(name).is_some_and(|old| same(old, &new));
            map.insert(name.to_owned(), new);
            !unchanged
        }
        None => map.remove(name).is_some(),
    }
}

/// Whether two versions of an object mean the same to policy: same object, same spec, same revision.
fn same<K: Resource>(a: &K, b: &K) -> bool {
    a.meta().uid == b.meta().uid
        && a.meta().generation == b.meta().generation
        && super::policies::revision(a) == super::policies::revision(b)
}
