//! Declarations: identifiers, tokens, and those that every manifest has.
//!
//! A server token is the digest of the whole declaration without it, so a device that reports the token as active holds
//! exactly this content. Two activations are made: one for what manages the device, always on; one for content, with a predicate
//! on the system's family, so that a device never applies what was made for another platform.

use serde_json::{Map, Value, json};

use super::content::{canonical, for_declaration};
use super::manifest::{Declaration, ProfileDocument, Section};
use super::platform::{Channels, DeviceClass, declaration_type, status_items};
use crate::api::common::Platform;
use crate::compliance::check;
use crate::compliance::facts::EQUIVALENT;
use crate::expression::Path;
use crate::ids::Digest;

/// The longest identifier that Apple allows, in bytes.
pub const MAX_IDENTIFIER: usize = 64;
/// The declaration that brings a profile.
pub const LEGACY: &str = "com.apple.configuration.legacy";
/// The declaration that asks for status items.
const SUBSCRIPTIONS: &str = "com.apple.configuration.management.status-subscriptions";
/// The declaration that switches configurations on.
const ACTIVATION: &str = "com.apple.activation.simple";

/// The status item that every user is asked for.
const OF_USERS: &str = "management.declarations";

/// The status items that every device is asked for, where its system has them.
const ALWAYS: [&str; 5] = [
    "device.model.identifier",
    "device.operating-system.build-version",
    "device.operating-system.family",
    "device.operating-system.version",
    "management.declarations",
];

/// An identifier that Apple allows: `text` itself, or its beginning and a digest of it where it is too long.
#[must_use]
pub fn identifier(text: &str) -> String {
    if text.len() <= MAX_IDENTIFIER {
        return text.to_owned();
    }
    let digest = Digest::of(text.as_bytes()).short();
    let mut end = MAX_IDENTIFIER - digest.len() - 1;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}.{digest}", text.split_at(end).0)
}

/// The identifier of what rules and profiles say about one declaration type.
#[must_use]
pub fn type_identifier(namespace: &str, type_: &str) -> String {
    identifier(&format!("dev.provost.{namespace}.{}", suffix(type_)))
}

/// The identifier of a declaration of a Profile object; `ordinal` counts those of one type from 1. Assets are referred to by it.
#[must_use]
pub fn object_identifier(namespace: &str, profile: &str, type_: &str, ordinal: usize) -> String {
    let mut text = format!("dev.provost.{namespace}.object.{profile}.{}", suffix(type_));
    if ordinal > 1 {
        text = format!("{text}.{ordinal}");
    }
    identifier(&text)
}

/// A type's name without `com.apple.` and `configuration.`.
fn suffix(type_: &str) -> &str {
    let name = type_.strip_prefix("com.apple.").unwrap_or(type_);
    name.strip_prefix("configuration.").unwrap_or(name)
}

/// The section of a declaration type.
#[must_use]
pub fn section(type_: &str) -> Section {
    if type_.starts_with("com.apple.asset.") {
        Section::Assets
    } else if type_.starts_with("com.apple.management.") {
        Section::Management
    } else if type_.starts_with("com.apple.activation.") {
        Section::Activations
    } else {
        Section::Configurations
    }
}

/// Builds a declaration.
#[must_use]
pub fn build(identifier: &str, type_: &str, payload: &Map<String, Value>) -> Declaration {
    let payload = for_declaration(&Value::Object(payload.clone()));
    let content = json!({ "Identifier": identifier, "Payload": payload, "Type": type_ });
    let server_token = Digest::of(canonical(&content).as_bytes()).to_string();
    let body = canonical(&json!({
        "Identifier": identifier,
        "Payload": payload,
        "ServerToken": server_token,
        "Type": type_,
    }));
    Declaration {
        section: section(type_),
        identifier: identifier.into(),
        server_token: server_token.into(),
        body: body.into(),
    }
}

/// What the addresses of all profiles begin with; the digest of the profile follows.
#[must_use]
pub fn profiles_address(public_url: &str) -> String {
    format!("{}/mdm/profiles/", public_url.trim_end_matches('/'))
}

/// The declaration that brings a profile, which the device fetches from `public_url`.
#[must_use]
pub fn legacy(profile: &ProfileDocument, public_url: &str) -> Declaration {
    let url = format!("{}{}", profiles_address(public_url), profile.digest);
    let mut payload = Map::new();
    payload.insert("ProfileURL".to_owned(), Value::String(url));
    build(&identifier(&profile.identifier), LEGACY, &payload)
}

