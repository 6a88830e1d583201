//! What a device lists when it is asked: apps, certificates, users.
//!
//! Specification: Apple, `InstalledApplicationList`, `ManagedApplicationList`, `CertificateList`, `UserList`.

use plist::{Dictionary, Value};

use super::model::{Family, Identity};

/// The apps that every device has: identifier, name, version.
const APPS: [(&str, &str, &str); 3] = [
    ("com.apple.Maps", "Maps", "3.0"),
    ("com.apple.mobilecal", "Calendar", "15.0"),
    ("com.apple.mobilesafari", "Safari", "26.0"),
];

/// The answer to a list's command, and the key it comes under. None: this device does not have it.
pub(super) fn list(
    request_type: &str,
    command: &Dictionary,
    identity: &Identity,
) -> Option<(&'static str, Value)> {
    let managed_only = |key: &str| command.get(key).and_then(Value::as_boolean).unwrap_or_default();
    Some(match request_type {
        "InstalledApplicationList" => {
            let apps = if managed_only("ManagedAppsOnly") {
                Vec::new()
            } else {
                APPS.iter().map(app).collect()
            };
            ("InstalledApplicationList", Value::Array(apps))
        }
        "ManagedApplicationList" => ("ManagedApplicationList", Dictionary::new().into()),
        // Its identity is in the device's keychain, and no certificate that it would list.
        "CertificateList" => ("CertificateList", Value::Array(Vec::new())),
        "UserList" if identity.family == Family::Mac => ("Users", Value::Array(vec![user()])),
        _ => return None,
    })
}

fn app((identifier, name, version): &(&str, &str, &str)) -> Value {
    let mut app = Dictionary::new();
    app.insert("Identifier".into(), (*identifier).into());
    app.insert("Name".into(), (*name).into());
    app.insert("ShortVersion".into(), (*version).into());
    app.insert("Version".into(), (*version).into());
    app.into()
}

fn user() -> Value {
    let mut user = Dictionary::new();
    user.insert("UserName".into(), "user".into());
    user.insert("HasSecureToken".into(), true.into());
    user.insert("IsLoggedIn".into(), true.into());
    user.insert("MobileAccount".into(), false.into());
    user.into()
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::some;
    use super::*;

    #[test]
    fn a_device_lists_what_its_system_has() {
        let (mac, phone) = (some(Family::Mac, 0), some(Family::IPhone, 0));
        let mut limited = Dictionary::new();
        limited.insert("ManagedAppsOnly".into(), true.into());
        let count = |command: &Dictionary| {
            let (_, apps) = list("InstalledApplicationList", command, &mac).unwrap();
            apps.as_array().unwrap().len()
        };
        assert_eq!((count(&Dictionary::new()), count(&limited)), (APPS.len(), 0));
        assert!(list("UserList", &limited, &mac).is_some());
        assert_eq!(list("UserList", &limited, &phone), None);
        assert_eq!(list("Sing", &limited, &mac), None);
    }
}
