//! Facts: what a device has reported, by source, with the time of each report.
//!
//! A report replaces what the same source said before, except that incremental status reports are merged. What was not
//! reported is absent: absence is never read as false. What does not fit into the limits is left out whole (a list is never
//! cut: "all of them are fine" must not hold for half of them), and what is secret is never kept.

mod answers;
mod items;
mod status;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::PROFILE_PREFIX;

pub use items::is_known_item;
pub use status::StatusError;
pub use variables::{EQUIVALENT, Variables};

/// The most one source's tree may take, in bytes of JSON text.
pub const MAX_REPORT: usize = 64 * 1024;
/// How deep a tree may be.
pub const MAX_DEPTH: usize = 12;
/// The most installed profiles kept; Provost's own come first.
pub const MAX_PROFILES: usize = 512;
/// The longest identifier kept, in bytes.
pub const MAX_IDENTIFIER: usize = 256;
/// What devices report and nobody may read from here: recovery keys, push tokens, bypass codes.
const SECRETS: [&str; 7] = [
    "FDE_PersonalRecoveryKeyCMS",
    "FDE_PersonalRecoveryKeyDeviceKey",
    "ActivationLockBypassCode",
    "BootstrapToken",
    "UnlockToken",
    "push-magic",
    "push-token",
];

/// Where a fact comes from.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::Display,
    strum::EnumString,
)]
pub enum Source {
    /// The response to `DeviceInformation`.
    DeviceInformation,
    /// The response to `SecurityInfo`.
    SecurityInfo,
    /// The response to `ProfileList`.
    ProfileList,
    /// The response to `CertificateList`: each certificate with its `sha256` in place of its data.
    CertificateList,
    /// The response to `InstalledApplicationList`: `Identifier`, `Name`, `ShortVersion` and `Version` of each app.
    InstalledApplicationList,
    /// The response to `ManagedApplicationList`: what is known of each managed app, by its identifier.
    ManagedApplicationList,
    /// The response to `Restrictions`: `GlobalRestrictions`, the restrictions in effect.
    Restrictions,
    /// The response to `UserList`: `UserName`, `HasSecureToken`, `MobileAccount` and `IsLoggedIn` of each user.
    UserList,
    /// A status report of declarative management.
    StatusReport,
}

/// The last thing a source said, as a tree with Apple's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The tree.
    pub value: Value,
    /// When it was reported.
    pub observed_at: Timestamp,
}

/// What a device says about one declaration (`management.declarations`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclarationState {
    /// The token of the revision it speaks of.
    pub server_token: String,
    /// Whether it is in effect.
    pub active: bool,
    /// `valid`, `invalid` or `unknown`.
    pub valid: String,
    /// Why not, as `code: description`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// Everything a device has reported.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The roots of CEL expressions by what they come from; see [`Facts::variables`]. Null: it was reported, and did not fit.
    #[serde(default)]
    pub reports: BTreeMap<Source, Report>,
    /// When each status item was last confirmed: named by a report, or part of a full one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, Timestamp>,
    /// Status items that did not fit: not known until the next full report.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lost_items: BTreeSet<String>,
    /// Status items that the device could not tell, and why, as `code: description`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub item_errors: BTreeMap<String, String>,
    /// Declarations by identifier.
    #[serde(default)]
    pub declarations: BTreeMap<String, DeclarationState>,
    /// Installed profiles by `PayloadIdentifier`: their `PayloadUUID`. None: no ProfileList was ever reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profiles: Option<BTreeMap<String, String>>,
}

impl Facts {
    /// Takes the `QueryResponses` of a `DeviceInformation` response. Returns whether anything but time changed.
    pub fn device_information(&mut self, responses: &Value, observed_at: Timestamp) -> bool {
        self.answer(Source::DeviceInformation, responses, observed_at)
    }

    /// Takes the `SecurityInfo` of a `SecurityInfo` response. Returns whether anything but time changed.
    pub fn security_info(&mut self, info: &Value, observed_at: Timestamp) -> bool {
        self.answer(Source::SecurityInfo, info, observed_at)
    }

    /// Takes the answer of a command: the tree or list under Apple's key for it, as [`Source`] says. Returns whether anything but time changed.
    /// Profiles and status reports come by their own ways.
    pub fn answer(&mut self, source: Source, answer: &Value, observed_at: Timestamp) -> bool {
        self.replace(source, answers::normalised(source, answer), observed_at)
    }

