//! What a revision changes: which objects to apply, which to remove, and whether a person must look first.
//!
//! Pure: the inventory of the revision in force and the documents of the new one go in, decisions come out.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::read::{Document, Documents};
use crate::api::git_source::{InventoryEntry, RevisionRecord};
use crate::ids::Digest;

/// The most revisions a source's history names.
pub const MAXIMUM_HISTORY: usize = 10;

/// When removal needs a person.
#[derive(Debug, Clone, Copy)]
pub struct PrunePolicy<'a> {
    /// Whether objects that left git are removed at all.
    pub enabled: bool,
    /// The largest share of the inventory, in per cent, that one revision may remove by itself.
    pub limit_percent: i32,
    /// The revision that a person has allowed to remove anything, from the source's annotation.
    pub allowed_revision: Option<&'a str>,
}

/// What to do with a revision.
#[derive(Debug, Clone)]
pub enum Decision<'d> {
    /// Apply it.
    Proceed(SyncPlan<'d>),
    /// Change nothing until a person allows this revision.
    Wait(WaitReason),
}

/// Why a revision waits. Its text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitReason {
    /// It holds no object at all.
    Empty {
        /// How many objects are in force.
        inventory: usize,
    },
    /// It removes too large a share of what is in force.
    RemovesTooMuch {
        /// How many objects it would remove.
        removed: usize,
        /// How many are in force.
        inventory: usize,
        /// The share that it may remove by itself.
        limit_percent: i32,
    },
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { inventory: 0 } => {
                f.write_str("the revision holds no Provost object under the path")
            }
            Self::Empty { inventory } => write!(
                f,
                "the revision holds no Provost object under the path, while {inventory} are in force"
            ),
            Self::RemovesTooMuch {
                removed,
                inventory,
                limit_percent,
            } => write!(
                f,
                "the revision would remove {removed} of {inventory} objects, more than the {limit_percent} % of \
                 pruneLimitPercent"
            ),
        }
    }
}

/// The steps of applying a revision, each list ordered by kind and name.
#[derive(Debug, Clone)]
pub struct SyncPlan<'d> {
    /// New objects, and those whose content changed.
    pub apply: Vec<&'d Document>,
    /// Objects whose content is the same as in the revision in force. Applying them again undoes changes made by hand.
    pub unchanged: Vec<&'d Document>,
    /// Objects to remove, after everything else is applied.
    pub prune: Vec<InventoryEntry>,
    /// The inventory when all is done.
    pub inventory: Vec<InventoryEntry>,
    /// The inventory to record before the first step: what is in force and what will be. Whatever interrupts the work,
    /// no object is then forgotten, and what was about to change counts as changed.
    pub inventory_while_applying: Vec<InventoryEntry>,
}

impl fmt::Display for SyncPlan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (changed, removed, same) = (self.apply.len(), self.prune.len(), self.unchanged.len());
        write!(f, "{changed} applied, {removed} removed, {same} unchanged")
    }
}

/// Compares `documents`, read from `revision`, with what is in force.
#[must_use]
pub fn plan<'d>(
    in_force: &[InventoryEntry],
    documents: &'d Documents,
    revision: &str,
    policy: PrunePolicy<'_>,
) -> Decision<'d> {
    let allowed = policy.allowed_revision == Some(revision);
    if documents.objects.is_empty() && !allowed {
        return Decision::Wait(WaitReason::Empty {
            inventory: in_force.len(),
        });
    }
    let inventory: Vec<_> = documents.objects.iter().map(entry).collect();
    let held: BTreeSet<_> = in_force
        .iter()
        .map(|entry| (key(entry), entry.digest.as_str()))
        .collect();
    let (mut apply, mut unchanged) = (Vec::new(), Vec::new());
    for (document, entry) in documents.objects.iter().zip(&inventory) {
        if held.contains(&(key(entry), entry.digest.as_str())) {
            unchanged.push(document);
        } else {
            apply.push(document);
        }
    }
    let wanted: BTreeSet<_> = inventory.iter().map(key).collect();
    let gone = in_force.iter().filter(|entry| !wanted.contains(&key(entry)));
    let prune: Vec<_> = if policy.enabled {
        gone.cloned().collect()
    } else {
        Vec::new()
    };
    if !allowed && exceeds(prune.len(), in_force.len(), policy.limit_percent) {
        return Decision::Wait(WaitReason::RemovesTooMuch {
            removed: prune.len(),
            inventory: in_force.len(),
            limit_percent: policy.limit_percent,
        });
    }
    let changed: BTreeSet<_> = apply
        .iter()
        .map(|document| (document.kind.as_str(), document.name.as_str()))
        .collect();
    let underway = inventory.iter().map(|entry| {
        let mut entry = entry.clone();
        if changed.contains(&key(&entry)) {
            // Interrupted, it is not known what the object holds: the next attempt finds it changed, whatever it brings.
            entry.digest.clear();
        }
        entry
    });
    let inventory_while_applying = underway.chain(prune.iter().cloned()).collect();
    Decision::Proceed(SyncPlan {
        apply,
        unchanged,
        prune,
        inventory,
        inventory_while_applying,
    })
}

/// Adds what became of a revision to a history, newest first. A revision seen again keeps one record, which tells its
/// newest result; a record that says nothing new changes nothing, not even the time.
///
/// Returns whether the history changed.
pub fn record(history: &mut Vec<RevisionRecord>, new: RevisionRecord) -> bool {
    match history.first_mut() {
        Some(newest) if newest.revision == new.revision => {
            if newest.result == new.result && newest.detail == new.detail {
                return false;
            }
            *newest = new;
        }
        _ => history.insert(0, new),
    }
    history.truncate(MAXIMUM_HISTORY);
    true
}

fn key(entry: &InventoryEntry) -> (&str, &str) {
    (&entry.kind, &entry.name)
}

fn entry(document: &Document) -> InventoryEntry {
    InventoryEntry {
        kind: document.kind.clone(),
        name: document.name.clone(),
        digest: digest(&document.value).to_string(),
    }
}

/// The digest of an object's content: the same for the same values, however the file writes or orders them.
#[must_use]
pub fn digest(value: &Value) -> Digest {
    let mut canonical = Vec::new();
    write_canonical(value, &mut canonical);
    Digest::of(&canonical)
}

/// JSON without blanks and with sorted keys. The reader bounds the depth.
fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(Value::String(key.clone()).to_string().as_bytes());
                out.push(b':');
                write_canonical(value, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        scalar => out.extend_from_slice(scalar.to_string().as_bytes()),
    }
}

/// More than `limit_percent` of `all`? In whole numbers, so that a quarter is exactly a quarter.
fn exceeds(removed: usize, all: usize, limit_percent: i32) -> bool {
    let limit = u128::from(u32::try_from(limit_percent).unwrap_or(0));
    (removed as u128) * 100 > limit * (all as u128)
}

#[cfg(test)]
mod tests;
