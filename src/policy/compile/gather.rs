//! The first step: which rules and profiles concern the class, and the content that each of them has for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::assemble::Assembled;
use super::{AssignmentInput, BaselineInput, CompileInput, ProfileInput, ProfileProof};
use crate::api::assignment::AssignmentMode;
use crate::api::baseline::{BaselineRule, ControlRef};
use crate::api::common::Severity;
use crate::compliance::check::PARAMETERS;
use crate::compliance::{Demand, Evidence};
use crate::policy::declaration::{LEGACY, channels};
use crate::policy::parameter;
use crate::policy::platform::{Apply, Channels, DeviceClass, declaration_type, describe};
use crate::policy::profile::{Payload, served_type};

/// What content becomes: all content with one target is merged into one document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::policy) enum Target {
    /// The declaration of a type.
    Declaration(String),
    /// A declaration of a Profile object, for itself: the object, the type, and which of that type.
    OwnDeclaration(Arc<str>, String, usize),
    /// The profile of a payload type.
    Payload(String),
}

impl Target {
    /// Apple's type.
    pub(in crate::policy) fn type_(&self) -> &str {
        match self {
            Self::Declaration(type_) | Self::OwnDeclaration(_, type_, _) | Self::Payload(type_) => type_,
        }
    }
}

/// Content with its origin.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) target: Target,
    pub(super) content: Map<String, Value>,
    /// `baseline/rule` or `profile/name`.
    pub(super) label: Arc<str>,
    pub(super) assignment: Arc<str>,
    pub(super) precedence: i32,
    /// Pieces of one group belong together: those of one baseline, or profile, for one assignment.
    pub(super) group: usize,
    /// False in Audit mode: it is compared with what is served, but not served itself.
    pub(super) served: bool,
}

/// What will prove something.
#[derive(Debug)]
pub(super) enum Proof {
    /// This.
    Known(Evidence),
    /// That a piece is in what is served: its index.
    Piece(usize),
    /// The profile of a Profile object: the index among those.
    Profile(usize),
}

/// A demand before its evidence is known.
#[derive(Debug)]
pub(super) struct Draft {
    assignment: Arc<str>,
    baseline: Arc<str>,
    rule: String,
    severity: Severity,
    controls: Arc<[ControlRef]>,
    revision: Option<Arc<str>>,
    proof: Proof,
    enforced: bool,
    origin: Option<Arc<str>>,
    inherited_from: Option<Arc<str>>,
}

impl Draft {
    pub(super) fn demand(&self, assembled: &Assembled) -> Demand {
        Demand::new(
            Arc::clone(&self.assignment),
            Arc::clone(&self.baseline),
            &self.rule,
            self.severity,
            Arc::clone(&self.controls),
            self.revision.clone(),
            assembled.evidence(&self.proof),
        )
        .enforced(self.enforced)
        .from_file(self.origin.clone())
        .inherited(self.inherited_from.clone())
    }
}

/// A Profile object for the class.
#[derive(Debug)]
pub(super) struct ObjectProfile {
    pub(super) name: Arc<str>,
    pub(super) title: String,
    revision: Option<Arc<str>>,
    /// The payloads of its own profile: those that did not join a payload type that rules set.
    pub(super) payloads: Vec<Payload>,
    parts: Vec<Proof>,
}

impl ObjectProfile {
    pub(super) fn proof(&self, assembled: &Assembled) -> ProfileProof {
        ProfileProof {
            profile: Arc::clone(&self.name),
            revision: self.revision.clone(),
            parts: self.parts.iter().map(|part| assembled.evidence(part)).collect(),
        }
    }
}

/// All that concerns the class.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) drafts: Vec<Draft>,
    pub(super) pieces: Vec<Piece>,
    pub(super) profiles: Vec<ObjectProfile>,
    groups: usize,
}

impl Gathered {
    fn next_group(&mut self) -> usize {
        self.groups += 1;
        self.groups
    }
}

