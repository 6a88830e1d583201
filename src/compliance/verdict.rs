//! Verdicts: what the facts say about each demand.
//!
//! No evidence is never a failure, and an old revision is no evidence about the new one: both are unknown, with the reason.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check;
use super::demand::{Demand, Evidence};
use super::facts::{DeclarationState, Facts, Source, Variables};
use crate::api::common::Verdict;
use crate::expression::{Obstacle, Path, Program};

/// How many values a reason shows.
const SHOWN_VALUES: usize = 3;
/// How long a text value in a reason may be, in characters.
const SHOWN_CHARACTERS: usize = 60;

/// What the evidence says about one demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What the evidence says, for people.
    pub reason: String,
    /// Where it comes from: a [`Source`]'s name, or `Policy`.
    pub source: &'static str,
}

impl Judgement {
    fn new(verdict: Verdict, source: Source, reason: impl Into<String>) -> Self {
        Self {
            verdict,
            reason: reason.into(),
            source: source.into(),
        }
    }

    pub(super) fn by_policy(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self {
            verdict,
            reason: reason.into(),
            source: "Policy",
        }
    }
}

/// Judges each demand; one judgement for each, in their order.
#[must_use]
pub fn judge(demands: &[Demand], facts: &Facts) -> Vec<Judgement> {
    let variables = facts.variables();
    demands
        .iter()
        .map(|demand| judge_with(&demand.evidence, facts, &variables))
        .collect()
}

/// What the device reported of what an evidence is judged by, by path or identifier; what it did not report is absent.
#[must_use]
pub fn observed_values(evidence: &Evidence, facts: &Facts) -> BTreeMap<String, Value> {
    let declaration = |identifier: &str| {
        let state = facts.declarations.get(identifier)?;
        // Plain data, which JSON can always be made of.
        Some((identifier.to_owned(), serde_json::to_value(state).ok()?))
    };
    let profile = |identifier: &str| {
        let uuid = facts.profiles.as_ref()?.get(identifier)?;
        Some((identifier.to_owned(), Value::String(uuid.clone())))
    };
    match evidence {
        Evidence::Cel { program, .. } => {
            let variables = facts.variables();
            let variables: Vec<(&str, &Value)> = variables.roots().collect();
            let found = program
                .paths()
                .iter()
                .filter_map(|path| Some((path, find(path, &variables)?)));
            found
                .map(|(path, value)| (path.to_string(), value.clone()))
                .collect()
        }
        Evidence::InstalledDeclaration { identifier, .. } => declaration(identifier).into_iter().collect(),
        Evidence::InstalledProfile {
            identifier,
            via_declaration,
            ..
        } => {
            let via = via_declaration
                .as_ref()
                .and_then(|(identifier, _)| declaration(identifier));
            profile(identifier).into_iter().chain(via).collect()
        }
        Evidence::NotApplicable { .. } | Evidence::Conflict { .. } | Evidence::None { .. } => BTreeMap::new(),
    }
}

/// Judges one piece of evidence.
#[must_use]
pub fn judge_evidence(evidence: &Evidence, facts: &Facts) -> Judgement {
    judge_with(evidence, facts, &facts.variables())
}

fn judge_with(evidence: &Evidence, facts: &Facts, variables: &Variables<'_>) -> Judgement {
    match evidence {
        Evidence::NotApplicable { reason } => Judgement::by_policy(Verdict::NotApplicable, &**reason),
        Evidence::Cel { program, parameters } => judge_check(program, parameters, facts, variables),
        Evidence::InstalledDeclaration {
            identifier,
            server_token,
        } => judge_declaration(identifier, server_token, facts)
            .unwrap_or_else(|waiting| Judgement::new(Verdict::Unknown, Source::StatusReport, waiting)),
        Evidence::InstalledProfile {
            identifier,
            uuid,
            via_declaration,
        } => judge_profile(
            identifier,
            uuid,
            via_declaration.as_ref().map(|(i, t)| (&**i, &**t)),
            facts,
        ),
        Evidence::Conflict { setting, with } => Judgement::by_policy(
            Verdict::Unknown,
            format!("conflict: {setting} contradicts {with}; neither value is served"),
        ),
        Evidence::None { reason } => Judgement::by_policy(Verdict::Unknown, &**reason),
    }
}

fn judge_check(program: &Program, parameters: &Value, facts: &Facts, variables: &Variables<'_>) -> Judgement {
    let roots: Vec<(&str, &Value)> = variables
        .roots()
        .chain([(check::PARAMETERS, parameters)])
        .collect();
    let source_of = |root: &str, key: Option<&str>| Some(variables.source_of(check::source(root)?, key));
    let source = program
        .paths()
        .iter()
        .find_map(|path| source_of(&path.root, path.keys.first().map(|key| &**key)));
    let judgement = |verdict, reason| match source {
        Some(source) => Judgement::new(verdict, source, reason),
        None => Judgement::by_policy(verdict, reason),
    };
    match program.evaluate(&roots) {
        Ok(true) => judgement(Verdict::Pass, observed(program, &roots)),
        Ok(false) => judgement(Verdict::Fail, observed(program, &roots)),
        Err(Obstacle::NotReported { path }) => {
            let root = path.split(['.', '[']).next().unwrap_or_default();
            let reason = match untold(facts, &path) {
                Some(error) => format!("{path} was not reported: {error}"),
                None => format!("{path} was not reported"),
            };
            match check::source(root) {
                Some(source) => Judgement::new(Verdict::Unknown, source, reason),
                None => judgement(Verdict::Unknown, reason),
            }
        }
        Err(obstacle) => judgement(Verdict::Unknown, obstacle.to_string()),
    }
}

