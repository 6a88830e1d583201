//! The status of a GitSource. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource as _, ResourceExt as _};

use crate::api::condition::{ConditionType, Reason, Statement, Status, merge};
use crate::api::git_source::{Artifact, GitSourceStatus, InventoryEntry, RevisionRecord, RevisionResult};
use crate::api::{GitSource, names};
use crate::controllers::fleet::device_status::whole_second;
use crate::gitops::Finding;
use crate::gitops::fetch::{FetchErrorKind, Revision};
use crate::gitops::plan::record;

/// How many mistakes a condition names.
const FINDINGS: usize = 10;

/// The revision that something happened to.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) revision: String,
    author: String,
    message: String,
    pub(super) committed_at: Timestamp,
}

#[cfg(test)]
impl About {
    pub(super) fn new(revision: &str, committed_at: Timestamp) -> Self {
        Self {
            revision: revision.to_owned(),
            author: String::new(),
            message: String::new(),
            committed_at,
        }
    }
}

impl From<&Revision> for About {
    fn from(revision: &Revision) -> Self {
        Self {
            revision: revision.name.clone(),
            author: format!("{} <{}>", revision.author.name, revision.author.email),
            message: revision.message.clone(),
            committed_at: revision.committed_at,
        }
    }
}

/// How a pass ended.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    Suspended,
    NotReady(String),
    NotFetched {
        kind: FetchErrorKind,
        message: String,
    },
    Refused {
        about: About,
        findings: Vec<Finding>,
    },
    Waiting {
        about: About,
        reason: String,
    },
    ApplyFailed {
        about: About,
        message: String,
    },
    Applied {
        about: About,
        inventory: Vec<InventoryEntry>,
        other: usize,
        summary: String,
    },
}

impl Ended {
    /// For the metric.
    pub(super) const fn category(&self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::NotReady(_) => "dependency_not_ready",
            Self::NotFetched { .. } => "not_fetched",
            Self::Refused { .. } => "refused",
            Self::Waiting { .. } => "waiting",
            Self::ApplyFailed { .. } => "apply_failed",
            Self::Applied { .. } => "success",
        }
    }

    /// Whether time may mend it, so that it is worth trying before the interval is over.
    pub(super) const fn transient(&self) -> bool {
        matches!(self, Self::NotFetched { kind, .. } if kind.is_transient())
            || matches!(self, Self::NotReady(_))
    }

    pub(super) fn reason(&self) -> &'static str {
        self.statement().reason.into()
    }

    /// What an event says of it, and whether it is good news.
    pub(super) fn news(&self) -> Option<(bool, String)> {
        match self {
            Self::Applied { .. } => Some((true, self.statement().message)),
            Self::Refused { .. } | Self::Waiting { .. } | Self::ApplyFailed { .. } => {
                Some((false, self.statement().message))
            }
            Self::Suspended | Self::NotReady(_) | Self::NotFetched { .. } => None,
        }
    }

    fn statement(&self) -> Statement {
        let ready = |status: Status, reason, message: String| {
            Statement::new(ConditionType::Ready, status, reason, message)
        };
        match self {
            Self::Suspended => ready(
                Status::Unknown,
                Reason::Suspended,
                "suspended: nothing is fetched or applied".into(),
            ),
            Self::NotReady(missing) => ready(Status::False, Reason::DependencyNotReady, missing.clone()),
            Self::NotFetched {
                kind: FetchErrorKind::Authentication,
                message,
            } => ready(Status::False, Reason::AuthenticationFailed, message.clone()),
            Self::NotFetched { message, .. } => {
                ready(Status::False, Reason::GitOperationFailed, message.clone())
            }
            Self::Refused { about, findings } => ready(
                Status::False,
                Reason::InvalidRevision,
                format!("{} is refused: {}", about.revision, list(findings)),
            ),
            Self::Waiting { about, reason } => ready(
                Status::False,
                Reason::PruneNeedsApproval,
                format!(
                    "{reason}; to allow it: kubectl annotate gitsource NAME {}={} --overwrite",
                    names::ALLOW_PRUNE_ANNOTATION,
                    about.revision
                ),
            ),
            Self::ApplyFailed { about, message } => ready(
                Status::False,
                Reason::ApplyFailed,
                format!("{} is refused by the API: {message}", about.revision),
            ),
            Self::Applied { about, summary, .. } => ready(
                Status::True,
                Reason::Succeeded,
                format!("{} is in force: {summary}", about.revision),
            ),
        }
    }

    fn record(&self, now: Timestamp) -> Option<RevisionRecord> {
        let (about, result, detail) = match self {
            Self::Suspended | Self::NotReady(_) | Self::NotFetched { .. } => return None,
            Self::Refused { about, findings } => (about, RevisionResult::Refused, list(findings)),
            Self::Waiting { about, reason } => (about, RevisionResult::Waiting, reason.clone()),
            Self::ApplyFailed { about, message } => (about, RevisionResult::Refused, message.clone()),
            Self::Applied { about, summary, .. } => (about, RevisionResult::Applied, summary.clone()),
        };
        Some(RevisionRecord {
            revision: about.revision.clone(),
            author: about.author.clone(),
            message: about.message.clone(),
            committed_at: Time(whole_second(about.committed_at)),
            time: Time(whole_second(now)),
            result,
            detail: detail.chars().take(1_024).collect(),
        })
    }
}

