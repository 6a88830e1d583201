//! From a baseline of mSCP's to a Baseline of Provost's.
//!
//! A rule becomes a rule of the same id: its declaration first, then its profile, of which a device gets the first that it can take. A
//! profile has one payload type, so a rule with several becomes several: the others are called after their types, `rule.type`.
//! What is contradicted, known to be wrong or refused by Apple's schema is left out, and the rule says so; so does a rule that only
//! a check on the device could prove. The file and blob of each rule go with it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::assemble::{Conflict, Export, PREFERENCES, remove_at};
use super::errata::{self, Part as ErrataPart};
use super::evidence;
use super::judge::Judge;
use super::note::Note;
use super::resolve::{Declared, Resolved, ResolvedRule};
use super::tree::Tree;
use crate::api::BaselineSpec;
use crate::api::baseline::{
    BaselineRule, Check as NativeCheck, DeviceCheck, Enforcement, RuleOrigin, Unproven, UnprovenReason,
};
use crate::api::common::{DeclarationBody, PlatformRange, ProfilePayload};
use crate::api::names::API_VERSION;
use crate::gitops::read::{Document, PositionIndex};
use crate::gitops::{Finding, Position};
use crate::policy::merge::{Part, merge};
use crate::policy::schema::{Schema, Severity};

/// The longest texts that a Baseline takes, in characters.
const MAXIMUM_TITLE: usize = 256;
const MAXIMUM_TEXT: usize = 4_096;
const MAXIMUM_DESCRIPTION: usize = 8_192;
const MAXIMUM_MESSAGE: usize = 1_024;
const MAXIMUM_ID: usize = 128;
/// The longest reason of an imported rule: hundreds of them stand in one object.
const MAXIMUM_RATIONALE: usize = 1_024;
/// The most bytes of one object: what a Kubernetes API takes, less what it adds.
const MAXIMUM_OBJECT: usize = 1_000_000;
/// The most files that a rule names.
const MAXIMUM_ORIGINS: usize = 4;

/// Payload and declaration types that can lock people out, or are worth nothing alone: accounts without their servers, the steps of Setup
/// Assistant.
const OPT_IN: [&str; 5] = [
    "com.apple.SetupAssistant.managed",
    "com.apple.configuration.account.",
    "com.apple.eas.account",
    "com.apple.ews.account",
    "com.apple.mail.managed",
];
/// The payload type and key that demand a smart card of everybody.
const SMART_CARD: (&str, &str) = ("com.apple.security.smartcard", "enforceSmartCard");

/// A Baseline made from a file of mSCP's.
#[derive(Debug)]
pub struct Native {
    /// `metadata.name`.
    pub name: String,
    /// Its spec.
    pub spec: BaselineSpec,
    /// What is not served, and why.
    pub notes: Vec<Note>,
}

impl Native {
    /// The object, as the API takes it.
    #[must_use]
    pub fn object(&self) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": "Baseline",
            "metadata": { "name": self.name },
            "spec": self.spec,
        })
    }
}

/// Reads a tree into Baselines, one of each baseline. Warnings come with them.
///
/// # Errors
/// Every note, when one of them is an error: then nothing of the tree is to be applied.
pub fn documents(tree: &Tree, schema: &Schema) -> Result<(Vec<Document>, Vec<Note>), Vec<Note>> {
    let judge = Judge::new(schema);
    let mut notes = tree.notes().to_vec();
    let mut documents: BTreeMap<String, Document> = BTreeMap::new();
    for baseline in tree.baselines() {
        let resolved = baseline.resolve(tree);
        let native = resolved.native(&resolved.export(), &judge);
        notes.extend(resolved.notes.iter().cloned());
        notes.extend(native.notes.iter().cloned());
        let value = native.object();
        let mut refuse = |message: String| notes.push(Note::error(baseline.finding("", message)));
        if baseline.rule_count() == 0 {
            refuse("the baseline holds no rule; remove the file, or name rules in it".to_owned());
        }
        let size = value.to_string().len();
        if size > MAXIMUM_OBJECT {
            refuse(format!(
                "the baseline becomes an object of {size} bytes, more than the {MAXIMUM_OBJECT} that fit; split it"
            ));
        }
        let document = Document {
            file: baseline.file.clone(),
            kind: "Baseline".to_owned(),
            name: native.name.clone(),
            value,
            positions: PositionIndex::beginning_at(baseline.positions.start()),
        };
        if let Some(other) = documents.insert(native.name.clone(), document) {
            refuse(format!(
                "the baseline would be called {}, as that of {}; rename one of the two",
                native.name, other.file
            ));
        }
    }
    notes.sort();
    notes.dedup();
    if notes.iter().any(Note::is_error) {
        return Err(notes);
    }
    Ok((documents.into_values().collect(), notes))
}

