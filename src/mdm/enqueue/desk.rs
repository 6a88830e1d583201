//! What the API does, without HTTP.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use super::answer::{Answer, Outcome};
use crate::clock::{Clock, Entropy};
use crate::ids::{CommandUuid, EnrollmentId};
use crate::mdm::commands::{RawCommand, RawError};
use crate::store::{Broadcast, Store, StoreError, broadcast};

/// How long a command waits for its device: whoever sends it by a script looks at the result within a month, or not at all.
const LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is said of an enrolment that will be woken.
const SCHEDULED: &str = "scheduled";

/// Ids that the log names.
const NAMED: usize = 10;

/// Why an enrolment cannot be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotWoken {
    /// It is unknown, has ended, or has told no push address.
    #[error("no push address is known")]
    NoAddress,
    /// The push service does not take its push address.
    #[error("the push service refuses its push address")]
    Refused,
    /// No push service takes pushes from here.
    #[error("no push certificate is installed")]
    NoCertificate,
}

/// What wakes devices.
pub trait Waker: Send + Sync + 'static {
    /// Wakes enrolments, whether or not they have something to do. Gives those that cannot be.
    fn wake<'a>(
        &'a self,
        enrollments: &'a [EnrollmentId],
    ) -> BoxFuture<'a, Result<Vec<(EnrollmentId, NotWoken)>, StoreError>>;
}

/// Where commands are brought.
#[derive(Clone)]
pub struct Desk {
    /// Where the queue is.
    pub store: Arc<dyn Store>,
    /// What wakes devices.
    pub waker: Arc<dyn Waker>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Desk {
    /// Queues a command (a property list) for each of `ids`, and has them woken unless `no_push`.
    pub async fn enqueue(&self, ids: &[&str], command: &[u8], no_push: bool) -> Answer {
        let command = match RawCommand::read(command) {
            Ok(command) => command,
            Err(error) => {
                return Answer {
                    outcome: match error {
                        RawError::TooLarge { .. } => Outcome::TooLarge,
                        _ => Outcome::BadRequest,
                    },
                    command_error: Some(error.to_string()),
                    ..Answer::default()
                };
            }
        };
        let now = self.clock.now();
        let made = || CommandUuid::from(self.entropy.uuid());
        let uuid = command.uuid().cloned().unwrap_or_else(made);
        let mut answer = Answer {
            no_push,
            command_uuid: Some(uuid.as_str().to_owned()),
            request_type: Some(command.request_type().to_owned()),
            ..Answer::default()
        };
        let (receivers, asked) = read(ids, |id, error| {
            answer.status.entry(id.to_owned()).or_default().command_error = Some(error);
        });
        let refused = match self.queue(&command, &uuid, &receivers, now).await {
            Ok(refused) => refused,
            Err(error) => {
                tracing::error!(%error, "commands that were brought could not be queued");
                answer.command_error = Some(format!("{error}; send it again with the same CommandUUID"));
                return answer;
            }
        };
        for (id, reason) in &refused {
            answer
                .status
                .entry(id.as_str().to_owned())
                .or_default()
                .command_error = Some(reason.clone());
        }
        let refused: BTreeSet<&EnrollmentId> = refused.iter().map(|(id, _)| id).collect();
        let queued: Vec<EnrollmentId> = receivers.into_iter().filter(|id| !refused.contains(id)).collect();
        answer.outcome = Outcome::of(queued.len(), asked);
        tracing::info!(
            command.kind = command.request_type(),
            command.uuid = uuid.as_str(),
            queued = queued.len(),
            asked,
            devices = names(&queued),
            "a raw command was brought"
        );
        if !no_push {
            self.wake(&queued, &mut answer).await;
        }
        answer
    }

    async fn queue(
        &self,
        command: &RawCommand,
        uuid: &CommandUuid,
        receivers: &[EnrollmentId],
        now: Timestamp,
    ) -> Result<Vec<(EnrollmentId, String)>, StoreError> {
        let Some(first) = receivers.first() else {
            return Ok(Vec::new());
        };
        let deadline = now.saturating_add(LIFE).unwrap_or(Timestamp::MAX);
        let body = command.body(uuid);
        let command = Broadcast::from(command.queued(first, uuid.clone(), body, deadline));
        let refused = broadcast(&*self.store, &command, receivers, now).await?;
        let reasons = refused
            .into_iter()
            .map(|refused| (refused.enrollment, refused.reason.to_string()));
        Ok(reasons.collect())
    }

    /// Wakes each of `ids`, whether or not something waits for it.
    pub async fn push(&self, ids: &[&str]) -> Answer {
        let mut answer = Answer::default();
        let (receivers, asked) = read(ids, |id, error| {
            answer.status.entry(id.to_owned()).or_default().push_error = Some(error);
        });
        let woken = self.wake(&receivers, &mut answer).await;
        answer.outcome = Outcome::of(woken, asked);
        tracing::info!(
            woken,
            asked,
            devices = names(&receivers),
            "devices were asked to be woken"
        );
        answer
    }

    /// Gives how many will be.
    async fn wake(&self, receivers: &[EnrollmentId], answer: &mut Answer) -> usize {
        let failures = match self.waker.wake(receivers).await {
            Ok(failures) => failures,
            Err(error) => {
                answer.push_error = Some(error.to_string());
                return 0;
            }
        };
        if !receivers.is_empty()
            && failures
                .iter()
                .all(|(_, reason)| *reason == NotWoken::NoCertificate)
            && failures.len() == receivers.len()
        {
            answer.push_error = Some(NotWoken::NoCertificate.to_string());
            return 0;
        }
        let failed: BTreeSet<&EnrollmentId> = failures.iter().map(|(id, _)| id).collect();
        for id in receivers.iter().filter(|id| !failed.contains(id)) {
            answer
                .status
                .entry(id.as_str().to_owned())
                .or_default()
                .push_result = Some(SCHEDULED);
        }
        for (id, reason) in &failures {
            answer
                .status
                .entry(id.as_str().to_owned())
                .or_default()
                .push_error = Some(reason.to_string());
        }
        receivers.len() - failed.len()
    }
}

/// The enrolments that ids name, each once, and how many were named. What is none is told.
fn read(ids: &[&str], mut refuse: impl FnMut(&str, String)) -> (Vec<EnrollmentId>, usize) {
    let ids: BTreeSet<&str> = ids.iter().copied().filter(|id| !id.is_empty()).collect();
    let mut enrollments = Vec::with_capacity(ids.len());
    for id in &ids {
        match EnrollmentId::parse_with_user(id) {
            Ok(id) => enrollments.push(id),
            Err(error) => refuse(id, error.to_string()),
        }
    }
    (enrollments, ids.len())
}

/// Some of the devices, for the log: enough for who sends a command to one or to a few.
fn names(ids: &[EnrollmentId]) -> String {
    let mut names: Vec<String> = ids
        .iter()
        .take(NAMED)
        .map(|id| id.device().as_str().to_owned())
        .collect();
    if ids.len() > NAMED {
        names.push("…".to_owned());
    }
    names.join(",")
}
