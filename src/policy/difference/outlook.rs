//! Which verdicts would flip. Only what policy decides by itself, what the last status of a device says and what follows from its system is said;
//! what else a device would report nobody knows before it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Touched;
use crate::api::common::{EnrollmentMode, Verdict};
use crate::compliance::check::PARAMETERS;
use crate::compliance::waiver::Waiver;
use crate::compliance::{Demand, Evidence, Facts, badness, judge_evidence};
use crate::expression::Program;
use crate::policy::compile::{Explanation, Place, RuleAccount};

/// What is known of one device of the fleet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KnownDevice {
    /// Its name.
    pub name: Arc<str>,
    /// The version of its system, as it reports it.
    pub os_version: String,
    /// Its model, such as `Mac16,10`.
    pub model: Option<String>,
    /// Its serial number.
    pub serial_number: Option<String>,
    /// How it is managed.
    pub mode: Option<EnrollmentMode>,
    /// The rules that fail on it, as `baseline/rule`.
    pub failing: BTreeSet<Arc<str>>,
    /// The rules that are waived on it, as `baseline/rule`: they fail or are unknown.
    pub waived: BTreeSet<Arc<str>>,
    /// Whether those are all that fail and all that are waived.
    pub shortfalls_are_whole: bool,
    /// Whether any rule is unknown on it.
    pub has_unknown: bool,
    /// The waivers in force for it, before and after.
    pub waivers: Waivers,
}

/// The waivers that are for a device, before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waivers {
    /// Before.
    pub before: Vec<Arc<Waiver>>,
    /// After.
    pub after: Vec<Arc<Waiver>>,
}

impl Waivers {
    /// Whether the change of policy changes what is waived.
    #[must_use]
    pub fn differ(&self) -> bool {
        self.before != self.after
    }
}

/// How a rule stands on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::Display)]
#[serde(rename_all = "camelCase")]
pub enum Outlook {
    /// It is not demanded, or not for such devices.
    #[strum(serialize = "not demanded")]
    NotDemanded,
    /// It holds.
    #[strum(serialize = "pass")]
    Pass,
    /// It does not hold.
    #[strum(serialize = "fail")]
    Fail,
    /// It does not hold, or nobody knows, and a waiver allows that.
    #[strum(serialize = "waived")]
    Waived,
    /// Nothing will tell: the reason is the policy's.
    #[strum(serialize = "unknown")]
    Unknown,
    /// It is unknown until the device has reported the new content.
    #[strum(serialize = "unknown until reported")]
    UntilReported,
    /// It is decided by facts that are not known here, as soon as the policy is in force.
    #[strum(serialize = "decided by its facts")]
    ByFacts,
    /// It fails or is unknown, without the waiver that says so no longer.
    #[strum(serialize = "fail or unknown")]
    NotPassing,
    /// It does not fail; whether it passes is not known here.
    #[strum(serialize = "not failing")]
    NotFailing,
    /// Nothing is known of it here.
    #[strum(serialize = "not known here")]
    NotTold,
}

impl Outlook {
    /// Whether a waiver counts where a rule stands so.
    const fn is_short(self) -> bool {
        matches!(
            self,
            Self::Fail | Self::Unknown | Self::UntilReported | Self::NotPassing
        )
    }
}

/// A verdict that would be another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictChange {
    /// The rule, as `baseline/rule`.
    pub rule: Arc<str>,
    /// How it stands before.
    pub from: Outlook,
    /// How it would stand after.
    pub to: Outlook,
    /// Whom it touches.
    #[serde(flatten)]
    pub touched: Touched,
}

/// What one side demands of a class by one rule; several assignments may demand the same one.
pub(super) type Demanded<'e> = BTreeMap<&'e Arc<str>, Vec<(&'e Demand, &'e RuleAccount)>>;

/// The demands of a plan by rule.
pub(super) fn demanded(explanation: &Explanation) -> Demanded<'_> {
    let mut demanded: Demanded<'_> = BTreeMap::new();
    for (demand, account) in explanation.plan.demands.iter().zip(&explanation.rules) {
        demanded.entry(demand.key()).or_default().push((demand, account));
    }
    for demands in demanded.values_mut() {
        demands.sort_by(|a, b| a.0.assignment.cmp(&b.0.assignment));
    }
    demanded
}

