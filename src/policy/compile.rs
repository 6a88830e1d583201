//! Compile: assignments, baselines, profiles and parameters become what one class of devices should hold, and what would
//! prove each rule.
//!
//! Pure and deterministic: the same input, in whatever order assignments, baselines and profiles come, gives the same manifest.
//! Three steps: [`gather`] walks rules and profiles and picks the content for the class; [`assemble`] merges what belongs together and
//! writes profiles and declarations; then each rule gets the evidence that would prove it.

mod assemble;
mod explain;
mod gather;

use std::sync::Arc;

pub use explain::{Carrier, Explanation, Place, RuleAccount, Setting, explain};
pub(in crate::policy) use gather::{Target, select};

use crate::api::ProfileSpec;
use crate::api::assignment::{AssignmentMode, RuleExclusion};
use crate::api::common::{ParameterValues, Verdict};
use crate::compliance::{Checks, Demand, Evidence, Facts, Needs, judge_evidence};
use crate::expression::Path;

use super::declaration;
use super::inheritance::Resolved;
use super::manifest::{Manifest, Section};
use super::platform::DeviceClass;

/// Everything that decides what a class of devices should hold.
#[derive(Debug)]
pub struct CompileInput<'a> {
    /// The fleet.
    pub namespace: &'a str,
    /// The devices.
    pub class: DeviceClass,
    /// The assignments that concern them.
    pub assignments: &'a [AssignmentInput],
    /// Where devices reach Provost, such as `https://mdm.example.com`.
    pub public_url: &'a str,
    /// Checks compiled before.
    pub checks: &'a Checks,
}

/// An assignment, with what it names.
#[derive(Debug, Clone, PartialEq)]
pub struct AssignmentInput {
    /// Its name.
    pub name: Arc<str>,
    /// The newest git revision among the assignment and what it names, as `main@sha1:…`.
    pub revision: Option<Arc<str>>,
    /// Whether content is put on devices.
    pub mode: AssignmentMode,
    /// Decides where assignments want different values.
    pub precedence: i32,
    /// The baselines to meet.
    pub baselines: Vec<BaselineInput>,
    /// The profiles to have.
    pub profiles: Vec<ProfileInput>,
}

/// A baseline, as one assignment wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct BaselineInput {
    /// Its name.
    pub name: Arc<str>,
    /// Its rules, with those that it inherits.
    pub baseline: Arc<Resolved>,
    /// Values for its parameters.
    pub parameters: ParameterValues,
    /// Rules left out.
    pub excluded: Vec<RuleExclusion>,
    /// The newest git revision among it and what it extends; used where the assignment has none.
    pub revision: Option<Arc<str>>,
}

/// A profile.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileInput {
    /// Its name.
    pub name: Arc<str>,
    /// Its content.
    pub spec: Arc<ProfileSpec>,
    /// The git revision that last changed it.
    pub revision: Option<Arc<str>>,
}

/// What a class of devices should hold and meet.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What to hold.
    pub manifest: Manifest,
    /// What to meet.
    pub demands: Vec<Demand>,
    /// What has to be known to tell.
    pub needs: Needs,
    /// Contradictions: what was not served, and who wants it differently.
    pub conflicts: Vec<Conflict>,
    /// What would prove each Profile object installed, by name.
    pub profile_proofs: Vec<ProfileProof>,
    /// The git revision in force: that of the assignment with the highest precedence that has one.
    pub revision: Option<Arc<str>>,
}

/// A setting that is not served, because it is demanded in two ways.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The assignment concerned; a conflict between two is reported for each.
    pub assignment: Arc<str>,
    /// Who contradict each other: `baseline/rule`, or `profile/name`.
    pub rules: [Arc<str>; 2],
    /// The setting, as `type: key`.
    pub setting: String,
    /// All that, for people.
    pub message: String,
}

/// What would prove a Profile object installed.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileProof {
    /// Its name.
    pub profile: Arc<str>,
    /// The git revision that last changed it.
    pub revision: Option<Arc<str>>,
    /// All of these together.
    pub parts: Vec<Evidence>,
}

impl ProfileProof {
    /// Whether facts prove it: the worst of its parts.
    #[must_use]
    pub fn verdict(&self, facts: &Facts) -> Verdict {
        let verdicts: Vec<Verdict> = self
            .parts
            .iter()
            .map(|part| judge_evidence(part, facts).verdict)
            .collect();
        [Verdict::Fail, Verdict::Unknown, Verdict::Pass]
            .into_iter()
            .find(|verdict| verdicts.contains(verdict))
            .unwrap_or(Verdict::NotApplicable)
    }
}

/// Compiles what a class of devices should hold and meet.
#[must_use]
pub fn compile(input: &CompileInput<'_>) -> Plan {
    let mut assignments: Vec<&AssignmentInput> = input.assignments.iter().collect();
    assignments.sort_by(|a, b| b.precedence.cmp(&a.precedence).then_with(|| a.name.cmp(&b.name)));

    let gathered = gather::gather(input, &assignments);
    let mut assembled = assemble::assemble(input, &gathered);

    let demands: Vec<Demand> = gathered
        .drafts
        .iter()
        .map(|draft| draft.demand(&assembled))
        .collect();
    let profile_proofs = gathered
        .profiles
        .iter()
        .map(|profile| profile.proof(&assembled))
        .collect();
    if input.class.declarative {
        let content: Vec<Arc<str>> = assembled
            .declarations
            .iter()
            .filter(|declaration| declaration.section == Section::Configurations)
            .map(|declaration| Arc::clone(&declaration.identifier))
            .collect();
        let content: Vec<&str> = content.iter().map(|identifier| &**identifier).collect();
        assembled.declarations.extend(declaration::management(
            input.namespace,
            &input.class,
            &content,
            &paths(&demands),
        ));
    }
    Plan {
        manifest: Manifest::new(assembled.declarations, assembled.profiles).with_users(assembled.users),
        needs: Needs::of(&demands),
        demands,
        conflicts: assembled.conflicts,
        profile_proofs,
        revision: assignments
            .iter()
            .find_map(|assignment| assignment.revision.clone()),
    }
}

/// What the checks read.
fn paths(demands: &[Demand]) -> Vec<&Path> {
    demands
        .iter()
        .filter_map(|demand| match &demand.evidence {
            Evidence::Cel { program, .. } => Some(program.paths()),
            _ => None,
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests;
