//! The settings of a device that management can see or change, and what payloads do to them.
//!
//! A device has the settings its owner left it with; payloads in force lie over them and vanish with their profile.
//! Two things outlast a profile, as on real devices: an encrypted disk stays encrypted, a passcode stays set.

use std::collections::BTreeMap;

use plist::{Dictionary, Value};

use super::model::{Family, Identity};
use super::seed::Seed;

/// The application firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the switches of a real system are independent"
)]
pub(super) struct Firewall {
    pub(super) enabled: bool,
    pub(super) stealth: bool,
    pub(super) block_all: bool,
    pub(super) logging: bool,
}

/// The passcode (on a Mac, the password) and what is demanded of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Passcode {
    /// Whether one is set.
    pub(super) present: bool,
    /// Its length.
    pub(super) length: i64,
    /// The length that policies demand; 0 when none does.
    pub(super) demanded_length: i64,
    /// Whether policies demand one at all.
    pub(super) demanded: bool,
}

impl Passcode {
    /// Whether the passcode meets what is demanded.
    pub(super) const fn is_compliant(self) -> bool {
        (self.present || !self.demanded) && (!self.present || self.length >= self.demanded_length)
    }
}

/// When an idle screen locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ScreenLock {
    /// Whether the password is asked for.
    pub(super) asks: bool,
    /// After so many seconds of grace.
    pub(super) grace_seconds: i64,
    /// After so many idle seconds; 0 is never.
    pub(super) idle_seconds: i64,
}

/// What the system does about updates by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the switches of a real system are independent"
)]
pub(super) struct Updates {
    pub(super) checks: bool,
    pub(super) downloads: bool,
    pub(super) installs: bool,
    pub(super) installs_security: bool,
}

/// All settings of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the switches of a real system are independent"
)]
pub(super) struct Settings {
    pub(super) file_vault: bool,
    pub(super) firewall: Firewall,
    pub(super) gatekeeper: bool,
    pub(super) system_integrity_protection: bool,
    pub(super) authenticated_root: bool,
    pub(super) remote_desktop: bool,
    pub(super) passcode: Passcode,
    pub(super) screen_lock: ScreenLock,
    pub(super) updates: Updates,
    /// `com.apple.applicationaccess`: restrictions by name, sharing and its like among them.
    pub(super) restrictions: BTreeMap<String, bool>,
}

impl Settings {
    /// How the owner left the device: mostly careless, so that there is something to enforce.
    pub(super) fn as_found(identity: &Identity, seed: &mut Seed) -> Self {
        let mac = identity.family == Family::Mac;
        let present = mac || seed.chance(85);
        Self {
            file_vault: mac && seed.chance(55),
            firewall: Firewall {
                enabled: mac && seed.chance(35),
                ..Firewall::default()
            },
            gatekeeper: mac && seed.chance(90),
            system_integrity_protection: mac,
            authenticated_root: mac,
            remote_desktop: false,
            passcode: Passcode {
                present,
                length: if present { 6 } else { 0 },
                ..Passcode::default()
            },
            screen_lock: ScreenLock {
                asks: seed.chance(60),
                grace_seconds: 300,
                idle_seconds: 1200,
            },
            updates: Updates {
                checks: true,
                downloads: seed.chance(70),
                installs: seed.chance(40),
                installs_security: true,
            },
            restrictions: BTreeMap::new(),
        }
    }

    /// What happens once, when a payload or declaration is put in force, and stays when it goes.
    pub(super) fn put_in_force(&mut self, demand: &Demand<'_>, family: Family) {
        if let Demand::Payload("com.apple.MCX.FileVault2", content) = demand
            && family == Family::Mac
        {
            match content.get("Enable").and_then(Value::as_string) {
                Some("On") => self.file_vault = true,
                Some("Off") => self.file_vault = false,
                _ => {}
            }
        }
        let mut demanded = self.clone();
        demanded.lay_over(demand);
        if !demanded.passcode.is_compliant() {
            // The person is made to choose a passcode that will do.
            self.passcode.present = true;
            self.passcode.length = self.passcode.length.max(demanded.passcode.demanded_length).max(6);
        }
    }

