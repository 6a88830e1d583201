//! The documents that the server sends.

use serde::Deserialize;
use serde_json::Value;

/// The four kinds of declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::simulator) enum Kind {
    Activation,
    Asset,
    Configuration,
    Management,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [
        Self::Activation,
        Self::Asset,
        Self::Configuration,
        Self::Management,
    ];

    /// Its name in the path `declaration/<kind>/<identifier>`.
    pub(in crate::simulator) const fn path(self) -> &'static str {
        match self {
            Self::Activation => "activation",
            Self::Asset => "asset",
            Self::Configuration => "configuration",
            Self::Management => "management",
        }
    }

    /// Its name in status reports.
    pub(super) const fn report_key(self) -> &'static str {
        match self {
            Self::Activation => "activations",
            Self::Asset => "assets",
            Self::Configuration => "configurations",
            Self::Management => "management",
        }
    }
}

/// The answer to `tokens`, and the data of a `DeclarativeManagement` command.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::simulator) struct SyncTokens {
    sync_tokens: Tokens,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tokens {
    declarations_token: String,
}

impl SyncTokens {
    /// The token of the set of declarations.
    pub(in crate::simulator) fn into_token(self) -> String {
        self.sync_tokens.declarations_token
    }
}

/// The answer to `declaration-items`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::simulator) struct Manifest {
    declarations: Sections,
    pub(super) declarations_token: String,
}

/// All four arrays are required, even when empty.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sections {
    activations: Vec<ManifestItem>,
    assets: Vec<ManifestItem>,
    configurations: Vec<ManifestItem>,
    management: Vec<ManifestItem>,
}

/// One line of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::simulator) struct ManifestItem {
    pub(in crate::simulator) identifier: String,
    pub(in crate::simulator) server_token: String,
}

impl Manifest {
    pub(in crate::simulator) fn items(&self) -> impl Iterator<Item = (Kind, &ManifestItem)> {
        Kind::ALL.into_iter().flat_map(|kind| {
            let section = match kind {
                Kind::Activation => &self.declarations.activations,
                Kind::Asset => &self.declarations.assets,
                Kind::Configuration => &self.declarations.configurations,
                Kind::Management => &self.declarations.management,
            };
            section.iter().map(move |item| (kind, item))
        })
    }
}

/// A declaration.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::simulator) struct Declaration {
    #[serde(rename = "Type")]
    pub(super) type_name: String,
    pub(in crate::simulator) identifier: String,
    pub(in crate::simulator) server_token: String,
    #[serde(default)]
    pub(super) payload: Value,
}
