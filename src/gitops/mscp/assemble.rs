//! All that the rules of a baseline say, put together by the law of [`crate::policy::merge`]: what mSCP's own generator would write, with
//! nothing lost. What rules contradict each other in is left out and named.
//!
//! Nothing is judged by Apple's schema here, and nothing mended: this is what people compare.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::config_file::{self, Fragment};
use super::resolve::{Declared, Payload, Resolved, ResolvedRule};
use super::rule::CONFIGURATION_FILES;
use crate::policy::merge::{Clash, Part, merge};

/// The payload type of preferences by domain.
pub(super) const PREFERENCES: &str = "com.apple.ManagedClient.preferences";

/// Content with the index of the rule that it is from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gathered<T> {
    pub(super) source: usize,
    pub(super) content: T,
}

/// What a baseline sets.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Export {
    /// Keys of payloads, by payload type.
    pub profiles: BTreeMap<String, Map<String, Value>>,
    /// Managed preferences, by domain.
    pub mcx: BTreeMap<String, Map<String, Value>>,
    /// Payloads of declarations, by type; `type#service` for those that bring configuration files.
    pub ddm: BTreeMap<String, Map<String, Value>>,
    /// Pieces of configuration files, by `service:/path`.
    pub config_files: BTreeMap<String, String>,
    /// What is left out because rules contradict each other.
    #[serde(skip)]
    pub conflicts: Vec<Conflict>,
}

/// A setting that rules of one baseline want differently. Neither value is served.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conflict {
    /// The member of the [`Export`]: `profiles`, `mcx`, `ddm` or `config_files`.
    pub part: &'static str,
    /// The type, domain or file.
    #[serde(rename = "type")]
    pub type_: String,
    /// The key, as `key` or `key.key`.
    pub setting: String,
    /// Who wants what.
    pub sides: Vec<Side>,
}

/// One side of a conflict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    /// What is wanted.
    pub value: Value,
    /// The rules that want it.
    pub rules: Vec<RulePlace>,
}

/// A rule, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RulePlace {
    /// Its index in the baseline.
    #[serde(skip)]
    pub index: usize,
    /// Its id.
    pub rule: String,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

impl Conflict {
    /// The indices of the rules concerned.
    pub(super) fn rules(&self) -> impl Iterator<Item = usize> {
        self.sides
            .iter()
            .flat_map(|side| side.rules.iter().map(|place| place.index))
    }

    /// The setting and the rules on the other sides, as a verdict tells it to the people of one rule. None: the rule is not concerned.
    pub(super) fn for_rule(&self, rule: usize) -> Option<String> {
        let concerns = |side: &&Side| side.rules.iter().any(|place| place.index == rule);
        self.sides.iter().find(concerns)?;
        let others: Vec<&str> = self
            .sides
            .iter()
            .filter(|side| !concerns(side))
            .flat_map(|side| side.rules.iter().map(|place| place.rule.as_str()))
            .collect();
        let others = if others.is_empty() {
            "itself".to_owned()
        } else {
            others.join(", ")
        };
        Some(format!(
            "conflict: {}: {} contradicts {others}; neither value is served",
            self.type_, self.setting
        ))
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides: Vec<String> = self
            .sides
            .iter()
            .map(|side| {
                let rules: Vec<String> = side
                    .rules
                    .iter()
                    .map(|place| format!("{} ({}:{}:{})", place.rule, place.file, place.line, place.column))
                    .collect();
                format!("{} by {}", side.value, rules.join(" and "))
            })
            .collect();
        write!(
            f,
            "{}: {} is left out: {}",
            self.type_,
            self.setting,
            sides.join("; ")
        )
    }
}

