//! What a later commit does not bring back: settings that leave something behind on devices when they are set, and such that take something with
//! them when they go. A small table of what Apple documents of its payloads and declarations; `docs/pull-requests.md` shows it.

use serde_json::Value;

use super::Change;
use crate::policy::compile::Place;

/// When it is too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub enum Moment {
    /// When the setting is put on devices, or gets another value.
    #[strum(serialize = "set")]
    Set,
    /// When it is taken away.
    #[strum(serialize = "removed")]
    Removed,
}

/// Something that cannot be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasting {
    /// When it is too late.
    pub moment: Moment,
    /// Apple's types; one that ends with a dot stands for all that begin like it.
    pub types: &'static [&'static str],
    /// The keys, the last ones of their path. Empty: any.
    pub keys: &'static [&'static str],
    /// The values for which it holds, as JSON. Empty: any.
    pub values: &'static [&'static str],
    /// What happens, for people.
    pub what: &'static str,
}

const PASSCODE: &[&str] = &[
    "com.apple.mobiledevice.passwordpolicy",
    "com.apple.configuration.passcode.settings",
];

/// The table.
pub const LASTING: [Lasting; 13] = [
    Lasting {
        moment: Moment::Set,
        types: &["com.apple.MCX.FileVault2"],
        keys: &["Enable"],
        values: &["\"On\""],
        what: "encrypts the disk; taking the setting away does not decrypt it",
    },
    Lasting {
        moment: Moment::Set,
        types: PASSCODE,
        keys: &[
            "forcePIN",
            "RequirePasscode",
            "minLength",
            "MinimumLength",
            "requireAlphanumeric",
            "RequireAlphanumericPasscode",
            "allowSimple",
            "RequireComplexPasscode",
            "minComplexChars",
            "MinimumComplexCharacters",
            "customRegex",
            "CustomRegex",
            "changeAtNextAuth",
            "ChangeAtNextAuth",
            "maxPINAgeInDays",
            "MaximumPasscodeAgeInDays",
            "pinHistory",
            "PasscodeReuseLimit",
        ],
        values: &[],
        what: "can make people choose a new passcode; the old one does not come back",
    },
    Lasting {
        moment: Moment::Set,
        types: PASSCODE,
        keys: &["maxFailedAttempts", "MaximumFailedAttempts"],
        values: &[],
        what: "a device that is given so many wrong passcodes erases itself (a Mac locks the account); what was erased does not come back",
    },
    Lasting {
        moment: Moment::Set,
        types: &["com.apple.configuration.softwareupdate.enforcement.specific"],
        keys: &[],
        values: &[],
        what: "installs a version of the system; there is no way back to an older one",
    },
    Lasting {
        moment: Moment::Set,
        types: &["com.apple.applicationaccess"],
        keys: &["forceEncryptedBackup"],
        values: &["true"],
        what: "makes people give backups a password, which stays when the setting goes",
    },
    Lasting {
        moment: Moment::Set,
        types: &["com.apple.applicationaccess"],
        keys: &["allowCloudPhotoLibrary"],
        values: &["false"],
        what: "removes photos from the device that were not downloaded from iCloud in full",
    },
    Lasting {
        moment: Moment::Set,
        types: &["com.apple.ManagedClient.preferences"],
        keys: &["Set-Once"],
        values: &[],
        what: "is written into people's preferences once, and stays there when the setting goes",
    },
    Lasting {
        moment: Moment::Set,
        types: &["com.apple.configuration.package"],
        keys: &[],
        values: &[],
        what: "installs software, which stays when the declaration goes",
    },
    Lasting {
        moment: Moment::Removed,
        types: &["com.apple.configuration.app.managed"],
        keys: &[],
        values: &[],
        what: "may remove the app with its data",
    },
    Lasting {
        moment: Moment::Removed,
        types: &[
            "com.apple.configuration.account.",
            "com.apple.mail.managed",
            "com.apple.eas.account",
            "com.apple.ews.account",
            "com.apple.caldav.account",
            "com.apple.carddav.account",
            "com.apple.google-oauth",
        ],
        keys: &[],
        values: &[],
        what: "removes the account with what of it was only on the device",
    },
    Lasting {
        moment: Moment::Removed,
        types: &[
            "com.apple.security.acme",
            "com.apple.security.pkcs12",
            "com.apple.security.scep",
            "com.apple.configuration.security.identity",
            "com.apple.asset.credential.acme",
            "com.apple.asset.credential.identity",
            "com.apple.asset.credential.scep",
        ],
        keys: &[],
        values: &[],
        what: "removes the private key from the device; a later commit brings another one",
    },
    Lasting {
        moment: Moment::Removed,
        types: &[
            "com.apple.wifi.managed",
            "com.apple.vpn.managed",
            "com.apple.relay.managed",
            "com.apple.cellular",
            "com.apple.firstactiveethernet.managed",
            "com.apple.globalethernet.managed",
        ],
        keys: &[],
        values: &[],
        what: "may cut the device off from the network over which it would get the setting back",
    },
    Lasting {
        moment: Moment::Removed,
        types: &["com.apple.security.FDERecoveryKeyEscrow"],
        keys: &[],
        values: &[],
        what: "new recovery keys of the disk are no longer kept; those made meanwhile are not known later",
    },
];

impl Lasting {
    fn holds(&self, change: Change, place: &Place, path: &[String], value: Option<&Value>) -> bool {
        let moment = match change {
            Change::Added | Change::Changed => Moment::Set,
            Change::Removed => Moment::Removed,
        };
        let of_type =
            |type_: &&str| place.type_ == **type_ || type_.ends_with('.') && place.type_.starts_with(*type_);
        let at_key = |key: &&str| path.iter().any(|part| part == key);
        let value = value.map(ToString::to_string);
        let is_value = |text: &&str| value.as_deref() == Some(*text);
        self.moment == moment
            && self.types.iter().any(of_type)
            && (self.keys.is_empty() || self.keys.iter().any(at_key))
            && (self.values.is_empty() || self.values.iter().any(is_value))
    }
}

/// What of a change cannot be undone.
pub(super) fn lasting(
    change: Change,
    place: &Place,
    path: &[String],
    value: Option<&Value>,
) -> Vec<&'static str> {
    LASTING
        .iter()
        .filter(|lasting| lasting.holds(change, place, path, value))
        .map(|lasting| lasting.what)
        .collect()
}