/// What every device managed by declarations holds: the subscription to status items, and the activations.
/// `content` are the identifiers of the configurations that rules and profiles brought; `read` what their checks read.
#[must_use]
pub fn management(
    namespace: &str,
    class: &DeviceClass,
    content: &[&str],
    read: &[&Path],
) -> Vec<Declaration> {
    let mut declarations = Vec::new();
    if declaration_type(SUBSCRIPTIONS).is_some_and(|type_| type_.allows(class).is_ok()) {
        let items: Vec<Value> = subscribed(class, read)
            .into_iter()
            .map(|name| json!({ "Name": name }))
            .collect();
        let mut payload = Map::new();
        payload.insert("StatusItems".to_owned(), Value::Array(items));
        let subscription = build(
            &identifier(&format!("dev.provost.{namespace}.status-subscriptions")),
            SUBSCRIPTIONS,
            &payload,
        );
        declarations.push(activation(
            &format!("dev.provost.{namespace}.activation.management"),
            &[&subscription.identifier],
            None,
        ));
        declarations.push(subscription);
    }
    if !content.is_empty() {
        declarations.push(activation(
            &format!("dev.provost.{namespace}.activation.content"),
            content,
            Some(predicate(class.platform)),
        ));
    }
    declarations
}

/// Whose channel brings declarations of a type.
#[must_use]
pub fn channels(type_: &str, class: &DeviceClass) -> Channels {
    declaration_type(type_).map_or(Channels::Device, |known| known.channels(class.platform))
}

/// What every user holds beside `content`, the configurations for users: what switches them on, and the subscription that tells of them.
#[must_use]
pub fn for_users(namespace: &str, content: &[&str]) -> Vec<Declaration> {
    let mut payload = Map::new();
    payload.insert("StatusItems".to_owned(), json!([{ "Name": OF_USERS }]));
    let subscription = build(
        &identifier(&format!("dev.provost.{namespace}.users.status-subscriptions")),
        SUBSCRIPTIONS,
        &payload,
    );
    let configurations: Vec<&str> = content
        .iter()
        .copied()
        .chain([&*subscription.identifier])
        .collect();
    let activation = activation(
        &format!("dev.provost.{namespace}.users.activation"),
        &configurations,
        None,
    );
    vec![activation, subscription]
}

/// The status items to ask for: those of [`ALWAYS`], and those that checks read.
fn subscribed(class: &DeviceClass, read: &[&Path]) -> Vec<&'static str> {
    let wanted = |item: &str| {
        ALWAYS.contains(&item)
            || read.iter().any(|path| {
                // One reads the whole of what the other names a part of.
                path.root == "StatusItems" && item.split('.').zip(&path.keys).all(|(part, key)| part == key)
                    || stands_in(item, path)
            })
    };
    let mut items: Vec<&str> = status_items(class)
        .map(|item| item.name)
        .filter(|item| wanted(item))
        .collect();
    items.sort_unstable();
    items
}

/// Whether an item says what a check reads under the name of a command's answer.
fn stands_in(item: &str, path: &Path) -> bool {
    EQUIVALENT.iter().any(|(same, source, key)| {
        *same == item
            && check::source(&path.root) == Some(*source)
            && path.keys.first().is_some_and(|read| read == key)
    })
}

fn activation(text: &str, configurations: &[&str], predicate: Option<String>) -> Declaration {
    let mut configurations = configurations.to_vec();
    configurations.sort_unstable();
    let mut payload = Map::new();
    payload.insert("StandardConfigurations".to_owned(), json!(configurations));
    if let Some(predicate) = predicate {
        payload.insert("Predicate".to_owned(), Value::String(predicate));
    }
    build(&identifier(text), ACTIVATION, &payload)
}

