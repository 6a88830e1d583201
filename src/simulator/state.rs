//! One device as a whole: its settings, what is installed on it, its declarations, and its drift.

use std::sync::Arc;

use plist::Value;

use super::declarative::{Breakage, Declarative, Report};
use super::model::Identity;
use super::profile::Profile;
use super::seed::Seed;
use super::settings::{Demand, Settings};
use super::status::{self, Observed};

/// Who put a profile on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// An `InstallProfile` command.
    Command,
    /// The `legacy` configuration with this identifier.
    Declaration(String),
}

/// An installed profile.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) profile: Arc<Profile>,
    pub(super) origin: Origin,
}

/// How a device left the state that management wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Drift {
    /// Somebody turned encryption off.
    FileVaultOff,
    /// A configuration could not be applied any more.
    ConfigurationInvalid,
    /// A configuration fell out of force.
    ConfigurationInactive,
    /// Somebody removed a profile by hand.
    ProfileRemoved(String),
}

impl Drift {
    /// A word for events.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::FileVaultOff => "fileVaultOff",
            Self::ConfigurationInvalid => "configurationInvalid",
            Self::ConfigurationInactive => "configurationInactive",
            Self::ProfileRemoved(_) => "profileRemoved",
        }
    }
}

/// A device's changing part.
#[derive(Debug)]
pub(super) struct DeviceState {
    pub(super) identity: Identity,
    base: Settings,
    installed: Vec<Installed>,
    pub(super) declarative: Declarative,
    drift: Option<Drift>,
}

impl DeviceState {
    /// The device as its owner left it, before any management.
    pub(super) fn new(identity: Identity, seed: &mut Seed) -> Self {
        let base = Settings::as_found(&identity, seed);
        Self {
            identity,
            base,
            installed: Vec::new(),
            declarative: Declarative::default(),
            drift: None,
        }
    }

    /// The settings in force: the owner's, under what profiles and declarations demand.
    pub(super) fn settings(&self) -> Settings {
        let mut settings = self.base.clone();
        for demand in self.demands() {
            settings.lay_over(&demand);
        }
        settings
    }

