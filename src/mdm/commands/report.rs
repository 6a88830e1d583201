//! What a device reports on the command channel.

use std::collections::BTreeMap;

use plist::{Dictionary, Value};

use super::answer::Answer;
use crate::compliance::Source;
use crate::ids::CommandUuid;
use crate::mdm::command::{ErrorLink, ReportStatus};
use crate::mdm::sender::{self, Sender, text};

/// The most links of an ErrorChain that are kept.
const CHAIN_LIMIT: usize = 16;

/// The longest of its texts that is kept, in characters.
const LINK_LIMIT: usize = 512;

/// A message on the command channel and who sent it.
#[derive(Debug)]
pub struct CommandReport {
    /// Who.
    pub sender: Sender,
    /// What.
    pub report: Report,
}

/// What the device says.
#[derive(Debug)]
pub enum Report {
    /// It has nothing to report and wants work.
    Idle,
    /// How a command went.
    Command {
        /// Which.
        uuid: CommandUuid,
        /// How.
        status: ReportStatus,
        /// What the answer says about the device.
        evidence: Evidence,
    },
    /// A report that names no command. Recorded; nothing is changed by it.
    Unidentified {
        /// Its status.
        status: String,
    },
}

/// What an answer says about the device, as JSON trees with Apple's names. An answer holds one of them, or none.
#[derive(Debug, Default, PartialEq)]
pub struct Evidence {
    /// The answer to DeviceInformation.
    pub device_information: Option<serde_json::Value>,
    /// The answer to SecurityInfo, without secrets.
    pub security_info: Option<serde_json::Value>,
    /// The answer to ProfileList: the `PayloadUUID` of each `PayloadIdentifier`.
    pub profiles: Option<BTreeMap<String, String>>,
    /// The answer to another question.
    pub other: Option<(Source, serde_json::Value)>,
}

/// The answers that come under a key of their own, and the commands they answer.
const ANSWERS: [(&str, Source); 5] = [
    ("CertificateList", Source::CertificateList),
    ("GlobalRestrictions", Source::Restrictions),
    ("InstalledApplicationList", Source::InstalledApplicationList),
    ("ManagedApplicationList", Source::ManagedApplicationList),
    ("Users", Source::UserList),
];

impl CommandReport {
    /// Reads a message of the command channel.
    ///
    /// # Errors
    /// When it does not tell who speaks. Everything else is a report, if only an odd one.
    pub fn read(message: &Dictionary) -> Result<Self, sender::Error> {
        let sender = Sender::of(message)?;
        let status = text(message, "Status").unwrap_or_default();
        let uuid = text(message, "CommandUUID").and_then(|uuid| CommandUuid::parse(uuid).ok());
        let report = match (status, uuid) {
            ("Idle", _) => Report::Idle,
            (status, Some(uuid)) => Report::Command {
                uuid,
                status: read_status(status, message),
                evidence: if status == "Acknowledged" {
                    Evidence::of(message)
                } else {
                    Evidence::default()
                },
            },
            (status, None) => Report::Unidentified {
                status: clipped(status),
            },
        };
        Ok(Self { sender, report })
    }
}

impl Evidence {
    fn of(message: &Dictionary) -> Self {
        let tree = |request_type: &str, key: &str| {
            message.get(key)?;
            Answer::read(request_type, message)
                .json(&[key])
                .filter(serde_json::Value::is_object)
        };
        let profiles = message
            .get("ProfileList")
            .map(|_| Answer::read("ProfileList", message));
        Self {
            device_information: tree("DeviceInformation", "QueryResponses"),
            security_info: tree("SecurityInfo", "SecurityInfo"),
            profiles: profiles
                .filter(|answer| answer.value(&["ProfileList"]).is_some())
                .map(|answer| answer.entries(&["ProfileList"]).filter_map(installed).collect()),
            other: ANSWERS.iter().find_map(|(key, source)| {
                message.get(key)?;
                let answer = Answer::read(source.into(), message).json(&[key])?;
                Some(match source {
                    // Kept as it comes, under the name that Apple gives it.
                    Source::Restrictions => (*source, serde_json::json!({ *key: answer })),
                    source => (*source, answer),
                })
            }),
        }
    }

