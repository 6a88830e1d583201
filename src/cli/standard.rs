//! The policy that a folder or a revision holds, read and judged as a GitSource would, without a server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::plugin::words::clean;
use crate::api::assignment::AssignmentMode;
use crate::api::common::ParameterValues;
use crate::api::git_source::SourceFormat;
use crate::api::{Assignment, Baseline, DeviceGroup, Profile, Waiver, crds};
use crate::controllers::fleet::policies::{Policies, PolicyKind};
use crate::controllers::git_source::revision;
use crate::gitops::Finding;
use crate::gitops::fetch::SourceFile;
use crate::gitops::read::{Document, Documents};
use crate::gitops::validate::SchemaSet;
use crate::policy::schema::Schema;
use crate::policy::{AssignmentInput, BaselineInput, ProfileInput};

/// What the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Objects of Provost's: Baselines, Profiles, DeviceGroups and Assignments.
    Native,
    /// A rule library of the macOS Security Compliance Project.
    Mscp,
}

impl From<Format> for SourceFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Native => Self::Native,
            Format::Mscp => Self::Mscp,
        }
    }
}

/// Policy, ready to be asked.
pub(super) struct Standard {
    /// As written.
    pub(super) documents: Documents,
    /// What it means for a device.
    pub(super) policies: Policies,
    /// What the files are.
    pub(super) format: SourceFormat,
}

/// The name under which content is compiled that no assignment selects.
pub(super) const UNASSIGNED: &str = "(no assignment)";

impl Standard {
    /// Reads files. Without a format it is told by what they hold.
    ///
    /// # Errors
    /// Every mistake for which a GitSource would refuse them, each with its line.
    pub(super) fn read(
        files: &[SourceFile],
        format: Option<Format>,
        namespace: &str,
        place: &str,
    ) -> anyhow::Result<Self> {
        let format = format.map_or_else(|| revision::detect(files), SourceFormat::from);
        let schemas = SchemaSet::new(&crds::all())?;
        let documents = revision::read(files, format, namespace, &schemas, Schema::in_force())
            .map_err(|findings| refused(&findings, files, place))?;
        let mut policies = Policies::default();
        for document in &documents.objects {
            match document.kind.as_str() {
                "Assignment" => put::<Assignment>(&mut policies, document)?,
                "Baseline" => put::<Baseline>(&mut policies, document)?,
                "DeviceGroup" => put::<DeviceGroup>(&mut policies, document)?,
                "Profile" => put::<Profile>(&mut policies, document)?,
                "Waiver" => put::<Waiver>(&mut policies, document)?,
                // Other kinds put nothing on devices by themselves.
                _ => {}
            }
        }
        Ok(Self {
            documents,
            policies,
            format,
        })
    }

    /// No policy at all.
    pub(super) fn empty(format: SourceFormat) -> Self {
        Self {
            documents: Documents::default(),
            policies: Policies::default(),
            format,
        }
    }

    /// The baselines and profiles that assignments name.
    pub(super) fn assigned(&self) -> BTreeSet<(&'static str, String)> {
        let assignments = self.policies.assignments.values();
        assignments
            .flat_map(|assignment| {
                let baselines = assignment.spec.baselines.iter().map(|named| &named.name);
                let profiles = assignment.spec.profiles.iter().map(|named| &named.name);
                baselines
                    .map(|name| ("Baseline", name.clone()))
                    .chain(profiles.map(|name| ("Profile", name.clone())))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// A baseline with the values that it has by itself, enforced. None: there is none of this name.
    pub(super) fn baseline_alone(&self, name: &str) -> Option<AssignmentInput> {
        let baseline = self.policies.resolved([name]).remove(name)?;
        Some(AssignmentInput {
            baselines: vec![BaselineInput {
                name: name.into(),
                baseline,
                parameters: ParameterValues::new(),
                excluded: Vec::new(),
                revision: None,
            }],
            ..unassigned()
        })
    }

    /// A profile by itself. None: there is none of this name.
    pub(super) fn profile_alone(&self, name: &str) -> Option<AssignmentInput> {
        let profile = self.policies.profiles.get(name)?;
        Some(AssignmentInput {
            profiles: vec![ProfileInput {
                name: name.into(),
                spec: Arc::new(profile.spec.clone()),
                revision: None,
            }],
            ..unassigned()
        })
    }

    /// What assignments name and is not there, each once, for people.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing: BTreeMap<String, String> = BTreeMap::new();
        for (name, assignment) in &self.policies.assignments {
            for what in self.policies.missing(assignment) {
                missing.insert(
                    what.clone(),
                    format!("{what}, which Assignment {name} names, is not here; what comes from elsewhere is not looked at"),
                );
            }
        }
        missing.into_values().collect()
    }
}

fn unassigned() -> AssignmentInput {
    AssignmentInput {
        name: UNASSIGNED.into(),
        revision: None,
        mode: AssignmentMode::Enforce,
        precedence: 0,
        baselines: Vec::new(),
        profiles: Vec::new(),
    }
}

fn put<K: PolicyKind + DeserializeOwned + Resource>(
    policies: &mut Policies,
    document: &Document,
) -> anyhow::Result<()> {
    let object: K = serde_json::from_value(document.value.clone())
        .with_context(|| format!("{}: {} {}", document.file, document.kind, document.name))?;
    K::put(policies, object.name_any().into(), object, false);
    Ok(())
}

/// Every mistake with its line, and what to do.
fn refused(findings: &[Finding], files: &[SourceFile], place: &str) -> anyhow::Error {
    let mut text = format!("{place} would be refused, and nothing of it would take effect:");
    for finding in findings {
        let _ = write!(text, "\n{finding}");
        let file = files.iter().find(|file| file.path == finding.file);
        let snippet = file.and_then(|file| finding.snippet(std::str::from_utf8(&file.content).ok()?));
        if let Some(snippet) = snippet {
            let _ = write!(text, "\n{snippet}");
        }
    }
    if findings
        .iter()
        .any(|finding| finding.field == "metadata.namespace")
    {
        text.push_str("\nname the namespace of the GitSource with --namespace");
    }
    anyhow!("{text}")
}

/// How many warnings are told.
const TOLD: usize = 20;

/// Warnings for people, on one line each; of very many only the first.
pub(super) fn warnings(documents: &Documents) -> Vec<String> {
    let all = &documents.warnings;
    let mut lines: Vec<String> = all
        .iter()
        .take(TOLD)
        .map(|finding| clean(&format!("warning: {finding}")))
        .collect();
    if let Some(more) = all.len().checked_sub(TOLD).filter(|more| *more > 0) {
        lines.push(format!("warning: and {more} more; provost lint tells all"));
    }
    lines
}