    /// When a source last answered.
    #[must_use]
    pub fn observed_at(&self, source: Source) -> Option<Timestamp> {
        self.reports.get(&source).map(|report| report.observed_at)
    }

    /// Takes a complete `ProfileList`: `PayloadUUID` by `PayloadIdentifier`. Returns whether anything but time changed.
    pub fn profile_list(&mut self, profiles: BTreeMap<String, String>, observed_at: Timestamp) -> bool {
        let fits = |(identifier, uuid): &(String, String)| {
            identifier.len() <= MAX_IDENTIFIER && uuid.len() <= MAX_IDENTIFIER
        };
        let (own, others): (Vec<_>, Vec<_>) = profiles
            .into_iter()
            .filter(fits)
            .partition(|(identifier, _)| identifier.starts_with(PROFILE_PREFIX));
        let kept: BTreeMap<String, String> = own.into_iter().chain(others).take(MAX_PROFILES).collect();
        self.replace(Source::ProfileList, Value::Null, observed_at);
        let changed = self.profiles.as_ref() != Some(&kept);
        self.profiles = Some(kept);
        changed
    }

    /// Takes a status report of declarative management, incremental or full. Returns whether anything but time changed.
    ///
    /// # Errors
    /// When it is not a status report at all; nothing has changed then. Parts that cannot be read are as if they had not been reported.
    pub fn status_report(&mut self, report: &Value, observed_at: Timestamp) -> Result<bool, StatusError> {
        status::take(self, report, observed_at)
    }

    fn replace(&mut self, source: Source, value: Value, observed_at: Timestamp) -> bool {
        let changed = self.reports.get(&source).is_none_or(|known| known.value != value);
        self.reports.insert(source, Report { value, observed_at });
        changed
    }
}

/// The part of a tree that fits into the limits, without secrets. What is left out reads as not reported.
fn bounded(value: &Value) -> Value {
    let mut room = MAX_REPORT;
    fitting(value, &mut room, MAX_DEPTH).unwrap_or_else(|| Value::Object(Map::new()))
}

/// `value`, or as much of a dictionary as there is room for; takes the room it uses.
fn fitting(value: &Value, room: &mut usize, depth: usize) -> Option<Value> {
    match value {
        Value::Object(map) => {
            if depth == 0 {
                return None;
            }
            *room = room.checked_sub(2)?;
            let mut kept = Map::new();
            for (key, child) in map {
                let cost = key.len() + 4;
                if SECRETS.contains(&key.as_str()) || *room < cost {
                    continue;
                }
                let mut left = *room - cost;
                if let Some(child) = fitting(child, &mut left, depth - 1) {
                    *room = left;
                    kept.insert(key.clone(), child);
                }
            }
            Some(Value::Object(kept))
        }
        Value::Array(list) => {
            let mut left = room.checked_sub(2)?;
            let depth = depth.checked_sub(1)?;
            let mut kept = Vec::with_capacity(list.len().min(*room));
            for child in list {
                left = left.checked_sub(1)?;
                let before = left;
                let child_kept = fitting(child, &mut left, depth)?;
                // A dictionary in a list that lost keys for want of room is not the one that was reported.
                if before < weight(child, before + 1) {
                    return None;
                }
                kept.push(child_kept);
            }
            *room = left;
            Some(Value::Array(kept))
        }
        scalar => {
            *room = room.checked_sub(weight(scalar, *room + 1))?;
            Some(scalar.clone())
        }
    }
}

/// About how many bytes a tree takes as text; counting stops beyond `limit`.
fn weight(value: &Value, limit: usize) -> usize {
    let mut total = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        total += match value {
            Value::String(text) => text.len() + 2,
            Value::Number(_) => 8,
            Value::Array(list) => {
                open.extend(list);
                2 + list.len()
            }
            Value::Object(map) => {
                open.extend(map.values());
                2 + map.keys().map(|key| key.len() + 4).sum::<usize>()
            }
            Value::Null | Value::Bool(_) => 5,
        };
        if total > limit {
            break;
        }
    }
    total
}

#[cfg(test)]
mod tests;
