//! Everything there is to say of a change, in the shape in which programs read it. `docs/pull-requests.md` documents it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::Serialize;

use super::fleet::Fleet;
use super::sides::{Side, Sides};
use super::{PlanArgs, cohorts};
use crate::api::git_source::PRUNE_LIMIT_PERCENT;
use crate::cli::standard::Standard;
use crate::compliance::Checks;
use crate::policy::difference::{
    Baselines, Change, Effects, ObjectChange, Objects, RuleChange, compare, objects, rules,
};

/// The version of the shape.
const VERSION: u32 = 1;

/// What a change means.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    version: u32,
    pub(super) from: Compared,
    pub(super) to: Compared,
    /// The folder in the repository.
    pub(super) path: String,
    pub(super) changed: bool,
    /// The fleet that was looked at. None: every class that the policy names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fleet: Option<Counted>,
    pub(super) objects: Vec<ObjectChange>,
    pub(super) rules: Vec<RuleChange>,
    #[serde(flatten)]
    pub(super) effects: Effects,
    /// How many devices something changes for.
    pub(super) devices_touched: usize,
    pub(super) notes: Vec<String>,
}

/// A revision.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Compared {
    /// As it was asked for.
    pub(super) revision: String,
    pub(super) commit: String,
    /// The first line of its message.
    pub(super) message: String,
}

/// The fleet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counted {
    pub(super) namespace: String,
    pub(super) devices: usize,
    /// Devices that have not said what they are, and are not looked at.
    pub(super) silent: usize,
}

impl Report {
    /// `now` decides which waivers are in force.
    pub(super) fn new(
        args: &PlanArgs,
        namespace: &str,
        sides: &Sides,
        fleet: Option<&Fleet>,
        now: Timestamp,
    ) -> Self {
        let (before, after) = (&sides.before.standard, &sides.after.standard);
        let cohorts = match fleet {
            Some(fleet) => cohorts::of_fleet(before, after, fleet, now),
            None => cohorts::of_classes(before, after),
        };
        let effects = compare(namespace, &cohorts, &Checks::default());
        let objects = objects(&as_written(before), &as_written(after));
        let mut notes = sides.notes.clone();
        notes.extend(prune_note(before, &objects));
        notes.extend(groups_note(&objects, fleet));
        notes.extend(silent_note(fleet));
        Self {
            version: VERSION,
            from: compared(&sides.before),
            to: compared(&sides.after),
            path: args.path.clone(),
            changed: !objects.is_empty(),
            fleet: fleet.map(|fleet| Counted {
                namespace: namespace.to_owned(),
                devices: fleet.count(),
                silent: fleet.silent,
            }),
            rules: rules(&baselines(before), &baselines(after)),
            objects,
            devices_touched: effects.classes.iter().map(|class| class.devices).sum(),
            effects,
            notes,
        }
    }

    pub(super) fn json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).context("JSON cannot be written")?;
        Ok(format!("{text}\n"))
    }

    /// Settings of one kind of change.
    pub(super) fn settings(
        &self,
        change: Change,
    ) -> impl Iterator<Item = &crate::policy::difference::SettingChange> {
        self.effects
            .settings
            .iter()
            .filter(move |setting| setting.change == change)
    }

    /// How many settings there are of one kind of change.
    pub(super) fn count(&self, change: Change) -> usize {
        self.settings(change).count()
    }

    /// Whether all devices that there are are of the classes of something.
    pub(super) fn is_everywhere(&self, classes: &[usize]) -> bool {
        classes.len() == self.effects.classes.len()
    }
}

fn compared(side: &Side) -> Compared {
    Compared {
        revision: side.named.clone(),
        commit: side.revision.commit.clone(),
        message: side.revision.message.clone(),
    }
}

fn as_written(standard: &Standard) -> Objects {
    let documents = standard.documents.objects.iter();
    documents
        .map(|document| {
            (
                (document.kind.clone(), document.name.clone()),
                document.value.clone(),
            )
        })
        .collect()
}

fn baselines(standard: &Standard) -> Baselines {
    let policies = &standard.policies;
    let resolved = policies.resolved(policies.baselines.keys().map(AsRef::as_ref));
    resolved
        .into_iter()
        .map(|(name, baseline)| (name.into(), Arc::clone(&baseline.spec)))
        .collect()
}

/// A revision that removes much waits for a person.
fn prune_note(before: &Standard, objects: &[ObjectChange]) -> Option<String> {
    let removed = objects
        .iter()
        .filter(|object| object.change == Change::Removed)
        .count();
    let inventory = before.documents.objects.len();
    let limit = usize::try_from(PRUNE_LIMIT_PERCENT).unwrap_or(usize::MAX);
    (removed * 100 > inventory * limit).then(|| {
        format!(
            "it removes {removed} of {inventory} objects: unless the GitSource's pruneLimitPercent is higher than {limit}, the revision waits until \
             somebody annotates the source"
        )
    })
}

fn silent_note(fleet: Option<&Fleet>) -> Option<String> {
    let silent = fleet.map_or(0, |fleet| fleet.silent);
    (silent > 0).then(|| {
        format!("{silent} more devices have not said what they are, such as their platform, and are left out")
    })
}

fn groups_note(objects: &[ObjectChange], fleet: Option<&Fleet>) -> Option<String> {
    let changed = objects.iter().filter(|object| object.kind == "DeviceGroup");
    let names: Vec<&str> = changed.map(|object| object.name.as_str()).collect();
    (fleet.is_none() && !names.is_empty()).then(|| {
        format!(
            "who belongs to {} changes; which devices that are can only be told with --fleet or --server",
            names.join(", ")
        )
    })
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::compile::{Carrier, Place};
    use crate::policy::difference::{SettingChange, Touched};

    /// A report of so many removed settings, which says a text wherever the repository could.
    pub(in crate::cli::plan) fn report(settings: usize, text: &str) -> Report {
        let compared = || Compared {
            revision: "main".to_owned(),
            commit: "0123456789012345678901234567890123456789".to_owned(),
            message: text.to_owned(),
        };
        let setting = |n: usize| SettingChange {
            change: Change::Removed,
            place: Place {
                carrier: Carrier::Profile,
                type_: "com.example".to_owned(),
                object: None,
                ordinal: 1,
            },
            path: vec![format!("key{n}")],
            before: Some(json!(text)),
            after: None,
            by_before: vec![text.into()],
            by_after: Vec::new(),
            lasting: Vec::new(),
            touched: Touched::default(),
        };
        Report {
            version: VERSION,
            from: compared(),
            to: compared(),
            path: String::new(),
            changed: true,
            fleet: None,
            objects: Vec::new(),
            rules: Vec::new(),
            effects: Effects {
                settings: (0..settings).map(setting).collect(),
                ..Effects::default()
            },
            devices_touched: 0,
            notes: vec![text.to_owned()],
        }
    }
}
