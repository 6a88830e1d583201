//! The status of a DeviceGroup. Pure.

use jiff::Timestamp;
use kube::Resource as _;

use crate::api::DeviceGroupStatus;
use crate::api::condition::{ConditionType, Reason, Statement, merge};
use crate::ids::EnrollmentId;

use super::baseline_status::count;
use super::policies::KnownGroup;
use super::sums::Members;

/// Builds the status from the old one and the members.
#[must_use]
pub(super) fn build(group: &KnownGroup, members: &Members, now: Timestamp) -> DeviceGroupStatus {
    let object = &group.object;
    let old = object.status.clone().unwrap_or_default();
    let generation = object.meta().generation;
    let statements = match &group.members {
        Ok(_) => {
            let message = format!("{} devices belong to it", members.count);
            vec![Statement::new(
                ConditionType::Ready,
                true,
                Reason::Succeeded,
                message,
            )]
        }
        Err(error) => vec![
            Statement::new(ConditionType::Ready, false, Reason::InvalidSpec, error.clone()),
            Statement::new(ConditionType::Stalled, true, Reason::InvalidSpec, error.clone()),
        ],
    };
    DeviceGroupStatus {
        observed_generation: generation.unwrap_or_else(crate::api::unobserved),
        conditions: merge(&old.conditions, &statements, generation, now),
        members: count(members.count),
        sample: members.sample.iter().map(EnrollmentId::device_name).collect(),
    }
}
