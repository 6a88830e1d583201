//! The picture of all fleets that the planner keeps. Pure: events go in, what to look at comes out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt as _};

use crate::compliance::Occasion;
use crate::controllers::watch::Watched;
use crate::ids::{EnrollmentId, Namespace};
use crate::store::{Enrollment, EnrollmentState};

use super::Event;
use super::assignment_status::InForce;
use super::classes::Classes;
use super::device::{Device, Key, Object};
use super::policies::{Policies, PolicyKind, same};
use super::schedule::Schedule;
use super::shared::Shared;

/// One fleet.
#[derive(Default)]
pub(super) struct Fleet {
    pub(super) policies: Policies,
    pub(super) classes: Classes,
    /// The policy has changed: every device of the fleet has to be looked at.
    pub(super) replan: bool,
    /// Sums have changed: statuses of policy objects have to be written.
    pub(super) resum: bool,
    /// The revision of each assignment, and since when devices are pointed at it.
    pub(super) in_force: BTreeMap<Arc<str>, InForce>,
}

/// All fleets.
#[derive(Default)]
pub(super) struct World {
    pub(super) fleets: BTreeMap<Namespace, Fleet>,
    /// Boxed, so that the table of a large fleet is small, and cheap to make larger.
    pub(super) devices: HashMap<EnrollmentId, Box<Device>>,
    names: HashMap<Key, EnrollmentId>,
    /// Device objects of which no enrolment is known: made by hand, or left behind by a device that enrolled into another fleet.
    strays: HashMap<Key, Object>,
    /// Devices whose groups, class or pointer may have changed.
    pub(super) replace: HashSet<EnrollmentId>,
    /// Devices to judge.
    pub(super) judge: HashSet<EnrollmentId>,
    /// Device objects that somebody deleted.
    pub(super) deleting: BTreeSet<Key>,
    /// Strays whose status does not say yet that they are.
    pub(super) unclaimed: BTreeSet<Key>,
    /// Devices to ask for evidence; a device's own `evidence_due` decides.
    pub(super) evidence: Schedule<Timestamp, EnrollmentId>,
    /// Waivers, by when they end.
    pub(super) endings: Schedule<Timestamp, Key>,
    labels: Shared<BTreeMap<String, String>>,
    listing: Listing,
}

/// What a new list has named so far, by kind; and which kinds have been listed once.
#[derive(Default)]
struct Listing {
    seen: HashMap<String, HashSet<Key>>,
    complete: HashSet<String>,
}

const KINDS: usize = 6;

impl World {
    /// Whether every kind has been listed once.
    pub(super) fn complete(&self) -> bool {
        self.listing.complete.len() == KINDS
    }

    /// Whether there is anything to do but to write sums.
    pub(super) fn due(&self) -> bool {
        !self.replace.is_empty()
            || !self.judge.is_empty()
            || !self.deleting.is_empty()
            || !self.unclaimed.is_empty()
            || self.fleets.values().any(|fleet| fleet.replan)
    }

    /// Whether sums have to be written.
    pub(super) fn sums_due(&self) -> bool {
        self.fleets.values().any(|fleet| fleet.resum)
    }

    /// Takes in what happened to an object.
    pub(super) fn observe(&mut self, event: Event) {
        match event {
            Event::Baseline(event) => self.policy(event),
            Event::Profile(event) => self.policy(event),
            Event::Assignment(event) => self.policy(event),
            Event::Group(event) => self.policy(event),
            Event::Waiver(event) => self.policy(event),
            Event::Device(event) => self.device(event),
        }
    }

    fn policy<K: PolicyKind>(&mut self, event: Watched<K>) {
        match event {
            Watched::Listing => self.listing.begin::<K>(),
            Watched::Present(object) => {
                if let Some(key) = key(&object.namespace().unwrap_or_default(), &object.name_any()) {
                    let fresh = self.listing.see::<K>(&key);
                    self.put_policy(key, *object, fresh);
                }
            }
            Watched::Gone { namespace, name } => {
                if let Some(key) = key(&namespace, &name) {
                    self.take_policy::<K>(&key);
                }
            }
            Watched::Listed => {
                let Some(seen) = self.listing.end::<K>() else {
                    return;
                };
                let known: Vec<Key> = self
                    .fleets
                    .iter()
                    .flat_map(|(namespace, fleet)| {
                        let named = |name| Key {
                            namespace: namespace.clone(),
                            name,
                        };
                        K::names(&fleet.policies).into_iter().map(named)
                    })
                    .collect();
                for gone in known.iter().filter(|key| !seen.contains(*key)) {
                    self.take_policy::<K>(gone);
                }
            }
        }
    }

