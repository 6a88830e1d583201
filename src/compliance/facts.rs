//! Facts: what a device has reported, by source, with the time of each report.
//!
//! A report replaces what the same source said before, except that incremental status reports are merged. What was not
//! reported is absent: absence is never read as false.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
)]
pub enum Source {
    /// The response to `DeviceInformation`.
    DeviceInformation,
    /// The response to `SecurityInfo`.
    SecurityInfo,
    /// The response to `ProfileList`.
    ProfileList,
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
    /// The roots of CEL expressions: `DeviceInformation`, `SecurityInfo`, and `StatusItems` under `StatusReport`.
    #[serde(default)]
    pub reports: BTreeMap<Source, Report>,
    /// Declarations by identifier.
    #[serde(default)]
    pub declarations: BTreeMap<String, DeclarationState>,
    /// Installed profiles by `PayloadIdentifier`: their `PayloadUUID`. None: no ProfileList was ever reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profiles: Option<BTreeMap<String, String>>,
}

impl Facts {
    /// Takes the answer to `DeviceInformation`.
    pub fn device_information(&mut self, responses: &Value, observed_at: Timestamp) -> bool {
        self.replace(Source::DeviceInformation, responses.clone(), observed_at)
    }

    /// Takes the answer to `SecurityInfo`.
    pub fn security_info(&mut self, info: &Value, observed_at: Timestamp) -> bool {
        self.replace(Source::SecurityInfo, info.clone(), observed_at)
    }

    /// Takes a complete `ProfileList`.
    pub fn profile_list(&mut self, profiles: BTreeMap<String, String>, observed_at: Timestamp) -> bool {
        self.replace(Source::ProfileList, Value::Null, observed_at);
        let changed = self.profiles.as_ref() != Some(&profiles);
        self.profiles = Some(profiles);
        changed
    }

    /// Takes a status report.
    ///
    /// # Errors
    /// When it is no object.
    pub fn status_report(&mut self, report: &Value, observed_at: Timestamp) -> Result<bool, std::fmt::Error> {
        if !report.is_object() {
            return Err(std::fmt::Error);
        }
        let states = report
            .pointer("/StatusItems/management/declarations")
            .and_then(Value::as_object);
        for state in states.into_iter().flat_map(|s| s.values()).filter_map(Value::as_array).flatten() {
            let text = |key: &str| state.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            self.declarations.insert(
                text("identifier"),
                DeclarationState {
                    server_token: text("server-token"),
                    active: true,
                    valid: text("valid"),
                    reasons: Vec::new(),
                },
            );
        }
        Ok(self.replace(Source::StatusReport, report.clone(), observed_at))
    }

    fn replace(&mut self, source: Source, value: Value, observed_at: Timestamp) -> bool {
        let changed = self.reports.get(&source).is_none_or(|known| known.value != value);
        self.reports.insert(source, Report { value, observed_at });
        changed
    }
}
