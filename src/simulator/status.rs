//! Status items: which ones a device has, and their values.
//!
//! Specification: Apple, "Status reports", `StatusItem*`.

use serde_json::{Value, json};

use super::model::Identity;
use super::settings::Settings;

/// What status items are computed from.
pub(super) struct Observed<'a> {
    pub(super) identity: &'a Identity,
    /// The settings in force.
    pub(super) settings: &'a Settings,
}

/// A version pair that no system reaches: the item does not exist there.
const NEVER: (u16, u16) = (u16::MAX, 0);

struct Item {
    path: &'static str,
    macos: (u16, u16),
    ios: (u16, u16),
    value: fn(&Observed<'_>) -> Value,
}

const fn item(
    path: &'static str,
    macos: (u16, u16),
    ios: (u16, u16),
    value: fn(&Observed<'_>) -> Value,
) -> Item {
    Item {
        path,
        macos,
        ios,
        value,
    }
}

const ITEMS: &[Item] = &[
    item("account.list.caldav", NEVER, (16, 0), |_| json!([])),
    item("account.list.carddav", NEVER, (16, 0), |_| json!([])),
    item("account.list.exchange", NEVER, (16, 0), |_| json!([])),
    item("account.list.google", NEVER, (16, 0), |_| json!([])),
    item("account.list.ldap", NEVER, (16, 0), |_| json!([])),
    item("account.list.mail.incoming", NEVER, (16, 0), |_| json!([])),
    item("account.list.mail.outgoing", NEVER, (16, 0), |_| json!([])),
    item("account.list.subscribed-calendar", NEVER, (16, 0), |_| json!([])),
    item("app.managed.list", (26, 0), (17, 2), |_| json!([])),
    item("device.identifier.serial-number", (13, 0), (16, 0), |o| {
        json!(o.identity.serial)
    }),
    item("device.identifier.udid", (13, 0), (16, 0), |o| {
        json!(o.identity.udid)
    }),
    item("device.model.family", (13, 0), (15, 0), |o| {
        json!(o.identity.kind())
    }),
    item("device.model.identifier", (13, 0), (15, 0), |o| {
        json!(o.identity.product)
    }),
    item("device.model.marketing-name", (13, 0), (15, 0), |o| {
        json!(o.identity.model_name)
    }),
    item("device.model.number", (14, 0), (17, 0), |o| {
        json!(o.identity.model_number)
    }),
    item("device.operating-system.build-version", (13, 0), (15, 0), |o| {
        json!(o.identity.release.build)
    }),
    item("device.operating-system.family", (13, 0), (15, 0), |o| {
        json!(o.identity.system())
    }),
    item("device.operating-system.marketing-name", (13, 0), (15, 0), |o| {
        json!(o.identity.release.marketing_name)
    }),
    item(
        "device.operating-system.supplemental.build-version",
        (13, 0),
        (16, 1),
        |o| json!(o.identity.release.build),
    ),
    item(
        "device.operating-system.supplemental.extra-version",
        (13, 0),
        (16, 1),
        |_| json!(""),
    ),
    item("device.operating-system.version", (13, 0), (15, 0), |o| {
        json!(o.identity.release.version)
    }),
    item("device.power.battery-health", (14, 4), (17, 0), |_| {
        json!("normal")
    }),
    item("diskmanagement.filevault.enabled", (14, 0), NEVER, |o| {
        json!(o.settings.file_vault)
    }),
    item("mdm.app", NEVER, (16, 0), |_| json!([])),
    item("migration-assistant.report", (26, 4), NEVER, |_| json!({})),
    item("migration-assistant.state", (26, 4), NEVER, |_| json!("none")),
    item("package.list", (26, 0), NEVER, |_| json!([])),
    item("passcode.is-compliant", NEVER, (16, 0), |o| {
        json!(o.settings.passcode.is_compliant())
    }),
    item("passcode.is-present", NEVER, (16, 0), |o| {
        json!(o.settings.passcode.present)
    }),
    item(
        "screensharing.connection.group.unresolved-connection",
        (14, 1),
        NEVER,
        |_| json!([]),
    ),
    item("security.certificate.list", (14, 0), (17, 0), |_| json!([])),
    item("services.background-task", (14, 0), NEVER, |_| json!([])),
    item("softwareupdate.beta-enrollment", (15, 0), (18, 0), |_| json!("")),
    item("softwareupdate.device-id", (15, 0), (18, 0), |o| {
        json!(format!("{}AP", o.identity.product))
    }),
    item(
        "softwareupdate.failure-reason",
        (14, 0),
        (17, 0),
        |_| json!({"count": 0}),
    ),
    item(
        "softwareupdate.install-reason",
        (14, 0),
        (17, 0),
        |_| json!({"reason": []}),
    ),
    item("softwareupdate.install-state", (14, 0), (17, 0), |_| {
        json!("none")
    }),
    item("softwareupdate.pending-version", (14, 0), (17, 0), |_| json!({})),
];

/// The value of the item at `path`; `None` when this device does not have it.
pub(super) fn value(path: &str, observed: &Observed<'_>) -> Option<Value> {
    let item = ITEMS.iter().find(|item| item.path == path)?;
    observed
        .identity
        .is_at_least(item.macos, item.ios)
        .then(|| (item.value)(observed))
}

/// The assets that declarations may refer to.
const ASSETS: [&str; 7] = [
    "com.apple.asset.credential.acme",
    "com.apple.asset.credential.certificate",
    "com.apple.asset.credential.identity",
    "com.apple.asset.credential.scep",
    "com.apple.asset.credential.userpassword",
    "com.apple.asset.data",
    "com.apple.asset.useridentity",
];

/// What the device tells about its own abilities: `management.client-capabilities`.
pub(super) fn client_capabilities(identity: &Identity, configurations: &[String]) -> Value {
    let items: Vec<&str> = ITEMS
        .iter()
        .filter(|item| identity.is_at_least(item.macos, item.ios))
        .map(|item| item.path)
        .chain(["management.client-capabilities", "management.declarations"])
        .collect();
    json!({
        "supported-versions": ["1.0.0"],
        "supported-features": {},
        "supported-payloads": {
            "declarations": {
                "activations": ["com.apple.activation.simple"],
                "assets": ASSETS,
                "configurations": configurations,
                "management": [
                    "com.apple.management.organization-info",
                    "com.apple.management.properties",
                    "com.apple.management.server-capabilities",
                ],
            },
            "status-items": items,
        },
    })
}

/// Puts `value` at a dotted `path` of a tree of objects.
pub(super) fn place(tree: &mut serde_json::Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            tree.insert(path.to_owned(), value);
        }
        Some((head, tail)) => {
            let branch = tree.entry(head).or_insert_with(|| json!({}));
            if let Value::Object(branch) = branch {
                place(branch, tail, value);
            }
        }
    }
}

