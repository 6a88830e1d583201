//! The second step: what belongs together is merged and written; conflicts are named; each piece learns what would prove it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::gather::{Gathered, Piece, Proof, Target};
use super::{CompileInput, Conflict};
use crate::compliance::Evidence;
use crate::policy::declaration;
use crate::policy::manifest::{Declaration, ProfileDocument, Section};
use crate::policy::merge::{
    Clash, Combination, Merged, Part, all_unmet, merge_by, of_declaration, of_payload,
};
use crate::policy::platform::Channels;
use crate::policy::profile::{self, Payload};
use crate::policy::schema::Schema;

/// How many contradicting rules evidence names.
const MAX_NAMED: usize = 3;

/// Documents, and what would prove each piece and each Profile object's own profile.
#[derive(Debug, Default)]
pub(super) struct Assembled {
    pub(super) declarations: Vec<Declaration>,
    /// For the users of the devices.
    pub(super) users: Vec<Declaration>,
    pub(super) profiles: Vec<ProfileDocument>,
    pub(super) conflicts: Vec<Conflict>,
    /// What is served of each target, before it is written.
    pub(super) contents: Vec<(Target, Map<String, Value>)>,
    pieces: Vec<Evidence>,
    objects: Vec<Evidence>,
}

impl Assembled {
    pub(super) fn evidence(&self, proof: &Proof) -> Evidence {
        let found = match proof {
            Proof::Known(evidence) => Some(evidence),
            Proof::Piece(piece) => self.pieces.get(*piece),
            Proof::Profile(profile) => self.objects.get(*profile),
        };
        found.cloned().unwrap_or_else(nothing_served)
    }

    /// Keeps a profile, with the declaration that brings it where the devices are managed by declarations.
    fn add_profile(
        &mut self,
        input: &CompileInput<'_>,
        built: Result<ProfileDocument, profile::ProfileError>,
    ) -> Evidence {
        let document = match built {
            Ok(document) => document,
            Err(error) => {
                return Evidence::None {
                    reason: error.to_string().into(),
                };
            }
        };
        let via_declaration = input.class.declarative.then(|| {
            let legacy = declaration::legacy(&document, input.public_url);
            let names = (Arc::clone(&legacy.identifier), Arc::clone(&legacy.server_token));
            self.declarations.push(legacy);
            names
        });
        let evidence = Evidence::InstalledProfile {
            identifier: Arc::clone(&document.identifier),
            uuid: Arc::clone(&document.uuid),
            via_declaration,
        };
        self.profiles.push(document);
        evidence
    }

    /// Writes the document of a target.
    fn add_document(&mut self, input: &CompileInput<'_>, target: &Target, merged: &Merged) -> Evidence {
        if merged.content.is_empty() && !merged.clashes.is_empty() {
            return nothing_served();
        }
        let identifier = match target {
            Target::Payload(type_) => {
                let payload = Payload {
                    payload_type: type_.clone(),
                    content: merged.content.clone(),
                };
                let identifier = profile::type_identifier(input.namespace, type_);
                return self.add_profile(input, profile::build(&identifier, type_, &[payload]));
            }
            Target::Declaration(type_) => declaration::type_identifier(input.namespace, type_),
            Target::OwnDeclaration(name, type_, ordinal) => {
                declaration::object_identifier(input.namespace, name, type_, *ordinal)
            }
        };
        let built = declaration::build(&identifier, target.type_(), &merged.content);
        let evidence = Evidence::InstalledDeclaration {
            identifier: Arc::clone(&built.identifier),
            server_token: Arc::clone(&built.server_token),
        };
        let channels = declaration::channels(target.type_(), &input.class);
        if channels != Channels::Device {
            self.users.push(built.clone());
        }
        if channels == Channels::Users {
            return Evidence::None {
                reason: "its users are told on their own channels, which proves nothing of the device".into(),
            };
        }
        // An asset is reported when a configuration uses it, and that one is what counts.
        let counts = built.section == Section::Configurations || built.section == Section::Management;
        self.declarations.push(built);
        if counts {
            evidence
        } else {
            Evidence::NotApplicable {
                reason: "an asset is proven by what uses it".into(),
            }
        }
    }

    fn add_conflicts(&mut self, pieces: &[Piece], target: &Target, clash: &Clash) {
        let setting = format!("{}: {}", target.type_(), clash.setting);
        let first_of = |side: &Vec<usize>| side.first().and_then(|source| pieces.get(*source));
        let Some(one) = clash.sides.first().and_then(first_of) else {
            return;
        };
        for other in clash.sides.iter().skip(1).filter_map(first_of) {
            let mut both = [one, other];
            both.sort_by_key(|piece| (&piece.label, &piece.assignment));
            let [a, b] = both;
            let shared = a.assignment == b.assignment;
            let name = |piece: &Piece| {
                if shared {
                    piece.label.to_string()
                } else {
                    format!("{} of assignment {}", piece.label, piece.assignment)
                }
            };
            let message = format!(
                "{} and {} want different values for {setting}; neither is served",
                name(a),
                name(b)
            );
            for piece in if shared { vec![a] } else { vec![a, b] } {
                self.conflicts.push(Conflict {
                    assignment: Arc::clone(&piece.assignment),
                    rules: [Arc::clone(&a.label), Arc::clone(&b.label)],
                    setting: setting.clone(),
                    message: message.clone(),
                });
            }
        }
    }
}