    fn demands(&self) -> impl Iterator<Item = Demand<'_>> {
        let payloads = self
            .installed
            .iter()
            .flat_map(|installed| &installed.profile.payloads);
        payloads
            .map(|payload| Demand::Payload(&payload.kind, &payload.content))
            .chain(self.declarative.demands())
    }

    /// What is installed.
    pub(super) fn installed(&self) -> &[Installed] {
        &self.installed
    }

    /// Installs a profile, in place of the one with the same identifier.
    pub(super) fn install(&mut self, profile: Arc<Profile>, origin: Origin) {
        self.installed
            .retain(|installed| installed.profile.identifier != profile.identifier);
        self.installed.push(Installed { profile, origin });
        self.put_in_force();
    }

    /// Removes the profile that a command installed; false when there is none.
    pub(super) fn remove(&mut self, identifier: &str) -> bool {
        let before = self.installed.len();
        self.installed.retain(|installed| {
            installed.origin != Origin::Command || installed.profile.identifier != identifier
        });
        self.installed.len() < before
    }

    /// Works out anew which declarations are in force.
    pub(super) fn evaluate(&mut self) {
        let settings = self.settings();
        self.declarative.evaluate(&Observed {
            identity: &self.identity,
            settings: &settings,
        });
    }

    /// Makes the device what its declarations say: profiles come and go, every demand is put in force anew.
    pub(super) fn apply_declarations(&mut self) {
        self.evaluate();
        self.reconcile_profiles();
        self.put_in_force();
        // What has just been applied may be what a predicate or a status item looks at.
        self.evaluate();
    }

    fn reconcile_profiles(&mut self) {
        let wanted: Vec<(String, Arc<Profile>)> = self
            .declarative
            .profiles()
            .map(|(id, profile)| (id.to_owned(), Arc::clone(profile)))
            .collect();
        self.installed.retain(|installed| match &installed.origin {
            Origin::Command => true,
            Origin::Declaration(id) => wanted
                .iter()
                .any(|(wanted, profile)| wanted == id && Arc::ptr_eq(profile, &installed.profile)),
        });
        for (id, profile) in wanted {
            let origin = Origin::Declaration(id);
            if !self.installed.iter().any(|installed| installed.origin == origin) {
                // A declared profile takes over one that a command installed.
                self.installed
                    .retain(|installed| installed.profile.identifier != profile.identifier);
                self.installed.push(Installed { profile, origin });
            }
        }
    }

    fn put_in_force(&mut self) {
        let mut base = self.base.clone();
        for demand in self.demands() {
            base.put_in_force(&demand, self.identity.family);
        }
        self.base = base;
    }

    /// What the server has not been told; see [`Declarative::report`].
    pub(super) fn report(&self, full: bool) -> Option<Report> {
        let settings = self.settings();
        self.declarative.report(
            &Observed {
                identity: &self.identity,
                settings: &settings,
            },
            full,
        )
    }

    /// Leaves the wanted state in a way that management can see; `None` when there is nothing to leave, or the
    /// device has drifted already.
    pub(super) fn drift(&mut self, seed: &mut Seed) -> Option<Drift> {
        if self.drift.is_some() {
            return None;
        }
        let drift = seed.pick(&self.possible_drifts()).cloned()?;
        match &drift {
            Drift::FileVaultOff => self.base.file_vault = false,
            Drift::ConfigurationInvalid => self.break_configuration(seed, Breakage::Invalid),
            Drift::ConfigurationInactive => self.break_configuration(seed, Breakage::Inactive),
            Drift::ProfileRemoved(identifier) => {
                self.remove(identifier);
            }
        }
        self.evaluate();
        self.reconcile_profiles();
        self.drift = Some(drift.clone());
        Some(drift)
    }

    fn break_configuration(&mut self, seed: &mut Seed, how: Breakage) {
        if let Some(identifier) = seed
            .pick(&self.declarative.breakable())
            .map(|id| (*id).to_owned())
        {
            self.declarative.break_configuration(identifier, how);
        }
    }

    fn possible_drifts(&self) -> Vec<Drift> {
        let mut drifts = Vec::new();
        if !self.declarative.breakable().is_empty() {
            drifts.extend([Drift::ConfigurationInvalid, Drift::ConfigurationInactive]);
        }
        let subscribed = self.declarative.subscriptions();
        let is_seen = subscribed
            .iter()
            .any(|path| status::shows_file_vault(path, &self.identity));
        if is_seen && self.settings().file_vault && self.demands_encryption() {
            drifts.push(Drift::FileVaultOff);
        }
        if !self.identity.is_declarative() {
            let by_command = self
                .installed
                .iter()
                .filter(|installed| installed.origin == Origin::Command);
            drifts.extend(by_command.map(|i| Drift::ProfileRemoved(i.profile.identifier.clone())));
        }
        drifts
    }

    fn demands_encryption(&self) -> bool {
        self.demands().any(|demand| match demand {
            Demand::Payload("com.apple.MCX.FileVault2", content) => {
                content.get("Enable").and_then(Value::as_string) == Some("On")
            }
            _ => false,
        })
    }

    /// If the device had drifted and is back: how it had drifted. Told once.
    pub(super) fn take_corrected(&mut self) -> Option<Drift> {
        let is_back = match self.drift.as_ref()? {
            Drift::FileVaultOff => self.settings().file_vault,
            Drift::ConfigurationInvalid | Drift::ConfigurationInactive => !self.declarative.is_broken(),
            Drift::ProfileRemoved(identifier) => self
                .installed
                .iter()
                .any(|installed| installed.profile.identifier == *identifier),
        };
        if is_back { self.drift.take() } else { None }
    }

    /// Management ends: everything that it put on the device goes.
    pub(super) fn leave_management(&mut self) {
        self.installed.clear();
        self.declarative = Declarative::default();
        self.drift = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{Family, tests::some};
    use super::super::profile::tests::profile_xml;
    use super::*;

    fn device(family: Family, classic_percent: u8) -> (DeviceState, Seed) {
        let identity = some(family, classic_percent);
        let mut seed = Seed::new(3, 3);
        (DeviceState::new(identity, &mut seed), seed)
    }

    fn file_vault() -> Arc<Profile> {
        let content = "<key>Enable</key><string>On</string>";
        Arc::new(Profile::parse(&profile_xml("fv", "U", "com.apple.MCX.FileVault2", content)).unwrap())
    }

    #[test]
    fn a_profile_removed_by_hand_is_a_drift_that_its_return_corrects() {
        let (mut mac, mut seed) = device(Family::Mac, 100);
        assert_eq!(mac.drift(&mut seed), None, "nothing to leave");
        mac.install(file_vault(), Origin::Command);
        assert!(mac.settings().file_vault);
        assert_eq!(mac.drift(&mut seed), Some(Drift::ProfileRemoved("fv".to_owned())));
        assert!(mac.installed().is_empty());
        assert_eq!(mac.drift(&mut seed), None, "one drift at a time");
        assert_eq!(mac.take_corrected(), None);
        mac.install(file_vault(), Origin::Command);
        assert_eq!(mac.take_corrected(), Some(Drift::ProfileRemoved("fv".to_owned())));
        assert_eq!(mac.take_corrected(), None, "told once");
    }

    #[test]
    fn the_same_profile_replaces_itself_and_all_goes_with_management() {
        let (mut mac, _) = device(Family::Mac, 0);
        mac.install(file_vault(), Origin::Command);
        mac.install(file_vault(), Origin::Command);
        assert_eq!(mac.installed().len(), 1);
        assert!(!mac.remove("other") && mac.remove("fv") && !mac.remove("fv"));
        mac.install(file_vault(), Origin::Command);
        mac.leave_management();
        assert!(mac.installed().is_empty());
    }
}
