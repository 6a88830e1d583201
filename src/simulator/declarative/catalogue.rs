//! Which declaration types a system knows.

use super::super::model::Identity;

/// A version pair that no system reaches.
const NEVER: (u16, u16) = (u16::MAX, 0);

/// What a device makes of a configuration's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Support {
    Supported,
    /// The type exists, but not on this kind of device.
    OtherPlatform,
    /// The system has never heard of it.
    Unknown,
}

/// A configuration type and the systems that introduced it.
struct Known {
    /// Without `com.apple.configuration.`.
    name: &'static str,
    macos: (u16, u16),
    ios: (u16, u16),
}

const fn known(name: &'static str, macos: (u16, u16), ios: (u16, u16)) -> Known {
    Known { name, macos, ios }
}

const CONFIGURATIONS: &[Known] = &[
    known("account.caldav", (13, 0), (15, 0)),
    known("account.carddav", (13, 0), (15, 0)),
    known("account.exchange", (13, 0), (15, 0)),
    known("account.google", (13, 0), (15, 0)),
    known("account.ldap", (13, 0), (15, 0)),
    known("account.mail", (13, 0), (15, 0)),
    known("account.subscribed-calendar", (14, 0), (15, 0)),
    known("app.managed", (26, 0), (17, 2)),
    known("audio-accessory.settings", (26, 0), (26, 0)),
    known("diskmanagement.settings", (15, 0), NEVER),
    known("external-intelligence.settings", (26, 4), (26, 4)),
    known("intelligence.settings", (26, 4), (26, 4)),
    known("keyboard.settings", (26, 4), (26, 4)),
    known("legacy", (13, 0), (15, 0)),
    known("legacy.interactive", (13, 0), (15, 0)),
    known("management.status-subscriptions", (13, 0), (15, 0)),
    known("management.test", (13, 0), (15, 0)),
    known("math.settings", (15, 0), (18, 0)),
    known("migration-assistant.settings", (26, 4), NEVER),
    known("package", (26, 0), NEVER),
    known("passcode.settings", (13, 0), (15, 0)),
    known("safari.bookmarks", (26, 0), (26, 0)),
    known("safari.extensions.settings", (15, 0), (18, 0)),
    known("safari.settings", (26, 0), (26, 0)),
    known("screensharing.connection", (14, 0), NEVER),
    known("screensharing.connection.group", (14, 0), NEVER),
    known("screensharing.host.settings", (14, 0), NEVER),
    known("security.certificate", (14, 0), (17, 0)),
    known("security.identity", (14, 0), (17, 0)),
    known("security.passkey.attestation", (14, 0), (17, 0)),
    known("services.background-tasks", (15, 0), NEVER),
    known("services.configuration-files", (14, 0), NEVER),
    known("siri.settings", (26, 4), (26, 4)),
    known("softwareupdate.enforcement.specific", (14, 0), (17, 0)),
    known("softwareupdate.settings", (15, 0), (18, 0)),
    known("watch.enrollment", NEVER, (17, 0)),
];

const CONFIGURATION: &str = "com.apple.configuration.";

/// What the device with this `identity` makes of `type_name`.
pub(super) fn configuration(type_name: &str, identity: &Identity) -> Support {
    let Some(short) = type_name.strip_prefix(CONFIGURATION) else {
        return Support::Unknown;
    };
    match CONFIGURATIONS.iter().find(|known| known.name == short) {
        Some(known) if identity.is_at_least(known.macos, known.ios) => Support::Supported,
        Some(Known { macos: NEVER, .. } | Known { ios: NEVER, .. }) => Support::OtherPlatform,
        None | Some(_) => Support::Unknown,
    }
}

/// All configuration types of the device, for its client capabilities.
pub(super) fn configurations(identity: &Identity) -> Vec<String> {
    let known = CONFIGURATIONS
        .iter()
        .filter(|known| identity.is_at_least(known.macos, known.ios));
    known
        .map(|known| format!("{CONFIGURATION}{}", known.name))
        .collect()
}

/// Whether the type of an activation, asset or management declaration is known.
pub(super) fn is_known(type_name: &str) -> bool {
    type_name == "com.apple.activation.simple"
        || type_name.starts_with("com.apple.asset.")
        || matches!(
            type_name,
            "com.apple.management.organization-info"
                | "com.apple.management.properties"
                | "com.apple.management.server-capabilities"
        )
}
