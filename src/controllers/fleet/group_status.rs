//! The status of a DeviceGroup. Pure.

use jiff::Timestamp;
use kube::Resource as _;

use crate::api::DeviceGroupStatus;
use crate::api::condition::{ConditionType, Reason, Statement, merge};

use super::policies::KnownGroup;

/// Builds the status from the old one and the names of the members.
#[must_use]
pub fn build(group: &KnownGroup, members: usize, sample: Vec<String>, now: Timestamp) -> DeviceGroupStatus {
    let object = &group.object;
    let old = object.status.clone().unwrap_or_default();
    let generation = object.meta().generation;
    let statements = match &group.members {
        Ok(_) => {
            vec![Statement::new(
                ConditionType::Ready,
                true,
                Reason::Succeeded,
                format!("{members} devices belong to it"),
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
        members: i64::try_from(members).unwrap_or(i64::MAX),
        sample,
    }
}
