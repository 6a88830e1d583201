//! What a device would get, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use super::device::DescribedDevice;
use crate::api::assignment::AssignmentMode;
use crate::api::common::{EnrollmentMode, Platform};
use crate::cli::plugin::words::clean;
use crate::compliance::Evidence;
use crate::policy::compile::{Explanation, Place};
use crate::policy::manifest::Section;
use crate::policy::{AssignmentInput, Conflict};

/// The longest value that is shown to people, in characters.
const SHOWN: usize = 120;

/// What one device would get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    name: String,
    platform: Platform,
    os_version: String,
    enrollment_mode: EnrollmentMode,
    assignments: Vec<Assigned>,
    profiles: usize,
    declarations: usize,
    /// Of its users.
    user_declarations: usize,
    settings: Vec<Set>,
    rules: Vec<Account>,
    conflicts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
    #[serde(skip)]
    class: String,
}

#[derive(Debug, Serialize)]
struct Assigned {
    name: Arc<str>,
    mode: AssignmentMode,
}

/// A setting, with who makes it.
#[derive(Debug, Serialize)]
struct Set {
    #[serde(flatten)]
    place: Place,
    key: String,
    value: Value,
    by: Vec<Arc<str>>,
}

/// What became of a rule.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    rule: Arc<str>,
    assignment: Arc<str>,
    outcome: Outcome,
    /// Why it is not enforced, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What will prove it.
    #[serde(skip_serializing_if = "Option::is_none")]
    proven_by: Option<&'static str>,
}

/// What becomes of a rule on such a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    /// All that it sets reaches the device.
    Enforced,
    /// Nothing of it, or not all, reaches the device; a check tells whether it holds.
    OnlyChecked,
    /// Nothing of it, or not all, reaches the device, and nothing will tell whether it holds.
    NotServed,
    /// It is not for such devices.
    NotApplicable,
}

impl Summary {
    pub(super) fn new(
        device: &DescribedDevice,
        assignments: &[AssignmentInput],
        explanation: &Explanation,
        notes: Vec<String>,
        files: Vec<String>,
    ) -> Self {
        let plan = &explanation.plan;
        let rules = plan
            .demands
            .iter()
            .zip(&explanation.rules)
            .map(|(demand, account)| Account {
                rule: Arc::clone(&account.key),
                assignment: Arc::clone(&account.assignment),
                outcome: outcome(&demand.evidence, account.withheld.is_some()),
                reason: account.withheld.clone(),
                proven_by: proof(&demand.evidence),
            });
        let users = plan.manifest.users.as_ref();
        let configurations = |declarations: &[crate::policy::Declaration]| {
            let content = declarations.iter();
            content.filter(|one| one.section != Section::Activations).count()
        };
        Self {
            name: device.name.clone(),
            platform: device.class.platform,
            os_version: device.class.os_version.to_string(),
            enrollment_mode: device.class.mode,
            assignments: assignments
                .iter()
                .map(|input| Assigned {
                    name: Arc::clone(&input.name),
                    mode: input.mode,
                })
                .collect(),
            profiles: plan.manifest.profiles.len(),
            declarations: configurations(&plan.manifest.declarations),
            user_declarations: users.map_or(0, |users| configurations(&users.declarations)),
            settings: explanation
                .settings
                .iter()
                .map(|setting| Set {
                    place: setting.place.clone(),
                    key: setting.path.join("."),
                    value: setting.value.clone(),
                    by: setting.by.clone(),
                })
                .collect(),
            rules: rules.collect(),
            conflicts: plan.conflicts.iter().map(said).collect(),
            notes,
            files,
            class: device.class.to_string(),
        }
    }
}

fn said(conflict: &Conflict) -> String {
    conflict.message.clone()
}

const fn outcome(evidence: &Evidence, is_withheld: bool) -> Outcome {
    match evidence {
        Evidence::NotApplicable { .. } => Outcome::NotApplicable,
        _ if !is_withheld => Outcome::Enforced,
        Evidence::Cel { .. } => Outcome::OnlyChecked,
        _ => Outcome::NotServed,
    }
}

