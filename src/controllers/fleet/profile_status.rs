//! The status of a Profile. Pure.

use jiff::Timestamp;
use kube::Resource as _;

use crate::api::condition::merge;
use crate::api::{Profile, ProfileStatus};
use crate::ids::Digest;
use crate::policy::check_profile;
use crate::policy::schema::Schema;

use super::baseline_status::{count, spec_statements};
use super::policies::revision;

/// Builds the status from the object and the devices that should have it and that have it.
#[must_use]
pub fn build(profile: &Profile, targeted: usize, applied: usize, now: Timestamp) -> ProfileStatus {
    let old = profile.status.clone().unwrap_or_default();
    let generation = profile.meta().generation;
    let good = || format!("{applied} of {targeted} devices have it");
    let statements = spec_statements(&check_profile(&profile.spec, Schema::in_force()), good);
    ProfileStatus {
        observed_generation: generation.unwrap_or_else(crate::api::unobserved),
        conditions: merge(&old.conditions, &statements, generation, now),
        // Plain data always has a JSON form; the digest names the content, whatever put it there.
        digest: serde_json::to_vec(&profile.spec)
            .ok()
            .map(|bytes| Digest::of(&bytes).to_string()),
        targeted: count(targeted),
        applied: count(applied),
        revision: revision(profile).map(|revision| revision.to_string()),
    }
}