    /// `listed`: the object comes from a new list, which is right whatever was known.
    fn put_policy<K: PolicyKind>(&mut self, key: Key, object: K, listed: bool) {
        let fleet = self.fleets.entry(key.namespace.clone()).or_default();
        let known = K::known(&fleet.policies, &key.name);
        if known.is_some_and(|known| !listed && is_older(&object, known)) {
            // An event that was under way while we wrote a status. What was written is known already.
            return;
        }
        let unchanged = known.is_some_and(|known| same(known, &object));
        if K::IS_PLANNED || unchanged {
            fleet.replan |= !unchanged;
            K::put(&mut fleet.policies, key.name, object, unchanged);
            return;
        }
        // Those it was for, and those it is for now.
        self.judge_meant_by(&key);
        if let Some(fleet) = self.fleets.get_mut(&key.namespace) {
            K::put(&mut fleet.policies, key.name.clone(), object, unchanged);
        }
        self.heed_waiver(&key);
    }

    fn take_policy<K: PolicyKind>(&mut self, key: &Key) {
        if !K::IS_PLANNED {
            self.judge_meant_by(key);
        }
        if let Some(fleet) = self.fleets.get_mut(&key.namespace) {
            fleet.replan |= K::take(&mut fleet.policies, &key.name) && K::IS_PLANNED;
        }
    }

    fn device<K: Resource<DynamicType = ()>>(&mut self, event: Watched<K>) {
        match event {
            Watched::Listing => self.listing.begin::<K>(),
            Watched::Present(object) => {
                if let Some(key) = key(&object.namespace().unwrap_or_default(), &object.name_any()) {
                    self.listing.see::<K>(&key);
                    self.put_object(key, Object::read(object.as_ref()));
                }
            }
            Watched::Gone { namespace, name } => {
                if let Some(key) = key(&namespace, &name) {
                    self.take_object(&key);
                }
            }
            Watched::Listed => {
                let Some(seen) = self.listing.end::<K>() else {
                    return;
                };
                let with_object = self.devices.values().filter(|device| device.object.is_some());
                let known = with_object.map(|device| Key::of(&device.enrollment));
                let known: Vec<Key> = known.chain(self.strays.keys().cloned()).collect();
                for gone in known.iter().filter(|key| !seen.contains(*key)) {
                    self.take_object(gone);
                }
            }
        }
    }

    fn put_object(&mut self, key: Key, mut object: Object) {
        object.labels = self.labels.one(object.labels);
        if object.is_held() {
            self.deleting.insert(key.clone());
        }
        let Some((id, device)) = find(&self.names, &mut self.devices, &key) else {
            if self.strays.get(&key) != Some(&object) {
                self.unclaimed.insert(key.clone());
                self.strays.insert(key, object);
            }
            return;
        };
        if device.object.as_ref() == Some(&object) {
            return;
        }
        if device.object.as_ref().map(|known| &known.uid) != Some(&object.uid) {
            // Another object of the name has none of the status that was written.
            device.status_digest = None;
        }
        if device.labels() != &object.labels {
            self.replace.insert(id.clone());
        }
        device.object = Some(object);
        self.judge.insert(id.clone());
    }

    fn take_object(&mut self, key: &Key) {
        self.deleting.remove(key);
        self.unclaimed.remove(key);
        self.strays.remove(key);
        let Some((id, device)) = find(&self.names, &mut self.devices, key) else {
            return;
        };
        let id = id.clone();
        let known = device.object.take().is_some();
        if device.enrollment.state == EnrollmentState::Ended {
            self.forget(&id);
        } else if known {
            device.status_digest = None;
            self.replace.insert(id.clone());
            self.judge.insert(id);
        }
    }

