//! What a device says it does not take, though its system has it: Apple's `management.client-capabilities`, turned round.
//!
//! Most devices lack nothing, so that devices of one system stay one class. What a device has beyond the tables is no news to anybody.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::DeviceClass;
use super::tables::{declaration_types, status_items};

/// Declaration types and status items, as bits in the order of the tables. Kept by name, since tables grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lacks {
    declarations: u128,
    items: u128,
}

/// The same, as it is kept.
#[derive(Serialize, Deserialize)]
struct Names {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    declarations: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    items: Vec<String>,
}

impl Lacks {
    /// What devices of `class` would take and this one does not list in its `management.client-capabilities`. None: that says nothing about
    /// it. Kinds of declarations that it does not list at all are not judged.
    #[must_use]
    pub fn read(capabilities: &Value, class: &DeviceClass) -> Option<Self> {
        let class = DeviceClass {
            lacks: Self::default(),
            ..*class
        };
        let payloads = capabilities.get("supported-payloads")?;
        let list = |value: &Value| -> Option<Vec<String>> {
            let names = value.as_array()?.iter().filter_map(Value::as_str);
            Some(names.map(str::to_owned).collect())
        };
        let declarations = payloads.get("declarations")?;
        let sections: Vec<(&str, Vec<String>)> = [
            ("com.apple.asset.", "assets"),
            ("com.apple.configuration.", "configurations"),
            ("com.apple.management.", "management"),
        ]
        .into_iter()
        .filter_map(|(prefix, section)| Some((prefix, list(declarations.get(section)?)?)))
        .collect();
        let mut lacks = Self::default();
        for (place, row) in declaration_types().enumerate() {
            let name = row.name();
            let unlisted = sections
                .iter()
                .any(|(prefix, listed)| name.starts_with(prefix) && !listed.contains(&name));
            if unlisted && row.allows(&class).is_ok() {
                lacks.declarations |= bit(place);
            }
        }
        if let Some(listed) = payloads.get("status-items").and_then(list) {
            for item in status_items(&class) {
                if !listed.iter().any(|name| name == item.name) {
                    lacks.items |= bit(item.place);
                }
            }
        }
        Some(lacks)
    }

    /// Whether a declaration type is missing, by its place in the table.
    pub(super) const fn declaration(self, place: usize) -> bool {
        self.declarations & bit(place) != 0
    }

    /// Whether a status item is missing, by its place in the table.
    pub(super) const fn item(self, place: usize) -> bool {
        self.items & bit(place) != 0
    }

    fn names(self) -> Names {
        let declarations = declaration_types().enumerate();
        let items = super::tables::item_names().enumerate();
        Names {
            declarations: declarations
                .filter(|(place, _)| self.declaration(*place))
                .map(|(_, row)| row.name())
                .collect(),
            items: items
                .filter(|(place, _)| self.item(*place))
                .map(|(_, name)| name.to_owned())
                .collect(),
        }
    }
}

/// The bit of a place; none beyond the 128th, which a test keeps the tables from.
const fn bit(place: usize) -> u128 {
    if place < 128 { 1 << place } else { 0 }
}

impl From<Names> for Lacks {
    fn from(names: Names) -> Self {
        let mut lacks = Self::default();
        for (place, row) in declaration_types().enumerate() {
            if names.declarations.contains(&row.name()) {
                lacks.declarations |= bit(place);
            }
        }
        for (place, name) in super::tables::item_names().enumerate() {
            if names.items.iter().any(|known| known == name) {
                lacks.items |= bit(place);
            }
        }
        lacks
    }
}

impl Serialize for Lacks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Lacks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Names::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::common::{EnrollmentMode, Platform};
    use crate::policy::OsVersion;
    use crate::policy::platform::declaration_type;

    fn mac(lacks: Lacks) -> DeviceClass {
        DeviceClass {
            platform: Platform::MacOS,
            os_version: OsVersion::read("26.0"),
            mode: EnrollmentMode::Supervised,
            declarative: true,
            lacks,
        }
    }

    /// All that a Mac has, but for `missing`.
    fn capabilities(missing: &[&str]) -> Value {
        let class = mac(Lacks::default());
        let types = |prefix: &str| -> Vec<String> {
            declaration_types()
                .filter(|row| row.allows(&class).is_ok())
                .map(|row| row.name())
                .filter(|name| name.starts_with(prefix) && !missing.contains(&&**name))
                .collect()
        };
        let items: Vec<&str> = status_items(&class)
            .map(|item| item.name)
            .filter(|name| !missing.contains(name))
            .collect();
        json!({ "supported-versions": ["1.0.0"], "supported-features": {}, "supported-payloads": {
            "declarations": {
                "activations": ["com.apple.activation.simple"],
                "assets": types("com.apple.asset."),
                "configurations": types("com.apple.configuration."),
                "management": types("com.apple.management."),
            },
            "status-items": items,
        } })
    }

    #[test]
    fn a_device_that_has_all_of_its_system_lacks_nothing() {
        let lacks = Lacks::read(&capabilities(&[]), &mac(Lacks::default()));
        assert_eq!(lacks, Some(Lacks::default()));
        assert_eq!(serde_json::to_string(&lacks).unwrap(), "{}");
    }

    #[test]
    fn what_a_device_lacks_it_is_not_sent() {
        let passcode = "com.apple.configuration.passcode.settings";
        let said = capabilities(&[passcode, "softwareupdate.install-state"]);
        let lacks = Lacks::read(&said, &mac(Lacks::default())).unwrap();
        let class = mac(lacks);
        assert_eq!(
            declaration_type(passcode).unwrap().allows(&class).unwrap_err(),
            "the device says that it does not take com.apple.configuration.passcode.settings"
        );
        assert!(
            declaration_type("com.apple.configuration.legacy")
                .unwrap()
                .allows(&class)
                .is_ok()
        );
        let items: Vec<&str> = status_items(&class).map(|item| item.name).collect();
        assert!(!items.contains(&"softwareupdate.install-state"));
        assert!(items.contains(&"softwareupdate.pending-version"));
        // Said once more of a device that is known to lack it, it is the same.
        assert_eq!(Lacks::read(&said, &class), Some(lacks));
        let kept = serde_json::to_string(&lacks).unwrap();
        assert!(kept.contains(passcode), "{kept}");
        assert_eq!(serde_json::from_str::<Lacks>(&kept).unwrap(), lacks);
    }

    #[test]
    fn what_says_nothing_takes_nothing_away() {
        let class = mac(Lacks::default());
        for nothing in [json!(null), json!({}), json!({ "supported-payloads": [] })] {
            assert_eq!(Lacks::read(&nothing, &class), None, "{nothing}");
        }
        let empty = json!({ "supported-payloads": { "declarations": {} } });
        assert_eq!(Lacks::read(&empty, &class), Some(Lacks::default()));
    }

    #[test]
    fn every_row_of_the_tables_has_a_bit() {
        assert!(declaration_types().count() <= 128);
        assert!(super::super::tables::item_names().count() <= 128);
    }
}
