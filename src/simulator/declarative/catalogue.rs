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

/// Configuration types, without `com.apple.configuration.`, and the macOS and iOS that introduced them.
const CONFIGURATIONS: &[(&str, (u16, u16), (u16, u16))] = &[
    ("account.caldav", (13, 0), (15, 0)),
    ("account.carddav", (13, 0), (15, 0)),
    ("account.exchange", (13, 0), (15, 0)),
    ("account.google", (13, 0), (15, 0)),
    ("account.ldap", (13, 0), (15, 0)),
    ("account.mail", (13, 0), (15, 0)),
    ("account.subscribed-calendar", (14, 0), (15, 0)),
    ("app.managed", (26, 0), (17, 2)),
    ("audio-accessory.settings", (26, 0), (26, 0)),
    ("diskmanagement.settings", (15, 0), NEVER),
    ("legacy", (13, 0), (15, 0)),
    ("legacy.interactive", (13, 0), (15, 0)),
    ("management.status-subscriptions", (13, 0), (15, 0)),
    ("management.test", (13, 0), (15, 0)),
    ("math.settings", (15, 0), (18, 0)),
    ("package", (26, 0), NEVER),
    ("passcode.settings", (13, 0), (15, 0)),
    ("safari.bookmarks", (26, 0), (26, 0)),
    ("safari.extensions.settings", (15, 0), (18, 0)),
    ("safari.settings", (26, 0), (26, 0)),
    ("screensharing.connection", (14, 0), NEVER),
    ("screensharing.connection.group", (14, 0), NEVER),
    ("screensharing.host.settings", (14, 0), NEVER),
    ("security.certificate", (14, 0), (17, 0)),
    ("security.identity", (14, 0), (17, 0)),
    ("security.passkey.attestation", (14, 0), (17, 0)),
    ("services.background-tasks", (15, 0), NEVER),
    ("services.configuration-files", (14, 0), NEVER),
    ("softwareupdate.enforcement.specific", (14, 0), (17, 0)),
    ("softwareupdate.settings", (15, 0), (18, 0)),
];

const CONFIGURATION: &str = "com.apple.configuration.";

/// What the device with this `identity` makes of `type_name`.
pub(super) fn configuration(type_name: &str, identity: &Identity) -> Support {
    let Some(short) = type_name.strip_prefix(CONFIGURATION) else {
        return Support::Unknown;
    };
    match CONFIGURATIONS.iter().find(|(name, ..)| *name == short) {
        None => Support::Unknown,
        Some((_, macos, ios)) if identity.is_at_least(*macos, *ios) => Support::Supported,
        Some((_, NEVER, _) | (_, _, NEVER)) => Support::OtherPlatform,
        Some(_) => Support::Unknown,
    }
}

/// All configuration types of the device, for its client capabilities.
pub(super) fn configurations(identity: &Identity) -> Vec<String> {
    let known = CONFIGURATIONS
        .iter()
        .filter(|(_, macos, ios)| identity.is_at_least(*macos, *ios));
    known.map(|(name, ..)| format!("{CONFIGURATION}{name}")).collect()
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
