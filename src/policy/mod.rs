//! Policy, pure: from baselines, profiles and assignments to what each class of devices should hold.

pub mod compile;
pub mod content;
pub mod declaration;
pub mod group;
pub mod manifest;
pub mod merge;
pub mod parameter;
pub mod platform;
pub mod profile;
pub mod spec_check;

pub use compile::{
    AssignmentInput, BaselineInput, CompileInput, Conflict, Plan, ProfileInput, ProfileProof, compile,
};
pub use group::{Candidate, Group, GroupError};
pub use manifest::{Declaration, Manifest, ProfileDocument, Section};
pub use platform::{DeviceClass, OsVersion};
pub use spec_check::{SpecError, check_assignment_against, check_baseline, check_group, check_profile};