/// What a rule asks of a class, apart from what else the payloads hold that prove it.
#[derive(Debug, PartialEq)]
enum Asked<'a> {
    NotApplicable,
    Check(&'a str, BTreeMap<String, Option<&'a Value>>),
    Content(&'a (Place, Map<String, Value>)),
    Contradicted(&'a str),
    Nothing(&'a str),
}

fn asked<'a>(demand: &'a Demand, account: &'a RuleAccount) -> Asked<'a> {
    match &demand.evidence {
        Evidence::NotApplicable { .. } => Asked::NotApplicable,
        Evidence::Cel { program, parameters } => {
            Asked::Check(program.source(), values_read(program, parameters))
        }
        Evidence::Conflict { with, .. } => Asked::Contradicted(with),
        Evidence::None { reason } => Asked::Nothing(reason),
        _ => match &account.wants {
            Some(wants) => Asked::Content(wants),
            None => Asked::Nothing(""),
        },
    }
}

/// The parameters that a check reads, with their values.
fn values_read<'a>(program: &Program, parameters: &'a Value) -> BTreeMap<String, Option<&'a Value>> {
    let read = program.paths().iter().filter(|path| path.root == PARAMETERS);
    read.filter_map(|path| path.keys.first())
        .map(|name| (name.clone(), parameters.get(name)))
        .collect()
}

/// How a change of policy shows in the verdicts of one rule.
pub(super) struct Flip<'e> {
    before: Vec<(&'e Demand, &'e RuleAccount)>,
    after: Vec<(&'e Demand, &'e RuleAccount)>,
    /// Whether the rule asks something else.
    pub(super) is_asked_otherwise: bool,
    /// Whether the rule asks the same, and what proves it is new content.
    pub(super) is_proven_anew: bool,
}

impl<'e> Flip<'e> {
    pub(super) fn new(
        before: Option<&Vec<(&'e Demand, &'e RuleAccount)>>,
        after: Option<&Vec<(&'e Demand, &'e RuleAccount)>>,
    ) -> Self {
        let list = |side: Option<&Vec<(&'e Demand, &'e RuleAccount)>>| side.cloned().unwrap_or_default();
        let (before, after) = (list(before), list(after));
        let all_asked = |side: &[(&'e Demand, &'e RuleAccount)]| -> Vec<Asked<'e>> {
            let asked = side.iter().map(|(demand, account)| asked(demand, account));
            asked.filter(|asked| *asked != Asked::NotApplicable).collect()
        };
        let evidence = |side: &[(&'e Demand, &'e RuleAccount)]| -> Vec<&'e Evidence> {
            side.iter().map(|(demand, _)| &demand.evidence).collect()
        };
        let is_asked_otherwise = all_asked(&before) != all_asked(&after);
        let is_proven_anew = !is_asked_otherwise
            && evidence(&after).iter().any(|evidence| is_content(evidence))
            && evidence(&before) != evidence(&after);
        Self {
            before,
            after,
            is_asked_otherwise,
            is_proven_anew,
        }
    }

    /// Before and after, on a device; or on any device of the class where none is known.
    pub(super) fn outlooks(&self, device: Option<&KnownDevice>) -> (Outlook, Outlook) {
        let facts = device.map(known_facts);
        let before = self.before(device, facts.as_ref());
        let after = self.after(before, facts.as_ref());
        match device {
            Some(device) => self.waive(device, before, after),
            None => (before, after),
        }
    }

    /// What waivers make of that. A device tells what is waived on it now; what no waiver of the policy before covers is waived by another, which stays.
    fn waive(&self, device: &KnownDevice, before: Outlook, after: Outlook) -> (Outlook, Outlook) {
        let covers = |waivers: &[Arc<Waiver>], demands: &[(&Demand, &RuleAccount)]| {
            let mut pairs = waivers
                .iter()
                .flat_map(|waiver| demands.iter().map(move |(demand, _)| (waiver, demand)));
            pairs.any(|(waiver, demand)| waiver.covers(demand))
        };
        let is_waived = self
            .before
            .iter()
            .any(|(demand, _)| device.waived.contains(demand.key()));
        let covered_before = covers(&device.waivers.before, &self.before);
        let by_another = is_waived && !covered_before;
        let covered_after = by_another || covers(&device.waivers.after, &self.after);
        let waived = |outlook: Outlook, covered: bool| {
            if covered && outlook.is_short() {
                Outlook::Waived
            } else {
                outlook
            }
        };
        (
            waived(before, is_waived || covered_before),
            waived(after, covered_after),
        )
    }

    fn before(&self, device: Option<&KnownDevice>, facts: Option<&Facts>) -> Outlook {
        if self.before.iter().all(|(demand, _)| is_not_applicable(demand)) {
            return Outlook::NotDemanded;
        }
        let decided = self
            .before
            .iter()
            .map(|(demand, _)| decided(&demand.evidence, facts));
        if let Some(worst) = worst(decided) {
            return worst;
        }
        let (Some(device), Some((demand, _))) = (device, self.before.first()) else {
            return Outlook::NotTold;
        };
        if device.failing.contains(demand.key()) {
            Outlook::Fail
        } else if device.waived.contains(demand.key()) {
            Outlook::NotPassing
        } else if !device.shortfalls_are_whole {
            Outlook::NotTold
        } else if device.has_unknown {
            Outlook::NotFailing
        } else {
            Outlook::Pass
        }
    }

    fn after(&self, before: Outlook, facts: Option<&Facts>) -> Outlook {
        if self.after.iter().all(|(demand, _)| is_not_applicable(demand)) {
            return Outlook::NotDemanded;
        }
        let decided = self
            .after
            .iter()
            .map(|(demand, _)| decided(&demand.evidence, facts));
        if let Some(worst) = worst(decided) {
            return worst;
        }
        if !self.is_asked_otherwise && !self.is_proven_anew {
            return before;
        }
        if self.after.iter().any(|(demand, _)| is_content(&demand.evidence)) {
            Outlook::UntilReported
        } else {
            Outlook::ByFacts
        }
    }
}