/// Gathers from assignments, highest precedence first.
pub(super) fn gather(input: &CompileInput<'_>, assignments: &[&AssignmentInput]) -> Gathered {
    let mut gathered = Gathered::default();
    for assignment in assignments {
        let mut baselines: Vec<&BaselineInput> = assignment.baselines.iter().collect();
        baselines.sort_by(|a, b| a.name.cmp(&b.name));
        for baseline in baselines {
            gather_baseline(input, assignment, baseline, &mut gathered);
        }
    }
    let rule_types: BTreeSet<String> = gathered
        .pieces
        .iter()
        .filter(|piece| piece.served)
        .filter_map(|piece| match &piece.target {
            Target::Payload(type_) => Some(type_.clone()),
            _ => None,
        })
        .collect();
    let mut seen = BTreeSet::new();
    for assignment in assignments
        .iter()
        .filter(|assignment| assignment.mode == AssignmentMode::Enforce)
    {
        let mut profiles: Vec<&ProfileInput> = assignment.profiles.iter().collect();
        profiles.sort_by(|a, b| a.name.cmp(&b.name));
        for profile in profiles {
            if seen.insert(&profile.name) {
                gather_profile(&input.class, assignment, profile, &rule_types, &mut gathered);
            }
        }
    }
    gathered
}

/// A baseline's parameters for one assignment.
struct Parameters {
    values: BTreeMap<String, Value>,
    /// What is wrong with the others, by name.
    wrong: BTreeMap<String, String>,
    /// The values, as CEL reads them.
    params: Arc<Value>,
}

impl Parameters {
    fn of(baseline: &BaselineInput) -> Self {
        let (values, errors) = parameter::resolve(&baseline.baseline.spec.parameters, &baseline.parameters);
        let wrong = errors
            .iter()
            .filter_map(|error| Some((error.parameter()?.to_owned(), error.to_string())))
            .collect();
        let params = Value::Object(values.clone().into_iter().collect());
        Self {
            values,
            wrong,
            params: Arc::new(params),
        }
    }

    fn substitute(&self, content: &Value) -> Result<Map<String, Value>, String> {
        let content = parameter::substitute(content, &self.values).map_err(|error| {
            error
                .parameter()
                .and_then(|name| self.wrong.get(name))
                .cloned()
                .unwrap_or_else(|| error.to_string())
        })?;
        match content {
            Value::Object(content) => Ok(content),
            _ => Err("the content of the rule is not a dictionary".to_owned()),
        }
    }
}

fn gather_baseline(
    input: &CompileInput<'_>,
    assignment: &AssignmentInput,
    baseline: &BaselineInput,
    gathered: &mut Gathered,
) {
    let parameters = Parameters::of(baseline);
    let group = gathered.next_group();
    let resolved = &baseline.baseline;
    let draft = |rule: &BaselineRule, from: Option<&Arc<str>>, proof: Proof, enforced: bool| Draft {
        assignment: Arc::clone(&assignment.name),
        baseline: Arc::clone(&baseline.name),
        rule: rule.id.clone(),
        severity: rule.severity,
        controls: rule.controls.clone().into(),
        revision: assignment.revision.clone().or_else(|| baseline.revision.clone()),
        proof,
        enforced,
        // Where users have changed the rule, their file is the one to look at.
        origin: rule
            .origins
            .last()
            .map(|origin| format!("{}@{}", origin.path, origin.blob).into()),
        inherited_from: from.cloned(),
    };
    for rule in &resolved.spec.rules {
        let before = gathered.pieces.len();
        let proof = gather_rule(
            input,
            assignment,
            baseline,
            &parameters,
            rule,
            group,
            &mut gathered.pieces,
        );
        let enforced = assignment.mode == AssignmentMode::Enforce && gathered.pieces.len() > before;
        let from = resolved.inherited.get(&rule.id).map(|inherited| &inherited.from);
        gathered.drafts.push(draft(rule, from, proof, enforced));
    }
    for left_out in &resolved.left_out {
        let proof = Proof::Known(Evidence::NotApplicable {
            reason: format!("left out by baseline {}: {}", left_out.by, left_out.reason).into(),
        });
        gathered
            .drafts
            .push(draft(&left_out.rule, Some(&left_out.from), proof, false));
    }
}

