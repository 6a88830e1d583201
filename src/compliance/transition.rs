//! Transitions: what changed since the verdicts that were recorded before, and how that shows in status.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use super::demand::Demand;
use super::verdict::Judgement;
use crate::api::common::{Verdict, VerdictCounts};
use crate::api::device::{FailingRule, TransitionRecord};

/// The most failing rules and transitions that a status names.
pub const MAX_NAMED: usize = 20;
/// When more rules than this change in the same way at once, history has one record for all of them.
const MAX_ALIKE: usize = 5;
/// How long a reason in a status may be, in characters.
const MAX_REASON: usize = 160;

/// The verdicts of one device, by `baseline/rule`.
pub type Verdicts = BTreeMap<Arc<str>, Verdict>;

/// A change of a verdict or of an enrolment: append-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When.
    pub time: Timestamp,
    /// `baseline/rule`. None: the enrolment itself.
    pub rule: Option<Arc<str>>,
    /// Before. None: there was no verdict.
    pub from: Option<Verdict>,
    /// After. None: the rule no longer applies.
    pub to: Option<Verdict>,
    /// The git revision in force.
    pub revision: Option<Arc<str>>,
    /// Where the evidence comes from: a [`crate::compliance::Source`]'s name, `CheckIn` or `Policy`.
    pub evidence: Arc<str>,
    /// What happened, for people.
    pub reason: String,
}

/// How bad a verdict is: where several assignments demand one rule, the worst of their verdicts is the device's.
#[must_use]
pub const fn badness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::NotApplicable => 0,
        Verdict::Pass => 1,
        Verdict::Waived => 2,
        Verdict::Unknown => 3,
        Verdict::Fail => 4,
    }
}

/// The worst judgement for each rule, with its demand. `judgements` are those of `demands`, in their order.
fn worst<'a>(
    demands: &'a [Demand],
    judgements: &'a [Judgement],
) -> BTreeMap<&'a Arc<str>, (&'a Demand, &'a Judgement)> {
    let mut worst: BTreeMap<&Arc<str>, (&Demand, &Judgement)> = BTreeMap::new();
    for (demand, judgement) in demands.iter().zip(judgements) {
        worst
            .entry(demand.key())
            .and_modify(|known| {
                if badness(judgement.verdict) > badness(known.1.verdict) {
                    *known = (demand, judgement);
                }
            })
            .or_insert((demand, judgement));
    }
    worst
}

/// The verdicts now, and every change since `before`. `revision` is the one in force for the device: what rules that no longer apply are put
/// down to. That a rule never was for this device is no change.
#[must_use]
pub fn transitions(
    before: &Verdicts,
    demands: &[Demand],
    judgements: &[Judgement],
    revision: Option<&Arc<str>>,
    now: Timestamp,
) -> (Verdicts, Vec<Transition>) {
    let worst = worst(demands, judgements);
    let mut changes = Vec::new();
    for (key, (demand, judgement)) in &worst {
        let from = before.get(*key).copied();
        let unheard_of = from.is_none() && judgement.verdict == Verdict::NotApplicable;
        if from != Some(judgement.verdict) && !unheard_of {
            changes.push(Transition {
                time: now,
                rule: Some(Arc::clone(key)),
                from,
                to: Some(judgement.verdict),
                revision: demand.revision.clone(),
                evidence: judgement.source.into(),
                reason: judgement.reason.clone(),
            });
        }
    }
    for (key, from) in before {
        if !worst.contains_key(key) && *from != Verdict::NotApplicable {
            changes.push(Transition {
                time: now,
                rule: Some(Arc::clone(key)),
                from: Some(*from),
                to: None,
                revision: revision.cloned(),
                evidence: "Policy".into(),
                reason: "the rule is no longer demanded of this device".to_owned(),
            });
        }
    }
    let verdicts = worst
        .into_iter()
        .map(|(key, (_, judgement))| (Arc::clone(key), judgement.verdict))
        .collect();
    (verdicts, changes)
}

/// How many rules stand where.
#[must_use]
pub fn count(verdicts: impl IntoIterator<Item = Verdict>) -> VerdictCounts {
    let mut counts = VerdictCounts::default();
    for verdict in verdicts {
        match verdict {
            Verdict::Pass => counts.pass += 1,
            Verdict::Fail => counts.fail += 1,
            Verdict::Waived => counts.waived += 1,
            Verdict::Unknown => counts.unknown += 1,
            Verdict::NotApplicable => counts.not_applicable += 1,
        }
    }
    counts
}