impl Resolved<'_> {
    /// Makes a Baseline. `export` is [what the rules say together](Resolved::export). What Apple's schema refuses is left out.
    #[must_use]
    pub fn native(&self, export: &Export, judge: &Judge<'_>) -> Native {
        let mut notes = Vec::new();
        let mut rules = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let maker = Maker {
                resolved: self,
                rule,
                index,
                conflicts: &export.conflicts,
                judge,
            };
            maker.make(&mut rules, &mut notes);
        }
        let baseline = self.baseline;
        let next = baseline
            .version
            .split('.')
            .next()
            .and_then(|major| major.parse::<u32>().ok())
            .and_then(|major| Some(major.checked_add(1)?.to_string()));
        let platforms = baseline.system.platforms().iter().map(|name| PlatformRange {
            name: *name,
            minimum_version: Some(baseline.version.clone()),
            before_version: next.clone(),
            enrollment_modes: Vec::new(),
        });
        let source = format!(
            "Made from {} (blob {}). Rules by the macOS Security Compliance Project, CC BY 4.0; meeting them supports the controls that they name \
             and certifies nothing.",
            baseline.file, baseline.blob
        );
        let own = cut(
            &baseline.description,
            MAXIMUM_DESCRIPTION.saturating_sub(source.chars().count() + 2),
        );
        let spec = BaselineSpec {
            title: cut(&baseline.title, MAXIMUM_TITLE),
            description: format!("{own}\n\n{source}"),
            version: baseline.version.clone(),
            platforms: platforms.collect(),
            parameters: Vec::new(),
            extends: Vec::new(),
            rules,
        };
        let mut native = Native {
            name: object_name(&baseline.id),
            spec,
            notes,
        };
        native.settle(judge);
        native
    }
}

impl Native {
    /// Leaves out what still cannot be used on some of the devices that the baseline is for, so that one rule never keeps a baseline from
    /// coming into force.
    fn settle(&mut self, judge: &Judge<'_>) {
        for rule in self.spec.rules.iter_mut().filter(|rule| !rule.enforce.is_empty()) {
            // What is left is chosen by more devices: it is judged again.
            for _ in 0..=rule.enforce.len() {
                let wrong = judge.rule(rule, &self.spec.platforms);
                if wrong.is_empty() {
                    break;
                }
                // From the end, so that earlier places stay what they are.
                for wrong in wrong.iter().rev() {
                    self.notes
                        .extend(withhold(rule, wrong.enforcement, &wrong.message));
                }
            }
        }
    }
}

fn withhold(rule: &mut BaselineRule, enforcement: usize, message: &str) -> Option<Note> {
    if enforcement >= rule.enforce.len() {
        return None;
    }
    let removed = rule.enforce.remove(enforcement);
    let type_ = match (&removed.declaration, &removed.profile) {
        (Some(declaration), _) => declaration.type_.as_str(),
        (None, Some(profile)) => profile.payload_type.as_str(),
        (None, None) => "",
    };
    let text = format!("not served: {}", said(type_, "", message));
    if rule.enforce.is_empty() && rule.unproven.is_none() {
        rule.unproven = Some(Unproven {
            reason: UnprovenReason::InvalidContent,
            message: cut(&text, MAXIMUM_MESSAGE),
        });
    }
    Some(Note::warning(Finding {
        file: rule.origins.last()?.path.clone(),
        position: Position::START,
        field: String::new(),
        message: text,
    }))
}

/// A name as objects have it: `cis_lvl1_macos_26.0` is `cis-lvl1-macos-26.0`.
fn object_name(id: &str) -> String {
    let name: String = id
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let labels: Vec<&str> = name
        .split('.')
        .map(|label| label.trim_matches('-'))
        .filter(|label| !label.is_empty())
        .collect();
    labels.join(".")
}

/// An id as rules have it.
fn rule_id(id: &str) -> String {
    let id: String = id
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') {
                c
            } else {
                '-'
            }
        })
        .take(MAXIMUM_ID)
        .collect();
    id.trim_start_matches(['_', '.', '-']).to_owned()
}

fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(characters.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Makes the rules of one rule.
struct Maker<'m> {
    resolved: &'m Resolved<'m>,
    rule: &'m ResolvedRule<'m>,
    index: usize,
    conflicts: &'m [Conflict],
    judge: &'m Judge<'m>,
}

/// Content, and the field of the file that it stands in.
type Said<'s> = (&'s Map<String, Value>, &'s str);