fn gather_rule(
    input: &CompileInput<'_>,
    assignment: &AssignmentInput,
    baseline: &BaselineInput,
    parameters: &Parameters,
    rule: &BaselineRule,
    group: usize,
    pieces: &mut Vec<Piece>,
) -> Proof {
    if let Some(exclusion) = baseline
        .excluded
        .iter()
        .find(|exclusion| exclusion.rule == rule.id)
    {
        return Proof::Known(Evidence::NotApplicable {
            reason: format!("left out by assignment {}: {}", assignment.name, exclusion.reason).into(),
        });
    }
    for ranges in [&baseline.baseline.spec.platforms, &rule.platforms] {
        if !input.class.is_in_any(ranges) {
            return Proof::Known(Evidence::NotApplicable {
                reason: format!("the rule is for {}", describe(ranges)).into(),
            });
        }
    }
    let content = select(&input.class, rule).and_then(|(target, content)| {
        pieces.push(Piece {
            target,
            content: parameters.substitute(content)?,
            label: format!("{}/{}", baseline.name, rule.id).into(),
            assignment: Arc::clone(&assignment.name),
            precedence: assignment.precedence,
            group,
            served: assignment.mode == AssignmentMode::Enforce,
        });
        Ok(pieces.len() - 1)
    });
    if let Some(check) = &rule.check {
        return Proof::Known(check_evidence(input, parameters, &check.cel));
    }
    if let Some(unproven) = &rule.unproven {
        return Proof::Known(Evidence::None {
            reason: unproven.message.as_str().into(),
        });
    }
    match content {
        Ok(piece) => Proof::Piece(piece),
        Err(reason) => Proof::Known(Evidence::None {
            reason: reason.into(),
        }),
    }
}

fn check_evidence(input: &CompileInput<'_>, parameters: &Parameters, cel: &str) -> Evidence {
    let program = match input.checks.program(cel) {
        Ok(program) => program,
        Err(error) => {
            return Evidence::None {
                reason: format!("the check cannot be read: {error}").into(),
            };
        }
    };
    let wrong = program
        .paths()
        .iter()
        .filter(|path| path.root == PARAMETERS)
        .find_map(|path| parameters.wrong.get(path.keys.first()?));
    if let Some(wrong) = wrong {
        return Evidence::None {
            reason: wrong.as_str().into(),
        };
    }
    Evidence::Cel {
        program,
        parameters: Arc::clone(&parameters.params),
    }
}

/// The content of a rule for a class: the first that is for it and that it can take. Else the reason why there is none.
pub(in crate::policy) fn select<'a>(
    class: &DeviceClass,
    rule: &'a BaselineRule,
) -> Result<(Target, &'a Value), String> {
    if rule.enforce.is_empty() {
        return Err("the rule enforces nothing".to_owned());
    }
    let mut reason = None;
    for enforcement in rule
        .enforce
        .iter()
        .filter(|enforcement| class.is_in_any(&enforcement.platforms))
    {
        let taken = match (&enforcement.profile, &enforcement.declaration) {
            (Some(profile), _) => takes_profiles(class).map(|()| {
                (
                    Target::Payload(served_type(&profile.payload_type).to_owned()),
                    &profile.content,
                )
            }),
            (None, Some(declaration)) => takes_declaration(class, &declaration.type_).map(|_| {
                (
                    Target::Declaration(declaration.type_.clone()),
                    &declaration.payload,
                )
            }),
            (None, None) => Err("the rule enforces nothing".to_owned()),
        };
        match taken {
            Ok(taken) => return Ok(taken),
            Err(why) => reason = reason.or(Some(why)),
        }
    }
    Err(reason.unwrap_or_else(|| format!("the rule has no content for {class}")))
}

fn takes_profiles(class: &DeviceClass) -> Result<(), String> {
    if !class.declarative {
        return Ok(());
    }
    takes_declaration(class, LEGACY).map(|_| ())
}