/// The rules that fail, worst first, at most [`MAX_NAMED`].
#[must_use]
pub fn failing_rules(demands: &[Demand], judgements: &[Judgement]) -> Vec<FailingRule> {
    let mut failing: Vec<_> = worst(demands, judgements)
        .into_values()
        .filter(|(_, judgement)| judgement.verdict == Verdict::Fail)
        .collect();
    failing.sort_by(|(a, _), (b, _)| b.severity.cmp(&a.severity).then_with(|| a.key().cmp(b.key())));
    failing
        .into_iter()
        .take(MAX_NAMED)
        .map(|(demand, judgement)| FailingRule {
            baseline: demand.baseline.to_string(),
            rule: demand.rule.to_string(),
            severity: demand.severity,
            reason: shortened(&judgement.reason),
            inherited_from: demand.inherited_from.as_deref().map(str::to_owned),
            origin: demand.origin.as_deref().map(shortened),
        })
        .collect()
}

/// In which way a verdict changed: what changed in the same way at once is told as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Enrollment,
    Changed(Option<Verdict>, Option<Verdict>),
    First,
    Gone,
}

impl Way {
    const fn of(transition: &Transition) -> Self {
        match (&transition.rule, transition.from, transition.to) {
            (None, _, _) => Self::Enrollment,
            (Some(_), None, _) => Self::First,
            (Some(_), _, None) => Self::Gone,
            (Some(_), from, to) => Self::Changed(from, to),
        }
    }
}

/// History with what happened at once put before it: newest first, at most [`MAX_NAMED`] records.
#[must_use]
pub fn push_history(old: &[TransitionRecord], new: &[Transition]) -> Vec<TransitionRecord> {
    let mut ways: BTreeMap<Way, Vec<&Transition>> = BTreeMap::new();
    for transition in new {
        ways.entry(Way::of(transition)).or_default().push(transition);
    }
    let mut history = Vec::new();
    for (way, alike) in ways {
        if way == Way::Enrollment || alike.len() <= MAX_ALIKE {
            history.extend(alike.iter().rev().map(|transition| TransitionRecord {
                reason: shortened(&transition.reason),
                ..record(transition)
            }));
        } else {
            history.extend(summary(way, &alike));
        }
    }
    history.sort_by_key(|record| std::cmp::Reverse(record.time.0));
    history.extend_from_slice(old);
    history.truncate(MAX_NAMED);
    history
}

/// A transition as a status has it, in full.
#[must_use]
pub fn record(transition: &Transition) -> TransitionRecord {
    TransitionRecord {
        time: Time(transition.time),
        rule: transition.rule.as_deref().map(str::to_owned),
        from: transition.from,
        to: transition.to,
        revision: transition.revision.as_deref().map(str::to_owned),
        evidence: transition.evidence.to_string(),
        reason: transition.reason.clone(),
    }
}

/// One record for many rules, such as `25 rules: 22 Pass, 3 Unknown (first evaluation)`.
fn summary(way: Way, alike: &[&Transition]) -> Option<TransitionRecord> {
    let last = alike.last()?;
    let shared = |of: fn(&Transition) -> Option<&str>| {
        let first = alike.first().and_then(|transition| of(transition));
        alike
            .iter()
            .all(|transition| of(transition) == first)
            .then_some(first)
            .flatten()
            .map(str::to_owned)
    };
    let reason = match way {
        Way::First => {
            let counts = count(alike.iter().filter_map(|transition| transition.to));
            let named = [
                (counts.fail, Verdict::Fail),
                (counts.pass, Verdict::Pass),
                (counts.waived, Verdict::Waived),
                (counts.unknown, Verdict::Unknown),
                (counts.not_applicable, Verdict::NotApplicable),
            ];
            let named: Vec<String> = named
                .iter()
                .filter(|(n, _)| *n > 0)
                .map(|(n, verdict)| format!("{n} {verdict}"))
                .collect();
            format!("{} rules: {} (first evaluation)", alike.len(), named.join(", "))
        }
        Way::Gone => format!("{} rules are no longer demanded of this device", alike.len()),
        Way::Changed(..) | Way::Enrollment => {
            format!(
                "{} rules, such as {}: {}",
                alike.len(),
                last.rule.as_deref().unwrap_or_default(),
                last.reason
            )
        }
    };
    Some(TransitionRecord {
        time: Time(last.time),
        rule: None,
        from: last.from,
        to: last
            .to
            .filter(|to| alike.iter().all(|transition| transition.to == Some(*to))),
        revision: shared(|transition| transition.revision.as_deref()),
        evidence: shared(|transition| Some(&transition.evidence)).unwrap_or_else(|| "Policy".to_owned()),
        reason: shortened(&reason),
    })
}

/// A reason that fits into a status.
fn shortened(reason: &str) -> String {
    if reason.chars().count() <= MAX_REASON {
        return reason.to_owned();
    }
    let mut short: String = reason.chars().take(MAX_REASON - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests;
