//! Compliance, pure: from reports to facts, from facts to verdicts, from changed verdicts to transitions.
//!
//! [`facts`] keeps what a device said; [`demand`] is one rule as one class of devices must meet it, with the way to tell;
//! [`inquiry`] finds what to ask for that; [`verdict`] judges demands by facts; [`waiver`] excepts some for a time; [`transition`] compares with what was
//! recorded before. [`rollup`] sums up verdicts for the controls of [`frameworks`].

pub mod check;
pub mod demand;
pub mod facts;
pub mod frameworks;
pub mod inquiry;
pub mod rollup;
pub mod transition;
pub mod verdict;
pub mod waiver;

pub use check::Checks;
pub use demand::{Demand, Evidence};
pub use facts::{DeclarationState, Facts, Report, Source, StatusError};
pub use inquiry::{Moment, Needs, Occasion, Question, Subject, next_look, questions};
pub use rollup::{by_control, present, roll_up, sum};
pub use transition::{
    Transition, Verdicts, badness, count, failing_rules, push_history, record, transitions,
};
pub use verdict::{Judgement, judge, judge_evidence, observed_values};
pub use waiver::{Waived, Waiver, waive};
