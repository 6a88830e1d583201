//! A rule as its files say it: the bundled one, with users' changes applied key by key as mSCP applies them.
//!
//! A key of an override replaces the whole key, but for three: `references` is replaced one level deep, `tags` are added, `platforms` is
//! merged deep. Each key remembers the file that it came from, so that a mistake is shown where it was made.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::layout::stem;
use crate::gitops::fetch::SourceFile;
use crate::gitops::read::{PositionIndex, read_single};
use crate::gitops::{Finding, Position};

/// A file that a rule is made of.
#[derive(Debug)]
struct Layer {
    file: Arc<str>,
    blob: String,
    positions: PositionIndex,
}

/// A rule before it is understood.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) id: String,
    pub(super) fields: Map<String, Value>,
    /// What an override replaced and did not give again, by key.
    pub(super) replaced: Map<String, Value>,
    layers: Vec<Layer>,
    /// The layer that a key comes from.
    owners: BTreeMap<String, usize>,
}

/// A file of a rule, before it has joined one.
#[derive(Debug)]
pub(super) struct RuleFile {
    pub(super) id: String,
    fields: Map<String, Value>,
    layer: Layer,
}

impl RuleFile {
    /// Reads the file of a rule.
    pub(super) fn read(file: &SourceFile) -> Result<Self, Finding> {
        let (value, positions) = read_single(file)?.ok_or_else(|| {
            file_finding(
                file,
                Position::START,
                "",
                "the file is empty; a rule was expected",
            )
        })?;
        let Value::Object(fields) = value else {
            return Err(file_finding(
                file,
                positions.start(),
                "",
                "a rule is a mapping that begins with `id`",
            ));
        };
        let id = match fields.get("id") {
            None => stem(&file.path).to_owned(),
            Some(Value::String(id)) => id.clone(),
            Some(_) => {
                return Err(file_finding(
                    file,
                    positions.locate("id"),
                    "id",
                    "the id is not text; put quotes around it",
                ));
            }
        };
        let layer = Layer {
            file: file.path.as_str().into(),
            blob: file.blob(),
            positions,
        };
        Ok(Self { id, fields, layer })
    }

    /// The file's name without extension.
    pub(super) fn stem(&self) -> &str {
        stem(&self.layer.file)
    }

    /// A mistake in this file.
    pub(super) fn finding(&self, field: &str, message: impl Into<String>) -> Finding {
        Finding {
            file: self.layer.file.to_string(),
            position: self.layer.positions.locate(field),
            field: field.to_owned(),
            message: message.into(),
        }
    }
}

impl From<RuleFile> for Raw {
    fn from(file: RuleFile) -> Self {
        Self {
            owners: file.fields.keys().map(|key| (key.clone(), 0)).collect(),
            id: file.id,
            fields: file.fields,
            replaced: Map::new(),
            layers: vec![file.layer],
        }
    }
}

impl Raw {
    /// Applies an override.
    pub(super) fn change(&mut self, file: RuleFile) {
        let layer = self.layers.len();
        self.layers.push(file.layer);
        for (key, value) in file.fields {
            let known = self.fields.get_mut(&key);
            match (key.as_str(), known, value) {
                ("id", Some(_), _) => {}
                ("references", Some(Value::Object(known)), Value::Object(changes)) => {
                    for (namespace, references) in changes {
                        self.owners.insert(format!("references.{namespace}"), layer);
                        known.insert(namespace, references);
                    }
                }
                ("tags", Some(Value::Array(known)), Value::Array(more)) => {
                    let new: Vec<Value> = more.into_iter().filter(|tag| !known.contains(tag)).collect();
                    known.extend(new);
                }
                ("platforms", Some(known @ Value::Object(_)), changes @ Value::Object(_)) => {
                    merge_deep(known, changes, MERGED_LEVELS);
                }
                (_, _, value) => {
                    if let Some(before) = self.fields.insert(key.clone(), value) {
                        self.replaced.insert(key.clone(), before);
                    }
                    self.owners.insert(key, layer);
                }
            }
        }
    }

    /// Whether users have changed this key.
    pub(super) fn is_changed(&self, key: &str) -> bool {
        self.owners.get(key).is_some_and(|layer| *layer > 0)
    }

    /// The files it is made of, the bundled one first, each with the id of its blob in git.
    pub(super) fn origins(&self) -> Vec<(String, String)> {
        self.layers
            .iter()
            .map(|layer| (layer.file.to_string(), layer.blob.clone()))
            .collect()
    }

