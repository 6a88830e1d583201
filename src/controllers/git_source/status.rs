//! The status of a GitSource. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource as _, ResourceExt as _};

use crate::api::condition::{ConditionType, Reason, Statement, Status, merge};
use crate::api::git_source::{Artifact, GitSourceStatus, InventoryEntry, RevisionRecord, RevisionResult};
use crate::api::{GitSource, names};
use crate::controllers::events::News;
use crate::controllers::fleet::device_status::whole_second;
use crate::gitops::Finding;
use crate::gitops::fetch::{FetchErrorKind, Revision};
use crate::gitops::plan::record;
use crate::gitops::verify::Refusal;

use super::dereference::Missing;

/// How many mistakes a condition names.
const FINDINGS: usize = 10;

/// The revision that something happened to.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) revision: String,
    author: String,
    message: String,
    pub(super) committed_at: Timestamp,
    /// Who signed it, where the source asks for that.
    pub(super) signer: Option<String>,
}

#[cfg(test)]
impl About {
    pub(super) fn new(revision: &str, committed_at: Timestamp) -> Self {
        Self {
            revision: revision.to_owned(),
            author: String::new(),
            message: String::new(),
            committed_at,
            signer: None,
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
            signer: None,
        }
    }
}

/// How a pass ended.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    Suspended,
    NotReady(Missing),
    NotFetched {
        kind: FetchErrorKind,
        message: String,
    },
    Unverified {
        about: About,
        refusal: Refusal,
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
    /// The source is to go, and what it brought cannot be removed.
    NotRemoved(String),
}

/// What was looked at: the spec and the requests as they were when the pass began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) generation: Option<i64>,
    pub(super) reconcile: Option<String>,
    pub(super) allow_prune: Option<String>,
}

impl From<&GitSource> for Asked {
    fn from(source: &GitSource) -> Self {
        let annotation = |name: &str| source.annotations().get(name).cloned();
        Self {
            generation: source.meta().generation,
            reconcile: annotation(names::RECONCILE_ANNOTATION),
            allow_prune: annotation(names::ALLOW_PRUNE_ANNOTATION),
        }
    }
}

