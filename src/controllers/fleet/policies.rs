//! The policy objects of one fleet, and what they mean for one device. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::api::{Assignment, Baseline, DeviceGroup, Profile, names};
use crate::policy::{AssignmentInput, BaselineInput, Candidate, Group, ProfileInput};

/// The policy objects of one fleet.
#[derive(Default)]
pub struct Policies {
    /// Baselines by name.
    pub baselines: BTreeMap<String, Arc<Baseline>>,
    /// Profiles by name.
    pub profiles: BTreeMap<String, Arc<Profile>>,
    /// Groups by name, ready to be asked.
    pub groups: BTreeMap<String, KnownGroup>,
    /// Assignments by name.
    pub assignments: BTreeMap<String, Arc<Assignment>>,
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

impl Policies {
    /// The groups that a device belongs to, by name. It does not belong where that cannot be told.
    #[must_use]
    pub fn groups_of(&self, device: &Candidate) -> Vec<Arc<str>> {
        let belongs = |members: &Group| members.contains(device).unwrap_or(false);
        self.groups
            .iter()
            .filter(|(_, group)| group.members.as_ref().is_ok_and(belongs))
            .map(|(name, _)| Arc::from(name.as_str()))
            .collect()
    }

    /// The assignments that concern a device of these groups, by name, sorted.
    #[must_use]
    pub fn assignments_of(&self, groups: &[Arc<str>]) -> Arc<[Arc<str>]> {
        let groups: BTreeSet<&str> = groups.iter().map(AsRef::as_ref).collect();
        self.assignments
            .iter()
            .filter(|(_, assignment)| {
                assignment
                    .spec
                    .groups
                    .iter()
                    .any(|group| groups.contains(group.name.as_str()))
            })
            .map(|(name, _)| Arc::from(name.as_str()))
            .collect()
    }

    /// What the compiler needs of these assignments. What they name and is not there is left out; their statuses say so.
    #[must_use]
    pub fn inputs(&self, assignments: &[Arc<str>]) -> Vec<AssignmentInput> {
        assignments
            .iter()
            .filter_map(|name| self.assignments.get(&**name))
            .map(|found| self.input(found))
            .collect()
    }

    /// The newest git revision among assignments and what they name.
    #[must_use]
    pub fn newest_revision(&self, assignments: &[Arc<str>]) -> Option<Arc<str>> {
        let assignments: Vec<_> = assignments
            .iter()
            .filter_map(|name| self.assignments.get(&**name))
            .collect();
        let own = assignments
            .iter()
            .map(|object| (committed_at(object.as_ref()), revision(object.as_ref())));
        let baselines = assignments.iter().flat_map(|object| &object.spec.baselines);
        let baselines = baselines
            .filter_map(|assigned| self.baselines.get(&assigned.name))
            .map(|object| (committed_at(object.as_ref()), revision(object.as_ref())));
        let profiles = assignments.iter().flat_map(|object| &object.spec.profiles);
        let profiles = profiles
            .filter_map(|reference| self.profiles.get(&reference.name))
            .map(|object| (committed_at(object.as_ref()), revision(object.as_ref())));
        own.chain(baselines)
            .chain(profiles)
            .filter(|(_, revision)| revision.is_some())
            .max()?
            .1
    }

    fn input(&self, assignment: &Assignment) -> AssignmentInput {
        let baselines = assignment.spec.baselines.iter().filter_map(|assigned| {
            let baseline = self.baselines.get(&assigned.name)?;
            Some(BaselineInput {
                name: assigned.name.as_str().into(),
                spec: Arc::new(baseline.spec.clone()),
                parameters: assigned.parameters.clone(),
                excluded: assigned.exclude_rules.clone(),
                revision: revision(baseline.as_ref()),
            })
        });
        let profiles = assignment.spec.profiles.iter().filter_map(|reference| {
            let profile = self.profiles.get(&reference.name)?;
            Some(ProfileInput {
                name: reference.name.as_str().into(),
                spec: Arc::new(profile.spec.clone()),
                revision: revision(profile.as_ref()),
            })
        });
        let name: Arc<str> = assignment.name_any().into();
        AssignmentInput {
            revision: self.newest_revision(std::slice::from_ref(&name)),
            name,
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
        let groups = spec
            .groups
            .iter()
            .filter(|group| !self.groups.contains_key(&group.name))
            .map(|group| format!("DeviceGroup {}", group.name));
        let baselines = spec
            .baselines
            .iter()
            .filter(|baseline| !self.baselines.contains_key(&baseline.name))
            .map(|baseline| format!("Baseline {}", baseline.name));
        let profiles = spec
            .profiles
            .iter()
            .filter(|profile| !self.profiles.contains_key(&profile.name))
            .map(|profile| format!("Profile {}", profile.name));
        groups.chain(baselines).chain(profiles).collect()
    }
}

/// The git revision that last changed an object.
pub fn revision<K: kube::Resource>(object: &K) -> Option<Arc<str>> {
    object
        .annotations()
        .get(names::REVISION_ANNOTATION)
        .map(|revision| revision.as_str().into())
}

/// When that revision was committed.
fn committed_at<K: kube::Resource>(object: &K) -> Option<Timestamp> {
    object
        .annotations()
        .get(names::COMMITTED_AT_ANNOTATION)?
        .parse()
        .ok()
}