/// Completes what users should hold: the assets that their configurations refer to, and what switches these on.
fn complete_users(input: &CompileInput<'_>, assembled: &mut Assembled) {
    if assembled.users.is_empty() {
        return;
    }
    let referred = |asset: &Declaration| {
        let name = format!("\"{}\"", asset.identifier);
        assembled.users.iter().any(|user| user.body.contains(&name))
    };
    let assets: Vec<Declaration> = assembled
        .declarations
        .iter()
        .filter(|declaration| declaration.section == Section::Assets && referred(declaration))
        .cloned()
        .collect();
    let content: Vec<&str> = assembled.users.iter().map(|user| &*user.identifier).collect();
    let management = declaration::for_users(input.namespace, &content);
    assembled.users.extend(assets.into_iter().chain(management));
}

fn nothing_served() -> Evidence {
    Evidence::None {
        reason: "nothing of this is served".into(),
    }
}

pub(super) fn assemble(input: &CompileInput<'_>, gathered: &Gathered) -> Assembled {
    let pieces = &gathered.pieces;
    let mut assembled = Assembled {
        pieces: vec![audit_only(); pieces.len()],
        ..Assembled::default()
    };
    let mut targets: BTreeMap<&Target, Vec<usize>> = BTreeMap::new();
    for (index, piece) in pieces.iter().enumerate() {
        targets.entry(&piece.target).or_default().push(index);
    }
    for (target, members) in targets {
        let parts: Vec<(usize, Part<'_>)> = members
            .iter()
            .filter_map(|index| Some((*index, pieces.get(*index)?)))
            .filter(|(_, piece)| piece.served)
            .map(|(source, piece)| {
                let part = Part {
                    precedence: piece.precedence,
                    source,
                    content: &piece.content,
                };
                (piece.group, part)
            })
            .collect();
        if parts.is_empty() {
            continue;
        }
        let merged = merge_by(&parts, &|path| law(target, path));
        let proof = assembled.add_document(input, target, &merged);
        if !merged.content.is_empty() || merged.clashes.is_empty() {
            assembled.contents.push((target.clone(), merged.content.clone()));
        }
        for clash in &merged.clashes {
            assembled.add_conflicts(pieces, target, clash);
        }
        for index in members {
            if let (Some(piece), Some(slot)) = (pieces.get(index), assembled.pieces.get_mut(index)) {
                *slot = piece_evidence(pieces, index, piece, &merged, &proof);
            }
        }
    }
    for object in &gathered.profiles {
        let evidence = if object.payloads.is_empty() {
            nothing_served()
        } else {
            let identifier = profile::object_identifier(input.namespace, &object.name);
            assembled.add_profile(
                input,
                profile::build(&identifier, &object.title, &object.payloads),
            )
        };
        assembled.objects.push(evidence);
    }
    complete_users(input, &mut assembled);
    assembled.conflicts.sort();
    assembled.conflicts.dedup();
    assembled
}

/// How different values of a setting become one.
fn law(target: &Target, path: &[&str]) -> Option<Combination<'static>> {
    match target {
        Target::Declaration(type_) => of_declaration(Schema::in_force(), type_, path),
        Target::Payload(type_) => of_payload(type_, path),
        Target::OwnDeclaration(..) => None,
    }
}

fn audit_only() -> Evidence {
    Evidence::None {
        reason: "nothing is installed in Audit mode and the rule has no check".into(),
    }
}

/// What would prove one piece: the document, if it holds all of the piece.
fn piece_evidence(
    pieces: &[Piece],
    index: usize,
    piece: &Piece,
    merged: &Merged,
    proof: &Evidence,
) -> Evidence {
    let type_ = piece.target.type_();
    for clash in &merged.clashes {
        if let Some(own) = clash.sides.iter().position(|side| side.contains(&index)) {
            let mut others: Vec<&str> = clash
                .sides
                .iter()
                .enumerate()
                .filter(|(side, _)| *side != own)
                .flat_map(|(_, sources)| sources)
                .filter_map(|source| pieces.get(*source))
                .map(|other| &*other.label)
                .collect();
            others.sort_unstable();
            others.dedup();
            others.truncate(MAX_NAMED);
            return Evidence::Conflict {
                setting: format!("{type_}: {}", clash.setting).into(),
                with: others.join(", ").into(),
            };
        }
    }
    // A value that is combined with others and at least as strict meets the demand.
    let open = all_unmet(&piece.content, &merged.content);
    let unmet = open
        .into_iter()
        .find(|setting| merged.combined.get(setting) != Some(&true));
    let Some(setting) = unmet else {
        return proof.clone();
    };
    if !piece.served {
        return audit_only();
    }
    let why = if merged.combined.contains_key(&setting) {
        "is combined with what others want, as devices do, and that is not what this rule wants"
    } else {
        "is served with another value, by an assignment of higher precedence"
    };
    Evidence::None {
        reason: format!("{type_}: {setting} {why}").into(),
    }
}
