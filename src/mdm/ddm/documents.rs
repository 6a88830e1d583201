//! The documents that declarative management answers with.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::policy::{Declaration, Manifest, Section};

/// The token of a device that should hold nothing: before it belongs to any assignment, and on the channels of its users where nothing is for them.
pub const EMPTY_TOKEN: &str = "provost-empty";

/// The answer to `tokens`. `changed_at` is when the device's manifest last changed, not when it is asked for.
#[must_use]
pub fn tokens(manifest: Option<&Manifest>, changed_at: Timestamp) -> String {
    let whole = changed_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({"SyncTokens": {"DeclarationsToken": token(manifest), "Timestamp": whole}}).to_string()
}

/// The answer to `declaration-items`. All four arrays are there, even when they are empty.
#[must_use]
pub fn declaration_items(manifest: Option<&Manifest>) -> String {
    let items = |section: Section| -> Vec<Value> {
        let declarations = manifest.map(|manifest| manifest.declarations.as_slice());
        declarations
            .unwrap_or_default()
            .iter()
            .filter(|declaration| declaration.section == section)
            .map(|declaration| {
                json!({"Identifier": &*declaration.identifier, "ServerToken": &*declaration.server_token})
            })
            .collect()
    };
    json!({
        "Declarations": {
            "Activations": items(Section::Activations),
            "Assets": items(Section::Assets),
            "Configurations": items(Section::Configurations),
            "Management": items(Section::Management),
        },
        "DeclarationsToken": token(manifest),
    })
    .to_string()
}

fn token(manifest: Option<&Manifest>) -> &str {
    manifest.map_or(EMPTY_TOKEN, |manifest| &manifest.declarations_token)
}

/// The declaration of that name in the first of `manifests` that holds it.
#[must_use]
pub fn declaration<'m>(
    manifests: impl IntoIterator<Item = &'m Manifest>,
    section: Section,
    identifier: &str,
) -> Option<&'m Declaration> {
    manifests.into_iter().find_map(|manifest| {
        let sorted = &manifest.declarations;
        let at = sorted
            .binary_search_by(|declaration| {
                (declaration.section, &*declaration.identifier).cmp(&(section, identifier))
            })
            .ok()?;
        sorted.get(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;

    fn manifest(declarations: &[(Section, &str, &str)]) -> Manifest {
        let mut declarations: Vec<_> = declarations
            .iter()
            .map(|(section, identifier, token)| Declaration {
                section: *section,
                identifier: (*identifier).into(),
                server_token: (*token).into(),
                body: format!("{{\"ServerToken\":\"{token}\"}}").into(),
            })
            .collect();
        declarations.sort_by(|a, b| (a.section, &a.identifier).cmp(&(b.section, &b.identifier)));
        Manifest {
            id: Digest::of(b"m"),
            declarations_token: "t-1".into(),
            declarations,
            profiles: Vec::new(),
            users: None,
        }
    }

    #[test]
    fn tokens_name_the_last_change_in_whole_seconds() {
        let changed: Timestamp = "2026-01-01T00:00:00.987654321Z".parse().unwrap();
        insta::assert_snapshot!(
            tokens(Some(&manifest(&[])), changed),
            @r#"{"SyncTokens":{"DeclarationsToken":"t-1","Timestamp":"2026-01-01T00:00:00Z"}}"#
        );
    }

    #[test]
    fn all_four_arrays_are_there() {
        insta::assert_snapshot!(
            declaration_items(None),
            @r#"{"Declarations":{"Activations":[],"Assets":[],"Configurations":[],"Management":[]},"DeclarationsToken":"provost-empty"}"#
        );
        let one = manifest(&[(Section::Activations, "act.1", "s-1")]);
        insta::assert_snapshot!(
            declaration_items(Some(&one)),
            @r#"{"Declarations":{"Activations":[{"Identifier":"act.1","ServerToken":"s-1"}],"Assets":[],"Configurations":[],"Management":[]},"DeclarationsToken":"t-1"}"#
        );
    }

    #[test]
    fn a_declaration_is_found_by_section_and_whole_identifier() {
        let current = manifest(&[
            (Section::Configurations, "a/b/c", "s-2"),
            (Section::Configurations, "a", "s-3"),
        ]);
        let previous = manifest(&[
            (Section::Configurations, "a/b/c", "s-1"),
            (Section::Assets, "gone", "s-4"),
        ]);
        let find = |section, identifier| {
            declaration([&current, &previous], section, identifier).map(|found| &*found.server_token)
        };
        assert_eq!(find(Section::Configurations, "a/b/c"), Some("s-2"));
        assert_eq!(find(Section::Assets, "gone"), Some("s-4"));
        assert_eq!(find(Section::Assets, "a"), None);
        assert_eq!(find(Section::Configurations, "a/b"), None);
    }
}