/// What of a rule is served, and why the rest is not.
#[derive(Default)]
struct Served {
    declaration: Option<DeclarationBody>,
    payloads: Vec<ProfilePayload>,
    withheld: Option<Unproven>,
}

impl Served {
    /// Keeps the first reason.
    fn withhold(&mut self, reason: UnprovenReason, message: impl Into<String>) {
        if self.withheld.is_none() {
            self.withheld = Some(Unproven {
                reason,
                message: cut(&message.into(), MAXIMUM_MESSAGE),
            });
        }
    }
}

impl Maker<'_> {
    fn make(&self, rules: &mut Vec<BaselineRule>, notes: &mut Vec<Note>) {
        let mut served = self.served(notes);
        let mut payloads = std::mem::take(&mut served.payloads).into_iter();
        let cel = evidence::check(self.rule.id, self.resolved.baseline.system);
        let mut enforce = Vec::new();
        enforce.extend(served.declaration.take().map(|declaration| Enforcement {
            platforms: Vec::new(),
            profile: None,
            declaration: Some(declaration),
        }));
        enforce.extend(payloads.next().map(by_profile));
        let unproven = self.unproven(&served, !enforce.is_empty());
        let first = self.base(enforce, unproven);
        let others = payloads.map(|payload| BaselineRule {
            id: rule_id(&format!("{}.{}", first.id, payload.payload_type)),
            enforce: vec![by_profile(payload)],
            ..first.clone()
        });
        let others: Vec<BaselineRule> = others.collect();
        rules.push(BaselineRule {
            check: cel.map(|cel| NativeCheck { cel: cel.to_owned() }),
            ..first
        });
        rules.extend(others);
    }

    fn base(&self, enforce: Vec<Enforcement>, unproven: Option<Unproven>) -> BaselineRule {
        let rule = self.rule;
        let fits = |text: &&str| !text.is_empty() && text.chars().count() <= MAXIMUM_TEXT;
        let device_check = rule
            .check
            .as_ref()
            .filter(|(command, _)| fits(&command.as_str()))
            .map(|(command, expected)| DeviceCheck {
                command: command.clone(),
                expected: cut(expected, MAXIMUM_MESSAGE),
            });
        // A command that is cut short does something else: all of it or none.
        let remediation = rule.fix.as_deref().filter(fits).unwrap_or_default();
        let origins = rule.origins().into_iter().take(MAXIMUM_ORIGINS);
        BaselineRule {
            id: rule_id(rule.id),
            title: cut(&rule.title, MAXIMUM_TITLE),
            rationale: cut(&rule.discussion, MAXIMUM_RATIONALE),
            severity: rule.severity,
            controls: rule.controls.clone(),
            platforms: Vec::new(),
            enforce,
            check: None,
            unproven,
            device_check,
            remediation: remediation.to_owned(),
            origins: origins.map(|(path, blob)| RuleOrigin { path, blob }).collect(),
        }
    }

    /// Why nothing proves the rule. None: what is installed does.
    fn unproven(&self, served: &Served, enforced: bool) -> Option<Unproven> {
        let reason = |reason, message: &str| {
            Some(Unproven {
                reason,
                message: message.to_owned(),
            })
        };
        let conflict = self
            .conflicts
            .iter()
            .find_map(|conflict| conflict.for_rule(self.index));
        if let Some(conflict) = conflict {
            return reason(UnprovenReason::Conflict, &cut(&conflict, MAXIMUM_MESSAGE));
        }
        if enforced {
            return None;
        }
        if served.withheld.is_some() {
            return served.withheld.clone();
        }
        if let Some(Declared::File(fragment)) = &self.rule.declared {
            let message = format!(
                "sets lines of {}: only complete files are delivered, and only a check on the device can tell",
                fragment.path
            );
            return reason(UnprovenReason::ConfigurationFile, &message);
        }
        if self.rule.check.is_some() {
            return reason(
                UnprovenReason::OnDeviceCheck,
                "needs a check on the device: nothing that a device reports over MDM tells",
            );
        }
        reason(
            UnprovenReason::NotTechnical,
            self.rule
                .not_technical()
                .unwrap_or("it has no setting and no check; a person has to see to it"),
        )
    }

    fn served(&self, notes: &mut Vec<Note>) -> Served {
        let mut served = Served::default();
        let mut contents: BTreeMap<&str, Vec<Said<'_>>> = BTreeMap::new();
        for payload in &self.rule.payloads {
            contents
                .entry(&payload.type_)
                .or_default()
                .push((&payload.content, &payload.field));
        }
        for (type_, parts) in contents {
            let field = parts.first().map_or("", |(_, field)| field);
            let parts: Vec<Part<'_>> = parts
                .iter()
                .map(|(content, _)| Part {
                    precedence: 0,
                    source: 0,
                    content,
                })
                .collect();
            let mut content = merge(&parts).content;
            self.drop_conflicts(type_, &mut content);
            if content.is_empty() {
                continue;
            }
            if let Some(content) =
                self.allowed(ErrataPart::Profile, type_, content, field, &mut served, notes)
            {
                served.payloads.push(ProfilePayload {
                    payload_type: type_.to_owned(),
                    content: escaped(Value::Object(content)),
                });
            }
        }
        if let Some(Declared::Key { type_, content }) = &self.rule.declared {
            let mut content = content.clone();
            self.drop_conflicts(type_, &mut content);
            if !content.is_empty() {
                let part = ErrataPart::Declaration;
                let allowed = self.allowed(part, type_, content, "ddm_info", &mut served, notes);
                served.declaration = allowed.map(|content| DeclarationBody {
                    type_: type_.clone(),
                    payload: escaped(Value::Object(content)),
                });
            }
        }
        served
    }

    /// Takes out what other rules contradict.
    fn drop_conflicts(&self, type_: &str, content: &mut Map<String, Value>) {
        let concerned = |conflict: &&Conflict| conflict.rules().any(|rule| rule == self.index);
        for conflict in self.conflicts.iter().filter(concerned) {
            if conflict.part == "mcx" && type_ == PREFERENCES {
                remove_at(content, &format!("{}.{}", conflict.type_, conflict.setting));
            } else if conflict.type_ == type_ {
                remove_at(content, &conflict.setting);
            }
        }
    }

    /// Content that may be served; else it is noted why not.
    fn allowed(
        &self,
        part: ErrataPart,
        type_: &str,
        content: Map<String, Value>,
        field: &str,
        served: &mut Served,
        notes: &mut Vec<Note>,
    ) -> Option<Map<String, Value>> {
        let system = self.resolved.baseline.system;
        let is_declaration = part == ErrataPart::Declaration;
        if OPT_IN.iter().any(|prefix| type_.starts_with(prefix))
            || (type_ == SMART_CARD.0 && content.get(SMART_CARD.1) == Some(&Value::Bool(true)))
        {
            served.withhold(
                UnprovenReason::OptIn,
                format!(
                    "{type_} can lock people out or is incomplete alone: it is put on devices only by a Profile or Baseline of your own"
                ),
            );
            return None;
        }
        let mut refused: Vec<(String, String)> = Vec::new();
        if let Some((key, why)) = errata::known(self.rule.id, part, system, &content) {
            refused.push((key.to_owned(), why.to_owned()));
        }
        let version = &self.resolved.baseline.version;
        let findings = self
            .judge
            .content(is_declaration, type_, &content, system, version);
        for finding in findings.iter() {
            let text = finding.text();
            if finding.severity == Severity::Error {
                refused.push((finding.path.clone(), text));
            } else {
                let text = said(type_, &finding.path, &text);
                notes.push(Note::warning(self.rule.finding(field, text)));
            }
        }
        if refused.is_empty() {
            return Some(content);
        }
        for (path, why) in refused {
            let text = said(type_, &path, &why);
            served.withhold(UnprovenReason::InvalidContent, format!("not served: {text}"));
            notes.push(Note::warning(
                self.rule.finding(field, format!("not served: {text}")),
            ));
        }
        None
    }
}

