//! What a device answers to a command, read by the table.
//!
//! A value of the type that the schema names is taken; one of another type is set aside, for it proves nothing; a key that the schema does not
//! know is kept apart, for a newer system may know it. Nothing that is missing is an error. Secrets are taken out, wherever they stand.
//!
//! Specification: the `responsekeys` of Apple's schema.

use std::collections::BTreeMap;

use plist::{Dictionary, Value};

use super::arguments::is_of;
use super::table::{self, DISCRIMINATOR, Key, Kind};
use crate::mdm::plist::to_json;
use crate::secret::Secret;

/// Values that are escrowed or thrown away, and never become facts: each by the name of its key, which stands for nothing else anywhere.
const SECRETS: [&str; 6] = [
    "ActivationLockBypassCode",
    "EncryptedNewRecoveryKey",
    "FDE_PersonalRecoveryKeyCMS",
    "FDE_PersonalRecoveryKeyDeviceKey",
    "PushToken",
    "UnlockToken",
];

/// The keys that every report has.
const COMMON: [&str; 10] = [
    "CommandUUID",
    "EnrollmentID",
    "EnrollmentUserID",
    "ErrorChain",
    "NotOnConsole",
    "Status",
    "UDID",
    "UserID",
    "UserLongName",
    "UserShortName",
];

/// The most keys that are listed as set aside or unknown.
const LISTED: usize = 64;

/// An answer.
#[derive(Debug, Default)]
pub struct Answer {
    values: Dictionary,
    /// Where values stood that were not of their type: `QueryResponses.BatteryLevel`.
    pub mistyped: Vec<String>,
    /// Where values stand that the schema does not know. They are among the values all the same.
    pub unknown: Vec<String>,
    secrets: BTreeMap<&'static str, Secret<Vec<u8>>>,
}

impl Answer {
    /// Reads the answer to a command. Of one that the table does not know, everything is unknown.
    #[must_use]
    pub fn read(request_type: &str, message: &Dictionary) -> Self {
        static NOTHING: BTreeMap<String, Key> = BTreeMap::new();
        let keys = table::command(request_type).map_or(&NOTHING, |(_, facts)| &facts.response);
        let mut answer = Self::default();
        let own: Dictionary = message
            .iter()
            .filter(|(name, _)| !COMMON.contains(&name.as_str()) || keys.contains_key(*name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        answer.values = answer.dictionary("", Some(keys), own);
        answer
    }

    /// A value by its path: `["QueryResponses", "OSVersion"]`.
    #[must_use]
    pub fn value(&self, path: &[&str]) -> Option<&Value> {
        let (last, way) = path.split_last()?;
        let mut at = &self.values;
        for name in way {
            at = at.get(name)?.as_dictionary()?;
        }
        at.get(last)
    }

    /// A text.
    #[must_use]
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        self.value(path)?.as_string()
    }

    /// True or false.
    #[must_use]
    pub fn flag(&self, path: &[&str]) -> Option<bool> {
        self.value(path)?.as_boolean()
    }

    /// A whole number.
    #[must_use]
    pub fn integer(&self, path: &[&str]) -> Option<i64> {
        self.value(path)?.as_signed_integer()
    }

    /// Bytes.
    #[must_use]
    pub fn data(&self, path: &[&str]) -> Option<&[u8]> {
        self.value(path)?.as_data()
    }

    /// The dictionaries of a list.
    pub fn entries<'a>(&'a self, path: &[&str]) -> impl Iterator<Item = &'a Dictionary> {
        let items = self.value(path).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_dictionary)
    }

    /// A value with all below it, as JSON: how facts are kept.
    #[must_use]
    pub fn json(&self, path: &[&str]) -> Option<serde_json::Value> {
        self.value(path).map(to_json)
    }

    /// A secret by the name of its key, such as `UnlockToken`; a text as its bytes.
    #[must_use]
    pub fn secret(&self, key: &str) -> Option<&Secret<Vec<u8>>> {
        self.secrets.get(key)
    }

    /// `keys` None: below a key that the schema does not know or does not describe.
    fn dictionary(
        &mut self,
        path: &str,
        keys: Option<&BTreeMap<String, Key>>,
        entries: Dictionary,
    ) -> Dictionary {
        let mut kept = Dictionary::new();
        for (name, value) in entries {
            if let Some(secret) = SECRETS.into_iter().find(|secret| *secret == name) {
                let bytes = match value {
                    Value::Data(bytes) => bytes,
                    Value::String(text) => text.into_bytes(),
                    _ => continue,
                };
                self.secrets.insert(secret, Secret::new(bytes));
                continue;
            }
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            let key = keys.map(|keys| table::key(keys, &name));
            if key == Some(None) {
                note(&mut self.unknown, &path);
            }
            if let Some(value) = self.one(&path, key.flatten(), value) {
                kept.insert(name, value);
            }
        }
        kept
    }

    fn one(&mut self, path: &str, key: Option<&Key>, value: Value) -> Option<Value> {
        let kind = key.map_or(Kind::Any, |key| key.kind);
        let Some(value) = of_type(kind, value) else {
            note(&mut self.mistyped, path);
            return None;
        };
        let keys = key.map(|key| &key.keys).filter(|keys| !keys.is_empty());
        Some(match value {
            Value::Dictionary(entries) => Value::Dictionary(self.dictionary(path, keys, entries)),
            Value::Array(items) => Value::Array(
                items
                    .into_iter()
                    .filter_map(|item| {
                        let discriminator = item
                            .as_dictionary()
                            .and_then(|entries| entries.get(DISCRIMINATOR));
                        let discriminator = discriminator.and_then(Value::as_string);
                        let kind = key.and_then(|key| table::item(&key.keys, discriminator));
                        self.one(path, kind, item)
                    })
                    .collect(),
            ),
            plain => plain,
        })
    }
}