impl Ended {
    /// For the metric.
    pub(super) const fn category(&self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::NotReady(_) => "dependency_not_ready",
            Self::NotFetched { .. } => "not_fetched",
            Self::Unverified { .. } => "unverified",
            Self::Refused { .. } => "refused",
            Self::Waiting { .. } => "waiting",
            Self::ApplyFailed { .. } => "apply_failed",
            Self::Applied { .. } => "success",
            Self::NotRemoved(_) => "prune_failed",
        }
    }

    /// Whether time may mend it, so that it is worth trying before the interval is over.
    pub(super) const fn transient(&self) -> bool {
        matches!(self, Self::NotFetched { kind, .. } if kind.is_transient())
            || matches!(self, Self::NotReady(_))
    }

    /// What the log and an event say of it.
    pub(super) fn news(&self, source: &GitSource) -> News {
        let Statement { reason, message, .. } = self.statement(source);
        News {
            is_good: matches!(self, Self::Applied { .. } | Self::Suspended),
            reason: reason.into(),
            action: "Reconcile",
            note: message,
        }
    }

    fn statement(&self, source: &GitSource) -> Statement {
        let ready = |status: Status, reason, message: String| {
            Statement::new(ConditionType::Ready, status, reason, message)
        };
        let in_force = source.status.as_ref().and_then(|status| status.artifact.as_ref());
        match self {
            Self::Suspended => match in_force {
                // Left alone on purpose is no trouble.
                Some(artifact) => {
                    let message = format!(
                        "suspended: {} stays in force, and nothing newer is fetched",
                        artifact.revision
                    );
                    ready(Status::True, Reason::Suspended, message)
                }
                None => ready(
                    Status::Unknown,
                    Reason::Suspended,
                    "suspended: nothing is fetched or applied".into(),
                ),
            },
            Self::NotReady(missing) => ready(Status::False, missing.reason, missing.message.clone()),
            Self::NotFetched {
                kind: FetchErrorKind::Authentication,
                message,
            } => ready(Status::False, Reason::AuthenticationFailed, message.clone()),
            Self::NotFetched { message, .. } => {
                ready(Status::False, Reason::GitOperationFailed, message.clone())
            }
            Self::Unverified { about, refusal } => ready(
                Status::False,
                Reason::VerificationError,
                unverified(about, refusal, in_force),
            ),
            Self::Refused { about, findings } => ready(
                Status::False,
                Reason::InvalidRevision,
                format!("{} is refused: {}", about.revision, list(findings)),
            ),
            Self::Waiting { about, reason } => ready(
                Status::False,
                Reason::PruneNeedsApproval,
                format!(
                    "{reason}; to allow it: kubectl annotate gitsource -n {} {} {}={} --overwrite",
                    source.namespace().unwrap_or_default(),
                    source.name_any(),
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
            Self::NotRemoved(message) => {
                let advice =
                    "tried again by itself; with `spec.prune: false` the objects stay and the source goes";
                ready(Status::False, Reason::ApplyFailed, format!("{message}; {advice}"))
            }
        }
    }

    /// Whether the newest revision seen is signed by somebody who may. None: this pass has not found out, or the source does not ask.
    fn verified(&self, source: &GitSource) -> Option<Statement> {
        let kind = ConditionType::SourceVerified;
        match self {
            Self::Suspended | Self::NotReady(_) | Self::NotFetched { .. } | Self::NotRemoved(_) => None,
            Self::Unverified { .. } => Some(Statement {
                kind,
                ..self.statement(source)
            }),
            Self::Refused { about, .. }
            | Self::Waiting { about, .. }
            | Self::ApplyFailed { about, .. }
            | Self::Applied { about, .. } => about.signer.as_ref().map(|signer| {
                let message = format!("{} is signed: {signer}", about.revision);
                Statement::new(kind, true, Reason::Verified, message)
            }),
        }
    }

    fn record(&self, now: Timestamp) -> Option<RevisionRecord> {
        let (about, result, detail) = match self {
            Self::Suspended | Self::NotReady(_) | Self::NotFetched { .. } | Self::NotRemoved(_) => {
                return None;
            }
            Self::Unverified { about, refusal } => (about, RevisionResult::Refused, refusal.to_string()),
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

fn unverified(about: &About, refusal: &Refusal, in_force: Option<&Artifact>) -> String {
    let stays = in_force.map_or_else(String::new, |artifact| {
        format!("; {} stays in force", artifact.revision)
    });
    format!("{} is not taken: {refusal}{stays}", about.revision)
}

/// What was last found out about signatures: it stays true of that revision while nothing newer is seen.
fn known_of_signatures(old: &GitSourceStatus) -> Option<Statement> {
    let kind = ConditionType::SourceVerified;
    let name: &str = kind.into();
    let known = old.conditions.iter().find(|condition| condition.type_ == name)?;
    let is_signed = known.status == <&str>::from(Status::True);
    let reason = if is_signed {
        Reason::Verified
    } else {
        Reason::VerificationError
    };
    Some(Statement::new(kind, is_signed, reason, known.message.clone()))
}

fn list(findings: &[Finding]) -> String {
    let mut lines: Vec<String> = findings.iter().take(FINDINGS).map(ToString::to_string).collect();
    if findings.len() > FINDINGS {
        lines.push(format!("and {} more", findings.len() - FINDINGS));
    }
    lines.join("; ")
}

/// Builds the status from the old one.
pub(super) fn build(source: &GitSource, asked: &Asked, ended: &Ended, now: Timestamp) -> GitSourceStatus {
    let mut new = source.status.clone().unwrap_or_default();
    let mut ready = ended.statement(source);
    if let Ended::Applied {
        about,
        inventory,
        other,
        ..
    } = ended
    {
        let objects = i64::try_from(inventory.len()).unwrap_or(i64::MAX);
        let other_documents = i64::try_from(*other).unwrap_or(i64::MAX);
        let is_in_force = new.artifact.as_ref().is_some_and(|artifact| {
            artifact.revision == about.revision
                && artifact.objects == objects
                && artifact.other_documents == other_documents
        });
        let newest = new
            .history
            .first()
            .filter(|record| record.revision == about.revision && record.result == RevisionResult::Applied);
        if let Some(newest) = newest.filter(|_| is_in_force) {
            // The same revision once more: keep when it came into force, and what it changed then.
            ready.message = format!("{} is in force: {}", about.revision, newest.detail);
            if let Some(artifact) = &mut new.artifact {
                artifact.signer.clone_from(&about.signer);
            }
        } else {
            let applied_at = new
                .artifact
                .take()
                .filter(|_| is_in_force)
                .map(|artifact| artifact.applied_at);
            new.artifact = Some(Artifact {
                revision: about.revision.clone(),
                applied_at: applied_at.unwrap_or_else(|| Time(whole_second(now))),
                signer: about.signer.clone(),
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
        Ended::Unverified { .. } | Ended::Refused { .. } | Ended::ApplyFailed { .. } | Ended::Waiting { .. }
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
    let verified = source.spec.verify.as_ref();
    let verified = verified.and_then(|_| ended.verified(source).or_else(|| known_of_signatures(&new)));
    let statements: Vec<Statement> = std::iter::once(ready)
        .chain(verified)
        .chain(stalled)
        .chain(reconciling)
        .collect();
    new.conditions = merge(&new.conditions, &statements, asked.generation, now);
    new.observed_generation = asked.generation.unwrap_or_else(crate::api::unobserved);
    new.last_handled_reconcile_at.clone_from(&asked.reconcile);
    new
}

/// Whether a pass that wrote the status has something to tell: a revision met its end, or the source stands otherwise than before. What fails again
/// for the same reason is in the status and is not told again.
pub(super) fn is_news(old: &GitSourceStatus, new: &GitSourceStatus, ended: &Ended) -> bool {
    old.history != new.history || standing(old) != standing(new) || matches!(ended, Ended::NotRemoved(_))
}

/// Why a source is ready, or is not.
fn standing(status: &GitSourceStatus) -> Option<&str> {
    let ready = <&str>::from(ConditionType::Ready);
    let found = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == ready);
    found.map(|condition| condition.reason.as_str())
}

fn record_new(history: &mut Vec<RevisionRecord>, ended: &Ended, now: Timestamp) {
    if let Some(new) = ended.record(now) {
        record(history, new);
    }
}

#[cfg(test)]
mod tests;