impl Resolved<'_> {
    /// Puts together what the rules say.
    #[must_use]
    pub fn export(&self) -> Export {
        let mut export = Export::default();
        let mut profiles: Grouped<'_> = BTreeMap::new();
        let mut preferences: Grouped<'_> = BTreeMap::new();
        let mut declarations: Grouped<'_> = BTreeMap::new();
        let mut files: BTreeMap<(&str, &str), Vec<Gathered<&Fragment>>> = BTreeMap::new();
        for (source, rule) in self.rules.iter().enumerate() {
            for payload in &rule.payloads {
                if payload.type_ == PREFERENCES {
                    for (domain, content) in domains(payload) {
                        preferences
                            .entry(domain)
                            .or_default()
                            .push(Gathered { source, content });
                    }
                } else {
                    let content = &payload.content;
                    profiles
                        .entry(&payload.type_)
                        .or_default()
                        .push(Gathered { source, content });
                }
            }
            match &rule.declared {
                Some(Declared::Key { type_, content }) => {
                    declarations
                        .entry(type_)
                        .or_default()
                        .push(Gathered { source, content });
                }
                Some(Declared::File(content)) => {
                    let file = (content.service.as_str(), content.path.as_str());
                    files.entry(file).or_default().push(Gathered { source, content });
                }
                None => {}
            }
        }
        export.profiles = self.merge("profiles", &profiles, &mut export.conflicts);
        export.mcx = self.merge("mcx", &preferences, &mut export.conflicts);
        export.ddm = self.merge("ddm", &declarations, &mut export.conflicts);
        for ((service, path), pieces) in files {
            self.add_file(service, path, &pieces, &mut export);
        }
        export
    }

    fn merge(
        &self,
        part: &'static str,
        grouped: &Grouped<'_>,
        conflicts: &mut Vec<Conflict>,
    ) -> BTreeMap<String, Map<String, Value>> {
        let mut merged = BTreeMap::new();
        for (type_, contents) in grouped {
            let parts: Vec<Part<'_>> = contents
                .iter()
                .map(|gathered| Part {
                    precedence: 0,
                    source: gathered.source,
                    content: gathered.content,
                })
                .collect();
            let together = merge(&parts);
            for clash in &together.clashes {
                conflicts.push(self.conflict(part, type_, clash, contents));
            }
            if !together.content.is_empty() || together.clashes.is_empty() {
                merged.insert((*type_).to_owned(), together.content);
            }
        }
        merged
    }

    fn conflict(
        &self,
        part: &'static str,
        type_: &str,
        clash: &Clash,
        contents: &[Gathered<&Map<String, Value>>],
    ) -> Conflict {
        let value_of = |source: usize| {
            contents
                .iter()
                .filter(|gathered| gathered.source == source)
                .find_map(|gathered| value_at(gathered.content, &clash.setting))
        };
        let sides = clash.sides.iter().map(|side| Side {
            value: side
                .iter()
                .find_map(|source| value_of(*source))
                .cloned()
                .unwrap_or_default(),
            rules: side
                .iter()
                .filter_map(|source| self.place(*source, part, type_))
                .collect(),
        });
        Conflict {
            part,
            type_: type_.to_owned(),
            setting: clash.setting.clone(),
            sides: sides.collect(),
        }
    }

    fn place(&self, index: usize, part: &str, type_: &str) -> Option<RulePlace> {
        let rule = self.rules.get(index)?;
        let field = match part {
            "profiles" => rule.payloads.iter().find(|payload| payload.type_ == type_),
            "mcx" => rule.payloads.iter().find(|payload| payload.type_ == PREFERENCES),
            _ => None,
        };
        let finding = rule.finding(field.map_or("ddm_info", |payload| &payload.field), "");
        Some(RulePlace {
            index,
            rule: rule.id.to_owned(),
            file: finding.file,
            line: finding.position.line,
            column: finding.position.column,
        })
    }

    fn add_file(&self, service: &str, path: &str, pieces: &[Gathered<&Fragment>], export: &mut Export) {
        let assembled = config_file::assemble(pieces);
        let name = format!("{service}:{path}");
        for (setting, sides) in assembled.clashes {
            let sides = sides.into_iter().map(|(value, rules)| Side {
                value,
                rules: rules
                    .into_iter()
                    .filter_map(|index| self.place(index, "config_files", ""))
                    .collect(),
            });
            export.conflicts.push(Conflict {
                part: "config_files",
                type_: name.clone(),
                setting: if setting.is_empty() {
                    "the file".to_owned()
                } else {
                    setting
                },
                sides: sides.collect(),
            });
        }
        if assembled.text.is_empty() {
            return;
        }
        export.config_files.insert(name, assembled.text);
        let short = pieces
            .first()
            .map_or(service, |piece| piece.content.short_service());
        let reference = format!("org.mscp.{}.asset.{short}", self.baseline.id);
        let content = json!({ "DataAssetReference": reference, "ServiceType": service });
        if let Value::Object(content) = content {
            export
                .ddm
                .insert(format!("{CONFIGURATION_FILES}#{service}"), content);
        }
    }
}

type Grouped<'r> = BTreeMap<&'r str, Vec<Gathered<&'r Map<String, Value>>>>;

/// The preferences of a payload, by domain.
pub(super) fn domains(payload: &Payload) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
    payload
        .content
        .iter()
        .filter_map(|(domain, content)| Some((domain.as_str(), content.as_object()?)))
}

/// The value of a setting, written as `key` or `key.key`; keys may hold dots themselves.
pub(super) fn value_at<'v>(content: &'v Map<String, Value>, setting: &str) -> Option<&'v Value> {
    content
        .iter()
        .find_map(|(key, value)| match below(setting, key)? {
            "" => Some(value),
            rest => value_at(value.as_object()?, rest),
        })
}

/// Takes a setting out. Dictionaries that are empty then go, too.
pub(super) fn remove_at(content: &mut Map<String, Value>, setting: &str) {
    let found = content.iter().find_map(|(key, value)| {
        let rest = below(setting, key)?;
        let here = rest.is_empty() || value_at(value.as_object()?, rest).is_some();
        here.then(|| (key.clone(), rest.to_owned()))
    });
    let Some((key, rest)) = found else { return };
    if !rest.is_empty()
        && let Some(inner) = content.get_mut(&key).and_then(Value::as_object_mut)
    {
        remove_at(inner, &rest);
        if !inner.is_empty() {
            return;
        }
    }
    content.remove(&key);
}

/// What follows `key` in a setting.
fn below<'s>(setting: &'s str, key: &str) -> Option<&'s str> {
    let rest = setting.strip_prefix(key)?;
    if rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix('.')
    }
}

/// For people who go through a report.
impl ResolvedRule<'_> {
    /// Whether the rule sets keys of a profile.
    #[must_use]
    pub fn has_profile(&self) -> bool {
        !self.payloads.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_and_taken_out_by_their_path() {
        let Value::Object(mut content) = json!({ "a.b": { "c": 1, "d": 2 }, "a": { "e": 3 }, "f": 4 }) else {
            panic!("a mapping");
        };
        assert_eq!(value_at(&content, "a.b.c"), Some(&json!(1)));
        assert_eq!(value_at(&content, "a.e"), Some(&json!(3)));
        assert_eq!(value_at(&content, "a.x"), None);
        remove_at(&mut content, "a.b.c");
        remove_at(&mut content, "a.e");
        remove_at(&mut content, "nothing");
        assert_eq!(Value::Object(content), json!({ "a.b": { "d": 2 }, "f": 4 }));
    }
}
