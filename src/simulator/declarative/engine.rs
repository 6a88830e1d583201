//! What the device holds, and what of it is in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::predicate::{self, Facts};
use super::super::profile::Profile;
use super::super::settings::Demand;
use super::super::status::{self, Observed};
use super::catalogue::{self, Support};
use super::wire::{Declaration, Kind, Manifest, ManifestItem};

const PROPERTIES: &str = "com.apple.management.properties";
const SUBSCRIPTIONS: &str = "com.apple.configuration.management.status-subscriptions";
const TEST: &str = "com.apple.configuration.management.test";
const LEGACY: &str = "com.apple.configuration.legacy";
const LEGACY_INTERACTIVE: &str = "com.apple.configuration.legacy.interactive";

/// Whether a declaration could be put in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Validity {
    Unknown,
    Valid,
    Invalid,
}

impl Validity {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
        }
    }
}

/// Why a declaration is not in force, in Apple's codes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reason {
    pub(super) code: &'static str,
    pub(super) description: String,
    /// Name and value of the one detail that matters.
    pub(super) detail: Option<(&'static str, String)>,
}

fn reason(code: &'static str, description: &str, detail: Option<(&'static str, &str)>) -> Reason {
    let detail = detail.map(|(name, value)| (name, value.to_owned()));
    Reason {
        code,
        description: description.to_owned(),
        detail,
    }
}

/// What became of a declaration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) active: bool,
    pub(super) validity: Validity,
    pub(super) reasons: Vec<Reason>,
}

impl State {
    const fn active() -> Self {
        Self {
            active: true,
            validity: Validity::Valid,
            reasons: Vec::new(),
        }
    }

    fn inactive(validity: Validity, reason: Reason) -> Self {
        Self {
            active: false,
            validity,
            reasons: vec![reason],
        }
    }

    fn invalid(reason: Reason) -> Self {
        Self::inactive(Validity::Invalid, reason)
    }
}

/// A declaration on the device.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) declaration: Arc<Declaration>,
    pub(super) state: State,
    /// A digest of what the server was last told about it.
    pub(super) reported: Option<u64>,
    /// For `legacy`: the profile, or why it could not be had.
    profile: Option<Result<Arc<Profile>, String>>,
}

/// A fault in one configuration, made on demand; the next command to sync repairs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) enum Breakage {
    /// It could not be applied.
    Invalid,
    /// It fell out of force.
    Inactive,
}

/// The device's side of declarative management.
#[derive(Debug, Default)]
pub(in crate::simulator) struct Declarative {
    token: Option<String>,
    pub(super) held: BTreeMap<(Kind, String), Held>,
    /// Reported declarations that are gone, until the server has been told.
    pub(super) gone: BTreeSet<(Kind, String)>,
    /// Digests of the status items that the server was last told, by path.
    pub(super) reported_items: BTreeMap<String, u64>,
    broken: Option<(String, Breakage)>,
}

impl Declarative {
    /// Whether the device already holds the set of declarations with this token.
    pub(in crate::simulator) fn is_current(&self, token: &str) -> bool {
        self.token.as_deref() == Some(token)
    }

    /// The lines of `manifest` that have to be fetched.
    pub(in crate::simulator) fn missing(&self, manifest: &Manifest) -> Vec<(Kind, ManifestItem)> {
        let is_missing = |kind: Kind, item: &ManifestItem| {
            let held = self.held.get(&(kind, item.identifier.clone()));
            held.is_none_or(|held| held.declaration.server_token != item.server_token)
        };
        manifest
            .items()
            .filter(|(kind, item)| is_missing(*kind, item))
            .map(|(kind, item)| (kind, item.clone()))
            .collect()
    }

