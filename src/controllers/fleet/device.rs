//! What the planner keeps in memory about one device: a few hundred bytes, never the object's body.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::common::Verdict;
use crate::api::names;
use crate::compliance::{Occasion, Source};
use crate::ids::{EnrollmentId, Namespace, SerialNumber};
use crate::policy::{Candidate, Plan};
use crate::store::{Enrollment, EnrollmentState};

/// The longest value of a reconcile annotation that is told apart (and echoed), in bytes: a status stays small.
pub const LONGEST_REQUEST: usize = 256;

/// The name of a Device object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The fleet.
    pub namespace: Namespace,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl Key {
    /// The name of the object of an enrolment.
    #[must_use]
    pub fn of(enrollment: &Enrollment) -> Self {
        Self {
            namespace: enrollment.namespace.clone(),
            name: enrollment.id.device_name().into(),
        }
    }
}

/// What the watch tells about a Device object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its uid.
    pub uid: Arc<str>,
    /// Its labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// The generation of its spec.
    pub generation: i64,
    /// When somebody deleted it; the finalizer holds it since.
    pub deleted_at: Option<Timestamp>,
    /// Whether the finalizer is there.
    pub finalizer: bool,
    /// The value of the reconcile annotation, at most [`LONGEST_REQUEST`] bytes of it.
    pub reconcile: Option<Arc<str>>,
}

impl Object {
    /// What to keep of an object.
    #[must_use]
    pub fn read<K: kube::Resource>(object: &K) -> Self {
        let meta = object.meta();
        let has_finalizer =
            |finalizers: &Vec<String>| finalizers.iter().any(|name| name == names::DEVICE_FINALIZER);
        let request = meta
            .annotations
            .as_ref()
            .and_then(|all| all.get(names::RECONCILE_ANNOTATION));
        Self {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            labels: Arc::new(meta.labels.clone().unwrap_or_default()),
            generation: meta.generation.unwrap_or_default(),
            deleted_at: meta.deletion_timestamp.as_ref().map(|time| time.0),
            finalizer: meta.finalizers.as_ref().is_some_and(has_finalizer),
            reconcile: request.map(|value| {
                value
                    .get(..value.floor_char_boundary(LONGEST_REQUEST))
                    .unwrap_or(value)
                    .into()
            }),
        }
    }

    /// Whether somebody deleted it and the finalizer holds it.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.deleted_at.is_some() && self.finalizer
    }
}

/// One device.
#[derive(Debug)]
pub struct Device {
    /// As the store knows it; its labels are in `invited`.
    pub enrollment: Enrollment,
    /// The labels that a new object gets: those of the invitation, and what every Device has.
    pub invited: Arc<BTreeMap<String, String>>,
    /// As the Kubernetes API knows it. None: no object (yet).
    pub object: Option<Object>,
    /// The groups it belongs to.
    pub groups: Arc<[Arc<str>]>,
    /// The assignments that concern it, sorted.
    pub assignments: Arc<[Arc<str>]>,
    /// What its class should hold and meet.
    pub plan: Option<Arc<Plan>>,
    /// The verdict on each of the plan's demands, in their order; empty until judged.
    pub verdicts: Box<[Verdict]>,
    /// Whether each Profile object of the plan is proved to be installed, in the order of its proofs; empty until judged.
    pub profiles: Box<[bool]>,
    /// Whether the newest facts prove the plan's manifest. None: not judged since it was made or changed.
    pub holds: Option<bool>,
    /// Whether the orders that bring it to its manifest are queued, for all that is known.
    pub ordered: bool,
    /// A digest of what its status says, times left out. None: not known since the start.
    pub status_digest: Option<u64>,
    /// When to ask for evidence again.
    pub evidence_due: Timestamp,
    /// Why then.
    pub occasion: Occasion,
    /// Which questions were last asked when, as far as is known since the start.
    pub asked: Box<[(Source, Timestamp)]>,
    /// When it was last told to apply again what it has left.
    pub corrected_at: Option<Timestamp>,
    /// The reconcile annotation last acted upon.
    pub handled: Option<Arc<str>>,
}