/// The value as one of its type. A boolean as 0 or 1 and a number that happens to be whole are taken for what they mean.
fn of_type(kind: Kind, value: Value) -> Option<Value> {
    if is_of(kind, &value) {
        return Some(value);
    }
    match (kind, value.as_signed_integer()) {
        (Kind::Boolean, Some(0)) => Some(false.into()),
        (Kind::Boolean, Some(1)) => Some(true.into()),
        _ => None,
    }
}

fn note(list: &mut Vec<String>, path: &str) {
    if list.len() < LISTED && list.last().is_none_or(|last| last != path) {
        list.push(path.chars().take(256).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mdm::plist::read_dictionary;

    fn answer(request_type: &str, entries: &str) -> Answer {
        let xml = format!(
            "<plist version=\"1.0\"><dict><key>UDID</key><string>A0-1</string><key>Status</key><string>Acknowledged</string>{entries}</dict></plist>"
        );
        Answer::read(request_type, &read_dictionary(xml.as_bytes()).unwrap())
    }

    #[test]
    fn an_answer_has_the_types_of_the_schema() {
        let answer = answer(
            "DeviceInformation",
            "<key>QueryResponses</key><dict><key>OSVersion</key><string>15.4</string>\
             <key>IsSupervised</key><integer>1</integer><key>BatteryLevel</key><string>full</string>\
             <key>FromTheFuture</key><dict><key>x</key><true/></dict></dict>",
        );
        assert_eq!(answer.text(&["QueryResponses", "OSVersion"]), Some("15.4"));
        assert_eq!(answer.flag(&["QueryResponses", "IsSupervised"]), Some(true));
        assert_eq!(
            answer.value(&["QueryResponses", "BatteryLevel"]),
            None,
            "it proves nothing"
        );
        assert_eq!(answer.mistyped, ["QueryResponses.BatteryLevel"]);
        assert_eq!(answer.unknown, ["QueryResponses.FromTheFuture"]);
        assert_eq!(
            answer.flag(&["QueryResponses", "FromTheFuture", "x"]),
            Some(true),
            "kept"
        );
        assert_eq!(answer.value(&["Status"]), None, "the report's own");
        assert_eq!(
            answer.value(&["QueryResponses", "HostName"]),
            None,
            "missing is missing"
        );
    }

    #[test]
    fn lists_lose_what_is_no_entry() {
        let answer = answer(
            "InstalledApplicationList",
            "<key>InstalledApplicationList</key><array><dict><key>Identifier</key><string>a</string></dict>\
             <string>odd</string></array>",
        );
        let list = ["InstalledApplicationList"];
        assert_eq!(answer.entries(&list).count(), 1);
        assert_eq!(answer.json(&list), Some(serde_json::json!([{"Identifier": "a"}])));
        assert_eq!(answer.mistyped, ["InstalledApplicationList"]);
    }

    #[test]
    fn secrets_are_taken_out_wherever_they_stand() {
        let tokens = answer("RequestUnlockToken", "<key>UnlockToken</key><data>AAEC</data>");
        assert_eq!(tokens.secret("UnlockToken").unwrap().reveal(), &[0, 1, 2]);
        assert_eq!(tokens.value(&["UnlockToken"]), None);
        let misplaced = answer(
            "MakeCoffee",
            "<key>Anything</key><array><dict><key>ActivationLockBypassCode</key><string>c</string></dict></array>",
        );
        assert_eq!(misplaced.json(&["Anything"]), Some(serde_json::json!([{}])));
        assert_eq!(
            misplaced.secret("ActivationLockBypassCode").unwrap().reveal(),
            b"c"
        );
        assert!(!format!("{misplaced:?}").contains("[99]"));
    }
}