    /// Takes over `manifest` with the fetched declarations: what it does not list goes. The set counts as held only
    /// if nothing is missing.
    pub(in crate::simulator) fn adopt(
        &mut self,
        manifest: &Manifest,
        fetched: Vec<(Kind, Arc<Declaration>)>,
    ) {
        for (kind, declaration) in fetched {
            let key = (kind, declaration.identifier.clone());
            let reported = self.held.get(&key).and_then(|held| held.reported);
            let state = State::inactive(
                Validity::Unknown,
                reason("Error.MissingState", "Not evaluated yet.", None),
            );
            self.gone.remove(&key);
            self.held.insert(
                key,
                Held {
                    declaration,
                    state,
                    reported,
                    profile: None,
                },
            );
        }
        let listed: BTreeSet<(Kind, &str)> = manifest
            .items()
            .map(|(kind, item)| (kind, item.identifier.as_str()))
            .collect();
        let dropped: Vec<(Kind, String)> = self
            .held
            .keys()
            .filter(|(kind, id)| !listed.contains(&(*kind, id.as_str())))
            .cloned()
            .collect();
        for key in dropped {
            if self.held.remove(&key).is_some_and(|held| held.reported.is_some()) {
                self.gone.insert(key);
            }
        }
        let complete = self.missing(manifest).is_empty();
        self.token = complete.then(|| manifest.declarations_token.clone());
    }

    /// Makes one configuration fail, until [`Self::repair`].
    pub(in crate::simulator) fn break_configuration(&mut self, identifier: String, how: Breakage) {
        self.broken = Some((identifier, how));
    }

    /// Ends a breakage: the device applies everything anew.
    pub(in crate::simulator) fn repair(&mut self) {
        self.broken = None;
    }

    /// Whether a configuration is broken.
    pub(in crate::simulator) const fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Works out anew what is in force.
    pub(in crate::simulator) fn evaluate(&mut self, observed: &Observed<'_>) {
        let properties = self.properties();
        let (activations, named) = self.evaluate_activations(observed, &properties);
        let mut states = activations;
        for ((kind, id), held) in &self.held {
            let state = match kind {
                Kind::Activation => continue,
                Kind::Configuration => self.configuration_state(held, named.get(id.as_str()), observed),
                Kind::Asset | Kind::Management if catalogue::is_known(&held.declaration.type_name) => {
                    State::active()
                }
                Kind::Asset | Kind::Management => State::invalid(unknown_type(&held.declaration)),
            };
            states.insert((*kind, id.clone()), state);
        }
        for (key, state) in states {
            if let Some(held) = self.held.get_mut(&key) {
                held.state = state;
            }
        }
    }

    fn properties(&self) -> Map<String, Value> {
        self.of_kind(Kind::Management)
            .filter(|held| held.declaration.type_name == PROPERTIES)
            .filter_map(|held| held.declaration.payload.as_object())
            .flat_map(|payload| payload.iter().map(|(name, value)| (name.clone(), value.clone())))
            .collect()
    }

    /// The state of each activation, and for each configuration named by one whether an active one names it.
    fn evaluate_activations(
        &self,
        observed: &Observed<'_>,
        properties: &Map<String, Value>,
    ) -> (BTreeMap<(Kind, String), State>, BTreeMap<String, Named>) {
        let facts = DeviceFacts { observed, properties };
        let mut states = BTreeMap::new();
        let mut named: BTreeMap<String, Named> = BTreeMap::new();
        for held in self.of_kind(Kind::Activation) {
            let state = self.activation_state(&held.declaration, &facts);
            let failed = state.validity == Validity::Invalid;
            for configuration in standard_configurations(&held.declaration) {
                let entry = named.entry(configuration.to_owned()).or_default();
                entry.by_active |= state.active;
                if failed {
                    entry.by_failed = Some(held.declaration.identifier.clone());
                }
            }
            states.insert((Kind::Activation, held.declaration.identifier.clone()), state);
        }
        (states, named)
    }

