//! Which rule a person means, among those that are demanded of a device.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use kube::api::ListParams;

use super::session::Session;
use super::words::some_of;
use crate::api::assignment::AssignedBaseline;
use crate::api::baseline::BaselineRule;
use crate::api::{Assignment, Baseline, BaselineSpec, Device};
use crate::policy::Resolved;
use crate::policy::inheritance::{Inherited, LeftOut, resolve};
use crate::suggest::nearest;

/// How many candidates an error names.
const CANDIDATES: usize = 10;

/// The policies of a device's fleet.
#[derive(Debug, Default)]
pub(super) struct Policies {
    /// Those that concern the device.
    pub(super) assignments: Vec<Assignment>,
    /// Each with all that it inherits and all that is excluded on the way.
    pub(super) baselines: BTreeMap<String, Baseline>,
    pub(super) resolved: BTreeMap<String, Arc<Resolved>>,
}

/// A rule, with everything that demands it.
#[derive(Debug)]
pub(super) struct Demanded<'a> {
    pub(super) baseline: &'a Baseline,
    pub(super) rule: &'a BaselineRule,
    pub(super) assignments: Vec<(&'a Assignment, &'a AssignedBaseline)>,
    /// Where the rule comes from, if the baseline inherits it.
    pub(super) inherited: Option<&'a Inherited>,
    /// Why it is excluded, if a baseline does that.
    pub(super) left_out: Option<&'a LeftOut>,
    /// The other baselines that made the rule what it is.
    pub(super) bases: Vec<&'a Baseline>,
}

impl Demanded<'_> {
    /// `baseline/rule`, as statuses write it.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.baseline.name_any(), self.rule.id)
    }
}

