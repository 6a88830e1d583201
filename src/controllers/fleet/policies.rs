//! The policy objects of one fleet, and what they mean for one device. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt as _};

use crate::api::{Assignment, Baseline, BaselineSpec, DeviceGroup, Profile, Waiver, names};
use crate::policy::inheritance::{Family, Resolved, resolve};
use crate::policy::{
    AssignmentInput, BaselineInput, Candidate, Group, ProfileInput, SpecError, check_assignment_against,
};

use super::waivers::KnownWaiver;

/// The policy objects of one fleet.
#[derive(Default)]
pub struct Policies {
    /// Baselines by name.
    pub baselines: BTreeMap<Arc<str>, Arc<Baseline>>,
    /// Profiles by name.
    pub profiles: BTreeMap<Arc<str>, Arc<Profile>>,
    /// Groups by name, ready to be asked.
    pub groups: BTreeMap<Arc<str>, KnownGroup>,
    /// Assignments by name.
    pub assignments: BTreeMap<Arc<str>, Arc<Assignment>>,
    /// Waivers by name.
    pub waivers: BTreeMap<Arc<str>, KnownWaiver>,
}

/// A group and what can be asked of it.
pub struct KnownGroup {
    /// The object.
    pub object: Arc<DeviceGroup>,
    /// Who belongs to it; or why that cannot be told, and then nobody does.
    pub members: Result<Group, String>,
}

impl KnownGroup {
    /// Prepares a group.
    #[must_use]
    pub fn new(object: Arc<DeviceGroup>) -> Self {
        let members = Group::compile(&object.spec).map_err(|error| error.to_string());
        Self { object, members }
    }
}

/// A kind of policy object.
pub trait PolicyKind: Resource<DynamicType = ()> + Sized {
    /// Whether plans are made of it. Otherwise it only concerns how devices are judged.
    const IS_PLANNED: bool = true;
    /// The object of a name.
    fn known<'a>(policies: &'a Policies, name: &str) -> Option<&'a Self>;
    /// The names of all.
    fn names(policies: &Policies) -> Vec<Arc<str>>;
    /// Puts an object in. `same`: it means what the one before meant.
    fn put(policies: &mut Policies, name: Arc<str>, object: Self, same: bool);
    /// Takes an object out. False: there was none.
    fn take(policies: &mut Policies, name: &str) -> bool;
}

macro_rules! policy_kind {
    ($kind:ty, $field:ident) => {
        impl PolicyKind for $kind {
            fn known<'a>(policies: &'a Policies, name: &str) -> Option<&'a Self> {
                policies.$field.get(name).map(AsRef::as_ref)
            }
            fn names(policies: &Policies) -> Vec<Arc<str>> {
                policies.$field.keys().cloned().collect()
            }
            fn put(policies: &mut Policies, name: Arc<str>, object: Self, _same: bool) {
                policies.$field.insert(name, Arc::new(object));
            }
            fn take(policies: &mut Policies, name: &str) -> bool {
                policies.$field.remove(name).is_some()
            }
        }
    };
}

policy_kind!(Baseline, baselines);
policy_kind!(Profile, profiles);
policy_kind!(Assignment, assignments);

impl PolicyKind for DeviceGroup {
    fn known<'a>(policies: &'a Policies, name: &str) -> Option<&'a Self> {
        policies.groups.get(name).map(|group| group.object.as_ref())
    }
    fn names(policies: &Policies) -> Vec<Arc<str>> {
        policies.groups.keys().cloned().collect()
    }
    fn put(policies: &mut Policies, name: Arc<str>, object: Self, same: bool) {
        let object = Arc::new(object);
        match policies.groups.get_mut(&name) {
            // Compiling the expression again for a status of our own would be waste.
            Some(known) if same => known.object = object,
            _ => {
                policies.groups.insert(name, KnownGroup::new(object));
            }
        }
    }
    fn take(policies: &mut Policies, name: &str) -> bool {
        policies.groups.remove(name).is_some()
    }
}

impl PolicyKind for Waiver {
    const IS_PLANNED: bool = false;

    fn known<'a>(policies: &'a Policies, name: &str) -> Option<&'a Self> {
        policies.waivers.get(name).map(|waiver| waiver.object.as_ref())
    }
    fn names(policies: &Policies) -> Vec<Arc<str>> {
        policies.waivers.keys().cloned().collect()
    }
    fn put(policies: &mut Policies, name: Arc<str>, object: Self, same: bool) {
        let object = Arc::new(object);
        match policies.waivers.get_mut(&name) {
            Some(known) if same => known.object = object,
            _ => {
                policies.waivers.insert(name, KnownWaiver::new(object));
            }
        }
    }
    fn take(policies: &mut Policies, name: &str) -> bool {
        policies.waivers.remove(name).is_some()
    }
}

