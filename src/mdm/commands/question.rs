//! The commands that ask the questions of [`crate::compliance::inquiry`].

use plist::{Dictionary, Value};

use super::{Command, Target};
use crate::compliance::{Question, Source};

impl Command {
    /// The command that asks a question. None: of what it asks, the device may be asked nothing.
    #[must_use]
    pub fn asking(question: &Question, target: &Target) -> Option<Self> {
        let limit = match question.source {
            Source::DeviceInformation => return Self::device_information_about(&question.queries, target),
            Source::SecurityInfo => return Some(Self::SecurityInfo),
            Source::StatusReport => return Some(Self::DeclarativeManagement { tokens: None }),
            Source::ProfileList => return Some(Self::profile_list(target)),
            Source::InstalledApplicationList => "ManagedAppsOnly",
            Source::CertificateList
            | Source::ManagedApplicationList
            | Source::Restrictions
            | Source::UserList => "ManagedOnly",
        };
        let mut arguments = Dictionary::new();
        if question.managed_only {
            arguments.insert(limit.to_owned(), Value::Boolean(true));
        }
        // The table knows all of these, and their limits.
        Self::build(question.source.into(), arguments).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::common::{EnrollmentMode, Platform};
    use crate::ids::CommandUuid;
    use crate::mdm::commands::table::AccessRights;
    use crate::policy::OsVersion;

    fn target(platform: Platform, mode: EnrollmentMode) -> Target {
        Target {
            platform,
            os_version: OsVersion::read("26.0"),
            mode,
            rights: AccessRights::ALL,
            user_channel: false,
            shared_ipad: None,
            automated: None,
        }
    }

    fn question(source: Source, queries: &[&'static str], managed_only: bool) -> Question {
        Question {
            source,
            queries: queries.to_vec(),
            managed_only,
        }
    }

    #[test]
    fn every_question_has_a_command_that_the_device_may_be_sent() {
        let mac = target(Platform::MacOS, EnrollmentMode::Supervised);
        let phone = target(Platform::IOS, EnrollmentMode::User);
        for (source, managed_only, target) in [
            (Source::CertificateList, true, &phone),
            (Source::InstalledApplicationList, true, &phone),
            (Source::ManagedApplicationList, false, &phone),
            (Source::ProfileList, true, &phone),
            (Source::SecurityInfo, false, &phone),
            (Source::StatusReport, false, &phone),
            (Source::CertificateList, false, &mac),
            (Source::InstalledApplicationList, false, &mac),
            (Source::UserList, false, &mac),
        ] {
            let command = Command::asking(&question(source, &[], managed_only), target).unwrap();
            assert_eq!(command.admissible(target), Ok(()), "{source}");
            let body = command.body(&CommandUuid::parse("c-1").unwrap());
            assert_eq!(body.contains("Only</key>"), managed_only, "{body}");
        }
    }

    #[test]
    fn queries_that_the_system_does_not_have_are_left_out_and_none_are_no_command() {
        let mac = target(Platform::MacOS, EnrollmentMode::Supervised);
        let asked = |queries| Command::asking(&question(Source::DeviceInformation, queries, false), &mac);
        assert_eq!(
            asked(&["OSVersion", "IMEI"]),
            Some(Command::DeviceInformation {
                queries: vec!["OSVersion"]
            })
        );
        assert_eq!(asked(&["IMEI"]), None);
    }
}
