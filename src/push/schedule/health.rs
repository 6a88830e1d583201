//! What is told about a push service in trouble: that the trouble has begun, why, and that it is over. Never a line for each device.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::super::port::PushError;

/// So many different refusals of a topic are told; what a service makes up beyond that is not.
const REFUSALS: usize = 16;
/// How long a refusal that was told is not told again.
const REPEAT: SignedDuration = SignedDuration::from_hours(1);

/// How the service stands with each topic.
#[derive(Debug, Default)]
pub struct Health(BTreeMap<Arc<str>, State>);

#[derive(Debug, Default)]
struct State {
    down_since: Option<Timestamp>,
    /// What pushes were refused for, and when that was told.
    refused: BTreeMap<String, Timestamp>,
}

/// Something to tell, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The service has become unreachable, or says that it is in trouble.
    Down,
    /// It takes pushes again, after so long.
    Up(SignedDuration),
    /// It has refused a push, in a way that has not been told for a while.
    Refused,
}

impl Health {
    /// Takes note of how a push for `topic` ended.
    pub fn note(&mut self, topic: &Arc<str>, result: &Result<(), PushError>, now: Timestamp) -> Option<News> {
        let state = self.0.entry(Arc::clone(topic)).or_default();
        let news = state.note(result, now);
        if state.down_since.is_none() && state.refused.is_empty() {
            self.0.remove(topic);
        }
        news
    }
}

impl State {
    fn note(&mut self, result: &Result<(), PushError>, now: Timestamp) -> Option<News> {
        match result {
            Err(PushError::Transport(_) | PushError::Unavailable { .. }) => {
                let known = self.down_since.is_some();
                self.down_since.get_or_insert(now);
                (!known).then_some(News::Down)
            }
            // Nobody was asked.
            Err(PushError::Unconfigured) => None,
            Err(PushError::Rejected { reason, .. } | PushError::AddressRefused { reason }) => {
                let up = self.up(now);
                // What a push is refused for says more than that the service answers again.
                self.refuse(reason, now).or(up)
            }
            Ok(()) | Err(PushError::Unregistered { .. } | PushError::TooManyRequests { .. }) => self.up(now),
        }
    }

    fn refuse(&mut self, reason: &str, now: Timestamp) -> Option<News> {
        self.refused.retain(|_, told| now.duration_since(*told) < REPEAT);
        if self.refused.contains_key(reason) || self.refused.len() >= REFUSALS {
            return None;
        }
        self.refused.insert(reason.to_owned(), now);
        Some(News::Refused)
    }

    fn up(&mut self, now: Timestamp) -> Option<News> {
        let since = self.down_since.take()?;
        Some(News::Up(now.duration_since(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn lost() -> Result<(), PushError> {
        Err(PushError::Transport("connection refused".into()))
    }

    fn refused(reason: &str) -> Result<(), PushError> {
        Err(PushError::Rejected {
            status: 400,
            reason: reason.to_owned(),
        })
    }

    #[test]
    fn an_outage_is_told_when_it_begins_and_when_it_is_over() {
        let (mut health, topic) = (Health::default(), Arc::from("t"));
        assert_eq!(health.note(&topic, &Ok(()), at(0)), None);
        assert_eq!(health.note(&topic, &lost(), at(1)), Some(News::Down));
        let busy = Err(PushError::Unavailable {
            status: 503,
            after: None,
        });
        for (second, failure) in [
            (2, lost()),
            (3, busy),
            (4, Err(PushError::Unconfigured)),
            (5, lost()),
        ] {
            assert_eq!(health.note(&topic, &failure, at(second)), None);
        }
        assert_eq!(
            health.note(&topic, &Ok(()), at(61)),
            Some(News::Up(SignedDuration::from_mins(1)))
        );
        assert_eq!(health.note(&topic, &Ok(()), at(62)), None);
        assert_eq!(health.note(&topic, &lost(), at(63)), Some(News::Down));
        assert_eq!(
            health.note(&Arc::from("other"), &lost(), at(63)),
            Some(News::Down),
            "another topic has a certificate and a connection of its own"
        );
    }

    #[test]
    fn a_refusal_is_told_once_an_hour_for_each_reason() {
        let (mut health, topic) = (Health::default(), Arc::from("t"));
        let mut told = |reason: &str, second| health.note(&topic, &refused(reason), at(second)).is_some();
        assert!(told("BadTopic", 0));
        assert!(!told("BadTopic", 1), "it may be that of every device");
        assert!(told("BadPriority", 2));
        assert!(told("BadTopic", 3_600));
        let many = (0..100).filter(|n| told(&format!("New{n}"), 3_600));
        assert_eq!(many.count(), REFUSALS - 2, "memory and log are bounded");
    }
}