impl Policies {
    /// The groups that a device belongs to, by name. It does not belong where that cannot be told.
    #[must_use]
    pub fn groups_of(&self, device: &Candidate) -> Arc<[Arc<str>]> {
        let belongs = |members: &Group| members.contains(device).unwrap_or(false);
        self.groups
            .iter()
            .filter(|(_, group)| group.members.as_ref().is_ok_and(belongs))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The assignments that concern a device of these groups, by name, sorted.
    #[must_use]
    pub fn assignments_of(&self, groups: &[Arc<str>]) -> Arc<[Arc<str>]> {
        let groups: BTreeSet<&str> = groups.iter().map(AsRef::as_ref).collect();
        let concerns = |assignment: &Assignment| {
            assignment
                .spec
                .groups
                .iter()
                .any(|group| groups.contains(group.name.as_str()))
        };
        self.assignments
            .iter()
            .filter(|(_, assignment)| concerns(assignment))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// What the compiler needs of these assignments. What they name and is not there is left out; their statuses say so.
    #[must_use]
    pub fn inputs(&self, assignments: &[Arc<str>]) -> Vec<AssignmentInput> {
        assignments
            .iter()
            .filter_map(|name| self.assignments.get(name))
            .map(|found| self.input(found))
            .collect()
    }

    /// The newest git revision among assignments and what they name.
    #[must_use]
    pub fn newest_revision(&self, assignments: &[Arc<str>]) -> Option<Arc<str>> {
        let assignments = assignments.iter().filter_map(|name| self.assignments.get(name));
        assignments
            .filter_map(|assignment| self.newest_of(assignment))
            .max()
            .map(|(_, revision)| revision)
    }

    /// The newest git revision among an assignment and what it names, as its status and its verdicts have it.
    #[must_use]
    pub fn revision_of(&self, assignment: &Assignment) -> Option<Arc<str>> {
        self.newest_of(assignment).map(|(_, revision)| revision)
    }

    fn newest_of(&self, assignment: &Assignment) -> Option<(Option<Timestamp>, Arc<str>)> {
        let baselines = assignment.spec.baselines.iter();
        let baselines = baselines.map(|assigned| self.newest_of_baseline(&assigned.name));
        let profiles = assignment.spec.profiles.iter();
        let profiles = profiles
            .filter_map(|reference| self.profiles.get(reference.name.as_str()))
            .map(|profile| origin(profile.as_ref()));
        baselines
            .chain(profiles)
            .chain([origin(assignment)])
            .flatten()
            .max()
    }

    /// The newest git revision among a baseline and all that it extends.
    fn newest_of_baseline(&self, name: &str) -> Option<(Option<Timestamp>, Arc<str>)> {
        let mut open = vec![name];
        let mut seen = BTreeSet::new();
        let mut newest = None;
        while let Some(name) = open.pop() {
            if let Some(baseline) = self.baselines.get(name).filter(|_| seen.insert(name)) {
                newest = newest.max(origin(baseline.as_ref()));
                open.extend(
                    baseline
                        .spec
                        .extends
                        .iter()
                        .map(|extension| extension.name.as_str()),
                );
            }
        }
        newest
    }

    /// Baselines with all that they inherit, by name.
    #[must_use]
    pub fn resolved<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> BTreeMap<String, Arc<Resolved>> {
        resolve(names, self)
    }

    fn input(&self, assignment: &Assignment) -> AssignmentInput {
        let resolved = self.resolved(named(assignment));
        let baselines = assignment.spec.baselines.iter().filter_map(|assigned| {
            Some(BaselineInput {
                name: assigned.name.as_str().into(),
                baseline: Arc::clone(resolved.get(&assigned.name)?),
                parameters: assigned.parameters.clone(),
                excluded: assigned.exclude_rules.clone(),
                revision: self
                    .newest_of_baseline(&assigned.name)
                    .map(|(_, revision)| revision),
            })
        });
        let profiles = assignment.spec.profiles.iter().filter_map(|reference| {
            let profile = self.profiles.get(reference.name.as_str())?;
            Some(ProfileInput {
                name: reference.name.as_str().into(),
                spec: Arc::new(profile.spec.clone()),
                revision: revision(profile.as_ref()),
            })
        });
        AssignmentInput {
            name: assignment.name_any().into(),
            revision: self.revision_of(assignment),
            mode: assignment.spec.mode,
            precedence: assignment.spec.precedence,
            baselines: baselines.collect(),
            profiles: profiles.collect(),
        }
    }

    /// What an assignment names and is not there, as `Baseline x`.
    #[must_use]
    pub fn missing(&self, assignment: &Assignment) -> Vec<String> {
        let spec = &assignment.spec;
        let groups = spec.groups.iter().map(|group| group.name.as_str());
        let groups = groups
            .filter(|name| !self.groups.contains_key(*name))
            .map(|name| format!("DeviceGroup {name}"));
        let baselines = self.missing_baselines(named(assignment));
        let baselines = baselines.into_iter().map(|name| format!("Baseline {name}"));
        let profiles = spec.profiles.iter().map(|profile| profile.name.as_str());
        let profiles = profiles
            .filter(|name| !self.profiles.contains_key(*name))
            .map(|name| format!("Profile {name}"));
        groups.chain(baselines).chain(profiles).collect()
    }

    /// Those of these baselines, and of all that they extend, that are not there.
    fn missing_baselines<'p>(&'p self, names: impl Iterator<Item = &'p str>) -> Vec<&'p str> {
        let mut open: Vec<&str> = names.collect();
        // The last is looked at first.
        open.reverse();
        let mut seen = BTreeSet::new();
        let mut missing = Vec::new();
        while let Some(name) = open.pop() {
            if !seen.insert(name) {
                continue;
            }
            match self.baselines.get(name) {
                Some(baseline) => open.extend(
                    baseline
                        .spec
                        .extends
                        .iter()
                        .map(|extension| extension.name.as_str()),
                ),
                None => missing.push(name),
            }
        }
        missing
    }

    /// What is wrong in an assignment, as far as the baselines that are there can tell.
    #[must_use]
    pub fn mistakes(&self, assignment: &Assignment) -> Vec<SpecError> {
        checked_where_known(&assignment.spec, &self.resolved(named(assignment)))
    }
}

impl Family for Policies {
    fn spec(&self, name: &str) -> Option<Arc<BaselineSpec>> {
        self.baselines
            .get(name)
            .map(|baseline| Arc::new(baseline.spec.clone()))
    }

    fn names(&self) -> Vec<&str> {
        self.baselines.keys().map(AsRef::as_ref).collect()
    }
}

/// The baselines that an assignment names.
fn named(assignment: &Assignment) -> impl Iterator<Item = &str> {
    assignment
        .spec
        .baselines
        .iter()
        .map(|assigned| assigned.name.as_str())
}

/// The mistakes of an assignment; that a baseline is not among `baselines` is none: it may come from elsewhere, or later.
#[must_use]
pub fn checked_where_known(
    spec: &crate::api::AssignmentSpec,
    baselines: &BTreeMap<String, Arc<Resolved>>,
) -> Vec<SpecError> {
    let unknown: Vec<String> = spec
        .baselines
        .iter()
        .enumerate()
        .filter_map(|(index, assigned)| match baselines.get(&assigned.name) {
            None => Some(format!("spec.baselines[{index}].name")),
            // It lacks what it extends: which rules and parameters it has cannot be told.
            Some(found) => found.incomplete.then(|| format!("spec.baselines[{index}].")),
        })
        .collect();
    let mut mistakes = check_assignment_against(spec, baselines);
    mistakes.retain(|mistake| !unknown.iter().any(|field| mistake.field.starts_with(field)));
    mistakes
}

/// The git revision that last changed an object.
pub fn revision<K: Resource>(object: &K) -> Option<Arc<str>> {
    object
        .annotations()
        .get(names::REVISION_ANNOTATION)
        .map(|revision| revision.as_str().into())
}

/// The git revision that last changed an object, after when it was committed. Revisions of unknown time are older than all others.
fn origin<K: Resource>(object: &K) -> Option<(Option<Timestamp>, Arc<str>)> {
    let committed_at = object.annotations().get(names::COMMITTED_AT_ANNOTATION);
    Some((committed_at.and_then(|time| time.parse().ok()), revision(object)?))
}

/// Whether two versions of an object mean the same to policy: same object, same spec, same revision.
pub fn same<K: Resource>(a: &K, b: &K) -> bool {
    let (one, other) = (a.meta(), b.meta());
    one.uid == other.uid && one.generation == other.generation && revision(a) == revision(b)
}

#[cfg(test)]
mod tests;