/// Whether the device marks a complete report as such: iOS 17, macOS 14.
pub(super) const fn knows_full_reports(identity: &Identity) -> bool {
    identity.is_at_least((14, 0), (17, 0))
}

/// Whether the item tells the server if the disk is encrypted.
pub(super) fn shows_file_vault(path: &str, identity: &Identity) -> bool {
    path == "diskmanagement.filevault.enabled" && identity.is_at_least((14, 0), NEVER)
}

#[cfg(test)]
mod tests {
    use super::super::model::{Family, tests::some};
    use super::super::seed::Seed;
    use super::*;

    #[test]
    fn a_device_has_the_items_of_its_system() {
        let mac = some(Family::Mac, 0);
        let phone = some(Family::IPhone, 0);
        let settings = Settings::as_found(&mac, &mut Seed::new(1, 1));
        let of = |identity, path| {
            value(
                path,
                &Observed {
                    identity,
                    settings: &settings,
                },
            )
        };
        assert_eq!(of(&mac, "device.operating-system.family"), Some(json!("macOS")));
        assert_eq!(
            of(&mac, "diskmanagement.filevault.enabled"),
            Some(json!(settings.file_vault))
        );
        assert_eq!(of(&mac, "passcode.is-present"), None);
        assert_eq!(of(&phone, "diskmanagement.filevault.enabled"), None);
        assert_eq!(
            of(&phone, "passcode.is-present"),
            Some(json!(settings.passcode.present))
        );
        assert_eq!(of(&phone, "no.such.item"), None);
    }

    #[test]
    fn paths_become_trees() {
        let mut tree = serde_json::Map::new();
        place(&mut tree, "device.model.family", json!("Mac"));
        place(&mut tree, "device.model.number", json!("X"));
        place(&mut tree, "mdm", json!(1));
        assert_eq!(
            json!(tree),
            json!({"device": {"model": {"family": "Mac", "number": "X"}}, "mdm": 1})
        );
    }
}
