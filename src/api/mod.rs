//! The custom resources: what people write and read with `kubectl`.
//!
//! Group `provost.dev`, version `v1alpha1`, all namespaced: a namespace is a fleet. Doc comments become the text of
//! `kubectl explain`. Rules for all kinds: conditions are the contract (`Ready`, kstatus), `observedGeneration` starts
//! at −1, counts always and names capped at twenty, no phase strings, no status write when only time has passed.

#![expect(
    unreachable_pub,
    reason = "the KubeSchema derive repeats each type inside a function"
)]

pub mod assignment;
pub mod baseline;
pub mod common;
pub mod condition;
pub mod crds;
pub mod device;
pub mod device_group;
pub mod git_source;
pub mod names;
pub mod profile;
pub mod push_certificate;
pub mod roles;
pub mod schema;
mod schemas;
pub mod selector;
pub mod waiver;

pub use assignment::{Assignment, AssignmentSpec, AssignmentStatus};
pub use baseline::{Baseline, BaselineSpec, BaselineStatus};
pub use device::{Device, DeviceSpec, DeviceStatus};
pub use device_group::{DeviceGroup, DeviceGroupSpec, DeviceGroupStatus};
pub use git_source::{GitSource, GitSourceSpec, GitSourceStatus};
pub use profile::{Profile, ProfileSpec, ProfileStatus};
pub use push_certificate::{PushCertificate, PushCertificateSpec, PushCertificateStatus};
pub use waiver::{Waiver, WaiverSpec, WaiverStatus};

/// `observedGeneration` before anything was observed: kstatus then reads "in progress", not "current".
#[must_use]
pub const fn unobserved() -> i64 {
    -1
}