    fn activation_state(&self, activation: &Declaration, facts: &dyn Facts) -> State {
        if !catalogue::is_known(&activation.type_name) {
            return State::invalid(unknown_type(activation));
        }
        let missing: Vec<&str> = standard_configurations(activation)
            .filter(|id| !self.held.contains_key(&(Kind::Configuration, (*id).to_owned())))
            .collect();
        if !missing.is_empty() {
            let detail = Some(("ConfigurationIdentifiers", missing.join(", ")));
            let description = "The activation names configurations that are not present.".to_owned();
            return State::invalid(Reason {
                code: "Error.MissingConfigurations",
                description,
                detail,
            });
        }
        let Some(predicate) = activation.payload.get("Predicate").and_then(Value::as_str) else {
            return State::active();
        };
        match predicate::evaluate(predicate, facts) {
            Ok(true) => State::active(),
            Ok(false) => State::inactive(
                Validity::Valid,
                reason(
                    "Info.Predicate",
                    "The predicate is false.",
                    Some(("Predicate", predicate)),
                ),
            ),
            Err(error) => State::invalid(reason(
                "Error.UnableToParsePredicate",
                &format!("The predicate cannot be understood: {error}."),
                Some(("Predicate", predicate)),
            )),
        }
    }

    fn configuration_state(&self, held: &Held, named: Option<&Named>, observed: &Observed<'_>) -> State {
        let declaration = &held.declaration;
        match catalogue::configuration(&declaration.type_name, observed.identity) {
            Support::Unknown => return State::invalid(unknown_type(declaration)),
            Support::OtherPlatform => {
                let description = "The configuration is not supported on this platform.";
                let detail = Some(("Identifier", declaration.identifier.as_str()));
                return State::invalid(reason("Error.ConfigurationNotSupported", description, detail));
            }
            Support::Supported => {}
        }
        if let Err(what) = check_payload(declaration) {
            return State::invalid(reason(
                "Error.ConfigurationCannotBeDeserialized",
                "The configuration's payload is not as its type demands.",
                Some(("Error", what)),
            ));
        }
        match named {
            Some(Named { by_active: true, .. }) => {}
            Some(Named {
                by_failed: Some(activation),
                ..
            }) => {
                let description = "The activation that names the configuration failed.";
                let detail = Some(("Identifier", activation.as_str()));
                return State::inactive(
                    Validity::Valid,
                    reason("Error.ActivationFailed", description, detail),
                );
            }
            _ => return State::inactive(Validity::Valid, not_referenced(declaration)),
        }
        match &self.broken {
            Some((id, Breakage::Invalid)) if *id == declaration.identifier => {
                return State::invalid(cannot_be_applied("The setting was changed on the device."));
            }
            Some((id, Breakage::Inactive)) if *id == declaration.identifier => {
                return State::inactive(Validity::Valid, not_referenced(declaration));
            }
            _ => {}
        }
        match (&held.profile, is_legacy(declaration)) {
            (Some(Err(error)), true) => State::invalid(cannot_be_applied(error)),
            (None, true) => State {
                validity: Validity::Unknown,
                ..State::active()
            },
            _ => State::active(),
        }
    }

    /// The profiles that active `legacy` configurations still lack: identifier and address.
    pub(in crate::simulator) fn missing_profiles(&self) -> Vec<(String, String)> {
        self.of_kind(Kind::Configuration)
            .filter(|held| is_legacy(&held.declaration) && !matches!(held.profile, Some(Ok(_))))
            .filter(|held| held.state.active || matches!(held.profile, Some(Err(_))))
            .filter_map(|held| {
                let url = held.declaration.payload.get("ProfileURL")?.as_str()?;
                Some((held.declaration.identifier.clone(), url.to_owned()))
            })
            .collect()
    }

    /// The profile of a `legacy` configuration has been fetched, or not.
    pub(in crate::simulator) fn put_profile(&mut self, id: &str, profile: Result<Arc<Profile>, String>) {
        if let Some(held) = self.held.get_mut(&(Kind::Configuration, id.to_owned())) {
            held.profile = Some(profile);
        }
    }

    /// The profiles in force, each with the identifier of its configuration.
    pub(in crate::simulator) fn profiles(&self) -> impl Iterator<Item = (&str, &Arc<Profile>)> {
        self.active_configurations()
            .filter_map(|held| match &held.profile {
                Some(Ok(profile)) => Some((held.declaration.identifier.as_str(), profile)),
                _ => None,
            })
    }