impl Device {
    /// A device that was just met.
    #[must_use]
    pub fn new(mut enrollment: Enrollment, evidence_due: Timestamp) -> Self {
        let mut invited = std::mem::take(&mut enrollment.labels);
        invited.insert(names::PLATFORM_LABEL.to_owned(), enrollment.platform.to_string());
        invited.insert(
            names::ENROLLMENT_MODE_LABEL.to_owned(),
            enrollment.mode.to_string(),
        );
        Self {
            invited: Arc::new(invited),
            object: None,
            groups: Arc::default(),
            assignments: Arc::default(),
            plan: None,
            verdicts: Box::default(),
            profiles: Box::default(),
            holds: None,
            // What it has proved to hold needs no order.
            ordered: enrollment.manifest.is_some() && enrollment.manifest == enrollment.applied_manifest,
            status_digest: None,
            evidence_due,
            occasion: Occasion::Schedule,
            asked: Box::default(),
            corrected_at: None,
            handled: None,
            enrollment,
        }
    }

    /// Who it is.
    #[must_use]
    pub const fn id(&self) -> &EnrollmentId {
        &self.enrollment.id
    }

    /// The labels that selectors see: those of the object, or those it will be made with.
    #[must_use]
    pub fn labels(&self) -> &Arc<BTreeMap<String, String>> {
        self.object
            .as_ref()
            .map_or(&self.invited, |object| &object.labels)
    }

    /// What groups see.
    #[must_use]
    pub fn candidate(&self) -> Candidate {
        let enrollment = &self.enrollment;
        Candidate::new(
            enrollment.platform,
            &enrollment.os_version,
            enrollment.mode,
            enrollment.model.as_deref(),
            enrollment.serial_number.as_ref().map(SerialNumber::as_str),
            (**self.labels()).clone(),
        )
    }

    /// Whether it can be told anything.
    #[must_use]
    pub fn active(&self) -> bool {
        self.enrollment.state == EnrollmentState::Enrolled
    }

    /// Whether it has proved to hold what it should, at some time.
    #[must_use]
    pub fn has_applied(&self) -> bool {
        self.enrollment.manifest.is_some() && self.enrollment.manifest == self.enrollment.applied_manifest
    }

    /// Whether it has proved to hold what it should, and its newest reports do not say otherwise.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.has_applied() && self.holds != Some(false)
    }

    /// Notes that questions were asked.
    pub fn note_asked(&mut self, sources: &[Source], now: Timestamp) {
        let before = self.asked.iter().filter(|(source, _)| !sources.contains(source));
        self.asked = before
            .copied()
            .chain(sources.iter().map(|source| (*source, now)))
            .collect();
    }

    /// Whether something that is served to it is not proved to be in effect: telling it to apply again can help.
    #[must_use]
    pub fn needs_correction(&self) -> bool {
        let Some(plan) = &self.plan else { return false };
        let mut demands = plan.demands.iter().zip(&self.verdicts);
        self.holds == Some(false)
            || demands.any(|(demand, verdict)| {
                demand.enforced && matches!(verdict, Verdict::Fail | Verdict::Unknown)
            })
    }

    /// Whether a rule that content is served for fails.
    #[must_use]
    pub fn fails_what_is_served(&self) -> bool {
        let demands = self.plan.iter().flat_map(|plan| &plan.demands);
        demands
            .zip(&self.verdicts)
            .any(|(demand, verdict)| demand.enforced && *verdict == Verdict::Fail)
    }

    /// Begins anew: the device has enrolled again, and nothing that was known of it holds.
    pub fn begin_anew(&mut self, enrollment: Enrollment, evidence_due: Timestamp) {
        let object = self.object.take();
        *self = Self {
            object,
            ..Self::new(enrollment, evidence_due)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_takes_little_memory() {
        // 100,000 of them, with the texts they point to, have to stay well under 100 MB.
        assert!(size_of::<Device>() <= 704, "{}", size_of::<Device>());
    }

    #[test]
    fn a_long_request_is_cut_at_a_character() {
        let mut object = crate::api::Device::new("a", crate::api::DeviceSpec::default());
        let request = format!("{}é", "x".repeat(LONGEST_REQUEST - 1));
        object.metadata.annotations = Some([(names::RECONCILE_ANNOTATION.to_owned(), request)].into());
        assert_eq!(
            Object::read(&object).reconcile.unwrap().len(),
            LONGEST_REQUEST - 1
        );
    }
}