    /// What a payload or declaration changes while it is in force.
    pub(super) fn lay_over(&mut self, demand: &Demand<'_>) {
        match demand {
            Demand::Payload(kind, content) => self.lay_over_payload(kind, content),
            Demand::Declaration(kind, content) => self.lay_over_declaration(kind, content),
        }
    }

    fn lay_over_payload(&mut self, kind: &str, content: &Dictionary) {
        let flag = |key: &str| content.get(key).and_then(Value::as_boolean);
        let number = |key: &str| content.get(key).and_then(Value::as_signed_integer);
        match kind {
            "com.apple.security.firewall" => {
                set(&mut self.firewall.enabled, flag("EnableFirewall"));
                set(&mut self.firewall.stealth, flag("EnableStealthMode"));
                set(&mut self.firewall.block_all, flag("BlockAllIncoming"));
                set(&mut self.firewall.logging, flag("EnableLogging"));
            }
            "com.apple.systempolicy.control" => set(&mut self.gatekeeper, flag("EnableAssessment")),
            "com.apple.screensaver" => {
                set(&mut self.screen_lock.asks, flag("askForPassword"));
                set(&mut self.screen_lock.grace_seconds, number("askForPasswordDelay"));
                set(
                    &mut self.screen_lock.idle_seconds,
                    number("idleTime").or_else(|| number("loginWindowIdleTime")),
                );
            }
            "com.apple.mobiledevice.passwordpolicy" => {
                let length = number("minLength");
                self.demand_passcode(
                    flag("forcePIN").or_else(|| length.map(|length| length > 0)),
                    length,
                );
                self.lock_screen(number("maxInactivity"), number("maxGracePeriod"));
            }
            "com.apple.SoftwareUpdate" => {
                set(&mut self.updates.checks, flag("AutomaticCheckEnabled"));
                set(&mut self.updates.downloads, flag("AutomaticDownload"));
                set(
                    &mut self.updates.installs,
                    flag("AutomaticallyInstallMacOSUpdates"),
                );
                set(&mut self.updates.installs_security, flag("CriticalUpdateInstall"));
            }
            "com.apple.applicationaccess" => {
                let named = content.iter().filter(|(key, _)| !key.starts_with("Payload"));
                let flags = named.filter_map(|(key, value)| Some((key.clone(), value.as_boolean()?)));
                self.restrictions.extend(flags);
            }
            _ => {}
        }
    }

    fn lay_over_declaration(&mut self, kind: &str, content: &serde_json::Value) {
        use serde_json::Value as Json;
        let number = |key: &str| content.get(key).and_then(Json::as_i64);
        match kind {
            "com.apple.configuration.passcode.settings" => {
                let length = number("MinimumLength");
                let demanded = content.get("RequirePasscode").and_then(Json::as_bool);
                self.demand_passcode(demanded.or_else(|| length.map(|length| length > 0)), length);
                self.lock_screen(
                    number("MaximumInactivityInMinutes"),
                    number("MaximumGracePeriodInMinutes"),
                );
            }
            "com.apple.configuration.softwareupdate.settings" => {
                let action = |key: &str| {
                    let action = content.get("AutomaticActions")?.get(key)?.as_str()?;
                    (action != "Allowed").then_some(action == "AlwaysOn")
                };
                set(&mut self.updates.downloads, action("Download"));
                set(&mut self.updates.installs, action("InstallOSUpdates"));
                set(
                    &mut self.updates.installs_security,
                    action("InstallSecurityUpdate"),
                );
            }
            _ => {}
        }
    }

    /// Of several policies the strictest counts.
    fn demand_passcode(&mut self, demanded: Option<bool>, length: Option<i64>) {
        self.passcode.demanded |= demanded.unwrap_or(false);
        self.passcode.demanded_length = self.passcode.demanded_length.max(length.unwrap_or(0));
    }

