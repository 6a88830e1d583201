//! Where a demand comes from: the commits behind the baseline and the assignments.

use std::collections::BTreeMap;

use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;

use crate::api::git_source::GitSourceStatus;
use crate::api::{GitSource, names};
use crate::cli::plugin::rule::Demanded;
use crate::cli::plugin::session::Session;
use crate::cli::plugin::sources::in_force;

/// What last changed an object, as far as the API tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli::plugin) struct Commit {
    /// Such as `Baseline essentials`.
    pub(in crate::cli::plugin) object: String,
    /// As `main@sha1:…`. None: it did not come from git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli::plugin) revision: Option<String>,
    /// The GitSource that brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli::plugin) source: Option<String>,
    /// The file in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli::plugin) file: Option<String>,
    /// `Name <address>`. None: the source remembers later commits only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli::plugin) author: Option<String>,
    /// The first line of the commit's message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli::plugin) message: Option<String>,
    /// When it was committed, as RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli::plugin) committed_at: Option<String>,
    /// Who wrote it with the API, where it did not come from git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli::plugin) written_with: Option<String>,
}

/// The commits behind a rule: of its baseline first and of those that it has the rule from, then of each assignment.
pub(super) async fn commits(session: &Session, demanded: &Demanded<'_>) -> anyhow::Result<Vec<Commit>> {
    let mut sources = BTreeMap::new();
    let names = demanded
        .assignments
        .iter()
        .filter_map(|(assignment, _)| source_of(*assignment));
    let baselines = || {
        [demanded.baseline]
            .into_iter()
            .chain(demanded.bases.iter().copied())
    };
    for name in names.chain(baselines().filter_map(source_of)) {
        if !sources.contains_key(name) {
            sources.insert(name, source(session, name).await?);
        }
    }
    let status = |object: Option<&str>| object.and_then(|name| sources.get(name)?.as_ref());
    let mut commits: Vec<Commit> = baselines()
        .map(|baseline| of(baseline, status(source_of(baseline))))
        .collect();
    for (assignment, _) in &demanded.assignments {
        commits.push(of(*assignment, status(source_of(*assignment))));
    }
    Ok(commits)
}

fn source_of<K: Resource>(object: &K) -> Option<&str> {
    object
        .meta()
        .labels
        .as_ref()?
        .get(names::SOURCE_LABEL)
        .map(String::as_str)
}

/// The status of a source. None: it is gone, or not for this person to see; the rest of the answer does not depend on it.
async fn source(session: &Session, name: &str) -> anyhow::Result<Option<GitSourceStatus>> {
    match session.api_in::<GitSource>(&session.namespace).get(name).await {
        Ok(source) => Ok(source.status),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Ok(None),
        Err(error) => Err(session.explain::<GitSource>(error, "get")),
    }
}

/// What last changed an object.
pub(in crate::cli::plugin) fn of<K>(object: &K, source: Option<&GitSourceStatus>) -> Commit
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let annotation = |name: &str| object.annotations().get(name).cloned();
    let revision = annotation(names::REVISION_ANNOTATION);
    let record = revision
        .as_deref()
        .and_then(|revision| in_force(source?, revision));
    let by_hand = revision.is_none().then(|| written_with(object)).flatten();
    Commit {
        object: format!("{} {}", K::kind(&()), object.name_any()),
        source: source_of(object).map(str::to_owned),
        file: annotation(names::FILE_ANNOTATION),
        author: record.map(|record| record.author.clone()),
        message: record.map(|record| record.message.clone()),
        committed_at: record
            .map(|record| record.committed_at.0.to_string())
            .or_else(|| annotation(names::COMMITTED_AT_ANNOTATION)),
        written_with: by_hand,
        revision,
    }
}

/// The field manager that wrote last, such as `kubectl-client-side-apply`; writes of the status are no such.
fn written_with<K: Resource>(object: &K) -> Option<String> {
    let managers = object.meta().managed_fields.as_ref()?;
    let last = managers
        .iter()
        .filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty())
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    let time = last.time.as_ref().map(|time| format!(" at {}", time.0));
    Some(format!(
        "{}{}",
        last.manager.as_deref().unwrap_or("somebody"),
        time.unwrap_or_default()
    ))
}
