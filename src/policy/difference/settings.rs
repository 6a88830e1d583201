//! Settings that came, went or have another value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::lasting::lasting;
use super::{Change, Touched};
use crate::policy::compile::{Place, Setting};
use crate::policy::content::canonical;

/// A setting that came, went or has another value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SettingChange {
    /// What became of it.
    pub change: Change,
    /// Where it stands.
    #[serde(flatten)]
    pub place: Place,
    /// The keys that lead to it; as JSON one text, `key.key`.
    #[serde(rename = "key", serialize_with = "joined")]
    pub path: Vec<String>,
    /// Its value before. None: it was not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Its value after. None: it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Who set it before, as `baseline/rule` or `profile/name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_before: Vec<Arc<str>>,
    /// Who sets it after.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_after: Vec<Arc<str>>,
    /// What of it cannot be undone, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lasting: Vec<&'static str>,
    /// Whom it touches.
    #[serde(flatten)]
    pub touched: Touched,
}

fn joined<S: Serializer>(path: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.join("."))
}

/// What differs between the settings of one class of devices.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference<'s> {
    pub(super) before: Option<&'s Setting>,
    pub(super) after: Option<&'s Setting>,
}

/// Finds what differs. A setting that only stands elsewhere with the same value, such as in another object's profile of the same type, is the same
/// to a device.
pub(super) fn differences<'s>(before: &'s [Setting], after: &'s [Setting]) -> Vec<Difference<'s>> {
    let mut groups: BTreeMap<_, [Vec<&Setting>; 2]> = BTreeMap::new();
    for (side, settings) in [before, after].into_iter().enumerate() {
        for setting in settings {
            let key = (setting.place.carrier, &setting.place.type_, &setting.path);
            if let Some(list) = groups.entry(key).or_default().get_mut(side) {
                list.push(setting);
            }
        }
    }
    let mut found = Vec::new();
    for [mut before, mut after] in groups.into_values() {
        // What is the same goes first, then what stands in the same place, then what is left, in order.
        take_pairs(&mut before, &mut after, |a, b| {
            a.place == b.place && a.value == b.value
        });
        take_pairs(&mut before, &mut after, |a, b| a.value == b.value);
        let mut pairs = take_pairs(&mut before, &mut after, |a, b| a.place == b.place);
        pairs.extend(take_pairs(&mut before, &mut after, |_, _| true));
        found.extend(pairs.into_iter().map(|(before, after)| Difference {
            before: Some(before),
            after: Some(after),
        }));
        found.extend(before.into_iter().map(|before| Difference {
            before: Some(before),
            after: None,
        }));
        found.extend(after.into_iter().map(|after| Difference {
            before: None,
            after: Some(after),
        }));
    }
    found
}

/// Takes out what belongs together.
fn take_pairs<'s>(
    before: &mut Vec<&'s Setting>,
    after: &mut Vec<&'s Setting>,
    alike: impl Fn(&Setting, &Setting) -> bool,
) -> Vec<(&'s Setting, &'s Setting)> {
    let mut pairs = Vec::new();
    before.retain(|one| match after.iter().position(|other| alike(one, other)) {
        Some(position) => {
            pairs.push((*one, after.remove(position)));
            false
        }
        None => true,
    });
    pairs
}

/// Differences of all classes, those that are the same put together.
#[derive(Debug, Default)]
pub(super) struct Collected {
    changes: BTreeMap<Key, SettingChange>,
}

/// Where, and the values before and after, as text.
type Key = (Place, Vec<String>, Option<String>, Option<String>);

impl Collected {
    pub(super) fn add(&mut self, difference: &Difference<'_>, class: usize, devices: usize) {
        let Difference { before, after } = *difference;
        let places = [before, after]
            .into_iter()
            .flatten()
            .map(|setting| &setting.place);
        let (Some(place), Some(setting)) = (places.min(), after.or(before)) else {
            return;
        };
        let text = |side: Option<&Setting>| side.map(|setting| canonical(&setting.value));
        let change = match (before, after) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            _ => Change::Changed,
        };
        let entry = self
            .changes
            .entry((place.clone(), setting.path.clone(), text(before), text(after)))
            .or_insert_with(|| SettingChange {
                change,
                place: place.clone(),
                path: setting.path.clone(),
                before: before.map(|setting| setting.value.clone()),
                after: after.map(|setting| setting.value.clone()),
                by_before: Vec::new(),
                by_after: Vec::new(),
                lasting: lasting(change, place, &setting.path, after.map(|setting| &setting.value)),
                touched: Touched::default(),
            });
        unite(&mut entry.by_before, before);
        unite(&mut entry.by_after, after);
        entry.touched.add(class, devices);
    }

    /// All of them: what is removed first, then what is changed, then what is added, each by type and key.
    pub(super) fn finish(self) -> Vec<SettingChange> {
        let mut changes: Vec<SettingChange> = self.changes.into_values().collect();
        changes.sort_by_key(|setting| setting.change);
        changes
    }
}

fn unite(by: &mut Vec<Arc<str>>, setting: Option<&Setting>) {
    let Some(setting) = setting else { return };
    let all: BTreeSet<Arc<str>> = by.drain(..).chain(setting.by.iter().cloned()).collect();
    by.extend(all);
}