    /// Takes in an enrolment as the store knows it now. `first_look`: when to ask for evidence if it is new.
    pub(super) fn enroll(&mut self, new: Enrollment, first_look: Timestamp, now: Timestamp) {
        let id = new.id.clone();
        let Some(known) = self
            .devices
            .get_mut(&id)
            .filter(|known| known.enrollment.namespace == new.namespace)
        else {
            return self.meet(new, first_look);
        };
        self.judge.insert(id.clone());
        let was = &known.enrollment;
        if was.enrolled_at == new.enrolled_at {
            let moved = was.manifest != new.manifest;
            if moved
                || (was.class(), was.state) != (new.class(), new.state)
                || was.os_version != new.os_version
            {
                self.replace.insert(id.clone());
            }
            let news = new.applied_manifest.is_some() && was.applied_manifest != new.applied_manifest;
            known.enrollment = Enrollment {
                labels: BTreeMap::new(),
                ..new
            };
            if news {
                // What was just applied shows in fresh evidence only.
                self.look_at(&id, now, Occasion::Event);
            }
        } else {
            known.begin_anew(new, first_look);
            known.invited = self.labels.one(known.invited.clone());
            self.replace.insert(id.clone());
            self.evidence.at(first_look, id.clone());
        }
        let Some(known) = self.devices.get(&id) else {
            return;
        };
        if known.object.as_ref().is_some_and(Object::is_held) {
            // The deletion may have waited for this.
            self.deleting.insert(Key::of(&known.enrollment));
        }
    }

    /// A device that is new here, or has enrolled again into another fleet.
    fn meet(&mut self, new: Enrollment, first_look: Timestamp) {
        let id = new.id.clone();
        self.forget(&id);
        let mut device = Device::new(new, first_look);
        device.invited = self.labels.one(device.invited);
        let key = Key::of(&device.enrollment);
        device.object = self.strays.remove(&key);
        self.unclaimed.remove(&key);
        if device.object.is_none() && device.enrollment.state == EnrollmentState::Ended {
            return;
        }
        self.fleets.entry(key.namespace.clone()).or_default();
        self.names.insert(key, id.clone());
        self.judge.insert(id.clone());
        self.replace.insert(id.clone());
        self.evidence.at(first_look, id.clone());
        self.devices.insert(id, Box::new(device));
    }

    /// Has a device asked for evidence, and not before `when`.
    pub(super) fn look_at(&mut self, id: &EnrollmentId, when: Timestamp, occasion: Occasion) {
        if let Some(device) = self.devices.get_mut(id) {
            device.evidence_due = when;
            device.occasion = occasion;
            self.evidence.at(when, id.clone());
        }
    }

    /// The device of an object.
    pub(super) fn by_object(&self, key: &Key) -> Option<&Device> {
        self.names
            .get(key)
            .and_then(|id| self.devices.get(id))
            .map(Box::as_ref)
    }

    /// Forgets a device. An object that it leaves behind has no enrolment any more.
    pub(super) fn forget(&mut self, id: &EnrollmentId) {
        let Some(device) = self.devices.remove(id) else {
            return;
        };
        let key = Key::of(&device.enrollment);
        self.names.remove(&key);
        if let Some(fleet) = self.fleets.get_mut(&key.namespace) {
            fleet.resum = true;
        }
        if let Some(object) = device.object {
            if object.is_held() {
                self.deleting.insert(key.clone());
            }
            self.unclaimed.insert(key.clone());
            self.strays.insert(key, object);
        }
    }
}

impl Listing {
    fn begin<K: Resource<DynamicType = ()>>(&mut self) {
        self.seen.insert(K::kind(&()).into_owned(), HashSet::new());
    }

    /// Notes that the list under way, if any, names an object; whether there is one.
    fn see<K: Resource<DynamicType = ()>>(&mut self, key: &Key) -> bool {
        match self.seen.get_mut(&*K::kind(&())) {
            Some(seen) => {
                seen.insert(key.clone());
                true
            }
            None => false,
        }
    }

    fn end<K: Resource<DynamicType = ()>>(&mut self) -> Option<HashSet<Key>> {
        let kind = K::kind(&()).into_owned();
        let seen = self.seen.remove(&kind);
        self.complete.insert(kind);
        seen
    }
}

/// A name that can be one of ours; others are none of our business.
fn key(namespace: &str, name: &str) -> Option<Key> {
    Some(Key {
        namespace: Namespace::parse(namespace).ok()?,
        name: name.into(),
    })
}

/// The device of an object, to be changed while the rest of the world is.
fn find<'a>(
    names: &'a HashMap<Key, EnrollmentId>,
    devices: &'a mut HashMap<EnrollmentId, Box<Device>>,
    key: &Key,
) -> Option<(&'a EnrollmentId, &'a mut Device)> {
    let id = names.get(key)?;
    Some((id, devices.get_mut(id)?.as_mut()))
}

/// Whether `new` is an older version of `known`. Resource versions of one object are numbers that grow.
fn is_older<K: Resource>(new: &K, known: &K) -> bool {
    let version = |object: &K| object.meta().resource_version.as_deref()?.parse::<u64>().ok();
    new.meta().uid == known.meta().uid && version(new) < version(known)
}

#[cfg(test)]
mod tests;