    /// What the configurations in force demand, profiles aside.
    pub(in crate::simulator) fn demands(&self) -> impl Iterator<Item = Demand<'_>> {
        self.active_configurations()
            .filter(|held| !is_legacy(&held.declaration))
            .map(|held| Demand::Declaration(&held.declaration.type_name, &held.declaration.payload))
    }

    /// The configurations that a drift may break: those in force, except the one that makes reports come.
    pub(in crate::simulator) fn breakable(&self) -> Vec<&str> {
        self.active_configurations()
            .filter(|held| held.declaration.type_name != SUBSCRIPTIONS)
            .map(|held| held.declaration.identifier.as_str())
            .collect()
    }

    /// The status items that the server wants to be told of.
    pub(in crate::simulator) fn subscriptions(&self) -> BTreeSet<&str> {
        self.active_configurations()
            .filter(|held| held.declaration.type_name == SUBSCRIPTIONS)
            .filter_map(|held| held.declaration.payload.get("StatusItems")?.as_array())
            .flatten()
            .filter_map(|item| item.get("Name")?.as_str())
            .collect()
    }

    fn active_configurations(&self) -> impl Iterator<Item = &Held> {
        self.of_kind(Kind::Configuration).filter(|held| held.state.active)
    }

    fn of_kind(&self, wanted: Kind) -> impl Iterator<Item = &Held> {
        self.held
            .iter()
            .filter(move |((kind, _), _)| *kind == wanted)
            .map(|(_, held)| held)
    }
}

/// Which activations name a configuration.
#[derive(Debug, Default)]
struct Named {
    by_active: bool,
    by_failed: Option<String>,
}

struct DeviceFacts<'a> {
    observed: &'a Observed<'a>,
    properties: &'a Map<String, Value>,
}

impl Facts for DeviceFacts<'_> {
    fn status(&self, path: &str) -> Option<Value> {
        status::value(path, self.observed)
    }

    fn property(&self, name: &str) -> Option<Value> {
        self.properties.get(name).cloned()
    }
}

fn standard_configurations(activation: &Declaration) -> impl Iterator<Item = &str> {
    let named = activation
        .payload
        .get("StandardConfigurations")
        .and_then(Value::as_array);
    named.into_iter().flatten().filter_map(Value::as_str)
}

fn is_legacy(declaration: &Declaration) -> bool {
    matches!(declaration.type_name.as_str(), LEGACY | LEGACY_INTERACTIVE)
}

/// Checks what this reading of the types needs; names what is wrong.
fn check_payload(declaration: &Declaration) -> Result<(), &'static str> {
    let payload = declaration
        .payload
        .as_object()
        .ok_or("Payload is not an object")?;
    match declaration.type_name.as_str() {
        LEGACY | LEGACY_INTERACTIVE if !payload.get("ProfileURL").is_some_and(Value::is_string) => {
            Err("ProfileURL is missing")
        }
        SUBSCRIPTIONS if !payload.get("StatusItems").is_some_and(Value::is_array) => {
            Err("StatusItems is missing")
        }
        TEST if payload.get("ReturnStatus") == Some(&json!("Failed")) => Err("ReturnStatus asks for it"),
        _ => Ok(()),
    }
}

fn unknown_type(declaration: &Declaration) -> Reason {
    let detail = Some(("UnknownDeclarationType", declaration.type_name.as_str()));
    reason(
        "Error.UnknownDeclarationType",
        "The declaration type is not known.",
        detail,
    )
}

fn not_referenced(declaration: &Declaration) -> Reason {
    let detail = Some(("Identifier", declaration.identifier.as_str()));
    reason(
        "Info.NotReferencedByActivation",
        "No active activation names the configuration.",
        detail,
    )
}

fn cannot_be_applied(error: &str) -> Reason {
    let description = "The configuration cannot be applied to the device.";
    reason(
        "Error.ConfigurationCannotBeApplied",
        description,
        Some(("Error", error)),
    )
}