    /// Whether the answer says nothing about the device.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The identifier and the UUID of one entry of a ProfileList.
fn installed(profile: &Dictionary) -> Option<(String, String)> {
    let identifier = text(profile, "PayloadIdentifier")?;
    let uuid = text(profile, "PayloadUUID")?;
    Some((identifier.to_owned(), uuid.to_owned()))
}

fn read_status(status: &str, message: &Dictionary) -> ReportStatus {
    match status {
        "Acknowledged" => ReportStatus::Acknowledged,
        "Error" => ReportStatus::Error(error_chain(message)),
        "CommandFormatError" => ReportStatus::CommandFormatError,
        "NotNow" => ReportStatus::NotNow,
        other => ReportStatus::Other(clipped(other)),
    }
}

fn error_chain(message: &Dictionary) -> Vec<ErrorLink> {
    let links = message.get("ErrorChain").and_then(Value::as_array);
    links
        .into_iter()
        .flatten()
        .filter_map(Value::as_dictionary)
        .take(CHAIN_LIMIT)
        .map(|link| ErrorLink {
            domain: text(link, "ErrorDomain").map(clipped).unwrap_or_default(),
            code: link.get("ErrorCode").and_then(Value::as_signed_integer),
            localized: text(link, "LocalizedDescription").map(clipped),
            us_english: text(link, "USEnglishDescription").map(clipped),
        })
        .collect()
}

fn clipped(text: &str) -> String {
    text.chars().take(LINK_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mdm::plist::read_dictionary;

    fn read(entries: &str) -> Report {
        let xml = format!(
            "<plist version=\"1.0\"><dict><key>UDID</key><string>A0-1</string>{entries}</dict></plist>"
        );
        CommandReport::read(&read_dictionary(xml.as_bytes()).unwrap())
            .unwrap()
            .report
    }

    fn evidence(entries: &str) -> Evidence {
        let report = read(&format!(
            "<key>CommandUUID</key><string>c-1</string><key>Status</key><string>Acknowledged</string>{entries}"
        ));
        let Report::Command { evidence, .. } = report else {
            panic!("not read as a report on a command");
        };
        evidence
    }

    #[test]
    fn idle_wants_work() {
        assert!(matches!(
            read("<key>Status</key><string>Idle</string>"),
            Report::Idle
        ));
    }

    #[test]
    fn an_error_keeps_its_chain() {
        let report = read(
            "<key>CommandUUID</key><string>c-2</string><key>Status</key><string>Error</string>\
             <key>ErrorChain</key><array><dict><key>ErrorCode</key><integer>12021</integer>\
             <key>ErrorDomain</key><string>MCMDMErrorDomain</string>\
             <key>LocalizedDescription</key><string>Unbekannter Befehl</string>\
             <key>USEnglishDescription</key><string>Unknown command</string></dict><dict/></array>",
        );
        let Report::Command { uuid, status, .. } = report else {
            panic!("not read as a report on a command");
        };
        assert_eq!(uuid.as_str(), "c-2");
        assert_eq!(
            status,
            ReportStatus::Error(vec![
                ErrorLink {
                    domain: "MCMDMErrorDomain".into(),
                    code: Some(12021),
                    localized: Some("Unbekannter Befehl".into()),
                    us_english: Some("Unknown command".into()),
                },
                ErrorLink::default(),
            ])
        );
        let ReportStatus::Error(chain) = status else {
            unreachable!()
        };
        assert_eq!(chain[0].to_string(), "MCMDMErrorDomain/12021: Unknown command");
        assert_eq!(chain[1].to_string(), "?/?");
    }

    #[test]
    fn a_status_that_nobody_knows_is_a_report_all_the_same() {
        let report = read("<key>CommandUUID</key><string>c-1</string><key>Status</key><string>Foo</string>");
        assert!(
            matches!(report, Report::Command { status: ReportStatus::Other(status), .. } if status == "Foo")
        );
        assert!(matches!(
            read("<key>Status</key><string>Acknowledged</string>"),
            Report::Unidentified { .. }
        ));
        assert!(matches!(read(""), Report::Unidentified { .. }));
    }

    #[test]
    fn answers_become_evidence() {
        let device =
            evidence("<key>QueryResponses</key><dict><key>OSVersion</key><string>15.4</string></dict>");
        assert_eq!(
            device.device_information,
            Some(serde_json::json!({"OSVersion": "15.4"}))
        );
        let list = evidence(
            "<key>ProfileList</key><array><dict><key>PayloadIdentifier</key><string>a</string>\
             <key>PayloadUUID</key><string>U-1</string></dict><dict/></array>",
        );
        assert_eq!(list.profiles, Some(BTreeMap::from([("a".into(), "U-1".into())])));
        assert!(evidence("").is_empty());
    }

    #[test]
    fn every_list_is_told_from_the_others() {
        for (entries, expected) in [
            (
                "<key>CertificateList</key><array><dict><key>CommonName</key><string>R</string><key>Data</key><data>AAEC</data></dict></array>",
                (
                    Source::CertificateList,
                    serde_json::json!([{"CommonName": "R", "Data": "AAEC"}]),
                ),
            ),
            (
                "<key>InstalledApplicationList</key><array/>",
                (Source::InstalledApplicationList, serde_json::json!([])),
            ),
            (
                "<key>ManagedApplicationList</key><dict/>",
                (Source::ManagedApplicationList, serde_json::json!({})),
            ),
            (
                "<key>GlobalRestrictions</key><dict/>",
                (
                    Source::Restrictions,
                    serde_json::json!({"GlobalRestrictions": {}}),
                ),
            ),
            (
                "<key>Users</key><array/>",
                (Source::UserList, serde_json::json!([])),
            ),
        ] {
            assert_eq!(evidence(entries).other, Some(expected));
        }
    }

    #[test]
    fn a_recovery_key_never_becomes_a_fact() {
        let security = evidence(
            "<key>SecurityInfo</key><dict><key>FDE_Enabled</key><true/>\
             <key>FDE_PersonalRecoveryKeyCMS</key><data>AAEC</data></dict>",
        );
        assert_eq!(
            security.security_info,
            Some(serde_json::json!({"FDE_Enabled": true}))
        );
    }

    #[test]
    fn a_value_of_another_type_never_becomes_a_fact() {
        let security = evidence(
            "<key>SecurityInfo</key><dict><key>FDE_Enabled</key><string>yes</string>\
             <key>RemoteDesktopEnabled</key><false/></dict>",
        );
        assert_eq!(
            security.security_info,
            Some(serde_json::json!({"RemoteDesktopEnabled": false}))
        );
    }

    #[test]
    fn what_failed_proves_nothing() {
        let report = read(
            "<key>CommandUUID</key><string>c-1</string><key>Status</key><string>Error</string>\
             <key>SecurityInfo</key><dict><key>FDE_Enabled</key><true/></dict>",
        );
        assert!(matches!(report, Report::Command { evidence, .. } if evidence.is_empty()));
    }
}
