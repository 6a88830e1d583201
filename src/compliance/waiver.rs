//! Waivers: rules that fail, or of which nothing is known, and that somebody has allowed not to be met for a time. Pure.
//!
//! A waiver changes a verdict and nothing else: not what a device should hold, and not what the evidence says. What passes passes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::demand::Demand;
use super::verdict::Judgement;
use crate::api::common::Verdict;

/// What a waiver says, whoever it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// Its name.
    pub name: Arc<str>,
    /// The rules.
    pub rules: Box<[Box<str>]>,
    /// The baseline whose rules they are. None: of every baseline.
    pub baseline: Option<Box<str>>,
    /// Why.
    pub reason: Box<str>,
    /// Who has allowed it.
    pub approved_by: Box<str>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A rule that a waiver covers on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waived {
    /// The baseline.
    pub baseline: Arc<str>,
    /// The rule's id.
    pub rule: Arc<str>,
    /// The waiver.
    pub waiver: Arc<str>,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Waiver {
    /// Whether it still counts.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// Whether it is about what is demanded.
    #[must_use]
    pub fn covers(&self, demand: &Demand) -> bool {
        self.baseline
            .as_deref()
            .is_none_or(|baseline| *baseline == *demand.baseline)
            && self.rules.iter().any(|rule| **rule == *demand.rule)
    }

    fn told(&self, judgement: &Judgement) -> String {
        let until = self.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ");
        let Self {
            name,
            reason,
            approved_by,
            ..
        } = self;
        format!(
            "waived by {name} until {until}, approved by {approved_by}: {reason} (without it {}: {})",
            judgement.verdict, judgement.reason
        )
    }
}

/// Waives what fails or is unknown and is covered by one of `waivers`, which are for this device; gives what was waived, by rule. Where several
/// cover a rule, the one that ends last counts. `judgements` are those of `demands`, in their order.
pub fn waive(
    demands: &[Demand],
    judgements: &mut [Judgement],
    waivers: &[Arc<Waiver>],
    now: Timestamp,
) -> Vec<Waived> {
    let mut waived: BTreeMap<&Arc<str>, Waived> = BTreeMap::new();
    for (demand, judgement) in demands.iter().zip(judgements) {
        if !matches!(judgement.verdict, Verdict::Fail | Verdict::Unknown) {
            continue;
        }
        let covering = waivers
            .iter()
            .filter(|waiver| waiver.is_in_force(now) && waiver.covers(demand));
        let Some(longest) =
            covering.max_by_key(|waiver| (waiver.expires_at, std::cmp::Reverse(waiver.name.clone())))
        else {
            continue;
        };
        *judgement = Judgement::by_policy(Verdict::Waived, longest.told(judgement));
        waived.insert(
            demand.key(),
            Waived {
                baseline: demand.baseline.clone(),
                rule: demand.rule.clone(),
                waiver: longest.name.clone(),
                expires_at: longest.expires_at,
            },
        );
    }
    waived.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::common::Severity;
    use crate::compliance::Evidence;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn demand(baseline: &str, rule: &str) -> Demand {
        let none = Evidence::None { reason: "x".into() };
        Demand::new(
            "all".into(),
            baseline.into(),
            rule,
            Severity::High,
            [].into(),
            None,
            none,
        )
    }

    fn waiver(name: &str, baseline: Option<&str>, rule: &str, ends: i64) -> Arc<Waiver> {
        Arc::new(Waiver {
            name: name.into(),
            rules: [rule.into()].into(),
            baseline: baseline.map(Into::into),
            reason: "the lab tests it".into(),
            approved_by: "Ada".into(),
            expires_at: at(ends),
        })
    }

    fn verdicts(waivers: &[Arc<Waiver>], found: &[Verdict], now: i64) -> (Vec<Verdict>, Vec<Waived>) {
        let demands = [
            demand("cis", "firewall"),
            demand("cis", "filevault"),
            demand("own", "firewall"),
        ];
        let judgement = |verdict: &Verdict| Judgement {
            verdict: *verdict,
            reason: "off".into(),
            source: "SecurityInfo",
        };
        let mut judgements: Vec<_> = found.iter().map(judgement).collect();
        let waived = waive(&demands, &mut judgements, waivers, at(now));
        for judgement in judgements
            .iter()
            .filter(|judgement| judgement.verdict == Verdict::Waived)
        {
            assert!(
                judgement.reason.contains(": the lab tests it (without it "),
                "{}",
                judgement.reason
            );
            assert_eq!(judgement.source, "Policy");
        }
        (
            judgements.iter().map(|judgement| judgement.verdict).collect(),
            waived,
        )
    }

    use Verdict::{Fail, NotApplicable, Pass, Unknown};

    #[test]
    fn what_fails_or_is_unknown_is_waived_and_nothing_else() {
        let every = [waiver("lab", None, "firewall", 100)];
        assert_eq!(
            verdicts(&every, &[Fail, Fail, Unknown], 99).0,
            [Verdict::Waived, Fail, Verdict::Waived]
        );
        assert_eq!(
            verdicts(&every, &[Pass, Fail, NotApplicable], 99).0,
            [Pass, Fail, NotApplicable]
        );
        let one = [waiver("lab", Some("own"), "firewall", 100)];
        let (found, waived) = verdicts(&one, &[Fail, Fail, Fail], 99);
        assert_eq!(found, [Fail, Fail, Verdict::Waived]);
        let told: Vec<_> = waived
            .iter()
            .map(|one| (&*one.baseline, &*one.rule, &*one.waiver))
            .collect();
        assert_eq!(told, [("own", "firewall", "lab")]);
    }

    #[test]
    fn a_waiver_counts_until_it_ends_and_the_longest_is_named() {
        let both = [
            waiver("a", None, "firewall", 100),
            waiver("b", None, "firewall", 200),
        ];
        assert_eq!(verdicts(&both, &[Fail, Fail, Fail], 50).1[0].expires_at, at(200));
        assert_eq!(&*verdicts(&both, &[Fail, Fail, Fail], 150).1[0].waiver, "b");
        assert_eq!(
            verdicts(&both, &[Fail, Fail, Fail], 200),
            (vec![Fail, Fail, Fail], vec![])
        );
        let same = [
            waiver("b", None, "firewall", 100),
            waiver("a", None, "firewall", 100),
        ];
        assert_eq!(&*verdicts(&same, &[Fail, Fail, Fail], 50).1[0].waiver, "a");
    }
}