const fn is_content(evidence: &Evidence) -> bool {
    matches!(
        evidence,
        Evidence::InstalledDeclaration { .. } | Evidence::InstalledProfile { .. }
    )
}

const fn is_not_applicable(demand: &Demand) -> bool {
    matches!(demand.evidence, Evidence::NotApplicable { .. })
}

/// The worst of what several demands for one rule come to. None: some of them is not decided here, and none is as bad as can be.
fn worst(decided: impl Iterator<Item = Option<Verdict>>) -> Option<Outlook> {
    let decided: Vec<Option<Verdict>> = decided.collect();
    if decided.contains(&Some(Verdict::Fail)) {
        return Some(Outlook::Fail);
    }
    let verdicts: Option<Vec<Verdict>> = decided.into_iter().collect();
    let worst = verdicts?.into_iter().max_by_key(|verdict| badness(*verdict))?;
    let outlooks = [
        (Verdict::Pass, Outlook::Pass),
        (Verdict::Fail, Outlook::Fail),
        (Verdict::NotApplicable, Outlook::NotDemanded),
    ];
    let found = outlooks.into_iter().find(|(verdict, _)| *verdict == worst);
    Some(found.map_or(Outlook::Unknown, |(_, outlook)| outlook))
}

/// The verdict that evidence comes to by policy alone, or by what is known of every device.
fn decided(evidence: &Evidence, facts: Option<&Facts>) -> Option<Verdict> {
    match evidence {
        Evidence::NotApplicable { .. } => Some(Verdict::NotApplicable),
        Evidence::Conflict { .. } | Evidence::None { .. } => Some(Verdict::Unknown),
        Evidence::Cel { program, .. } => {
            let facts = facts?;
            let is_known = program.paths().iter().all(|path| {
                let path_text = path.keys.join(".");
                path.root == PARAMETERS
                    || KNOWN.contains(&(path.root.as_str(), path_text.as_str())) && is_there(facts, path)
            });
            let verdict = judge_evidence(evidence, facts).verdict;
            (is_known && verdict != Verdict::Unknown).then_some(verdict)
        }
        _ => None,
    }
}

fn is_there(facts: &Facts, path: &crate::expression::Path) -> bool {
    let variables = facts.variables();
    let root = variables.roots().find(|(name, _)| *name == path.root);
    root.is_some_and(|(_, value)| {
        path.keys
            .iter()
            .try_fold(value, |value, key| value.get(key))
            .is_some()
    })
}

/// What a status of a Device tells of what checks read.
const KNOWN: [(&str, &str); 6] = [
    ("DeviceInformation", "IsSupervised"),
    ("DeviceInformation", "OSVersion"),
    ("DeviceInformation", "ProductName"),
    ("DeviceInformation", "SerialNumber"),
    ("StatusItems", "device.model.identifier"),
    ("StatusItems", "device.operating-system.version"),
];

fn known_facts(device: &KnownDevice) -> Facts {
    let mut information = Map::new();
    let mut items = json!({});
    if !device.os_version.is_empty() {
        information.insert("OSVersion".to_owned(), json!(device.os_version));
        items = json!({ "operating-system": { "version": device.os_version } });
    }
    if let Some(model) = &device.model {
        information.insert("ProductName".to_owned(), json!(model));
        if let Some(items) = items.as_object_mut() {
            items.insert("model".to_owned(), json!({ "identifier": model }));
        }
    }
    if let Some(serial) = &device.serial_number {
        information.insert("SerialNumber".to_owned(), json!(serial));
    }
    if let Some(mode) = device.mode {
        information.insert(
            "IsSupervised".to_owned(),
            json!(mode == EnrollmentMode::Supervised),
        );
    }
    let mut facts = Facts::default();
    facts.device_information(&Value::Object(information), Timestamp::UNIX_EPOCH);
    // It is a status report by its making; what could not be read of one would only not be known.
    let _ = facts.status_report(
        &json!({ "StatusItems": { "device": items } }),
        Timestamp::UNIX_EPOCH,
    );
    facts
}
