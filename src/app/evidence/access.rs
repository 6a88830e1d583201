//! Whether somebody may be told: the Kubernetes API's own decision, remembered for a moment.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

use super::refusal::Refusal;
use crate::api::names;
use crate::clock::Clock;

/// How long an answer of the API is remembered: a right that is taken away is gone after this.
const MEMORY: SignedDuration = SignedDuration::from_secs(10);
/// How many answers are remembered.
const ANSWERS: usize = 1024;

/// Answers that are good for a moment, so many of them.
pub(super) struct Memory<K, V> {
    clock: Arc<dyn Clock>,
    answers: Mutex<HashMap<K, (Timestamp, V)>>,
}

impl<K: Eq + Hash, V: Clone> Memory<K, V> {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            answers: Mutex::default(),
        }
    }

    /// The answer, if it is not too old.
    pub(super) fn recall(&self, question: &K) -> Option<V> {
        let now = self.clock.now();
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, answer) = answers.get(question)?;
        fresh(*at, now).then(|| answer.clone())
    }

    /// Remembers an answer. Where there are too many, old ones are forgotten, and then all.
    pub(super) fn remember(&self, question: K, answer: V) {
        let now = self.clock.now();
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS {
            answers.retain(|_, (at, _)| fresh(*at, now));
        }
        if answers.len() >= ANSWERS {
            answers.clear();
        }
        answers.insert(question, (now, answer));
    }
}

/// A clock that was set back makes no answer last.
fn fresh(at: Timestamp, now: Timestamp) -> bool {
    now >= at && now.duration_since(at) < MEMORY
}

/// Somebody, as the Kubernetes API knows them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

/// Asks whether somebody may.
pub(super) struct Access {
    client: Client,
    memory: Memory<(User, String, String), bool>,
}

impl Access {
    pub(super) fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            memory: Memory::new(clock),
        }
    }

    /// Whether `user` may get the evidence about a device.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] when not; [`Refusal::Unavailable`] when the API does not say.
    pub(super) async fn allow(&self, user: User, namespace: &str, name: &str) -> Result<(), Refusal> {
        let question = (user, namespace.to_owned(), name.to_owned());
        let allowed = if let Some(allowed) = self.memory.recall(&question) {
            allowed
        } else {
            let allowed = self.ask(&question.0, namespace, name).await?;
            self.memory.remember(question.clone(), allowed);
            allowed
        };
        let (user, namespace, name) = question;
        if allowed {
            return Ok(());
        }
        Err(Refusal::Forbidden {
            user: user.name,
            namespace,
            name,
        })
    }

    async fn ask(&self, user: &User, namespace: &str, name: &str) -> Result<bool, Refusal> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.name.clone()),
                uid: user.uid.clone(),
                groups: Some(user.groups.clone()),
                extra: Some(user.extra.clone()),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some("get".to_owned()),
                    group: Some(names::GROUP.to_owned()),
                    version: Some(names::VERSION.to_owned()),
                    resource: Some("devices".to_owned()),
                    subresource: Some("evidence".to_owned()),
                    namespace: Some(namespace.to_owned()),
                    name: Some(name.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .map_err(Refusal::api)?;
        Ok(answer
            .status
            .is_some_and(|status| status.allowed && status.denied != Some(true)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn an_answer_is_remembered_for_a_moment_and_not_all_are() {
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let memory: Memory<usize, bool> = Memory::new(clock.clone());
        memory.remember(0, true);
        assert_eq!(memory.recall(&0), Some(true));
        clock.advance(Duration::from_secs(10));
        assert_eq!(memory.recall(&0), None);
        for question in 0..3 * ANSWERS {
            memory.remember(question, false);
        }
        assert!(memory.answers.lock().unwrap().len() <= ANSWERS);
    }
}