fn takes_declaration(class: &DeviceClass, type_: &str) -> Result<Apply, String> {
    let known = declaration_type(type_).ok_or_else(|| format!("there is no declaration type {type_}"))?;
    known.allows(class)?;
    Ok(known.apply)
}

fn gather_profile(
    class: &DeviceClass,
    assignment: &AssignmentInput,
    profile: &ProfileInput,
    rule_types: &BTreeSet<String>,
    gathered: &mut Gathered,
) {
    let spec = &profile.spec;
    let mut object = ObjectProfile {
        name: Arc::clone(&profile.name),
        title: spec.title.clone(),
        revision: profile.revision.clone(),
        payloads: Vec::new(),
        parts: Vec::new(),
    };
    let group = gathered.next_group();
    let none = |reason: String| {
        Proof::Known(Evidence::None {
            reason: reason.into(),
        })
    };
    let mut piece = |target: Target, content: Map<String, Value>| {
        gathered.pieces.push(Piece {
            target,
            content,
            label: format!("profile/{}", profile.name).into(),
            assignment: Arc::clone(&assignment.name),
            precedence: assignment.precedence,
            group,
            served: true,
        });
        Proof::Piece(gathered.pieces.len() - 1)
    };
    if !class.is_in_any(&spec.platforms) {
        object.parts.push(Proof::Known(Evidence::NotApplicable {
            reason: format!("the profile is for {}", describe(&spec.platforms)).into(),
        }));
        gathered.profiles.push(object);
        return;
    }
    let installable = takes_profiles(class);
    for payload in &spec.payloads {
        let type_ = served_type(&payload.payload_type);
        let content = plain(&payload.content);
        // Where rules set the same type, one profile holds both, so that the merge law decides and not the device.
        let alone = spec
            .payloads
            .iter()
            .filter(|other| served_type(&other.payload_type) == type_)
            .count()
            == 1;
        match (content, &installable) {
            (Err(reason), _) => object.parts.push(none(reason)),
            (_, Err(reason)) => object.parts.push(none(reason.clone())),
            (Ok(content), Ok(())) if alone && rule_types.contains(type_) => {
                object
                    .parts
                    .push(piece(Target::Payload(type_.to_owned()), content));
            }
            (Ok(content), Ok(())) => object.payloads.push(Payload {
                payload_type: type_.to_owned(),
                content,
            }),
        }
    }
    let mut ordinals: BTreeMap<&str, usize> = BTreeMap::new();
    for declaration in &spec.declarations {
        let type_ = declaration.type_.as_str();
        let ordinal = ordinals.entry(type_).and_modify(|n| *n += 1).or_insert(1);
        let taken =
            takes_declaration(class, type_).and_then(|apply| Ok((apply, plain(&declaration.payload)?)));
        let proof = match taken {
            // What the device keeps apart stays apart; what it combines is merged here, by the law that is written down.
            Ok((Apply::Multiple, content)) => piece(
                Target::OwnDeclaration(Arc::clone(&profile.name), type_.to_owned(), *ordinal),
                content,
            ),
            Ok((Apply::Combined | Apply::Single, content)) => {
                piece(Target::Declaration(type_.to_owned()), content)
            }
            Err(reason) => none(reason),
        };
        let on_users = matches!(proof, Proof::Piece(_)) && channels(type_, class) == Channels::Users;
        object.parts.push(if on_users {
            // The device does not tell of it; the rest of the profile can still be proven.
            Proof::Known(Evidence::NotApplicable {
                reason: "it is on the channels of the device's users".into(),
            })
        } else {
            proof
        });
    }
    if !object.payloads.is_empty() {
        object.parts.push(Proof::Profile(gathered.profiles.len()));
    }
    gathered.profiles.push(object);
}

/// The content of a Profile object, which has no parameters.
fn plain(content: &Value) -> Result<Map<String, Value>, String> {
    match parameter::substitute(content, &BTreeMap::new()) {
        Ok(Value::Object(content)) => Ok(content),
        Ok(_) => Err("the content is not a dictionary".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