/// Which of several keys is meant.
#[derive(Debug, PartialEq, Eq)]
enum Choice<'a> {
    One(&'a str),
    Several(Vec<&'a str>),
    None,
}

impl Policies {
    /// Reads them.
    pub(super) async fn read(session: &Session, device: &Device) -> anyhow::Result<Self> {
        let concerning = device
            .status
            .as_ref()
            .map(|status| status.assignments.clone())
            .unwrap_or_default();
        let all = ListParams::default();
        let assignments = session
            .list(&all, |assignment: Assignment| {
                concerning.contains(&assignment.name_any()).then_some(assignment)
            })
            .await?;
        let baselines = session
            .list(&all, |baseline: Baseline| Some((baseline.name_any(), baseline)))
            .await?;
        Ok(Self::new(assignments, baselines))
    }

    /// Puts them together. `baselines`: all of the fleet.
    pub(super) fn new(
        assignments: Vec<Assignment>,
        baselines: impl IntoIterator<Item = (String, Baseline)>,
    ) -> Self {
        let mut baselines: BTreeMap<String, Baseline> = baselines.into_iter().collect();
        let specs: BTreeMap<String, Arc<BaselineSpec>> = baselines
            .iter()
            .map(|(name, baseline)| (name.clone(), Arc::new(baseline.spec.clone())))
            .collect();
        let resolved = resolve(specs.keys().map(String::as_str), &specs);
        for (name, baseline) in &mut baselines {
            if let Some(resolved) = resolved.get(name) {
                baseline.spec = BaselineSpec::clone(&resolved.spec);
                let left_out = resolved.left_out.iter().map(|left_out| left_out.rule.clone());
                baseline.spec.rules.extend(left_out);
            }
        }
        Self {
            assignments,
            baselines,
            resolved,
        }
    }

    /// The rule that a person means: its id or `baseline/id`, or the beginning of one.
    ///
    /// # Errors
    /// When it is none or several of those demanded of the device: for people, with what they may have meant.
    pub(super) fn find(&self, wanted: &str) -> Result<Demanded<'_>, String> {
        let named = |baseline: &str| self.assigned(baseline).next().is_some();
        let keys = |demanded: bool| -> Vec<String> {
            let baselines = self.baselines.iter().filter(|(name, _)| named(name) == demanded);
            baselines
                .flat_map(|(name, baseline)| {
                    baseline
                        .spec
                        .rules
                        .iter()
                        .map(move |rule| format!("{name}/{}", rule.id))
                })
                .collect()
        };
        let demanded = keys(true);
        match choose(wanted, &demanded) {
            Choice::One(key) => self
                .demanded(key)
                .ok_or_else(|| format!("the rule {key} has just been removed")),
            Choice::Several(several) => Err(format!(
                "{wanted} could be any of {} rules: {}\ngive more of it, or the baseline with it as in baseline/rule",
                several.len(),
                some_of(several, CANDIDATES)
            )),
            Choice::None => Err(self.unknown(wanted, &demanded, &keys(false))),
        }
    }

    /// The ids of every rule demanded of the device, or their keys with the baseline.
    pub(super) fn ids(&self, keys: bool) -> Vec<String> {
        let demanded = self
            .baselines
            .iter()
            .filter(|(name, _)| self.assigned(name).next().is_some());
        demanded
            .flat_map(|(name, baseline)| {
                baseline.spec.rules.iter().map(move |rule| {
                    if keys {
                        format!("{name}/{}", rule.id)
                    } else {
                        rule.id.clone()
                    }
                })
            })
            .collect()
    }

    fn unknown(&self, wanted: &str, demanded: &[String], others: &[String]) -> String {
        if let Choice::One(key) = choose(wanted, others) {
            return format!(
                "the rule {key} is not demanded of this device: none of its assignments names the baseline\nits assignments: {}",
                self.names()
            );
        }
        if demanded.is_empty() {
            return format!(
                "no rule is demanded of this device; its assignments: {}",
                self.names()
            );
        }
        let ids = demanded.iter().filter_map(|key| Some(key.split_once('/')?.1));
        let near = nearest(wanted, demanded.iter().map(String::as_str).chain(ids));
        let similar: Vec<&str> = demanded
            .iter()
            .map(String::as_str)
            .filter(|key| key.contains(wanted))
            .collect();
        let advice = match near {
            Some(near) => format!("did you mean {near}?"),
            None if similar.is_empty() => {
                let all = demanded.iter().map(String::as_str);
                format!("there are {}: {}", demanded.len(), some_of(all, CANDIDATES))
            }
            None => format!("did you mean one of {}?", some_of(similar, CANDIDATES)),
        };
        format!("no rule {wanted} is demanded of this device\n{advice}")
    }

    fn names(&self) -> String {
        if self.assignments.is_empty() {
            return "none".to_owned();
        }
        let names: Vec<String> = self.assignments.iter().map(ResourceExt::name_any).collect();
        names.join(", ")
    }

    /// The assignments of the device that name a baseline.
    fn assigned(&self, baseline: &str) -> impl Iterator<Item = (&Assignment, &AssignedBaseline)> {
        self.assignments.iter().flat_map(move |assignment| {
            let named = assignment
                .spec
                .baselines
                .iter()
                .filter(move |named| named.name == baseline);
            named.map(move |named| (assignment, named))
        })
    }

    fn demanded(&self, key: &str) -> Option<Demanded<'_>> {
        let (name, id) = key.split_once('/')?;
        let baseline = self.baselines.get(name)?;
        let resolved = self.resolved.get(name)?;
        let inherited = resolved.inherited.get(id);
        let left_out = resolved.left_out.iter().find(|left_out| left_out.rule.id == id);
        let made_by = inherited
            .into_iter()
            .flat_map(|inherited| [&inherited.from].into_iter().chain(&inherited.changed_by))
            .chain(
                left_out
                    .into_iter()
                    .flat_map(|left_out| [&left_out.from, &left_out.by]),
            );
        let mut bases: Vec<&Baseline> = Vec::new();
        for base in made_by.filter(|base| &***base != name) {
            if let Some(base) = self.baselines.get(&**base)
                && !bases.iter().any(|known| known.name_any() == base.name_any())
            {
                bases.push(base);
            }
        }
        Some(Demanded {
            baseline,
            rule: baseline.spec.rules.iter().find(|rule| rule.id == id)?,
            assignments: self.assigned(name).collect(),
            inherited,
            left_out,
            bases,
        })
    }
}

/// A whole id or key beats the beginning of one.
fn choose<'a>(wanted: &str, keys: &'a [String]) -> Choice<'a> {
    let id = |key: &'a String| key.split_once('/').map_or(key.as_str(), |(_, id)| id);
    let whole = |key: &&'a String| key.as_str() == wanted || id(key) == wanted;
    let begins = |key: &&'a String| key.starts_with(wanted) || id(key).starts_with(wanted);
    let mut found: Vec<&str> = keys.iter().filter(whole).map(String::as_str).collect();
    if found.is_empty() {
        found = keys.iter().filter(begins).map(String::as_str).collect();
    }
    match found.as_slice() {
        [] => Choice::None,
        [one] => Choice::One(one),
        _ => Choice::Several(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_found_by_id_by_key_and_by_their_beginnings() {
        let keys = [
            "a/firewall_on",
            "a/firewall_on_strictly",
            "b/passcode",
            "c/passcode",
        ]
        .map(str::to_owned);
        assert_eq!(choose("firewall_on", &keys), Choice::One("a/firewall_on"));
        assert_eq!(
            choose("firewall_on_s", &keys),
            Choice::One("a/firewall_on_strictly")
        );
        assert_eq!(choose("b/pass", &keys), Choice::One("b/passcode"));
        assert_eq!(
            choose("passcode", &keys),
            Choice::Several(vec!["b/passcode", "c/passcode"])
        );
        assert_eq!(choose("gatekeeper", &keys), Choice::None);
    }
}
