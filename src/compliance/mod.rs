//! Compliance, pure: from reports to facts, from facts to verdicts, from changed verdicts to transitions.

pub mod facts;

pub use facts::{DeclarationState, Facts, Report, Source};