    /// A mistake in a field, in the file that the field is from.
    pub(super) fn finding(&self, field: &str, message: impl Into<String>) -> Finding {
        let (layer, position) = self.place(field);
        Finding {
            file: layer.map(|layer| layer.file.to_string()).unwrap_or_default(),
            position,
            field: field.to_owned(),
            message: message.into(),
        }
    }

    /// The number at a field, as the file writes it.
    pub(super) fn number(&self, field: &str) -> Option<&str> {
        self.place(field).0?.positions.number(field)
    }

    fn place(&self, field: &str) -> (Option<&Layer>, Position) {
        let owner = self
            .owners
            .iter()
            .filter(|(key, _)| {
                field
                    .strip_prefix(key.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })
            .max_by_key(|(key, _)| key.len())
            .and_then(|(_, layer)| self.layers.get(*layer));
        // What is merged deep may be from a later file than the key as a whole.
        let deep = self.layers.iter().rev().find_map(|layer| {
            let merged = field.starts_with("platforms");
            Some((layer, merged.then(|| layer.positions.find(field)).flatten()?))
        });
        if let Some((layer, position)) = deep {
            return (Some(layer), position);
        }
        let layer = owner.or_else(|| self.layers.first());
        let position = layer.map_or(Position::START, |layer| layer.positions.locate(field));
        (layer, position)
    }
}

/// How deep `platforms` nests: what lies deeper is replaced. The reader bounds it anyhow.
const MERGED_LEVELS: usize = 64;

fn merge_deep(known: &mut Value, changes: Value, levels: usize) {
    match (known, changes) {
        (Value::Object(known), Value::Object(changes)) if levels > 0 => {
            for (key, value) in changes {
                match known.get_mut(&key) {
                    Some(known) => merge_deep(known, value, levels - 1),
                    None => {
                        known.insert(key, value);
                    }
                }
            }
        }
        (known, changes) => *known = changes,
    }
}

/// A mistake in a file of which nothing is known yet.
pub(super) fn file_finding(
    file: &SourceFile,
    position: Position,
    field: &str,
    message: impl Into<String>,
) -> Finding {
    Finding {
        file: file.path.clone(),
        position,
        field: field.to_owned(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file(path: &str, text: &str) -> RuleFile {
        RuleFile::read(&SourceFile {
            path: path.to_owned(),
            content: text.as_bytes().to_vec(),
        })
        .unwrap()
    }

    fn changed(bundled: &str, custom: &str) -> Raw {
        let mut raw = Raw::from(file("rules/os/a.yaml", bundled));
        raw.change(file("custom/rules/a.yaml", custom));
        raw
    }

    #[test]
    fn an_override_replaces_whole_keys_but_for_three() {
        let raw = changed(
            "id: a\ntags: [x]\nreferences:\n  nist: { cce: [1] }\n  cis: { benchmark: [2], controls_v8: [3] }\nodv: { hint: h, recommended: 1 }\n\
             platforms:\n  macOS:\n    '26.0': { benchmarks: [b] }\n    introduced: '13.0'\n",
            "tags: [x, y]\nreferences:\n  cis: { controls_v8: [4] }\nodv: { custom: 2 }\nplatforms:\n  macOS:\n    '26.0': { supervised: true }\n",
        );
        assert_eq!(
            Value::Object(raw.fields.clone()),
            json!({ "id": "a", "tags": ["x", "y"], "odv": { "custom": 2 },
                "references": { "nist": { "cce": [1] }, "cis": { "controls_v8": [4] } },
                "platforms": { "macOS": { "26.0": { "benchmarks": ["b"], "supervised": true }, "introduced": "13.0" } } })
        );
        assert_eq!(
            raw.replaced.get("odv"),
            Some(&json!({ "hint": "h", "recommended": 1 }))
        );
        assert!(raw.is_changed("odv") && !raw.is_changed("tags"));
    }

    #[test]
    fn a_mistake_is_shown_in_the_file_that_made_it() {
        let raw = changed(
            "id: a\ntitle: t\nreferences:\n  nist: n\n  cis: c\nplatforms:\n  macOS:\n    '26.0': {}\n",
            "title: u\nreferences:\n  cis: d\nplatforms:\n  macOS:\n    '26.0':\n      supervised: true\n",
        );
        let place = |field: &str| {
            let finding = raw.finding(field, "");
            format!("{}:{}", finding.file, finding.position.line)
        };
        assert_eq!(place("title"), "custom/rules/a.yaml:1");
        assert_eq!(place("references.nist"), "rules/os/a.yaml:4");
        assert_eq!(place("references.cis"), "custom/rules/a.yaml:3");
        assert_eq!(place("platforms.macOS.26.0.supervised"), "custom/rules/a.yaml:7");
        assert_eq!(place("nothing"), "rules/os/a.yaml:1");
    }
}