const fn proof(evidence: &Evidence) -> Option<&'static str> {
    match evidence {
        Evidence::Cel { .. } => Some("check"),
        Evidence::InstalledDeclaration { .. } => Some("declaration"),
        Evidence::InstalledProfile { .. } => Some("profile"),
        Evidence::NotApplicable { .. } | Evidence::Conflict { .. } | Evidence::None { .. } => None,
    }
}

/// For programs: a list with one entry a device.
pub(super) fn json(summaries: &[Summary]) -> Result<String> {
    let text = serde_json::to_string_pretty(summaries).context("JSON cannot be written")?;
    Ok(format!("{text}\n"))
}

/// For people.
pub(super) fn human(summaries: &[Summary]) -> String {
    let texts: Vec<String> = summaries.iter().map(page).collect();
    texts.join("\n")
}

fn page(summary: &Summary) -> String {
    let mut text = format!("{}: {}\n", clean(&summary.name), summary.class);
    let assigned = summary.assignments.iter();
    let assigned: Vec<String> = assigned
        .map(|one| format!("{} ({:?})", one.name, one.mode))
        .collect();
    if !assigned.is_empty() {
        line(&mut text, &format!("  by {}", assigned.join(", ")));
    }
    for note in &summary.notes {
        line(&mut text, &format!("  note: {note}"));
    }
    line(
        &mut text,
        &format!(
            "  {}, {}{}",
            many(summary.profiles, "profile"),
            many(summary.declarations, "declaration"),
            match summary.user_declarations {
                0 => String::new(),
                n => format!(", {} for its users", many(n, "declaration")),
            }
        ),
    );
    settings(&mut text, summary);
    rules(&mut text, summary);
    if !summary.conflicts.is_empty() {
        line(&mut text, &format!("\n  Conflicts ({})", summary.conflicts.len()));
        for conflict in &summary.conflicts {
            line(&mut text, &format!("    {conflict}"));
        }
    }
    if !summary.files.is_empty() {
        line(&mut text, &format!("\n  Written ({})", summary.files.len()));
        for file in &summary.files {
            line(&mut text, &format!("    {file}"));
        }
    }
    text
}

/// Lines, without anything that would move a terminal's cursor.
fn line(text: &mut String, line: &str) {
    for part in line.split('\n') {
        text.push_str(&clean(part));
        text.push('\n');
    }
}

fn settings(text: &mut String, summary: &Summary) {
    line(text, &format!("\n  Settings ({})", summary.settings.len()));
    let mut place: Option<&Place> = None;
    for setting in &summary.settings {
        if place != Some(&setting.place) {
            place = Some(&setting.place);
            let Place {
                carrier,
                type_,
                object,
                ..
            } = &setting.place;
            let own = object
                .as_ref()
                .map_or_else(String::new, |object| format!(" of profile/{object}"));
            line(text, &format!("    {carrier} {type_}{own}"));
        }
        let by = setting.by.join(", ");
        let value = short(&setting.value.to_string());
        if setting.key.is_empty() {
            line(text, &format!("      (no key)   by {by}"));
        } else {
            line(text, &format!("      {} = {value}   by {by}", setting.key));
        }
    }
}

fn short(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start}…")
}

fn rules(text: &mut String, summary: &Summary) {
    let mut by_outcome: BTreeMap<Outcome, Vec<&Account>> = BTreeMap::new();
    for rule in &summary.rules {
        by_outcome.entry(rule.outcome).or_default().push(rule);
    }
    for (outcome, title) in [
        (Outcome::OnlyChecked, "Not enforced, only checked"),
        (Outcome::NotServed, "Not enforced"),
        (Outcome::NotApplicable, "Not for this device"),
    ] {
        let Some(rules) = by_outcome.get(&outcome) else {
            continue;
        };
        line(text, &format!("\n  {title} ({})", rules.len()));
        for rule in rules {
            let reason = rule.reason.as_deref().unwrap_or_default();
            line(text, &format!("    {}: {}", rule.rule, short(&clean(reason))));
        }
    }
}

fn many(count: usize, what: &str) -> String {
    let mut text = String::new();
    let plural = if count == 1 { "" } else { "s" };
    // Writing into a String cannot fail.
    let _ = write!(text, "{count} {what}{plural}");
    text
}