fn said(type_: &str, path: &str, message: &str) -> String {
    if path.is_empty() {
        format!("{type_}: {message}")
    } else {
        format!("{type_}: {path}: {message}")
    }
}

fn by_profile(profile: ProfilePayload) -> Enforcement {
    Enforcement {
        platforms: Vec::new(),
        profile: Some(profile),
        declaration: None,
    }
}

/// Content in which nothing is taken for a parameter.
fn escaped(content: Value) -> Value {
    match content {
        Value::String(text) if text.contains("$(") => Value::String(text.replace("$(", "$$(")),
        Value::Array(list) => list.into_iter().map(escaped).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, escaped(value)))
            .collect(),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_objects_and_rules_may_be_called() {
        assert_eq!(object_name("cis_lvl1_macos_26.0"), "cis-lvl1-macos-26.0");
        assert_eq!(object_name("DISA-STIG_macos_26.0"), "disa-stig-macos-26.0");
        assert_eq!(object_name("_a b._c"), "a-b.c");
        assert_eq!(
            rule_id("os_a.com.apple.SubmitDiagInfo"),
            "os_a.com.apple.submitdiaginfo"
        );
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(
            escaped(json!({ "a": ["$(id)", "$ODV"] })),
            json!({ "a": ["$$(id)", "$ODV"] })
        );
    }
}
