//! Policy, pure: from baselines, profiles and assignments to what each class of devices should hold.
//!
//! [`inheritance`] puts a baseline together with those that it extends. [`spec_check`] finds mistakes when an object is written. [`group`] says who is concerned. [`compile`](mod@compile)
//! makes the [`manifest`] of one class of devices, and what would prove each rule, by way of [`parameter`] (values),
//! [`merge`] (the law), [`profile`] and [`declaration`] (what devices read), with the facts of [`platform`] and of
//! Apple's [`schema`]. [`difference`] compares what two policies come to.

pub mod compile;
pub mod content;
pub mod declaration;
pub mod difference;
pub mod group;
pub mod inheritance;
pub mod manifest;
pub mod merge;
pub mod parameter;
pub mod platform;
pub mod profile;
pub mod schema;
mod side_by_side;
pub mod spec_check;

pub use compile::{
    AssignmentInput, BaselineInput, CompileInput, Conflict, Explanation, Plan, ProfileInput, ProfileProof,
    compile, explain,
};
pub use group::{Candidate, Group, GroupError};
pub use inheritance::Resolved;
pub use manifest::{Declaration, Manifest, ProfileDocument, Section};
pub use platform::{DeviceClass, Lacks, OsVersion};
pub use side_by_side::side_by_side;
pub use spec_check::{
    Findings, SpecError, check_assignment_against, check_baseline, check_group, check_profile,
    check_resolved, check_waiver,
};
