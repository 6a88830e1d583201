//! What the planner keeps in memory about one device: a few hundred bytes, never the object's body.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::common::Verdict;
use crate::ids::SerialNumber;
use crate::policy::{Candidate, Plan};
use crate::store::{Enrollment, EnrollmentState};

/// What the watch tells about a Device object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its uid.
    pub uid: String,
    /// Its labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// The generation of its spec.
    pub generation: i64,
    /// Whether somebody deleted it and the finalizer holds it.
    pub deleting: bool,
    /// Whether the finalizer is there.
    pub finalizer: bool,
    /// The value of the reconcile annotation.
    pub reconcile: Option<Arc<str>>,
}

/// One device.
#[derive(Clone)]
pub struct Device {
    /// As the store knows it.
    pub enrollment: Enrollment,
    /// As the Kubernetes API knows it. None: no object (yet).
    pub object: Option<Object>,
    /// The groups it belongs to.
    pub groups: Vec<Arc<str>>,
    /// The assignments that concern it, sorted.
    pub assignments: Arc<[Arc<str>]>,
    /// What its class should hold and meet.
    pub plan: Option<Arc<Plan>>,
    /// The verdict on each of the plan's demands, in their order; empty until judged.
    pub verdicts: Box<[Verdict]>,
    /// A digest of what its status says, times left out. None: not known since the start.
    pub status_digest: Option<u64>,
    /// When to ask for evidence again.
    pub evidence_due: Timestamp,
    /// When it was last told to apply again what it has left.
    pub corrected_at: Option<Timestamp>,
    /// The reconcile annotation last acted upon.
    pub handled: Option<Arc<str>>,
    /// Failed attempts in a row to bring it up to date.
    pub failures: u32,
}

impl Device {
    /// A device that was just met.
    #[must_use]
    pub fn new(enrollment: Enrollment, evidence_due: Timestamp) -> Self {
        Self {
            enrollment,
            object: None,
            groups: Vec::new(),
            assignments: Arc::default(),
            plan: None,
            verdicts: Box::default(),
            status_digest: None,
            evidence_due,
            corrected_at: None,
            handled: None,
            failures: 0,
        }
    }

    /// The labels that selectors see: those of the object, or of the invitation until there is one.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        self.object
            .as_ref()
            .map_or(&self.enrollment.labels, |object| &object.labels)
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
            self.labels().clone(),
        )
    }

    /// Whether it can be told anything.
    #[must_use]
    pub fn active(&self) -> bool {
        self.enrollment.state == EnrollmentState::Enrolled
    }

    /// Whether it has proved to hold what it should.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.enrollment.manifest.is_some() && self.enrollment.manifest == self.enrollment.applied_manifest
    }
}
