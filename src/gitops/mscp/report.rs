//! How a whole tree fares: what can be enforced, what only a check on the device can tell, what is wrong, what contradicts itself.

use serde::Serialize;

use super::assemble::Conflict;
use super::judge::Judge;
use super::note::{Note, Weight};
use super::resolve::{Declared, Resolved, ResolvedRule};
use super::tree::{Format, Tree};
use crate::api::baseline::UnprovenReason;
use crate::policy::schema::Schema;

/// A report on a tree.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Its format.
    pub format: Format,
    /// How many rules it has.
    pub rules: usize,
    /// Its baselines.
    pub baselines: Vec<BaselineReport>,
    /// Mistakes: with one of these the tree is not imported.
    pub errors: Vec<NoteReport>,
    /// What is imported without what the note is about, or deserves a look.
    pub warnings: Vec<NoteReport>,
}

/// A report on a baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BaselineReport {
    /// Its full id.
    pub id: String,
    /// Its keyword.
    pub name: String,
    /// The system.
    pub platform: &'static str,
    /// The system's version.
    pub os: String,
    /// The file.
    pub file: String,
    /// How many rules it has, without those that it leaves out.
    pub rules: usize,
    /// How many it leaves out.
    pub excluded: usize,
    /// Rules that set keys of a profile.
    pub profile: usize,
    /// Rules that set a key of a declaration.
    pub declaration: usize,
    /// Rules that set lines of a configuration file.
    pub configuration_file: usize,
    /// Rules that are set by nothing but a shell script.
    pub fix_only: usize,
    /// Rules that have a check and nothing else.
    pub check_only: usize,
    /// Rules that have nothing at all.
    pub neither: usize,
    /// Rules that only a check on the device can prove.
    pub on_device: usize,
    /// Rules of which something is not served, because it is known to be wrong or Apple's schema refuses it.
    pub invalid: usize,
    /// Rules that are put on devices only by an object of one's own.
    pub opt_in: usize,
    /// Mistakes in it and its rules.
    pub errors: usize,
    /// Settings that its rules contradict each other in.
    pub conflicts: Vec<Conflict>,
}

/// A note, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoteReport {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The field.
    pub field: String,
    /// What is to be said.
    pub message: String,
}

impl From<&Note> for NoteReport {
    fn from(note: &Note) -> Self {
        Self {
            file: note.finding.file.clone(),
            line: note.finding.position.line,
            column: note.finding.position.column,
            field: note.finding.field.clone(),
            message: note.finding.message.clone(),
        }
    }
}

/// Reports on a tree, by Apple's schema.
#[must_use]
pub fn report(tree: &Tree, schema: &Schema) -> Report {
    let judge = Judge::new(schema);
    let mut notes = tree.notes().to_vec();
    let mut baselines = Vec::new();
    for baseline in tree.baselines() {
        let resolved = baseline.resolve(tree);
        let export = resolved.export();
        let native = resolved.native(&export, &judge);
        let of_file = |note: &&Note| note.is_error() && note.finding.file == baseline.file;
        let errors = tree.notes().iter().filter(of_file).count()
            + resolved.notes.iter().filter(|note| note.is_error()).count();
        let with = |reason| {
            native
                .spec
                .rules
                .iter()
                .filter(|rule| {
                    rule.unproven
                        .as_ref()
                        .is_some_and(|unproven| unproven.reason == reason)
                })
                .count()
        };
        let mut refused: Vec<&str> = native
            .notes
            .iter()
            .filter(|note| note.finding.message.starts_with("not served"))
            .map(|note| note.finding.file.as_str())
            .collect();
        refused.sort_unstable();
        refused.dedup();
        baselines.push(BaselineReport {
            id: baseline.id.clone(),
            name: baseline.name.clone(),
            platform: baseline.system.name(),
            os: baseline.version.clone(),
            file: baseline.file.clone(),
            errors,
            on_device: with(UnprovenReason::OnDeviceCheck) + with(UnprovenReason::ConfigurationFile),
            opt_in: with(UnprovenReason::OptIn),
            invalid: refused.len(),
            conflicts: export.conflicts,
            ..counts(&resolved)
        });
        notes.extend(resolved.notes);
        notes.extend(native.notes);
    }
    notes.sort();
    notes.dedup();
    let of = |weight| {
        notes
            .iter()
            .filter(|note| note.weight == weight)
            .map(NoteReport::from)
            .collect()
    };
    Report {
        format: tree.format,
        rules: tree.rule_count(),
        baselines,
        errors: of(Weight::Error),
        warnings: of(Weight::Warning),
    }
}

fn counts(resolved: &Resolved<'_>) -> BaselineReport {
    let count =
        |of: &dyn Fn(&ResolvedRule<'_>) -> bool| resolved.rules.iter().filter(|rule| of(rule)).count();
    let enforced = |rule: &ResolvedRule<'_>| rule.has_profile() || rule.declared.is_some();
    BaselineReport {
        id: String::new(),
        name: String::new(),
        platform: "",
        os: String::new(),
        file: String::new(),
        rules: resolved.rules.len(),
        excluded: resolved.excluded.len(),
        profile: count(&|rule| rule.has_profile()),
        declaration: count(&|rule| matches!(rule.declared, Some(Declared::Key { .. }))),
        configuration_file: count(&|rule| matches!(rule.declared, Some(Declared::File(_)))),
        fix_only: count(&|rule| !enforced(rule) && rule.fix.is_some()),
        check_only: count(&|rule| !enforced(rule) && rule.fix.is_none() && rule.check.is_some()),
        neither: count(&|rule| !enforced(rule) && rule.fix.is_none() && rule.check.is_none()),
        on_device: 0,
        invalid: 0,
        opt_in: 0,
        errors: 0,
        conflicts: Vec::new(),
    }
}