/// Why the device could not tell a status item.
fn untold<'f>(facts: &'f Facts, path: &str) -> Option<&'f str> {
    let item = path.strip_prefix("StatusItems.")?;
    let known = facts.item_errors.iter().find(|(name, reason)| {
        let rest = item.strip_prefix(name.as_str());
        !reason.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    });
    known.map(|(_, reason)| reason.as_str())
}

/// What a check saw, such as `SecurityInfo.FDE_Enabled is false`.
fn observed(program: &Program, variables: &[(&str, &Value)]) -> String {
    let mut seen = Vec::new();
    for path in program
        .paths()
        .iter()
        .filter(|path| path.root != check::PARAMETERS)
    {
        let shown = match find(path, variables) {
            None => "not reported".to_owned(),
            Some(Value::String(text)) if text.chars().count() > SHOWN_CHARACTERS => "a long text".to_owned(),
            Some(Value::Array(list)) => format!("a list of {}", list.len()),
            Some(Value::Object(_)) => continue,
            Some(value) => value.to_string(),
        };
        seen.push(format!("{path} is {shown}"));
        if seen.len() == SHOWN_VALUES {
            break;
        }
    }
    if seen.is_empty() {
        program.source().to_owned()
    } else {
        seen.join(", ")
    }
}

fn find<'a>(path: &Path, variables: &[(&str, &'a Value)]) -> Option<&'a Value> {
    let (_, root) = variables.iter().find(|(name, _)| *name == path.root)?;
    path.keys.iter().try_fold(*root, |value, key| value.get(key))
}

/// The judgement by the state that the device reports of exactly this revision; else why there is none.
fn judge_declaration(identifier: &str, server_token: &str, facts: &Facts) -> Result<Judgement, String> {
    let Some(state) = facts.declarations.get(identifier) else {
        return Err(if facts.reports.contains_key(&Source::StatusReport) {
            format!("the device has not reported the declaration {identifier}")
        } else {
            "the device has sent no status report".to_owned()
        });
    };
    if state.server_token != server_token {
        return Err(format!(
            "the device holds another revision of the declaration {identifier}"
        ));
    }
    let because = |what: &str| match state.reasons.as_slice() {
        [] => format!("the declaration {identifier} is {what}"),
        reasons => format!("the declaration {identifier} is {what}: {}", reasons.join("; ")),
    };
    let judgement = |verdict, reason| Judgement::new(verdict, Source::StatusReport, reason);
    Ok(match (state.active, state.valid.as_str()) {
        (true, "valid") if proves(state) => judgement(Verdict::Pass, because("active and valid")),
        (true, "valid") => judgement(Verdict::Unknown, because("active, with reservations")),
        (_, "invalid") => judgement(Verdict::Fail, because("invalid")),
        (false, "valid") => judgement(Verdict::Fail, because("not active")),
        (_, _) => judgement(Verdict::Unknown, because("not yet validated by the device")),
    })
}

/// Active and valid proves the content only without errors, and where the device does not say that it lacks some of the settings.
fn proves(state: &DeclarationState) -> bool {
    !state
        .reasons
        .iter()
        .any(|reason| reason.starts_with("Error.") || reason.starts_with("Info.UnsupportedSettings"))
}

fn judge_profile(
    identifier: &str,
    uuid: &str,
    via_declaration: Option<(&str, &str)>,
    facts: &Facts,
) -> Judgement {
    let time = |source| facts.reports.get(&source).map(|report| report.observed_at);
    let installed = facts.profiles.as_ref().map(|profiles| profiles.get(identifier));
    let waiting = match via_declaration.map(|(id, token)| judge_declaration(id, token, facts)) {
        Some(Ok(judgement)) => {
            // A profile that is gone from a later list is gone, whatever the declaration said when it was applied.
            let gone =
                matches!(installed, Some(None)) && time(Source::ProfileList) > time(Source::StatusReport);
            if !(gone && judgement.verdict == Verdict::Pass) {
                return judgement;
            }
            None
        }
        Some(Err(waiting)) => Some(waiting),
        None => None,
    };
    let judgement = |verdict, reason| Judgement::new(verdict, Source::ProfileList, reason);
    match (installed, waiting) {
        (Some(Some(held)), _) if held.eq_ignore_ascii_case(uuid) => {
            judgement(Verdict::Pass, format!("the profile {identifier} is installed"))
        }
        (_, Some(waiting)) => Judgement::new(Verdict::Unknown, Source::StatusReport, waiting),
        (None, None) => judgement(Verdict::Unknown, "the device has sent no ProfileList".to_owned()),
        (Some(None), None) => judgement(
            Verdict::Fail,
            format!("the profile {identifier} is not installed"),
        ),
        (Some(Some(_)), None) => judgement(
            Verdict::Unknown,
            format!("the device holds another revision of the profile {identifier}"),
        ),
    }
}

#[cfg(test)]
mod tests;
