//! The verdict on a rule: as the server tells it, or as far as a device's status does. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::Value;

use super::explain::{Asked, all_leave_out, class};
use crate::api::common::Verdict;
use crate::api::device::{DeviceStatus, TransitionRecord};
use crate::app::evidence::RuleRecord;
use crate::cli::plugin::rule::Demanded;
use crate::cli::plugin::words;
use crate::policy::platform::describe;

/// The verdict, as far as it can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli::plugin) struct Finding {
    /// None: the status does not say.
    pub(super) verdict: Option<Verdict>,
    /// What the evidence says, or why there is none.
    pub(super) evidence: String,
    /// Where it comes from, such as `SecurityInfo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    /// Since when it stands like this, as RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
    /// When the source last reported, as RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) observed_at: Option<String>,
    /// What would prove the rule, where the server was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected: Option<Value>,
    /// What the device reported of that.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) facts: BTreeMap<String, Value>,
}

/// What the server tells.
pub(super) fn told(record: &RuleRecord) -> Finding {
    let last = record.transitions.first();
    let since = last.filter(|last| last.to == Some(record.verdict));
    Finding {
        verdict: Some(record.verdict),
        evidence: record.evidence.clone(),
        source: Some(record.source.clone()),
        since: since.map(|last| words::moment(last.time)),
        observed_at: record.observed_at.map(words::moment),
        expected: Some(record.expected.clone()),
        facts: record.facts.clone(),
    }
}

/// What the status says about the rule. It names what fails and what has changed; of the rest it keeps counts, from which
/// the verdict often follows.
pub(super) fn by_status(
    status: &DeviceStatus,
    demanded: &Demanded<'_>,
    assignments: &[Asked],
    history: &[TransitionRecord],
) -> Finding {
    let (baseline, rule) = (&demanded.baseline.spec, demanded.rule);
    let finding = |verdict, evidence: String| Finding {
        verdict,
        evidence,
        source: None,
        since: None,
        observed_at: None,
        expected: None,
        facts: BTreeMap::new(),
    };
    let last = history.first();
    let since = |verdict| {
        last.filter(|last| last.to == Some(verdict))
            .map(|last| words::moment(last.time.0))
    };
    let name = demanded.baseline.name_any();
    if let Some(failing) = status
        .failing_rules
        .iter()
        .find(|failing| failing.baseline == name && failing.rule == rule.id)
    {
        return Finding {
            source: last.map(|last| last.evidence.clone()),
            since: since(Verdict::Fail),
            ..finding(Some(Verdict::Fail), failing.reason.clone())
        };
    }
    if demanded.left_out.is_some() || all_leave_out(assignments) {
        return finding(None, "the rule is left out for this device".to_owned());
    }
    let applies = class(status)
        .is_none_or(|class| class.is_in_any(&baseline.platforms) && class.is_in_any(&rule.platforms));
    if !applies {
        let ranges = if rule.platforms.is_empty() {
            &baseline.platforms
        } else {
            &rule.platforms
        };
        let evidence = format!("the rule is for {}", describe(ranges));
        return finding(Some(Verdict::NotApplicable), evidence);
    }
    let failing = i64::try_from(status.failing_rules.len()).unwrap_or(i64::MAX);
    if let Some(last) = last
        && let Some(verdict) = last.to
        && (verdict != Verdict::Fail || status.verdicts.fail > failing)
    {
        return Finding {
            source: Some(last.evidence.clone()),
            since: since(verdict),
            ..finding(Some(verdict), last.reason.clone())
        };
    }
    let counts = status.verdicts;
    if counts.fail <= failing && counts.unknown == 0 && counts.pass > 0 {
        let evidence = "every rule that applies and does not fail passes".to_owned();
        return finding(Some(Verdict::Pass), evidence);
    }
    finding(
        None,
        format!(
            "the status names {failing} of {} failing rules and does not say how this one stands; {} pass, {} are unknown",
            counts.fail, counts.pass, counts.unknown
        ),
    )
}