fn list(findings: &[Finding]) -> String {
    let mut lines: Vec<String> = findings.iter().take(FINDINGS).map(ToString::to_string).collect();
    if findings.len() > FINDINGS {
        lines.push(format!("and {} more", findings.len() - FINDINGS));
    }
    lines.join("; ")
}

/// Builds the status from the old one.
pub(super) fn build(source: &GitSource, ended: &Ended, now: Timestamp) -> GitSourceStatus {
    let mut new = source.status.clone().unwrap_or_default();
    let generation = source.meta().generation;
    let mut ready = ended.statement();
    if let Ended::Applied {
        about,
        inventory,
        other,
        ..
    } = ended
    {
        let objects = i64::try_from(inventory.len()).unwrap_or(i64::MAX);
        let other_documents = i64::try_from(*other).unwrap_or(i64::MAX);
        let again = new.artifact.as_ref().filter(|artifact| {
            artifact.revision == about.revision
                && artifact.objects == objects
                && artifact.other_documents == other_documents
        });
        if let Some(artifact) = again {
            // The same revision once more: keep when it came into force, and what it changed then.
            ready.message = new
                .conditions
                .iter()
                .find(|condition| condition.type_ == "Ready" && condition.status == "True")
                .map_or(ready.message, |condition| condition.message.clone());
            new.artifact = Some(artifact.clone());
        } else {
            new.artifact = Some(Artifact {
                revision: about.revision.clone(),
                applied_at: Time(whole_second(now)),
                objects,
                other_documents,
            });
            record_new(&mut new.history, ended, now);
        }
        new.inventory.clone_from(inventory);
    } else {
        record_new(&mut new.history, ended, now);
    }
    if let Some(record) = ended.record(now) {
        new.last_attempted_revision = Some(record.revision);
    }
    let stalled = matches!(
        ended,
        Ended::Refused { .. } | Ended::ApplyFailed { .. } | Ended::Waiting { .. }
    )
    .then(|| {
        Statement::new(
            ConditionType::Stalled,
            true,
            ready.reason,
            "only a new commit, or a person's leave, can help",
        )
    });
    let reconciling = ended.transient().then(|| {
        Statement::new(
            ConditionType::Reconciling,
            true,
            Reason::ProgressingWithRetry,
            "tried again by itself",
        )
    });
    let statements: Vec<Statement> = std::iter::once(ready).chain(stalled).chain(reconciling).collect();
    new.conditions = merge(&new.conditions, &statements, generation, now);
    new.observed_generation = generation.unwrap_or_else(crate::api::unobserved);
    new.last_handled_reconcile_at = source.annotations().get(names::RECONCILE_ANNOTATION).cloned();
    new
}

fn record_new(history: &mut Vec<RevisionRecord>, ended: &Ended, now: Timestamp) {
    if let Some(new) = ended.record(now) {
        record(history, new);
    }
}