/// True on devices of a platform. To Apple's schema an iPad's system is iOS, while iPads call it iPadOS: either is right for an iPad.
fn predicate(platform: Platform) -> String {
    let is = |family: &str| format!("(@status(device.operating-system.family) == '{family}')");
    match platform {
        Platform::IPadOS => format!("{} OR {}", is("iPadOS"), is("iOS")),
        other => is(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::common::EnrollmentMode;
    use crate::expression::Program;
    use crate::policy::{Lacks, OsVersion};

    fn class(platform: Platform, version: &str) -> DeviceClass {
        DeviceClass {
            platform,
            os_version: OsVersion::read(version),
            mode: EnrollmentMode::Supervised,
            declarative: true,
            lacks: Lacks::default(),
        }
    }

    #[test]
    fn identifiers_are_readable_where_they_fit_and_never_too_long() {
        assert_eq!(
            type_identifier("fleet", "com.apple.configuration.passcode.settings"),
            "dev.provost.fleet.passcode.settings"
        );
        let long = type_identifier(&"f".repeat(63), "com.apple.configuration.passcode.settings");
        assert_eq!(long.len(), MAX_IDENTIFIER);
        assert_ne!(
            long,
            type_identifier(&"f".repeat(63), "com.apple.configuration.siri.settings")
        );
        assert_eq!(identifier(&"é".repeat(40)).len(), 63);
        assert_eq!(
            object_identifier("fleet", "vpn", "com.apple.asset.data", 2),
            "dev.provost.fleet.object.vpn.asset.data.2"
        );
    }

    #[test]
    fn a_token_covers_the_whole_declaration() {
        let payload = |n: i64| json!({ "MinimumLength": n }).as_object().unwrap().clone();
        let type_ = "com.apple.configuration.passcode.settings";
        let one = build("a", type_, &payload(8));
        assert_eq!(one, build("a", type_, &payload(8)));
        assert_eq!(one.server_token.len(), 64);
        assert_ne!(one.server_token, build("a", type_, &payload(9)).server_token);
        assert_ne!(one.server_token, build("b", type_, &payload(8)).server_token);
        assert_ne!(
            one.server_token,
            build("a", "com.apple.configuration.siri.settings", &payload(8)).server_token
        );
        insta::assert_snapshot!(one.body, @r#"{"Identifier":"a","Payload":{"MinimumLength":8},"ServerToken":"0dc49145de706f06abad16591087d3c4162084f4ee1abb85c8e360c25f95703b","Type":"com.apple.configuration.passcode.settings"}"#);
    }

    #[test]
    fn a_device_is_asked_for_what_its_system_has_and_checks_read() {
        let program = Program::compile(
            "StatusItems.diskmanagement.filevault.enabled && StatusItems.softwareupdate['install-state'] == 'none' && has(StatusItems.passcode)",
            &["StatusItems"],
        )
        .unwrap();
        let read: Vec<&Path> = program.paths().iter().collect();
        let mac = subscribed(&class(Platform::MacOS, "14.0"), &read);
        assert!(
            mac.contains(&"diskmanagement.filevault.enabled")
                && mac.contains(&"softwareupdate.install-state")
        );
        assert!(
            mac.contains(&"management.declarations") && !mac.iter().any(|item| item.starts_with("passcode"))
        );
        let command = Program::compile(
            "SecurityInfo.FDE_Enabled && SecurityInfo.SystemIntegrityProtectionEnabled",
            &["SecurityInfo"],
        )
        .unwrap();
        let by_name: Vec<&Path> = command.paths().iter().collect();
        assert!(
            subscribed(&class(Platform::MacOS, "14.0"), &by_name)
                .contains(&"diskmanagement.filevault.enabled"),
            "what the device tells by itself need not be asked for"
        );
        let without = DeviceClass {
            lacks: serde_json::from_value(json!({ "items": ["softwareupdate.install-state"] })).unwrap(),
            ..class(Platform::MacOS, "14.0")
        };
        assert!(!subscribed(&without, &read).contains(&"softwareupdate.install-state"));
        let old = subscribed(&class(Platform::MacOS, "13.0"), &read);
        assert_eq!(old, ALWAYS);
        let phone = subscribed(&class(Platform::IOS, "26.0"), &read);
        assert!(phone.contains(&"passcode.is-compliant") && phone.contains(&"passcode.is-present"));
    }

    #[test]
    fn content_is_active_only_on_its_own_platform() {
        let declarations = management("fleet", &class(Platform::MacOS, "26.0"), &["z", "a"], &[]);
        let bodies: Vec<Value> = declarations
            .iter()
            .map(|d| serde_json::from_str(&d.body).unwrap())
            .collect();
        insta::assert_json_snapshot!(bodies);
        assert!(
            management("fleet", &class(Platform::MacOS, "26.0"), &[], &[])
                .iter()
                .all(|d| !d.identifier.contains("content"))
        );
        assert_eq!(
            predicate(Platform::IPadOS),
            "(@status(device.operating-system.family) == 'iPadOS') OR (@status(device.operating-system.family) == 'iOS')"
        );
    }
}
