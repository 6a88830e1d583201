//! Facts as checks read them.
//!
//! Some of what commands answer is a status item, too. A subscribed item is told by itself whenever it changes, so it stands in for the
//! answer: whichever is newer counts, under either name. A rule that reads `SecurityInfo.FDE_Enabled` is so decided by a subscription
//! where the device has the item, and by the command where it has not.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{Facts, Source, items};
use crate::compliance::check;

/// Status items that say the same as a key of a command's answer: the item, the command, the key.
pub const EQUIVALENT: [(&str, Source, &str); 8] = [
    (
        "device.model.identifier",
        Source::DeviceInformation,
        "ProductName",
    ),
    (
        "device.operating-system.build-version",
        Source::DeviceInformation,
        "BuildVersion",
    ),
    (
        "device.operating-system.supplemental.build-version",
        Source::DeviceInformation,
        "SupplementalBuildVersion",
    ),
    (
        "device.operating-system.supplemental.extra-version",
        Source::DeviceInformation,
        "SupplementalOSVersionExtra",
    ),
    (
        "device.operating-system.version",
        Source::DeviceInformation,
        "OSVersion",
    ),
    (
        "diskmanagement.filevault.enabled",
        Source::SecurityInfo,
        "FDE_Enabled",
    ),
    ("passcode.is-compliant", Source::SecurityInfo, "PasscodeCompliant"),
    ("passcode.is-present", Source::SecurityInfo, "PasscodePresent"),
];

/// The roots of CEL expressions, with their names.
#[derive(Debug)]
pub struct Variables<'f> {
    roots: Vec<(&'static str, Cow<'f, Value>)>,
    /// Keys of commands' answers that a status item stands in for.
    by_status: Vec<(Source, &'static str)>,
}

impl Facts {
    /// The facts as checks read them.
    #[must_use]
    pub fn variables(&self) -> Variables<'_> {
        let mut variables = Variables {
            roots: self
                .reports
                .iter()
                .filter(|(_, report)| !report.value.is_null())
                .filter_map(|(source, report)| {
                    Some((check::variable(*source)?, Cow::Borrowed(&report.value)))
                })
                .collect(),
            by_status: Vec::new(),
        };
        let status = self.reports.get(&Source::StatusReport);
        let Some(tree) = status.and_then(|report| report.value.as_object()) else {
            return variables;
        };
        for (item, source, key) in EQUIVALENT {
            if let Some(value) = items::find(tree, item)
                && self.items.get(item).copied() >= self.observed_at(source)
            {
                variables.stand_in(source, key, value);
            }
        }
        variables
    }
}

impl Variables<'_> {
    fn stand_in(&mut self, source: Source, key: &'static str, value: &Value) {
        let Some(name) = check::variable(source) else {
            return;
        };
        let at = self.roots.iter().position(|(known, _)| *known == name);
        let at = at.unwrap_or_else(|| {
            self.roots.push((name, Cow::Owned(Value::Object(Map::new()))));
            self.roots.len() - 1
        });
        if let Some((_, root)) = self.roots.get_mut(at)
            && let Some(map) = root.to_mut().as_object_mut()
        {
            map.insert(key.to_owned(), value.clone());
            self.by_status.push((source, key));
        }
    }

    /// The roots, with their names.
    pub fn roots(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.roots.iter().map(|(name, root)| (*name, &**root))
    }

    /// Where the value of a key comes from.
    #[must_use]
    pub fn source_of(&self, source: Source, key: Option<&str>) -> Source {
        let stands_in = self
            .by_status
            .iter()
            .any(|(known, by)| *known == source && key == Some(by));
        if stands_in { Source::StatusReport } else { source }
    }
}