    fn lock_screen(&mut self, idle_minutes: Option<i64>, grace_minutes: Option<i64>) {
        set(
            &mut self.screen_lock.idle_seconds,
            idle_minutes.map(|minutes| minutes.saturating_mul(60)),
        );
        set(
            &mut self.screen_lock.grace_seconds,
            grace_minutes.map(|minutes| minutes.saturating_mul(60)),
        );
        self.screen_lock.asks |= grace_minutes.is_some();
    }
}

/// Something that management demands.
pub(super) enum Demand<'a> {
    /// A payload of a profile: its type and content.
    Payload(&'a str, &'a Dictionary),
    /// A configuration: its type and payload.
    Declaration(&'a str, &'a serde_json::Value),
}

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::model::tests::some;
    use super::*;

    fn found(family: Family) -> Settings {
        let identity = some(family, 0);
        Settings {
            file_vault: false,
            firewall: Firewall::default(),
            passcode: Passcode {
                present: true,
                length: 6,
                ..Passcode::default()
            },
            ..Settings::as_found(&identity, &mut Seed::new(1, 1))
        }
    }

    fn dictionary(json: &str) -> Dictionary {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        plist::to_value(&value).unwrap().into_dictionary().unwrap()
    }

    #[test]
    fn a_firewall_payload_lies_over_the_owners_choice() {
        let mut settings = found(Family::Mac);
        let content = dictionary(r#"{"EnableFirewall": true, "EnableStealthMode": true}"#);
        settings.lay_over(&Demand::Payload("com.apple.security.firewall", &content));
        let expected = Firewall {
            enabled: true,
            stealth: true,
            ..Firewall::default()
        };
        assert_eq!(settings.firewall, expected);
    }

    #[test]
    fn encryption_stays_when_the_profile_goes_and_iphones_have_none() {
        let content = dictionary(r#"{"Enable": "On", "Defer": true}"#);
        let file_vault = Demand::Payload("com.apple.MCX.FileVault2", &content);
        let mut mac = found(Family::Mac);
        mac.put_in_force(&file_vault, Family::Mac);
        assert!(mac.file_vault);
        let mut phone = found(Family::IPhone);
        phone.put_in_force(&file_vault, Family::IPhone);
        assert!(!phone.file_vault);
    }

    #[test]
    fn a_passcode_policy_makes_the_person_choose_a_longer_one() {
        let mut settings = found(Family::IPhone);
        let content = json!({"RequirePasscode": true, "MinimumLength": 12, "MaximumInactivityInMinutes": 5});
        let policy = Demand::Declaration("com.apple.configuration.passcode.settings", &content);
        let mut demanded = settings.clone();
        demanded.lay_over(&policy);
        assert!(!demanded.passcode.is_compliant());
        settings.put_in_force(&policy, Family::IPhone);
        settings.lay_over(&policy);
        assert!(settings.passcode.is_compliant());
        assert_eq!(settings.screen_lock.idle_seconds, 300);
    }

    #[test]
    fn updates_and_sharing_follow_their_payloads() {
        let mut settings = found(Family::Mac);
        let updates = dictionary(r#"{"AutomaticallyInstallMacOSUpdates": true, "AutomaticDownload": false}"#);
        settings.lay_over(&Demand::Payload("com.apple.SoftwareUpdate", &updates));
        assert!(settings.updates.installs && !settings.updates.downloads);
        let sharing = dictionary(r#"{"allowFileSharingModification": false, "PayloadVersion": 1}"#);
        settings.lay_over(&Demand::Payload("com.apple.applicationaccess", &sharing));
        assert_eq!(
            settings.restrictions,
            BTreeMap::from([("allowFileSharingModification".to_owned(), false)])
        );
        let declared = json!({"AutomaticActions": {"Download": "AlwaysOn", "InstallOSUpdates": "Allowed"}});
        settings.lay_over(&Demand::Declaration(
            "com.apple.configuration.softwareupdate.settings",
            &declared,
        ));
        assert!(settings.updates.downloads && settings.updates.installs);
    }
}
