//! Which rule a person means.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::BaselineSpec;
use crate::api::baseline::BaselineRule;
use crate::cli::plugin::words::some_of;
use crate::gitops::read::Documents;
use crate::policy::inheritance::resolve;
use crate::suggest::nearest;

/// How many candidates an error names.
const CANDIDATES: usize = 10;

/// A rule in a baseline.
#[derive(Debug)]
pub(super) struct Held {
    /// The baseline's name.
    pub(super) baseline: String,
    /// The baseline without its rules.
    pub(super) of: BaselineSpec,
    pub(super) rule: BaselineRule,
}

impl Held {
    /// Every rule of every baseline, in order.
    pub(super) fn all(documents: &Documents) -> Vec<Self> {
        let baselines = || {
            documents
                .objects
                .iter()
                .filter(|document| document.kind == "Baseline")
        };
        let specs: BTreeMap<String, Arc<BaselineSpec>> = baselines()
            .filter_map(|document| {
                let spec = document.value.get("spec").cloned().unwrap_or_default();
                // What cannot be read is told among the mistakes.
                Some((document.name.clone(), serde_json::from_value(spec).ok()?))
            })
            .collect();
        let resolved = resolve(specs.keys().map(String::as_str), &specs);
        let mut held = Vec::new();
        for document in baselines() {
            // With the rules that it inherits from others among the files.
            let Some(found) = resolved.get(&document.name) else {
                continue;
            };
            let mut spec = BaselineSpec::clone(&found.spec);
            let rules = std::mem::take(&mut spec.rules);
            held.extend(rules.into_iter().map(|rule| Self {
                baseline: document.name.clone(),
                of: spec.clone(),
                rule,
            }));
        }
        held
    }

    fn key(&self) -> String {
        format!("{}/{}", self.baseline, self.rule.id)
    }
}

/// The rule that a person means, in every baseline that holds it.
///
/// # Errors
/// When it is none or several: for people, with what they may have meant.
pub(super) fn find<'h>(wanted: &str, held: &'h [Held]) -> Result<Vec<&'h Held>, String> {
    let whole: Vec<&Held> = held
        .iter()
        .filter(|held| held.rule.id == wanted || held.key() == wanted)
        .collect();
    if !whole.is_empty() {
        return Ok(whole);
    }
    let begun: Vec<&Held> = held
        .iter()
        .filter(|held| held.rule.id.starts_with(wanted) || held.key().starts_with(wanted))
        .collect();
    let mut ids: Vec<&str> = begun.iter().map(|held| held.rule.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    match ids.as_slice() {
        [] => Err(unknown(wanted, held)),
        [_] => Ok(begun),
        several => Err(format!(
            "{wanted} could be any of {} rules: {}",
            several.len(),
            some_of(several.iter().copied(), CANDIDATES)
        )),
    }
}

fn unknown(wanted: &str, held: &[Held]) -> String {
    if held.is_empty() {
        return "there is no Baseline with rules here".to_owned();
    }
    let mut ids: Vec<&str> = held.iter().map(|held| held.rule.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let keys: Vec<String> = held.iter().map(Held::key).collect();
    if let Some(near) = nearest(wanted, ids.iter().copied().chain(keys.iter().map(String::as_str))) {
        return format!("there is no rule `{wanted}`; did you mean `{near}`?");
    }
    let lower = wanted.to_lowercase();
    let mut similar: Vec<&str> = held
        .iter()
        .filter(|held| held.rule.id.contains(&lower) || held.rule.title.to_lowercase().contains(&lower))
        .map(|held| held.rule.id.as_str())
        .collect();
    similar.sort_unstable();
    similar.dedup();
    if similar.is_empty() {
        format!(
            "there is no rule `{wanted}`; there are {}: {}",
            ids.len(),
            some_of(ids, CANDIDATES)
        )
    } else {
        format!(
            "there is no rule `{wanted}`; rules about it: {}",
            some_of(similar, CANDIDATES)
        )
    }
}
