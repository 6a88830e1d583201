//! Manifests: everything that one class of devices should hold, already serialised.
//!
//! A manifest is named by the digest of its content, so equal content is one manifest, whichever class, replica or
//! restart made it. Declarations are Apple's (declarative management, `declaration-items`); profiles are fetched through a
//! `com.apple.configuration.legacy` declaration, or sent as `InstallProfile` to devices without declarative management.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ids::Digest;

/// The four sections of Apple's declaration manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Section {
    /// What switches configurations on.
    Activations,
    /// What configurations refer to.
    Assets,
    /// What is configured.
    Configurations,
    /// Facts about the management itself.
    Management,
}

/// One declaration, as served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// Its section of the manifest.
    pub section: Section,
    /// Its stable identifier, at most 64 bytes.
    pub identifier: Arc<str>,
    /// The digest of its content, at most 64 bytes.
    pub server_token: Arc<str>,
    /// The whole declaration as JSON text: `Type`, `Identifier`, `ServerToken`, `Payload`.
    pub body: Arc<str>,
}

/// One configuration profile, as served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileDocument {
    /// `PayloadIdentifier` of the profile; stable over revisions.
    pub identifier: Arc<str>,
    /// `PayloadUUID` of the profile; derived from its content.
    pub uuid: Arc<str>,
    /// The digest of `body`; the last part of the path it is served under.
    pub digest: Digest,
    /// The profile as an XML property list.
    pub body: Arc<str>,
}

/// Everything one class of devices should hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The digest of the declarations' tokens and the profiles' digests.
    pub id: Digest,
    /// Apple's `DeclarationsToken`: the digest of the sorted `(section, identifier, server token)`.
    pub declarations_token: Arc<str>,
    /// Declarations, sorted by section and identifier. Empty for devices without declarative management.
    pub declarations: Vec<Declaration>,
    /// Profiles, sorted by identifier: referenced by declarations, or to be sent by command.
    pub profiles: Vec<ProfileDocument>,
    /// What each user of these devices should hold on their own channel. None: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Arc<Self>>,
}

impl Manifest {
    /// A manifest of these declarations and profiles, in any order.
    #[must_use]
    pub fn new(mut declarations: Vec<Declaration>, mut profiles: Vec<ProfileDocument>) -> Self {
        declarations.sort_by(|a, b| (a.section, &a.identifier).cmp(&(b.section, &b.identifier)));
        profiles.sort_by(|a, b| a.identifier.cmp(&b.identifier));
        let tokens: Vec<_> = declarations
            .iter()
            .map(|declaration| {
                json!([
                    declaration.section,
                    declaration.identifier,
                    declaration.server_token
                ])
            })
            .collect();
        let digests: Vec<_> = profiles
            .iter()
            .map(|profile| json!([profile.identifier, profile.digest]))
            .collect();
        Self {
            // JSON text keeps the parts apart, whatever they hold.
            id: Digest::of(json!([tokens, digests]).to_string().as_bytes()),
            declarations_token: Digest::of(json!(tokens).to_string().as_bytes())
                .to_string()
                .into(),
            declarations,
            profiles,
            users: None,
        }
    }

    /// The same for the devices, with declarations for their users. They move together: one pointer is a device's and its users'.
    #[must_use]
    pub fn with_users(mut self, declarations: Vec<Declaration>) -> Self {
        if !declarations.is_empty() {
            let users = Self::new(declarations, Vec::new());
            self.id = Digest::of(json!([self.id, users.id]).to_string().as_bytes());
            self.users = Some(Arc::new(users));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(section: Section, identifier: &str, token: &str) -> Declaration {
        Declaration {
            section,
            identifier: identifier.into(),
            server_token: token.into(),
            body: "{}".into(),
        }
    }

    #[test]
    fn the_order_of_parts_does_not_matter_and_every_part_does() {
        let parts = [
            declaration(Section::Configurations, "b", "1"),
            declaration(Section::Configurations, "a", "1"),
            declaration(Section::Activations, "c", "1"),
        ];
        let manifest = Manifest::new(parts.to_vec(), Vec::new());
        let mut reversed = parts.to_vec();
        reversed.reverse();
        assert_eq!(manifest, Manifest::new(reversed, Vec::new()));
        assert_eq!(&*manifest.declarations[0].identifier, "c");

        let mut changed = parts.to_vec();
        changed[0] = declaration(Section::Configurations, "b", "2");
        let changed = Manifest::new(changed, Vec::new());
        assert_ne!(manifest.declarations_token, changed.declarations_token);
        assert_ne!(manifest.id, changed.id);
        assert_ne!(manifest.id, Manifest::new(parts[..2].to_vec(), Vec::new()).id);
    }

    #[test]
    fn what_users_hold_makes_another_manifest_and_the_same_token_for_the_device() {
        let parts = vec![declaration(Section::Configurations, "a", "1")];
        let plain = Manifest::new(parts.clone(), Vec::new());
        assert_eq!(plain, plain.clone().with_users(Vec::new()));
        let shared = |token| {
            let users = vec![declaration(Section::Configurations, "u", token)];
            Manifest::new(parts.clone(), Vec::new()).with_users(users)
        };
        let (one, other) = (shared("1"), shared("2"));
        assert_eq!(one.declarations_token, plain.declarations_token);
        assert_ne!(one.id, plain.id);
        assert_ne!(one.id, other.id);
        let token = |manifest: &Manifest| manifest.users.clone().unwrap().declarations_token.clone();
        assert_ne!(token(&one), token(&other));
    }
}
