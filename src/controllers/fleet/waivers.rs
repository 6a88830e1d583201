//! The waivers of a fleet: for which devices, and until when. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::api::Waiver;
use crate::api::selector::LabelSelector;
use crate::compliance;
use crate::ids::EnrollmentId;

use super::device::{Device, Key};
use super::policies::Policies;
use super::world::World;

/// A waiver, and whom it is for.
pub struct KnownWaiver {
    /// The object.
    pub object: Arc<Waiver>,
    /// What it says.
    pub terms: Arc<compliance::Waiver>,
    /// The labels it is for. None: it names devices only. Or why that cannot be told, and then it is for nobody.
    pub(super) selector: Result<Option<LabelSelector>, String>,
}

impl KnownWaiver {
    /// Prepares a waiver.
    #[must_use]
    pub fn new(object: Arc<Waiver>) -> Self {
        let spec = &object.spec;
        let terms = compliance::Waiver {
            name: object.name_any().into(),
            rules: spec.rules.iter().map(|rule| rule.as_str().into()).collect(),
            baseline: spec.baseline.as_deref().map(Into::into),
            reason: spec.reason.as_str().into(),
            approved_by: spec.approved_by.as_str().into(),
            expires_at: spec.expires_at.0,
        };
        let selector = spec.selector.as_ref().map(LabelSelector::from_spec).transpose();
        Self {
            terms: Arc::new(terms),
            selector: selector.map_err(|error| error.to_string()),
            object,
        }
    }

    /// Whether it is for a device.
    pub(super) fn is_for(&self, device: &Device) -> bool {
        self.is_for_object(device.labels(), || device.id().device_name())
    }

    /// Whether it is for the device of which these are the object's labels and name.
    fn is_for_object(&self, labels: &BTreeMap<String, String>, name: impl FnOnce() -> String) -> bool {
        let Ok(selector) = &self.selector else {
            return false;
        };
        let named = &self.object.spec.devices;
        selector.as_ref().is_some_and(|selector| selector.matches(labels))
            || !named.is_empty() && named.contains(&name())
    }
}

impl Policies {
    /// What the waivers say that are for a device and have not ended.
    #[must_use]
    pub fn waivers_for(&self, device: &Device, now: Timestamp) -> Vec<Arc<compliance::Waiver>> {
        self.waivers_in_force(now, |waiver| waiver.is_for(device))
    }

    /// The same of a Device object, by its labels and name.
    #[must_use]
    pub fn waivers_for_object(
        &self,
        labels: &BTreeMap<String, String>,
        name: &str,
        now: Timestamp,
    ) -> Vec<Arc<compliance::Waiver>> {
        self.waivers_in_force(now, |waiver| waiver.is_for_object(labels, || name.to_owned()))
    }

    fn waivers_in_force(
        &self,
        now: Timestamp,
        is_for: impl Fn(&KnownWaiver) -> bool,
    ) -> Vec<Arc<compliance::Waiver>> {
        let waivers = self.waivers.values();
        let in_force = waivers.filter(|waiver| waiver.terms.is_in_force(now) && is_for(waiver));
        in_force.map(|waiver| waiver.terms.clone()).collect()
    }

    /// The rules that a waiver names and no baseline has that is here.
    #[must_use]
    pub fn unknown_rules<'w>(&self, waiver: &'w Waiver) -> Vec<&'w str> {
        let is_meant = |name: &str| {
            waiver
                .spec
                .baseline
                .as_deref()
                .is_none_or(|wanted| wanted == name)
        };
        let is_known = |rule: &str| {
            let mut baselines = self.baselines.iter().filter(|(name, _)| is_meant(name));
            baselines.any(|(_, baseline)| baseline.spec.rules.iter().any(|known| known.id == rule))
        };
        waiver
            .spec
            .rules
            .iter()
            .map(String::as_str)
            .filter(|rule| !is_known(rule))
            .collect()
    }
}

impl World {
    /// The devices that a waiver is for, whether it is in force or not.
    fn meant_by(&self, key: &Key) -> Vec<EnrollmentId> {
        let fleet = self.fleets.get(&key.namespace);
        let Some(waiver) = fleet.and_then(|fleet| fleet.policies.waivers.get(&key.name)) else {
            return Vec::new();
        };
        let of_fleet = self
            .devices
            .values()
            .filter(|device| device.enrollment.namespace == key.namespace);
        of_fleet
            .filter(|device| waiver.is_for(device))
            .map(|device| device.id().clone())
            .collect()
    }

    /// Has the devices judged that a waiver is for, which has changed or is about to.
    pub(super) fn judge_meant_by(&mut self, key: &Key) {
        let meant = self.meant_by(key);
        self.judge.extend(meant);
        if let Some(fleet) = self.fleets.get_mut(&key.namespace) {
            fleet.resum = true;
        }
    }

    /// Has the devices judged that a new or changed waiver is for, now and when it ends.
    pub(super) fn heed_waiver(&mut self, key: &Key) {
        let fleet = self.fleets.get(&key.namespace);
        if let Some(waiver) = fleet.and_then(|fleet| fleet.policies.waivers.get(&key.name)) {
            self.endings.at(waiver.terms.expires_at, key.clone());
        }
        self.judge_meant_by(key);
    }

    /// Has the devices judged for which a waiver has ended by now.
    pub(super) fn end_waivers(&mut self, now: Timestamp) {
        for key in self.endings.due(&now) {
            let fleet = self.fleets.get(&key.namespace);
            let waiver = fleet.and_then(|fleet| fleet.policies.waivers.get(&key.name));
            // It may have been made longer meanwhile, and is noted for its new end.
            if waiver.is_some_and(|waiver| !waiver.terms.is_in_force(now)) {
                self.judge_meant_by(&key);
            }
        }
    }
}
