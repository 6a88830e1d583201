//! Groups: which devices belong to a DeviceGroup.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use crate::api::DeviceGroupSpec;
use crate::api::common::{EnrollmentMode, Platform};
use crate::api::names::{ENROLLMENT_MODE_LABEL, PLATFORM_LABEL};
use crate::api::selector::{LabelSelector, SelectorError};
use crate::expression::{CompileError, Obstacle, Program};

/// The variable of a group's expression.
const DEVICE: &str = "device";
/// What `device` holds.
pub const DEVICE_KEYS: [&str; 6] = [
    "platform",
    "osVersion",
    "enrollmentMode",
    "model",
    "serialNumber",
    "labels",
];

/// Why a group cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The expression is none.
    #[error("the expression cannot be read")]
    Expression(#[source] CompileError),
    /// The expression reads what a device does not have.
    #[error("`device` has no `{key}`{suggestion}")]
    Key {
        /// What it reads.
        key: String,
        /// A hint, or nothing.
        suggestion: String,
    },
    /// The expression gives something else than true or false.
    #[error("the expression cannot say who belongs")]
    NotBoolean(#[source] Obstacle),
    /// The selector is none.
    #[error("the selector cannot be read")]
    Selector(#[source] SelectorError),
}

/// A device, as groups see it. Made once for a device and shown to every group.
#[derive(Debug, Clone)]
pub struct Candidate {
    device: Value,
    labels: BTreeMap<String, String>,
    serial_number: Option<String>,
}

impl Candidate {
    /// The labels that selectors see.
    #[must_use]
    pub const fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// A device. What is not known of it is not among its keys.
    #[must_use]
    pub fn new(
        platform: Platform,
        os_version: &str,
        mode: EnrollmentMode,
        model: Option<&str>,
        serial_number: Option<&str>,
        labels: BTreeMap<String, String>,
    ) -> Self {
        let mut device = Map::new();
        device.insert("platform".to_owned(), json!(platform));
        device.insert("osVersion".to_owned(), json!(os_version));
        device.insert("enrollmentMode".to_owned(), json!(mode));
        device.insert("labels".to_owned(), json!(labels));
        for (key, value) in [("model", model), ("serialNumber", serial_number)] {
            if let Some(value) = value {
                device.insert(key.to_owned(), json!(value));
            }
        }
        Self {
            device: Value::Object(device),
            labels,
            serial_number: serial_number.map(str::to_owned),
        }
    }
}

/// A DeviceGroup, compiled.
#[derive(Debug)]
pub struct Group {
    selector: Option<LabelSelector>,
    expression: Option<Program>,
    serial_numbers: HashSet<String>,
}

impl Group {
    /// Compiles a group.
    ///
    /// # Errors
    /// When its selector or expression cannot be read.
    pub fn compile(spec: &DeviceGroupSpec) -> Result<Self, GroupError> {
        let selector = spec
            .selector
            .as_ref()
            .map(LabelSelector::from_spec)
            .transpose()
            .map_err(GroupError::Selector)?;
        let expression = spec
            .expression
            .as_deref()
            .map(|text| Program::compile(text, &[DEVICE]))
            .transpose()
            .map_err(GroupError::Expression)?;
        for path in expression.iter().flat_map(Program::paths) {
            if let Some(key) = path
                .keys
                .first()
                .filter(|key| !DEVICE_KEYS.contains(&key.as_str()))
            {
                return Err(GroupError::Key {
                    suggestion: crate::suggest::did_you_mean(key, DEVICE_KEYS),
                    key: key.clone(),
                });
            }
        }
        // A device that has everything: what is no truth value here is none anywhere.
        let (platform, mode) = (Platform::MacOS, EnrollmentMode::Supervised);
        let sample = Candidate::new(
            platform,
            "26.0",
            mode,
            Some("Mac16,10"),
            Some("C02X"),
            BTreeMap::new(),
        );
        let result = expression
            .as_ref()
            .map(|program| program.evaluate(&[(DEVICE, &sample.device)]));
        if let Some(Err(obstacle @ Obstacle::NotBoolean { .. })) = result {
            return Err(GroupError::NotBoolean(obstacle));
        }
        Ok(Self {
            selector,
            expression,
            serial_numbers: spec.serial_numbers.iter().cloned().collect(),
        })
    }

    /// Whether a device of which nothing is known but its platform, version and mode (and the labels that tell these) could belong. Where that
    /// cannot be told, it could.
    #[must_use]
    pub fn could_contain(&self, candidate: &Candidate) -> bool {
        if !self.serial_numbers.is_empty() {
            return true;
        }
        let told = [PLATFORM_LABEL, ENROLLMENT_MODE_LABEL];
        let by_labels = |selector: &LabelSelector| selector.on(&told).matches(&candidate.labels);
        let by_expression = |program: &Program| match program.evaluate(&[(DEVICE, &candidate.device)]) {
            // To ask whether a label is there gives an answer also where the labels are not known.
            Ok(belongs) => belongs || program.source().contains("has(") || program.source().contains(" in "),
            Err(_) => true,
        };
        (self.selector.is_some() || self.expression.is_some())
            && self.selector.as_ref().is_none_or(by_labels)
            && self.expression.as_ref().is_none_or(by_expression)
    }

    /// Whether a device belongs: it is listed by its serial number, or matches all that the group has of selector and
    /// expression. A device that lacks what the expression needs (a label, its model) does not belong.
    ///
    /// # Errors
    /// When the expression has no truth value for another reason.
    pub fn contains(&self, candidate: &Candidate) -> Result<bool, Obstacle> {
        if candidate
            .serial_number
            .as_ref()
            .is_some_and(|serial| self.serial_numbers.contains(serial))
        {
            return Ok(true);
        }
        if self.selector.is_none() && self.expression.is_none() {
            return Ok(false);
        }
        if self
            .selector
            .as_ref()
            .is_some_and(|selector| !selector.matches(&candidate.labels))
        {
            return Ok(false);
        }
        match self
            .expression
            .as_ref()
            .map(|program| program.evaluate(&[(DEVICE, &candidate.device)]))
        {
            None => Ok(true),
            Some(Err(Obstacle::NotReported { .. })) => Ok(false),
            Some(result) => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(spec: Value) -> Group {
        Group::compile(&serde_json::from_value(spec).unwrap()).unwrap()
    }

    fn refused(spec: Value) -> GroupError {
        Group::compile(&serde_json::from_value(spec).unwrap()).unwrap_err()
    }

    fn device(serial: Option<&str>, labels: &[(&str, &str)]) -> Candidate {
        let labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Candidate::new(
            Platform::MacOS,
            "26.1",
            EnrollmentMode::Supervised,
            Some("Mac16,10"),
            serial,
            labels,
        )
    }

    #[test]
    fn selector_and_expression_must_both_match() {
        let group = group(json!({
            "selector": { "matchLabels": { "team": "lab" }, "matchExpressions": [{ "key": "site", "operator": "In", "values": ["a", "b"] }] },
            "expression": "device.platform == 'macOS' && device.osVersion.startsWith('26.') && device.labels['site'] != 'x'"
        }));
        assert_eq!(
            group.contains(&device(None, &[("team", "lab"), ("site", "b")])),
            Ok(true)
        );
        assert_eq!(
            group.contains(&device(None, &[("team", "lab"), ("site", "c")])),
            Ok(false)
        );
        assert_eq!(
            group.contains(&device(None, &[("team", "shop"), ("site", "a")])),
            Ok(false)
        );
    }

    #[test]
    fn a_listed_device_belongs_whatever_else_the_group_says() {
        let listed = group(json!({ "serialNumbers": ["C02X"] }));
        assert_eq!(listed.contains(&device(Some("C02X"), &[])), Ok(true));
        assert_eq!(listed.contains(&device(Some("C02Y"), &[])), Ok(false));
        assert_eq!(listed.contains(&device(None, &[])), Ok(false));
        let listed_too = group(json!({ "serialNumbers": ["C02X"], "expression": "false" }));
        assert_eq!(listed_too.contains(&device(Some("C02X"), &[])), Ok(true));
    }

    #[test]
    fn an_empty_selector_is_everyone_and_a_missing_value_is_no_match() {
        assert_eq!(
            group(json!({ "selector": {} })).contains(&device(None, &[])),
            Ok(true)
        );
        let by_label = group(json!({ "expression": "device.labels.team == 'lab'" }));
        assert_eq!(by_label.contains(&device(None, &[])), Ok(false));
        assert_eq!(by_label.contains(&device(None, &[("team", "lab")])), Ok(true));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(
            refused(json!({ "expression": "device.osversion == '1'" })).to_string(),
            "`device` has no `osversion`; did you mean `osVersion`?"
        );
        assert!(matches!(
            refused(json!({ "expression": "devices.platform == '1'" })),
            GroupError::Expression(_)
        ));
        assert!(matches!(
            refused(json!({ "expression": "device.platform" })),
            GroupError::NotBoolean(_)
        ));
        assert!(matches!(
            refused(json!({ "selector": { "matchExpressions": [{ "key": "a", "operator": "Is" }] } })),
            GroupError::Selector(_)
        ));
    }
}
